//! [`OpenedFile`] is one side of a comparison, opened in place.

use std::ffi::OsStr;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::Error;
use super::super::content::{Bytes, LocalFile};
use super::super::inspect::{blob_at, in_repo, split};
use super::model::Model;
use super::tree::{MAX_BLOB, SideFiles};
use super::{DiffSide, Options};
use crate::hash::Oid;
use crate::lfs::Pointer;
use crate::repo::Repo;

/// An open file, or the pointer of a missing one.
pub(super) struct OpenedFile {
    pub(super) path: BString,
    pub(super) oid: Option<Oid>,
    pub(super) bytes: Bytes,
}

impl OpenedFile {
    /// Opens an argument: a file, or `REV:PATH`; `None` if it is neither.
    pub(super) fn open(options: &Options, word: &OsStr) -> Result<Option<Self>, Error> {
        let name = word.as_encoded_bytes().as_bstr();
        let path = options.cwd.join(word);
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()) {
            let opened = match LocalFile::plain(None, name, &path) {
                Err(Error::NoObject { oid, size }) => {
                    let repo = Repo::discover(path.parent().unwrap_or(&path))?;
                    LocalFile::object(repo.as_ref(), name, Pointer { oid, size })
                }
                opened => opened,
            };
            return Self::opened(name, opened).map(Some);
        }
        let Some((revision, inside)) = split(word) else { return Ok(None) };
        let Some(repo) = Repo::discover_for_hook(&options.cwd)? else { return Ok(None) };
        let inside = in_repo(&repo, &options.cwd, inside)?;
        let blob = blob_at(&repo, revision, inside.as_bstr())?.ok_or(Error::NotFound)?;
        if let Some(pointer) = repo.pointer(blob)? {
            return Self::opened(name, LocalFile::object(Some(&repo), name, pointer)).map(Some);
        }
        let bytes = Bytes::Blob(repo.blob(blob, MAX_BLOB)?);
        Ok(Some(Self { path: name.to_owned(), oid: None, bytes }))
    }

    fn opened(path: &BStr, opened: Result<LocalFile, Error>) -> Result<Self, Error> {
        let bytes = Bytes::or_there(opened.map(Bytes::Here))?;
        let oid = bytes.pointer().map(|pointer| pointer.oid);
        Ok(Self { path: path.to_owned(), oid, bytes })
    }

    pub(super) fn of_tree(tree: &SideFiles<'_>, path: &BStr) -> Result<Option<Self>, Error> {
        let Some(bytes) = tree.open(path)? else { return Ok(None) };
        let oid = bytes.pointer().map(|pointer| pointer.oid);
        Ok(Some(Self { path: path.to_owned(), oid, bytes }))
    }

    pub(super) fn side(&self, model: Option<&Model<'_>>) -> DiffSide {
        DiffSide {
            path: self.path.clone(),
            oid: self.oid,
            size: self.bytes.len(),
            format: model.map(|model| model.format),
            tensors: model.map_or(0, |model| model.tensors.len()),
        }
    }
}
