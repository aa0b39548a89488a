//! [`Temp`] is a temporary file that other processes recognize as in use for as long as its process lives.
//!
//! Invariant: a living process holds each of its temporary files ([`exclusive`]), and no process removes a held one. It
//! is a lock, not a process ID in the name, because the kernel releases a lock at the moment of death, while an ID is
//! reused, and belongs to another process inside a container or on another machine. The module does not know the purpose
//! of a file, and keeps no list: the names and the locks are the whole record.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tempfile::{NamedTempFile, PersistError};

use super::exclusive;

/// The prefix of the names of our temporary files, in a directory of git's.
pub(crate) const PREFIX: &str = "st-convert-";

/// The prefix next to files of the user.
const HIDDEN_PREFIX: &str = ".st-convert-";

/// How many milliseconds it waits on Windows before it tries again to replace a file.
const PAUSES: [u64; 5] = [0, 10, 20, 40, 80];

/// A temporary file; removed when dropped, and by the next sweep if its process died.
#[derive(Debug)]
pub struct Temp {
    file: NamedTempFile,
}

impl Temp {
    /// Creates an empty file in a directory of git's, with the permissions of any new file.
    ///
    /// # Errors
    /// An error of the system; the directory must exist.
    pub fn new_in(dir: &Path) -> io::Result<Self> {
        Self::with_prefix(dir, PREFIX)
    }

    /// As [`Temp::new_in`], with a name that hides it in a working tree.
    ///
    /// # Errors
    /// An error of the system; the directory must exist.
    pub fn hidden_in(dir: &Path) -> io::Result<Self> {
        Self::with_prefix(dir, HIDDEN_PREFIX)
    }

    fn with_prefix(dir: &Path, prefix: &str) -> io::Result<Self> {
        let name = format!("{prefix}{}-", std::process::id());
        for _ in 0..16 {
            let file = create(dir, &name)?;
            if exclusive::hold(file.as_file())? {
                return Ok(Self { file });
            }
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "another process keeps removing the temporary files"))
    }

    /// Returns the open file.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives the file its final name and replaces the file of that name; a symbolic link is itself replaced.
    ///
    /// # Errors
    /// An error of the system; the temporary file is returned complete.
    pub fn rename(self, to: &Path) -> Result<File, (io::Error, Self)> {
        let mut last = match self.file.persist(to) {
            Err(err) if cfg!(windows) && err.error.kind() == io::ErrorKind::PermissionDenied => err,
            renamed => return renamed.map_err(Self::back),
        };
        // A file that is open somewhere, or read-only, is replaced all the same where its file system can do that; and
        // a scanner of viruses has a new file open for a moment, for which git waits in the same way.
        for pause in PAUSES {
            thread::sleep(Duration::from_millis(pause));
            match fs::rename(last.file.path(), to) {
                Ok(()) => return Ok(last.file.into_parts().0),
                Err(error) => last.error = error,
            }
        }
        Err(Self::back(last))
    }

    /// As [`Temp::rename`], and an error if the name is taken.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or what the system reports.
    pub fn rename_new(self, to: &Path) -> Result<File, (io::Error, Self)> {
        self.file.persist_noclobber(to).map_err(Self::back)
    }

    fn back(err: PersistError) -> (io::Error, Self) {
        (err.error, Self { file: err.file })
    }
}

