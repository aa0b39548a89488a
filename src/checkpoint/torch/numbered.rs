//! Reads tensors by number: the persistent IDs of the tar archive of torch 0.1.

use std::collections::HashMap;

use super::module::class_with_source;
use super::names::{Element, storage_class};
use super::storages::{Declared, Storages};
use super::{Error, NumberedTensor};
use crate::pickle::{Arena, Global, Id, Value};

/// Tensors by their number, as text.
pub(in super::super) type Numbered = HashMap<String, NumberedTensor>;

/// Returns a number in one spelling, from an integer or from decimal text.
pub(in super::super) fn number(value: &Value) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        Value::Big(number) => Some(number.to_string()),
        // `int()` also accepts blanks, signs and underscores.
        Value::Str(text) => {
            let number: i128 = text.parse().ok()?;
            (number.to_string() == **text).then(|| text.to_string())
        }
        _ => None,
    }
}

/// Returns the tensor of each persistent ID of the object that represents one.
pub(in super::super) fn by_number(
    values: &Arena,
    tensors: &Numbered,
    declared: &Storages,
) -> Result<HashMap<Id, NumberedTensor>, Error> {
    let mut given = HashMap::new();
    for (id, value) in values.iter() {
        let &Value::Persistent(inner) = value else { continue };
        if class_with_source(values, inner).is_some() {
            continue;
        }
        let key = number(values.get(inner));
        match key.as_ref().and_then(|key| tensors.get(key)) {
            Some(tensor) => drop(given.insert(id, tensor.clone())),
            None if key.is_some_and(|key| declared.index_of(&key).is_some()) => {}
            None => {
                let what = "persistent ID without a storage";
                return Err(Error::Tar { what, at: values.offset(id) });
            }
        }
    }
    Ok(given)
}

impl Storages {
    /// Adds a storage with a class and a number of elements, and returns the number of its bytes.
    pub(in super::super) fn add(&mut self, key: &str, class: &Global, count: u64) -> Result<u64, Error> {
        let bad = |what| Error::Storage { key: key.to_owned(), what };
        let element = storage_class(class, key)?;
        if element == Element::Bytes {
            return Err(bad("has an unknown class"));
        }
        let bytes = count.checked_mul(element.width()).ok_or_else(|| bad("has an impossible length"))?;
        self.add_new(Declared { key: key.to_owned(), element, bytes, inside: None })?;
        Ok(bytes)
    }

    /// Adds a view: the index of its storage, its start in it, and its bytes.
    pub(in super::super) fn add_view(
        &mut self,
        key: &str,
        root: &str,
        offset: u64,
        count: u64,
    ) -> Result<(usize, u64, u64), Error> {
        let bad = |what| Error::Storage { key: key.to_owned(), what };
        let index = self.index_of(root).ok_or_else(|| bad("is a view of a missing storage"))?;
        let storage = self.list.get(index).ok_or_else(|| bad("is a view of a missing storage"))?;
        if storage.inside.is_some() {
            return Err(bad("is a view of a view"));
        }
        let (element, width, len) = (storage.element, storage.element.width(), storage.bytes);
        let range = offset.checked_mul(width).zip(count.checked_mul(width));
        let inside = |&(begin, bytes): &(u64, u64)| begin.checked_add(bytes).is_some_and(|end| end <= len);
        let (begin, bytes) = range.filter(inside).ok_or_else(|| bad("is a view out of bounds"))?;
        self.add_new(Declared { key: key.to_owned(), element, bytes, inside: Some((index, begin)) })?;
        Ok((index, begin, bytes))
    }

    /// Returns the index of the storage of a tensor of this class.
    pub(in super::super) fn of_class(&self, key: &str, class: &Global) -> Result<usize, Error> {
        let bad = |what| Error::Storage { key: key.to_owned(), what };
        let index = self.index_of(key).ok_or_else(|| bad("is missing but used by a tensor"))?;
        let name = class.name.strip_suffix("Tensor").map(|name| [name, "Storage"].concat());
        let name = name.ok_or_else(|| bad("contains a tensor of an unknown class"))?;
        let class = Global { module: class.module.clone(), name: name.into() };
        let element = storage_class(&class, key)?;
        match self.list.get(index) {
            Some(storage) if storage.element == element => Ok(index),
            _ => Err(bad("contains a tensor of another type")),
        }
    }

    fn add_new(&mut self, declared: Declared) -> Result<(), Error> {
        if self.index_of(&declared.key).is_some() {
            return Err(Error::Storage { key: declared.key, what: "is declared twice" });
        }
        self.declare(declared).map(drop)
    }
}
