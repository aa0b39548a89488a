//! The order of steps: one file an action. Actions know no terminal; they tell a [`Reporter`].

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
pub mod inspect;
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
mod size;
pub mod status;
mod trailer;
pub mod verify;
mod workspace;

pub(crate) use error::causes_of;
pub use error::{Error, Kind, UnfitDriver};
pub use lfs_remote::Sent;
pub use remote_note::{HalfWay, RemoteNote};
pub use servers::Servers;
pub use size::{InvalidSize, Size};

use std::borrow::Cow;
use std::collections::BTreeMap;

use bstr::{BStr, BString};

use crate::checkpoint::Ignored;
use crate::git::Progress;
use crate::hash::Oid;
use crate::remote::Event;

/// What an action tells while it runs. Every method may be called from several threads.
pub trait Reporter: Sync {
    /// These files are next, each with its size; 0 where nobody knows it.
    fn planned(&self, files: &[(&BStr, u64)]) {
        let _ = files;
    }

    /// A long step over one file begins; it will write `bytes` bytes in all.
    fn started(&self, path: &BStr, bytes: u64) {
        let _ = (path, bytes);
    }

    /// So many bytes of the file were there before.
    fn resumed(&self, bytes: u64) {
        let _ = bytes;
    }

    /// So many more bytes were written.
    fn advanced(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A transfer of git has come so far.
    fn transfer(&self, progress: Progress) {
        let _ = progress;
    }

    /// The long step is over, well or not.
    fn finished(&self) {}

    /// The index was written.
    fn staged(&self) {}

    /// One file is done.
    fn outcome(&self, outcome: &Outcome) {
        let _ = outcome;
    }

    /// One safetensors file was verified, or could not be.
    fn verified(&self, verified: &verify::Verified) {
        let _ = verified;
    }

    /// Something beside the files that the user should know.
    fn note(&self, note: &Note) {
        let _ = note;
    }

    /// Returns `true` if the user says yes; `false` where nobody can be asked.
    fn confirm(&self, question: &str) -> bool {
        let _ = question;
        false
    }

    /// A git command is run, with these arguments.
    fn command(&self, arguments: &[std::ffi::OsString]) {
        let _ = arguments;
    }

    /// A request to a server was made.
    fn request(&self, event: &Event<'_>) {
        let _ = event;
    }

    /// Returns `true` if the user asked to stop. Called between two buffers.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// Tells nobody.
impl Reporter for () {}

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Converted; in a dry run, it would be.
    Converted,
    /// Converted, and a pull request has the very same, which is part of the branch now.
    Adopted,
    /// The safetensors file was there, the checkpoint is another one since, and it was converted again.
    Updated,
    /// The safetensors file exists, and was made from this checkpoint, or verified against it.
    UpToDate,
    /// The safetensors file exists, and nobody here knows what it was made from.
    Unverified,
    /// No weights: training state, or a file without a tensor.
    Skipped,
    /// It cannot be converted for what it holds. Exit 1.
    Refused,
    /// The work could not be done. Exit 2.
    Failed,
}

impl Status {
    /// Its name, as `--json` and the journal of a batch have it.
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

/// One file: what it was, and what became of it.
#[derive(Debug)]
pub struct Outcome {
    /// The checkpoint, as the user knows it.
    pub source: BString,
    /// The safetensors file.
    pub output: Option<BString>,
    /// What became of it.
    pub status: Status,
    /// The facts of a conversion.
    pub conversion: Option<Conversion>,
    /// Why it was skipped, refused or failed.
    pub reason: Option<Reason>,
}

/// The facts of a conversion, done or planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The oid of the safetensors file; not known in a dry run.
    pub oid: Option<Oid>,
    /// Its size in bytes.
    pub size: u64,
    /// The oid of the checkpoint; in a dry run only known from its pointer.
    pub source_oid: Option<Oid>,
    /// The size of the checkpoint in bytes.
    pub source_size: u64,
    /// `zip`, `legacy` or `tar`.
    pub format: &'static str,
    /// The dotted path of the dict that was taken; empty for the top level.
    pub key: String,
    /// How many tensors were written.
    pub tensors: usize,
    /// Tied names that were dropped, and the name that holds their values.
    pub dropped: BTreeMap<String, String>,
    /// Names that share memory and were written as independent copies, and why.
    pub copies: Vec<(String, Cow<'static, str>)>,
    /// What the checkpoint holds beside the weights.
    pub ignored: Vec<Ignored>,
    /// What there is to know of how it was read.
    pub notes: Vec<crate::checkpoint::Note>,
}

/// Why a file was skipped, refused or failed.
#[derive(Debug)]
pub enum Reason {
    /// Training state, by its name or by what it holds.
    TrainingState,
    /// It holds no tensors.
    NoTensors,
    /// A `TorchScript` archive under a name that promises no weights, which was not named.
    Script,
    /// A plain pickle without storages of torch, which was not named.
    Plain,
    /// A shard of a distributed checkpoint, which was not named.
    Distributed,
    /// A safetensors file that was named: nothing has to be done.
    Safetensors,
    /// A name of a file that is converted under another one, for the same directory.
    SameFile,
    /// A symbolic link, which is no file of its own.
    Link {
        /// Where it leads.
        target: BString,
        /// `true` if the target is a checkpoint that this run does not convert.
        command: bool,
    },
    /// An error, which says whether it is a refusal.
    Error(Error),
}

impl Reason {
    /// In one line; `safe` as in [`Error::causes`].
    pub fn text(&self, safe: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::TrainingState => "training state".to_owned(),
            Self::NoTensors => "holds no tensors".to_owned(),
            Self::Script => "a TorchScript archive".to_owned(),
            Self::Plain => "a plain pickle".to_owned(),
            Self::Distributed => "a shard of a distributed checkpoint".to_owned(),
            Self::Safetensors => "already a safetensors file".to_owned(),
            Self::SameFile => "another name of a file that is converted".to_owned(),
            Self::Link { target, .. } => format!("symbolic link to {}", safe(&target.to_string())),
            Self::Error(error) => error.reason(safe),
        }
    }
}

/// Something beside the files that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A line was added to a `.gitattributes`, and staged where the index did not have one.
    AttributesChanged {
        /// The `.gitattributes`.
        path: BString,
        /// It has other changes that are not staged; they are not now, either.
        has_unstaged_changes: bool,
    },
    /// The line for Git LFS of a `.gitattributes` was staged.
    AttributesStaged {
        /// The `.gitattributes`.
        path: BString,
        /// It has other changes that are not staged; they are not now, either.
        has_unstaged_changes: bool,
    },
    /// git knows no LFS filter here, so it sees the file itself as modified.
    NoFilter,
    /// A shard index was written.
    IndexWritten {
        /// Its path.
        path: BString,
    },
    /// A safetensors file whose header is longer than the Hub reads; loaders read it.
    LongHeader {
        /// The checkpoint.
        path: BString,
        /// The length of the header in bytes.
        len: u64,
        /// How much is read.
        limit: u64,
    },
    /// A shard index does not list what its shards hold; the new one does.
    Unlisted {
        /// The shard index that was read.
        path: BString,
        /// The tensors.
        names: Vec<String>,
    },
    /// A checkpoint was removed from the index and the work tree.
    Removed {
        /// Its path.
        path: BString,
    },
    /// A checkpoint was not removed: the index alone has it.
    Kept {
        /// Its path.
        path: BString,
    },
    /// A checkpoint was removed from the index alone, because git could not give it back.
    Unstaged {
        /// Its path.
        path: BString,
    },
    /// A checkpoint that nobody tracks stands beside its safetensors file, and was not removed: `HEAD` does not have it.
    Leftover {
        /// Its path.
        path: BString,
    },
    /// A directory is the top of another repository, so that nothing in it was looked at.
    OtherRepository {
        /// The directory.
        path: BString,
    },
    /// Checkpoints that a run without paths left alone, because git does not track them.
    Untracked {
        /// Their paths.
        paths: Vec<BString>,
    },
    /// Checkpoints that were left alone, because a sparse checkout leaves them out.
    LeftOut {
        /// Their paths.
        paths: Vec<BString>,
    },
    /// A submodule with checkpoints that have no safetensors files.
    Submodule {
        /// Its path.
        path: BString,
        /// How many of them there are.
        checkpoints: usize,
    },
    /// A checkpoint was converted as it is in the working tree, which is not what the index has.
    SourceUnstaged {
        /// Its path.
        path: BString,
    },
    /// What a file had before went into the LFS store, because git did not have it.
    OldKept {
        /// Its path.
        path: BString,
        /// What it had.
        oid: Oid,
    },
    /// There was a result, and `HEAD` has it already.
    NothingToCommit,
    /// Something about a remote repository.
    Remote(RemoteNote),
    /// The result was committed.
    Committed {
        /// The commit.
        id: String,
    },
}

impl Note {
    /// What became of a checkpoint that leaves the index.
    pub(crate) fn removed(path: BString, is_recoverable: bool) -> Self {
        if is_recoverable { Self::Removed { path } } else { Self::Unstaged { path } }
    }
}
