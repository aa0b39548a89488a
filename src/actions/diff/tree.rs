//! [`SideFiles`] lists the files of a revision, of the index or of the working tree, with the identity and the location
//! of their bytes.
//!
//! Invariant: nothing is smudged, copied or downloaded to open a file; a pointer stands for its object in LFS storage,
//! and a missing object is reported. A file without Git LFS is read only if it has the name of a model.

use std::collections::BTreeMap;

use bstr::{BStr, BString};

use super::super::content::{Bytes, LocalFile};
use super::super::{Error, names};
use crate::lfs::Pointer;
use crate::repo::{self, Entry, Mode, ObjectId, Repo};

/// The longest file without Git LFS that is read.
pub(super) const MAX_BLOB: u64 = 1 << 30;

/// The content of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// This blob or, in the working tree, what a checkout makes of it.
    Blob(ObjectId),
    /// A file of the working tree that changed since it was staged as this blob.
    Changed(ObjectId),
}

/// The files of a side.
pub(super) struct SideFiles<'a> {
    repo: &'a Repo,
    files: BTreeMap<BString, Content>,
    is_checked_out: bool,
}

impl<'a> SideFiles<'a> {
    /// Returns the files of a revision. `HEAD` before the first commit has none.
    pub(super) fn revision(repo: &'a Repo, revision: &str) -> Result<Self, Error> {
        let files = match repo.files_at(revision) {
            Err(repo::Error::NoSuchRevision { .. }) if revision == "HEAD" && repo.head_is_unborn()? => {
                Vec::new()
            }
            files => files?,
        };
        let files = files.into_iter().map(|(path, blob)| (path, Content::Blob(blob))).collect();
        Ok(Self { repo, files, is_checked_out: false })
    }

    /// Returns the files of the index; of a file in a merge conflict, our version.
    pub(super) fn index(repo: &'a Repo) -> Result<Self, Error> {
        let files = files(repo)?.filter(|entry| matches!(entry.stage, 0 | 2));
        let files = files.map(|entry| (entry.path, Content::Blob(entry.id))).collect();
        Ok(Self { repo, files, is_checked_out: false })
    }

    /// Returns the files of the working tree that the index contains, in a merge conflict or not.
    pub(super) fn working_tree(repo: &'a Repo) -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for entry in files(repo)? {
            let file = repo.target(entry.path.as_ref())?;
            let metadata = match file.metadata() {
                // As in git, the file is gone if a link, a directory or a pipe has its path.
                Err(error) if error.is_other_kind() => continue,
                metadata => metadata?,
            };
            let content = match metadata {
                // A sparse checkout leaves it out.
                None if entry.skip_worktree => Content::Blob(entry.id),
                Some(_) if repo.is_unchanged(&entry, &file.path()) => Content::Blob(entry.id),
                Some(metadata) if metadata.is_file() => Content::Changed(entry.id),
                _ => continue,
            };
            all.insert(entry.path, content);
        }
        Ok(Self { repo, files: all, is_checked_out: true })
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &BString> {
        self.files.keys()
    }

    pub(super) fn content(&self, path: &BStr) -> Option<Content> {
        self.files.get(path).copied()
    }

    /// Returns the pointer of a path in git, if it is one.
    pub(super) fn pointer(&self, path: &BStr) -> Result<Option<Pointer>, Error> {
        match self.content(path) {
            Some(Content::Blob(blob) | Content::Changed(blob)) => Ok(self.repo.pointer(blob)?),
            None => Ok(None),
        }
    }

    /// Opens a file; `None` for one that is neither under Git LFS nor named like a model.
    pub(super) fn open(&self, path: &BStr) -> Result<Option<Bytes>, Error> {
        let pointer = self.pointer(path)?;
        let is_model = names::is_weight_like(path) || names::is_safetensors(path);
        let opened = match (self.content(path), pointer) {
            (Some(Content::Blob(_)), Some(pointer)) => self.object(path, pointer),
            (Some(Content::Blob(blob)), None) if is_model => {
                return Ok(Some(Bytes::Blob(self.repo.blob(blob, MAX_BLOB)?)));
            }
            (Some(Content::Changed(_)), pointer) if is_model || pointer.is_some() => {
                LocalFile::work_tree(self.repo, path, None)
            }
            _ => return Ok(None),
        };
        Bytes::or_there(opened.map(Bytes::Here)).map(Some)
    }

    /// Opens the object in LFS storage, or the file of the working tree, whose object may be missing.
    fn object(&self, path: &BStr, pointer: Pointer) -> Result<LocalFile, Error> {
        match LocalFile::object(Some(self.repo), path, pointer) {
            Err(missing @ Error::NoObject { .. }) if self.is_checked_out => {
                match LocalFile::work_tree(self.repo, path, Some(pointer)) {
                    Ok(file) if file.size() == pointer.size => Ok(file),
                    _ => Err(missing),
                }
            }
            opened => opened,
        }
    }
}

/// Returns the files of the index: one entry for each, or for one in a merge conflict each of its versions.
fn files(repo: &Repo) -> Result<impl Iterator<Item = Entry>, Error> {
    let is_file = |entry: &Entry| matches!(entry.mode, Mode::File | Mode::Executable);
    Ok(repo.entries()?.into_iter().filter(is_file))
}
