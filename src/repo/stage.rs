//! Stages [`Change`]s to the index, all in one write.
//!
//! An entry names the blob (for a weight file the pointer text) and contains the stat data of the *working-tree file*.
//! So git need not read the file: it compares stat data, finds no change, and runs no filter.
//!
//! Invariants: the index is replaced completely or not at all; entries of other paths keep their flags; cached trees
//! are dropped, because with a stale one the next commit would leave the file out; and no entry that was in doubt
//! becomes clean (see [`distrust_racy_entries`]).

use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice as _};
use gix::index::entry::{Flags, Mode, Stage, Stat};
use gix::index::{State, fs::Metadata};

use super::lock::{self, Snapshot};
use super::{Error, ObjectId, Repo, Result, index_file};
use crate::lfs::Target;

/// How often another process may change the index before we give up.
const ATTEMPTS: usize = 8;

/// One change to the index.
#[derive(Debug, Clone)]
pub enum Change {
    /// Sets the content of a path.
    Add {
        /// The path from the top of the working tree.
        path: BString,
        /// The content of the blob: for a file under Git LFS its pointer.
        blob: Vec<u8>,
        /// The working-tree file whose stat data go into the index. `None` if that file has another content, and git
        /// must compare them.
        stat_of: Option<PathBuf>,
        /// `true` if the file is executable.
        executable: bool,
    },
    /// Removes a path from the index; the working-tree file stays.
    Remove {
        /// The path from the top of the working tree.
        path: BString,
    },
}

impl Change {
    fn path(&self) -> &BStr {
        match self {
            Self::Add { path, .. } | Self::Remove { path } => path.as_ref(),
        }
    }
}

/// The new entry of a path.
struct NewEntry<'a> {
    path: &'a BStr,
    id: ObjectId,
    mode: Mode,
    stat: Stat,
}

impl Repo {
    /// Writes the blobs, then makes all changes to the index at once, removals first.
    ///
    /// # Errors
    /// [`Error::IndexLocked`], [`Error::IndexUnstable`], [`Error::PathConflict`], [`Error::Unmerged`],
    /// [`Error::NotTracked`], an invalid path as [`Error::Place`], or an error of git's files or the system. Then the
    /// index is unchanged.
    pub fn stage(&self, changes: &[Change]) -> Result<()> {
        let mut added = Vec::new();
        for change in changes {
            Target::new(self.work_dir(), change.path())?;
            if let Change::Add { path, blob, stat_of, executable } = change {
                let mode = if *executable { Mode::FILE_EXECUTABLE } else { Mode::FILE };
                let stat = stat_of.as_ref().map(|file| stat_of_file(file)).transpose()?.unwrap_or_default();
                let id = self.write_blob(blob)?;
                added.push(NewEntry { path: path.as_ref(), id, mode, stat });
            }
        }
        let path = self.index_path();
        lock::sweep(&path)?;
        let skip_hash = self.config_bool("index.skipHash").unwrap_or(false);
        for _ in 0..ATTEMPTS {
            let seen = Snapshot::take(&path)?;
            let mut index = self.read_index()?;
            distrust_racy_entries(&mut index);
            self.expand(&mut index, |dir| changes.iter().any(|change| change.path().starts_with(dir)))?;
            for change in changes {
                if let Change::Remove { path } = change {
                    remove(&mut index, path.as_ref())?;
                }
            }
            for entry in &added {
                check_conflicts(&index, entry.path)?;
                put(&mut index, entry);
            }
            index.remove_tree();
            let bytes = index_file::bytes(&index, skip_hash).map_err(Error::git("write the index"))?;
            if lock::replace_index(&path, &bytes, &seen)? {
                return Ok(());
            }
        }
        Err(Error::IndexUnstable)
    }
}

/// Returns the stat data that git expects.
fn stat_of_file(path: &std::path::Path) -> Result<Stat> {
    let meta = Metadata::from_path_no_follow(path).map_err(Error::io("read the metadata of", path))?;
    let mut stat =
        Stat::from_fs(&meta).map_err(std::io::Error::other).map_err(Error::io("read the times of", path))?;
    // The index has 32 bits for a length. Zero means "unknown", so git stores another value for a multiple of 4 GiB
    // (`munge_st_size` in statinfo.c, since git 2.43).
    if stat.size == 0 && meta.len() > 0 {
        stat.size = 1 << 31;
    }
    Ok(stat)
}

