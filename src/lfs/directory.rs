//! Opens files of which only the type at the time of the open counts: a pipe does not wait for its other end.
//!
//! Invariant: [`open_itself`] and [`Directory::open_itself`] do not follow a link at the last name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Opens a file that was found to be a regular file under its own name; not a link that has replaced it since.
///
/// # Errors
/// The error of the system.
pub fn open_itself(path: &Path) -> io::Result<File> {
    without_waiting(path, true)
}

/// A directory below which many files are opened. If possible, its own path is looked up only once.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    #[cfg(unix)]
    handle: Option<rustix::fd::OwnedFd>,
}

impl Directory {
    /// Takes a directory, which need not exist.
    pub fn new(path: PathBuf) -> Self {
        #[cfg(unix)]
        let handle = {
            use rustix::fs::{Mode, OFlags};
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
        };
        Self {
            path,
            #[cfg(unix)]
            handle,
        }
    }

    /// Opens a file below it, as [`open_itself`] does.
    ///
    /// # Errors
    /// The error of the system.
    pub fn open_itself(&self, name: &str) -> io::Result<File> {
        #[cfg(unix)]
        if let Some(handle) = &self.handle {
            use rustix::fs::{Mode, OFlags};
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            return Ok(rustix::fs::openat(handle, name, flags, Mode::empty())?.into());
        }
        open_itself(&self.path.join(name))
    }
}

/// Opens a file for reading: with `is_itself` not through a link.
#[cfg(unix)]
pub(super) fn without_waiting(path: &Path, is_itself: bool) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = if is_itself { OFlags::NONBLOCK | OFlags::NOFOLLOW } else { OFlags::NONBLOCK };
    File::options().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)
}

/// Opens a file for reading.
#[cfg(not(unix))]
pub(super) fn without_waiting(path: &Path, _: bool) -> io::Result<File> {
    File::open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_file_below_a_directory_is_opened_and_a_link_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("ab")).unwrap();
        let late = Directory::new(dir.path().join("cd"));
        fs::create_dir(dir.path().join("cd")).unwrap();
        for (below, directory) in [("ab", Directory::new(dir.path().to_owned())), ("cd", late)] {
            let name = if below == "ab" { "ab/file" } else { "file" };
            assert_eq!(directory.open_itself(name).unwrap_err().kind(), io::ErrorKind::NotFound);
            fs::write(dir.path().join(below).join("file"), below).unwrap();
            let mut text = String::new();
            directory.open_itself(name).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, below);
            #[cfg(unix)]
            {
                std::os::unix::fs::symlink("file", dir.path().join(below).join("link")).unwrap();
                assert!(directory.open_itself(&name.replace("file", "link")).is_err());
            }
        }
    }
}
