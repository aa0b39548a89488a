//! [`Error`] states why a checkpoint was not planned.

use std::io;

use ::zip::result::ZipError;

use super::{Foreign, Kind};
use crate::pickle;
use crate::size::two;

/// A dict that could be the state dict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The dotted path, for `--key`.
    pub key: String,
    /// The number of its tensors.
    pub tensors: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

/// A record whose bytes differ from those that the archive's directory describes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {name} has CRC-32 {got:08x} where the archive says {expected:08x}")]
#[non_exhaustive]
pub struct Mismatch {
    /// The record.
    pub name: String,
    /// The checksum in the directory.
    pub expected: u32,
    /// The checksum of the bytes.
    pub got: u32,
}

/// Why a checkpoint was not planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source could not be read.
    #[error("cannot read the file")]
    Io(#[from] io::Error),
    /// The file is of another kind.
    #[error("not a PyTorch checkpoint (found: {kind})")]
    NotCheckpoint {
        /// The kind of the file.
        kind: Kind,
    },
    /// The file contains weights in a form of another tool.
    #[error("not a PyTorch checkpoint (found: {kind})")]
    Foreign {
        /// The kind of the file.
        kind: Foreign,
    },
    /// The state dict of a TorchScript archive cannot be read.
    #[error("TorchScript archive {what}")]
    TorchScript {
        /// The obstacle.
        what: &'static str,
    },
    /// The state of a module of a TorchScript archive does not follow from its class.
    #[error("TorchScript module {path} of class `{class}` {what}")]
    ScriptModule {
        /// Its dotted path; `.` is the whole module.
        path: String,
        /// Its class.
        class: String,
        /// The obstacle.
        what: String,
    },
    /// The code of a TorchScript archive is not as torch writes it.
    #[error("{record}: {what} in line {line}")]
    ScriptCode {
        /// Its record.
        record: String,
        /// The line.
        line: u64,
        /// The fault.
        what: &'static str,
    },
    /// A pickle could not be read.
    #[error("cannot read {record}")]
    Pickle {
        /// Its record, or its position in the legacy PyTorch file.
        record: String,
        /// The reason.
        source: pickle::Error,
    },
    /// The zip archive could not be read.
    #[error("cannot read the zip archive")]
    Zip(#[source] ZipError),
    /// The zip archive does not end with its directory.
    #[error("truncated zip archive: no end of central directory")]
    NoEndRecord,
    /// The zip archive can be read in more than one way.
    #[error("ambiguous zip archive: {what}")]
    Ambiguity {
        /// The fact that readers could disagree about.
        what: String,
    },
    /// A record that torch needs is missing.
    #[error("the archive has no record {record}")]
    MissingRecord {
        /// Its name.
        record: String,
    },
    /// The legacy PyTorch file is malformed.
    #[error("invalid legacy PyTorch file: {what} at byte {at}")]
    Legacy {
        /// The fault.
        what: &'static str,
        /// The offset.
        at: u64,
    },
    /// A plain pickle of the legacy PyTorch file is malformed.
    #[error("invalid legacy PyTorch file: cannot read the {what}")]
    LegacyPart {
        /// The part.
        what: &'static str,
        /// The reason.
        source: serde_pickle::Error,
    },
    /// A plain pickle contains something that it cannot contain.
    #[error("invalid pickle: {what} at byte {at}")]
    Plain {
        /// The fault.
        what: &'static str,
        /// The offset.
        at: u64,
    },
    /// The tar archive is malformed.
    #[error("invalid PyTorch tar file: {what} at byte {at}")]
    Tar {
        /// The fault.
        what: &'static str,
        /// The offset.
        at: u64,
    },
    /// A storage does not have the length that its pickle declares.
    #[error("storage {key} has {got} bytes; the pickle declares {expected}")]
    StorageLength {
        /// Its key.
        key: String,
        /// The length in the pickle.
        expected: u64,
        /// The length in the file.
        got: u64,
    },
    /// A storage declaration is malformed or contradicts another.
    #[error("storage {key} {what}")]
    Storage {
        /// Its key, or its position.
        key: String,
        /// The fault.
        what: &'static str,
    },
    /// The elements of a storage have no safetensors type.
    #[error("storage {key} is {what}: not supported by safetensors")]
    StorageType {
        /// Its key.
        key: String,
        /// The type of its elements.
        what: &'static str,
    },
    /// A tensor that safetensors cannot store, or that does not consist of plain storage.
    #[error("tensor {name} cannot be converted: {what}")]
    Unsupported {
        /// Its dotted path.
        name: String,
        /// The kind of tensor.
        what: String,
    },
    /// A tensor of a class that contains other tensors, and has no data of its own.
    #[error("tensor {name} is an object of class `{class}`, which has no data of its own")]
    Wrapped {
        /// Its dotted path.
        name: String,
        /// The class.
        class: String,
    },
    /// A tensor's sizes, strides or offset do not fit its storage.
    #[error("tensor {name} {what}")]
    Geometry {
        /// Its dotted path.
        name: String,
        /// The fault.
        what: &'static str,
    },
    /// An unknown call contains a tensor, so that a weight could be lost.
    #[error("the pickle calls `{global}` on the tensor at {path}")]
    Opaque {
        /// The dotted path.
        path: String,
        /// The callable.
        global: String,
    },
    /// The file is a whole pickled object that is not a module, instead of a state dict.
    #[error("the checkpoint is a pickled `{global}` object, not a state dict")]
    WholeObject {
        /// Its class.
        global: String,
    },
    /// The state dict of a module does not follow from its structure.
    #[error("module {path} (`{class}`) {what}")]
    Module {
        /// Its dotted path; `.` is the whole object.
        path: String,
        /// Its class.
        class: String,
        /// The obstacle.
        what: &'static str,
    },
    /// The file contains no tensor.
    #[error("the checkpoint contains no tensors")]
    NoTensors,
    /// The file contains training state, and no weights.
    #[error("the checkpoint contains only training state")]
    TrainingState,
    /// The tensors exist by name and have no elements: each rank of a run stores its part elsewhere.
    #[error("{empty} of {tensors} tensors are empty")]
    Empty {
        /// How many are empty.
        empty: usize,
        /// The number of tensors.
        tensors: usize,
    },
    /// It is not clear which dict is the state dict.
    #[error("{}", ambiguous(candidates, *total, beside.as_deref()))]
    Ambiguous {
        /// The possible values of `--key`: the first dicts, and last the whole object, if it can be chosen.
        candidates: Vec<Candidate>,
        /// The number of dicts that a key can mean.
        total: usize,
        /// The path of a tensor, or of a container of one, that is in none of the dicts.
        beside: Option<String>,
    },
    /// The given key does not exist, or is not a dict.
    #[error("no state dict at key {key}")]
    NoSuchKey {
        /// The key.
        key: String,
    },
    /// Two tensors have one name.
    #[error("two tensors are named {name}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The format reserves the name.
    #[error("the tensor name {name} is reserved by safetensors")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A key that is neither text nor an integer leads to a tensor.
    #[error("a tensor key in {path} is {what}, not a string")]
    Key {
        /// The path of the dict.
        path: String,
        /// The type of the key.
        what: &'static str,
    },
    /// A name of `--keep` is not a complete tensor among tied tensors.
    #[error("no tied tensor is named {name}")]
    Keep {
        /// The name.
        name: String,
    },
    /// `--keep` names a tensor whose elements are written under another name.
    #[error("cannot keep {name}: {keeper} is kept and contains it")]
    KeepDropped {
        /// The name.
        name: String,
        /// The name that is kept.
        keeper: String,
    },
    /// A limit is passed.
    #[error("the checkpoint exceeds the limit of {limit} {what}")]
    Limit {
        /// The limited quantity.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The tensors have more bytes in total than the output may have.
    #[error("tensors total {}, over the limit of {}", two(*bytes, *limit)[0], two(*bytes, *limit)[1])]
    Output {
        /// Their bytes.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The data of a record does not begin where the directory indicated, so that the result is invalid.
    #[error("the data of {record} is not where the zip directory places it")]
    Unforeseen {
        /// The record.
        record: String,
    },
    /// The bytes differ from those that the archive's directory describes.
    #[error("the checkpoint is damaged")]
    Damaged(#[source] Mismatch),
}

fn ambiguous(candidates: &[Candidate], total: usize, beside: Option<&str>) -> String {
    match (total, candidates.first(), beside) {
        (1, Some(Candidate { key, .. }), Some(beside)) => {
            format!("the checkpoint contains tensors outside of the state dict {key}: {beside}")
        }
        (1, Some(Candidate { key, .. }), None) => {
            format!("the checkpoint contains several state dicts under the key {key}")
        }
        (0, _, Some(beside)) => format!("the checkpoint contains a number that may be a weight: {beside}"),
        (0, _, None) => "the checkpoint contains state dicts that no key can choose".to_owned(),
        _ => format!("the checkpoint contains {total} state dicts"),
    }
}

impl Error {
    /// A zip archive that readers interpret differently.
    pub(super) fn ambiguous(what: impl Into<String>) -> Self {
        Self::Ambiguity { what: what.into() }
    }

    /// A tensor of a kind that is not supported.
    pub(super) fn unsupported(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unsupported { name: name.into(), what: what.into() }
    }

    /// A tensor whose description contradicts its data.
    pub(super) fn geometry(name: impl Into<String>, what: &'static str) -> Self {
        Self::Geometry { name: name.into(), what }
    }

    /// A tar archive with a fault at an offset.
    pub(super) const fn tar(what: &'static str, at: u64) -> Self {
        Self::Tar { what, at }
    }

    /// Returns `true` if the file could not be read, as opposed to a refusal because of its contents.
    pub fn is_io(&self) -> bool {
        match self {
            Self::Io(error)
            | Self::Zip(ZipError::Io(error))
            | Self::Pickle { source: pickle::Error::Io { source: error, .. }, .. } => is_of_source(error),
            _ => false,
        }
    }
}

/// Returns `true` if the source fails, as opposed to a source that ends early or cannot be inflated.
pub(super) fn is_of_source(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    !matches!(error.kind(), UnexpectedEof | InvalidData | InvalidInput)
}
