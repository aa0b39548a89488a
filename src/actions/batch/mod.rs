//! Converts many models, one after the other: it clones each without its weights, converts it, and records the result.
//!
//! ```text
//! list      the models, each once, and those of this batch part
//! journal   the finished models, on the disk before the next one begins
//! model     one model: its directory, the clone, the conversion, the publication
//! existing_clone  the clone of an earlier run, moved to the current commit of the remote
//! failure   why a model was not done
//! patience  a pause of the whole batch, for a server that wants fewer requests
//! ```
//!
//! A model is done if it was converted, or if nothing was to be done; the next run repeats a model that was refused or
//! failed, and one that was skipped for its size if its size is allowed then. A done model is identified by its URL and
//! revision, and is not requested again; with [`Options::update`] its server is asked for the current commit, and the
//! model is done again if the commit differs.
//!
//! Invariants: a bad model does not stop others; a finished model is never lost; a temporary clone is removed when its
//! model is finished, and the next run with the same journal removes those of a killed run.

mod failure;
mod journal;
mod existing_clone;
mod list;
mod model;
mod patience;
mod token;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::pull::Choice;
use super::servers::Session;
use super::{Error, Reporter, Servers, clone};
use crate::hash::Oid;
use crate::remote::ModelName;
use journal::{BatchJournal, Known};
use patience::patiently;
use token::check_token;

pub use failure::Cause;
pub use list::{Item, Shard, of_names, parse};

/// The options of a batch.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command line")]
pub struct Options {
    /// The base of relative paths.
    pub cwd: PathBuf,
    /// How servers are contacted.
    pub servers: Servers,
    /// The directory of the clones, each below its owner; `None` if they are temporary.
    pub dir: Option<PathBuf>,
    /// The directory of temporary clones.
    pub temp: PathBuf,
    /// The journal.
    pub journal: PathBuf,
    /// The source of the safetensors files; by default from the configuration.
    pub pr: Option<Choice>,
    /// Convert even if the safetensors file exists.
    pub force: bool,
    /// Refuse a checkpoint with values other than weights.
    pub strict: bool,
    /// The most bytes of tensors that a checkpoint may have.
    pub max_output: Option<u64>,
    /// Leave pointers in the working trees.
    pub pointer_only: bool,
    /// Publish each model with converted safetensors files.
    pub publish: bool,
    /// Skip models whose checkpoints have more bytes in total.
    pub max_size: Option<u64>,
    /// Check models that are done for new commits.
    pub update: bool,
    /// How many files of a model are converted at once; by default as many as the machine can.
    pub jobs: Option<usize>,
}

/// The result for a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelStatus {
    /// Every checkpoint is converted.
    Converted,
    /// It contains no checkpoint, or only converted ones.
    NothingToDo,
    /// It is larger than `--max-size`.
    Skipped,
    /// A checkpoint cannot be converted because of its content. Exit 1.
    Refused,
    /// The work could not be done. Exit 2.
    #[default]
    Failed,
}

/// A finished model, which is a line of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "model")]
pub struct Record {
    /// The line of the list, without a password.
    pub model: String,
    /// Its URL.
    pub url: String,
    /// The revision that the list names.
    #[serde(default)]
    pub revision: Option<String>,
    /// The commit that was converted.
    #[serde(default)]
    pub commit: Option<String>,
    /// The result.
    pub status: ModelStatus,
    /// The cause if it was not converted.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// The reason in full. It may contain text of a server: escape it for a terminal.
    #[serde(default)]
    pub reason: Option<String>,
    /// The size of its checkpoints in bytes, from their pointers.
    #[serde(default)]
    pub size: Option<u64>,
    /// The directory of its clone, if that is kept.
    #[serde(default)]
    pub dir: Option<String>,
    /// Its files.
    #[serde(default)]
    pub files: Vec<FileRecord>,
    /// The time at which it was finished, RFC 3339.
    #[serde(default)]
    pub finished_at: String,
    /// The result of its publication.
    #[serde(default)]
    pub published: Option<Publication>,
}

