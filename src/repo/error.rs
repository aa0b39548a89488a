//! [`Error`]: why the repository could not be read or changed.

use std::io;
use std::path::PathBuf;

use bstr::BString;

use super::ObjectId;
use crate::lfs;

/// The repository could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is a repository, and it cannot be opened.
    #[error("cannot open the repository of `{}`", dir.display())]
    Open {
        /// Where the search began.
        dir: PathBuf,
        /// Why it failed.
        source: gix::Error,
    },
    /// A repository without a work tree.
    #[error("`{}` is a bare repository", git_dir.display())]
    Bare {
        /// The repository.
        git_dir: PathBuf,
    },
    /// The repository belongs to somebody else, and no `safe.directory` allows it.
    #[error("`{}` is owned by another user", git_dir.display())]
    NotTrusted {
        /// The repository.
        git_dir: PathBuf,
    },
    /// A repository format that is not read here: two object formats at once, or what git does not know either.
    #[error("repository format `{key} = {value}` is not supported")]
    UnsupportedFormat {
        /// The setting.
        key: String,
        /// Its value.
        value: BString,
    },
    /// The references are in a format that only git reads, and it did not.
    #[error("cannot read the references of this repository with git")]
    References {
        /// Why it failed.
        source: crate::git::Error,
    },
    /// The object database, the configuration or the index did not give what was asked.
    #[error("cannot {action}")]
    Git {
        /// What was tried: a verb and its object.
        action: &'static str,
        /// Why it failed.
        source: gix::Error,
    },
    /// libgit2 did not give what was asked.
    #[error("cannot read the history of the repository")]
    History {
        /// Why it failed.
        source: git2::Error,
    },
    /// The system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The blob is not here: a partial clone left it out.
    #[error("blob {id} is not in this partial clone")]
    MissingBlob {
        /// Its name.
        id: ObjectId,
    },
    /// The blob is longer than the caller wants to hold.
    #[error("blob {id} is {size} bytes, over the limit of {limit}")]
    BlobTooLarge {
        /// Its name.
        id: ObjectId,
        /// Its length.
        size: u64,
        /// The caller's bound.
        limit: u64,
    },
    /// The object is not a blob.
    #[error("object {id} is not a blob")]
    NotABlob {
        /// Its name.
        id: ObjectId,
    },
    /// A shallow clone ends before what would have to be known.
    #[error("cannot {action}: this clone is shallow, and its history too short")]
    HistoryCut {
        /// What cannot be done: a verb and its object.
        action: String,
    },
    /// The configuration has no such remote.
    #[error("remote `{name}` not found")]
    NoSuchRemote {
        /// Its name.
        name: String,
    },
    /// A path on the command line that is not in the work tree.
    #[error("`{}` is outside the repository `{}`", path.display(), work_dir.display())]
    OutsideWorkTree {
        /// The path as it was given.
        path: PathBuf,
        /// The top of the work tree.
        work_dir: PathBuf,
    },
    /// A pathspec that means no file; git words it so.
    #[error("pathspec '{pathspec}' did not match any file(s) known to git")]
    NoMatch {
        /// As it was given.
        pathspec: BString,
    },
    /// A path that is a submodule, or in one.
    #[error("path is in the submodule `{dir}`")]
    InSubmodule {
        /// The submodule.
        dir: BString,
        /// The path from there; empty for itself.
        rest: BString,
        /// `true` if it is checked out.
        is_here: bool,
    },
    /// A path that is the top of another repository, or below it.
    #[error("path is in another git repository, `{dir}`")]
    InOtherRepository {
        /// Its top.
        dir: BString,
        /// The path from there; empty for itself.
        rest: BString,
    },
    /// A variable such as `GIT_DIR` names another repository.
    #[error("GIT_DIR does not match the repository in {}", dir.display())]
    OfEnvironment {
        /// The top of the one that is meant.
        dir: PathBuf,
    },
    /// Somebody else changes the index, or was killed while doing so.
    #[error("the index is locked by `{}`", lock.display())]
    IndexLocked {
        /// The lock file.
        lock: PathBuf,
    },
    /// Others changed the index again and again while ours was prepared.
    #[error("another process keeps changing the index")]
    IndexUnstable,
    /// A tree is not in this clone.
    #[error("the tree {id} is not in this clone")]
    MissingTree {
        /// Which.
        id: ObjectId,
    },
    /// Nothing here has this name.
    #[error("revision `{revision}` not found")]
    NoSuchRevision {
        /// The name.
        revision: String,
    },
    /// An object is damaged.
    #[error("cannot read the object {id}")]
    Object {
        /// Which.
        id: ObjectId,
        /// Why.
        source: gix::Error,
    },
    /// A file and a directory want the same name.
    #[error("cannot stage `{path}` and `{other}` together")]
    PathConflict {
        /// The path to stage.
        path: BString,
        /// The path in the index that excludes it.
        other: BString,
    },
    /// The path is in the middle of a merge.
    #[error("`{path}` is unmerged")]
    Unmerged {
        /// The path.
        path: BString,
    },
    /// A commit of a few paths would swallow an operation that is not finished.
    #[error("a {operation} is in progress")]
    InProgress {
        /// Which: `merge`, `cherrypick`, `rebase`…
        operation: String,
    },
    /// The path to remove is not in the index.
    #[error("`{path}` is not in the index")]
    NotTracked {
        /// The path.
        path: BString,
    },
    /// git does not read attributes through a link, and we do not write through one.
    #[error("git ignores `{path}`: symbolic link")]
    AttributesSymlink {
        /// The attributes file.
        path: BString,
    },
    /// Another filter has the path.
    #[error("`{path}` uses the filter `{filter}`, not lfs")]
    OtherFilter {
        /// The path.
        path: BString,
        /// The filter's name.
        filter: BString,
    },
    /// No line in a `.gitattributes` can win over this file.
    #[error("`{}` overrides the LFS entry for `{path}`", by.display())]
    AttributesOverridden {
        /// The path.
        path: BString,
        /// The file with the last word.
        by: PathBuf,
    },
    /// git ignores attribute lines as long as the one for this path.
    #[error("the .gitattributes entry for `{path}` is {len} bytes; git ignores 2048 or more")]
    AttributesLineTooLong {
        /// The path.
        path: BString,
        /// How long the line is.
        len: usize,
    },
    /// A file of the work tree could not be written.
    #[error(transparent)]
    Place(#[from] lfs::worktree_file::Error),
}

impl Error {
    /// Returns `true` if what was named cannot be meant.
    pub fn is_misnamed(&self) -> bool {
        matches!(
            self,
            Self::OutsideWorkTree { .. }
                | Self::Bare { .. }
                | Self::NoMatch { .. }
                | Self::InSubmodule { .. }
                | Self::InOtherRepository { .. }
        )
    }

    pub(super) fn git(action: &'static str) -> impl FnOnce(gix::Error) -> Self {
        move |source| Self::Git { action, source }
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
