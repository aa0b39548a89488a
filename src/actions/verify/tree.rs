//! [`Tree`] lists the files of the working tree or of a commit, with the location of their bytes.
//!
//! Invariant: a pointer stands for its object, and nothing is downloaded to open one. In a repository no symbolic link
//! is followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::content::{Bytes, LocalFile, class};
use super::super::{Error, names};
use crate::lfs::Pointer;
use crate::repo::{Mode, ObjectId, Repo};

/// The longest file without Git LFS that is read.
const MAX_BLOB: u64 = 1 << 30;

/// Files by their paths.
pub(super) enum Tree<'a> {
    /// The files of the working tree, with their entries in the index.
    Work {
        /// The repository.
        repo: &'a Repo,
        /// The files of the index.
        files: BTreeMap<BString, ObjectId>,
    },
    /// The files of a commit.
    Commit {
        /// The repository.
        repo: &'a Repo,
        /// Its files.
        files: BTreeMap<BString, ObjectId>,
    },
    /// The files of a directory outside any repository.
    Plain(PathBuf),
}

impl<'a> Tree<'a> {
    /// Returns the working tree.
    pub(super) fn work(repo: &'a Repo) -> Result<Self, Error> {
        let entries = repo.entries()?.into_iter().filter(|entry| entry.stage == 0);
        let files = entries.filter(|entry| matches!(entry.mode, Mode::File | Mode::Executable));
        Ok(Self::Work { repo, files: files.map(|entry| (entry.path, entry.id)).collect() })
    }

    /// Returns a revision.
    pub(super) fn commit(repo: &'a Repo, rev: &str) -> Result<Self, Error> {
        Ok(Self::Commit { repo, files: repo.files_at(rev)?.into_iter().collect() })
    }

    pub(super) fn repo(&self) -> Option<&'a Repo> {
        match self {
            Self::Work { repo, .. } | Self::Commit { repo, .. } => Some(repo),
            Self::Plain(_) => None,
        }
    }

    /// Returns the paths in git.
    pub(super) fn paths(&self) -> impl Iterator<Item = &BString> {
        self.files().into_iter().flat_map(BTreeMap::keys)
    }

    fn files(&self) -> Option<&BTreeMap<BString, ObjectId>> {
        match self {
            Self::Work { files, .. } | Self::Commit { files, .. } => Some(files),
            Self::Plain(_) => None,
        }
    }

    /// Returns the blob of a path in git.
    pub(super) fn blob(&self, path: &BStr) -> Option<ObjectId> {
        self.files()?.get(path).copied()
    }

    /// Opens a file, or returns the pointer of an object on the server.
    pub(super) fn open(&self, path: &BStr) -> Result<Bytes, Error> {
        let opened = match self {
            Self::Plain(dir) => {
                let file = dir.join(path.to_path().map_err(|_| Error::NotFound)?);
                LocalFile::plain(None, path, &file).map(Bytes::Here)
            }
            Self::Work { repo, files } => match LocalFile::work_tree(repo, path, None) {
                // A sparse checkout leaves it out.
                Err(Error::NotFound) => self.in_git(repo, files, path),
                opened => opened.map(Bytes::Here),
            },
            Self::Commit { repo, files } => self.in_git(repo, files, path),
        };
        Bytes::or_there(opened)
    }

    fn in_git(&self, repo: &Repo, files: &BTreeMap<BString, ObjectId>, path: &BStr) -> Result<Bytes, Error> {
        self.blob_of(repo, path, *files.get(path).ok_or(Error::NotFound)?)
    }

    /// Returns the bytes of a blob of any commit, or of its object.
    pub(super) fn bytes(&self, path: &BStr, blob: ObjectId) -> Result<Bytes, Error> {
        Bytes::or_there(self.blob_of(self.repo().ok_or(Error::NotFound)?, path, blob))
    }

    fn blob_of(&self, repo: &Repo, path: &BStr, blob: ObjectId) -> Result<Bytes, Error> {
        let bytes = repo.blob(blob, MAX_BLOB)?;
        match Pointer::parse(&bytes) {
            Ok(pointer) => LocalFile::object(self.repo(), path, pointer).map(Bytes::Here),
            Err(_) => Ok(Bytes::Blob(bytes)),
        }
    }

    /// Returns the checkpoint that a safetensors file is named after.
    pub(super) fn checkpoint_of(&self, path: &BStr) -> Result<BString, Error> {
        let is_source = |other: &BStr| names::is_weight_like(other) && names::safetensors(other) == path;
        self.only(path, &is_source)?.ok_or(Error::NoCheckpoint)
    }

    /// Returns the shard index of checkpoints that a shard index of safetensors files is named after, if any.
    pub(super) fn index_of(&self, path: &BStr) -> Result<Option<BString>, Error> {
        self.only(path, &|other| names::is_index(other) && names::safetensors_index(other) == path)
    }

    /// Returns the only file that a path is named after.
    fn only(&self, path: &BStr, is_source: &dyn Fn(&BStr) -> bool) -> Result<Option<BString>, Error> {
        let known = self.paths().filter(|other| is_source(other.as_bstr())).cloned();
        let mut found: BTreeSet<BString> = known.collect();
        found.extend(self.beside(path).into_iter().filter(|other| is_source(other.as_bstr())));
        let mut all = found.into_iter();
        match (all.next(), all.next()) {
            (Some(first), Some(second)) => {
                Err(Error::SeveralCheckpoints { first, second, more: all.count() })
            }
            (only, _) => Ok(only),
        }
    }

    /// Lists the directory of a path on the disk, tracked or not; outside a repository with links to files, because a Hub
    /// cache consists of links.
    fn beside(&self, path: &BStr) -> Vec<BString> {
        let root = match self {
            Self::Work { repo, .. } => repo.work_dir(),
            Self::Plain(dir) => dir,
            Self::Commit { .. } => return Vec::new(),
        };
        let dir = path.rsplit_once_str("/").map_or(b"".as_bstr(), |(dir, _)| dir.as_bstr());
        let entries = dir.to_path().ok().and_then(|dir| fs::read_dir(root.join(dir)).ok());
        let entries = entries.into_iter().flatten().flatten();
        let is_plain = matches!(self, Self::Plain(_));
        let files = entries.filter(|entry| {
            entry.file_type().is_ok_and(|kind| kind.is_file() || is_plain && entry.path().is_file())
        });
        files.map(|entry| names::beside(path, entry.file_name().as_encoded_bytes())).collect()
    }

    /// Returns the model's class, from the `config.json` next to a checkpoint.
    pub(super) fn class_of(&self, path: &BStr) -> Option<String> {
        class(self.open(names::beside(path, b"config.json").as_bstr()).ok()?.here().ok()?)
    }
}
