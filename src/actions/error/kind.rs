//! Classifies errors: their kind, whether an option allows the work, and the texts of the error and its causes.
//!
//! Invariant: this is the only table of kinds. Exit codes and hints are in the command line.

use std::error::Error as StdError;
use std::io;
use std::path::Path;

use bstr::BString;

use super::{Error, UnfitHooks};
use crate::{checkpoint, git, lfs, recipe, remote, repo, safetensors};

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request of the user is not valid.
    User,
    /// The file is refused because of its content.
    Refused,
    /// git, the system or the disk.
    Environment,
    /// The user interrupted the program.
    Interrupted,
}

impl Error {
    /// Creates an [`Error::Io`] for a file that could not be opened, read or written: `.map_err(Error::io("read",
    /// path))`.
    pub(in crate::actions) fn io<'p>(
        what: &'static str,
        path: &'p (impl AsRef<Path> + ?Sized),
    ) -> impl Fn(io::Error) -> Self + Copy + 'p {
        move |source| Self::Io { what, path: path.as_ref().to_owned(), source }
    }

    /// Returns `true` if an option allows what was refused, so that the same file can be converted later.
    pub fn is_lifted_by_an_option(&self) -> bool {
        use checkpoint::Error as Of;
        matches!(
            self,
            Self::Recipe(recipe::Error::Strict { .. })
                | Self::OutputExists { .. }
                | Self::OutputDiffers { .. }
                | Self::Checkpoint(
                    Of::Ambiguous { .. }
                        | Of::NoSuchKey { .. }
                        | Of::Keep { .. }
                        | Of::KeepDropped { .. }
                        | Of::Output { .. }
                )
        )
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Interrupted => Kind::Interrupted,
            Self::NotFound
            | Self::OutputWithoutPath
            | Self::SameOutput { .. }
            | Self::NoRepository
            | Self::NotEmpty { .. }
            | Self::CloneInTheWay { .. }
            | Self::NeedsDirectory { .. }
            | Self::Offline { .. }
            | Self::NoSuchRevision { .. }
            | Self::Git(git::Error::WrongRevision { .. })
            | Self::Setting { .. }
            | Self::NotWithPullRequest { .. }
            | Self::NoRemote
            | Self::NoCommits
            | Self::NoSuchPullRequest { .. }
            | Self::NoCheckpoint
            | Self::NothingToVerify(_)
            | Self::SeveralCheckpoints { .. } => Kind::User,
            Self::Unpublished(error) if error.is_misuse() => Kind::User,
            Self::Unpublished(error) if error.is_refusal() => Kind::Refused,
            Self::Repo(error) if error.is_misnamed() => Kind::User,
            Self::Shard(_)
            | Self::Hooks(UnfitHooks::Managed { .. })
            | Self::Recipe(_)
            | Self::PointerMismatch { .. }
            | Self::Symlink
            | Self::Modified
            | Self::Hidden { .. }
            | Self::OutputIsSource
            | Self::TwoShards { .. }
            | Self::OutputExists { .. }
            | Self::OutputDiffers { .. }
            | Self::OutputNotFile { .. }
            | Self::OutputSymlink { .. }
            | Self::OutputCollision { .. }
            | Self::IncompleteSet { .. }
            | Self::NotInShard { .. }
            | Self::InOtherShard { .. }
            | Self::InNoShard { .. }
            | Self::NotSafetensors { .. }
            | Self::WithoutSafetensors { .. }
            | Self::NotProven { is_failure: false, .. }
            | Self::OtherPaths { .. }
            | Self::Place(lfs::worktree_file::Error::Symlink { .. })
            | Self::Repo(repo::Error::Place(lfs::worktree_file::Error::Symlink { .. })) => Kind::Refused,
            Self::Checkpoint(error) if !error.is_io() => Kind::Refused,
            Self::Safetensors(error) if !matches!(error, safetensors::Error::Io(_)) => Kind::Refused,
            Self::MissingShards { shards }
                if shards.iter().all(|(_, why)| matches!(why, Self::NotFound) || why.is_refusal()) =>
            {
                Kind::Refused
            }
            _ => Kind::Environment,
        }
    }

    /// Returns `true` for a refusal because of the file's content, as opposed to work that could not be done.
    pub fn is_refusal(&self) -> bool {
        self.kind() == Kind::Refused
    }

    /// Returns the causes, each once, outermost first; `message` is the line above them. `safe` escapes foreign text
    /// for its destination.
    pub fn causes(&self, message: &str, safe: &dyn Fn(&str) -> String) -> Vec<String> {
        match self {
            Self::Recipe(recipe::Error::Dangerous { at, record, .. }) => {
                vec![format!("global at byte {at} of {} is not an allowed global", safe(record))]
            }
            Self::MissingShards { shards } => shards
                .iter()
                .map(|(shard, why)| safe(&shard.to_string()) + ": " + &why.reason(safe))
                .collect(),
            _ => causes_of(self.source(), message, safe),
        }
    }

    /// Returns the message and its causes in one line.
    pub fn reason(&self, safe: &dyn Fn(&str) -> String) -> String {
        let message = safe(&self.to_string());
        let causes = self.causes(&message, safe);
        let parts = std::iter::once(message).chain(causes).map(|part| part.replace('\n', "; "));
        parts.collect::<Vec<_>>().join(": ")
    }
}

impl From<safetensors::Error> for Error {
    fn from(error: safetensors::Error) -> Self {
        recipe::Error::from(error).into()
    }
}

impl From<recipe::Error> for Error {
    fn from(error: recipe::Error) -> Self {
        match error {
            recipe::Error::Checkpoint(error) => Self::Checkpoint(error),
            recipe::Error::Safetensors(error) => Self::Safetensors(error),
            error => Self::Recipe(error),
        }
    }
}

impl From<repo::Error> for Error {
    fn from(error: repo::Error) -> Self {
        match error {
            repo::Error::NoSuchRevision { revision } => Self::NoSuchRevision { revision, remote: None },
            error => Self::Repo(error),
        }
    }
}

impl From<git::Error> for Error {
    fn from(error: git::Error) -> Self {
        match error {
            git::Error::NoSuchRevision { revision } => Self::NoSuchRevision { revision, remote: None },
            error => Self::Git(error),
        }
    }
}

impl From<remote::Error> for Error {
    fn from(error: remote::Error) -> Self {
        match error {
            remote::Error::Interrupted => Self::Interrupted,
            error => Self::Remote(error),
        }
    }
}

/// Returns each cause once, outermost first, as [`Error::causes`].
pub(crate) fn causes_of(
    first: Option<&(dyn StdError + 'static)>,
    message: &str,
    safe: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = first;
    while let Some(cause) = next {
        let text = match cause.downcast_ref::<git::Stderr>() {
            Some(said) => said.to_string().lines().map(safe).collect::<Vec<_>>().join("\n"),
            None => safe(&cause.to_string()),
        };
        let above = causes.last().map_or(message, String::as_str);
        // A single word below another cause is the name of a variant, and adds no information.
        let is_news = !above.contains(&text) && (causes.is_empty() || text.contains(' '));
        if !text.is_empty() && is_news {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

pub(super) fn missing(shards: &[(BString, Error)]) -> String {
    match shards {
        [(shard, _)] => format!("the shard {shard}"),
        shards => format!("{} shards", shards.len()),
    }
}

/// Returns ` (and 3 more)`, or nothing.
pub(super) fn more_of(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" (and {more} more)") }
}
