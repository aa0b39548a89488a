//! Reads the members `storages` and `tensors`: pickles of numbers and classes, with raw numbers between them.
//!
//! ```text
//! storages   pickle  n
//!            n times: pickle (key, location, storage class); i64 elements, little-endian; the elements
//!            pickle  [(key of the view, key of its storage, first element, elements), …]
//! tensors    pickle  n
//!            n times: pickle (key, key of its storage, tensor class)
//!                     i32 dimensions, 4 zeros; i64 for each size, each stride, and the offset
//! ```
//!
//! Invariant: no key means two objects, every storage is inside its member, and each member ends after its last item.

use super::super::torch::{self, Numbered, NumberedTensor, Storages};
use super::super::{Error, Limits, Storage};
use super::Member;
use crate::pickle::{self, Id, Pickle, Value};
use crate::read_at::{ReadAt, Window};

/// The most bytes of a pickle of a key and a class, which has some 60.
const SMALL: u64 = 1024;

/// A member that is read from start to end.
struct Stream<'a> {
    source: &'a dyn ReadAt,
    limits: &'a Limits,
    name: &'static str,
    at: u64,
    end: u64,
}

pub(super) fn storages(
    source: &dyn ReadAt,
    member: Member,
    limits: &Limits,
) -> Result<(Storages, Vec<Storage>), Error> {
    let mut stream = Stream::new(source, limits, "storages", member);
    let mut declared = Storages::default();
    let mut storages = Vec::new();
    for _ in 0..stream.count()? {
        let at = stream.at;
        let pickle = stream.small()?;
        let (key, class) = match pickle.values.tuple(pickle.root) {
            Some(&[key, location, class]) if pickle.values.text(location).is_some() => (key, class),
            _ => return Err(Error::tar("malformed storage", at)),
        };
        let key = number(&pickle, key).ok_or_else(|| Error::tar("storage without a number", at))?;
        let class = pickle.values.global(class).ok_or_else(|| Error::tar("storage without a class", at))?;
        let count = stream.unsigned()?;
        let len = declared.add(&key, class, count)?;
        let begin = stream.at;
        stream.skip(len)?;
        storages.push(Storage { key, at: begin, len, big_endian: false });
    }
    let at = stream.at;
    let views = stream.pickle(stream.end.saturating_sub(at), 0)?;
    let Value::List(items) = views.values.get(views.root) else {
        return Err(Error::tar("missing view list", at));
    };
    for &item in items {
        let Some(&[key, root, offset, count]) = views.values.tuple(item) else {
            return Err(Error::tar("malformed view", at));
        };
        let (key, root) =
            number(&views, key).zip(number(&views, root)).ok_or_else(|| Error::tar("malformed view", at))?;
        let range = torch::unsigned(&views.values, offset).zip(torch::unsigned(&views.values, count));
        let (offset, count) = range.ok_or_else(|| Error::tar("malformed view", at))?;
        let (index, begin, len) = declared.add_view(&key, &root, offset, count)?;
        let begin = storages.get(index).map_or(0, |root| root.at).saturating_add(begin);
        storages.push(Storage { key, at: begin, len, big_endian: false });
    }
    stream.finish()?;
    Ok((declared, storages))
}

