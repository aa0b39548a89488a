//! [`RepositoryStatus`] is what `status` reports: the state of each file, and the hooks.

use bstr::BString;

use super::super::guard::install::{Hook, InstallReport};

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
    /// A checkpoint or its safetensors file that the system does not let this user read.
    Unreadable,
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
            Self::Unreadable => "unreadable",
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
        use FileState::{Differs, Stale, StaleElsewhere, Unconverted, Unmerged, Unreadable};
        matches!(self, Unconverted | Stale | StaleElsewhere | Differs | Unmerged | Unreadable)
    }
}

/// A checkpoint, a safetensors file, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The state.
    pub state: FileState,
    /// The checkpoint.
    pub checkpoint: Option<BString>,
    /// The safetensors file.
    pub output: Option<BString>,
    /// The size of the checkpoint in bytes, or else of the safetensors file.
    pub size: u64,
    /// `true` if the content is on this machine.
    pub is_here: bool,
    /// `true` if git tracks the checkpoint.
    pub is_tracked: bool,
    /// The differences.
    pub reason: Option<String>,
}

/// The state of a repository.
#[derive(Debug, Default)]
pub struct RepositoryStatus {
    /// Every file, by state and then by path.
    pub files: Vec<FileStatus>,
    /// How many checkpoints are not listed, because a sparse checkout leaves them out and the user did not name them.
    pub left_out: usize,
    /// The installed hooks; `None` if git does not report them.
    pub hooks: Option<InstallReport>,
}

impl RepositoryStatus {
    /// Returns how many files are in a state.
    pub fn count(&self, state: FileState) -> usize {
        self.files.iter().filter(|file| file.state == state).count()
    }

    /// Returns `true` if the user has something to do.
    pub fn is_to_do(&self) -> bool {
        self.files.iter().any(|file| file.state.is_to_do())
    }

    /// Returns `true` if git runs the check in this hook.
    pub fn is_guarded(&self, hook: Hook) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| hooks.is_guarded(hook))
    }
}
