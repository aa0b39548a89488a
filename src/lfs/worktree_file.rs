//! [`Placed`] writes an object to a path of the working tree.
//!
//! It has two steps, so that the bytes can be written before the name exists: fill the temporary file (by
//! [`Placed::fill`], or [`Writers`](super::Writers)), then call [`Placed::publish`].
//!
//! Invariants: no symbolic link is followed, neither as a parent nor as the target; the target does not exist or is
//! complete; and the file is three seconds old. git needs the last one: it does not trust an index entry whose file is
//! as new as the index itself ("racily clean"), and would send the whole file through the clean filter again. The
//! module does not change the index, and it creates no hard link: an edit of the file must not change the LFS object.

use std::fs::{self, File, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bstr::{BStr, BString, ByteSlice as _};
use gix::validate::path::component;

use super::store::{self, Store};
use super::temp::Temp;

/// The age that a placed file gets: more than a second, the resolution of the clock that git compares.
const AGE: Duration = Duration::from_secs(3);

/// Why a file could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// git would not write this path: it leaves the working tree or enters `.git`.
    #[error("invalid path `{path}`")]
    InvalidPath {
        /// The path, from the top of the working tree.
        path: BString,
    },
    /// A parent, or the target, is a symbolic link.
    #[error("`{}` is a symbolic link", path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// A parent is a file, or the target is not.
    #[error("invalid path `{}`: expected another kind of file", path.display())]
    InTheWay {
        /// The path of the obstacle.
        path: PathBuf,
    },
    /// The path of a file is a directory, a pipe, a device or a socket.
    #[error("not a regular file (found: {found})")]
    NotRegular {
        /// Its kind.
        found: &'static str,
    },
    /// The target exists, and may not be replaced.
    #[error("cannot write `{}`: file exists", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The system reported an error.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The LFS storage could not create a temporary file.
    #[error("cannot create a temporary file")]
    Store(#[from] store::Error),
}

impl Error {
    /// Returns `true` if something else is at the path: a link, a directory, a pipe.
    pub(crate) fn is_other_kind(&self) -> bool {
        matches!(self, Self::Symlink { .. } | Self::InTheWay { .. } | Self::NotRegular { .. })
    }

    /// Describes something that is not a regular file. It is not opened for this: a pipe would wait for its other end.
    pub(crate) fn not_regular(kind: FileType) -> Self {
        #[cfg(unix)]
        let special = {
            use std::os::unix::fs::FileTypeExt as _;
            match kind {
                kind if kind.is_fifo() => Some("named pipe"),
                kind if kind.is_socket() => Some("socket"),
                kind if kind.is_char_device() || kind.is_block_device() => Some("device"),
                _ => None,
            }
        };
        #[cfg(not(unix))]
        let special = None;
        let found = if kind.is_dir() { "directory" } else { "special file" };
        Self::NotRegular { found: special.unwrap_or(found) }
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// A path of a working tree whose text was checked.
#[derive(Debug, Clone)]
pub struct Target {
    root: PathBuf,
    relative: PathBuf,
}

impl Target {
    /// Returns `path`, with `/` between its parts, from the top directory `root` of the working tree.
    ///
    /// # Errors
    /// [`Error::InvalidPath`] if a part is empty, `.`, `..` or `.git`, or is not a file name on this system.
    pub fn new(root: &Path, path: &BStr) -> Result<Self, Error> {
        let invalid = || Error::InvalidPath { path: path.to_owned() };
        // What git refuses by itself, and more where more has another meaning: `.GIT`, `git~1`, `.git::$DATA`, on Windows
        // `C:`, `nul` and a backslash, on macOS `.git` with letters that its file system ignores.
        let protection = component::Options {
            protect_windows: cfg!(windows),
            protect_hfs: cfg!(target_os = "macos"),
            protect_ntfs: true,
        };
        let harmless = path.split_str("/").all(|part| component(part.into(), None, protection).is_ok());
        if !harmless || path.contains(&0) {
            return Err(invalid());
        }
        let relative = path.to_path().map_err(|_| invalid())?.to_owned();
        Ok(Self { root: root.to_owned(), relative })
    }

    /// Returns the whole path.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.relative)
    }

    /// Checks each parent without following it. Returns `false` at the first that is missing and that `make` does not
    /// create.
    fn has_parents(&self, make: impl Fn(&Path) -> io::Result<bool>) -> Result<bool, Error> {
        let mut path = self.root.clone();
        for part in self.relative.parent().into_iter().flat_map(Path::components) {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_symlink() => return Err(Error::Symlink { path }),
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => return Err(Error::InTheWay { path }),
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    if !make(&path).map_err(Error::io(&path))? {
                        return Ok(false);
                    }
                }
                Err(source) => return Err(Error::Io { path, source }),
            }
        }
        Ok(true)
    }

    /// Creates missing parents.
    fn make_parents(&self) -> Result<(), Error> {
        self.has_parents(|path| match fs::create_dir(path) {
            // Another process created it meanwhile; its type is checked again when the file gets its name.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(true),
        })
        .map(drop)
    }

    /// Returns `true` if the file exists and its owner may execute it; never on systems without that permission.
    ///
    /// # Errors
    /// As [`Target::metadata`].
    pub fn is_executable(&self) -> Result<bool, Error> {
        Ok(self.metadata()?.is_some_and(|metadata| is_executable(&metadata)))
    }

    /// Returns the metadata of the regular file at the path, or `None` if nothing exists.
    ///
    /// # Errors
    /// [`Error::Symlink`] for a link at the path or among the parents, [`Error::InTheWay`] for anything else that is
    /// not a file in a directory.
    pub fn metadata(&self) -> Result<Option<fs::Metadata>, Error> {
        if !self.has_parents(|_| Ok(false))? {
            return Ok(None);
        }
        let path = self.path();
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => Err(Error::Symlink { path }),
            Ok(meta) if meta.is_file() => Ok(Some(meta)),
            Ok(_) => Err(Error::InTheWay { path }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }
}

/// A file that is not at its path yet. If dropped, it leaves nothing.
#[derive(Debug)]
pub struct Placed {
    temp: Temp,
    target: Target,
}

impl Placed {
    /// Creates an empty file for `target`: in the LFS storage, or next to the target if that is on another file system.
    ///
    /// # Errors
    /// [`Error::Symlink`], [`Error::InTheWay`], or what the system reports.
    pub fn create(store: &Store, target: Target) -> Result<Self, Error> {
        target.make_parents()?;
        target.metadata()?;
        Ok(Self { temp: temp_for(store, &target.path())?, target })
    }

    /// Returns the file, to fill it.
    pub fn file(&self) -> &File {
        self.temp.file()
    }

    /// Allows every user who may read the file to execute it. If it replaces another file, it gets the permissions of
    /// that file.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn make_executable(&self) -> Result<(), Error> {
        make_executable(self.file()).map_err(Error::io(self.target.path()))
    }

    /// Makes the file a copy of `object`: with shared blocks if the file system supports them, else by one copy in the
    /// kernel.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn fill(&self, object: &File) -> Result<(), Error> {
        super::copy::copy_all(object, self.file()).map_err(Error::io(self.target.path()))
    }

    /// Gives the file its name. Returns its metadata under that name, for the index.
    ///
    /// # Errors
    /// [`Error::Exists`] if a file exists and `replace` is false; [`Error::Symlink`], [`Error::InTheWay`]; or an error
    /// of the system. Then the working tree is unchanged.
    pub fn publish(self, replace: bool) -> Result<fs::Metadata, Error> {
        let Self { temp, target } = self;
        target.make_parents()?;
        let old = target.metadata()?;
        let path = target.path();
        if let Some(old) = &old {
            if !replace {
                return Err(Error::Exists { path });
            }
            temp.file().set_permissions(old.permissions()).map_err(Error::io(&path))?;
        }
        settle(temp.file()).map_err(Error::io(&path))?;
        let file = match rename(temp, &path, replace) {
            Err((err, temp)) if err.kind() == io::ErrorKind::CrossesDevices => {
                let beside = copy_beside(temp.file(), &path).map_err(Error::io(&path))?;
                rename(beside, &path, replace)
            }
            renamed => renamed,
        };
        let file = file.map_err(|(source, _)| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
            _ => Error::Io { path: path.clone(), source },
        })?;
        store::sync_parent(&path).map_err(Error::io(&path))?;
        file.metadata().map_err(Error::io(&path))
    }
}