/// Entries as new as the index are in doubt: their file may have changed after it was read, in the same second. The new
/// index will be newer, so the doubt would be lost. A length of zero makes git read the content, as in
/// `ce_smudge_racily_clean_entry` of git.
fn distrust_racy_entries(index: &mut State) {
    let written = index.timestamp().unix_seconds();
    for entry in index.entries_mut() {
        if i64::from(entry.stat.mtime.secs) >= written && !entry.mode.is_submodule() {
            entry.stat.size = 0;
        }
    }
}

fn remove(index: &mut State, path: &BStr) -> Result<()> {
    if index.entry_range(path).is_none() {
        return Err(Error::NotTracked { path: path.to_owned() });
    }
    index.remove_entries(|_, other, _| other == path);
    Ok(())
}

/// A path cannot be a file and a directory, and only the user can finish a merge.
fn check_conflicts(index: &State, path: &BStr) -> Result<()> {
    let conflict = |other: &BStr| Error::PathConflict { path: path.to_owned(), other: other.to_owned() };
    let range = index.entry_range(path);
    let entries = range.and_then(|range| index.entries().get(range)).unwrap_or_default();
    if entries.iter().any(|entry| entry.stage() != Stage::Unconflicted) {
        return Err(Error::Unmerged { path: path.to_owned() });
    }
    if entries.iter().any(|entry| entry.mode.is_submodule()) {
        return Err(conflict(path));
    }
    for at in path.find_iter(b"/") {
        let parent = BStr::new(path.get(..at).unwrap_or_default());
        if index.entry_range(parent).is_some() {
            return Err(conflict(parent));
        }
    }
    let mut below = path.to_owned();
    below.push(b'/');
    match index.prefixed_entries(below.as_ref()).unwrap_or_default().first() {
        Some(entry) => Err(conflict(entry.path(index))),
        None => Ok(()),
    }
}

fn put(index: &mut State, new: &NewEntry<'_>) {
    if let Some(entry) = index.entry_mut_by_path_and_stage(new.path, Stage::Unconflicted) {
        (entry.id, entry.mode, entry.stat) = (new.id, new.mode, new.stat);
        // The file is in the working tree now, and its content is known.
        entry
            .flags
            .remove(Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD | Flags::EXTENDED | Flags::ASSUME_VALID);
    } else {
        index.dangerously_push_entry(new.stat, new.id, Flags::empty(), new.mode, new.path);
        index.sort_entries();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(paths: &[(&str, u32)]) -> State {
        let kind = gix::hash::Kind::Sha1;
        let mut state = State::new(kind);
        for (path, stage) in paths {
            let flags = Flags::from_bits_retain(stage << 12);
            state.dangerously_push_entry(Stat::default(), kind.null(), flags, Mode::FILE, (*path).into());
        }
        state.sort_entries();
        state
    }

    #[test]
    fn a_file_and_a_directory_exclude_each_other() {
        let index = index(&[("a", 0), ("b/c", 0), ("m", 1), ("m", 3), ("b.c", 0)]);
        for path in ["a", "b/c", "b/d", "new", "ab", "b-c"] {
            check_conflicts(&index, path.into()).unwrap();
        }
        for (path, with) in [("a/b", "a"), ("a/b/c", "a"), ("b", "b/c"), ("b/c/d", "b/c")] {
            let err = check_conflicts(&index, path.into()).unwrap_err();
            assert!(matches!(&err, Error::PathConflict { other, .. } if other == with), "{err}");
        }
        assert!(matches!(check_conflicts(&index, "m".into()), Err(Error::Unmerged { .. })));
    }

    #[test]
    fn what_is_removed_must_be_there() {
        let mut index = index(&[("a", 0), ("b", 0)]);
        remove(&mut index, "a".into()).unwrap();
        assert!(matches!(remove(&mut index, "a".into()), Err(Error::NotTracked { .. })));
        assert_eq!(index.entries().len(), 1);
    }
}
