//! Decides from where a checkpoint is removed that its safetensors file replaces.
//!
//! Invariant: a file of the working tree is removed only if git could restore it.

use bstr::{BString, ByteSlice as _};

use super::super::{Error, Note};
use super::Context;

/// From where a checkpoint is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// From the index and the working tree.
    All,
    /// Only from the index, because git could not restore the file.
    Index,
    /// From nowhere: only the index has it.
    None,
}

impl Removal {
    pub(super) fn note(self, path: BString) -> Note {
        match self {
            Self::All => Note::Removed { path },
            Self::Index => Note::Unstaged { path },
            Self::None => Note::Kept { path },
        }
    }
}

/// Decides about each of these checkpoints.
pub(super) fn removals(context: Context<'_>, paths: Vec<BString>) -> Result<Vec<(BString, Removal)>, Error> {
    let removal = |path: BString| {
        let file = context.repo().target(path.as_bstr())?.path();
        let removal = if context.workspace.is_recoverable(path.as_bstr())? {
            Removal::All
        } else if file.symlink_metadata().is_ok() {
            Removal::Index
        } else {
            Removal::None
        };
        Ok((path, removal))
    };
    paths.into_iter().map(removal).collect()
}
