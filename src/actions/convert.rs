//! Converting checkpoints: which files, in which order, and what stands at the end.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Error, Outcome, Reporter};

/// What to convert, and how.
#[derive(Debug, Clone, Default)]
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
    let _ = (options, reporter);
    Err(Error::NoRepository)
}
