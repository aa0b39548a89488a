//! [`PublishError`] states why files are not published, if git, LFS storage and the servers report no error.

use bstr::BString;

use crate::hash::Oid;
use crate::remote;

/// Why files are not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A pull request needs a token.
    #[error("opening a pull request requires a token")]
    NoToken,
    /// The token can only read.
    #[error("the token from {place} has no write access")]
    ReadOnlyToken {
        /// Its origin.
        place: remote::token::TokenSource,
    },
    /// The remote's branch has another checkpoint than the one that was converted.
    #[error("{path} was converted from another version of the checkpoint than the remote has")]
    SourceDiffers {
        /// The safetensors file.
        path: BString,
        /// `true` if this clone contains the remote's commit, so that the local checkpoint is newer.
        is_newer_here: bool,
    },
    /// The existing branch has another checkpoint than the one that was converted.
    #[error("{path} was converted from another version of the checkpoint than {reference} on the remote has")]
    BranchDiffers {
        /// The branch.
        reference: String,
        /// The safetensors file.
        path: BString,
    },
    /// A safetensors file is not under Git LFS.
    #[error("{path} is not under Git LFS")]
    NotUnderLfs {
        /// The file.
        path: BString,
    },
    /// The object in LFS storage does not match its name.
    #[error("the LFS object of {path} is damaged: sha256 {got}")]
    DamagedObject {
        /// The file.
        path: BString,
        /// The object ID of the bytes.
        got: Oid,
    },
    /// Another process is publishing.
    #[error("another publish is running in this repository")]
    PublishRunning,
    /// git accepts no branch of this name.
    #[error("invalid branch name `{name}`")]
    BranchName {
        /// The name.
        name: String,
    },
    /// The remote has no branch to add files to.
    #[error("the remote {remote} has no branch yet")]
    EmptyRemote {
        /// Its name.
        remote: String,
    },
    /// The default branch of the remote is not known, and no server was contacted.
    #[error("the default branch of the remote {remote} is not known here")]
    NoDefaultBranch {
        /// Its name.
        remote: String,
    },
}

impl PublishError {
    /// Returns `true` if the user must give more information, or change the setup.
    pub(in crate::actions) fn is_misuse(&self) -> bool {
        matches!(
            self,
            Self::NoToken | Self::BranchName { .. } | Self::EmptyRemote { .. } | Self::NoDefaultBranch { .. }
        )
    }

    /// Returns `true` for a refusal because of the files' content.
    pub(in crate::actions) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::SourceDiffers { .. }
                | Self::BranchDiffers { .. }
                | Self::NotUnderLfs { .. }
                | Self::DamagedObject { .. }
        )
    }
}
