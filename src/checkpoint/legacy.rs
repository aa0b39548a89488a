//! Reads the legacy PyTorch file (torch before 1.6): five pickles, then the storages.
//!
//! ```text
//! pickle   the magic number
//! pickle   the protocol version, 1001
//! pickle   sys_info: byte order and sizes of the types of the machine
//! pickle   the object
//! pickle   the list of storage keys
//! then for each key, in that order: the number of elements (i64, little-endian), the elements
//! ```
//!
//! Invariant: the keys are exactly those that the object refers to, each length is the declared one, and the file ends
//! with the last storage. Source: torch's `serialization.py`, `_legacy_load`.

use std::collections::HashSet;
use std::io;

use serde::Deserialize;

use super::{Contents, Error, Format, Limits, Storage};
use super::{tar, torch};
use crate::pickle::{self, Pickle, Value};
use crate::read_at::ReadAt;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i64 = 1001;

/// The description of the writer's machine. Its byte order has no effect: torch writes the elements of this format
/// little-endian on every machine.
#[derive(Debug, Deserialize)]
struct SysInfo {
    type_sizes: TypeSizes,
}

#[derive(Debug, Deserialize)]
struct TypeSizes {
    short: u64,
    int: u64,
    long: u64,
}

struct Stream<'a> {
    source: &'a dyn ReadAt,
    limits: &'a Limits,
    at: u64,
}

/// Reads the container and the pickles in it.
pub(super) fn read(source: &dyn ReadAt, limits: &Limits) -> Result<Contents, Error> {
    // torch checks for a tar archive first.
    if tar::has_header(source)? {
        return Err(Error::Legacy { what: "tar header", at: 0 });
    }
    let mut stream = Stream { source, limits, at: 0 };
    let magic = stream.pickle_within("the magic number", &small(&limits.pickle))?;
    let is_magic = matches!(magic.values.get(magic.root), Value::Big(number) if **number == MAGIC);
    // A lookup or a call whose result is dropped would have run before this.
    if !is_magic || !is_plain(&magic) {
        return Err(Error::Legacy { what: "wrong magic number", at: 0 });
    }
    let at = stream.at;
    if stream.plain::<i64>("protocol version")? != PROTOCOL {
        return Err(Error::Legacy { what: "unknown protocol version", at });
    }
    let at = stream.at;
    let SysInfo { type_sizes, .. } = stream.plain("system information")?;
    if (type_sizes.short, type_sizes.int, type_sizes.long) != (2, 4, 4) {
        return Err(Error::Legacy { what: "unsupported type sizes", at });
    }
    let pickle = stream.pickle("the object")?;
    let keys = stream.keys()?;
    let declared = torch::storages(&pickle.values, true)?;
    let storages = stream.storages(&keys, &declared)?;
    Ok(Contents::of(Format::Legacy, pickle, "the object", declared, storages))
}