fn create(dir: &Path, name: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(name);
    // Without this, only the owner could read the file; the umask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

/// Opens a file whose process is gone; `None` if it lives. `<name>.<anything>` lives as long as `<name>`: a program that
/// we start may replace it by a file of its own, which we do not hold.
fn dead(path: &Path) -> Option<File> {
    let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    if name.strip_prefix(b".").unwrap_or(name).contains(&b'.') {
        let owner = path.with_extension("").with_extension("");
        let is_gone = match exclusive::open_abandoned(&owner) {
            Ok(owner) => owner.is_some(),
            Err(err) => err.kind() == io::ErrorKind::NotFound,
        };
        return if is_gone { File::open(path).ok() } else { None };
    }
    exclusive::open_abandoned(path).ok().flatten()
}

/// Removes the temporary files of dead processes in `dir`, after `before_removal` was called with each. Returns how
/// many it removed.
///
/// # Errors
/// An error of the system for the directory, or an error of `before_removal`. A single file that cannot be opened,
/// locked or removed stays.
pub(crate) fn sweep(dir: &Path, before_removal: impl FnMut(&File) -> io::Result<()>) -> io::Result<usize> {
    sweep_names(dir, |name| name.starts_with(PREFIX.as_bytes()), before_removal)
}

/// Removes the temporary files of dead processes next to files of the user. Files that cannot be read or removed stay:
/// the directory is not ours.
pub(crate) fn sweep_hidden(dir: &Path) -> usize {
    sweep_names(dir, is_hidden_name, |_| Ok(())).unwrap_or_default()
}

/// Matches `.st-convert-<number>-<letters and digits>` and its further files: the user may have other files that begin
/// in the same way.
fn is_hidden_name(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(HIDDEN_PREFIX.as_bytes()) else { return false };
    let mut parts = rest.strip_suffix(b".old").unwrap_or(rest).split(|byte| *byte == b'-');
    let is = |part: Option<&[u8]>, of: fn(&u8) -> bool| {
        part.is_some_and(|part| !part.is_empty() && part.iter().all(of))
    };
    is(parts.next(), u8::is_ascii_digit)
        && is(parts.next(), u8::is_ascii_alphanumeric)
        && parts.next().is_none()
}

fn sweep_names(
    dir: &Path,
    is_ours: impl Fn(&[u8]) -> bool,
    mut before_removal: impl FnMut(&File) -> io::Result<()>,
) -> io::Result<usize> {
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if !is_ours(entry.file_name().as_encoded_bytes()) || !entry.file_type()?.is_file() {
            continue;
        }
        let Some(file) = dead(&entry.path()) else { continue };
        before_removal(&file)?;
        removed += usize::from(fs::remove_file(entry.path()).is_ok());
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let alive = Temp::new_in(dir.path()).unwrap();
        let dead = dir.path().join("st-convert-1-dead");
        fs::write(&dead, "half").unwrap();
        fs::write(dir.path().join("other"), "keep").unwrap();
        fs::create_dir(dir.path().join("st-convert-directory")).unwrap();
        assert_eq!(sweep(dir.path(), |_| Ok(())).unwrap(), 1);
        assert!(!dead.exists());
        assert!(alive.path().exists());
        assert!(dir.path().join("other").exists());
        let belonging = alive.path().with_extension("index.lock");
        fs::write(&belonging, "").unwrap();
        assert_eq!(sweep(dir.path(), |_| Ok(())).unwrap(), 0);
        drop(alive);
        assert_eq!(sweep(dir.path(), |_| Ok(())).unwrap(), 1);
        assert_eq!(sweep(&dir.path().join("none"), |_| Ok(())).unwrap(), 0);
    }

    #[test]
    fn beside_the_files_of_a_person_only_our_names_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let alive = Temp::hidden_in(dir.path()).unwrap();
        let theirs =
            [".st-convert-allow", ".st-convert-", ".st-convert-1", ".st-convert-1-", ".st-convert-x-ab"];
        let theirs =
            [&theirs[..], &[".st-convert-1-ab-c", ".st-convert-1-ab.txt", "st-convert-1-ab"]].concat();
        for name in &theirs {
            fs::write(dir.path().join(name), "theirs").unwrap();
        }
        let belonging = alive.path().with_extension("old");
        fs::write(&belonging, "").unwrap();
        for name in [".st-convert-1-AbC123", ".st-convert-77-x.old"] {
            fs::write(dir.path().join(name), "half").unwrap();
        }
        assert_eq!(sweep_hidden(dir.path()), 2);
        assert!(alive.path().exists() && belonging.exists());
        drop(alive);
        assert_eq!(sweep_hidden(dir.path()), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), theirs.len());
        assert_eq!(sweep_hidden(&dir.path().join("none")), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_elsewhere_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "keep").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("st-convert-1-link")).unwrap();
        assert_eq!(sweep(dir.path(), |_| Ok(())).unwrap(), 0);
        assert!(victim.exists());
    }

    #[test]
    fn a_taken_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        fs::write(&taken, "old").unwrap();
        let temp = Temp::new_in(dir.path()).unwrap();
        let (err, temp) = temp.rename_new(&taken).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&taken).unwrap(), b"old");
        drop(temp.rename(&taken).unwrap());
        assert_eq!(fs::read(&taken).unwrap(), b"");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
