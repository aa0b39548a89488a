//! A walk over what may be a pickle, as lenient as any loader: it finds every global that some loader would look up,
//! before the bytes turn out to be broken or to be no pickle at all.
//!
//! The strict machine of `pickle/` refuses what loaders disagree on, and then says nothing of the rest. This one keeps a
//! real stack, marks and memo, but of values only what a global can be made of: text, globals and results of calls.
//! `INST`, `OBJ`, `PERSID`, the extension registry, a second `PROTO` and numbers in any spelling are taken.
//!
//! Where an operand crosses the end of its frame, versions of `CPython` go on at different bytes (python/cpython#154848):
//! [`Frames`] says which reading this walk takes, and [`Walk::crossed`] that there is another.
//!
//! Invariant: time and memory are in proportion to the bytes read, within the limits; nothing is looked up.

mod operands;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::pickle::{Error, Input, Limits, opcode_name};
use crate::read_at::ReadAt;

/// Bytes of a string that are kept; no importable name is longer.
const TEXT: usize = 256;
/// Distinct globals that are kept of one pickle.
const GLOBALS: usize = 10_000;
/// What a name is called that is computed while the pickle runs.
pub(super) const COMPUTED: &str = "(computed)";
/// The module that a code of the extension registry is given.
pub(super) const EXTENSION: &str = "(extension registry)";

/// Where the operand of an opcode is that crosses the end of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// Where it stands.
    Ignored,
    /// Behind the frame, whose rest is lost.
    Skipped,
    /// The same, but for strings of bytes.
    TextSkipped,
}

/// A global, and the first opcode that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) module: Rc<str>,
    pub(super) name: Rc<str>,
    pub(super) at: u64,
}

/// What a walk found.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Walk {
    /// Each once, in the order of the bytes.
    pub(super) globals: Vec<Named>,
    /// Opcodes that ran.
    pub(super) opcodes: u64,
    /// Was there a `PROTO`?
    pub(super) proto: bool,
    /// Would something have been called?
    pub(super) calls: bool,
    /// After `STOP`.
    pub(super) end: Option<u64>,
    /// Was just one value left at `STOP`?
    pub(super) single: bool,
    /// Did an operand cross the end of its frame?
    pub(super) crossed: bool,
    /// Why it ended before `STOP`.
    pub(super) broken: Option<Error>,
}

#[derive(Clone)]
enum Item {
    Text(Rc<str>),
    Global,
    /// The result of a call, which may be anything.
    Made,
    /// What only some loaders have: of a persistent id, or of the extension registry. Noise has them, too, so that a
    /// call of one is no evidence.
    Given,
    Plain,
}

struct Walker<'a> {
    input: Input<'a>,
    limits: &'a Limits,
    frames: Frames,
    frame: Option<u64>,
    stack: Vec<Item>,
    marks: Vec<usize>,
    memo: HashMap<u64, Item>,
    seen: HashSet<(Rc<str>, Rc<str>)>,
    walk: Walk,
    memory: usize,
    op: u8,
    at: u64,
}

/// Walks from the byte `at`.
pub(super) fn walk(source: &dyn ReadAt, at: u64, limits: &Limits, frames: Frames) -> Walk {
    let mut walker = Walker {
        input: Input::new(source, at, limits),
        limits,
        frames,
        frame: None,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        seen: HashSet::new(),
        walk: Walk::default(),
        memory: 0,
        op: 0,
        at,
    };
    walker.walk.broken = walker.run().err();
    walker.walk
}

