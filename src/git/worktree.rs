//! Compares a file of the working tree with the index by git, which knows the line ends, encodings and filters of a path.
//!
//! Invariant: the index is not written, and no filter of Git LFS runs.

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
    let command = local(git, "diff").env("GIT_OPTIONAL_LOCKS", "0").args(quiet).args([literal(path)]);
    let command = command.config("filter.lfs.required", "false");
    let command = ["process", "clean"]
        .iter()
        .fold(command, |command, filter| command.config(&format!("filter.lfs.{filter}"), ""));
    Ok(command.run_optional()?.is_none())
}
