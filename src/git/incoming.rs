//! Lists what is about to enter a repository (staged paths, pushed objects), and what it already contains.
//!
//! Invariants: no object is fetched, no filter and no external diff runs, and the index is the one that the environment
//! names.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::thread;

use bstr::{BString, ByteSlice as _};

use super::command::{Git, Invocation};
use super::error::Error;
use super::history::{local, parse};
use super::object::{ChangedPath, ObjectId};
use super::system_file::system_file;
use crate::hash::{HashingWriter, Oid};

/// The most bytes of an output with a line per object: some ten million objects.
const MAX_LISTING: u64 = 1 << 30;

/// Lists the paths that the index adds to `HEAD`, changes or removes. A renamed file is a new path and a removed one.
///
/// # Errors
/// As any command.
pub fn staged(git: &Git<'_>) -> Result<Vec<ChangedPath>, Error> {
    let options = ["--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff"];
    let command = local(git, "diff").args(options).args(["--no-relative", "--diff-filter=ADMTUX"]);
    let answer = command.limit(MAX_LISTING).run()?;
    if !answer.stdout.is_empty() {
        // Whoever reads what is staged opens the repository next, and waits for this.
        drop(thread::Builder::new().spawn(system_file));
    }
    parse(&answer.stdout).ok_or(Error::UnexpectedOutput { subcommand: "diff".to_owned() })
}

/// Which objects the other side already has.
#[derive(Debug, Clone)]
pub enum Known {
    /// The objects of the remote-tracking branches of a remote.
    Remote(String),
    /// The objects of every reference of this repository.
    AllReferences,
    /// Only those of the excluded commits.
    Nothing,
}

/// A commit and its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub id: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents.
    pub parents: Vec<ObjectId>,
    /// Its changes against its first parent; for a root commit, all its files.
    pub changes: Vec<ChangedPath>,
}

/// The commits and objects that references add.
#[derive(Debug, Default)]
pub struct Sent {
    /// Every commit, the latest first.
    pub commits: Vec<Commit>,
    /// Every object other than commits that the other side may lack, with a path where it was found, or its ID.
    pub objects: HashMap<ObjectId, BString>,
}

/// Returns everything that `tips` add to `without` and to the known objects.
///
/// # Errors
/// As any command, also if a tip or a commit of `without` is missing.
pub fn sent(git: &Git<'_>, tips: &[String], without: &[String], known: &Known) -> Result<Sent, Error> {
    let not = match known {
        Known::Remote(name) => vec!["--not".to_owned(), format!("--remotes={}", glob(name))],
        Known::AllReferences => vec!["--not".to_owned(), "--all".to_owned()],
        Known::Nothing => Vec::new(),
    };
    let without = without.iter().map(|id| format!("^{id}"));
    let input = tips.iter().cloned().chain(without).collect::<Vec<_>>().join("\n") + "\n";
    let command = local(git, "rev-list").args(["--objects", "--missing=allow-promisor", "--stdin"]);
    let answer = command.args(not.clone()).input(input.clone()).limit(MAX_LISTING).run()?;
    let object = |line: &[u8]| {
        let (id, path) = line.split_once_str(" ")?;
        // A blob that a tag names has no path, and neither does the tree of a commit. git truncates other paths at a
        // line feed.
        let path = if path.is_empty() { id } else { path };
        Some((ObjectId::from_hex(id).ok()?, BString::from(path)))
    };
    let objects = answer.stdout.lines().filter_map(object).collect();
    let commits = match commits(log(git).args(["--stdin"]).args(not).input(input)) {
        Ok(commits) => commits,
        // A clone without trees lacks those of older commits. A server has them.
        Err(Error::Failed { .. }) if !matches!(known, Known::AllReferences) => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(Sent { commits, objects })
}

/// Lists the commits of `to` that are not in `from`, the latest first. Without `from`: all of `to`.
///
/// # Errors
/// As any command, also if a revision does not exist.
pub fn commits_between(git: &Git<'_>, from: Option<&str>, to: &str) -> Result<Vec<Commit>, Error> {
    let range = from.map_or_else(|| to.to_owned(), |from| format!("{from}..{to}"));
    commits(log(git).args(["--end-of-options", range.as_str(), "--"]))
}

/// Returns a log of the changes of every commit, with each merge only against its first parent.
fn log<'a>(git: &'a Git<'_>) -> Invocation<'a> {
    let options = ["--raw", "-z", "--no-renames", "--no-abbrev", "--root", "--format=commit %H %T %P"];
    let command = local(git, "log").args(options).args(["--no-ext-diff", "--no-textconv", "--no-color"]);
    let command = command.args(["--no-relative", "--no-show-signature", "--diff-merges=first-parent"]);
    command.limit(MAX_LISTING)
}

/// Parses `commit ID TREE PARENT… NUL`, and for each change `LF? facts NUL path NUL`.
fn commits(log: Invocation<'_>) -> Result<Vec<Commit>, Error> {
    let answer = log.run()?;
    let mut parts = answer.stdout.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let mut commits: Vec<Commit> = Vec::new();
    while let Some(part) = parts.next() {
        let part = part.trim_ascii_start();
        let read = match part.strip_prefix(b"commit ") {
            Some(ids) => commit(ids).map(|commit| commits.push(commit)),
            None => parts.next().zip(commits.last_mut()).and_then(|(path, commit)| {
                commit.changes.append(&mut parse(&[part, b"\0", path, b"\0"].concat())?);
                Some(())
            }),
        };
        read.ok_or(Error::UnexpectedOutput { subcommand: "log".to_owned() })?;
    }
    Ok(commits)
}

fn commit(ids: &[u8]) -> Option<Commit> {
    let ids = ids.fields().map(ObjectId::from_hex).collect::<Result<Vec<_>, _>>().ok()?;
    let (&[id, tree], parents) = ids.split_first_chunk()?;
    Some(Commit { id, tree, parents: parents.to_vec(), changes: Vec::new() })
}

/// Lists the untracked files of the working tree that no rule ignores, without the directories of other repositories.
///
/// # Errors
/// As any command.
pub fn untracked(git: &Git<'_>) -> Result<Vec<BString>, Error> {
    let command = local(git, "ls-files").args(["-z", "--others", "--exclude-standard"]);
    let answer = command.limit(MAX_LISTING).run()?;
    let paths =
        answer.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty() && !path.ends_with(b"/"));
    Ok(paths.map(BString::from).collect())
}

