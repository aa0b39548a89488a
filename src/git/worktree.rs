//! Compares a file of the working tree with the index by git, which knows the line ends, encodings and filters of a path.
//!
//! Invariant: no filter of Git LFS runs. As each `git diff`, it writes newer stat data into the index, unless another
//! process holds the lock, where only these changed: the setting that prevents this also makes such a file a changed one.

use bstr::BStr;

use super::command::Git;
use super::error::Error;
use super::history::local;
use super::pathspec::literal;

/// Returns `true` if the file at a path from the top differs from its entry in the index.
///
/// # Errors
/// As any command.
pub fn is_modified(git: &Git<'_>, path: &BStr) -> Result<bool, Error> {
    let quiet = ["--quiet", "--no-ext-diff", "--no-textconv", "--ignore-submodules", "--"];
    let command = local(git, "diff").args(quiet).args([literal(path)]);
    let command = command.config("filter.lfs.required", "false");
    let command = ["process", "clean"]
        .iter()
        .fold(command, |command, filter| command.config(&format!("filter.lfs.{filter}"), ""));
    Ok(command.run_optional()?.is_none())
}
