//! [`origins`] finds the commits that gave files their current content, in one walk back through history.
//!
//! ```text
//! commit, the latest first ─▶ its tree and its parent's       entries that differ, only in the directories of the files
//!                              └─▶ a file that is new there    exact renames, for which the whole commit is compared
//! ```
//!
//! The commits are those of `git log --no-merges`, and a rename is what `git diff -M100%` detects.
//!
//! Invariants: it reads trees and commits, and fetches nothing: a missing object yields no result. It reads a tree only
//! if it differs from the previous one.

mod packs;
mod trees;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use bstr::{BStr, BString, ByteSlice as _};

use super::{ObjectId, Repo};
use trees::{FileChange, TreeReader};

/// A file whose history is searched, with another file that may have been renamed together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// Its current path.
    pub path: BString,
    /// Its current blob.
    pub blob: ObjectId,
    /// The current path of the other file.
    pub beside: BString,
}

/// The commit that gave a file its current content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOrigin {
    /// The commit.
    pub commit: ObjectId,
    /// The path of the file in it.
    pub path: BString,
    /// The path that the other file had in it, or would have had.
    pub beside: BString,
    /// The blob of the other file; `None` if it did not exist.
    pub beside_blob: Option<ObjectId>,
}

/// Finds, in one walk back from a commit, where each of these files got its current content, and follows exact renames.
/// `None` for a file whose commit is not known: the boundary commits of a shallow clone have missing parents, so their
/// changes are not known, and neither are the changes of a merge. A tree that a partial clone left out ends the walk,
/// and so does `is_stopped`.
pub fn origins(
    repo: &Repo,
    from: ObjectId,
    wanted: &[WantedFile],
    is_stopped: &dyn Fn() -> bool,
) -> Vec<Option<FileOrigin>> {
    let mut walk = Walk::new(repo, wanted);
    let _the_end = walk.run(from, is_stopped);
    walk.found
}

/// The facts about a commit.
#[derive(Clone)]
struct Commit {
    tree: ObjectId,
    parents: Vec<ObjectId>,
    time: i64,
}

/// A commit that waits for its turn: the latest goes first, and of several of one second the one that was seen first.
type Waiting = (i64, Reverse<usize>, ObjectId);

/// The names that are searched at this point of the history, by directory.
#[derive(Debug, Default)]
struct Names {
    below: HashMap<BString, Names>,
    is_file: bool,
}

impl Names {
    fn insert(&mut self, path: &BStr) {
        let mut at = self;
        for part in path.split_str("/") {
            at = at.below.entry(part.into()).or_default();
        }
        at.is_file = true;
    }
}

/// The state of the walk.
struct Walk<'a> {
    wanted: &'a [WantedFile],
    shallow: BTreeSet<ObjectId>,
    repo: gix::Repository,
    trees: TreeReader,
    found: Vec<Option<FileOrigin>>,
    left: usize,
    /// The files by their names at this point, and the names of the other files.
    paths: HashMap<BString, Vec<usize>>,
    besides: Vec<BString>,
    names: Names,
}

impl<'a> Walk<'a> {
    fn new(repo: &Repo, wanted: &'a [WantedFile]) -> Self {
        let mut paths: HashMap<BString, Vec<usize>> = HashMap::new();
        for (index, one) in wanted.iter().enumerate() {
            paths.entry(one.path.clone()).or_default().push(index);
        }
        let mut walk = Self {
            wanted,
            shallow: repo.shallow_commits(),
            repo: repo.inner.clone(),
            trees: TreeReader::new(&repo.inner),
            found: vec![None; wanted.len()],
            left: wanted.len(),
            paths,
            besides: wanted.iter().map(|one| one.beside.clone()).collect(),
            names: Names::default(),
        };
        walk.name();
        walk
    }

    /// Collects the names that are searched.
    fn name(&mut self) {
        self.names = Names::default();
        let paths = self.paths.keys().chain(&self.besides);
        paths.for_each(|path| self.names.insert(path.as_bstr()));
    }

    /// Walks back until everything is found; `None` if an object is missing.
    fn run(&mut self, from: ObjectId, is_stopped: &dyn Fn() -> bool) -> Option<()> {
        let mut waiting = BinaryHeap::new();
        let mut seen = HashMap::from([(from, self.read(from)?)]);
        waiting.push((seen.get(&from)?.time, Reverse(0), from));
        while let Some((_, _, id)) = waiting.pop() {
            if self.left == 0 || is_stopped() {
                break;
            }
            let commit = seen.get(&id)?.clone();
            if self.shallow.contains(&id) {
                continue;
            }
            for &parent in &commit.parents {
                if !seen.contains_key(&parent) {
                    let read = self.read(parent)?;
                    let next: Waiting = (read.time, Reverse(seen.len()), parent);
                    waiting.push(next);
                    seen.insert(parent, read);
                }
            }
            match commit.parents.as_slice() {
                [] => self.commit(id, commit.tree, None)?,
                [parent] => self.commit(id, commit.tree, Some(seen.get(parent)?.tree))?,
                // The changes of a merge are not known.
                _ => {}
            }
        }
        Some(())
    }

    fn read(&self, id: ObjectId) -> Option<Commit> {
        let commit = self.repo.find_commit(id).ok()?;
        let parents = commit.parent_ids().map(gix::Id::detach).collect();
        Some(Commit { tree: commit.tree_id().ok()?.detach(), parents, time: commit.time().ok()?.seconds })
    }

