//! Reads a plain pickle (`pickle.dump`): numpy arrays, and tensors whose storages are PyTorch streams in byte strings.
//!
//! ```text
//! _rebuild_tensor_v2(_load_from_bytes(bytes), offset, size, stride, …)
//! bytes: a legacy PyTorch file of one storage
//! ```
//!
//! `_load_from_bytes` is `torch.load` without limits, so its bytes are read here, and are either one storage or
//! refused. Invariant: the call has no other argument, and its name appears nowhere else. Byte strings stay in the
//! source. Source: `Tensor._reduce_ex_internal`, `TypedStorage.__reduce__`.

use std::collections::HashSet;
use std::io;

use bstr::ByteSlice as _;

use super::torch::{ByteString, Declared, Torch};
use super::{Contents, Error, Foreign, Format, Kind, Limits, Named, Storage, legacy, torch};
use crate::pickle::{self, Global, Id, Object, Pickle, Value};
use crate::read_at::{ReadAt, Window};

/// The function that loads a storage.
const LOADER: (&str, &str) = ("torch.storage", "_load_from_bytes");

/// The weights that a plain pickle can contain, by the globals that it imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// No weights.
    Nothing,
    /// numpy arrays.
    Arrays,
    /// PyTorch storages.
    Storages,
}

/// How many of the first bytes are read.
const HEAD: u64 = 512;
/// How many of them may precede the first array of joblib.
const IMPORTS: u64 = 1 << 20;

/// Returns `true` if the file can be a plain pickle, by its first bytes. A text can begin like a pickle of protocol 0
/// or 1.
///
/// # Errors
/// If the file cannot be read.
pub fn may_be_pickle(source: &dyn ReadAt, kind: Kind) -> io::Result<bool> {
    match kind {
        Kind::Pickle => Ok(true),
        Kind::Unknown => Ok(begins_unmarked(&head(source)?)),
        _ => Ok(false),
    }
}

/// Returns the weights that a possible plain pickle can contain; `None` if it cannot be read as one. A file whose first
/// bytes do not identify it must be a pickle to its end.
pub fn held(source: &dyn ReadAt, kind: Kind) -> Option<Held> {
    let pickle = read_pickle(source, &Limits::default()).ok()?;
    let mut held = Held::Nothing;
    for global in pickle.values.iter().filter_map(|(id, _)| pickle.values.global(id)) {
        if is_loader(global) {
            return Some(Held::Storages);
        }
        if torch::makes_array(global) {
            held = Held::Arrays;
        }
    }
    let is_pickle = kind == Kind::Pickle || held != Held::Nothing || pickle.end == source.len();
    is_pickle.then_some(held)
}

fn head(source: &dyn ReadAt) -> io::Result<Vec<u8>> {
    source.read_vec_at(0, usize::try_from(source.len().min(HEAD)).unwrap_or(0))
}

/// Returns `true` if it begins like a dict, a list, a tuple or an object in protocols 0 and 1, which have no mark of
/// their own.
fn begins_unmarked(head: &[u8]) -> bool {
    match head {
        // A global: two names, each on its own line.
        [b'c', rest @ ..] => {
            let mut lines = rest.split(|&byte| byte == b'\n');
            let is_name = |line: Option<&[u8]>| {
                line.is_some_and(|line| {
                    !line.is_empty()
                        && line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(byte))
                })
            };
            is_name(lines.next()) && is_name(lines.next()) && lines.next().is_some()
        }
        // MARK, and DICT or LIST; or the first item of a tuple.
        [b'(', next, ..] => b"dlt(])}cSVTUXFGIJKLMN".contains(next),
        // The value is put into the memo, filled, or left empty.
        [b'}' | b']', next, ..] => b"qrp(.XUTSVKJMINc])}".contains(next),
        _ => false,
    }
}

/// Returns `true` if it imports a global that creates weights. No text does so by chance.
fn names_weights(head: &[u8]) -> bool {
    let makers: [&[u8]; 3] = [
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy._core.multiarray\n_reconstruct\n",
        b"ctorch._utils\n_rebuild_",
    ];
    makers.iter().any(|maker| head.windows(maker.len()).any(|part| part == *maker))
}

