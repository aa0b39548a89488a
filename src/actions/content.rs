//! Locates the bytes of a file ([`LocalFile`], [`Located`], [`Bytes`]), and reads what every action needs: its object
//! ID, a small text, the class of a model.
//!
//! Invariant: in a repository no symbolic link is followed to open a file. No server is contacted.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bstr::{BStr, BString};

use super::{Error, Reporter};
use crate::hash::{Hasher, Oid};
use crate::lfs::{Pointer, Store, pointer, regular, worktree_file};
use crate::read_at::{FileSource, ReadAt};
use crate::repo::Repo;

/// How many bytes are read at once.
const STEP: usize = 1 << 20;

/// A file of this machine.
#[derive(Debug)]
pub(super) struct LocalFile {
    /// Its name for the user.
    pub(super) name: BString,
    /// Its path: in the working tree, in LFS storage, …
    pub(super) path: PathBuf,
    pub(super) file: FileSource,
    /// Its pointer.
    pub(super) pointer: Option<Pointer>,
    stamp: (u64, Option<SystemTime>),
}

impl LocalFile {
    /// Opens a file without interpreting it.
    pub(super) fn open(name: &BStr, path: &Path, pointer: Option<Pointer>) -> Result<Self, Error> {
        let file = open_regular(path)?;
        Self::opened(name, path, file, pointer).map_err(Error::io("open", path))
    }

    /// Wraps an open file.
    pub(super) fn opened(name: &BStr, path: &Path, file: File, pointer: Option<Pointer>) -> io::Result<Self> {
        let stamp = stamp(&file)?;
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            file: FileSource::new(file)?,
            pointer,
            stamp,
        })
    }

    /// Opens a file or, if it is a pointer and a repository exists, its object.
    pub(super) fn plain(repo: Option<&Repo>, name: &BStr, path: &Path) -> Result<Self, Error> {
        let source = Self::open(name, path, None).map_err(absent)?;
        match source.as_pointer() {
            Some(pointer) => Self::object(repo, name, pointer),
            None => Ok(source),
        }
    }

    /// Opens the object of a pointer in LFS storage.
    pub(super) fn object(repo: Option<&Repo>, name: &BStr, pointer: Pointer) -> Result<Self, Error> {
        let missing = Error::NoObject { oid: pointer.oid, size: pointer.size };
        Self::stored(&repo.ok_or(missing)?.store(), name, pointer)
    }

    /// Opens an object in LFS storage.
    pub(super) fn stored(store: &Store, name: &BStr, pointer: Pointer) -> Result<Self, Error> {
        let missing = Error::NoObject { oid: pointer.oid, size: pointer.size };
        let found = store.find(pointer.oid, pointer.size).map_err(Error::io("look in", store.dir()))?;
        let path = found.ok_or(missing)?;
        Self::open(name, &path, Some(pointer))
    }

    /// Opens a file of the working tree of `repo`; `pointer` is its pointer in the index.
    pub(super) fn work_tree(repo: &Repo, name: &BStr, pointer: Option<Pointer>) -> Result<Self, Error> {
        let target = repo.target(name)?;
        match target.metadata() {
            Ok(Some(metadata)) if metadata.is_file() => {}
            Ok(Some(metadata)) if metadata.is_symlink() => return Err(Error::Symlink),
            Ok(_) => return Err(Error::NotFound),
            Err(error) => return Err(special(&target.path()).unwrap_or(error).into()),
        }
        let source = Self::open(name, &target.path(), pointer).map_err(absent)?;
        match source.as_pointer() {
            Some(pointer) => Self::object(Some(repo), name, pointer),
            None => Ok(source),
        }
    }

    /// Returns its length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.file.len()
    }

    /// Parses the file itself as a pointer, if it is one.
    fn as_pointer(&self) -> Option<Pointer> {
        Pointer::parse(&text(&self.file, pointer::MAX_LEN as u64 - 1)?).ok()
    }

    /// Checks that the path still leads to the file that was opened, with the same content.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        match stamp(self.file.file()) {
            Ok(now) if now == self.stamp => Ok(()),
            _ => Err(Error::SourceChanged),
        }
    }
}

/// Returns the error for a pipe, a device or a socket.
fn special(path: &Path) -> Option<worktree_file::Error> {
    let kind = path.symlink_metadata().ok()?.file_type();
    let is_special = !kind.is_file() && !kind.is_dir() && !kind.is_symlink();
    is_special.then(|| worktree_file::Error::not_regular(kind))
}

/// Opens only a regular file: a pipe would wait for its other end.
pub(super) fn open_regular(path: &Path) -> Result<File, Error> {
    regular::open(path).map_err(|error| match error {
        worktree_file::Error::Io { source, .. } => Error::io("open", path)(source),
        error => error.into(),
    })
}

