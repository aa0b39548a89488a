//! [`History`] finds how two commits are related, and which paths differ between them.
//!
//! It uses libgit2, and reads only commits and trees: no blob is needed, so it works in a partial clone.
//!
//! Invariant: it writes nothing, and reads no index and no working tree. If libgit2 cannot open a repository (an
//! extension that it does not know, such as `partialClone`), the error is [`Error::History`], and
//! [`crate::git::history`] does the same work.

use super::{ChangedPath, Error, ObjectId, Repo, Result, Version};

/// The commits of a repository.
pub struct History {
    inner: git2::Repository,
}

impl Repo {
    /// Opens the history of this repository.
    ///
    /// # Errors
    /// [`Error::History`] if libgit2 cannot read it.
    pub fn history(&self) -> Result<History> {
        let inner = git2::Repository::open(self.git_dir()).map_err(failed)?;
        Ok(History { inner })
    }
}

impl History {
    /// Returns a common ancestor; `None` if none exists, or none is in this clone.
    ///
    /// # Errors
    /// [`Error::History`]
    pub fn merge_base(&self, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>> {
        match self.inner.merge_base(oid(one)?, oid(other)?) {
            Ok(base) => Ok(Some(object_id(base)?)),
            Err(err) if err.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(err) => Err(failed(err)),
        }
    }

    /// Returns the paths that differ between the trees of two commits, in the order of their names. Without the first,
    /// all paths of the second are new. A renamed file is a removed path and a new one.
    ///
    /// # Errors
    /// [`Error::History`]
    pub fn changes(&self, from: Option<ObjectId>, to: ObjectId) -> Result<Vec<ChangedPath>> {
        let tree =
            |id: ObjectId| self.inner.find_commit(oid(id)?).and_then(|commit| commit.tree()).map_err(failed);
        let (from, to) = (from.map(tree).transpose()?, tree(to)?);
        let diff = self.inner.diff_tree_to_tree(from.as_ref(), Some(&to), None).map_err(failed)?;
        let changed = diff.deltas().map(|delta| {
            let (old, new) = (delta.old_file(), delta.new_file());
            let path = new.path_bytes().or_else(|| old.path_bytes()).unwrap_or_default();
            let version = |file: &git2::DiffFile<'_>| -> Result<Option<Version>> {
                Ok(Version::new(file.mode().into(), object_id(file.id())?).filter(|_| file.exists()))
            };
            Ok(ChangedPath { path: path.into(), old: version(&old)?, new: version(&new)? })
        });
        changed.collect()
    }
}

fn failed(source: git2::Error) -> Error {
    Error::History { source }
}

fn oid(id: ObjectId) -> Result<git2::Oid> {
    git2::Oid::from_bytes(id.as_slice()).map_err(failed)
}

fn object_id(oid: git2::Oid) -> Result<ObjectId> {
    ObjectId::try_from(oid.as_bytes())
        .map_err(|_| failed(git2::Error::from_str("a name of an unknown length")))
}
