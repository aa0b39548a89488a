//! Finds how two commits are related, and which paths differ between them, by the git executable, where libgit2 cannot
//! read a repository.
//!
//! Invariant: no blob is fetched.

use std::array;

use bstr::{BString, ByteSlice as _};

use super::command::{Git, Invocation};
use super::error::Error;
use super::object::{ChangedPath, ObjectId, Version};

/// Returns a common ancestor of two commits; `None` if none exists, or none is in this clone.
///
/// # Errors
/// As any command.
pub fn merge_base(git: &Git<'_>, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>, Error> {
    let names = [one.to_string(), other.to_string()];
    let answer = local(git, "merge-base").args(["--end-of-options"]).args(names).run_optional()?;
    let base = answer.map(|answer| ObjectId::from_hex(answer.text().as_bytes())).transpose();
    base.map_err(|_| Error::UnexpectedOutput { subcommand: "merge-base".to_owned() })
}

/// Lists the paths that differ between the trees of two commits. Without the first, all paths of the second are new.
///
/// # Errors
/// As any command.
pub fn changes(git: &Git<'_>, from: Option<ObjectId>, to: ObjectId) -> Result<Vec<ChangedPath>, Error> {
    let command =
        local(git, "diff-tree").args(["-r", "-z", "--raw", "--no-renames", "--no-commit-id", "--no-abbrev"]);
    let from = match from {
        Some(from) => from.to_string(),
        None => empty_tree(git)?,
    };
    let answer = command.args(["--end-of-options", &from, &to.to_string(), "--"]).run()?;
    parse(&answer.stdout).ok_or(Error::UnexpectedOutput { subcommand: "diff-tree".to_owned() })
}

/// Lists every path of the tree of a commit, with its version.
///
/// # Errors
/// As any command.
pub fn tree(git: &Git<'_>, commit: &str) -> Result<Vec<(BString, Version)>, Error> {
    let answer = local(git, "ls-tree").args(["-r", "-z", "--full-tree", "--end-of-options", commit]).run()?;
    let entry = |entry: &[u8]| {
        let (facts, path) = entry.split_once_str("\t")?;
        let mut facts = facts.split_str(" ");
        let mode = u32::from_str_radix(facts.next()?.to_str().ok()?, 8).ok()?;
        let id = ObjectId::from_hex(facts.nth(1)?).ok()?;
        Some(Version::new(mode, id).map(|version| (path.into(), version)))
    };
    let entries = answer.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    let entries: Option<Vec<_>> = entries.map(entry).collect();
    let entries = entries.ok_or(Error::UnexpectedOutput { subcommand: "ls-tree".to_owned() })?;
    Ok(entries.into_iter().flatten().collect())
}

fn empty_tree(git: &Git<'_>) -> Result<String, Error> {
    let answer = git.command("hash-object").args(["-t", "tree", "--stdin"]).input("").run()?;
    Ok(answer.text().to_owned())
}

/// Returns a command that fetches no missing object.
pub(super) fn local<'a>(git: &'a Git<'_>, subcommand: &str) -> Invocation<'a> {
    git.command(subcommand).env("GIT_NO_LAZY_FETCH", "1")
}

/// Parses `:old-mode new-mode old-id new-id status NUL path NUL`.
pub(super) fn parse(answer: &[u8]) -> Option<Vec<ChangedPath>> {
    let mut parts = answer.split(|byte| *byte == 0);
    let mut changed = Vec::new();
    while let Some(facts) = parts.next().filter(|facts| !facts.is_empty()) {
        let path = parts.next()?.into();
        let mut facts = facts.strip_prefix(b":")?.split(|byte| *byte == b' ');
        let [old_mode, new_mode, old_id, new_id, _status] = array::from_fn(|_| facts.next());
        let version = |mode: Option<&[u8]>, id: Option<&[u8]>| {
            let mode = u32::from_str_radix(str::from_utf8(mode?).ok()?, 8).ok()?;
            Some(Version::new(mode, ObjectId::from_hex(id?).ok()?))
        };
        let (old, new) = (version(old_mode, old_id)?, version(new_mode, new_id)?);
        changed.push(ChangedPath { path, old, new });
    }
    Some(changed)
}
