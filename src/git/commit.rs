//! Makes commits by git, so that hooks and signing run, and runs the few commands that build a small repository.
//!
//! Invariant: [`commit`] commits exactly the given index; nothing is read from the working tree, so no clean filter
//! runs. `git commit --only <path>` would be the usual way to leave other staged changes out, but it rebuilds its index
//! and sends each new file through the filter again.

use std::path::Path;

use super::command::{Git, Output};
use super::error::Error;

/// The author of a commit, if the configuration need not name one.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// `user.name`
    pub name: &'a str,
    /// `user.email`
    pub email: &'a str,
}

/// Commits the index file at `index`, or git's own, with hooks, signing and the identity of the configuration. Returns
/// the new commit, and the output of git and the hooks.
///
/// # Errors
/// [`Error::Failed`] if git or a hook refuses: nothing to commit, no identity, a rejected message.
pub fn commit(
    git: &Git<'_>,
    index: Option<&Path>,
    message: impl AsRef<[u8]>,
) -> Result<(String, Output), Error> {
    let mut command = git.command("commit").args(["--quiet", "--cleanup=whitespace", "--file=-"]);
    command = command.input(message.as_ref());
    if let Some(index) = index {
        command = command.env("GIT_INDEX_FILE", index);
    }
    let said = command.run()?;
    Ok((rev_parse(git, "HEAD^{commit}")?, said))
}

/// Creates a repository with the branch `main` in git's directory, which must exist.
///
/// # Errors
/// [`Error::Failed`]
pub fn init(git: &Git<'_>) -> Result<(), Error> {
    git.command("init").args(["--quiet", "--initial-branch=main"]).run().map(drop)
}

/// Returns the full name of the object of a revision.
///
/// # Errors
/// [`Error::NoSuchRevision`] if it does not exist.
pub fn rev_parse(git: &Git<'_>, rev: &str) -> Result<String, Error> {
    let command = git.command("rev-parse").args(["--verify", "--quiet", "--end-of-options", rev]);
    let missing = || Error::NoSuchRevision { revision: rev.trim_end_matches("^{commit}").to_owned() };
    object_name("rev-parse", &command.run_optional()?.ok_or_else(missing)?)
}

/// Returns the tree of a commit, of a tag, or the tree itself.
///
/// # Errors
/// [`Error::NoSuchRevision`], [`Error::WrongRevision`]
pub fn tree_of(git: &Git<'_>, rev: &str) -> Result<String, Error> {
    let tree = format!("{}^{{tree}}", rev_parse(git, rev)?);
    let command = git.command("rev-parse").args(["--verify", "--quiet", "--end-of-options", &tree]);
    let wrong = || Error::WrongRevision { revision: rev.to_owned(), expected: "a commit or a tree" };
    object_name("rev-parse", &command.run_optional()?.ok_or_else(wrong)?)
}

/// Writes git's index as a tree.
///
/// # Errors
/// [`Error::Failed`]
pub fn write_tree(git: &Git<'_>) -> Result<String, Error> {
    object_name("write-tree", &git.command("write-tree").run()?)
}

/// Writes a commit that is on no branch; no hook runs.
///
/// # Errors
/// [`Error::Failed`]
pub fn commit_tree(
    git: &Git<'_>,
    tree: &str,
    parents: &[&str],
    message: &str,
    identity: Identity<'_>,
) -> Result<String, Error> {
    let parents = parents.iter().flat_map(|parent| ["-p", parent]);
    let command =
        git.command("commit-tree").config("user.name", identity.name).config("user.email", identity.email);
    object_name("commit-tree", &command.args(parents).args(["-F", "-", tree]).input(message).run()?)
}

/// Sets a reference such as `refs/pr/1`.
///
/// # Errors
/// [`Error::Failed`]
pub fn update_ref(git: &Git<'_>, name: &str, id: &str) -> Result<(), Error> {
    git.command("update-ref").args(["--", name, id]).run().map(drop)
}

/// Returns the name of the object that a command printed.
///
/// # Errors
/// [`Error::UnexpectedOutput`]
pub(super) fn object_name(subcommand: &str, answer: &Output) -> Result<String, Error> {
    let name = answer.text();
    let is_name = matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_name { Ok(name.to_owned()) } else { Err(Error::UnexpectedOutput { subcommand: subcommand.into() }) }
}
