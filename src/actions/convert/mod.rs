//! Converting checkpoints: which files, in which order, and what stands at the end.
//!
//! ```text
//! select      which files of the index, or which named ones, by what their content says
//! sets        the shards of a set are put together
//! job         plan, ties, layout; then the pass over the bytes
//! planning    what is decided before anything is written
//! repository  a unit (a file, or a sharded set) is planned, written and published, or told why not
//! index       the index of a set against its shards, and the new one
//! whole       a shard that is converted and waits for the others
//! existing    what stands already where a safetensors file goes
//! leftover    what a killed run with `--replace` did not remove
//! there       the same for what is on the LFS server alone: `pass` while it is downloaded
//! publish     names for objects, work-tree files and `.gitattributes`, and one index write
//! plain       one file becomes another, and no repository is touched
//! ```
//!
//! Invariant: a unit is done whole or not at all, and a unit that fails stops no other.

mod adopt;
mod commit;
mod existing;
mod hashing;
mod index;
mod job;
mod ledger;
mod leftover;
mod pass;
mod plain;
mod planning;
mod publish;
mod repository;
mod select;
mod sets;
mod there;
mod whole;

use std::ffi::OsString;
use std::path::PathBuf;

use bstr::ByteSlice as _;

use super::{Error, Outcome, Reporter, Servers, Size};
use crate::repo::Repo;

pub use adopt::{Adopt, Adopted};

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
    /// Write there, and touch no repository.
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
    /// The tensors of a checkpoint may have so many bytes together, whatever it has itself.
    pub max_output: Option<u64>,
    /// How servers are asked for what is not here.
    pub servers: Servers,
    /// Commit the result: the message, or `None` inside for the default one.
    pub commit: Option<Option<String>>,
}

/// What became of all files.
#[derive(Debug, Default)]
pub struct Summary {
    /// Every file, in the order in which it was done. Each was told to the reporter, too.
    pub outcomes: Vec<Outcome>,
    /// Was anything staged?
    pub staged: bool,
    /// The commit that was made.
    pub commit: Option<String>,
    /// Was it run in a repository?
    pub in_repository: bool,
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
    if let (Some(_), count) = (&options.output, options.paths.len())
        && count != 1
    {
        return Err(Error::OneOutput { count });
    }
    let switches = [
        (options.replace, "--replace"),
        (options.commit.is_some(), "--commit"),
        (options.pointer_only, "--pointer-only"),
    ];
    let unplaced = switches.into_iter().find_map(|(is_set, option)| is_set.then_some(option));
    let found = Repo::discover(&options.cwd)?;
    let options = &configured(found.as_ref(), options)?;
    match found {
        Some(repo) if options.output.is_none() => repository::convert(&repo, options, adopt, reporter),
        _ if unplaced.is_some() => Err(Error::NeedsRepository { option: unplaced.unwrap_or_default() }),
        repo if !options.paths.is_empty() => plain::convert(repo.as_ref(), options, reporter),
        _ => Err(Error::NoRepository),
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
    let settings = &mut options.servers.settings;
    settings.connections = settings.connections.or_else(jobs);
    if let (None, Some(value)) = (options.max_output, repo.config_str(MAX_OUTPUT)) {
        let size = value.to_str().ok().and_then(|text| text.parse::<Size>().ok());
        options.max_output = Some(size.ok_or(Error::Setting { key: MAX_OUTPUT, value })?.0);
    }
    Ok(options)
}