/// The result of publishing a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// `opened`, `exists`, `pushed`, or `nothing` if the remote has all files.
    pub status: String,
    /// The number of the pull request.
    pub number: Option<u64>,
    /// Its web page.
    pub url: Option<String>,
    /// The reference of the remote.
    pub reference: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
}

/// A checkpoint of a model, with its result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The checkpoint; `None` for a file of a pull request.
    pub source: Option<String>,
    /// The safetensors file.
    pub output: Option<String>,
    /// The status of a conversion; `pulled` for a file of a pull request.
    pub status: String,
    /// The object ID of the safetensors file.
    pub oid: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// The object ID of the checkpoint.
    pub source_oid: Option<String>,
    /// Why it was skipped, refused or failed.
    pub reason: Option<String>,
}

/// Receives the events of a batch, in addition to those of its actions.
pub trait Progress {
    /// Returns the receiver of the events of the actions.
    fn reporter(&self) -> &dyn Reporter;

    /// Called before the first model: the number of models to do, the number that are done already, and the number of
    /// bytes that a kill had left after the last line of the journal.
    fn listed(&self, left: usize, done: usize, torn: usize);

    /// A model begins, number `at` of those to do.
    fn begun(&self, at: usize, item: &Item);

    /// A model is finished, and in the journal.
    fn ended(&self, at: usize, record: &Record);
}

/// The result of a batch.
#[derive(Debug, Default)]
pub struct BatchSummary {
    /// The models that this run finished, in order.
    pub records: Vec<Record>,
    /// How many models were done before.
    pub done: usize,
    /// How many models are left because an error stopped the run.
    pub left: usize,
    /// The error that stopped the run.
    pub stopped: Option<Error>,
}

impl BatchSummary {
    /// Returns the causes, with the models of each.
    pub fn causes(&self) -> BTreeMap<Cause, Vec<&Record>> {
        let mut causes: BTreeMap<Cause, Vec<&Record>> = BTreeMap::new();
        for record in &self.records {
            if let Some(cause) = record.cause {
                causes.entry(cause).or_default().push(record);
            }
        }
        causes
    }

    /// Returns how many models this run finished with this status.
    pub fn count(&self, status: ModelStatus) -> usize {
        self.records.iter().filter(|record| record.status == status).count()
    }
}

/// Returns the names of the most downloaded models of the Hub, of those with all of these tags.
///
/// # Errors
/// [`Error::Offline`], or an error of the server.
pub fn top_models(
    servers: &Servers,
    count: usize,
    filters: &[String],
    cwd: &Path,
    reporter: &dyn Reporter,
) -> Result<Vec<ModelName>, Error> {
    let session = Session::new(servers, reporter);
    if session.is_offline() {
        return Err(Error::Offline { what: "list models" });
    }
    Ok(session.hub(cwd)?.top_models(count, filters)?)
}

/// Returns the models of a list that a run would do.
///
/// # Errors
/// [`Error::NoJournal`], [`Error::Io`], [`Error::Interrupted`]
pub fn pending(options: &Options, items: Vec<Item>, reporter: &dyn Reporter) -> Result<Vec<Item>, Error> {
    left(options, items, &Known::read(&options.journal)?, reporter)
}

/// Converts the models of a list that are not done, each independently.
///
/// # Errors
/// [`Error::Unpublished`] without a token, [`Error::BatchRunning`], [`Error::NoJournal`], [`Error::Io`],
/// [`Error::Interrupted`], all before the first model. A later error that stops the run is in the [`BatchSummary`].
pub fn run(options: &Options, items: Vec<Item>, progress: &dyn Progress) -> Result<BatchSummary, Error> {
    if options.publish && items.iter().any(|item| item.hub.is_some()) {
        check_token(&options.servers)?;
    }
    let mut journal = BatchJournal::open(&options.journal)?;
    let temporary = Temporary::of(options);
    temporary.sweep();
    let listed = items.len();
    let reporter = progress.reporter();
    let items = left(options, items, &journal.known, reporter)?;
    let mut summary = BatchSummary { done: listed - items.len(), ..BatchSummary::default() };
    progress.listed(items.len(), summary.done, journal.torn);
    for (at, item) in items.iter().enumerate() {
        let finished = if reporter.is_interrupted() {
            Err(Error::Interrupted)
        } else {
            progress.begun(at + 1, item);
            let before = journal.known.of(item).and_then(converted_at);
            patiently(reporter, || model::work(options, item, before, &temporary, reporter))
        };
        reporter.finished();
        let finished = finished.and_then(|record| journal.append(record.clone()).map(|()| record));
        match finished {
            Ok(record) => {
                progress.ended(at + 1, &record);
                summary.records.push(record);
            }
            Err(error) => {
                summary.left = items.len() - at;
                summary.stopped = Some(error);
                break;
            }
        }
    }
    // A git process of a killed run may have outlived it, and written files after the first sweep.
    temporary.sweep();
    Ok(summary)
}

