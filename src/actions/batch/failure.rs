//! [`Cause`] is why a model was not done, coarse enough to count.
//!
//! Invariant: it contains no more information than the reason next to it, which is kept in full.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actions::Error;
use crate::actions::publish::PublishError;
use crate::git::{self, Trouble};
use crate::{checkpoint, recipe, remote, repo};

/// Why a model was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Its checkpoints are larger than `--max-size`.
    #[error("too large")]
    TooLarge,
    /// The model does not exist, or is not visible.
    #[error("not found or no access")]
    NotFound,
    /// The model exists, and the user has no access to read or write it.
    #[error("access denied")]
    Access,
    /// The revision, a commit or the pull request does not exist.
    #[error("revision not found")]
    Revision,
    /// The server does not respond, has an error, or wants fewer requests.
    #[error("server error")]
    Server,
    /// The server does not have content, or does not send it.
    #[error("LFS object missing")]
    MissingContent,
    /// A shard that the shard index names is missing.
    #[error("shard missing")]
    MissingShard,
    /// Content does not match its name or its checksums.
    #[error("damaged")]
    Damaged,
    /// A pickle imports a global that is known to execute code.
    #[error("dangerous pickle")]
    Dangerous,
    /// A file with a name of weights is something else.
    #[error("not a checkpoint")]
    NotWeights,
    /// The checkpoint contains values that safetensors cannot store, or that are not understood.
    #[error("unsupported")]
    Unsupported,
    /// `--strict`: the checkpoint contains more than weights.
    #[error("more than weights")]
    MoreThanWeights,
    /// An existing file has the name of the result.
    #[error("conflict")]
    InTheWay,
    /// The disk, or a file.
    #[error("I/O error")]
    System,
    /// Any other cause.
    #[serde(other)]
    #[error("other")]
    Other,
}

impl Cause {
    /// Returns the cause of an error.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Recipe(recipe::Error::Dangerous { .. }) => Self::Dangerous,
            Error::Recipe(recipe::Error::Strict { .. }) => Self::MoreThanWeights,
            Error::NoObject { .. } => Self::MissingContent,
            Error::MissingShards { .. } => Self::MissingShard,
            Error::PointerMismatch { .. }
            | Error::Unpublished(PublishError::DamagedObject { .. })
            | Error::SourceChanged
            | Error::NotInShard { .. }
            | Error::InOtherShard { .. }
            | Error::InNoShard { .. }
            | Error::TwoShards { .. }
            | Error::Shard(_)
            | Error::NotSafetensors { .. } => Self::Damaged,
            Error::Checkpoint(error) => Self::of_checkpoint(error),
            Error::OutputExists { .. }
            | Error::OutputDiffers { .. }
            | Error::OutputNotFile { .. }
            | Error::OutputSymlink { .. }
            | Error::OutputCollision { .. }
            | Error::OutputIsSource
            | Error::CloneInTheWay { .. }
            | Error::SamePlace { .. }
            | Error::InTheWay { .. }
            | Error::Modified
            | Error::Hidden { .. }
            | Error::Unpublished(PublishError::PublishRunning)
            | Error::Place(_)
            | Error::Git(git::Error::InTheWay { .. })
            | Error::Repo(repo::Error::IndexLocked { .. } | repo::Error::Place(_)) => Self::InTheWay,
            Error::NoSuchRevision { .. }
            | Error::Repo(repo::Error::WrongRevision { .. })
            | Error::EmptyRepository { .. }
            | Error::NoSuchPullRequest { .. }
            | Error::WithoutSafetensors { .. }
            | Error::Unpublished(
                PublishError::EmptyRemote { .. }
                | PublishError::NoDefaultBranch { .. }
                | PublishError::SourceDiffers { .. }
                | PublishError::BranchDiffers { .. },
            ) => Self::Revision,
            Error::FilesWithheld => Self::Server,
            Error::Unpublished(PublishError::NoToken | PublishError::ReadOnlyToken { .. }) => Self::Access,
            Error::Symlink => Self::Unsupported,
            error => below(error).unwrap_or(Self::Other),
        }
    }

    fn of_checkpoint(error: &checkpoint::Error) -> Self {
        use checkpoint::Error as E;
        match error {
            E::NotCheckpoint { .. } => Self::NotWeights,
            E::Pickle { .. }
            | E::Zip(_)
            | E::NoEndRecord
            | E::Ambiguity { .. }
            | E::MissingRecord { .. }
            | E::Legacy { .. }
            | E::LegacyPart { .. }
            | E::StorageLength { .. }
            | E::Storage { .. }
            | E::Geometry { .. }
            | E::DuplicateName { .. }
            | E::Unforeseen { .. }
            | E::Damaged(_) => below(error).filter(|cause| *cause == Self::Server).unwrap_or(Self::Damaged),
            E::Io(_) => below(error).unwrap_or(Self::Damaged),
            _ => Self::Unsupported,
        }
    }

    fn of_server(error: &remote::Error) -> Self {
        use remote::Error as E;
        match error {
            E::RepositoryNotFound { .. } => Self::NotFound,
            E::Unauthorized { .. }
            | E::TokenExpired { .. }
            | E::Forbidden { .. }
            | E::Gated { .. }
            | E::MayNotWrite { .. }
            | E::DiscussionsDisabled { .. }
            | E::Token(_) => Self::Access,
            E::RevisionNotFound { .. } => Self::Revision,
            // A server responds with 422 for an object that differs from the requested one.
            E::Object { code: 422, .. } | E::WrongDigest { .. } | E::WrongSize { .. } | E::Changed { .. } => {
                Self::Damaged
            }
            E::NotFound { .. } | E::EntryNotFound { .. } | E::Object { .. } | E::NotThere { .. } => {
                Self::MissingContent
            }
            E::Resolve { .. }
            | E::Connect { .. }
            | E::Tls { .. }
            | E::Proxy { .. }
            | E::TimedOut { .. }
            | E::Cut { .. }
            | E::BadHttp { .. }
            | E::BadAnswer { .. }
            | E::TooManyRedirects { .. }
            | E::RateLimited { .. }
            | E::NotTaken { .. }
            | E::Status { .. } => Self::Server,
            _ => Self::Other,
        }
    }

    fn of_git(error: &git::Error) -> Self {
        let trouble = match error {
            git::Error::Remote { trouble, .. } => trouble,
            git::Error::RemoteGone { .. } => return Self::NotFound,
            git::Error::Io { .. } => return Self::System,
            _ => return Self::Other,
        };
        match trouble {
            // A server like the Hub requires authentication before it reports that a model does not exist.
            Trouble::NotFound | Trouble::NotRepository | Trouble::NoSuchPath | Trouble::SignIn => {
                Self::NotFound
            }
            Trouble::Rejected | Trouble::Forbidden | Trouble::Ownership => Self::Access,
            Trouble::NoSuchRef => Self::Revision,
            _ => Self::Server,
        }
    }
}