pub(super) fn tensors(
    source: &dyn ReadAt,
    member: Member,
    declared: &Storages,
    limits: &Limits,
) -> Result<Numbered, Error> {
    let mut stream = Stream::new(source, limits, "tensors", member);
    let mut tensors = Numbered::default();
    for _ in 0..stream.count()? {
        let at = stream.at;
        let pickle = stream.small()?;
        let Some(&[key, storage, class]) = pickle.values.tuple(pickle.root) else {
            return Err(Error::tar("malformed tensor", at));
        };
        let keys = number(&pickle, key).zip(number(&pickle, storage));
        let (key, storage) = keys.ok_or_else(|| Error::tar("tensor without a number", at))?;
        let class = pickle.values.global(class).ok_or_else(|| Error::tar("tensor without a class", at))?;
        let storage = declared.of_class(&storage, class)?;
        let [dimensions, zeros] = stream.halves()?;
        if zeros != 0 {
            return Err(Error::tar("too many dimensions", at));
        }
        let rank = usize::try_from(dimensions).ok().filter(|&rank| rank <= limits.rank);
        let rank = rank.ok_or_else(|| Error::tar("too many dimensions", at))?;
        // A tensor without dimensions had no elements in torch 0.1, and has one since torch 0.4.
        if rank == 0 {
            return Err(Error::tar("zero-dimensional tensor (ambiguous between PyTorch versions)", at));
        }
        let shape = (0..rank).map(|_| stream.unsigned()).collect::<Result<_, _>>()?;
        let strides = (0..rank).map(|_| stream.unsigned()).collect::<Result<_, _>>()?;
        let offset = stream.unsigned()?;
        let is_known = declared.index_of(&key).is_some();
        if is_known || tensors.insert(key, NumberedTensor { storage, shape, strides, offset }).is_some() {
            return Err(Error::tar("duplicate number", at));
        }
    }
    stream.finish()?;
    Ok(tensors)
}

impl<'a> Stream<'a> {
    fn new(source: &'a dyn ReadAt, limits: &'a Limits, name: &'static str, member: Member) -> Self {
        let Member { at, len } = member;
        Self { source, limits, name, at, end: at.saturating_add(len) }
    }

    /// Reads a pickle of plain data and `wanted` classes, of at most `most` bytes.
    fn pickle(&mut self, most: u64, wanted: usize) -> Result<Pickle, Error> {
        let len = self.end.saturating_sub(self.at).min(most);
        let window = Window::new(self.source, self.at, len)?;
        let limits = pickle::Limits { memory: self.limits.pickle.memory / 4, ..self.limits.pickle.clone() };
        let read = pickle::read(&window, 0, &limits);
        let pickle = read.map_err(|source| Error::Pickle { record: self.name.to_owned(), source })?;
        let is_plain = |value: &Value| !matches!(value, Value::Object(_) | Value::Persistent(_));
        let is_plain = pickle.values.iter().all(|(_, value)| is_plain(value));
        let classes = pickle.values.iter().filter(|(_, value)| matches!(value, Value::Global(_))).count();
        if !is_plain || classes != wanted {
            return Err(Error::tar("globals in a plain pickle", self.at));
        }
        self.at = self.at.saturating_add(pickle.end);
        Ok(pickle)
    }

    /// Reads a pickle of numbers and a class.
    fn small(&mut self) -> Result<Pickle, Error> {
        self.pickle(SMALL, 1)
    }

    fn count(&mut self) -> Result<u64, Error> {
        let at = self.at;
        let pickle = self.pickle(SMALL, 0)?;
        let count =
            torch::unsigned(&pickle.values, pickle.root).ok_or_else(|| Error::tar("missing count", at))?;
        let limit = u64::try_from(self.limits.tensors).unwrap_or(u64::MAX);
        if count > limit { Err(Error::Limit { what: self.name, limit }) } else { Ok(count) }
    }

    fn array(&mut self) -> Result<[u8; 8], Error> {
        let mut bytes = [0; 8];
        let at = self.at;
        self.skip(8)?;
        self.source.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    fn unsigned(&mut self) -> Result<u64, Error> {
        let at = self.at;
        let number = i64::from_le_bytes(self.array()?);
        u64::try_from(number).map_err(|_| Error::tar("negative number", at))
    }

    fn halves(&mut self) -> Result<[u32; 2], Error> {
        let number = u64::from_le_bytes(self.array()?);
        let half = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Ok([half(number), half(number >> 32)])
    }

    fn skip(&mut self, len: u64) -> Result<(), Error> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.end);
        self.at = end.ok_or_else(|| Error::tar("truncated member", self.at))?;
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        if self.at == self.end { Ok(()) } else { Err(Error::tar("trailing bytes in a member", self.at)) }
    }
}

/// Returns a key: torch 0.1 uses the address of the object.
fn number(pickle: &Pickle, id: Id) -> Option<String> {
    torch::number(pickle.values.get(id))
}
