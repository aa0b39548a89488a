//! [`Store`] is the LFS storage of a repository on this disk.
//!
//! ```text
//! <lfs>/objects/ab/cd/abcd…      an object: exactly these bytes, named by their SHA-256
//! <lfs>/tmp/st-convert-…         a file of ours in progress
//! <lfs>/incomplete/<oid>.part    a download in progress (`incomplete`)
//! <alternate>/objects/ab/cd/…    objects of another repository, only read
//! ```
//!
//! Source: `fs/fs.go` and `config/config.go` of Git LFS 3.3 (directories, permissions, alternates).
//!
//! Invariant: an object appears under its name by one rename, after its length was checked and its bytes were synced to
//! the disk. Its permissions are those that Git LFS sets: by the umask or `core.sharedRepository`, writable. The module
//! does not hash: the caller computes the object ID. It does not open objects that are being written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::temp::Temp;
use crate::hash::Oid;

/// Why the LFS storage could not do the work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system reported an error.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The action that failed: a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The number of written bytes differs from the promised one.
    #[error("LFS object {oid} is {got} bytes, expected {expected}")]
    SizeMismatch {
        /// The object.
        oid: Oid,
        /// The promised length.
        expected: u64,
        /// The length of the file.
        got: u64,
    },
}

impl Error {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// The permissions of new files in the storage: `core.sharedRepository`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// As for any new file of this process.
    #[default]
    Umask,
    /// This mode for files, and the same with search permission for directories.
    Mode(u32),
}

impl Sharing {
    /// Reads the value of `core.sharedRepository`, as Git LFS does; an unknown value means the umask.
    pub fn parse(value: &str) -> Self {
        match value.to_ascii_lowercase().as_str() {
            "group" | "true" | "yes" | "on" | "1" | "" => Self::Mode(0o660),
            "all" | "world" | "everybody" | "2" => Self::Mode(0o664),
            octal => match u32::from_str_radix(octal, 8) {
                Ok(mode) if mode > 2 => Self::Mode(mode & 0o666),
                _ => Self::Umask,
            },
        }
    }

    #[cfg(unix)]
    fn apply(self, path: &Path, is_dir: bool) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let Self::Mode(mode) = self else { return Ok(()) };
        let mode = if is_dir { mode | (mode & 0o444) >> 2 } else { mode };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    #[cfg(not(unix))]
    fn apply(self, _: &Path, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// The LFS objects of one repository.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    sharing: Sharing,
    alternates: Vec<PathBuf>,
}

impl Store {
    /// Opens a storage in `dir`, which need not exist yet. `alternates` are the LFS directories of other repositories.
    pub fn new(dir: impl Into<PathBuf>, sharing: Sharing, alternates: Vec<PathBuf>) -> Self {
        Self { dir: dir.into(), sharing, alternates }
    }