/// Removes the calls of the loader, which have no effect: each was read as the storage that it returns.
pub(super) fn pass_storages(globals: &mut [Named]) {
    for named in globals.iter_mut().filter(|named| (&*named.module, &*named.name) == LOADER) {
        named.inert = true;
    }
}

fn is_loader(global: &Global) -> bool {
    (&*global.module, &*global.name) == LOADER
}

/// Reads the pickle. Its length does not matter: long byte strings stay in the source. But below protocol 3 bytes are
/// text, in protocol 0 one line of it, which is in memory twice for a while: as a value, and as the decoded bytes.
fn read_pickle(source: &dyn ReadAt, limits: &Limits) -> Result<Pickle, pickle::Error> {
    let limits = pickle::Limits {
        bytes: source.len().max(limits.pickle.bytes),
        line: limits.pickle.text,
        memory: (limits.pickle.memory / 4).saturating_mul(3),
        ..limits.pickle.clone()
    };
    pickle::read_outside(source, 0, &limits)
}

/// Reads a possible pickle of protocol 0 or 1: it is one if it can be read as one, or if it imports globals that create
/// weights.
pub(super) fn read_unmarked(source: &dyn ReadAt, limits: &Limits) -> Result<Contents, Error> {
    let head = head(source)?;
    let unknown = Error::NotCheckpoint { kind: Kind::Unknown };
    if !begins_unmarked(&head) {
        return Err(unknown);
    }
    match read(source, limits) {
        Err(error @ Error::Pickle { .. }) if !error.is_io() && !names_weights(&head) => Err(unknown),
        Err(Error::NotCheckpoint { .. }) if held(source, Kind::Unknown).is_none() => Err(unknown),
        done => done,
    }
}

/// Returns `true` if the file imports the class of joblib that stands for an array. The bytes of the array follow the
/// opcode that builds it, so no pickle reader gets past the first one.
fn is_joblib(source: &dyn ReadAt) -> io::Result<bool> {
    let head = source.read_vec_at(0, usize::try_from(source.len().min(IMPORTS)).unwrap_or(0))?;
    Ok([b"joblib.numpy_pickle".as_slice(), b"NumpyArrayWrapper"].iter().all(|name| head.find(name).is_some()))
}

/// Reads the pickle and finds the storages in it.
pub(super) fn read(source: &dyn ReadAt, limits: &Limits) -> Result<Contents, Error> {
    let record = "the pickle".to_owned();
    let pickle = match read_pickle(source, limits) {
        Ok(pickle) => pickle,
        Err(error) => {
            let error = Error::Pickle { record, source: error };
            let is_joblib = !error.is_io() && is_joblib(source)?;
            return Err(if is_joblib { Error::Foreign { kind: Foreign::Joblib } } else { error });
        }
    };
    // This is the pickle of an unpacked archive, whose storages are in other files.
    if pickle.values.iter().any(|(_, value)| matches!(value, Value::Persistent(_))) {
        return Err(Error::NotCheckpoint { kind: Kind::Pickle });
    }
    let mut loaded = Loaded::new(source, limits);
    loaded.all(&pickle)?;
    if !Torch::new(&pickle.values, &loaded.declared).holds_weight(pickle.root) {
        return Err(Error::NotCheckpoint { kind: Kind::Pickle });
    }
    if pickle.end != source.len() {
        return Err(Error::Plain { what: "trailing bytes after its end", at: pickle.end });
    }
    let Loaded { declared, storages, embedded, .. } = loaded;
    Ok(Contents { embedded, ..Contents::of(Format::Pickle, pickle, &record, declared, storages) })
}

/// The storages that are loaded from byte strings.
struct Loaded<'a> {
    source: &'a dyn ReadAt,
    limits: &'a Limits,
    declared: torch::Storages,
    storages: Vec<Storage>,
    embedded: Vec<Box<[u8]>>,
    /// The offset for the next bytes that are not in the source.
    end: u64,
    /// How many bytes were copied from the pickle.
    held: u64,
}

impl<'a> Loaded<'a> {
    fn new(source: &'a dyn ReadAt, limits: &'a Limits) -> Self {
        Self {
            source,
            limits,
            declared: torch::Storages::default(),
            storages: Vec::new(),
            embedded: Vec::new(),
            end: source.len(),
            held: 0,
        }
    }

