//! Opens and reads regular files, and nothing else, because a pipe waits for its other end, and a device may do
//! anything.
//!
//! Invariant: the open file is the checked file: if the file becomes a pipe in between, the program does not wait for
//! it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::directory::without_waiting;
use super::worktree_file::Error;

/// Opens a file, or the target of a link.
///
/// # Errors
/// [`Error::NotRegular`], or [`Error::Io`] with the error of the system.
pub fn open(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::not_regular(metadata.file_type()));
    }
    let file = without_waiting(path, false).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() { Ok(file) } else { Err(Error::not_regular(metadata.file_type())) }
}

/// Reads a whole file; `None` if it does not exist or is not a regular file.
///
/// # Errors
/// The error of the system.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = match open(path) {
        Ok(file) => file,
        Err(Error::Io { source, .. }) if source.kind() != io::ErrorKind::NotFound => return Err(source),
        Err(_) => return Ok(None),
    };
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(Some(text))
}
