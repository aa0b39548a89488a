//! [`Claim`] gives a file to one process at a time, and a temporary file to any other process.
//!
//! Invariant: the file of a name is open in one process ([`exclusive`]), any other process gets a temporary file of its
//! own; a link at the path is not followed. The module does not know the contents of the file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::exclusive;
use super::store::{Error, Store};
use super::temp::Temp;

/// A file that this process writes.
#[derive(Debug)]
pub(super) enum Claim {
    /// The file of this name. If dropped, it stays for a later run.
    Named(File, PathBuf),
    /// A temporary file, because another process has the named one; removed when dropped.
    Own(Temp),
}

impl Claim {
    /// Opens the file of a name, which need not exist.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub(super) fn open(store: &Store, path: PathBuf, access: Access) -> Result<Self, Error> {
        store.make_dirs(path.parent().unwrap_or(store.dir()))?;
        match lock(&path, access).map_err(Error::io("open", &path))? {
            Some(file) => Ok(Self::Named(file, path)),
            None => Ok(Self::Own(store.temp()?)),
        }
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::Named(file, _) => file,
            Self::Own(temp) => temp.file(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Named(_, path) => path,
            Self::Own(temp) => temp.path(),
        }
    }

    /// Returns its path, if it is the file of the name.
    pub(super) fn named(&self) -> Option<&Path> {
        matches!(self, Self::Named(..)).then(|| self.path())
    }

    /// Removes the file.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub(super) fn discard(self) -> Result<(), Error> {
        match self {
            Self::Named(_, path) => fs::remove_file(&path).map_err(Error::io("remove", path)),
            Self::Own(_) => Ok(()),
        }
    }

    /// Renames the file permanently.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn rename(self, to: &Path) -> io::Result<()> {
        match self {
            Self::Named(_, path) => fs::rename(path, to),
            Self::Own(temp) => temp.rename(to).map(drop).map_err(|(error, _)| error),
        }
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// After its existing bytes.
    Behind,
    /// At any offset.
    Anywhere,
}

/// Opens a file and locks it; `None` if another process has it. A link or a directory at the path is never opened.
pub(super) fn lock(path: &Path, access: Access) -> io::Result<Option<File>> {
    let mut tries = 0;
    for _ in 0..64 {
        if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) {
            fs::remove_file(path)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).append(access == Access::Behind).create(true);
        match exclusive::open(&mut options, path)? {
            Some(file) if is_at(&file, path)? => return Ok(Some(file)),
            // Its owner renamed it between our opening and our lock: the name is free again.
            Some(_) => {}
            // A child process inherits our files until it executes its program.
            None if tries < 20 => {
                tries += 1;
                thread::sleep(Duration::from_millis(5));
            }
            None => return Ok(None),
        }
    }
    Ok(None)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}