/// A server wants fewer requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// It states the length of the pause.
    For(Duration),
    /// It does not state it.
    Unsaid,
}

/// Returns how a server rejected a model for now; `None` if an error has another cause.
pub(super) fn turned_away(error: &(dyn StdError + 'static)) -> Option<TurnedAway> {
    for error in chain(error) {
        if let Some(Error::Git(git::Error::Remote {
            trouble: Trouble::TooOften | Trouble::Unavailable,
            ..
        })) = error.downcast_ref()
        {
            return Some(TurnedAway::Unsaid);
        }
        let server = match error.downcast_ref::<Error>() {
            Some(Error::Remote(error)) => Some(error),
            _ => error.downcast_ref::<remote::Error>(),
        };
        if let Some(
            remote::Error::RateLimited { after, .. } | remote::Error::Status { status: 503, after, .. },
        ) = server
        {
            return Some(after.map_or(TurnedAway::Unsaid, TurnedAway::For));
        }
    }
    None
}

/// Returns the first cause among the errors below.
fn below(error: &(dyn StdError + 'static)) -> Option<Cause> {
    let mut system = None;
    for error in chain(error) {
        if let Some(Error::Git(error)) = error.downcast_ref() {
            return Some(Cause::of_git(error));
        }
        if let Some(Error::Remote(error)) = error.downcast_ref() {
            return Some(Cause::of_server(error));
        }
        if let Some(error) = error.downcast_ref::<remote::Error>() {
            return Some(Cause::of_server(error));
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
            system = Some(if is_short { Cause::Damaged } else { Cause::System });
        }
    }
    system
}

/// Returns an error and its causes. An I/O error passes on the cause of the error that it wraps, not that error.
fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Stderr;

    #[test]
    fn the_cause_of_an_error() {
        let git = |trouble| {
            Error::Git(git::Error::Remote { trouble, stderr: Stderr("fatal: no\nremote: gone".to_owned()) })
        };
        let io = |kind: io::ErrorKind| Error::Io { what: "write", path: "x".into(), source: kind.into() };
        let far = |error: remote::Error| Error::Checkpoint(checkpoint::Error::Io(io::Error::other(error)));
        for (error, cause) in [
            (git(Trouble::SignIn), Cause::NotFound),
            (git(Trouble::Forbidden), Cause::Access),
            (git(Trouble::NoSuchRef), Cause::Revision),
            (git(Trouble::Broken), Cause::Server),
            (io(io::ErrorKind::StorageFull), Cause::System),
            (far(remote::Error::NoEndpoint { remote: "x".to_owned() }), Cause::Other),
            (Error::Checkpoint(checkpoint::Error::NoEndRecord), Cause::Damaged),
            (Error::Checkpoint(checkpoint::Error::TorchScript { what: "" }), Cause::Unsupported),
            (Error::Checkpoint(checkpoint::Error::Io(io::ErrorKind::UnexpectedEof.into())), Cause::Damaged),
            (Error::NoRepository, Cause::Other),
        ] {
            assert_eq!(Cause::of(&error), cause, "{error}");
        }
        assert_eq!(git(Trouble::Broken).reason(&str::to_owned), "connection lost: fatal: no; remote: gone");
        assert_eq!(serde_json::to_value(Cause::MissingShard).unwrap(), "missing-shard");
        assert_eq!(serde_json::from_str::<Cause>("\"later\"").unwrap(), Cause::Other);
    }
}
