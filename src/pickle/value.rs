//! Stores the values of a pickle in an arena: [`Id`] names a node, [`Value`] is its content.
//!
//! Nodes are in chunks, so the arena copies no more than the first chunk while it grows, and has unused memory in only one. It counts the
//! memory of the nodes ([`Arena::memory`]) as the allocators of the C libraries use it.
//!
//! Invariant: a node keeps its number and is never removed, so an [`Id`] stays valid.

use std::fmt;

/// The number of a node in its [`Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

impl Id {
    /// Returns the number of the node in its arena, as an index of other tables.
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A value of a pickle.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// An integer of 65 to 128 bits.
    Big(Box<i128>),
    /// A larger integer, whose value is not kept.
    Huge,
    /// A float.
    Float(f64),
    /// Text. A Python 2 `str` that is UTF-8 is text, too.
    Str(Box<str>),
    /// Bytes, a Python 2 `str` that is not UTF-8, or text with lone surrogates.
    Bytes(Box<[u8]>),
    /// A `bytearray`.
    ByteArray(Box<[u8]>),
    /// Bytes or a `bytearray` that stayed in the source ([`read_outside`](super::read_outside)).
    Outside {
        /// The offset of the first byte.
        at: u64,
        /// The number of bytes.
        len: u64,
    },
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Box<[Id]>),
    /// A dict: its pairs in the order in which they were set; a key can occur twice.
    Dict(Vec<(Id, Id)>),
    /// A set.
    Set(Vec<Id>),
    /// A frozenset.
    FrozenSet(Box<[Id]>),
    /// A class or a function, by name.
    Global(Box<Global>),
    /// A call that was not made, as its result.
    Object(Box<Object>),
    /// A persistent ID: the value that `persistent_load` would receive.
    Persistent(Id),
}

impl Value {
    /// The name of the type in messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Big(_) | Self::Huge => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) | Self::Outside { .. } => "bytes",
            Self::ByteArray(_) => "bytearray",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Set(_) => "set",
            Self::FrozenSet(_) => "frozenset",
            Self::Global(_) => "class or function",
            Self::Object(_) => "object",
            Self::Persistent(_) => "persistent ID",
        }
    }

    /// Returns how many bytes of memory the value uses in addition to its node.
    fn memory(&self) -> usize {
        match self {
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Huge
            | Self::Float(_)
            | Self::Outside { .. }
            | Self::Persistent(_) => 0,
            Self::Big(_) => allocated::<i128>(1),
            Self::Str(text) => allocated::<u8>(text.len()),
            Self::Bytes(bytes) | Self::ByteArray(bytes) => allocated::<u8>(bytes.len()),
            Self::List(items) | Self::Set(items) => allocated::<Id>(items.capacity()),
            Self::Tuple(items) | Self::FrozenSet(items) => allocated::<Id>(items.len()),
            Self::Dict(pairs) => allocated::<(Id, Id)>(pairs.capacity()),
            Self::Global(global) => allocated::<Global>(1)
                .saturating_add(allocated::<u8>(global.module.len()))
                .saturating_add(allocated::<u8>(global.name.len())),
            Self::Object(object) => allocated::<Object>(1)
                .saturating_add(allocated::<(Id, Id)>(object.items.capacity()))
                .saturating_add(allocated::<Id>(object.appended.capacity())),
        }
    }
}

/// Returns what an allocator uses for `count` values of a type: some bytes of its own, in steps of 16, at least 32.
fn allocated<T>(count: usize) -> usize {
    match count.saturating_mul(size_of::<T>()) {
        0 => 0,
        bytes => bytes.saturating_add(8).next_multiple_of(16).max(32),
    }
}

/// A class or a function, by name. Nothing is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Global {
    /// The module, dotted.
    pub module: Box<str>,
    /// The name in the module; dotted if the pickle spells it so.
    pub name: Box<str>,
}

impl fmt::Display for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// How a pickle creates an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `callable(*args)`: `REDUCE`.
    Function,
    /// `class.__new__(class, *args, **kwargs)`: `NEWOBJ`, `NEWOBJ_EX`.
    New,
}

/// A call that was not made, and the operations on its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// How it would be made.
    pub call: Call,
    /// The callable or class.
    pub callable: Id,
    /// The arguments: a tuple, except with [`read_bare`](super::read_bare).
    pub args: Id,
    /// The keyword arguments, a dict (only `NEWOBJ_EX`).
    pub kwargs: Option<Id>,
    /// The state that `BUILD` set.
    pub state: Option<Id>,
    /// The items that `SETITEM(S)` set.
    pub items: Vec<(Id, Id)>,
    /// The values that `APPEND(S)` and `ADDITEMS` added.
    pub appended: Vec<Id>,
    /// The offset of the opcode of the call.
    pub made: u64,
    /// The offset of `BUILD`.
    pub built: u64,
}

