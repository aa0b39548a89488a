//! Reads the index as [`Entry`]s, with the directories of a sparse index expanded.
//!
//! Invariant: entries are sorted as git sorts them, and each directory entry of a sparse index is replaced by its
//! files. The module writes nothing.

use std::path::{Path, PathBuf};

use bstr::{BStr, BString};
use gix::index::State;
use gix::index::entry::{self, Flags, Stat};

use super::{Error, Mode, ObjectId, Repo, Result};

/// The entry of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path from the top of the working tree, with `/` between its parts.
    pub path: BString,
    /// Its kind.
    pub mode: Mode,
    /// The blob, or for a submodule the commit.
    pub id: ObjectId,
    /// `true` if a sparse checkout leaves it out of the working tree.
    pub skip_worktree: bool,
    /// `true` after `git update-index --assume-unchanged`: git does not look at the file of the working tree.
    pub assume_unchanged: bool,
    /// `true` after `git add --intent-to-add`: the path is known, the content is not.
    pub intent_to_add: bool,
    /// 0, or in a merge conflict 1 (base), 2 (ours), 3 (theirs).
    pub stage: u8,
    /// The stat data of the working-tree file when it was staged.
    stat: Stat,
}

impl Entry {
    /// Returns `true` if the file of the working tree had these stat data when it was staged. A file that is as new as
    /// the index could have changed since: [`Repo::is_unchanged`].
    pub fn has_stat(&self, now: &FileStat) -> bool {
        let options = entry::stat::Options { use_nsec: true, ..entry::stat::Options::default() };
        now.0.matches(&self.stat, options)
    }

    /// Returns the stat data that the file was staged with.
    pub fn stat(&self) -> FileStat {
        FileStat(self.stat)
    }

    /// Returns the length of the file of the working tree when it was staged, in 32 bits.
    pub fn staged_len(&self) -> u32 {
        self.stat.size
    }
}

/// The stat data of a file, in the form of an index entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat(Stat);

impl FileStat {
    /// Reads the stat data of a regular file; `None` if it does not exist.
    pub fn of(file: &Path) -> Option<Self> {
        let metadata = gix::index::fs::Metadata::from_path_no_follow(file).ok()?;
        if !metadata.is_file() {
            return None;
        }
        Stat::from_fs(&metadata).ok().map(Self)
    }

    /// Returns `true` if the file was last written before the other.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.0.mtime < other.0.mtime
    }

    /// Returns them as numbers, to be stored.
    pub fn numbers(&self) -> [u32; 9] {
        let Stat { mtime, ctime, dev, ino, uid, gid, size } = self.0;
        [mtime.secs, mtime.nsecs, ctime.secs, ctime.nsecs, dev, ino, uid, gid, size]
    }

    /// Restores them from stored numbers.
    pub fn from_numbers(numbers: [u32; 9]) -> Self {
        let [modified, modified_nanos, changed, changed_nanos, dev, ino, uid, gid, size] = numbers;
        let time = |secs, nsecs| entry::stat::Time { secs, nsecs };
        let (mtime, ctime) = (time(modified, modified_nanos), time(changed, changed_nanos));
        Self(Stat { mtime, ctime, dev, ino, uid, gid, size })
    }
}

fn all(index: &State) -> Vec<Entry> {
    let entry = |entry: &gix::index::Entry| Entry {
        path: entry.path(index).to_owned(),
        mode: mode(entry.mode),
        id: entry.id,
        skip_worktree: entry.flags.contains(Flags::SKIP_WORKTREE),
        assume_unchanged: entry.flags.contains(Flags::ASSUME_VALID),
        intent_to_add: entry.flags.contains(Flags::INTENT_TO_ADD),
        stage: u8::try_from(entry.stage_raw()).unwrap_or_default(),
        stat: entry.stat,
    };
    index.entries().iter().map(entry).collect()
}

