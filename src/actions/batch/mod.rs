//! Many models, one after the other: each is cloned without its weights, converted, and written down.
//!
//! ```text
//! list      which models, each once, and which of them are for this shard
//! journal   what is finished, on the disk before the next is begun
//! model     one of them: a place, a clone, the conversion, the publication
//! existing_clone  a clone of an earlier run, at the commit that the remote has now
//! failure   what kept a model from being done
//! patience  a pause of the whole, for a server that wants to be asked less often
//! ```
//!
//! A model is done if it was converted, or if there was nothing to do; a model that was refused or failed is tried again by the
//! next run, one that was skipped for its size only if that is allowed then. A done model is known by its URL and revision, and
//! is not asked for again; with [`Options::update`] its server is asked which commit it has, and it is done again if that is
//! another one.
//!
//! Invariants: a bad model stops no other; a finished model is never lost; a temporary clone is gone when its model is
//! finished, and what a kill left of one is removed by the next run with the same journal.

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

/// How a batch is done.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command line")]
pub struct Options {
    /// The directory that relative paths start from.
    pub cwd: PathBuf,
    /// How servers are asked.
    pub servers: Servers,
    /// Where the clones are kept, each below its owner; `None`: each is temporary.
    pub dir: Option<PathBuf>,
    /// Where temporary clones are made.
    pub temp: PathBuf,
    /// The journal.
    pub journal: PathBuf,
    /// Where safetensors may come from; by default what the configuration says.
    pub pr: Option<Choice>,
    /// Convert although the safetensors file exists.
    pub force: bool,
    /// Refuse where something beside the weights would be dropped.
    pub strict: bool,
    /// The most bytes of tensors that a checkpoint may have.
    pub max_output: Option<u64>,
    /// Leave pointers in the work trees.
    pub pointer_only: bool,
    /// Publish each model that has safetensors files then.
    pub publish: bool,
    /// Skip models whose checkpoints are larger together, in bytes.
    pub max_size: Option<u64>,
    /// Ask again for models that are done.
    pub update: bool,
}

/// What became of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelStatus {
    /// Every checkpoint is converted.
    Converted,
    /// It holds no checkpoint, or none that is not converted already.
    NothingToDo,
    /// It is larger than was asked for.
    Skipped,
    /// A checkpoint cannot be converted for what it holds. Exit 1.
    Refused,
    /// The work could not be done. Exit 2.
    #[default]
    Failed,
}

/// A model that is finished: a line of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "model")]
pub struct Record {
    /// As the list has it, without a password.
    pub model: String,
    /// Where it is.
    pub url: String,
    /// The revision that the list names.
    #[serde(default)]
    pub revision: Option<String>,
    /// The commit that was converted.
    #[serde(default)]
    pub commit: Option<String>,
    /// What became of it.
    pub status: ModelStatus,
    /// Why not.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// The same in full. May hold text of a server: escape it for a terminal.
    #[serde(default)]
    pub reason: Option<String>,
    /// The size of its checkpoints in bytes, as their pointers say it.
    #[serde(default)]
    pub size: Option<u64>,
    /// Where its clone is kept.
    #[serde(default)]
    pub dir: Option<String>,
    /// Its files.
    #[serde(default)]
    pub files: Vec<FileRecord>,
    /// When it was finished, RFC 3339.
    #[serde(default)]
    pub finished_at: String,
    /// What became of its publication.
    #[serde(default)]
    pub published: Option<Publication>,
}

/// What became of the publication of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// `opened`, `exists`, `pushed`, or `nothing` where the remote has all of it.
    pub status: String,
    /// The number of the pull request.
    pub number: Option<u64>,
    /// Where a person finds it.
    pub url: Option<String>,
    /// The reference of the remote that has it.
    pub reference: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
}

/// A checkpoint of a model, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The checkpoint; `None` for a file of a pull request.
    pub source: Option<String>,
    /// The safetensors file.
    pub output: Option<String>,
    /// As a conversion says it; `pulled` for a file of a pull request.
    pub status: String,
    /// Of the safetensors file.
    pub oid: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Of the checkpoint.
    pub source_oid: Option<String>,
    /// Why it was skipped, refused or failed.
    pub reason: Option<String>,
}

/// What a batch tells while it runs, beside what its actions do.
pub trait Progress: Reporter {
    /// What is known before the first model: how many there are to do, how many are done already, and how many bytes of
    /// the journal were cut off because a kill had torn the last line.
    fn listed(&self, left: usize, done: usize, torn: usize);