/// Returns `true` for the `blobs` directory of a Hub cache, to which snapshots link.
pub(super) fn is_store(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name == "blobs") && dir.with_file_name("snapshots").is_dir()
}

/// Returns `true` if a directory is the top of a repository, with or without a working tree.
pub(super) fn is_repository(dir: &Path) -> bool {
    let is_bare = || dir.join("HEAD").is_file() && dir.join("objects").is_dir() && dir.join("refs").is_dir();
    dir.join(".git").symlink_metadata().is_ok() || is_bare()
}

fn absent(error: Error) -> Error {
    match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Error::NotFound,
        error => error,
    }
}

fn stamp(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

/// The location of a tracked file's bytes.
pub(super) enum Located {
    /// On this machine.
    Here(LocalFile),
    /// On the LFS server.
    There(Pointer),
}

impl Located {
    /// Returns its pointer.
    pub(super) fn pointer(&self) -> Option<Pointer> {
        match self {
            Self::Here(file) => file.pointer,
            Self::There(pointer) => Some(*pointer),
        }
    }

    /// Returns its length in bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Here(file) => file.size(),
            Self::There(pointer) => pointer.size,
        }
    }
}

/// The bytes of a file of a tree.
pub(super) enum Bytes {
    /// In a file of this machine.
    Here(LocalFile),
    /// In git itself.
    Blob(Vec<u8>),
    /// On the LFS server.
    There(Pointer),
}

impl Bytes {
    /// Returns opened bytes, or the pointer of an object that is missing here.
    pub(super) fn or_there(opened: Result<Self, Error>) -> Result<Self, Error> {
        match opened {
            Err(Error::NoObject { oid, size }) => Ok(Self::There(Pointer { oid, size })),
            opened => opened,
        }
    }

    /// Returns the readable bytes, or else the pointer of an object on a server.
    pub(super) fn here(&self) -> Result<&dyn ReadAt, Pointer> {
        match self {
            Self::Here(file) => Ok(&file.file),
            Self::Blob(bytes) => Ok(bytes),
            Self::There(pointer) => Err(*pointer),
        }
    }

    /// Returns their number.
    pub(super) fn len(&self) -> u64 {
        self.here().map_or_else(|pointer| pointer.size, ReadAt::len)
    }

    /// Returns its pointer.
    pub(super) fn pointer(&self) -> Option<Pointer> {
        match self {
            Self::Here(file) => file.pointer,
            Self::Blob(_) => None,
            Self::There(pointer) => Some(*pointer),
        }
    }

    /// As [`LocalFile::check_unchanged`].
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        match self {
            Self::Here(file) => file.check_unchanged(),
            Self::Blob(_) | Self::There(_) => Ok(()),
        }
    }
}

/// Returns the SHA-256 of all bytes of a file.
///
/// # Errors
/// The error of the read; [`io::ErrorKind::Interrupted`] if the user interrupts.
pub(super) fn oid(file: &dyn ReadAt, reporter: &dyn Reporter) -> io::Result<Oid> {
    let (mut hasher, mut buffer, mut at) = (Hasher::default(), vec![0; STEP], 0_u64);
    while at < file.len() {
        if reporter.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = usize::try_from(file.len() - at).unwrap_or(STEP).min(STEP);
        file.read_exact_at(&mut buffer[..len], at)?;
        hasher.update(&buffer[..len]);
        at += len as u64;
    }
    Ok(hasher.finish().0)
}

/// As [`oid`], of the file at this path.
///
/// # Errors
/// [`Error::Io`], [`Error::Interrupted`]
pub(super) fn oid_at(file: &dyn ReadAt, path: &Path, reporter: &dyn Reporter) -> Result<Oid, Error> {
    let failed = Error::io("read", path);
    oid(file, reporter)
        .map_err(|err| if reporter.is_interrupted() { Error::Interrupted } else { failed(err) })
}

/// Reads a whole small file; `None` if it is longer than `limit`, or cannot be read.
pub(super) fn text(file: &dyn ReadAt, limit: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(file.len()).ok().filter(|_| file.len() <= limit)?;
    file.read_vec_at(0, len).ok()
}

/// The longest `config.json` that is read.
pub(super) const CONFIG_LIMIT: u64 = 1 << 20;

/// Returns the model's class in its `config.json`: `architectures[0]`. `None` for any other content.
pub(super) fn class(config: &dyn ReadAt) -> Option<String> {
    let config: serde_json::Value = serde_json::from_slice(&text(config, CONFIG_LIMIT)?).ok()?;
    Some(config.get("architectures")?.get(0)?.as_str()?.to_owned())
}

/// The same, from the `config.json` next to a file on the disk.
pub(super) fn class_beside(path: &Path) -> Option<String> {
    class(&FileSource::new(open_regular(&path.with_file_name("config.json")).ok()?).ok()?)
}
