//! [`Error`] states why the repository could not be read or changed.

use std::io;
use std::path::PathBuf;

use bstr::BString;

use super::ObjectId;
use crate::lfs;

/// Why the repository could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository exists and cannot be opened.
    #[error("cannot open the repository of `{}`", dir.display())]
    Open {
        /// The directory in which the search began.
        dir: PathBuf,
        /// The reason.
        source: gix::Error,
    },
    /// The repository has no working tree.
    #[error("`{}` is a bare repository", git_dir.display())]
    Bare {
        /// The repository.
        git_dir: PathBuf,
    },
    /// The repository belongs to another user, and no `safe.directory` allows it.
    #[error("`{}` is owned by another user", git_dir.display())]
    NotTrusted {
        /// The repository.
        git_dir: PathBuf,
    },
    /// The repository has an unsupported format: two object formats at once, or an extension that git does not know
    /// either.
    #[error("repository format `{key} = {value}` is not supported")]
    UnsupportedFormat {
        /// The setting.
        key: String,
        /// Its value.
        value: BString,
    },
    /// The references are in a format that only git reads, and git failed.
    #[error("cannot read the references of this repository with git")]
    References {
        /// The reason.
        source: crate::git::Error,
    },
    /// The object database, the configuration or the index could not be read.
    #[error("cannot {action}")]
    Git {
        /// The action that failed: a verb and its object.
        action: &'static str,
        /// The reason.
        source: gix::Error,
    },
    /// libgit2 failed.
    #[error("cannot read the history of the repository")]
    History {
        /// The reason.
        source: git2::Error,
    },
    /// The system reported an error.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The action that failed: a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The blob is missing: a partial clone left it out.
    #[error("blob {id} is not in this partial clone")]
    MissingBlob {
        /// Its ID.
        id: ObjectId,
    },
    /// The blob is longer than the caller accepts.
    #[error("blob {id} is {size} bytes, over the limit of {limit}")]
    BlobTooLarge {
        /// Its ID.
        id: ObjectId,
        /// Its length.
        size: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// The object is not a blob.
    #[error("object {id} is not a blob")]
    NotABlob {
        /// Its ID.
        id: ObjectId,
    },
    /// The boundary of a shallow clone hides the required history.
    #[error("cannot {action}: this clone is shallow, and its history too short")]
    HistoryCut {
        /// The action that is not possible: a verb and its object.
        action: String,
    },
    /// The configuration has no such remote.
    #[error("remote `{name}` not found")]
    NoSuchRemote {
        /// Its name.
        name: String,
    },
    /// A path on the command line is not in the working tree.
    #[error("`{}` is outside the repository `{}`", path.display(), work_dir.display())]
    OutsideWorkTree {
        /// The given path.
        path: PathBuf,
        /// The top of the working tree.
        work_dir: PathBuf,
    },
    /// A pathspec matches no file; git's wording.
    #[error("pathspec '{pathspec}' did not match any file(s) known to git")]
    NoMatch {
        /// The given pathspec.
        pathspec: BString,
    },
    /// A path is a submodule, or in one.
    #[error("path is in the submodule `{dir}`")]
    InSubmodule {
        /// The submodule.
        dir: BString,
        /// The path from there; empty for the submodule itself.
        rest: BString,
        /// `true` if it is checked out.
        is_here: bool,
    },
    /// A path is the top of another repository, or below it.
    #[error("path is in another git repository, `{dir}`")]
    InOtherRepository {
        /// Its top.
        dir: BString,
        /// The path from there; empty for the repository itself.
        rest: BString,
    },
    /// A variable such as `GIT_DIR` names another repository.
    #[error("GIT_DIR does not match the repository in {}", dir.display())]
    OfEnvironment {
        /// The top of the intended one.
        dir: PathBuf,
    },
    /// Another process is changing the index, or was killed while doing so.
    #[error("the index is locked by `{}`", lock.display())]
    IndexLocked {
        /// The lock file.
        lock: PathBuf,
    },
    /// Other processes changed the index repeatedly while the new one was prepared.
    #[error("another process keeps changing the index")]
    IndexUnstable,
    /// A tree is missing in this clone.
    #[error("the tree {id} is not in this clone")]
    MissingTree {
        /// The tree.
        id: ObjectId,
    },
    /// No revision has this name.
    #[error("revision `{revision}` not found")]
    NoSuchRevision {
        /// The name.
        revision: String,
    },
    /// The revision is an object of another kind.
    #[error("revision `{revision}` is not {expected}")]
    WrongRevision {
        /// The name.
        revision: String,
        /// What was needed, with its article.
        expected: &'static str,
    },
    /// An object is damaged.
    #[error("cannot read the object {id}")]
    Object {
        /// The object.
        id: ObjectId,
        /// The reason.
        source: gix::Error,
    },
    /// A file and a directory have the same name.
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
    /// A commit of a few paths would include an unfinished operation.
    #[error("a {operation} is in progress")]
    InProgress {
        /// The operation: `merge`, `cherrypick`, `rebase`…
        operation: String,
    },
    /// The path to remove is not in the index.
    #[error("`{path}` is not in the index")]
    NotTracked {
        /// The path.
        path: BString,
    },
    /// The attributes file is a link, through which git does not read attributes.
    #[error("git ignores `{path}`: symbolic link")]
    AttributesSymlink {
        /// The attributes file.
        path: BString,
    },
    /// The path has another filter.
    #[error("`{path}` uses the filter `{filter}`, not lfs")]
    OtherFilter {
        /// The path.
        path: BString,
        /// The filter's name.
        filter: BString,
    },
    /// No line in a `.gitattributes` file can override this file.
    #[error("`{}` overrides the LFS entry for `{path}`", by.display())]
    AttributesOverridden {
        /// The path.
        path: BString,
        /// The file with the highest priority.
        by: PathBuf,
    },
    /// The attributes line for the path is so long that git ignores it.
    #[error("the .gitattributes entry for `{path}` is {len} bytes; git ignores 2048 or more")]
    AttributesLineTooLong {
        /// The path.
        path: BString,
        /// The length of the line.
        len: usize,
    },
    /// A file of the working tree could not be written.
    #[error(transparent)]
    Place(#[from] lfs::worktree_file::Error),
}

impl Error {
    /// Returns `true` if the named object cannot be used.
    pub fn is_misnamed(&self) -> bool {
        matches!(
            self,
            Self::OutsideWorkTree { .. }
                | Self::Bare { .. }
                | Self::NoMatch { .. }
                | Self::WrongRevision { .. }
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
