//! Converts checkpoints: selects the files, determines their order, and finishes the run.
//!
//! ```text
//! select       which files of the index, or which named ones, by what their content says
//! sets         units: a file, or the shards of a set
//! decide       what is to be done with a unit: keep, preview, recheck, convert, refuse; decided once
//! unit         does it
//! plan         what is decided before anything is written
//! job          plan, ties, layout; then the pass over the bytes
//! index        the index of a set against its shards, and the new one
//! output       what stands already where a safetensors file goes
//! make         a file is written and proven, without a name; knows no repository: `pass` while it is downloaded,
//!              `finished` a shard of an earlier run
//! stage        names for objects, work-tree files and `.gitattributes`, and one index write
//! take         what is there already, into the commit and in the place of its checkpoints; `removal` from where they go
//! ledger       what became of each file: all that is written down beside them
//! adopt        what was committed already by somebody else; `commit` else
//! left_alone   what nobody named, and what a user would miss
//! leftover     what a killed run with `--replace` did not remove; `finish` what one with `--commit` did not commit
//! run          the loop over units
//! together     checkpoints side by side: planned and staged one after the other, made on several threads
//! single_file  one file becomes another, and no repository is touched
//! ```
//!
//! Invariant: a unit is done completely or not at all, and a unit that fails does not stop others.

mod adopt;
mod commit;
mod decide;
mod finish;
mod finished;
mod index;
mod job;
mod keep;
mod ledger;
mod left_alone;
mod leftover;
mod make;
mod output;
mod pass;
mod plan;
mod product;
mod removal;
mod run;
mod select;
mod sets;
mod plain_files;
mod single_file;
mod stage;
mod take;
mod together;
mod unit;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bstr::ByteSlice as _;

use super::lfs_remote::Server;
use super::meant::Meant;
use super::output_state::OutputStates;
use super::workspace::Workspace;
use super::{Error, Outcome, Reporter, Servers, Size};
use crate::lfs::{Pointer, Store};
use crate::repo::Repo;

pub use adopt::{Adopt, Adopted};
use decide::Choice;

/// What to convert, and how.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command line")]
pub struct Options {
    /// The directory that relative paths start from, and in which a repository is looked for.
    pub cwd: PathBuf,
    /// The files; empty: every file of the index that holds torch weights.
    pub paths: Vec<OsString>,
    /// Say what would be written, and write nothing.
    pub dry_run: bool,
    /// Write there, or below there if it is a directory or several files are converted, and touch no repository.
    pub output: Option<PathBuf>,
    /// Convert although the safetensors file exists.
    pub force: bool,
    /// The dotted path of the dict to take.
    pub key: Option<String>,
    /// Names of tied sets to keep.
    pub keep: Vec<String>,
    /// Refuse where something beside the weights would be dropped.
    pub strict: bool,
    /// Remove the checkpoints and their shard index from the index and the work tree.
    pub replace: bool,
    /// Leave a pointer in the work tree.
    pub pointer_only: bool,
    /// Store the downloaded checkpoint, too.
    pub keep_source: bool,
    /// Hash the source and the output of a plain file, too. In a repository both always are.
    pub sha256: bool,
    /// The tensors of a checkpoint may have so many bytes together, whatever it has itself.
    pub max_output: Option<u64>,
    /// How servers are asked for what is not here.
    pub servers: Servers,
    /// How many files are converted at once; by default as many as the machine can.
    pub jobs: Option<usize>,
    /// Commit the result: the message, or `None` inside for the default one.
    pub commit: Option<Option<String>>,
}

/// What became of all files.
#[derive(Debug, Default)]
pub struct Summary {
    /// Every file, in the order in which it was done. Each was told to the reporter, too.
    pub outcomes: Vec<Outcome>,
    /// `true` if anything was staged.
    pub staged: bool,
    /// The commit that was made.
    pub commit: Option<String>,
    /// `true` if it was run in a repository.
    pub in_repository: bool,
    /// How many checkpoints git does not track, as far as they were looked for.
    pub untracked: usize,
}

