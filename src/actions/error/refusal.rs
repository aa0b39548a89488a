//! How an error of the system is made, which errors are refusals for what a file holds, and how those of many files are
//! put.

use std::io;
use std::path::Path;

use bstr::BString;

use super::Error;
use crate::{checkpoint, lfs, repo, safetensors};

impl Error {
    /// Makes an [`Error::Io`] of why a file could not be opened, read or written: `.map_err(Error::io("read", path))`.
    pub(in crate::actions) fn io<'p>(
        what: &'static str,
        path: &'p (impl AsRef<Path> + ?Sized),
    ) -> impl Fn(io::Error) -> Self + Copy + 'p {
        move |source| Self::Io { what, path: path.as_ref().to_owned(), source }
    }

    /// Can an option make good what was refused, so that the same file is asked for again?
    pub fn is_lifted_by_an_option(&self) -> bool {
        use checkpoint::Error as Of;
        matches!(
            self,
            Self::Strict { .. }
                | Self::OutputExists { .. }
                | Self::Checkpoint(
                    Of::Ambiguous { .. } | Of::NoSuchKey { .. } | Of::Keep { .. } | Of::Output { .. }
                )
        )
    }

    /// Is it a refusal for what the file holds (exit 1), rather than work that could not be done (2)?
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Checkpoint(error) => !error.is_io(),
            Self::Safetensors(error) => !matches!(error, safetensors::Error::Io(_)),
            Self::Shard(_)
            | Self::HooksOf { .. }
            | Self::Dangerous { .. }
            | Self::Strict { .. }
            | Self::PointerMismatch { .. }
            | Self::NoObject { .. }
            | Self::Symlink
            | Self::Modified
            | Self::OutputIsSource
            | Self::TwoShards { .. }
            | Self::OutputExists { .. }
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
            | Self::Repo(repo::Error::Place(lfs::worktree_file::Error::Symlink { .. })) => true,
            Self::Unpublished(error) => error.is_refusal(),
            Self::MissingShards { shards } => {
                shards.iter().all(|(_, why)| matches!(why, Self::NotFound) || why.is_refusal())
            }
            _ => false,
        }
    }
}

pub(super) fn missing(shards: &[(BString, Error)]) -> String {
    match shards {
        [(shard, _)] => format!("the shard {shard}"),
        shards => format!("{} shards", shards.len()),
    }
}

/// ` (and 3 more)`, or nothing.
pub(super) fn more_of(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" (and {more} more)") }
}