    /// A model is begun, number `at` of those to do.
    fn begun(&self, at: usize, item: &Item);

    /// A model is finished, and in the journal.
    fn ended(&self, at: usize, record: &Record);
}

/// How a batch ended.
#[derive(Debug, Default)]
pub struct BatchSummary {
    /// What this run finished, in order.
    pub records: Vec<Record>,
    /// How many models were done before.
    pub done: usize,
    /// How many are left because something stopped the run.
    pub left: usize,
    /// What that was.
    pub stopped: Option<Error>,
}

impl BatchSummary {
    /// The causes of what was not done, and the models of each.
    pub fn causes(&self) -> BTreeMap<Cause, Vec<&Record>> {
        let mut causes: BTreeMap<Cause, Vec<&Record>> = BTreeMap::new();
        for record in &self.records {
            if let Some(cause) = record.cause {
                causes.entry(cause).or_default().push(record);
            }
        }
        causes
    }

    /// How many models this run finished with this status.
    pub fn count(&self, status: ModelStatus) -> usize {
        self.records.iter().filter(|record| record.status == status).count()
    }
}

/// The names of the models of the Hub that were downloaded most, of those with all of these tags.
///
/// # Errors
/// [`Error::Offline`], or what the server makes of it.
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

/// The models of a list that a run would do.
///
/// # Errors
/// [`Error::NoJournal`], [`Error::Io`], [`Error::Interrupted`]
pub fn pending(options: &Options, items: Vec<Item>, reporter: &dyn Reporter) -> Result<Vec<Item>, Error> {
    left(options, items, &Known::read(&options.journal)?, reporter)
}

/// Does the models of a list that are not done, each for itself.
///
/// # Errors
/// [`Error::Unpublished`] without a token, [`Error::BatchRunning`], [`Error::NoJournal`], [`Error::Io`], [`Error::Interrupted`]: what comes before the first model. What
/// stops the run later is in the [`BatchSummary`].
pub fn run(options: &Options, items: Vec<Item>, progress: &dyn Progress) -> Result<BatchSummary, Error> {
    if options.publish && items.iter().any(|item| item.hub.is_some()) {
        check_token(&options.servers)?;
    }
    let mut journal = BatchJournal::open(&options.journal)?;
    let temporary = Temporary::of(options);
    temporary.sweep();
    let listed = items.len();
    let items = left(options, items, &journal.known, progress)?;
    let mut summary = BatchSummary { done: listed - items.len(), ..BatchSummary::default() };
    progress.listed(items.len(), summary.done, journal.torn);
    for (at, item) in items.iter().enumerate() {
        let finished = if progress.is_interrupted() {
            Err(Error::Interrupted)
        } else {
            progress.begun(at + 1, item);
            let before = journal.known.of(item).and_then(converted_at);
            patiently(progress, || model::work(options, item, before, &temporary, progress))
        };
        progress.finished();
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
    // A git that a killed run had started may have outlived it, and written where the first sweep had been.
    temporary.sweep();
    Ok(summary)
}

/// The items that are not done.
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

/// Returns `true` if there is nothing to be done of a model of which this is known.
fn is_done(options: &Options, record: &Record) -> bool {
    let has_output = record.files.iter().any(|file| file.output.is_some());
    if options.publish && record.published.is_none() && has_output {
        return false;
    }
    match record.status {
        // What a temporary clone held is gone.
        ModelStatus::Converted => record.dir.is_some() || options.dir.is_none(),
        ModelStatus::NothingToDo => {
            !(options.force && record.files.iter().any(|file| file.status == "up-to-date"))
        }
        ModelStatus::Skipped => options.max_size.zip(record.size).is_some_and(|(most, size)| size > most),
        ModelStatus::Refused | ModelStatus::Failed => false,
    }
}

/// The commit that what is here was converted from, if all of it was.
fn converted_at(record: &Record) -> Option<&str> {
    let is_whole = matches!(record.status, ModelStatus::Converted | ModelStatus::NothingToDo);
    record.commit.as_deref().filter(|_| is_whole)
}

/// Returns `true` if the remote has another commit than the one that was converted. One that does not answer is asked again by the clone.
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
    /// How a model is cloned.
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

/// Where temporary clones are made, each in a directory of its own whose name says which journal it belongs to: only the
/// run that holds that journal's lock makes and removes them.
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

    /// Removes what a killed run with the same journal left, as far as that can be done.
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
