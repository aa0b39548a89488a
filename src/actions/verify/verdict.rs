//! [`Verified`] is the result for a file.

use std::collections::BTreeMap;

use bstr::{BStr, BString};

use super::super::Error;
use super::super::index_finding::IndexFinding;
use super::super::shard_index::Tensors;
use crate::hash::Oid;
use crate::repo::ObjectId;
use crate::safetensors::compare::Difference;
use crate::safetensors::conversions::Conversion;
use crate::safetensors::{self, Variation};

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A conversion of the checkpoint has the same bytes.
    Identical,
    /// The file contains the same tensors under the same names.
    Equal,
    /// The file does not match the checkpoint.
    Differs,
    /// The checkpoint changed since the file was made from it.
    Stale,
}

/// One defect of a file.
#[derive(Debug)]
pub enum Finding {
    /// It is not a safetensors file.
    Invalid(safetensors::Error),
    /// A tensor differs.
    Tensor(Difference),
    /// The shard index does not match its shards.
    Index(IndexFinding),
}

/// The result for one safetensors file, or for one shard index.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the report")]
pub struct Verified {
    /// The path of the file.
    pub path: BString,
    /// The checkpoint that it is named after.
    pub checkpoint: Option<BString>,
    /// The source of the claim that it was made from that one, if no checkpoint is next to it.
    pub made_by: Option<MadeBy>,
    /// The verdict; `None` after an error.
    pub verdict: Option<Verdict>,
    /// The reason why there is no verdict.
    pub error: Option<Error>,
    /// The conversion that has the same bytes.
    pub conversion: Option<Conversion>,
    /// If the file is only equal: what distinguishes it from a conversion.
    pub variations: Vec<Variation>,
    /// The object ID of the file, as far as it is known.
    pub oid: Option<Oid>,
    /// The size of the file in bytes, as far as it is known.
    pub size: Option<u64>,
    /// The object ID of the checkpoint.
    pub checkpoint_oid: Option<Oid>,
    /// The dropped names, and the names that they are tied to.
    pub ties: BTreeMap<String, String>,
    /// The first findings.
    pub findings: Vec<Finding>,
    /// The number of further findings about the header or the shard index.
    pub more: usize,
    /// `true` if every byte of the file was compared. An object ID verifies it without that.
    pub compared: bool,
    /// `true` if the comparison stopped because of the number of differences.
    pub stopped: bool,
    /// `true` if any byte of the file was requested from a server.
    pub downloaded: bool,
    /// `true` for a shard index, which is compared with its shards and not with a checkpoint.
    pub is_index: bool,
    /// The tensors of the file.
    pub(super) tensors: Tensors,
}

impl Verified {
    pub(super) fn of(path: &BStr) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// Returns the file that the error is about: the file itself, or its checkpoint.
    pub fn concerned(&self) -> &BStr {
        let is_of_checkpoint = match &self.error {
            Some(Error::Checkpoint(_) | Error::Recipe(_)) => true,
            Some(Error::NoObject { oid, .. } | Error::PointerMismatch { expected: oid, .. }) => {
                self.oid != Some(*oid)
            }
            _ => false,
        };
        let checkpoint = self.checkpoint.as_ref().filter(|_| is_of_checkpoint);
        checkpoint.unwrap_or(&self.path).as_ref()
    }

    /// Returns `true` if the file is verified.
    pub fn is_good(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Identical | Verdict::Equal))
    }

    /// Returns `true` if the file could not be verified for a reason outside of the file.
    pub fn is_failed(&self) -> bool {
        self.error.as_ref().is_some_and(|error| !error.is_refusal())
    }
}

/// The evidence for the checkpoint that a file was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// The record of this clone.
    Record,
    /// A trailer of the commit that gave the file its current content.
    Trailer(ObjectId),
    /// That commit, which contains the checkpoint, or whose parent does.
    Commit(ObjectId),
}
