//! [`Trees`] reads the trees of commits that exist in this clone.
//!
//! Invariant: nothing is fetched; missing trees are reported.

use std::collections::HashMap;
use std::rc::Rc;

use bstr::{BStr, BString, ByteSlice as _};

use crate::repo::database::TreeEntry;
use crate::repo::{Database, Error, ObjectId, Result, Version};

/// How many trees are kept in memory.
const MAX_TREES: usize = 10_000;

/// The trees of a repository.
pub struct Trees {
    pub(super) database: Database,
    read: HashMap<ObjectId, Option<Rc<Vec<TreeEntry>>>>,
}

impl Trees {
    pub(super) fn new(database: Database) -> Self {
        Self { database, read: HashMap::new() }
    }

    /// Returns every file below a directory of a tree, by path.
    ///
    /// # Errors
    /// [`Error::MissingTree`], or an error of the object database.
    pub fn files_below(&mut self, tree: ObjectId, dir: &BStr) -> Result<Vec<(BString, Version)>> {
        let (mut files, mut waiting) = (Vec::new(), Vec::new());
        if let Some(TreeEntry { mode: None, id, .. }) = self.entry(tree, dir)? {
            waiting.push((dir.to_owned(), id));
        }
        while let Some((dir, tree)) = waiting.pop() {
            let entries = self.tree(tree)?.ok_or(Error::MissingTree { id: tree })?;
            for entry in entries.iter() {
                let path = below(dir.as_ref(), entry.name.as_ref());
                match entry.mode {
                    None => waiting.push((path, entry.id)),
                    Some(mode) => files.push((path, Version { mode, id: entry.id })),
                }
            }
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(files)
    }

    /// Returns the version at a path of a tree; `None` if it is not a file, or missing.
    ///
    /// # Errors
    /// An error of the object database.
    pub fn file_at(&mut self, tree: ObjectId, path: &BStr) -> Result<Option<Version>> {
        let entry = self.entry(tree, path)?;
        Ok(entry.and_then(|entry| Some(Version { mode: entry.mode?, id: entry.id })))
    }

    /// Returns the tree of a commit; `None` if the commit is missing.
    ///
    /// # Errors
    /// An error of the object database.
    pub fn tree_of(&mut self, commit: ObjectId) -> Result<Option<ObjectId>> {
        self.database.tree_of(commit)
    }

    /// Returns the entry at a path of a tree; for the empty path, the tree itself.
    fn entry(&mut self, tree: ObjectId, path: &BStr) -> Result<Option<TreeEntry>> {
        let mut entry = TreeEntry { name: BString::default(), mode: None, id: tree };
        for name in path.split_str("/").filter(|name| !name.is_empty()) {
            let entries = if entry.mode.is_none() { self.tree(entry.id)? } else { None };
            let found = entries.as_ref().and_then(|entries| entries.iter().find(|entry| entry.name == name));
            let Some(found) = found else { return Ok(None) };
            entry = found.clone();
        }
        Ok(Some(entry))
    }

    /// Returns the entries of a tree; `None` if it is missing.
    pub(super) fn tree(&mut self, id: ObjectId) -> Result<Option<Rc<Vec<TreeEntry>>>> {
        if let Some(tree) = self.read.get(&id) {
            return Ok(tree.clone());
        }
        if self.read.len() >= MAX_TREES {
            self.read.clear();
        }
        let tree = self.database.tree(id)?.map(Rc::new);
        self.read.insert(id, tree.clone());
        Ok(tree)
    }
}

/// Returns the path of a name in a directory, which is empty for the top.
pub(super) fn below(dir: &BStr, name: &BStr) -> BString {
    if dir.is_empty() { name.to_owned() } else { [dir.as_bytes(), b"/", name].concat().into() }
}
