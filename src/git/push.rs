//! Creates a commit on top of another, without index and working tree, and pushes it.
//!
//! Invariants: the hooks of a push run, because that of git-lfs uploads missing objects; a reference only moves
//! forward; no blob is fetched for a tree.

use std::path::Path;

use super::command::{Git, Output};
use super::commit::object_name;
use super::error::Error;
use super::fetch::Remote;
use super::network::Network;

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path from the top, with `/` between its parts.
    pub path: Vec<u8>,
    /// Its blob.
    pub id: String,
    /// `true` if it is executable.
    pub executable: bool,
}

/// Commits the tree of `base` with these files, and returns the commit. `index` is a file that does not exist yet.
///
/// # Errors
/// [`Error::Failed`], mostly because the author is not configured.
pub fn commit_on(
    git: &Git<'_>,
    index: &Path,
    base: &str,
    files: &[File],
    message: &str,
) -> Result<String, Error> {
    let with_index = |subcommand: &str| git.command(subcommand).env("GIT_INDEX_FILE", index);
    with_index("read-tree").args(["--end-of-options", base]).run()?;
    let mut lines = Vec::new();
    for File { path, id, executable } in files {
        let mode = if *executable { "100755" } else { "100644" };
        lines.extend_from_slice(format!("{mode} {id}\t").as_bytes());
        lines.extend_from_slice(path);
        lines.push(0);
    }
    with_index("update-index").args(["-z", "--index-info"]).input(lines).run()?;
    // The server has the blobs that a partial clone left out.
    let tree = with_index("write-tree").args(["--missing-ok"]).run()?;
    let tree = tree.text().to_owned();
    let committed = git.command("commit-tree").args(["-p", base, "-F", "-", &tree]).input(message).run()?;
    object_name("commit-tree", &committed)
}

/// Moves a reference of a remote forward to a commit, or creates it. Returns the messages of the server.
///
/// # Errors
/// As [`Network::run`].
pub fn push(
    git: &Git<'_>,
    network: &Network<'_>,
    remote: &Remote,
    commit: &str,
    reference: &str,
) -> Result<Output, Error> {
    let command = git.command("push").args(["--quiet", "--no-follow-tags", "--recurse-submodules=no"]);
    // git refuses to push a single reference to a mirror.
    let command = command.config(&format!("remote.{}.mirror", remote.name), "false");
    let spec = format!("{commit}:{reference}");
    remote.ask(network, command.args(["--end-of-options", &remote.name, &spec]))
}
