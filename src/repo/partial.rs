//! [`PartialIndex`] is the index for a commit of a few paths, whatever else is staged.
//!
//! Invariant: it contains the tree of `HEAD`, with the given paths as the index has them, and the given attributes
//! files. Every entry has stat data, so git reads no file to use it: those of the index if the blob is the same, else
//! data that no file has. It is a separate file in the git directory, removed when dropped; the index itself is not
//! changed.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};
use gix::index::State;
use gix::index::entry::{Flags, Mode, Stage, Stat};

use super::{CommittedAttributes, Error, Repo, Result, index_file};
use crate::lfs::Temp;

/// An index file for one commit.
#[derive(Debug)]
pub struct PartialIndex {
    path: PathBuf,
    /// Shows that this process is alive; git replaces the index file by one without our lock.
    _owner: Temp,
}

impl PartialIndex {
    /// Returns its path, for `GIT_INDEX_FILE`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PartialIndex {
    fn drop(&mut self) {
        // A later run removes a leftover.
        let _left_behind = fs::remove_file(&self.path);
    }
}

impl Repo {
    /// Returns the merge or similar operation that is in progress.
    fn operation(&self) -> Option<String> {
        let state = self.inner.state().map(|state| format!("{state:?}").to_ascii_lowercase());
        state.or_else(|| {
            let left = [("CHERRY_PICK_HEAD", "cherrypick"), ("REVERT_HEAD", "revert")];
            let found = left.into_iter().find(|(name, _)| self.references.is_left(&self.inner, name));
            found.map(|(_, operation)| operation.to_owned())
        })
    }

    /// Returns `true` if a merge or similar operation is in progress, which a commit would conclude.
    pub fn is_in_operation(&self) -> bool {
        self.operation().is_some()
    }

    /// Creates the index for a commit of only these paths and attributes files. It removes paths that the index does
    /// not contain.
    ///
    /// # Errors
    /// [`Error::InProgress`] during a merge or similar operation, [`Error::Unmerged`], or an error of git's files or
    /// the system.
    pub fn partial_index(
        &self,
        paths: &[BString],
        attributes: &[CommittedAttributes],
    ) -> Result<PartialIndex> {
        if let Some(operation) = self.operation() {
            return Err(Error::InProgress { operation });
        }
        let mut index = self.read_index()?;
        self.expand(&mut index, |_| true)?;
        let head = self.head_tree()?;
        let mut partial = self.inner.index_from_tree(&head).map_err(Error::git("read the tree of HEAD"))?;
        let paths: HashSet<_> = paths.iter().collect();
        let replaced =
            |path: &BStr| paths.contains(&path.to_owned()) || attributes.iter().any(|file| file.path == path);
        partial.remove_entries(|_, path, _| replaced(path));
        for CommittedAttributes { path, blob, executable } in attributes {
            let mode = if *executable { Mode::FILE_EXECUTABLE } else { Mode::FILE };
            let id = self.write_blob(blob)?;
            partial.dangerously_push_entry(Stat::default(), id, Flags::empty(), mode, path.as_ref());
        }
        partial.sort_entries();
        copy_stat(&mut partial, &index);
        for path in paths {
            let range = index.entry_range(path.as_ref()).unwrap_or_default();
            for entry in index.entries().get(range).unwrap_or_default() {
                if entry.stage() != Stage::Unconflicted {
                    return Err(Error::Unmerged { path: path.clone() });
                }
                partial.dangerously_push_entry(entry.stat, entry.id, entry.flags, entry.mode, path.as_bstr());
            }
        }
        partial.sort_entries();
        partial.remove_tree();
        let bytes = index_file::bytes(&partial, false).map_err(Error::git("write an index"))?;
        let partial = self.scratch_index()?;
        fs::write(&partial.path, bytes).map_err(Error::io("write", &partial.path))?;
        Ok(partial)
    }

    /// Returns a path for an index that git itself creates; the file does not exist yet.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn scratch_index(&self) -> Result<PartialIndex> {
        let dir = self.git_dir();
        let owner = Temp::new_in(dir).map_err(Error::io("create a file in", dir))?;
        let path = owner.path().with_extension("index");
        Ok(PartialIndex { path, _owner: owner })
    }
}

fn copy_stat(partial: &mut State, index: &State) {
    for (entry, path) in partial.entries_mut_with_paths() {
        match index.entry_by_path(path) {
            Some(known) if known.id == entry.id && known.mode == entry.mode => {
                (entry.stat, entry.flags) = (known.stat, known.flags);
            }
            // The index has another blob: the working-tree file is not this one, and its length shows that without a
            // read.
            _ => entry.stat.size = u32::MAX,
        }
    }
}