/// Copies a finished object to a path of the working tree: [`Placed`] in one step.
///
/// # Errors
/// As [`Placed::create`], [`Placed::fill`] and [`Placed::publish`].
pub fn place(store: &Store, object: &Path, target: Target, replace: bool) -> Result<fs::Metadata, Error> {
    let object = File::open(object).map_err(Error::io(object))?;
    let placed = Placed::create(store, target)?;
    placed.fill(&object)?;
    placed.publish(replace)
}

/// Creates a temporary file that can be renamed to `path`: in the LFS storage, or next to the path if the storage is on
/// another file system.
pub(super) fn temp_for(store: &Store, path: &Path) -> Result<Temp, Error> {
    let beside = parent(path);
    let temp = store.temp()?;
    if same_file_system(temp.path(), &beside).map_err(Error::io(&beside))? {
        return Ok(temp);
    }
    Temp::hidden_in(&beside).map_err(Error::io(&beside))
}

/// Syncs the bytes to the disk, and sets the age that git trusts.
fn settle(file: &File) -> io::Result<()> {
    file.sync_data()?;
    file.set_modified(SystemTime::now() - AGE)
}

fn rename(temp: Temp, path: &Path, replace: bool) -> Result<File, (io::Error, Temp)> {
    if replace { temp.rename(path) } else { temp.rename_new(path) }
}

