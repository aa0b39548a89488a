//! Merges a commit into the branch of `HEAD` by git, so that its hooks, its reflog and its protection of local changes
//! work as usual.
//!
//! Invariant: no filter of Git LFS runs, so files under Git LFS arrive as pointers; and a merge that fails leaves the
//! repository unchanged.

use bstr::{BString, ByteSlice as _};

use super::clone::without_lfs;
use super::command::Git;
use super::error::Error;
use super::network::Network;

/// How a commit is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge<'a> {
    /// The branch moves to it; an error if that is not possible.
    FastForward,
    /// A merge commit with this message.
    Join(&'a str),
}

/// Merges the commit that `rev` names.
///
/// # Errors
/// [`Error::InTheWay`], [`Error::Conflict`], or as any command.
pub fn merge(git: &Git<'_>, network: &Network<'_>, rev: &str, how: Merge<'_>) -> Result<(), Error> {
    let command = without_lfs(git.command("merge")).config("advice.diverging", "false");
    // Rename detection would fetch many blobs in one request.
    let command = command.config("merge.renames", "false").args([
        "--quiet",
        "--no-stat",
        "--no-edit",
        "--no-autostash",
    ]);
    let command = match how {
        Merge::FastForward => command.args(["--ff-only"]),
        Merge::Join(message) => command.args(["--no-ff", "-m", message]),
    };
    match network.run(command.args(["--end-of-options", rev]), "") {
        Ok(_) => Ok(()),
        Err(Error::Failed { stderr, .. }) if stderr.0.contains("would be overwritten by merge") => {
            let lines = stderr.0.lines().filter_map(|line| line.strip_prefix('\t'));
            Err(Error::InTheWay { paths: lines.map(BString::from).collect() })
        }
        Err(error) => match how {
            Merge::FastForward => Err(error),
            Merge::Join(_) => Err(give_up(git, error)),
        },
    }
}

/// Aborts a merge that stopped at conflicts, if it did.
fn give_up(git: &Git<'_>, error: Error) -> Error {
    let unmerged = git.command("diff").args(["--name-only", "--diff-filter=U", "-z"]).run();
    let paths: Vec<BString> = match &unmerged {
        Ok(answer) => {
            answer.stdout.split_str("\0").filter(|path| !path.is_empty()).map(BString::from).collect()
        }
        Err(_) => Vec::new(),
    };
    if paths.is_empty() {
        return error;
    }
    match without_lfs(git.command("merge")).args(["--abort"]).run() {
        Ok(_) => Error::Conflict { paths },
        Err(error) => error,
    }
}
