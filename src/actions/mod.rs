//! Implements the actions, one file each, which determine the order of steps. Actions know no terminal; they report to
//! a [`Reporter`].

mod arrivals;
pub mod batch;
mod checkouts;
mod checkpoints;
pub mod clone;
mod content;
pub mod convert;
pub mod demo;
mod detected;
pub mod diff;
pub mod env;
mod error;
pub mod guard;
mod harmless;
mod hashing;
mod hub_file;
mod index_finding;
pub mod inspect;
mod jobs;
mod lfs_remote;
mod meant;
pub(crate) mod names;
mod output_state;
mod placement;
mod provenance;
pub mod publish;
pub mod pull;
mod remote_note;
pub mod scan;
mod servers;
mod shard_index;
pub mod status;
mod trailer;
pub mod verify;
mod workspace;

pub(crate) use error::causes_of;
pub use error::{Error, Kind, UnfitDriver, UnfitHooks};
pub use jobs::MOST as MOST_JOBS;
pub use lfs_remote::Sent;
pub use remote_note::{HalfWay, RemoteNote};
pub use servers::Servers;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bstr::{BStr, BString};

use crate::checkpoint::Ignored;
use crate::git::Progress;
use crate::hash::Oid;
use crate::remote::Event;

/// Receives the reports of an action while it runs. Every method may be called from several threads.
#[expect(unused_variables, reason = "by default nothing is reported")]
pub trait Reporter: Sync {
    /// The next files, each with its size; 0 if it is not known.
    fn planned(&self, files: &[(&BStr, u64)]) {}

    /// A long step for one file begins, which will write `bytes` bytes.
    fn started(&self, path: &BStr, bytes: u64) {}

    /// Bytes of the file from an earlier run.
    fn resumed(&self, bytes: u64) {}

    /// Further bytes that were written.
    fn advanced(&self, bytes: u64) {}

    /// The progress of a transfer by git.
    fn transfer(&self, progress: Progress) {}

    /// The long step has ended, with or without success.
    fn finished(&self) {}

    /// The index was written.
    fn staged(&self) {}

    /// The result for one file.
    fn outcome(&self, outcome: &Outcome) {}

    /// One safetensors file was verified, or could not be.
    fn verified(&self, verified: &verify::Verified) {}

    /// A note for the user about something other than a file's result.
    fn note(&self, note: &Note) {}

    /// Returns `true` if the user confirms; `false` if no user can be prompted.
    fn confirm(&self, question: &str) -> bool {
        false
    }

    /// A git command starts, with these arguments.
    fn command(&self, arguments: &[std::ffi::OsString]) {}

