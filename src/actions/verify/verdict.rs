//! [`Verified`] is the result for a file.

use std::collections::BTreeMap;

use bstr::{BStr, BString};

use super::super::Error;
use super::super::index_finding::IndexFinding;
use super::super::shard_index::Tensors;
use crate::hash::Oid;
use crate::repo::ObjectId;
use crate::safetensors;
use crate::safetensors::compare::Difference;
use crate::safetensors::conversions::Conversion;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A conversion of the checkpoint has these very bytes.
    Identical,
    /// It holds the same tensors, under the same names.
    Equal,
    /// It does not.
    Differs,
    /// It was made from a checkpoint that has changed since.
    Stale,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Finding {
    /// It is not a safetensors file.
    Invalid(safetensors::Error),
    /// A tensor.
    Tensor(Difference),
    /// The index of a set.
    Index(IndexFinding),
}

/// One safetensors file, or the index of some, and what was found.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the report")]
pub struct Verified {
    /// The file.
    pub path: BString,
    /// The checkpoint that it is named after.
    pub checkpoint: Option<BString>,
    /// Who says that it was made from that one, if none is beside it.
    pub made_by: Option<MadeBy>,
    /// What it is; `None` if that could not be seen.
    pub verdict: Option<Verdict>,
    /// Why not.
    pub error: Option<Error>,
    /// The conversion that has the very same bytes.
    pub conversion: Option<Conversion>,
    /// Its oid, as far as it is known, and its size in bytes.
    pub oid: Option<Oid>,
    /// See there.
    pub size: Option<u64>,
    /// The oid of the checkpoint.
    pub checkpoint_oid: Option<Oid>,
    /// Names that the file does not have, and those that hold their values.
    pub ties: BTreeMap<String, String>,
    /// What is wrong with it: the first of it.
    pub findings: Vec<Finding>,
    /// How much more is wrong with its header.
    pub more: usize,
    /// `true` if every byte of it was compared. An oid proves it without.
    pub compared: bool,
    /// `true` if so much differed that the rest was not compared.
    pub stopped: bool,
    /// `true` if any byte of the file was asked of a server.
    pub downloaded: bool,
    /// `true` if it is compared with the checkpoint. An index is not.
    pub is_index: bool,
    /// Its tensors.
    pub(super) tensors: Tensors,
}

impl Verified {
    pub(super) fn of(path: &BStr) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// Returns `true` if it is proven.
    pub fn is_good(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Identical | Verdict::Equal))
    }

    /// Returns `true` if it could not be seen, for a reason that is none of the file's.
    pub fn is_failed(&self) -> bool {
        self.error.as_ref().is_some_and(|error| !error.is_refusal())
    }
}

/// Who says which checkpoint a file was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// The record of this clone.
    Record,
    /// A trailer of the commit that made the file what it is.
    Trailer(ObjectId),
    /// That commit itself.
    Commit(ObjectId),
}
