//! [`Repo`] reads and changes the git repository of a model.
//!
//! gix, built without any network code, reads configuration, index, attributes and objects, and finds and checks the
//! repository; this module starts no process except where gix cannot read the references, and never runs a filter.
//!
//! Invariants: the index on the disk is the old one or the new one at every instant, and has no lock that a later run
//! cannot recognize ([`Repo::stage`]); a working-tree file does not exist or is complete, and no symbolic link is
//! followed to write one. The module does not commit, fetch or merge: `git/` does.

mod attributes;
mod checkout;
mod config;
mod database;
mod error;
mod history;
mod index;
mod index_file;
mod lock;
mod objects;
mod open;
mod origins;
mod partial;
mod references;
mod remotes;
mod short_blobs;
mod stage;
mod worktree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bstr::BStr;
use references::References;

pub use attributes::{
    Attributes, AttributesChange, CommittedAttributes, Filter, Origin, Treatment, Treatments, Trees,
};
pub use checkout::{Conversion, Converter, LineEnds, Made, Recipe, Survey, Unclear, recipes};
pub use database::{Database, Found};
pub use error::Error;
pub use history::History;
pub use index::{Entry, FileStat};
pub use origins::{FileOrigin, WantedFile, origins};
pub use partial::PartialIndex;
pub use remotes::{Settings, global_settings, is_branch_name};
pub use short_blobs::ShortBlobs;
pub use stage::Change;

use crate::git::Git;
pub use crate::git::{ChangedPath, Mode, ObjectId, Version};

/// The result of the functions of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// A repository with a working tree.
pub struct Repo {
    inner: gix::Repository,
    work_dir: PathBuf,
    references: References,
}

impl Repo {
    /// Finds the repository of `dir` as git does: `GIT_DIR` first, else upwards. `None` if none exists.
    ///
    /// # Errors
    /// [`Error::Bare`], [`Error::NotTrusted`], [`Error::UnsupportedFormat`], or [`Error::Open`].
    pub fn discover(dir: &Path) -> Result<Option<Self>> {
        open::open(dir)?.map(Self::new).transpose()
    }

    /// Opens the repository whose top is this directory: one that was just created, and not the one of a calling hook.
    ///
    /// # Errors
    /// [`Error::OfEnvironment`] if a variable of the environment names another one, or another index; as
    /// [`Repo::discover`].
    pub fn at(dir: &Path) -> Result<Self> {
        let real = |path: &Path| path.canonicalize().ok();
        let is_own = |repo: &Self| {
            let index = repo.index_path();
            let index_dir = index.parent().and_then(real);
            real(&repo.work_dir) == real(dir) && index_dir == real(repo.git_dir())
        };
        Self::discover(dir)?.filter(is_own).ok_or_else(|| Error::OfEnvironment { dir: dir.to_owned() })
    }

    fn new(inner: gix::Repository) -> Result<Self> {
        let git_dir = open::checked(&inner)?;
        let work_dir = inner.workdir().map(Path::to_owned).ok_or(Error::Bare { git_dir })?;
        let work_dir = std::path::absolute(&work_dir).map_err(Error::io("find", work_dir))?;
        let references = References::of(&inner);
        Ok(Self { inner, work_dir, references })
    }

    /// Returns the top of the working tree, an absolute path.
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// Ties git in the working tree to this repository, if it would find none or another one there: the working tree
    /// is that of `core.worktree`, or the environment names both.
    #[must_use]
    pub fn tied<'a>(&self, git: Git<'a>) -> Git<'a> {
        if self.is_found() {
            return git;
        }
        // `GIT_DIR` may be relative to the directory of this process.
        let git_dir = std::path::absolute(self.git_dir()).unwrap_or_else(|_| self.git_dir().to_owned());
        git.tied_to(git_dir, &self.work_dir)
    }

    /// Returns `true` if git finds this repository from the top of its working tree.
    fn is_found(&self) -> bool {
        if self.inner.workdir().is_none() {
            return true;
        }
        let is_same = |found: &Path, own: &Path| found.canonicalize().ok() == own.canonicalize().ok();
        gix::discover::upwards(&self.work_dir).is_ok_and(|(found, _)| {
            let (git_dir, top) = found.into_repository_and_work_tree_directories();
            let is_top = top.is_some_and(|top| is_same(&top, &self.work_dir));
            is_same(&git_dir, self.git_dir()) && (is_top || self.config_str("core.worktree").is_some())
        })
    }

    /// Returns the directory of this working tree's index and `HEAD`.
    pub fn git_dir(&self) -> &Path {
        self.inner.git_dir()
    }

    /// Returns the directory that linked working trees share; else [`Repo::git_dir`].
    pub fn common_dir(&self) -> &Path {
        self.inner.common_dir()
    }

    /// Removes the leftovers of killed runs: temporary files of the LFS storage and of the index, and a lock of the
    /// index that is ours. It removes nothing of a living process. Returns how many files it removed.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn sweep(&self) -> Result<usize> {
        let store = self.store();
        let objects = crate::lfs::object::sweep(&store).map_err(Error::io("sweep", store.tmp_dir()))?;
        Ok(objects + lock::sweep(&self.index_path())?)
    }

    /// Does the same in the working tree, in the directories of these paths and above them, which contain temporary
    /// files if the LFS storage is on another file system. Files that cannot be removed, and files behind a link, stay.
    pub fn sweep_beside<'a>(&self, paths: impl IntoIterator<Item = &'a BStr>) -> usize {
        let mut dirs = BTreeSet::new();
        for path in paths {
            let Ok(target) = self.target(path) else { continue };
            if target.metadata().is_ok() {
                let full = target.path();
                let above = full.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.work_dir));
                dirs.extend(above.map(Path::to_owned));
            }
        }
        dirs.iter().map(|dir| crate::lfs::temp::sweep_hidden(dir)).sum()
    }
}
