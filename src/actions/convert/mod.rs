//! Converts checkpoints: selects the files, determines their order, and finishes the run.
//!
//! ```text
//! select       selects files by content: all files of the index, or the named ones
//! sets         groups files into units: a single file, or the shards of a sharded checkpoint
//! decide       decides once per unit: keep, take, preview, check again, convert or refuse
//! unit         carries the decision out
//! plan         makes all decisions about a file before anything is written
//! job          converts a file: plan, ties, layout, and then the pass over its bytes
//! index        compares the shard index of a sharded checkpoint with its shards, and creates the new one
//! output       checks the existing file at the path of an output
//! make         writes and checks a file that has no name yet, without a repository: `pass` does it during the
//!              download, `finished` with a shard of an earlier run
//! stage        gives the objects, the working-tree files and `.gitattributes` their names, and writes the index once
//! take         takes existing outputs into the commit, and as replacements of their checkpoints; `removal` decides
//!              from where those are removed
//! ledger       records the result of each file, the only record besides the files
//! adopt        adopts identical files that another author has committed; `commit` commits the others
//! left_alone   notes the checkpoints that the user did not name and may miss
//! leftover     removes what a killed run with `--replace` left; `finish` commits what one with `--commit` did not
//! run          loops over the units
//! together     converts checkpoints on several threads, and plans and stages them one after the other
//! single_file  converts plain files, and changes no repository
//! ```
//!
//! Invariant: a unit is done completely or not at all, and a unit that fails does not stop others.

mod adopt;
mod commit;
mod copier;
mod decide;
mod finish;
mod finished;
mod follower;
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

use super::jobs::Jobs;
use super::lfs_remote::Server;
use super::meant::Meant;
use super::output_state::OutputStates;
use super::workspace::Workspace;
use super::{Error, Outcome, Reporter, Servers};
use crate::lfs::{Pointer, Store};
use crate::repo::Repo;
use crate::size::Size;

pub use adopt::{Adopt, Adopted};
use decide::Choice;

/// The files to convert, and the options of the conversion.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command line")]
pub struct Options {
    /// The directory that relative paths start from, and from which a repository is searched.
    pub cwd: PathBuf,
    /// The files; if empty, every file of the index that contains PyTorch weights.
    pub paths: Vec<OsString>,
    /// Report the files that would be written, and write nothing.
    pub dry_run: bool,
    /// Write to this path, or below it if it is a directory or several files are converted, and change no repository.
    pub output: Option<PathBuf>,
    /// Convert even if the safetensors file exists.
    pub force: bool,
    /// The dotted path of the state dict to convert.
    pub key: Option<String>,
    /// The names to keep of groups of tied tensors.
    pub keep: Vec<String>,
    /// Refuse a checkpoint that contains anything besides weights.
    pub strict: bool,
    /// Remove the checkpoints and their shard index from the index and the working tree.
    pub replace: bool,
    /// Leave a pointer in the working tree.
    pub pointer_only: bool,
    /// Also keep the downloaded checkpoint in LFS storage.
    pub keep_source: bool,
    /// Also hash the source and the output of a plain file. In a repository both are always hashed.
    pub sha256: bool,
    /// The maximum total size of the tensors of a checkpoint, which replaces the limit by the size of the checkpoint.
    pub max_output: Option<u64>,
    /// The options of servers, which are contacted for content that is not local.
    pub servers: Servers,
    /// The number of files that are converted at once; by default as many as the machine can.
    pub jobs: Option<usize>,
    /// Commit the result with this message; the inner `None` means the default one.
    pub commit: Option<Option<String>>,
}

/// The results for all files.
#[derive(Debug, Default)]
pub struct Summary {
    /// Every file, in the order in which it was finished. Each was also reported.
    pub outcomes: Vec<Outcome>,
    /// `true` if any file was staged, and a commit would contain it.
    pub staged: bool,
    /// The new commit.
    pub commit: Option<String>,
    /// `true` if the conversion ran in a repository.
    pub in_repository: bool,
    /// The number of checkpoints that notes named and the run did not convert: untracked ones, those outside a sparse
    /// checkout, and those of submodules.
    pub left_alone: usize,
}

/// Converts checkpoints. A file that fails does not stop the others.
///
/// # Errors
/// An [`Error`] that stops the whole run: no repository, git, the index. An error of one file is in its [`Outcome`].
pub fn convert(options: &Options, reporter: &dyn Reporter) -> Result<Summary, Error> {
    convert_adopting(options, None, reporter)
}

/// Does the same as [`convert`], and lets `adopt` search for a commit with the same files before it commits anything.
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
        // A signal to the process group also ends git, so an interruption counts as one, whatever error git reports.
        Err(_) if reporter.is_interrupted() => Err(Error::Interrupted),
        done => done,
    }
}

/// Completes the options by the configuration, for those that the command line leaves open: `st-convert.keepSource`,
/// `st-convert.jobs`, `st-convert.maxOutput`.
fn configured(repo: Option<&Repo>, options: &Options) -> Result<Options, Error> {
    const KEEP_SOURCE: &str = "st-convert.keepSource";
    const MAX_OUTPUT: &str = "st-convert.maxOutput";
    let mut options = options.clone();
    let Some(repo) = repo else { return Ok(options) };
    match (repo.config_bool(KEEP_SOURCE), repo.config_str(KEEP_SOURCE)) {
        (None, Some(value)) => return Err(Error::Setting { key: KEEP_SOURCE, value }),
        (keeps, _) => options.keep_source |= keeps == Some(true),
    }
    if options.jobs.is_none() {
        options.jobs = Jobs::configured(repo)?;
    }
    if let (None, Some(value)) = (options.max_output, repo.config_str(MAX_OUTPUT)) {
        let size = value.to_str().ok().and_then(|text| text.parse::<Size>().ok());
        options.max_output = Some(size.ok_or(Error::Setting { key: MAX_OUTPUT, value })?.0);
    }
    Ok(options)
}

/// The state that every step of a run reads, and none changes.
#[derive(Clone, Copy)]
struct Context<'a> {
    workspace: &'a Workspace<'a>,
    options: &'a Options,
    states: &'a OutputStates<'a>,
    meant: &'a Meant,
    /// The decision about the current unit.
    choice: &'a Choice,
}

impl<'a> Context<'a> {
    fn repo(self) -> &'a Repo {
        self.workspace.repo
    }

    fn reporter(self) -> &'a dyn Reporter {
        self.workspace.session.reporter
    }

    /// Returns the parts that are needed to make files, with the server if one is already known.
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

/// The parts that are needed to make a file. They do not include the repository, because it belongs to one thread.
struct Maker<'a> {
    store: Store,
    work_dir: &'a Path,
    server: Option<&'a Server<'a>>,
    options: &'a Options,
    reporter: &'a dyn Reporter,
}

impl<'a> Maker<'a> {
    /// Returns the server that has an LFS object.
    fn server_for(&self, Pointer { oid, size }: Pointer) -> Result<&'a Server<'a>, Error> {
        self.server.ok_or(Error::NoObject { oid, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shards can be made on several threads: each plan moves to another thread, and the maker is shared.
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
