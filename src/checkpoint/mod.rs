//! Finds the tensors of a checkpoint and the positions of their bytes: [`plan()`] returns a [`Plan`].
//!
//! A checkpoint is a pickle that describes tensors, and storages with their bytes, in one of torch's containers: a zip
//! archive (torch 1.6 and later), the legacy PyTorch file, or the tar archive of torch 0.1. Planning reads only the
//! description, kilobytes of any file, and no tensor byte.
//!
//! Invariant: every tensor of a [`Plan`] is inside its storage, every storage inside the source. If torch and this
//! reader could see different weights, the file is refused ([`Error`]). Only `torch/` knows torch's names; the
//! containers know records, the pickle knows values.
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

/// Which tensors to read from a checkpoint, and the limits on reading it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The dotted path of the state dict; `.` is the whole object. `None`: chosen by the rule of [`plan()`].
    pub key: Option<String>,
    /// Whether the local headers of an archive are read.
    pub headers: Headers,
    /// The limits.
    pub limits: Limits,
}

impl Options {
    /// Returns the defaults, for the dict under `key`.
    pub fn with_key(key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..Self::default() }
    }
}

/// How the local header before each record of an archive is checked against the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Headers {
    /// Each is read and checked.
    #[default]
    Read,
    /// Headers of storages are not read, because a source on a server would need a request for each. The offset of the
    /// data is predicted, and [`Plan::headers`] are checked when the source passes ([`Proof`]).
    Foresee,
}

/// Limits for a checkpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Limits for each pickle.
    pub pickle: pickle::Limits,
    /// Number of records of an archive.
    pub records: usize,
    /// Number of tensors.
    pub tensors: usize,
    /// Levels of nested dicts and lists.
    pub depth: usize,
    /// Number of dimensions of a tensor.
    pub rank: usize,
    /// Bytes of a tensor's name.
    pub name: usize,
    /// Bytes of memory for all names and descriptions together; a safetensors header has at most 100 MB.
    pub names: u64,
    /// Bytes of the code of a TorchScript archive, and of the pickles next to it.
    pub code: u64,
    /// Bytes of the tensors per byte of the source, in addition to 64 MiB.
    pub expansion: u64,
    /// Bytes of the tensors, whatever the size of the source.
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

/// Plans a checkpoint: finds its state dict, and the positions of the bytes of each tensor.
///
/// Without a key the state dict is: the dict under `state_dict`; else the top level, if it contains tensors itself;
/// else the only dict of tensors outside training state.
///
/// # Errors
/// [`Error`], for a source that is not a checkpoint, malformed, ambiguous, over a limit, or not representable.
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

/// Replaces the error of an archive of another kind by the name of that kind.
fn named(source: &dyn ReadAt, error: Error) -> Error {
    let may_be =
        matches!(error, Error::Ambiguity { .. } | Error::MissingRecord { .. } | Error::TorchScript { .. });
    match zip::foreign(source).filter(|_| may_be) {
        Some(kind) => Error::Foreign { kind },
        None => error,
    }
}

/// Returns `true` if weights checkpoints use this global. The pair of module and name is compared exactly.
pub fn is_weights(module: &str, name: &str) -> bool {
    torch::is_weights(module, name)
}

/// The contents of a container: the pickle, and the position of each storage that it declares.
struct Contents {
    format: Format,
    pickle: pickle::Pickle,
    /// The name of the pickle's record, for messages.
    record: String,
    declared: torch::Storages,
    /// The declarations in the code of a TorchScript archive.
    script: Option<script::Script>,
    storages: Vec<Storage>,
    records: Vec<Record>,
    headers: Vec<Header>,
    deflated: Vec<Deflated>,
    /// Bytes of storages that are in the pickle itself; they follow the records that must be inflated.
    embedded: Vec<Box<[u8]>>,
}

impl Contents {
    /// Returns the contents of a container whose storages have neither checksums nor compression.
    fn of(
        format: Format,
        pickle: pickle::Pickle,
        record: &str,
        declared: torch::Storages,
        storages: Vec<Storage>,
    ) -> Self {
        let (record, script, records, headers) = (record.to_owned(), None, Vec::new(), Vec::new());
        let (deflated, embedded) = (Vec::new(), Vec::new());
        Self { format, pickle, record, declared, script, storages, records, headers, deflated, embedded }
    }
}