/// Converts. One bad file stops no other.
///
/// # Errors
/// [`Error`] for what stops the whole: no repository, git, the index. What stops one file is in its
/// [`Outcome`].
pub fn convert(options: &Options, reporter: &dyn Reporter) -> Result<Summary, Error> {
    convert_adopting(options, None, reporter)
}

/// The same, and before anything is committed `adopt` may find that somebody has.
///
/// # Errors
/// As [`convert`].
pub fn convert_adopting(
    options: &Options,
    adopt: Option<&dyn Adopt>,
    reporter: &dyn Reporter,
) -> Result<Summary, Error> {
    if options.output.is_some() && options.paths.is_empty() {
        return Err(Error::OutputWithoutPath);
    }
    let switches = [
        (options.replace, "--replace"),
        (options.commit.is_some(), "--commit"),
        (options.pointer_only, "--pointer-only"),
    ];
    let unplaced = switches.into_iter().find_map(|(is_set, option)| is_set.then_some(option));
    let found = Repo::discover(&options.cwd)?;
    let options = &configured(found.as_ref(), options)?;
    let done = match found {
        Some(repo) if options.output.is_none() => run::convert(&repo, options, adopt, reporter),
        _ if unplaced.is_some() => Err(Error::NeedsRepository { option: unplaced.unwrap_or_default() }),
        repo if !options.paths.is_empty() => single_file::convert(repo.as_ref(), options, reporter),
        _ => Err(Error::NoRepository),
    };
    match done {
        // A signal to the group ends git too, and an interruption is one whatever git made of it.
        Err(_) if reporter.is_interrupted() => Err(Error::Interrupted),
        done => done,
    }
}

/// The options with what the configuration says where the command line says nothing: `st-convert.keepSource`,
/// `st-convert.jobs`, `st-convert.maxOutput`.
fn configured(repo: Option<&Repo>, options: &Options) -> Result<Options, Error> {
    const MAX_OUTPUT: &str = "st-convert.maxOutput";
    let mut options = options.clone();
    let Some(repo) = repo else { return Ok(options) };
    options.keep_source |= repo.config_bool("st-convert.keepSource") == Some(true);
    let jobs = || repo.config_str("st-convert.jobs")?.to_str().ok()?.parse().ok();
    options.jobs = options.jobs.or_else(jobs);
    if let (None, Some(value)) = (options.max_output, repo.config_str(MAX_OUTPUT)) {
        let size = value.to_str().ok().and_then(|text| text.parse::<Size>().ok());
        options.max_output = Some(size.ok_or(Error::Setting { key: MAX_OUTPUT, value })?.0);
    }
    Ok(options)
}

/// What every step of a run looks at, and none changes.
#[derive(Clone, Copy)]
struct Context<'a> {
    workspace: &'a Workspace<'a>,
    options: &'a Options,
    states: &'a OutputStates<'a>,
    meant: &'a Meant,
    /// What was decided of the unit that is done.
    choice: &'a Choice,
}

impl<'a> Context<'a> {
    fn repo(self) -> &'a Repo {
        self.workspace.repo
    }

    fn reporter(self) -> &'a dyn Reporter {
        self.workspace.session.reporter
    }

    /// What is needed to make files, with the server if one was found by now.
    fn maker(self) -> Maker<'a> {
        Maker {
            store: self.repo().store(),
            work_dir: self.repo().work_dir(),
            server: self.workspace.remote.found(),
            options: self.options,
            reporter: self.reporter(),
        }
    }
}

/// What is needed to make a file. A repository is of one thread, and is not in it.
struct Maker<'a> {
    store: Store,
    work_dir: &'a Path,
    server: Option<&'a Server<'a>>,
    options: &'a Options,
    reporter: &'a dyn Reporter,
}

impl<'a> Maker<'a> {
    /// The server that has an object.
    fn server_for(&self, Pointer { oid, size }: Pointer) -> Result<&'a Server<'a>, Error> {
        self.server.ok_or(Error::NoObject { oid, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shards can be made side by side: what is planned goes to another thread, and what makes it is shared.
    #[test]
    fn making_is_of_any_thread() {
        fn shared<T: Sync>() {}
        fn sent<T: Send>() {}
        shared::<Maker<'static>>();
        sent::<Maker<'static>>();
        sent::<plan::Planned>();
        sent::<product::Product>();
    }
}
