//! [`Relation`]: how a pull request and `HEAD` are related, asked of libgit2, and of git where that cannot read the
//! repository.

use super::super::Error;
use crate::git::{Git, history};
use crate::repo::{self, ChangedPath, History, ObjectId, Repo};

/// The commits of a repository.
pub(super) struct Relation<'a> {
    libgit2: Option<History>,
    git: &'a Git<'a>,
}

impl<'a> Relation<'a> {
    pub(super) fn new(repo: &Repo, git: &'a Git<'a>) -> Self {
        Self { libgit2: repo.history().ok(), git }
    }

    /// A commit that both come from.
    pub(super) fn merge_base(&self, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>, Error> {
        match self.libgit2.as_ref().map(|history| history.merge_base(one, other)) {
            Some(Ok(base)) => Ok(base),
            None | Some(Err(repo::Error::History { .. })) => Ok(history::merge_base(self.git, one, other)?),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// The paths that differ between two commits.
    pub(super) fn changes(&self, from: Option<ObjectId>, to: ObjectId) -> Result<Vec<ChangedPath>, Error> {
        match self.libgit2.as_ref().map(|history| history.changes(from, to)) {
            Some(Ok(changes)) => Ok(changes),
            None | Some(Err(repo::Error::History { .. })) => Ok(history::changes(self.git, from, to)?),
            Some(Err(error)) => Err(error.into()),
        }
    }
}
