//! [`FileState`] is the state of a file of a repository, as `status` reports it.

/// The state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileState {
    /// A checkpoint without a safetensors file.
    Unconverted,
    /// A safetensors file whose checkpoint has changed; the file is a conversion of ours.
    Stale,
    /// A safetensors file whose checkpoint has changed; the content of the file is unknown.
    StaleElsewhere,
    /// A safetensors file that does not fit its checkpoint.
    Differs,
    /// A checkpoint or its safetensors file that is in a merge conflict.
    Unmerged,
    /// A safetensors file that fits its checkpoint, without a record.
    Unverified,
    /// A safetensors file that cannot be compared with its checkpoint, because the content of one of them is not local.
    NotHere,
    /// A checkpoint that git does not track, without a safetensors file.
    Untracked,
    /// Training state that git tracks.
    TrainingState,
    /// A safetensors file that was made from its checkpoint, or verified against it.
    UpToDate,
    /// A safetensors file without a checkpoint.
    Alone,
}

impl FileState {
    /// Its name in `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unconverted => "unconverted",
            Self::Stale | Self::StaleElsewhere => "stale",
            Self::Differs => "differs",
            Self::Unmerged => "unmerged",
            Self::Unverified => "unverified",
            Self::NotHere => "not-here",
            Self::Untracked => "untracked",
            Self::TrainingState => "training-state",
            Self::UpToDate => "up-to-date",
            Self::Alone => "alone",
        }
    }

    /// Returns `true` if the user has something to do.
    pub fn is_to_do(self) -> bool {
        use FileState::{Differs, Stale, StaleElsewhere, Unconverted, Unmerged};
        matches!(self, Unconverted | Stale | StaleElsewhere | Differs | Unmerged)
    }
}
