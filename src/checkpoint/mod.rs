//! Which tensors are in a checkpoint, and where their bytes lie: [`plan()`] gives a [`Plan`].
//!
//! A checkpoint is a pickle that describes tensors, and storages that hold their bytes, in one of
//! torch's containers: a zip archive (torch 1.6 and later), the legacy stream, or the tar archive of torch 0.1. Planning reads the
//! description alone, kilobytes of any file, and no tensor byte.
//!
//! Invariant: every tensor of a [`Plan`] lies inside its storage, every storage inside the source.
//! Where torch and this reader could see different weights, the file is refused ([`Error`]).
//! Only `torch.rs` knows torch's names; the containers know records, the pickle knows values.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod error;
mod foreign;
mod geometry;
mod kind;
mod legacy;
mod pieces;
mod plain;
mod plan;
mod prove;
mod script;
mod select;
mod tar;
pub mod ties;
mod torch;
mod zip;

pub use ::safetensors::Dtype as DType;
pub use error::{Candidate, Error, Mismatch};
pub use foreign::Foreign;
pub(crate) use geometry::is_contiguous;
pub use kind::Kind;
pub use pieces::Pieces;
pub use plain::{Held, held, may_be_pickle};
pub use plan::{Deflated, Format, Ignored, Named, Note, Plan, Record, Storage, Tensor};
pub use prove::{Proof, Standing, inflate, prove};
pub use tar::is_torch_tar;
pub use zip::{Header, is_torch_script, is_torch_zip};

use crate::pickle;
use crate::read_at::ReadAt;

/// What to take from a checkpoint, and what reading it may cost.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The dotted path of the dict to take; `.` is the whole object. `None`: found by the rule of
    /// [`plan()`].
    pub key: Option<String>,
    /// `true` if the local headers of an archive are read.
    pub headers: Headers,
    /// Bounds.
    pub limits: Limits,
}

impl Options {
    /// The defaults, for the dict under `key`.
    pub fn with_key(key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..Self::default() }
    }
}

/// What is done about the header before each record of an archive, which has to say what the directory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Headers {
    /// Each is read and checked.
    #[default]
    Read,
    /// Those of storages are not read: a source that is far away would be asked for each. Where the data begins is
    /// foreseen, and [`Plan::headers`] are checked when the source passes by ([`Proof`]).
    Foresee,
}

/// Bounds on a checkpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bounds on each pickle.
    pub pickle: pickle::Limits,
    /// Records of an archive.
    pub records: usize,
    /// Tensors.
    pub tensors: usize,
    /// Nested dicts and lists.
    pub depth: usize,
    /// Dimensions of a tensor.
    pub rank: usize,
    /// Bytes of a tensor's name.
    pub name: usize,
    /// Bytes of memory for all names and descriptions together; a header of safetensors has at most 100 MB.
    pub names: u64,
    /// Bytes of the code of a `TorchScript` archive that is read, and of the pickles beside it.
    pub code: u64,
    /// The tensors may have this many times the bytes of the source, plus 64 MiB.
    pub expansion: u64,
    /// The tensors may have so many bytes, whatever the source has.
    pub output: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pickle: pickle::Limits::default(),
            records: 1_100_000,
            tensors: 1_000_000,
            depth: 1_000,
            rank: 64,
            name: 64 << 10,
            names: 256 << 20,
            code: 64 << 20,
            expansion: 4,
            output: None,
        }
    }
}

/// Plans a checkpoint: finds its state dict, and where the bytes of each tensor lie.
///
/// Without a key the state dict is: the dict under `state_dict`; else the top level, if it holds
/// tensors itself; else the only dict of tensors outside training state.
///
/// # Errors
/// [`Error`], for what is not a checkpoint, malformed, ambiguous, over a limit, or cannot be kept.
pub fn plan(source: &dyn ReadAt, options: &Options) -> Result<Plan, Error> {
    let contents = match Kind::of(source)? {
        Kind::Zip => zip::read(source, options).map_err(|error| named(source, error))?,
        Kind::Legacy => legacy::read(source, &options.limits)?,
        Kind::Tar if tar::begins_as_torch_s(source)? => tar::read(source, &options.limits)?,
        Kind::Pickle => plain::read(source, &options.limits)?,
        Kind::Unknown => plain::read_unmarked(source, &options.limits)?,
        kind => return Err(Error::NotCheckpoint { kind }),
    };
    select::plan(contents, source.len(), options)
}

/// An archive of another kind is told by its name, not by what is wrong with it.
fn named(source: &dyn ReadAt, error: Error) -> Error {
    let may_be =
        matches!(error, Error::Ambiguity { .. } | Error::MissingRecord { .. } | Error::TorchScript { .. });
    match zip::foreign(source).filter(|_| may_be) {
        Some(kind) => Error::Foreign { kind },
        None => error,
    }
}

/// Returns `true` if the global is one that checkpoints of weights are made of. The pair of module and name is
/// compared exactly.
pub fn is_weights(module: &str, name: &str) -> bool {
    torch::is_weights(module, name)
}

/// What a container holds: the pickle, and where each storage that it declares lies.
struct Contents {
    format: Format,
    pickle: pickle::Pickle,
    /// The name of the pickle's record, for messages.
    record: String,
    declared: torch::Storages,
    /// What the code of a `TorchScript` archive declares.
    script: Option<script::Script>,
    storages: Vec<Storage>,
    records: Vec<Record>,
    headers: Vec<Header>,
    deflated: Vec<Deflated>,
    /// Bytes of storages that the pickle itself holds, behind the records that must be inflated.
    embedded: Vec<Box<[u8]>>,
}