impl Walker<'_> {
    fn run(&mut self) -> Result<(), Error> {
        loop {
            if self.walk.opcodes >= self.limits.opcodes {
                return Err(self.over("opcodes", self.limits.opcodes));
            }
            self.at = self.input.at();
            self.op = self.operand(1)?.first().copied().unwrap_or_default();
            if self.op == b'.' {
                self.pop()?;
                self.walk.opcodes = self.walk.opcodes.saturating_add(1);
                self.walk.single = self.stack.is_empty() && self.marks.is_empty();
                self.walk.end = Some(self.input.at());
                return Ok(());
            }
            self.step()?;
            self.walk.opcodes = self.walk.opcodes.saturating_add(1);
            let values = self.stack.len().saturating_add(self.memo.len());
            if values > self.limits.values || self.memory > self.limits.memory {
                return Err(self.over("values", u64::try_from(self.limits.values).unwrap_or(u64::MAX)));
            }
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        match self.op {
            b'(' => self.mark(),
            b'0' => self.pop_value_or_mark(),
            b'1' => self.pop_mark().map(drop),
            b'2' => {
                let top = self.top()?.clone();
                self.push(top)
            }
            b'N' | 0x88 | 0x89 | b']' | b'}' | b')' | 0x8f | 0x97 => self.push(Item::Plain),
            b'I' | b'L' => self.number(|byte| byte.is_ascii_hexdigit() || b"xXoOlL_+-".contains(&byte)),
            b'F' => self.number(|byte| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte)),
            b'K' => self.plain(1),
            b'M' => self.plain(2),
            b'J' => self.plain(4),
            b'G' => self.plain(8),
            0x8a => self.length(1).and_then(|len| self.plain(len)),
            0x8b => self.length(4).and_then(|len| self.plain(len)),
            b'S' => self.string(),
            b'V' => self.unicode(),
            b'U' | 0x8c => self.length(1).and_then(|len| self.text(len)),
            b'T' | b'X' => self.length(4).and_then(|len| self.text(len)),
            0x8d => self.length(8).and_then(|len| self.text(len)),
            b'C' => self.length(1).and_then(|len| self.bytes(len)),
            b'B' => self.length(4).and_then(|len| self.bytes(len)),
            0x8e | 0x96 => self.length(8).and_then(|len| self.bytes(len)),
            b'l' | b't' | 0x91 | b'd' => self.pop_mark().and_then(|_| self.push(Item::Plain)),
            0x85 => self.take(1).and_then(|()| self.push(Item::Plain)),
            0x86 => self.take(2).and_then(|()| self.push(Item::Plain)),
            0x87 => self.take(3).and_then(|()| self.push(Item::Plain)),
            b'a' => self.take(1).and_then(|()| self.top().map(drop)),
            b's' => self.take(2).and_then(|()| self.top().map(drop)),
            b'e' | b'u' | 0x90 => self.pop_mark().and_then(|_| self.top().map(drop)),
            b'c' => self.global(),
            0x93 => self.stack_global(),
            b'R' | 0x81 => self.call(1),
            0x92 => self.call(2),
            b'i' => self.inst(),
            b'o' => self.obj(),
            b'b' => self.build(),
            b'P' => self.line().and_then(|_| self.push(Item::Given)),
            b'Q' => self.pop().and_then(|_| self.push(Item::Given)),
            0x82 => self.length(1).and_then(|code| self.extension(code)),
            0x83 => self.length(2).and_then(|code| self.extension(code)),
            0x84 => self.length(4).and_then(|code| self.extension(code)),
            b'g' => self.text_index().and_then(|index| self.get(index)),
            b'h' => self.length(1).and_then(|index| self.get(index)),
            b'j' => self.length(4).and_then(|index| self.get(index)),
            b'p' => self.text_index().and_then(|index| self.put(index)),
            b'q' => self.length(1).and_then(|index| self.put(index)),
            b'r' => self.length(4).and_then(|index| self.put(index)),
            0x94 => self.put(u64::try_from(self.memo.len()).unwrap_or(u64::MAX)),
            0x80 => self.proto(),
            0x95 => self.open_frame(),
            0x98 => self.top().map(drop),
            byte => Err(Error::UnknownOpcode { byte, at: self.at }),
        }
    }

    // ---- the stack

    fn push(&mut self, item: Item) -> Result<(), Error> {
        if self.stack.len() >= self.limits.stack {
            return Err(
                self.over("values on the stack", u64::try_from(self.limits.stack).unwrap_or(u64::MAX))
            );
        }
        self.stack.push(item);
        Ok(())
    }

    fn push_text(&mut self, text: String) -> Result<(), Error> {
        let text: String = if text.len() > TEXT { text.chars().take(TEXT).collect() } else { text };
        self.memory = self.memory.saturating_add(text.len()).saturating_add(size_of::<Item>());
        self.push(Item::Text(text.into()))
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Item, Error> {
        let item = if self.stack.len() > self.floor() { self.stack.pop() } else { None };
        item.ok_or_else(|| self.underflow())
    }

    fn take(&mut self, count: usize) -> Result<(), Error> {
        for _ in 0..count {
            self.pop()?;
        }
        Ok(())
    }

    fn top(&self) -> Result<&Item, Error> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().ok_or_else(|| self.underflow())
    }

    fn mark(&mut self) -> Result<(), Error> {
        if self.marks.len() >= self.limits.stack {
            return Err(self.over("open marks", u64::try_from(self.limits.stack).unwrap_or(u64::MAX)));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_mark(&mut self) -> Result<Vec<Item>, Error> {
        let height = self.marks.pop().ok_or(Error::NoMark { opcode: self.name(), at: self.at })?;
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn pop_value_or_mark(&mut self) -> Result<(), Error> {
        if self.stack.len() > self.floor() {
            return self.pop().map(drop);
        }
        self.marks.pop().map(drop).ok_or_else(|| self.underflow())
    }

    fn get(&mut self, index: u64) -> Result<(), Error> {
        let missing = Error::MemoMiss { opcode: self.name(), at: self.at, index };
        let item = self.memo.get(&index).cloned().ok_or(missing)?;
        self.push(item)
    }

    fn put(&mut self, index: u64) -> Result<(), Error> {
        let item = self.top()?.clone();
        self.memo.insert(index, item);
        Ok(())
    }

    // ---- globals and calls

    fn named(&mut self, module: Rc<str>, name: Rc<str>) -> Result<(), Error> {
        if self.seen.len() < GLOBALS && self.seen.insert((module.clone(), name.clone())) {
            self.walk.globals.push(Named { module, name, at: self.at });
        } else if self.seen.len() >= GLOBALS {
            return Err(self.over("globals", u64::try_from(GLOBALS).unwrap_or(u64::MAX)));
        }
        self.push(Item::Global)
    }

    fn lines(&mut self) -> Result<(Rc<str>, Rc<str>), Error> {
        let module = String::from_utf8(self.line()?).map_err(|_| self.wrong("a name that is not UTF-8"))?;
        let name = String::from_utf8(self.line()?).map_err(|_| self.wrong("a name that is not UTF-8"))?;
        Ok((module.into(), name.into()))
    }

    fn global(&mut self) -> Result<(), Error> {
        let (module, name) = self.lines()?;
        self.named(module, name)
    }

    fn stack_global(&mut self) -> Result<(), Error> {
        let (name, module) = (self.pop()?, self.pop()?);
        let text = |item| match item {
            Item::Text(text) => Some(text),
            Item::Made | Item::Given => Some(COMPUTED.into()),
            Item::Global | Item::Plain => None,
        };
        match (text(module), text(name)) {
            (Some(module), Some(name)) => self.named(module, name),
            _ => Err(self.wrong("a name that is not text")),
        }
    }

    fn extension(&mut self, code: u64) -> Result<(), Error> {
        self.named(EXTENSION.into(), code.to_string().into())?;
        self.pop()?;
        self.push(Item::Given)
    }

    /// A call of what lies below `arguments` values.
    fn call(&mut self, arguments: usize) -> Result<(), Error> {
        self.take(arguments)?;
        let callable = self.pop()?;
        self.called(&callable)?;
        self.push(Item::Made)
    }

    fn called(&mut self, callable: &Item) -> Result<(), Error> {
        match callable {
            Item::Global | Item::Made => self.walk.calls = true,
            Item::Given => {}
            Item::Text(_) | Item::Plain => return Err(self.wrong("nothing that can be called")),
        }
        Ok(())
    }

    fn inst(&mut self) -> Result<(), Error> {
        let (module, name) = self.lines()?;
        self.pop_mark()?;
        self.named(module, name)?;
        self.walk.calls = true;
        self.pop()?;
        self.push(Item::Made)
    }

    fn obj(&mut self) -> Result<(), Error> {
        let items = self.pop_mark()?;
        let callable = items.first().ok_or_else(|| self.underflow())?;
        self.called(callable)?;
        self.push(Item::Made)
    }

    /// The state of a module, a function or an object is set, which can call `__setstate__`.
    fn build(&mut self) -> Result<(), Error> {
        self.pop()?;
        self.walk.calls |= matches!(self.top()?, Item::Global | Item::Made);
        Ok(())
    }

    // ---- errors

    fn name(&self) -> &'static str {
        opcode_name(self.op).unwrap_or("?")
    }

    fn over(&self, what: &'static str, limit: u64) -> Error {
        Error::Limit { what, limit, at: self.at }
    }

    fn underflow(&self) -> Error {
        Error::StackUnderflow { opcode: self.name(), at: self.at }
    }

    fn wrong(&self, what: &'static str) -> Error {
        Error::Operand { opcode: self.name(), at: self.at, what }
    }
}
