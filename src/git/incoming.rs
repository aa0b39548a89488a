//! What is about to enter a repository: the paths that are staged, the objects that are pushed; and what is there
//! already.
//!
//! Invariants: no object is fetched for an answer, no filter and no external diff is run, and the index is the one that
//! the environment names.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write as _};
use std::ops::ControlFlow;

use bstr::{BString, ByteSlice as _};

use super::command::{Git, Invocation};
use super::error::Error;
use super::history::parse;
use super::object::{ChangedPath, ObjectId};
use crate::hash::{HashingWriter, Oid};

/// How much is taken of an answer with a line for each object: some ten million of them.
const MAX_LISTING: u64 = 1 << 30;

/// The paths that the index has and `HEAD` has not, or not so, and those that it has no more. A renamed file is a new one
/// and one that is gone.
///
/// # Errors
/// As any command.
pub fn staged(git: &Git<'_>) -> Result<Vec<ChangedPath>, Error> {
    let options = ["--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff"];
    let command = local(git, "diff").args(options).args(["--no-relative", "--diff-filter=ADMTUX"]);
    let answer = command.limit(MAX_LISTING).run()?;
    parse(&answer.stdout).ok_or(Error::UnexpectedOutput { subcommand: "diff".to_owned() })
}

/// Which objects are already on the other side.
#[derive(Debug, Clone)]
pub enum Known {
    /// Those of the remote-tracking branches of a remote.
    Remote(String),
    /// Those of every reference here.
    AllReferences,
    /// None but what the commits say that are left out.
    Nothing,
}

/// A commit, and what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub id: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents.
    pub parents: Vec<ObjectId>,
    /// What it changes against its first parent; of one without parents, all that it has.
    pub changes: Vec<ChangedPath>,
}

/// What comes with references.
#[derive(Debug, Default)]
pub struct Sent {
    /// Every commit, the latest first.
    pub commits: Vec<Commit>,
    /// Every object but commits that is not known on the other side, with a path where it was found, or its id.
    pub objects: HashMap<ObjectId, BString>,
}

/// What comes with `tips` and is neither in `without` nor known.
///
/// # Errors
/// As any command; a tip or a commit of `without` that is not here is one.
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
        // A blob that a tag names has no path, as the tree of a commit has none. Other paths are cut at a line feed.
        let path = if path.is_empty() { id } else { path };
        Some((ObjectId::from_hex(id).ok()?, BString::from(path)))
    };
    let objects = answer.stdout.lines().filter_map(object).collect();
    let commits = match commits(log(git).args(["--stdin"]).args(not).input(input)) {
        Ok(commits) => commits,
        // A clone without trees has not those of older commits. A server has.
        Err(Error::Failed { .. }) if !matches!(known, Known::AllReferences) => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(Sent { commits, objects })
}

/// The commits that `to` has and `from` has not, the latest first. Without `from`: all of `to`.
///
/// # Errors
/// As any command; there may be no such revision.
pub fn commits_between(git: &Git<'_>, from: Option<&str>, to: &str) -> Result<Vec<Commit>, Error> {
    let range = from.map_or_else(|| to.to_owned(), |from| format!("{from}..{to}"));
    commits(log(git).args(["--end-of-options", range.as_str(), "--"]))
}

/// A log of what every commit changes, but each merge against its first parent alone.
fn log<'a>(git: &'a Git<'_>) -> Invocation<'a> {
    let options = ["--raw", "-z", "--no-renames", "--no-abbrev", "--root", "--format=commit %H %T %P"];
    let command = local(git, "log").args(options).args(["--no-ext-diff", "--no-textconv", "--no-color"]);
    let command = command.args(["--no-relative", "--no-show-signature", "--diff-merges=first-parent"]);
    command.limit(MAX_LISTING)
}

/// `commit ID TREE PARENT… NUL`, and for each change `LF? facts NUL path NUL`
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

/// The files of the work tree that the index has not, and no rule ignores; directories of other repositories are none.
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

/// Those of these objects that are here.
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

/// A name in which no character stands for others.
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

/// Every file of a revision.
///
/// # Errors
/// As any command; there may be no such revision.
pub fn blobs(git: &Git<'_>, revision: &str) -> Result<HashSet<ObjectId>, Error> {
    let command = local(git, "ls-tree").args(["-r", "-z", "--full-tree", "--end-of-options", revision]);
    let answer = command.limit(MAX_LISTING).run()?;
    let files = answer.stdout.split(|byte| *byte == 0);
    let id = |file: &[u8]| ObjectId::from_hex(file.split_once_str("\t")?.0.rsplit_once_str(" ")?.1).ok();
    Ok(files.filter_map(id).collect())
}

/// The file that a revision has at a path; `None` if it has none there.
///
/// # Errors
/// As any command; there may be no such revision.
pub fn blob_at(git: &Git<'_>, revision: &str, path: &str) -> Result<Option<ObjectId>, Error> {
    let command = local(git, "ls-tree").args(["-z", "--full-tree", "--end-of-options", revision, "--", path]);
    let answer = command.run()?;
    let id = |file: &[u8]| ObjectId::from_hex(file.split_once_str("\t")?.0.rsplit_once_str(" ")?.1).ok();
    Ok(answer.stdout.split(|byte| *byte == 0).find_map(id))
}

/// The commit, tree or blob that a name of a person stands for.
///
/// # Errors
/// As any command; there may be no such revision.
pub fn resolve(git: &Git<'_>, name: &str) -> Result<String, Error> {
    let answer = local(git, "rev-parse").args(["--verify", "-q", "--end-of-options", name]).run()?;
    Ok(answer.text().to_owned())
}

/// Returns `true` if the history of `name` has the commit.
pub fn is_ancestor(git: &Git<'_>, commit: &str, name: &str) -> bool {
    local(git, "merge-base").args(["--is-ancestor", commit, name]).run().is_ok()
}

/// The first bytes of a blob; all of them if there are no more than `len`.
///
/// # Errors
/// As any command.
pub fn head_of(git: &Git<'_>, blob: ObjectId, len: usize) -> Result<Vec<u8>, Error> {
    let mut head = Vec::with_capacity(len);
    // Else git unpacks a blob of up to 512 MiB in memory before it writes the first byte.
    let command = local(git, "cat-file").config("core.bigFileThreshold", "1m");
    command.args(["blob", &blob.to_string()]).stream(|bytes| {
        head.extend_from_slice(bytes.get(..len - head.len()).unwrap_or(bytes));
        Ok(if head.len() < len { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(head)
}

/// The SHA-256 of the content of a blob, which may be long; `None` if it is not here.
pub fn sha256_of(git: &Git<'_>, blob: ObjectId) -> Option<Oid> {
    let mut hasher = HashingWriter::new(io::sink());
    let command = local(git, "cat-file").config("core.bigFileThreshold", "1m");
    let read = command.args(["blob", &blob.to_string()]).stream(|bytes| {
        hasher.write_all(bytes)?;
        Ok(ControlFlow::Continue(()))
    });
    read.is_ok().then(|| hasher.finish().1)
}

fn local<'a>(git: &'a Git<'_>, subcommand: &str) -> Invocation<'a> {
    git.command(subcommand).env("GIT_NO_LAZY_FETCH", "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_remote_is_no_pattern() {
        assert_eq!(glob("a*[b]\\?"), "a\\*\\[b]\\\\\\?");
    }
}
