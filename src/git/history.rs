//! How two commits are related, and which paths differ between them, by the git executable: the answers of
//! [`crate::repo::History`] where libgit2 cannot read a repository; and where files got the content that they have.
//!
//! Invariant: no blob is fetched for an answer.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use bstr::{BStr, BString, ByteSlice as _};

use super::command::{Git, Invocation};
use super::error::Error;
use crate::repo::{ChangedPath, ObjectId, Version};

/// A commit that both come from; `None` if there is none, or none that is here.
///
/// # Errors
/// As any command.
pub fn merge_base(git: &Git<'_>, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>, Error> {
    let names = [one.to_string(), other.to_string()];
    match local(git, "merge-base").args(["--end-of-options"]).args(names).run() {
        Ok(answer) => match ObjectId::from_hex(answer.text().as_bytes()) {
            Ok(base) => Ok(Some(base)),
            Err(_) => Err(Error::UnexpectedOutput { subcommand: "merge-base".to_owned() }),
        },
        Err(Error::Failed { status: Some(1), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The paths that differ between the trees of two commits. Without the first, all paths of the second are new.
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

/// Every path of the tree of a commit, and what is there.
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

fn local<'a>(git: &'a Git<'_>, subcommand: &str) -> Invocation<'a> {
    git.command(subcommand).env("GIT_NO_LAZY_FETCH", "1")
}

/// `:old-mode new-mode old-id new-id status NUL path NUL`
pub(super) fn parse(answer: &[u8]) -> Option<Vec<ChangedPath>> {
    let mut parts = answer.split(|byte| *byte == 0);
    let mut changed = Vec::new();
    while let Some(facts) = parts.next().filter(|facts| !facts.is_empty()) {
        let path = parts.next()?.into();
        let facts: Vec<_> = facts.strip_prefix(b":")?.split_str(" ").collect();
        let &[old_mode, new_mode, old_id, new_id, _status] = facts.as_slice() else { return None };
        let version = |mode: &[u8], id: &[u8]| {
            let mode = u32::from_str_radix(mode.to_str().ok()?, 8).ok()?;
            Some(Version::new(mode, ObjectId::from_hex(id).ok()?))
        };
        changed.push(ChangedPath { path, old: version(old_mode, old_id)?, new: version(new_mode, new_id)? });
    }
    Some(changed)
}

/// A file whose history is looked for, beside another that may have been renamed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is now.
    pub path: BString,
    /// What is there.
    pub blob: ObjectId,
    /// Where the other one is now.
    pub beside: BString,
}

/// The commit that gave a file the content which it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The commit.
    pub commit: ObjectId,
    /// What the file was called in it.
    pub path: BString,
    /// What the other one was called in it, or would have been.
    pub beside: BString,
}

/// Finds, in one walk back from a commit, where each of these files got the content that it has; exact renames are followed.
/// `None` for one of which the commits that are here do not say it: those of `shallow` have parents that are not here, so
/// what is new in them is not known, and neither is what a merge made.
///
/// # Errors
/// That git is not there, or too old. A tree that a partial clone left out ends the walk, and is none.
pub fn origins(
    git: &Git<'_>,
    from: ObjectId,
    wanted: &[Wanted],
    shallow: &BTreeSet<ObjectId>,
) -> Result<Vec<Option<Origin>>, Error> {
    let mut walk = Walker::new(wanted, shallow);
    let options =
        ["--raw", "-z", "-M100%", "-l0", "--no-abbrev", "--root", "--no-merges", "--format=commit %H"];
    let command = local(git, "log").args(options).args(["--no-ext-diff", "--no-textconv", "--no-color"]);
    let command =
        command.args(["--no-relative", "--no-show-signature", "--end-of-options", &from.to_string()]);
    let walked = command.args(["--"]).stream(|piece| Ok(walk.take(piece)));
    walk.end();
    match walked {
        Ok(()) | Err(Error::Failed { .. }) => Ok(walk.found),
        Err(error) => Err(error),
    }
}

/// What is known on the way back through history.
struct Walker<'a> {
    wanted: &'a [Wanted],
    shallow: &'a BTreeSet<ObjectId>,
    found: Vec<Option<Origin>>,
    left: usize,
    /// The files by what they are called at this point, and what the others are called.
    names: HashMap<BString, Vec<usize>>,
    besides: Vec<BString>,
    /// Renames of this commit; they count from the next one on.
    renamed: Vec<(BString, BString)>,
    commit: Option<ObjectId>,
    /// The text that no NUL has ended yet, and the fields of a change that is not whole.
    rest: Vec<u8>,
    change: Option<(ObjectId, bool)>,
    old: Option<BString>,
}

impl<'a> Walker<'a> {
    fn new(wanted: &'a [Wanted], shallow: &'a BTreeSet<ObjectId>) -> Self {
        let mut names: HashMap<BString, Vec<usize>> = HashMap::new();
        for (index, one) in wanted.iter().enumerate() {
            names.entry(one.path.clone()).or_default().push(index);
        }
        Self {
            wanted,
            shallow,
            found: vec![None; wanted.len()],
            left: wanted.len(),
            names,
            besides: wanted.iter().map(|one| one.beside.clone()).collect(),
            renamed: Vec::new(),
            commit: None,
            rest: Vec::new(),
            change: None,
            old: None,
        }
    }

    fn take(&mut self, piece: &[u8]) -> ControlFlow<()> {
        let mut parts = piece.split(|byte| *byte == 0).peekable();
        while let Some(part) = parts.next() {
            self.rest.extend_from_slice(part);
            if parts.peek().is_some() {
                let field = std::mem::take(&mut self.rest);
                self.field(&field);
                if self.left == 0 {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self) {
        let field = std::mem::take(&mut self.rest);
        self.field(&field);
    }

    /// `commit ID`, or `LF? :old-mode new-mode old-id new-id status`, which one path follows, or two for a rename.
    fn field(&mut self, field: &[u8]) {
        if let Some((blob, is_rename)) = self.change {
            match (is_rename, self.old.take()) {
                (true, None) => self.old = Some(field.into()),
                (true, Some(old)) => {
                    self.change = None;
                    self.renamed.push((old, field.into()));
                }
                (false, _) => {
                    self.change = None;
                    self.changed(field.as_bstr(), blob);
                }
            }
            return;
        }
        let field = field.trim_ascii_start();
        if let Some(id) = field.strip_prefix(b"commit ") {
            self.rename();
            self.commit = ObjectId::from_hex(id).ok().filter(|id| !self.shallow.contains(id));
        } else if let Some(facts) = field.strip_prefix(b":") {
            let facts: Vec<_> = facts.split_str(" ").collect();
            if let &[_, _, _, new, status] = facts.as_slice() {
                let is_rename = status.starts_with(b"R") || status.starts_with(b"C");
                self.change = ObjectId::from_hex(new).ok().map(|new| (new, is_rename));
            }
        }
    }

    /// A path got this content.
    fn changed(&mut self, path: &BStr, blob: ObjectId) {
        let (Some(commit), Some(indices)) = (self.commit, self.names.get(path)) else { return };
        for &index in indices {
            let is_it = self.wanted.get(index).is_some_and(|one| one.blob == blob);
            let (Some(found), Some(beside)) = (self.found.get_mut(index), self.besides.get(index)) else {
                continue;
            };
            if is_it && found.is_none() {
                *found = Some(Origin { commit, path: path.to_owned(), beside: beside.clone() });
                self.left -= 1;
            }
        }
    }

    /// What was renamed in the commit that was read has its old name before it.
    fn rename(&mut self) {
        for (old, new) in self.renamed.drain(..) {
            if let Some(mut indices) = self.names.remove(&new) {
                self.names.entry(old.clone()).or_default().append(&mut indices);
            }
            for beside in self.besides.iter_mut().filter(|beside| **beside == new) {
                *beside = old.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: u8) -> ObjectId {
        ObjectId::from_hex(&[digit; 40]).unwrap()
    }

    fn change(new: u8, status: &str, paths: &[&str]) -> Vec<u8> {
        let (none, new) = ("0".repeat(40), id(new));
        let paths = paths.join("\0") + "\0";
        format!(":000000 100644 {none} {new} {status}\0{paths}").into_bytes()
    }

    #[test]
    fn a_walk_goes_by_pieces_follows_names_and_stops() {
        let wanted = [
            Wanted { path: "b/model".into(), blob: id(b'1'), beside: "b/bin".into() },
            Wanted { path: "other".into(), blob: id(b'2'), beside: "x".into() },
        ];
        let mut text = format!("commit {}\0\n", id(b'a')).into_bytes();
        text.extend(change(b'1', "R100", &["a/model", "b/model"]));
        text.extend(change(b'7', "R100", &["a/bin", "b/bin"]));
        text.extend(change(b'3', "M", &["other"]));
        text.extend(format!("commit {}\0\n", id(b'b')).into_bytes());
        text.extend(change(b'1', "A", &["b/model"]));
        text.extend(change(b'1', "A", &["a/model"]));
        text.extend(format!("commit {}\0\n", id(b'c')).into_bytes());
        text.extend(change(b'2', "A", &["other"]));
        for step in [1, 7, 1000] {
            let shallow = BTreeSet::new();
            let mut walk = Walker::new(&wanted, &shallow);
            let mut stopped = false;
            for piece in text.chunks(step) {
                stopped = stopped || walk.take(piece).is_break();
            }
            let origin = Origin { commit: id(b'b'), path: "a/model".into(), beside: "a/bin".into() };
            assert_eq!(walk.found[0], Some(origin));
            assert_eq!(walk.found[1].as_ref().map(|origin| origin.commit), Some(id(b'c')));
            assert!(stopped);
            // What a clone without the commits before has is no news of this one.
            let shallow = BTreeSet::from([id(b'c')]);
            let mut walk = Walker::new(&wanted, &shallow);
            assert!(walk.take(&text).is_continue() && walk.found[1].is_none());
        }
    }
}
