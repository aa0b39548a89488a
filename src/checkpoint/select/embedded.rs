//! [`Embedded`] turns arrays in the pickle itself into storages after the source.
//!
//! Invariant: a byte string of the pickle is stored once, however many arrays use it, so all of them together are not
//! longer than the pickle.

use std::collections::HashMap;

use super::super::torch::{Array, ByteString, Torch};
use super::{Contents, Tensor};
use crate::checkpoint::Storage;
use crate::pickle::Id;

#[derive(Default)]
pub(super) struct Embedded {
    /// The number of storages before these.
    first: usize,
    /// The offset of the first bytes.
    behind: u64,
    /// The offset of the next bytes.
    end: u64,
    bytes: Vec<Id>,
    storages: Vec<Storage>,
    /// The offsets of byte strings.
    places: HashMap<Id, u64>,
    /// The storage of each array: two names of one array are tied.
    by_array: HashMap<Id, usize>,
}

impl Embedded {
    /// Starts after the source, the records that will be inflated, and the storages in the pickle.
    pub(super) fn behind(source_len: u64, contents: &Contents) -> Self {
        let inflated = contents.deflated.iter().fold(0_u64, |sum, record| sum.saturating_add(record.len));
        let held = contents.embedded.iter().map(|bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let behind = held.fold(source_len.saturating_add(inflated), u64::saturating_add);
        Self { first: contents.storages.len(), behind, end: behind, ..Self::default() }
    }

    /// Returns the tensor of the array at `id`.
    pub(super) fn tensor(&mut self, id: Id, name: &str, array: Array) -> Tensor {
        let Array { dtype, shape, strides, big_endian, bytes, at, len } = array;
        let at = at.unwrap_or_else(|| {
            *self.places.entry(bytes).or_insert_with(|| {
                self.bytes.push(bytes);
                let at = self.end;
                self.end = self.end.saturating_add(len);
                at
            })
        });
        let storage = *self.by_array.entry(id).or_insert_with(|| {
            self.storages.push(Storage { key: name.to_owned(), at, len, big_endian });
            self.first.saturating_add(self.storages.len()).saturating_sub(1)
        });
        let width = u64::try_from(dtype.bitsize().div_ceil(8)).unwrap_or(1);
        Tensor {
            name: name.to_owned(),
            dtype,
            shape,
            strides,
            offset: 0,
            width,
            storage,
            conjugate: false,
            negate: false,
        }
    }

    /// Returns an empty one with the same start.
    pub(super) fn empty(&self) -> Self {
        Self { first: self.first, end: self.behind, behind: self.behind, ..Self::default() }
    }

    /// Returns the bytes, and the other storages with theirs.
    pub(super) fn into_bytes(self, torch: &Torch<'_>) -> (Vec<Box<[u8]>>, Vec<Storage>) {
        let bytes = self.bytes.iter().filter_map(|&id| torch.byte_string(id).map(ByteString::to_bytes));
        (bytes.collect(), self.storages)
    }
}
