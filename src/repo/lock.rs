//! Replaces the index so that no kill at any instant leaves it half-written or locked permanently.
//!
//! ```text
//! index dir/st-convert-<pid>-…    the new index, written and synced, under an advisory lock of its process
//!   link  → index.lock            git's own lock; fails if another process has it
//!   rename index.lock → index     if the index is still the one that was read
//!   unlink the first name
//! ```
//!
//! Killed before the link: the index is unchanged and unlocked. Killed between link and rename: `index.lock` is the
//! same file as the leftover, so [`sweep`] knows that it is ours and that its process is dead. Killed after the rename:
//! the index is the new one, and the leftover is only a second name of it.
//!
//! Invariant: a lock that is not ours, or whose process lives, is never removed.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::lfs::{Temp, sync_parent, temp};

/// An index file as it was when it was read. On Unix it stays open, so its inode cannot be reused for another file;
/// Windows does not replace a file that is open.
pub(super) struct Snapshot(Option<Seen>);

#[cfg(unix)]
type Seen = File;
#[cfg(not(unix))]
type Seen = Metadata;

impl Snapshot {
    /// Opens the current file, which need not exist.
    pub(super) fn take(path: &Path) -> Result<Self> {
        #[cfg(unix)]
        let seen = File::open(path);
        #[cfg(not(unix))]
        let seen = fs::metadata(path);
        match seen {
            Ok(seen) => Ok(Self(Some(seen))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Self(None)),
            Err(err) => Err(Error::io("read", path)(err)),
        }
    }

    /// Returns `true` if it is still the file at `path`. Every program replaces an index by a rename, so the check
    /// compares the identity of the file; it also compares time and length for programs that do not.
    fn is_current(&self, path: &Path) -> io::Result<bool> {
        let now = match fs::metadata(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(self.0.is_none()),
            now => now?,
        };
        match &self.0 {
            None => Ok(false),
            Some(seen) => {
                #[cfg(unix)]
                let then = &seen.metadata()?;
                #[cfg(not(unix))]
                let then = seen;
                Ok(same_file(then, &now) && then.len() == now.len() && then.modified()? == now.modified()?)
            }
        }
    }
}

/// Replaces the index by `bytes`. Returns `false`, without a change, if the index is not the one of `seen` any more.
pub(super) fn replace_index(path: &Path, bytes: &[u8], seen: &Snapshot) -> Result<bool> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let temp = Temp::new_in(dir).map_err(Error::io("create a file in", dir))?;
    write(temp.file(), bytes, path).map_err(Error::io("write", temp.path()))?;
    let lock = lock_path(path);
    match fs::hard_link(temp.path(), &lock) {
        Ok(()) => {}
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Err(Error::IndexLocked { lock }),
        Err(_) => copy_to_lock(bytes, path, &lock)?,
    }
    let replaced = match seen.is_current(path) {
        Ok(true) => fs::rename(&lock, path).map(|()| true),
        other => other.map(|_| false),
    };
    if !matches!(replaced, Ok(true)) {
        fs::remove_file(&lock).map_err(Error::io("remove", &lock))?;
    }
    let replaced = replaced.map_err(Error::io("replace", path))?;
    if replaced {
        sync_parent(path).map_err(Error::io("sync the directory of", path))?;
    }
    Ok(replaced)
}

/// For a file system without hard links: the lock is git's, and a kill leaves it as a kill of git would.
fn copy_to_lock(bytes: &[u8], path: &Path, lock: &Path) -> Result<()> {
    let file = File::options().write(true).create_new(true).open(lock).map_err(|err| match err.kind() {
        io::ErrorKind::AlreadyExists => Error::IndexLocked { lock: lock.to_owned() },
        _ => Error::io("create", lock)(err),
    })?;
    write(&file, bytes, path).map_err(|err| {
        let _left_behind = fs::remove_file(lock);
        Error::io("write", lock)(err)
    })
}

fn write(mut file: &File, bytes: &[u8], index: &Path) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Ok(old) = fs::metadata(index) {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()
}

/// Removes the leftovers of dead processes next to the index, and the lock of the index if it is one of them. Returns
/// the number of leftovers.
pub(super) fn sweep(index: &Path) -> Result<usize> {
    let dir = index.parent().unwrap_or(Path::new("."));
    let lock = lock_path(index);
    let removed = temp::sweep(dir, |leftover| match fs::symlink_metadata(&lock) {
        Ok(meta) if cfg!(unix) && same_file(&meta, &leftover.metadata()?) => fs::remove_file(&lock),
        _ => Ok(()),
    });
    removed.map_err(Error::io("sweep", dir))
}

fn lock_path(index: &Path) -> PathBuf {
    let mut name = index.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    index.with_file_name(name)
}

#[cfg(unix)]
fn same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Without stable file numbers, only time and length can be compared, which two new files may share: no lock counts as
/// ours.
#[cfg(not(unix))]
fn same_file(a: &Metadata, b: &Metadata) -> bool {
    a.created().ok() == b.created().ok() && a.modified().ok() == b.modified().ok() && a.len() == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_index_is_replaced_only_if_it_is_the_one_that_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("index");
        let absent = Snapshot::take(&index).unwrap();
        assert!(replace_index(&index, b"one", &absent).unwrap());
        assert!(!replace_index(&index, b"two", &absent).unwrap());
        let seen = Snapshot::take(&index).unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "abc").unwrap();
        fs::rename(&other, &index).unwrap();
        assert!(!replace_index(&index, b"two", &seen).unwrap());
        assert_eq!(fs::read(&index).unwrap(), b"abc");
        assert_eq!(names(dir.path()), ["index"]);
    }

    #[test]
    fn a_lock_of_somebody_else_is_respected() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("index");
        fs::write(dir.path().join("index.lock"), "").unwrap();
        fs::write(dir.path().join("st-convert-1-dead"), "").unwrap();
        let seen = Snapshot::take(&index).unwrap();
        assert_eq!(sweep(&index).unwrap(), 1);
        assert!(matches!(replace_index(&index, b"new", &seen), Err(Error::IndexLocked { .. })));
        assert_eq!(names(dir.path()), ["index.lock"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_lock_of_a_dead_run_is_swept_and_that_of_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("index");
        let lock = dir.path().join("index.lock");
        let leftover = dir.path().join("st-convert-1-dead");
        fs::write(&leftover, "new").unwrap();
        fs::hard_link(&leftover, &lock).unwrap();
        assert_eq!(sweep(&index).unwrap(), 1);
        assert!(names(dir.path()).is_empty());

        let living = Temp::new_in(dir.path()).unwrap();
        fs::hard_link(living.path(), &lock).unwrap();
        assert_eq!(sweep(&index).unwrap(), 0);
        assert!(lock.exists());
    }
}
