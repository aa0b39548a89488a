//! [`PublishError`]: why files are not published, where that is no error of git, the store or a server.

use bstr::BString;

use crate::hash::Oid;
use crate::remote;

/// Why files are not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A pull request needs somebody who makes it.
    #[error("opening a pull request requires a token")]
    NoToken,
    /// The token can read alone.
    #[error("the token from {place} has no write access")]
    ReadOnlyToken {
        /// Where it came from.
        place: remote::token::TokenSource,
    },
    /// The remote's branch has another checkpoint than the one that was converted here.
    #[error("{path} was converted from another version of the checkpoint than the remote has")]
    SourceDiffers {
        /// The safetensors file.
        path: BString,
        /// `true` if the remote's commit is one of those here, so that the checkpoint here is the newer one.
        is_newer_here: bool,
    },
    /// The branch that is there has another checkpoint than the one that was converted here.
    #[error("{path} was converted from another version of the checkpoint than {reference} on the remote has")]
    BranchDiffers {
        /// The branch.
        reference: String,
        /// The safetensors file.
        path: BString,
    },
    /// A safetensors file that git itself holds.
    #[error("{path} is not under Git LFS")]
    NotUnderLfs {
        /// The file.
        path: BString,
    },
    /// The object in the store is not what its name says.
    #[error("the LFS object of {path} is damaged: sha256 {got}")]
    DamagedObject {
        /// The file.
        path: BString,
        /// What the bytes give.
        got: Oid,
    },
    /// Another process is at it.
    #[error("another publish is running in this repository")]
    PublishRunning,
    /// The remote has no branch that something could be added to.
    #[error("the remote {remote} has no branch yet")]
    EmptyRemote {
        /// Its name.
        remote: String,
    },
    /// Which branch the remote begins with is not known here, and nobody was asked.
    #[error("the default branch of the remote {remote} is not known here")]
    NoDefaultBranch {
        /// Its name.
        remote: String,
    },
}

impl PublishError {
    /// Returns `true` if the user has to say more, or to set something up.
    pub(in crate::actions) fn is_misuse(&self) -> bool {
        matches!(self, Self::NoToken | Self::EmptyRemote { .. } | Self::NoDefaultBranch { .. })
    }

    /// Returns `true` if it is a refusal for what the files hold.
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