impl Object {
    /// Returns `true` if it has no keyword arguments, items or appended values.
    pub fn has_only_args_and_state(&self) -> bool {
        self.kwargs.is_none() && self.items.is_empty() && self.appended.is_empty()
    }

    /// Returns `true` for the result of a function, unchanged, whose arguments have no names.
    pub(crate) fn is_plain_call(&self) -> bool {
        self.call == Call::Function && self.state.is_none() && self.has_only_args_and_state()
    }
}

#[derive(Debug)]
struct Node {
    value: Value,
    at: u64,
}

/// The number of nodes in a chunk, and in the first one at the beginning: most pickles have few values.
const CHUNK: usize = 1 << 14;
const FIRST: usize = 1 << 8;

/// All values of one pickle.
#[derive(Debug, Default)]
pub struct Arena {
    chunks: Vec<Vec<Node>>,
    len: usize,
    memory: usize,
    /// `None`, `True`, `False`, after their first use.
    constants: Vec<Id>,
}

impl Arena {
    /// Returns the number of nodes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many bytes of memory the nodes use, with everything that they own.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the value at `id`.
    pub fn get(&self, id: Id) -> &Value {
        self.node(id).map_or(&Value::None, |node| &node.value)
    }

    /// Returns the offset of the opcode that made the value or changed it last. A value that a call or `BUILD` copied
    /// must not have changed after that.
    pub fn offset(&self, id: Id) -> u64 {
        self.node(id).map_or(0, |node| node.at)
    }

    /// Returns all values, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Value)> {
        (0..).map(Id).zip(self.chunks.iter().flatten().map(|node| &node.value))
    }

    /// Returns the text at `id`, if it is text.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the global at `id`, if it is one.
    pub fn global(&self, id: Id) -> Option<&Global> {
        match self.get(id) {
            Value::Global(global) => Some(global),
            _ => None,
        }
    }

    /// Returns the global that an object would be created by, if it is one.
    pub fn callable(&self, id: Id) -> Option<&Global> {
        match self.get(id) {
            Value::Object(object) => self.global(object.callable),
            _ => None,
        }
    }

    /// Returns the elements of a tuple.
    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the elements of a list or a tuple.
    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::List(items) => Some(items),
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Visits every value that the value at `id` contains directly.
    pub fn children(&self, id: Id, mut visit: impl FnMut(Id)) {
        match self.get(id) {
            Value::List(items) | Value::Set(items) => items.iter().copied().for_each(visit),
            Value::Tuple(items) | Value::FrozenSet(items) => items.iter().copied().for_each(visit),
            Value::Dict(pairs) => pairs.iter().for_each(|&(key, value)| {
                visit(key);
                visit(value);
            }),
            Value::Object(object) => {
                [Some(object.callable), Some(object.args), object.kwargs, object.state]
                    .into_iter()
                    .flatten()
                    .for_each(&mut visit);
                object.items.iter().for_each(|&(key, value)| {
                    visit(key);
                    visit(value);
                });
                object.appended.iter().copied().for_each(visit);
            }
            Value::Persistent(inner) => visit(*inner),
            _ => {}
        }
    }

    pub(super) fn push(&mut self, value: Value, at: u64) -> Option<Id> {
        let id = u32::try_from(self.len).ok()?;
        self.memory = self.memory.saturating_add(size_of::<Node>()).saturating_add(value.memory());
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(if self.len == 0 { FIRST } else { CHUNK }));
        }
        self.chunks.last_mut()?.push(Node { value, at });
        self.len = self.len.saturating_add(1);
        Some(Id(id))
    }

    /// Returns the one node of a value that never changes; its offset is that of its first use.
    pub(super) fn constant(&mut self, value: Value, at: u64) -> Option<Id> {
        let known = self.constants.iter().copied().find(|&id| *self.get(id) == value);
        if known.is_some() {
            return known;
        }
        let id = self.push(value, at)?;
        self.constants.push(id);
        Some(id)
    }

    /// Changes the value at `id`, if it exists, by the opcode at `at`.
    pub(super) fn change<T>(&mut self, id: Id, at: u64, change: impl FnOnce(&mut Value) -> T) -> Option<T> {
        let node = self.chunks.get_mut(id.index() / CHUNK)?.get_mut(id.index() % CHUNK)?;
        let before = node.value.memory();
        node.at = at;
        let changed = change(&mut node.value);
        self.memory = self.memory.saturating_add(node.value.memory()).saturating_sub(before);
        Some(changed)
    }

    fn node(&self, id: Id) -> Option<&Node> {
        self.chunks.get(id.index() / CHUNK)?.get(id.index() % CHUNK)
    }
}
