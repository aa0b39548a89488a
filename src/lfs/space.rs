//! Checks the free space of a disk before long work.
//!
//! The result is valid for a moment: another program may write meanwhile, and a quota may be smaller than the free
//! space.

use std::fs;
use std::path::{Path, PathBuf};

use crate::size::two;

/// The disk has less free space than the work needs.
#[derive(Debug, thiserror::Error)]
#[error("not enough space in {}: {} needed, {} free", dir.display(), two(*needed, *free)[0], two(*needed, *free)[1])]
pub struct NoSpace {
    /// The directory.
    pub dir: PathBuf,
    /// How many bytes the work writes.
    pub needed: u64,
    /// How many bytes are free.
    pub free: u64,
    /// `true` if the content fits into LFS storage, and only its copy in the working tree does not.
    pub is_of_copy: bool,
}

/// Checks that this many bytes are free on the disk of `dir`, which need not exist yet. Succeeds if the system does not
/// report it.
///
/// # Errors
/// [`NoSpace`]
pub fn check(dir: &Path, needed: u64) -> Result<(), NoSpace> {
    match free(dir) {
        Some(free) if free < needed => Err(NoSpace { dir: dir.to_owned(), needed, free, is_of_copy: false }),
        _ => Ok(()),
    }
}

/// Returns how many bytes are free for this user on the disk of `dir`, which need not exist yet. `None` if the system
/// does not report it.
#[cfg(unix)]
fn free(dir: &Path) -> Option<u64> {
    let there = dir.ancestors().find(|dir| dir.is_dir())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Returns how many bytes are free for this user on the disk of `dir`, which need not exist yet. `None` if the system
/// does not report it.
#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

/// Returns `true` if both directories, or their nearest existing parents, are on one file system.
#[cfg(unix)]
pub fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |dir: &Path| {
        let there = dir.ancestors().find(|dir| dir.is_dir())?;
        Some(fs::metadata(there).ok()?.dev())
    };
    device(one) == device(other)
}

/// Returns `true`: the system does not report the file system of a directory.
#[cfg(not(unix))]
pub fn is_same(_: &Path, _: &Path) -> bool {
    true
}

/// Returns how many bytes a file uses on the disk; the length of a file with holes does not show it. 0 if it does not
/// exist.
pub(super) fn taken(path: &Path) -> u64 {
    let there = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    there.map_or(0, |there| blocks(&there))
}

#[cfg(unix)]
fn blocks(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata).saturating_mul(512)
}

#[cfg(not(unix))]
fn blocks(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_known_of_directories_to_come_too() {
        let dir = tempfile::tempdir().unwrap();
        let near = |a: u64, b: u64| a.abs_diff(b) < 1 << 30;
        let here = free(dir.path()).unwrap();
        assert!(here > 0 && near(free(&dir.path().join("a/b/c")).unwrap(), here));
        assert_eq!(taken(dir.path()), 0);
        assert_eq!(taken(&dir.path().join("none")), 0);
    }

    #[test]
    fn holes_take_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 30).unwrap();
        assert!(taken(file.path()) < 1 << 20);
    }
}