/// For an LFS storage that appeared to be on the file system of the working tree, and is not (a bind mount).
fn copy_beside(from: &File, path: &Path) -> io::Result<Temp> {
    let temp = Temp::hidden_in(&parent(path))?;
    super::copy::copy_all(from, temp.file())?;
    temp.file().set_permissions(from.metadata()?.permissions())?;
    settle(temp.file())?;
    Ok(temp)
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))
}

#[cfg(not(unix))]
fn make_executable(_: &File) -> io::Result<()> {
    Ok(())
}

pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new(".")).to_owned()
}

#[cfg(unix)]
fn same_file_system(a: &Path, b: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata(a)?.dev() == fs::metadata(b)?.dev())
}

#[cfg(not(unix))]
fn same_file_system(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::store::Sharing;
    use super::*;

    struct Tree {
        dir: tempfile::TempDir,
        store: Store,
        object: PathBuf,
    }

    fn tree() -> Tree {
        let dir = tempfile::tempdir().unwrap();
        let object = dir.path().join("object");
        fs::write(&object, "content").unwrap();
        fs::create_dir_all(dir.path().join("work/sub")).unwrap();
        let store = Store::new(dir.path().join("lfs"), Sharing::Umask, Vec::new());
        Tree { dir, store, object }
    }

    impl Tree {
        fn work(&self, path: &str) -> PathBuf {
            self.dir.path().join("work").join(path)
        }

        fn place(&self, path: &str, replace: bool) -> Result<fs::Metadata, Error> {
            let target = Target::new(&self.work(""), path.into())?;
            place(&self.store, &self.object, target, replace)
        }
    }

    #[test]
    fn the_file_is_whole_old_and_readable_by_others() {
        let tree = tree();
        for path in ["model", "sub/model", "new/deep/model"] {
            let meta = tree.place(path, false).unwrap();
            assert_eq!(fs::read(tree.work(path)).unwrap(), b"content");
            assert!(meta.modified().unwrap() < SystemTime::now() - Duration::from_secs(2));
            assert_eq!(meta.permissions(), fs::metadata(&tree.object).unwrap().permissions());
        }
        assert_eq!(fs::read_dir(tree.store.tmp_dir()).unwrap().count(), 0);
    }

    #[test]
    fn what_exists_is_replaced_only_if_asked() {
        let tree = tree();
        fs::write(tree.work("model"), "mine").unwrap();
        assert!(matches!(tree.place("model", false), Err(Error::Exists { .. })));
        assert_eq!(fs::read(tree.work("model")).unwrap(), b"mine");
        tree.place("model", true).unwrap();
        assert_eq!(fs::read(tree.work("model")).unwrap(), b"content");
        assert!(matches!(tree.place("sub", true), Err(Error::InTheWay { .. })));
        assert!(matches!(tree.place("model/below", true), Err(Error::InTheWay { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        let tree = tree();
        let outside = tree.dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("victim"), "mine").unwrap();
        std::os::unix::fs::symlink(&outside, tree.work("linked")).unwrap();
        std::os::unix::fs::symlink(outside.join("victim"), tree.work("target")).unwrap();
        std::os::unix::fs::symlink(outside.join("none"), tree.work("dangling")).unwrap();
        for path in ["linked/victim", "linked/new", "target", "dangling"] {
            assert!(matches!(tree.place(path, true), Err(Error::Symlink { .. })), "{path}");
        }
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn a_path_cannot_leave_the_work_tree() {
        let tree = tree();
        for path in ["../x", "a/../../x", "/etc/x", "", "a//b", ".git/config", "sub/.GIT/x", "./x", "a\0b"] {
            assert!(matches!(tree.place(path, true), Err(Error::InvalidPath { .. })), "{path}");
        }
        for path in ["git~1/config", "sub/.git::$INDEX_ALLOCATION/x", ".git /x", ".git./x"] {
            assert!(matches!(tree.place(path, true), Err(Error::InvalidPath { .. })), "{path}");
        }
    }

    #[test]
    fn a_path_means_a_file_of_the_work_tree_on_this_system() {
        let tree = tree();
        for path in ["a\\x", "..\\x", "C:x", "C:/x", "x:stream", "nul", "sub/com1.safetensors", "dots./x"] {
            let placed = tree.place(path, true);
            assert_eq!(matches!(placed, Err(Error::InvalidPath { .. })), cfg!(windows), "{path}");
        }
        assert_eq!(fs::read_dir(tree.work("")).unwrap().count() == 1, cfg!(windows));
    }
}