impl Stream<'_> {
    fn pickle(&mut self, what: &str) -> Result<Pickle, Error> {
        self.pickle_within(what, &self.limits.pickle)
    }

    fn pickle_within(&mut self, what: &str, limits: &pickle::Limits) -> Result<Pickle, Error> {
        let fail = |source| Error::Pickle { record: what.to_owned(), source };
        let pickle = pickle::read(self.source, self.at, limits).map_err(fail)?;
        self.at = pickle.end;
        Ok(pickle)
    }

    /// Reads a small pickle of plain data into its type. Our reader bounds it first and allows no calls; the second
    /// reader builds trees, so no value may be deep, large, shared often, or made and dropped.
    fn plain<T: for<'de> Deserialize<'de>>(&mut self, what: &'static str) -> Result<T, Error> {
        let at = self.at;
        let pickle = self.pickle_within(what, &small(&self.limits.pickle))?;
        if !is_plain(&pickle) {
            return Err(Error::Legacy { what: "globals in a plain pickle", at });
        }
        let len = usize::try_from(self.at.saturating_sub(at)).map_err(|_| Error::Legacy { what, at })?;
        let bytes = self.source.read_vec_at(at, len)?;
        let options = serde_pickle::DeOptions::new().decode_strings();
        serde_pickle::from_slice(&bytes, options).map_err(|source| Error::LegacyPart { what, source })
    }

    /// Reads the list of storage keys. It can be long, so it comes from the values of our own reader.
    fn keys(&mut self) -> Result<Vec<String>, Error> {
        let at = self.at;
        // The object is still in memory, so both share one limit.
        let limits = &self.limits.pickle;
        let limits = pickle::Limits { memory: limits.memory / 4, ..limits.clone() };
        let pickle = self.pickle_within("storage key list", &limits)?;
        let key = |id| pickle.values.text(id).filter(|key| key.len() <= torch::MAX_KEY).map(str::to_owned);
        let keys = match pickle.values.get(pickle.root) {
            Value::List(items) if is_plain(&pickle) => items.iter().map(|&id| key(id)).collect(),
            _ => None,
        };
        keys.ok_or(Error::Legacy { what: "missing storage key list", at })
    }

    /// Visits the storages in the order of the file, which is not torch's order in `declared`.
    fn storages(&self, keys: &[String], declared: &torch::Storages) -> Result<Vec<Storage>, Error> {
        let mut places = vec![None; declared.list.len()];
        let mut at = self.at;
        for key in keys {
            let bad = |what| Error::Storage { key: key.clone(), what };
            let unused = || bad("is listed but not used by any tensor");
            let index = declared.index_of(key).ok_or_else(unused)?;
            let storage = declared.list.get(index).filter(|storage| storage.inside.is_none());
            let storage = storage.ok_or_else(unused)?;
            let place = places.get_mut(index).ok_or_else(unused)?;
            if place.is_some() {
                return Err(bad("is listed twice"));
            }
            let mut count = [0; 8];
            self.source.read_exact_at(&mut count, at).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => bad("is truncated"),
                _ => Error::Io(error),
            })?;
            let width = storage.element.width();
            let got =
                u64::try_from(i64::from_le_bytes(count)).ok().and_then(|count| count.checked_mul(width));
            let got = got.ok_or_else(|| bad("has an invalid length"))?;
            if got != storage.bytes {
                return Err(Error::StorageLength { key: key.clone(), expected: storage.bytes, got });
            }
            let begin = at.saturating_add(8);
            at = begin
                .checked_add(got)
                .filter(|&end| end <= self.source.len())
                .ok_or_else(|| bad("is truncated"))?;
            *place = Some(Storage { key: key.clone(), at: begin, len: got, big_endian: false });
        }
        if at != self.source.len() {
            return Err(Error::Legacy { what: "trailing bytes after the last storage", at });
        }
        place_views(&mut places, declared);
        let missing = |index: usize| Error::Storage {
            key: declared.list.get(index).map(|storage| storage.key.clone()).unwrap_or_default(),
            what: "is missing from the storage key list",
        };
        places.into_iter().enumerate().map(|(index, place)| place.ok_or_else(|| missing(index))).collect()
    }
}

/// Returns the limits for the two small pickles of the preamble, which have some 200 bytes.
pub(super) fn small(limits: &pickle::Limits) -> pickle::Limits {
    pickle::Limits {
        bytes: limits.bytes.min(4096),
        opcodes: limits.opcodes.min(1000),
        values: limits.values.min(1000),
        memory: limits.memory.min(256 << 10),
        text: limits.text.min(256),
        blob: limits.blob.min(256),
        integer: limits.integer.min(16),
        ..limits.clone()
    }
}

/// Returns `true` for numbers, text, lists and dicts, all of them part of the result, at most 8 deep.
fn is_plain(pickle: &Pickle) -> bool {
    let called = |value: &Value| matches!(value, Value::Object(_) | Value::Global(_) | Value::Persistent(_));
    !pickle.values.iter().any(|(_, value)| called(value)) && pickle.depth(8).is_some() && is_all_of_it(pickle)
}

/// Returns `true` if every value is part of the result: none was made and dropped.
pub(super) fn is_all_of_it(pickle: &Pickle) -> bool {
    let mut reached = HashSet::new();
    let mut waiting = vec![pickle.root];
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            pickle.values.children(id, |child| waiting.push(child));
        }
    }
    reached.len() == pickle.values.len()
}

/// Places each view in the storage that was placed before it.
fn place_views(places: &mut [Option<Storage>], declared: &torch::Storages) {
    for (index, storage) in declared.list.iter().enumerate() {
        let Some((root, begin)) = storage.inside else { continue };
        let root = places.get(root).cloned().flatten();
        if let Some(place) = places.get_mut(index) {
            *place = root.map(|root| Storage {
                key: storage.key.clone(),
                at: root.at.saturating_add(begin),
                len: storage.bytes,
                big_endian: false,
            });
        }
    }
}
