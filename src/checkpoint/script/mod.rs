//! Reads TorchScript archives (`torch.jit.save`): finds which attributes of which objects are the state dict.
//!
//! ```text
//! ROOT/data.pkl, ROOT/data/KEY    the objects, each a class and a dict of its attributes, and their storages
//! ROOT/code/__torch__/a/b.py      the classes of `__torch__.a.b`; those of `__torch__` are in ROOT/code/__torch__.py
//! ROOT/constants.pkl, constants/  the tensors of the code, which are not state
//! ROOT/*.pkl, code/*.debug_pkl    more pickles, of which only the globals are read
//! ```
//!
//! Invariant: code is read as text and never run; a class is looked up only where torch looks it up. The module does
//! not know objects: `select` walks them. Source: torch's `csrc/jit/serialization/import.cpp`.

mod declared;
mod lines;

use std::collections::{HashMap, HashSet};

use self::declared::Room;
pub(super) use self::declared::{Attribute, Class, ClassKind, Role, Type};
use super::{Error, Limits, Named};
use crate::pickle::{self, Arena, Call, Global, Value};

/// Classes that are written in C++, not in the archive; packed weights are among them.
const NATIVE: &str = "__torch__.torch.classes.";

/// The declarations in the code of an archive, and its other contents besides the objects.
pub(super) struct Script {
    classes: HashMap<String, Class>,
    /// The number of attributes of all objects and of items of all dicts.
    pub(super) pairs: u64,
    /// `true` if the constants of the code contain tensors.
    pub(super) has_constants: bool,
    /// The classes and functions that the other pickles name.
    pub(super) globals: Vec<Named>,
}

/// The records of an archive, by their names below its root.
pub(super) trait Records {
    /// The root.
    fn root(&self) -> &str;
    /// Returns the names with this ending, in order.
    fn ending(&self, end: &str) -> Vec<String>;
    /// Returns the length of a record; `None` if it is missing.
    fn len(&self, name: &str) -> Option<u64>;
    /// Its bytes.
    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Error>;
}

/// How many more files and bytes may be read.
struct Budget {
    files: u32,
    left: u64,
    limit: u64,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self { files: MAX_FILES, left: limit, limit }
    }

    /// Reads a record, if it exists.
    fn take(&mut self, records: &mut dyn Records, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(len) = records.len(name) else { return Ok(None) };
        let files = self.files.checked_sub(1);
        self.files = files.ok_or(Error::Limit { what: "files of code", limit: MAX_FILES.into() })?;
        let left = self.left.checked_sub(len).filter(|_| len <= MAX_FILE);
        self.left = left.ok_or(Error::Limit { what: "bytes of code", limit: self.limit.min(MAX_FILE) })?;
        records.bytes(name).map(Some)
    }
}

/// The most bytes of one file of code, or of one pickle next to it.
const MAX_FILE: u64 = 32 << 20;

/// The most files of code, and the most pickles next to it, that are read.
const MAX_FILES: u32 = 1 << 15;

/// The most classes that the code may have.
const MAX_CLASSES: usize = 200_000;

impl Script {
    /// Reads the classes of all objects of a pickle, and the globals in the other pickles of the archive: at most
    /// `limit` bytes of code, and as many of pickles.
    pub(super) fn read(
        records: &mut dyn Records,
        values: &Arena,
        limits: &Limits,
        limit: u64,
    ) -> Result<Self, Error> {
        let len = |value: &Value| if let Value::Dict(pairs) = value { pairs.len() } else { 0 };
        let pairs = values.iter().fold(0_usize, |sum, (_, value)| sum.saturating_add(len(value)));
        let mut script = Self {
            classes: HashMap::new(),
            pairs: u64::try_from(pairs).unwrap_or(u64::MAX),
            has_constants: false,
            globals: Vec::new(),
        };
        // No class has more attributes than its objects have items or, if code creates them, values.
        let room = Room { classes: MAX_CLASSES, attributes: pairs.saturating_add(values.len()) };
        script.read_classes(records, values, room, limit)?;
        script.read_names(records, limits, limit)?;
        Ok(script)
    }

    /// Returns the class of a qualified name, if the code of the archive declares it.
    pub(super) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    fn read_classes(
        &mut self,
        records: &mut dyn Records,
        values: &Arena,
        mut room: Room,
        limit: u64,
    ) -> Result<(), Error> {
        let asked: HashSet<String> = values.iter().filter_map(|(_, value)| made(values, value)).collect();
        let mut budget = Budget::new(limit);
        let mut waiting: Vec<String> = asked.iter().cloned().collect();
        waiting.sort_unstable();
        let mut seen = HashSet::new();
        while let Some(name) = waiting.pop() {
            let Some((qualifier, _)) = name.rsplit_once('.').filter(|_| is_of_archive(&name)) else {
                continue;
            };
            if !seen.insert(qualifier.to_owned()) {
                continue;
            }
            let path = format!("code/{}.py", qualifier.replace('.', "/"));
            let Some(bytes) = budget.take(records, &path)? else { continue };
            let record = [records.root(), &path].join("/");
            let wrong = |line, what| Error::ScriptCode { record: record.clone(), line, what };
            let code = String::from_utf8(bytes).map_err(|_| wrong(1, "text that is not UTF-8"))?;
            let is_asked = |class: &str| asked.contains(&[qualifier, class].join("."));
            let found = declared::classes(&code, is_asked, &mut room);
            for (class, declared) in found.map_err(|found| wrong(found.line, found.what))? {
                let types = declared.attributes.iter().filter_map(|attribute| match &attribute.of {
                    Type::Class(name) => Some(name.to_string()),
                    _ => None,
                });
                waiting.extend(types);
                self.classes.insert([qualifier, class].join("."), declared);
            }
        }
        Ok(())
    }

    /// Reads the other pickles, which contain no state, so that none of their globals is missed.
    fn read_names(&mut self, records: &mut dyn Records, limits: &Limits, limit: u64) -> Result<(), Error> {
        let mut budget = Budget::new(limit);
        for name in records.ending("pkl").into_iter().filter(|name| name != "data.pkl") {
            let bytes = budget.take(records, &name)?.unwrap_or_default();
            let record = [records.root(), &name].join("/");
            let read = pickle::read_bare(&bytes, 0, &limits.pickle);
            let pickle = read.map_err(|source| Error::Pickle { record: record.clone(), source })?;
            let names = Named::all(&pickle, &record);
            if name == "constants.pkl" {
                let holds = |named: &Named| named.module == "torch._utils" || is_native(&named.module);
                self.has_constants = names.iter().any(holds);
            }
            self.globals.extend(names);
        }
        Ok(())
    }
}

/// Returns the qualified name of the class of an object.
fn made(values: &Arena, value: &Value) -> Option<String> {
    match value {
        Value::Object(object) if object.call == Call::New => Some(qualified(values.global(object.callable)?)),
        _ => None,
    }
}

/// Returns `MODULE.NAME`, as torch joins the two before it looks up a class.
pub(super) fn qualified(class: &Global) -> String {
    [&*class.module, &*class.name].join(".")
}

/// Returns `true` for the name of a class that is written in C++.
pub(super) fn is_native(name: &str) -> bool {
    name.starts_with(NATIVE) || NATIVE.strip_suffix('.') == Some(name)
}

/// Returns `true` for a name that a class of the archive can have.
fn is_of_archive(name: &str) -> bool {
    name.starts_with("__torch__.") && !is_native(name) && name.split('.').all(declared::is_identifier)
}
