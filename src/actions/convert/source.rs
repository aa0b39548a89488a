//! [`Source`]: the bytes of a checkpoint, and what its pointer promises of them.
//!
//! Invariant: in a repository no symbolic link is followed to open one.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::{Error, names};
use crate::lfs::{Pointer, pointer};
use crate::read_at::{FileSource, ReadAt as _};
use crate::repo::Repo;

/// The bytes of a checkpoint.
#[derive(Debug)]
pub(crate) struct Source {
    /// The checkpoint, as the user knows it.
    pub(crate) name: BString,
    /// Where its bytes are: in the work tree or in the LFS store.
    pub(crate) path: PathBuf,
    pub(crate) file: FileSource,
    /// What its pointer promises.
    pub(crate) pointer: Option<Pointer>,
    stamp: (u64, Option<SystemTime>),
}

impl Source {
    /// A file as it is.
    pub(super) fn open(name: &BStr, path: PathBuf, pointer: Option<Pointer>) -> Result<Self, Error> {
        let failed = Error::io("open", &path);
        let file = File::open(&path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::NotFound);
        }
        let stamp = stamp(&file).map_err(failed)?;
        let file = FileSource::new(file).map_err(failed)?;
        Ok(Self { name: name.to_owned(), path, file, pointer, stamp })
    }

    /// A file as it is, or, if it is a pointer and there is a repository, the object behind it.
    pub(crate) fn plain(repo: Option<&Repo>, name: &BStr, path: PathBuf) -> Result<Self, Error> {
        let source = Self::open(name, path, None).map_err(absent)?;
        match source.as_pointer() {
            Some(pointer) => Self::object(repo, name, pointer),
            None => Ok(source),
        }
    }

    /// The object that a pointer names, from the store.
    pub(crate) fn object(repo: Option<&Repo>, name: &BStr, pointer: Pointer) -> Result<Self, Error> {
        let missing = Error::NoObject { oid: pointer.oid, size: pointer.size };
        let Some(repo) = repo else { return Err(missing) };
        let store = repo.store();
        let found = store.find(pointer.oid, pointer.size).map_err(Error::io("look in", store.dir()))?;
        let path = found.ok_or(missing)?;
        Self::open(name, path, Some(pointer))
    }

    /// A file of the work tree of `repo`; `pointer` is what the index says of it.
    pub(crate) fn work_tree(repo: &Repo, name: &BStr, pointer: Option<Pointer>) -> Result<Self, Error> {
        let target = repo.target(name)?;
        match target.metadata() {
            Ok(Some(metadata)) if metadata.is_file() => {}
            Ok(Some(metadata)) if metadata.is_symlink() => return Err(Error::Symlink),
            Ok(_) => return Err(Error::NotFound),
            Err(error) => return Err(error.into()),
        }
        let source = Self::open(name, target.path(), pointer).map_err(absent)?;
        match source.as_pointer() {
            Some(pointer) => Self::object(Some(repo), name, pointer),
            None => Ok(source),
        }
    }

    /// Its length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.file.len()
    }

    /// The file's own text as a pointer, if it is one.
    fn as_pointer(&self) -> Option<Pointer> {
        let len = usize::try_from(self.file.len()).ok().filter(|&len| len < pointer::MAX_LEN)?;
        Pointer::parse(&self.file.read_vec_at(0, len).ok()?).ok()
    }

    /// Is the file the one that was opened, with the content it had then?
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        match stamp(self.file.file()) {
            Ok(now) if now == self.stamp => Ok(()),
            _ => Err(Error::SourceChanged),
        }
    }
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

/// The longest `config.json` that is read.
pub(crate) const CONFIG_LIMIT: u64 = 1 << 20;

/// The model's class by the text of its `config.json`: `architectures[0]`. What is not so is no class.
pub(crate) fn class_in(config: &[u8]) -> Option<String> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    Some(config.get("architectures")?.get(0)?.as_str()?.to_owned())
}

/// The same by the `config.json` beside a checkpoint, in the work tree if there is a repository.
pub(crate) fn class_of(repo: Option<&Repo>, name: &BStr, path: &Path) -> Option<String> {
    let path = match repo {
        Some(repo) => {
            let target = repo.target(names::beside(name, b"config.json").as_bstr()).ok()?;
            target.metadata().ok()??.is_file().then(|| target.path())?
        }
        None => path.with_file_name("config.json"),
    };
    if fs::metadata(&path).ok()?.len() > CONFIG_LIMIT {
        return None;
    }
    let mut text = Vec::new();
    File::open(path).ok()?.take(CONFIG_LIMIT).read_to_end(&mut text).ok()?;
    class_in(&text)
}
