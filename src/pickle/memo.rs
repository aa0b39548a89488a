//! The memo stores values by number. Pickles number them 0, 1, 2, …, so these are in a vector; all others are in a map,
//! so that a pickle that puts at 4,294,967,295 costs one entry.
use std::collections::HashMap;
use std::hash::Hash;

/// Bytes of memory per entry of the vector, while it grows.
const DENSE: usize = 8;
/// Bytes of memory per entry of the map.
const SPARSE: usize = 64;

/// The index of a value.
pub(crate) trait Index: Eq + Hash {
    /// Returns the number; `None` for one of more than 64 bits.
    fn number(&self) -> Option<u64>;
}

impl Index for u64 {
    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

pub(crate) struct Memo<I, V> {
    dense: Vec<V>,
    sparse: HashMap<I, V>,
}

impl<I, V> Default for Memo<I, V> {
    fn default() -> Self {
        Self { dense: Vec::new(), sparse: HashMap::new() }
    }
}

impl<I: Index, V> Memo<I, V> {
    pub(crate) fn get(&self, index: &I) -> Option<&V> {
        let dense = place(index).and_then(|at| self.dense.get(at));
        dense.or_else(|| self.sparse.get(index))
    }

    pub(crate) fn put(&mut self, index: I, value: V) {
        match place(&index) {
            Some(at) if at == self.dense.len() => {
                self.dense.push(value);
                if !self.sparse.is_empty() {
                    self.sparse.remove(&index);
                }
            }
            Some(at) if at < self.dense.len() => {
                if let Some(entry) = self.dense.get_mut(at) {
                    *entry = value;
                }
            }
            _ => {
                self.sparse.insert(index, value);
            }
        }
    }

    /// Returns how many bytes of memory it uses, for values of a few bytes.
    pub(crate) fn memory(&self) -> usize {
        let dense = self.dense.len().saturating_mul(DENSE);
        dense.saturating_add(self.sparse.len().saturating_mul(SPARSE))
    }

    /// Returns the number of entries, which is the number that `MEMOIZE` uses, as in `CPython`.
    pub(crate) fn len(&self) -> usize {
        self.dense.len().saturating_add(self.sparse.len())
    }
}

/// Returns the place of an index in the vector.
fn place(index: &impl Index) -> Option<usize> {
    usize::try_from(index.number()?).ok()
}