impl Repo {
    /// Returns every entry of the index, as it is on the disk now.
    ///
    /// # Errors
    /// [`Error::Git`] if the index, or a tree that a sparse index names, cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut index = self.read_index()?;
        self.expand(&mut index, |_| true)?;
        Ok(all(&index))
    }

    /// Returns every path of a commit, in the form of index entries.
    ///
    /// # Errors
    /// [`Error::Git`] if the commit, or one of its trees, cannot be read.
    pub fn entries_of(&self, commit: ObjectId) -> Result<Vec<Entry>> {
        let commit = self.inner.find_commit(commit).map_err(Error::git("read a commit"))?;
        let tree = commit.tree_id().map_err(Error::git("read a commit"))?;
        let index = self.inner.index_from_tree(&tree).map_err(Error::git("read the tree of a commit"))?;
        Ok(all(&index))
    }

    /// Returns the files of the index with this name, ignoring case, with their blobs: for an unmerged path, ours.
    ///
    /// # Errors
    /// As [`Repo::entries`].
    pub(super) fn staged_under(&self, name: &[u8]) -> Result<Vec<(BString, ObjectId)>> {
        let mut index = self.read_index()?;
        self.expand(&mut index, |_| true)?;
        let entries = index.entries().iter().filter(|entry| {
            let is_read = matches!(entry.stage_raw(), 0 | 2) && entry.mode != entry::Mode::COMMIT;
            let path = entry.path(&index);
            let start = path.len().saturating_sub(name.len());
            let is_whole = start == 0 || path.get(start - 1) == Some(&b'/');
            is_read && is_whole && path.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(name))
        });
        Ok(entries.map(|entry| (entry.path(&index).to_owned(), entry.id)).collect())
    }

    /// Returns `true` if the stat data of one file are the same at two times, compared as git does, in nanoseconds.
    pub fn is_same_stat(&self, one: &FileStat, other: &FileStat) -> bool {
        let options = self.inner.stat_options().unwrap_or_default();
        one.0.matches(&other.0, entry::stat::Options { use_nsec: true, ..options })
    }

    /// Returns `true` if git considers the file of the working tree unchanged without reading it: it has the stat data
    /// that it was staged with, and is older than the index.
    pub fn is_unchanged(&self, entry: &Entry, file: &Path) -> bool {
        let now = gix::index::fs::Metadata::from_path_no_follow(file).ok();
        let now = now.and_then(|metadata| Stat::from_fs(&metadata).ok()).map(FileStat);
        now.is_some_and(|now| {
            entry.has_stat(&now) && self.index_stat().is_none_or(|index| now.is_older_than(&index))
        })
    }

    /// Returns `true` if an index entry has the length zero in place of the file's: git sets it for an entry as new as
    /// the index, which proves nothing about the content (`ce_smudge_racily_clean_entry`).
    pub fn is_in_doubt(&self, entry: &FileStat, now: &FileStat) -> bool {
        let with_length = FileStat(Stat { size: now.0.size, ..entry.0 });
        entry.0.size == 0 && now.0.size != 0 && self.is_same_stat(&with_length, now)
    }

    /// Returns the stat data of the index itself: a file that is not older may have changed since, whatever its entry
    /// states.
    pub fn index_stat(&self) -> Option<FileStat> {
        FileStat::of(&self.index_path())
    }

    /// Returns the path of the index; `GIT_INDEX_FILE` decides inside a hook.
    pub(super) fn index_path(&self) -> PathBuf {
        let path = self.inner.index_path();
        // git locks and replaces the target of a link.
        if path.is_symlink() { path.canonicalize().unwrap_or(path) } else { path }
    }

    /// Reads the index on the disk, or returns an empty one if none exists.
    pub(super) fn read_index(&self) -> Result<gix::index::File> {
        let path = self.index_path();
        if path.try_exists().map_err(Error::io("read", &path))? {
            self.inner.open_index().map_err(Error::git("read the index"))
        } else {
            Ok(gix::index::File::from_state(State::new(self.inner.object_hash()), path))
        }
    }

    /// Replaces each directory entry of a sparse index for which `wanted` (called with its final `/`) returns `true` by
    /// its files.
    pub(super) fn expand(&self, index: &mut State, wanted: impl Fn(&BStr) -> bool) -> Result<()> {
        let mut directories = Vec::new();
        index.remove_entries(|_, path, entry| {
            let expands = entry.mode.is_sparse() && wanted(path);
            if expands {
                directories.push((path.to_owned(), entry.id));
            }
            expands
        });
        if directories.is_empty() {
            return Ok(());
        }
        while let Some((dir, tree)) = directories.pop() {
            let tree = self.inner.find_tree(tree).map_err(Error::git("read a tree of the sparse index"))?;
            for item in tree.iter() {
                let item = item.map_err(Error::git("read a tree of the sparse index"))?;
                let mut path = dir.clone();
                path.extend_from_slice(item.filename());
                match entry::Mode::from_bits(u32::from(item.mode().value())) {
                    Some(entry::Mode::DIR) => {
                        path.push(b'/');
                        directories.push((path, item.object_id()));
                    }
                    mode => {
                        let flags = Flags::EXTENDED | Flags::SKIP_WORKTREE;
                        let mode = mode.unwrap_or(entry::Mode::FILE);
                        let stat = Stat::default();
                        index.dangerously_push_entry(stat, item.object_id(), flags, mode, path.as_ref());
                    }
                }
            }
        }
        index.sort_entries();
        Ok(())
    }
}

fn mode(mode: entry::Mode) -> Mode {
    match mode {
        entry::Mode::FILE_EXECUTABLE => Mode::Executable,
        entry::Mode::SYMLINK => Mode::Symlink,
        entry::Mode::COMMIT => Mode::Submodule,
        _ => Mode::File,
    }
}