    /// A request to a server was sent.
    fn request(&self, event: &Event<'_>) {}

    /// Returns `true` if the user interrupted the program. Called between two buffers.
    fn is_interrupted(&self) -> bool {
        false
    }

    /// Returns an error if the user interrupted the program.
    ///
    /// # Errors
    /// [`Error::Interrupted`]
    fn check_interrupted(&self) -> Result<(), Error> {
        if self.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Ignores all reports.
impl Reporter for () {}

/// The result for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Converted; in a dry run, it would be.
    Converted,
    /// Converted, and an identical pull request was merged into the branch by a fast-forward.
    Adopted,
    /// The safetensors file existed, the checkpoint had changed, and it was converted again.
    Updated,
    /// The safetensors file exists, and was made from this checkpoint, or verified against it.
    UpToDate,
    /// The safetensors file exists, and its origin is not recorded.
    Unverified,
    /// No weights: training state, or a file without tensors.
    Skipped,
    /// It cannot be converted because of its content. Exit 1.
    Refused,
    /// The work could not be done. Exit 2.
    Failed,
}

impl Status {
    /// Its name in `--json` and in the journal of a batch.
    pub fn name(self) -> &'static str {
        match self {
            Self::Converted => "converted",
            Self::Adopted => "adopted",
            Self::Updated => "updated",
            Self::UpToDate => "up-to-date",
            Self::Unverified => "unverified",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One file and its result.
#[derive(Debug)]
pub struct Outcome {
    /// The checkpoint, by its name for the user.
    pub source: BString,
    /// The safetensors file.
    pub output: Option<BString>,
    /// The result.
    pub status: Status,
    /// The facts of a conversion.
    pub conversion: Option<Conversion>,
    /// Why it was skipped, refused or failed.
    pub reason: Option<Reason>,
}

/// The facts of a conversion, done or planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The object ID of the safetensors file; not known in a dry run.
    pub oid: Option<Oid>,
    /// Its size in bytes.
    pub size: u64,
    /// The object ID of the checkpoint; in a dry run only known from its pointer.
    pub source_oid: Option<Oid>,
    /// The size of the checkpoint in bytes.
    pub source_size: u64,
    /// `zip`, `legacy` or `tar`.
    pub format: &'static str,
    /// The dotted path of the state dict; empty for the top level.
    pub key: String,
    /// How many tensors were written.
    pub tensors: usize,
    /// Dropped names, each with the name that has its values.
    pub dropped: BTreeMap<String, String>,
    /// Names that share memory and were written as independent copies, each with the reason.
    pub copies: Vec<(String, Cow<'static, str>)>,
    /// The contents of the checkpoint other than weights.
    pub ignored: Vec<Ignored>,
    /// Facts about how it was read.
    pub notes: Vec<crate::checkpoint::Note>,
}

/// Why a file was skipped, refused or failed.
#[derive(Debug)]
pub enum Reason {
    /// Training state, by its name or by its content.
    TrainingState,
    /// The checkpoint contains no tensors.
    NoTensors,
    /// A TorchScript archive under a name that does not indicate weights, and that the user did not name.
    Script,
    /// A plain pickle without PyTorch storages, which the user did not name.
    Plain,
    /// A pickle from which nothing can be converted: its arrays are next to dangerous globals, or it cannot be read.
    Pickle,
    /// A shard of a distributed checkpoint, which the user did not name.
    Distributed,
    /// A safetensors file that the user named: nothing is to be done.
    Safetensors,
    /// A second name of a file that is converted under another one, for the same directory.
    SameFile,
    /// A symbolic link, which is not a file of its own.
    Link {
        /// Its target.
        target: BString,
        /// `true` if the target is a checkpoint that this run does not convert.
        command: bool,
    },
    /// An error, which may be a refusal.
    Error(Error),
}

impl Reason {
    /// Returns the reason in one line; `safe` as in [`Error::causes`].
    pub fn text(&self, safe: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::TrainingState => "training state".to_owned(),
            Self::NoTensors => "holds no tensors".to_owned(),
            Self::Script => "a TorchScript archive".to_owned(),
            Self::Plain | Self::Pickle => "a plain pickle".to_owned(),
            Self::Distributed => "a shard of a distributed checkpoint".to_owned(),
            Self::Safetensors => "already a safetensors file".to_owned(),
            Self::SameFile => "another name of a file that is converted".to_owned(),
            Self::Link { target, .. } => format!("symbolic link to {}", safe(&target.to_string())),
            Self::Error(error) => error.reason(safe),
        }
    }
}

/// A note for the user about something other than a file's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// An entry was added to a `.gitattributes`, and staged if the index lacked one.
    AttributesChanged {
        /// The `.gitattributes`.
        path: BString,
        /// `true` if it has other unstaged changes, which stay unstaged.
        has_unstaged_changes: bool,
    },
    /// The Git LFS entry of a `.gitattributes` was staged.
    AttributesStaged {
        /// The `.gitattributes`.
        path: BString,
        /// `true` if it has other unstaged changes, which stay unstaged.
        has_unstaged_changes: bool,
    },
    /// git has no LFS filter configured here, so it reports the file as modified.
    NoFilter,
    /// A shard index was written.
    IndexWritten {
        /// Its path.
        path: BString,
    },
    /// The header of a safetensors file is longer than the Hub reads; loaders read it.
    LongHeader {
        /// The checkpoint.
        path: BString,
        /// The length of the header in bytes.
        len: u64,
        /// The longest header that the Hub reads.
        limit: u64,
    },
    /// A shard index does not list all tensors of its shards; the new one does.
    Unlisted {
        /// The old shard index.
        path: BString,
        /// The tensors.
        names: Vec<String>,
    },
    /// A checkpoint was removed from the index and the working tree.
    Removed {
        /// Its path.
        path: BString,
    },
    /// A checkpoint was not removed: only the index contains it.
    Kept {
        /// Its path.
        path: BString,
    },
    /// A checkpoint was removed only from the index, because git could not restore it.
    Unstaged {
        /// Its path.
        path: BString,
    },
    /// An untracked checkpoint is next to its safetensors file, and was not removed: `HEAD` does not contain it.
    Leftover {
        /// Its path.
        path: BString,
    },
    /// A directory is the top of another repository, so nothing in it was read.
    OtherRepository {
        /// The directory.
        path: BString,
    },
    /// Checkpoints that a run without paths did not convert, because they are untracked.
    Untracked {
        /// Their paths.
        paths: Vec<BString>,
    },
    /// Checkpoints that were not converted, because a sparse checkout leaves them out.
    LeftOut {
        /// Their paths.
        paths: Vec<BString>,
        /// `true` if git itself stores their content, so that they must be checked out first.
        is_in_git: bool,
    },
    /// A submodule with checkpoints that have no safetensors files.
    Submodule {
        /// Its path.
        path: BString,
        /// The number of these checkpoints.
        checkpoints: usize,
    },
    /// A checkpoint was converted as it is in the working tree, which differs from the index.
    SourceUnstaged {
        /// Its path.
        path: BString,
    },
    /// The old content of a file was stored in LFS storage, because git did not have it.
    OldKept {
        /// Its path.
        path: BString,
        /// Its object ID.
        oid: Oid,
    },
    /// `HEAD` already contains the result.
    NothingToCommit,
    /// A note about a remote repository.
    Remote(RemoteNote),
    /// The result was committed.
    Committed {
        /// The commit.
        id: String,
    },
}

impl Note {
    /// Returns the note for a checkpoint that is removed from the index.
    pub(crate) fn removed(path: BString, is_recoverable: bool) -> Self {
        if is_recoverable { Self::Removed { path } } else { Self::Unstaged { path } }
    }
}
