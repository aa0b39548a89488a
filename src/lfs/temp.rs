//! [`Temp`]: a temporary file that is known to be alive for as long as its process lives.
//!
//! Invariant: a living process holds an advisory lock (flock) on each of its temporary files, and nobody removes
//! one that is locked. A lock, and not the process id in the name: the kernel drops a lock at the moment of
//! death, while an id is reused, and is another process's inside a container or on another machine.
//! It does not say what the file is for, and keeps no list: the names and the locks are the whole record.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use tempfile::{NamedTempFile, PersistError};

/// How the names of our temporary files begin, inside a directory of git's.
pub(crate) const PREFIX: &str = "st-convert-";

/// How they begin beside the files of a person.
const HIDDEN_PREFIX: &str = ".st-convert-";

/// A temporary file; removed when dropped, and by the next sweep if its process died.
#[derive(Debug)]
pub struct Temp {
    file: NamedTempFile,
}

impl Temp {
    /// A new empty file in a directory of git's, with the rights that any new file gets.
    ///
    /// # Errors
    /// What the system reports; the directory has to exist.
    pub fn new_in(dir: &Path) -> io::Result<Self> {
        Self::with_prefix(dir, PREFIX)
    }

    /// As [`Temp::new_in`], with a name that hides it in a work tree.
    ///
    /// # Errors
    /// What the system reports; the directory has to exist.
    pub fn hidden_in(dir: &Path) -> io::Result<Self> {
        Self::with_prefix(dir, HIDDEN_PREFIX)
    }

    fn with_prefix(dir: &Path, prefix: &str) -> io::Result<Self> {
        let name = format!("{prefix}{}-", std::process::id());
        for _ in 0..16 {
            let file = create(dir, &name)?;
            match file.as_file().try_lock() {
                // Between its creation and its lock the file looked dead, and may have been swept.
                Ok(()) if is_linked(file.as_file())? => return Ok(Self { file }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // A file system without locks: the file works, and no sweep will take it for dead.
                Err(TryLockError::Error(_)) => return Ok(Self { file }),
            }
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "another process keeps removing the temporary files"))
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives the file its final name, replacing what has that name; a symbolic link there is replaced itself.
    ///
    /// # Errors
    /// What the system reports; the temporary file comes back, still whole.
    pub fn rename(self, to: &Path) -> Result<File, (io::Error, Self)> {
        self.file.persist(to).map_err(Self::back)
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
    // Without this the file would be for its owner alone; the umask still takes its part.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

#[cfg(unix)]
fn is_linked(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(file.metadata()?.nlink() > 0)
}

#[cfg(not(unix))]
fn is_linked(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Returns `true` if the process is gone whose file this is: `<name>.<anything>` lives as long as `<name>`: a program that we start may
/// replace it by a file of its own, without our lock.
fn is_dead(path: &Path, file: &File) -> bool {
    let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    if name.strip_prefix(b".").unwrap_or(name).contains(&b'.') {
        let owner = path.with_extension("").with_extension("");
        return match File::open(owner) {
            Ok(owner) => owner.try_lock().is_ok(),
            Err(err) => err.kind() == io::ErrorKind::NotFound,
        };
    }
    file.try_lock().is_ok()
}

/// Removes the temporary files that dead processes left in `dir`, after `before_removal` has seen each.
/// Returns how many they were.
///
/// # Errors
/// What the system reports about the directory, and what `before_removal` returns. A single file that cannot be
/// opened, locked or removed is left alone.
pub(crate) fn sweep(dir: &Path, before_removal: impl FnMut(&File) -> io::Result<()>) -> io::Result<usize> {
    sweep_names(dir, |name| name.starts_with(PREFIX.as_bytes()), before_removal)
}

/// Removes those that dead processes left beside the files of a person. Whatever cannot be looked at or removed is
/// left alone: the directory is not ours.
pub(crate) fn sweep_hidden(dir: &Path) -> usize {
    sweep_names(dir, is_hidden_name, |_| Ok(())).unwrap_or_default()
}

/// `.st-convert-<number>-<letters and digits>`, and what belongs to it: a person may have other files that begin so.
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
        let Ok(file) = File::open(entry.path()) else { continue };
        if is_dead(&entry.path(), &file) {
            before_removal(&file)?;
            removed += usize::from(fs::remove_file(entry.path()).is_ok());
        }
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