    /// Handles the changes of a commit.
    fn commit(&mut self, id: ObjectId, tree: ObjectId, before: Option<ObjectId>) -> Option<()> {
        let mut changes = Vec::new();
        changes_of(&mut self.trees, Some(tree), before, &self.names, &mut BString::default(), &mut changes)?;
        let is_new = changes.iter().any(|change| change.old.is_none() && change.new.is_some());
        let renamed = match before {
            Some(before) if is_new => exact_renames(self.trees.changes(tree, before)?),
            _ => BTreeMap::new(),
        };
        for change in changes {
            let Some(blob) = change.new.filter(|new| change.old != Some(*new)) else { continue };
            if !renamed.contains_key(&change.path) {
                self.changed(id, tree, change.path.as_bstr(), blob);
            }
        }
        self.rename(renamed);
        Some(())
    }

    /// A path got this content.
    fn changed(&mut self, commit: ObjectId, tree: ObjectId, path: &BStr, blob: ObjectId) {
        for &index in self.paths.get(path).into_iter().flatten() {
            let is_it = self.wanted.get(index).is_some_and(|one| one.blob == blob);
            let (Some(found), Some(beside)) = (self.found.get_mut(index), self.besides.get(index)) else {
                continue;
            };
            if is_it && found.is_none() {
                let (path, beside) = (path.to_owned(), beside.clone());
                let beside_blob = self.trees.file(tree, beside.as_bstr());
                *found = Some(FileOrigin { commit, path, beside, beside_blob });
                self.left -= 1;
            }
        }
    }

    /// A file that was renamed in a commit has its old name before it.
    fn rename(&mut self, renamed: BTreeMap<BString, BString>) {
        let mut is_other = false;
        for (new, old) in renamed {
            if let Some(mut indices) = self.paths.remove(&new) {
                self.paths.entry(old.clone()).or_default().append(&mut indices);
                is_other = true;
            }
            for beside in self.besides.iter_mut().filter(|beside| **beside == new) {
                beside.clone_from(&old);
                is_other = true;
            }
        }
        if is_other {
            self.name();
        }
    }
}

/// Returns the differences between two trees, for the searched names.
fn changes_of(
    trees: &mut TreeReader,
    new: Option<ObjectId>,
    old: Option<ObjectId>,
    names: &Names,
    dir: &mut BString,
    changes: &mut Vec<FileChange>,
) -> Option<()> {
    for differing in trees.differing(new, old)? {
        let Some(known) = names.below.get(&differing.name) else { continue };
        let len = dir.len();
        dir.extend_from_slice(&differing.name);
        if known.is_file {
            let path = dir.clone();
            changes.push(FileChange { path, old: differing.old_file(), new: differing.new_file() });
        }
        if !known.below.is_empty() {
            dir.push(b'/');
            changes_of(trees, differing.new_tree(), differing.old_tree(), known, dir, changes)?;
        }
        dir.truncate(len);
    }
    Some(())
}

/// Returns the new names of files that were only renamed, with their old names: of several candidates, first an unused
/// one with the same last part (`find_identical_files` of git).
fn exact_renames(changes: Vec<FileChange>) -> BTreeMap<BString, BString> {
    let mut gone: HashMap<ObjectId, Vec<(BString, bool)>> = HashMap::new();
    let mut fresh = BTreeMap::new();
    for FileChange { path, old, new } in changes {
        match (old, new) {
            (Some(blob), None) => gone.entry(blob).or_default().push((path, false)),
            (None, Some(blob)) => drop(fresh.insert(path, blob)),
            _ => {}
        }
    }
    let mut renamed = BTreeMap::new();
    for (new, blob) in fresh {
        let Some(sources) = gone.get_mut(&blob) else { continue };
        sources.sort();
        let last = |path: &BString| path.rsplit_str("/").next().map(BString::from);
        let is_free = |&at: &usize| sources.get(at).is_some_and(|(_, is_taken)| !is_taken);
        let is_alike = |&at: &usize| sources.get(at).is_some_and(|(old, _)| last(old) == last(&new));
        let mut free = (0..sources.len()).filter(is_free);
        let Some(first) = free.next() else { continue };
        let alike = (first..sources.len()).filter(is_free).find(is_alike);
        if let Some((old, is_taken)) = sources.get_mut(alike.unwrap_or(first)) {
            *is_taken = true;
            renamed.insert(new, old.clone());
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(digit: u8) -> ObjectId {
        ObjectId::from_hex(&[digit; 40]).unwrap()
    }

    #[test]
    fn a_rename_takes_a_name_once_and_the_one_that_is_alike() {
        let change = |path: &str, old: Option<u8>, new: Option<u8>| FileChange {
            path: path.into(),
            old: old.map(blob),
            new: new.map(blob),
        };
        let changes = vec![
            change("a/x", Some(b'1'), None),
            change("b/y", Some(b'1'), None),
            change("c/y", None, Some(b'1')),
            change("d/z", None, Some(b'1')),
            change("e/y", None, Some(b'1')),
            change("f", Some(b'2'), Some(b'1')),
            change("g", None, Some(b'2')),
        ];
        let renamed = exact_renames(changes);
        let pairs: Vec<_> = renamed.iter().map(|(new, old)| (new.to_string(), old.to_string())).collect();
        let pairs: Vec<_> = pairs.iter().map(|(new, old)| (new.as_str(), old.as_str())).collect();
        assert_eq!(pairs, [("c/y", "b/y"), ("d/z", "a/x")]);
    }
}
