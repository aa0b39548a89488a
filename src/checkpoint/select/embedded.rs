//! [`Embedded`]: arrays that the pickle itself holds, as storages behind the source.
//!
//! Invariant: a byte string of the pickle is kept once, however many arrays are made of it, so all of them together are
//! no longer than the pickle.

use std::collections::HashMap;

use super::super::torch::{Array, Torch};
use super::{Contents, Tensor};
use crate::checkpoint::Storage;
use crate::pickle::Id;

pub(super) struct Embedded {
    /// How many storages there are before these.
    first: usize,
    /// Where the next bytes go.
    end: u64,
    bytes: Vec<Box<[u8]>>,
    storages: Vec<Storage>,
    /// Where the bytes of a byte string are.
    places: HashMap<Id, u64>,
    /// The storage of an array: two names of one array are tied.
    by_array: HashMap<Id, usize>,
}

impl Embedded {
    /// Behind the source and the records that will be inflated.
    pub(super) fn behind(source_len: u64, contents: &Contents) -> Self {
        let inflated = contents.deflated.iter().fold(0_u64, |sum, record| sum.saturating_add(record.len));
        Self {
            first: contents.storages.len(),
            end: source_len.saturating_add(inflated),
            bytes: Vec::new(),
            storages: Vec::new(),
            places: HashMap::new(),
            by_array: HashMap::new(),
        }
    }

    /// The tensor of the array at `id`.
    pub(super) fn tensor(&mut self, torch: &Torch<'_>, id: Id, name: &str, array: Array) -> Tensor {
        let Array { dtype, shape, strides, big_endian, bytes, len } = array;
        let at = match self.places.get(&bytes) {
            Some(&at) => at,
            None => {
                let at = self.end;
                self.bytes.extend(torch.byte_string(bytes).map(|bytes| bytes.to_bytes()));
                self.end = self.end.saturating_add(len);
                self.places.insert(bytes, at);
                at
            }
        };
        let storage = match self.by_array.get(&id) {
            Some(&storage) => storage,
            None => {
                let storage = self.first.saturating_add(self.storages.len());
                self.storages.push(Storage { key: name.to_owned(), at, len, big_endian });
                self.by_array.insert(id, storage);
                storage
            }
        };
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

    /// The bytes; their storages go to the others.
    pub(super) fn into_bytes(self, storages: &mut Vec<Storage>) -> Vec<Box<[u8]>> {
        storages.extend(self.storages);
        self.bytes
    }
}