    /// Returns the LFS directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the directory of temporary files.
    pub fn tmp_dir(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Returns the path of an object in this storage, whether it exists or not.
    pub fn path_of(&self, oid: Oid) -> PathBuf {
        object_path(&self.dir, oid)
    }

    /// Returns the directory of the objects of this storage, for callers that open many of them by [`Store::name_of`].
    pub fn objects(&self) -> Directory {
        Directory::new(self.dir.join("objects"))
    }

    /// Returns the path of an object below the directory of objects.
    pub fn name_of(oid: Oid) -> String {
        let (name, mut path) = (oid.to_string(), String::with_capacity("ab/cd/".len() + 64));
        for part in [name.get(..2), name.get(2..4)].into_iter().flatten() {
            path.push_str(part);
            path.push('/');
        }
        path + &name
    }

    /// Finds an object, in this storage or in an alternate: a regular file of exactly this length.
    ///
    /// # Errors
    /// An error of the system, except that the file does not exist.
    pub fn find(&self, oid: Oid, size: u64) -> io::Result<Option<PathBuf>> {
        for dir in std::iter::once(&self.dir).chain(&self.alternates) {
            let path = object_path(dir, oid);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_file() && meta.len() == size => return Ok(Some(path)),
                Ok(_) => {}
                Err(err) if is_absence(&err) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(None)
    }

    /// Creates a temporary file in the storage, which is removed when dropped.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn temp(&self) -> Result<Temp, Error> {
        let dir = self.tmp_dir();
        self.make_dirs(&dir)?;
        Temp::new_in(&dir).map_err(Error::io("create a file in", dir))
    }

    /// Returns `true` if two files of the store can share their blocks.
    pub fn shares_blocks(&self) -> bool {
        let (Ok(one), Ok(other)) = (self.temp(), self.temp()) else { return false };
        let written = one.file().write_all(&[1; 4096]);
        written.is_ok() && super::copy::share_blocks(one.file(), other.file())
    }

    /// Returns the directory of downloads, and of objects made from them, that wait for a run that resumes them.
    pub(super) fn incomplete_dir(&self) -> PathBuf {
        self.dir.join("incomplete")
    }

    /// Returns the path of the object of this name, if this storage itself contains it with this length.
    pub(super) fn stored(&self, oid: Oid, size: u64) -> Option<PathBuf> {
        let path = self.path_of(oid);
        let is_there = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == size);
        is_there.then_some(path)
    }

    /// Syncs the bytes of a file to the disk, and sets the permissions of an object.
    pub(super) fn finish(&self, file: &File, path: &Path) -> Result<(), Error> {
        file.sync_data().map_err(Error::io("sync", path))?;
        self.sharing.apply(path, false).map_err(Error::io("set the mode of", path))
    }

    /// Lets `rename` give a finished file the name of an object, and syncs that name to the disk. Returns its path.
    pub(super) fn name(
        &self,
        oid: Oid,
        rename: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<PathBuf, Error> {
        let path = self.path_of(oid);
        self.make_dirs(path.parent().unwrap_or(&self.dir))?;
        rename(&path).map_err(Error::io("rename an object to", &path))?;
        sync_parent(&path).map_err(Error::io("sync the directory of", &path))?;
        Ok(path)
    }

    /// Creates a directory inside the storage with its parents, and syncs each new name to the disk.
    pub(super) fn make_dirs(&self, dir: &Path) -> Result<(), Error> {
        match fs::create_dir(dir) {
            Ok(()) => {}
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(err) if err.kind() == io::ErrorKind::NotFound && dir.parent().is_some() => {
                self.make_dirs(dir.parent().unwrap_or(dir))?;
                match fs::create_dir(dir) {
                    Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                    made => made.map_err(Error::io("create", dir))?,
                }
            }
            Err(err) => return Err(Error::io("create", dir)(err)),
        }
        self.sharing.apply(dir, true).map_err(Error::io("set the mode of", dir))?;
        sync_parent(dir).map_err(Error::io("sync the directory of", dir))
    }
}

fn object_path(dir: &Path, oid: Oid) -> PathBuf {
    let name = oid.to_string();
    let (first, second) = (name.get(..2).unwrap_or_default(), name.get(2..4).unwrap_or_default());
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + "/objects/ab/cd/".len() + name.len());
    path.extend([dir, Path::new("objects"), Path::new(first), Path::new(second), Path::new(&name)]);
    path
}

fn is_absence(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Syncs the name of a file to the disk. Only Unix can sync a directory; elsewhere the rename must suffice.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(parent)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_as_git_lfs_reads_it() {
        assert_eq!(Sharing::parse("umask"), Sharing::Umask);
        assert_eq!(Sharing::parse("false"), Sharing::Umask);
        assert_eq!(Sharing::parse("0"), Sharing::Umask);
        assert_eq!(Sharing::parse("World"), Sharing::Mode(0o664));
        assert_eq!(Sharing::parse("true"), Sharing::Mode(0o660));
    }
}
