//! [`History`]: how two commits are related, and which paths differ between them.
//!
//! Read with libgit2, from commits and trees alone: no blob is needed, so it works in a partial clone.
//!
//! Invariant: nothing is written, no index and no work tree is looked at. Where libgit2 cannot open a repository (an
//! extension that it does not know, such as `partialClone`), [`Error::History`] says so, and [`crate::git::history`] answers the
//! same questions.

use super::{ChangedPath, Error, ObjectId, Repo, Result, Version};

/// The commits of a repository.
pub struct History {
    inner: git2::Repository,
}

impl Repo {
    /// The history of this repository.
    ///
    /// # Errors
    /// [`Error::History`] if libgit2 cannot read it.
    pub fn history(&self) -> Result<History> {
        let inner = git2::Repository::open(self.git_dir()).map_err(failed)?;
        Ok(History { inner })
    }
}

impl History {
    /// A commit that both come from; `None` if there is none, or none that is here.
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

    /// The paths that differ between the trees of two commits, in the order of their names. Without the first, all
    /// paths of the second are new. A renamed file is one that is gone and one that is new.
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
