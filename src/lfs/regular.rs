//! Regular files, opened and read; nothing else is opened, because a pipe waits for its other end, and a device may do
//! anything.
//!
//! Invariant: what was looked at is what is open: a file that becomes a pipe in between is not waited for.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::worktree_file::Error;

/// Opens a file, or what a link leads to.
///
/// # Errors
/// [`Error::NotRegular`], or in [`Error::Io`] what the system reports.
pub fn open(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::not_regular(metadata.file_type()));
    }
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        options.custom_flags(i32::try_from(flags).unwrap_or_default());
    }
    let file = options.open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() { Ok(file) } else { Err(Error::not_regular(metadata.file_type())) }
}

/// Reads a file whole; `None` if nothing is there, or no regular file.
///
/// # Errors
/// What the system reports.
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