/// Returns those of these objects that exist in this repository.
///
/// # Errors
/// As any command.
pub fn existing(git: &Git<'_>, ids: impl IntoIterator<Item = String>) -> Result<Vec<String>, Error> {
    let ids: Vec<String> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(ids);
    }
    let input = ids.join("\n") + "\n";
    let answer =
        local(git, "cat-file").args(["--batch-check=%(objectname)", "--buffer"]).input(input).run()?;
    let lines: HashSet<&[u8]> = answer.stdout.lines().collect();
    Ok(ids.into_iter().filter(|id| lines.contains(id.as_bytes())).collect())
}

/// Returns a pattern in which no character is special.
fn glob(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        if matches!(letter, '*' | '?' | '[' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// Returns every file of a revision.
///
/// # Errors
/// As any command, also if the revision does not exist.
pub fn blobs(git: &Git<'_>, revision: &str) -> Result<HashSet<ObjectId>, Error> {
    let command = local(git, "ls-tree").args(["-r", "-z", "--full-tree", "--end-of-options", revision]);
    let answer = command.limit(MAX_LISTING).run()?;
    let files = answer.stdout.split(|byte| *byte == 0);
    let id = |file: &[u8]| ObjectId::from_hex(file.split_once_str("\t")?.0.rsplit_once_str(" ")?.1).ok();
    Ok(files.filter_map(id).collect())
}

/// Returns the file of a revision at a path; `None` if it has none.
///
/// # Errors
/// As any command, also if the revision does not exist.
pub fn blob_at(git: &Git<'_>, revision: &str, path: &str) -> Result<Option<ObjectId>, Error> {
    let command = local(git, "ls-tree").args(["-z", "--full-tree", "--end-of-options", revision, "--", path]);
    let answer = command.run()?;
    let id = |file: &[u8]| ObjectId::from_hex(file.split_once_str("\t")?.0.rsplit_once_str(" ")?.1).ok();
    Ok(answer.stdout.split(|byte| *byte == 0).find_map(id))
}

/// Returns the commit, tree or blob that a name given by the user means.
///
/// # Errors
/// As any command, also if the revision does not exist.
pub fn resolve(git: &Git<'_>, name: &str) -> Result<String, Error> {
    let answer = local(git, "rev-parse").args(["--verify", "-q", "--end-of-options", name]).run()?;
    Ok(answer.text().to_owned())
}

/// Returns `true` if the history of `name` has the commit.
pub fn is_ancestor(git: &Git<'_>, commit: &str, name: &str) -> bool {
    local(git, "merge-base").args(["--is-ancestor", commit, name]).run().is_ok()
}

/// Returns the first `len` bytes of a blob, or all of a shorter one.
///
/// # Errors
/// As any command.
pub fn head_of(git: &Git<'_>, blob: ObjectId, len: usize) -> Result<Vec<u8>, Error> {
    let mut head = Vec::with_capacity(len);
    // Otherwise git unpacks a blob of up to 512 MiB in memory before it writes the first byte.
    let command = local(git, "cat-file").config("core.bigFileThreshold", "1m");
    command.args(["blob", &blob.to_string()]).stream(|bytes| {
        head.extend_from_slice(bytes.get(..len - head.len()).unwrap_or(bytes));
        Ok(if head.len() < len { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(head)
}

/// Returns the SHA-256 of the content of a blob, which may be long; `None` if it is missing.
pub fn sha256_of(git: &Git<'_>, blob: ObjectId) -> Option<Oid> {
    let mut hasher = HashingWriter::new(io::sink());
    let command = local(git, "cat-file").config("core.bigFileThreshold", "1m");
    let read = command.args(["blob", &blob.to_string()]).stream(|bytes| {
        hasher.write_all(bytes)?;
        Ok(ControlFlow::Continue(()))
    });
    read.is_ok().then(|| hasher.finish().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_remote_is_no_pattern() {
        assert_eq!(glob("a*[b]\\?"), "a\\*\\[b]\\\\\\?");
    }
}
