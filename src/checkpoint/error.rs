//! [`Error`]: why a checkpoint was not planned.

use std::io;

use ::zip::result::ZipError;

use super::{Foreign, Kind};
use crate::pickle;

/// A dict that could be the state dict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The dotted path, as `--key` takes it.
    pub key: String,
    /// How many tensors it holds.
    pub tensors: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

/// A record whose bytes are not those that the archive's directory promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {name} has CRC-32 {got:08x} where the archive says {expected:08x}")]
#[non_exhaustive]
pub struct Mismatch {
    /// The record.
    pub name: String,
    /// What the directory says.
    pub expected: u32,
    /// What the bytes give.
    pub got: u32,
}

/// Why a checkpoint was not planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source could not be read.
    #[error("cannot read the file")]
    Io(#[from] io::Error),
    /// Another kind of file.
    #[error("not a PyTorch checkpoint (found: {kind})")]
    NotCheckpoint {
        /// What it is.
        kind: Kind,
    },
    /// A file with weights in a form of another tool.
    #[error("not a PyTorch checkpoint (found: {kind})")]
    Foreign {
        /// What it is.
        kind: Foreign,
    },
    /// A `TorchScript` archive whose state dict cannot be read.
    #[error("TorchScript archive {what}")]
    TorchScript {
        /// What is in the way.
        what: &'static str,
    },
    /// A module of a `TorchScript` archive whose state cannot be told from its class.
    #[error("TorchScript module {path} of class `{class}` {what}")]
    ScriptModule {
        /// Its dotted path; `.` is the whole module.
        path: String,
        /// Its class.
        class: String,
        /// What is in the way.
        what: String,
    },
    /// Code of a `TorchScript` archive that is not as torch writes it.
    #[error("{record}: {what} in line {line}")]
    ScriptCode {
        /// Its record.
        record: String,
        /// The line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A pickle could not be read.
    #[error("cannot read {record}")]
    Pickle {
        /// Its record, or its place in the legacy stream.
        record: String,
        /// Why.
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
        /// What readers could disagree about.
        what: String,
    },
    /// A record that torch needs is not there.
    #[error("the archive has no record {record}")]
    MissingRecord {
        /// Its name.
        record: String,
    },
    /// The legacy stream does not have its form.
    #[error("invalid legacy PyTorch file: {what} at byte {at}")]
    Legacy {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: u64,
    },
    /// A plain pickle of the legacy stream does not have its form.
    #[error("invalid legacy PyTorch file: cannot read the {what}")]
    LegacyPart {
        /// Which part.
        what: &'static str,
        /// Why.
        source: serde_pickle::Error,
    },
    /// A plain pickle holds what it cannot hold.
    #[error("invalid pickle: {what} at byte {at}")]
    Plain {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: u64,
    },
    /// The tar archive does not have its form.
    #[error("invalid PyTorch tar file: {what} at byte {at}")]
    Tar {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: u64,
    },
    /// A storage does not have the length that its pickle declares.
    #[error("storage {key} has {got} bytes; the pickle declares {expected}")]
    StorageLength {
        /// Its key.
        key: String,
        /// What the pickle says.
        expected: u64,
        /// What is there.
        got: u64,
    },
    /// A storage is declared in a way that is malformed or contradicts itself.
    #[error("storage {key} {what}")]
    Storage {
        /// Its key, or where it stands.
        key: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A storage of elements that safetensors cannot hold.
    #[error("storage {key} is {what}: not supported by safetensors")]
    StorageType {
        /// Its key.
        key: String,
        /// What its elements are.
        what: &'static str,
    },
    /// A tensor that safetensors cannot hold, or that is not made of plain storage.
    #[error("tensor {name} cannot be converted: {what}")]
    Unsupported {
        /// Its dotted path.
        name: String,
        /// What it is.
        what: String,
    },
    /// A tensor of a class that holds others, and has no data of its own.
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
        /// What is wrong.
        what: &'static str,
    },
    /// A call that is not known reaches a tensor, so that a weight could go missing.
    #[error("the pickle calls `{global}` on the tensor at {path}")]
    Opaque {
        /// The dotted path.
        path: String,
        /// The callable.
        global: String,
    },
    /// A whole pickled object, that is no module, instead of a state dict.
    #[error("the checkpoint is a pickled `{global}` object, not a state dict")]
    WholeObject {
        /// Its class.
        global: String,
    },
    /// A module whose state dict cannot be told from its structure.
    #[error("module {path} (`{class}`) {what}")]
    Module {
        /// Its dotted path; `.` is the whole object.
        path: String,
        /// Its class.
        class: String,
        /// What is in the way.
        what: &'static str,
    },
    /// No tensor at all.
    #[error("the checkpoint contains no tensors")]
    NoTensors,
    /// The state of a trainer, and no weights.
    #[error("the checkpoint contains only training state")]
    TrainingState,
    /// The tensors are there by name, and hold nothing: each rank of a run keeps its part elsewhere.
    #[error("{empty} of {tensors} tensors are empty")]
    Empty {
        /// How many hold nothing.
        empty: usize,
        /// Of how many.
        tensors: usize,
    },
    /// Which dict is the state dict cannot be told.
    #[error("{}", ambiguous(candidates, *total, beside.as_deref()))]
    Ambiguous {
        /// What `--key` can take: the first dicts, and at the end the whole object, if that can be taken.
        candidates: Vec<Candidate>,
        /// How many dicts there are.
        total: usize,
        /// The path of a tensor, or of what holds one, that is in none of them.
        beside: Option<String>,
    },
    /// The key that was asked for is not there, or holds no dict.
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
    /// The name is taken by the format.
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
    /// `--keep` names what is not a complete tensor of a tied set.
    #[error("no tied tensor is named {name}")]
    Keep {
        /// The name.
        name: String,
    },
    /// A limit is passed.
    #[error("the checkpoint exceeds the limit of {limit} {what}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The tensors have more bytes together than may be written.
    #[error("tensors total {bytes} bytes, over the limit of {limit}")]
    Output {
        /// How many they have.
        bytes: u64,
        /// How many they may have.
        limit: u64,
    },
    /// The data of a record does not begin where the directory let expect, so that what was made of it is void.
    #[error("the data of {record} is not where the zip directory places it")]
    Unforeseen {
        /// The record.
        record: String,
    },
    /// The bytes are not those that the archive's directory promises.
    #[error("the checkpoint is damaged")]
    Damaged(#[source] Mismatch),
}

fn ambiguous(candidates: &[Candidate], total: usize, beside: Option<&str>) -> String {
    match (total, candidates.first(), beside) {
        (1, Some(Candidate { key, .. }), Some(beside)) => {
            format!("the checkpoint contains tensors outside of the state dict {key}: {beside}")
        }
        (0, _, Some(beside)) => format!("the checkpoint contains a number that may be a weight: {beside}"),
        _ => format!("the checkpoint contains {total} state dicts"),
    }
}

impl Error {
    /// A zip archive that readers take for different things.
    pub(super) fn ambiguous(what: impl Into<String>) -> Self {
        Self::Ambiguity { what: what.into() }
    }

    /// A tar archive with something at a byte.
    pub(super) const fn tar(what: &'static str, at: u64) -> Self {
        Self::Tar { what, at }
    }

    /// Returns `true` if the file could not be read, rather than be refused for what it contains.
    pub fn is_io(&self) -> bool {
        match self {
            Self::Io(error)
            | Self::Zip(ZipError::Io(error))
            | Self::Pickle { source: pickle::Error::Io { source: error, .. }, .. } => is_of_source(error),
            _ => false,
        }
    }
}

/// Returns `true` if the source fails, rather than end too early or hold what cannot be inflated.
pub(super) fn is_of_source(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    !matches!(error.kind(), UnexpectedEof | InvalidData | InvalidInput)
}