/// Returns the items that are not done.
fn left(
    options: &Options,
    items: Vec<Item>,
    known: &Known,
    reporter: &dyn Reporter,
) -> Result<Vec<Item>, Error> {
    let mut left = Vec::with_capacity(items.len());
    for item in items {
        let is_done = match known.of(&item) {
            Some(record) if is_done(options, record) => {
                !options.update || !has_moved(options, &item, record, reporter)?
            }
            _ => false,
        };
        if !is_done {
            left.push(item);
        }
    }
    reporter.finished();
    Ok(left)
}

/// Returns `true` if the record shows that nothing is to be done.
fn is_done(options: &Options, record: &Record) -> bool {
    let has_output = record.files.iter().any(|file| file.output.is_some());
    if options.publish && record.published.is_none() && has_output {
        return false;
    }
    match record.status {
        // The files of a temporary clone are gone.
        ModelStatus::Converted => record.dir.is_some() || options.dir.is_none(),
        ModelStatus::NothingToDo => {
            !(options.force && record.files.iter().any(|file| file.status == "up-to-date"))
        }
        ModelStatus::Skipped => options.max_size.zip(record.size).is_some_and(|(most, size)| size > most),
        ModelStatus::Refused | ModelStatus::Failed => false,
    }
}

/// Returns the commit of the existing files, if all checkpoints were converted.
fn converted_at(record: &Record) -> Option<&str> {
    let is_whole = matches!(record.status, ModelStatus::Converted | ModelStatus::NothingToDo);
    record.commit.as_deref().filter(|_| is_whole)
}

/// Returns `true` if the remote has another commit than the converted one. If the remote does not respond, the clone
/// contacts it again.
fn has_moved(
    options: &Options,
    item: &Item,
    record: &Record,
    reporter: &dyn Reporter,
) -> Result<bool, Error> {
    match clone::tip(&options.clone_of(item, None), reporter) {
        Ok(tip) => Ok(tip != record.commit),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(_) => Ok(true),
    }
}

impl Options {
    /// Returns the options of a model's clone.
    fn clone_of(&self, item: &Item, dir: Option<PathBuf>) -> clone::Options {
        clone::Options {
            cwd: self.cwd.clone(),
            model: item.model.clone(),
            dir,
            revision: item.revision.clone(),
            depth: None,
            servers: self.servers.clone(),
        }
    }
}

/// The directory of temporary clones, each with a name that identifies its journal: only the run with the lock on that
/// journal creates and removes them.
struct Temporary {
    parent: PathBuf,
    prefix: String,
}

impl Temporary {
    fn of(options: &Options) -> Self {
        let journal = options.journal.canonicalize().unwrap_or_else(|_| options.journal.clone());
        let name = Oid::of(journal.as_os_str().as_encoded_bytes()).to_string();
        let prefix = format!("st-convert-{}-", name.get(..16).unwrap_or(&name));
        Self { parent: options.cwd.join(&options.temp), prefix }
    }

    /// Removes the clones of a killed run with the same journal, as far as possible.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.parent).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().as_encoded_bytes().starts_with(self.prefix.as_bytes());
            if is_ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let _left_for_the_next = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn make(&self) -> Result<tempfile::TempDir, Error> {
        let made = tempfile::Builder::new().prefix(&self.prefix).tempdir_in(&self.parent);
        made.map_err(Error::io("make a directory in", &self.parent))
    }
}
