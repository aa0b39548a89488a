//! The memo stores values by number. Pickles number them 0, 1, 2, …, so these are in a vector; all others are in a map,
//! so that a pickle that puts at 4,294,967,295 costs one entry.
use std::collections::HashMap;

use super::value::Id;

/// Bytes of memory per entry of the vector, while it grows.
const DENSE: usize = 8;
/// Bytes of memory per entry of the map.
const SPARSE: usize = 64;

#[derive(Default)]
pub(super) struct Memo {
    dense: Vec<Id>,
    sparse: HashMap<u64, Id>,
}

impl Memo {
    pub(super) fn get(&self, index: u64) -> Option<Id> {
        let dense = usize::try_from(index).ok().and_then(|index| self.dense.get(index));
        dense.or_else(|| self.sparse.get(&index)).copied()
    }

    pub(super) fn put(&mut self, index: u64, id: Id) {
        match usize::try_from(index) {
            Ok(at) if at == self.dense.len() => {
                self.dense.push(id);
                if !self.sparse.is_empty() {
                    self.sparse.remove(&index);
                }
            }
            Ok(at) if at < self.dense.len() => {
                if let Some(entry) = self.dense.get_mut(at) {
                    *entry = id;
                }
            }
            _ => {
                self.sparse.insert(index, id);
            }
        }
    }

    /// Returns how many bytes of memory it uses.
    pub(super) fn memory(&self) -> usize {
        let dense = self.dense.len().saturating_mul(DENSE);
        dense.saturating_add(self.sparse.len().saturating_mul(SPARSE))
    }

    /// Returns the number that `MEMOIZE` uses: the number of entries, as in `CPython`.
    pub(super) fn next(&self) -> u64 {
        let count = self.dense.len().saturating_add(self.sparse.len());
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}