    fn all(&mut self, pickle: &Pickle) -> Result<(), Error> {
        let values = &pickle.values;
        let is_named = |id: &Id| values.global(*id).is_some_and(is_loader);
        let loaders: HashSet<Id> = values.iter().map(|(id, _)| id).filter(is_named).collect();
        if loaders.is_empty() {
            return Ok(());
        }
        let nothing = torch::Storages::default();
        let torch = Torch::new(values, &nothing);
        let mut misused = loaders.contains(&pickle.root).then_some(pickle.root);
        for (id, value) in values.iter() {
            let mut uses = 0_usize;
            values.children(id, |child| uses = uses.saturating_add(loaders.contains(&child).into()));
            match value {
                Value::Object(object) if uses == 1 && loaders.contains(&object.callable) => {
                    self.one(&torch, id, object)?;
                }
                _ if uses > 0 => misused = misused.or(Some(id)),
                _ => {}
            }
        }
        match misused {
            Some(id) => Err(Error::Plain { what: "byte loader that is not called", at: values.offset(id) }),
            None => Ok(()),
        }
    }

    /// Reads one call.
    fn one(&mut self, torch: &Torch<'_>, id: Id, object: &Object) -> Result<(), Error> {
        let refused = || Error::Plain { what: "bytes that are not one storage of torch", at: object.made };
        let args = torch.values.tuple(object.args).filter(|_| object.is_plain_call());
        let &[bytes] = args.ok_or_else(refused)? else {
            return Err(refused());
        };
        let bytes = torch.byte_string(bytes).ok_or_else(refused)?;
        let (storage, declared) = match bytes {
            ByteString::Outside { at, len } => {
                let window = Window::new(self.source, at, len)?;
                let (storage, declared) = self.storage(&window).map_err(|error| told(error, refused()))?;
                (Storage { at: at.saturating_add(storage.at), ..storage }, declared)
            }
            held => {
                // Each byte string is in the pickle once, however often it is loaded.
                let len = held.len().ok_or_else(refused)?;
                self.held = self.held.saturating_add(len);
                if self.held > self.source.len() {
                    return Err(Error::Plain {
                        what: "bytes that are loaded again and again",
                        at: object.made,
                    });
                }
                let held = held.to_bytes().into_vec();
                let (storage, declared) = self.storage(&held).map_err(|error| told(error, refused()))?;
                let len = usize::try_from(storage.len).map_err(|_| refused())?;
                self.embedded.push(held.read_vec_at(storage.at, len)?.into());
                let at = self.end;
                self.end = at.saturating_add(storage.len);
                (Storage { at, ..storage }, declared)
            }
        };
        // Each call is a separate storage, whatever its key was when it was saved.
        let key = format!("at byte {}", object.made);
        let index = self.declared.declare(Declared { key: key.clone(), ..declared })?;
        self.storages.push(Storage { key, ..storage });
        self.declared.loaded.insert(id, index);
        Ok(())
    }

    /// Reads the one storage of a stream, which must have no other contents.
    fn storage(&self, stream: &dyn ReadAt) -> Result<(Storage, Declared), Error> {
        let refused = || Error::Plain { what: "more than a storage", at: 0 };
        let limits = Limits { pickle: legacy::small(&self.limits.pickle), ..self.limits.clone() };
        let Contents { pickle, declared, storages, .. } = legacy::read(stream, &limits)?;
        // The class of the storage is the only global in it.
        let count = |is: fn(&Value) -> bool| pickle.values.iter().filter(|(_, value)| is(value)).count();
        let is_called = count(|value| matches!(value, Value::Object(_))) > 0
            || count(|value| matches!(value, Value::Global(_))) > 1
            || !legacy::is_all_of_it(&pickle);
        let is_storage = matches!(pickle.values.get(pickle.root), Value::Persistent(_));
        match (<[_; 1]>::try_from(storages), <[_; 1]>::try_from(declared.list)) {
            (Ok([storage]), Ok([declared])) if is_storage && !is_called => Ok((storage, declared)),
            _ => Err(refused()),
        }
    }
}

/// Chooses the error for bytes that are not a storage: content that safetensors cannot store, and content that cannot
/// be read, keep their own errors.
fn told(error: Error, refused: Error) -> Error {
    match error {
        Error::StorageType { .. } => error,
        error if error.is_io() => error,
        _ => refused,
    }
}
