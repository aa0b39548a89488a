//! Opens files for one process alone: by an advisory lock (flock) on Unix, by what the file is shared for on Windows.
//!
//! On Windows a lock is no advice: nobody could read the bytes of a locked file, and neither could this process with a
//! second handle. But the system compares what each open handle does with what every other one allows: a file is in
//! use as long as it is open for writing, and everybody may read it.
//!
//! Invariant: a file or directory is free again at the moment when its process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

#[cfg(unix)]
pub(super) use unix::{hold, open};
#[cfg(unix)]
pub(crate) use unix::{hold_dir, open_abandoned};
#[cfg(not(unix))]
pub(super) use windows::{hold, open};
#[cfg(not(unix))]
pub(crate) use windows::{hold_dir, open_abandoned};

#[cfg(unix)]
mod unix {
    use std::fs::TryLockError;
    use std::os::unix::fs::MetadataExt as _;

    use super::{File, OpenOptions, Path, io};

    /// Opens a file for writing that no other process has; `None` if one has it. A file system without locks: this
    /// works as long as only one process uses the file.
    pub(in super::super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<Option<File>> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW.bits();
        options.custom_flags(i32::try_from(flags).map_err(io::Error::other)?);
        let file = options.open(path)?;
        Ok(if is_free(&file) == Some(false) { None } else { Some(file) })
    }

    /// Shows other processes that a new file is in use. Returns `false` if one of them has it, or has removed it:
    /// between its creation and its lock it looked abandoned. On a file system without locks, none finds it abandoned.
    pub(in super::super) fn hold(file: &File) -> io::Result<bool> {
        match is_free(file) {
            Some(true) => Ok(file.metadata()?.nlink() > 0),
            Some(false) => Ok(false),
            None => Ok(true),
        }
    }

    /// Shows other processes that a new directory is in use, as long as the file lives. `None` if one of them has it.
    pub(crate) fn hold_dir(path: &Path) -> io::Result<Option<File>> {
        let dir = File::open(path)?;
        Ok(if is_free(&dir) == Some(false) { None } else { Some(dir) })
    }

    /// Opens a file or directory that no living process has; `None` if one has it, or if nothing shows it.
    pub(crate) fn open_abandoned(path: &Path) -> io::Result<Option<File>> {
        let file = File::open(path)?;
        Ok(if is_free(&file) == Some(true) { Some(file) } else { None })
    }

    /// Locks a file. `None` if its file system has no locks.
    fn is_free(file: &File) -> Option<bool> {
        match file.try_lock() {
            Ok(()) => Some(true),
            Err(TryLockError::WouldBlock) => Some(false),
            Err(TryLockError::Error(_)) => None,
        }
    }
}

#[cfg(not(unix))]
mod windows {
    use std::os::windows::fs::OpenOptionsExt as _;

    use super::{File, OpenOptions, Path, io};

    /// `FILE_SHARE_READ | FILE_SHARE_DELETE`: another handle may read the file, rename and remove it, but not write.
    const NOT_FOR_WRITING: u32 = 1 | 4;
    /// `FILE_FLAG_BACKUP_SEMANTICS`, without which no directory is opened.
    const ALSO_DIRECTORIES: u32 = 0x0200_0000;
    /// `ERROR_SHARING_VIOLATION`.
    const IN_USE: i32 = 32;

    /// Opens a file for writing that no other process has open for writing; `None` if one has.
    pub(in super::super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<Option<File>> {
        unless_in_use(options.share_mode(NOT_FOR_WRITING).open(path))
    }

    /// A new file is open for writing, which is enough.
    #[expect(clippy::unnecessary_wraps, reason = "a lock may fail on other systems")]
    pub(in super::super) fn hold(_: &File) -> io::Result<bool> {
        Ok(true)
    }

    /// Shows other processes that a new directory is in use, as long as the file lives. `None` if one of them has it.
    pub(crate) fn hold_dir(path: &Path) -> io::Result<Option<File>> {
        unless_in_use(File::options().read(true).write(true).custom_flags(ALSO_DIRECTORIES).open(path))
    }

    /// Opens a file or directory that no living process has; `None` if one has it.
    pub(crate) fn open_abandoned(path: &Path) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        unless_in_use(
            options.read(true).share_mode(NOT_FOR_WRITING).custom_flags(ALSO_DIRECTORIES).open(path),
        )
    }

    fn unless_in_use(opened: io::Result<File>) -> io::Result<Option<File>> {
        match opened {
            Err(err) if err.raw_os_error() == Some(IN_USE) => Ok(None),
            opened => opened.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn one_process_has_a_file_and_others_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "content").unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = open(&mut options, &path).unwrap().expect("nobody has it");
        assert!(open(&mut options, &path).unwrap().is_none());
        assert!(open_abandoned(&path).unwrap().is_none());
        assert_eq!(fs::read(&path).unwrap(), b"content");
        drop(file);
        assert!(open_abandoned(&path).unwrap().is_some());
        assert!(open(&mut options, &path).unwrap().is_some());
        assert_eq!(open_abandoned(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_directory_in_use_is_used_and_then_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dir");
        fs::create_dir(&path).unwrap();
        let held = hold_dir(&path).unwrap().expect("nobody has it");
        fs::write(path.join("file"), "content").unwrap();
        assert!(open_abandoned(&path).unwrap().is_none());
        drop(held);
        let abandoned = open_abandoned(&path).unwrap().expect("nobody has it");
        fs::remove_dir_all(&path).unwrap();
        drop(abandoned);
        assert!(!path.exists());
    }

    #[test]
    fn a_new_file_is_held_and_may_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let new = File::create_new(&path).unwrap();
        assert!(hold(&new).unwrap());
        assert!(open_abandoned(&path).unwrap().is_none());
        drop(new);
        let abandoned = open_abandoned(&path).unwrap().expect("nobody has it");
        fs::remove_file(&path).unwrap();
        drop(abandoned);
        assert!(!path.exists());
    }
}
