//! Reads storages, the arguments of `persistent_load`, and checks that no two declarations contradict each other.
//!
//! `("storage", class, key, location, numel)`, in a legacy PyTorch file with a sixth item for a view. The location
//! (`cpu`, `cuda:0`) does not affect the bytes, except that `meta` means that none exist.

use std::collections::HashMap;

use super::Error;
use super::module::class_with_source;
use super::names::{Element, storage_class};
use crate::pickle::{Arena, Id, Value};

/// The most bytes of a storage's key: torch writes numbers, formerly also addresses.
pub(in crate::checkpoint) const MAX_KEY: usize = 128;

/// The most storages of a checkpoint: as many as tensors.
const MAX_STORAGES: usize = 1_000_000;

/// A storage as the pickle declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Declared {
    pub(in super::super) key: String,
    pub(in super::super) element: Element,
    pub(in super::super) bytes: u64,
    /// For a view that is a storage of its own (only legacy): its storage, and its offset in it.
    pub(in super::super) inside: Option<(usize, u64)>,
}

/// A tensor that is described outside the pickle of the object (only tar).
#[derive(Debug, Clone)]
pub(in super::super) struct NumberedTensor {
    /// The index of its storage.
    pub(in super::super) storage: usize,
    pub(in super::super) shape: Vec<u64>,
    pub(in super::super) strides: Vec<u64>,
    pub(in super::super) offset: u64,
}

/// All storages that a pickle declares, in the order of their first declaration.
#[derive(Debug, Default)]
pub(in super::super) struct Storages {
    pub(in super::super) list: Vec<Declared>,
    /// The tensors that persistent IDs represent (only tar).
    pub(in super::super) given: HashMap<Id, NumberedTensor>,
    /// The storages that calls of `_load_from_bytes` return (only plain pickles).
    pub(in super::super) loaded: HashMap<Id, usize>,
    by_key: HashMap<String, usize>,
}

impl Storages {
    pub(in super::super) fn index_of(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    pub(in super::super) fn declare(&mut self, declared: Declared) -> Result<usize, Error> {
        let known = self.index_of(&declared.key);
        match known.and_then(|index| Some((index, self.list.get(index)?))) {
            None if self.list.len() >= MAX_STORAGES => {
                let limit = u64::try_from(MAX_STORAGES).unwrap_or(u64::MAX);
                Err(Error::Limit { what: "storages", limit })
            }
            None => {
                self.by_key.insert(declared.key.clone(), self.list.len());
                self.list.push(declared);
                Ok(self.list.len().saturating_sub(1))
            }
            Some((index, first)) if *first == declared => Ok(index),
            Some(_) => {
                let what = "is declared twice with different types or lengths";
                Err(Error::Storage { key: declared.key, what })
            }
        }
    }
}

impl StorageId<'_> {
    /// Returns the key of the tensor's memory: of the storage, or of the view in it.
    pub(super) fn own_key(&self) -> String {
        match self.view {
            None => self.key.to_owned(),
            Some((view, ..)) => [self.key, view].join("/"),
        }
    }
}

/// The persistent ID of a storage.
pub(super) struct StorageId<'a> {
    pub(super) key: &'a str,
    pub(super) element: Element,
    pub(super) numel: u64,
    /// The view's own key, its start in its storage and its length, in elements (only legacy).
    pub(super) view: Option<(&'a str, u64, u64)>,
}

/// Finds every storage that the pickle declares and checks that no two declarations contradict.
///
/// A view of a legacy PyTorch file is a storage of its own, as torch makes it.
///
/// If classes with their source are allowed (`classes`), they are skipped.
pub(in super::super) fn storages(values: &Arena, classes: bool) -> Result<Storages, Error> {
    let mut storages = Storages::default();
    for (_, value) in values.iter() {
        let &Value::Persistent(inner) = value else { continue };
        if classes && is_tagged(values, inner) && class_with_source(values, inner).is_some() {
            continue;
        }
        let id = storage_id(values, inner)?;
        let width = id.element.width();
        let in_bytes = |count: u64| count.checked_mul(width).ok_or_else(|| too_large(id.key));
        let (key, element) = (id.key.to_owned(), id.element);
        let root = storages.declare(Declared { key, element, bytes: in_bytes(id.numel)?, inside: None })?;
        if let Some((_, begin, len)) = id.view {
            let (key, inside) = (id.own_key(), Some((root, in_bytes(begin)?)));
            storages.declare(Declared { key, element, bytes: in_bytes(len)?, inside })?;
        }
    }
    Ok(storages)
}

/// Returns `true` if it begins with `"module"`.
fn is_tagged(values: &Arena, id: Id) -> bool {
    values.tuple(id).and_then(|items| items.first()).is_some_and(|&tag| values.text(tag) == Some("module"))
}

fn too_large(key: &str) -> Error {
    Error::Storage { key: key.to_owned(), what: "has an impossible length" }
}

/// Reads `("storage", class, key, location, numel)`, in a legacy PyTorch file with a sixth item.
pub(super) fn storage_id(values: &Arena, id: Id) -> Result<StorageId<'_>, Error> {
    let bad = |key: &str, what| Error::Storage { key: key.to_owned(), what };
    let place = format!("at byte {}", values.offset(id));
    let malformed = || bad(&place, "has a malformed persistent id");
    if is_tagged(values, id) {
        return Err(bad(&place, "is a pickled class with its source code"));
    }
    let (&[tag, class, key, location, numel], view) =
        values.tuple(id).and_then(|items| items.split_first_chunk::<5>()).ok_or_else(malformed)?;
    if values.text(tag) != Some("storage") {
        return Err(malformed());
    }
    let key = values.text(key).ok_or_else(malformed)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if key.is_empty() || key.len() > MAX_KEY || !key.chars().all(plain) || key.starts_with('.') {
        return Err(bad(&place, "has an unsafe key"));
    }
    if values.text(location) == Some("meta") {
        return Err(bad(key, "is on the meta device, and has no data"));
    }
    let class = values.global(class).ok_or_else(malformed)?;
    let element = storage_class(class, key)?;
    let numel = unsigned(values, numel).ok_or_else(|| bad(key, "has an invalid length"))?;
    let view = match view {
        [] => None,
        &[view] if *values.get(view) == Value::None => None,
        &[view] => match values.tuple(view) {
            Some(&[view_key, offset, size]) => {
                let range = unsigned(values, offset).zip(unsigned(values, size));
                let inside =
                    |&(offset, size): &(u64, u64)| offset.checked_add(size).is_some_and(|end| end <= numel);
                let (offset, size) =
                    range.filter(inside).ok_or_else(|| bad(key, "has an out-of-bounds view"))?;
                Some((values.text(view_key).ok_or_else(malformed)?, offset, size))
            }
            _ => return Err(malformed()),
        },
        _ => return Err(malformed()),
    };
    Ok(StorageId { key, element, numel, view })
}

pub(in crate::checkpoint) fn unsigned(values: &Arena, id: Id) -> Option<u64> {
    match values.get(id) {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}
