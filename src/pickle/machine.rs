//! Runs a pickle over symbols, as a stack machine.
//!
//! Invariant: `stack` never shrinks below the innermost mark except by an opcode that takes the mark, so no opcode
//! reaches the values of an outer level.

mod errors;

use super::input::Input;
use super::memo::Memo;
use super::value::{Arena, Call, Global, Id, Object, Value};
use super::{Error, Limits, Pickle, opcode};
use crate::read_at::ReadAt;

pub(super) struct Machine<'a> {
    pub(super) input: Input<'a>,
    pub(super) limits: &'a Limits,
    values: Arena,
    memo: Memo<u64, Id>,
    stack: Vec<Id>,
    /// The height of the stack at each open mark.
    marks: Vec<usize>,
    start: u64,
    /// `true` if the argument of a call may be something other than a tuple.
    bare: bool,
    /// `true` if byte strings stay in the source.
    pub(super) outside: bool,
    /// The end of the open frame.
    frame: Option<u64>,
    /// The current opcode and its offset.
    op: u8,
    at: u64,
}

impl<'a> Machine<'a> {
    pub(super) fn new(source: &'a dyn ReadAt, at: u64, limits: &'a Limits) -> Self {
        Self {
            input: Input::new(source, at, limits),
            limits,
            values: Arena::default(),
            memo: Memo::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            start: at,
            bare: false,
            outside: false,
            frame: None,
            op: 0,
            at,
        }
    }

    /// Allows calls whose argument is not a tuple.
    pub(super) fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    /// Leaves byte strings in the source.
    pub(super) fn outside(self) -> Self {
        Self { outside: true, ..self }
    }

    pub(super) fn run(mut self) -> Result<Pickle, Error> {
        for _ in 0..self.limits.opcodes {
            self.at = self.input.at();
            self.op = self.input.byte()?;
            if self.op == b'.' {
                return self.stop();
            }
            self.step()?;
            self.check_frame()?;
            if self.stack.len() > self.limits.stack {
                return Err(self.over("values on the stack", self.limits.stack));
            }
            if self.values.len() > self.limits.values {
                return Err(self.over("values", self.limits.values));
            }
            let memory = self.limits.memory_for(self.input.at().saturating_sub(self.start));
            if self.values.memory().saturating_add(self.memo.memory()) > memory {
                return Err(self.over("bytes of memory", memory));
            }
        }
        Err(Error::Limit { what: "opcodes", limit: self.limits.opcodes, at: self.at })
    }

    #[expect(clippy::too_many_lines, reason = "one arm per opcode")]
    fn step(&mut self) -> Result<(), Error> {
        match self.op {
            b'(' => self.mark(),
            b'0' => self.pop_value_or_mark(),
            b'1' => self.pop_mark().map(drop),
            b'2' => self.top().and_then(|id| self.push_id(id)),
            b'N' => self.push_constant(Value::None),
            0x88 => self.push_constant(Value::Bool(true)),
            0x89 => self.push_constant(Value::Bool(false)),
            b'I' => self.int(),
            b'J' => self.input.array().map(i32::from_le_bytes).and_then(|n| self.push(Value::Int(n.into()))),
            b'K' => self.input.byte().and_then(|n| self.push(Value::Int(n.into()))),
            b'M' => self.input.array().map(u16::from_le_bytes).and_then(|n| self.push(Value::Int(n.into()))),
            b'L' => self.long(),
            0x8a => self.input.byte().and_then(|len| self.long_bytes(len.into())),
            0x8b => self.length_i32().and_then(|len| self.long_bytes(len)),
            b'F' => self.float(),
            b'G' => self.input.array().map(f64::from_be_bytes).and_then(|n| self.push(Value::Float(n))),
            b'S' => self.string(),
            b'V' => self.unicode(),
            b'T' => self.length_i32().and_then(|len| self.text(len)),
            b'U' | 0x8c => self.input.byte().and_then(|len| self.text(len.into())),
            b'X' => self.length_u32().and_then(|len| self.text(len)),
            0x8d => self.length_u64().and_then(|len| self.text(len)),
            b'C' => self.input.byte().and_then(|len| self.bytes(len.into(), Value::Bytes)),
            b'B' => self.length_u32().and_then(|len| self.bytes(len, Value::Bytes)),
            0x8e => self.length_u64().and_then(|len| self.bytes(len, Value::Bytes)),
            0x96 => self.length_u64().and_then(|len| self.bytes(len, Value::ByteArray)),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Box::default())),
            0x8f => self.push(Value::Set(Vec::new())),
            b'l' => self.pop_mark().and_then(|items| self.push(Value::List(items))),
            b't' => self.pop_mark().and_then(|items| self.push(Value::Tuple(items.into()))),
            0x91 => self.pop_mark().and_then(|items| self.push(Value::FrozenSet(items.into()))),
            b'd' => self.pop_pairs().and_then(|pairs| self.push(Value::Dict(pairs))),
            0x85 => self.tuple::<1>(),
            0x86 => self.tuple::<2>(),
            0x87 => self.tuple::<3>(),
            b'a' => self.pop().and_then(|item| self.append(&[item])),
            b'e' => self.pop_mark().and_then(|items| self.append(&items)),
            0x90 => self.pop_mark().and_then(|items| self.add(&items)),
            b's' => self.set_item(),
            b'u' => self.pop_pairs().and_then(|pairs| self.set_items(&pairs)),
            b'c' => self.global(),
            0x93 => self.stack_global(),
            b'R' => self.call(Call::Function, false),
            0x81 => self.call(Call::New, false),
            0x92 => self.call(Call::New, true),
            b'b' => self.build(),
            b'Q' => self.pop().and_then(|id| self.push(Value::Persistent(id))),
            b'g' => self.text_index().and_then(|index| self.get(index)),
            b'h' => self.input.byte().and_then(|index| self.get(index.into())),
            b'j' => self.length_u32().and_then(|index| self.get(index)),
            b'p' => self.text_index().and_then(|index| self.put(index)),
            b'q' => self.input.byte().and_then(|index| self.put(index.into())),
            b'r' => self.length_u32().and_then(|index| self.put(index)),
            0x94 => self.put(u64::try_from(self.memo.len()).unwrap_or(u64::MAX)),
            0x80 => self.proto(),
            0x95 => self.open_frame(),
            byte => Err(match opcode::name(byte) {
                Some(opcode) => Error::RefusedOpcode { opcode, at: self.at },
                None => Error::UnknownOpcode { byte, at: self.at },
            }),
        }
    }

    fn stop(mut self) -> Result<Pickle, Error> {
        let root = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() {
            let left = self.stack.len().saturating_add(self.marks.len());
            return Err(Error::LeftOver { left, at: self.at });
        }
        let end = self.input.at();
        if self.frame.is_some_and(|frame| frame != end) {
            return Err(Error::Frame { at: self.at });
        }
        Ok(Pickle { values: self.values, root, end })
    }

    fn proto(&mut self) -> Result<(), Error> {
        let version = self.input.byte()?;
        if version > 5 || self.at != self.start {
            return Err(Error::Protocol { version, at: self.at });
        }
        Ok(())
    }

    fn open_frame(&mut self) -> Result<(), Error> {
        let len = self.length_u64()?;
        if self.frame.is_some() || len > self.input.left() {
            return Err(Error::Frame { at: self.at });
        }
        self.frame = Some(self.input.at().saturating_add(len));
        Ok(())
    }

    fn check_frame(&mut self) -> Result<(), Error> {
        let Some(end) = self.frame else { return Ok(()) };
        let at = self.input.at();
        if at > end {
            return Err(Error::Frame { at: self.at });
        }
        if at == end {
            self.frame = None;
        }
        Ok(())
    }

    // ---- the stack

    pub(super) fn push(&mut self, value: Value) -> Result<(), Error> {
        let id = self.values.push(value, self.at).ok_or_else(|| self.over("values", usize::MAX))?;
        self.push_id(id)
    }

    /// Pushes one of the values that exist once in Python, so that a list of a million of them needs little memory.
    fn push_constant(&mut self, value: Value) -> Result<(), Error> {
        let id = self.values.constant(value, self.at).ok_or_else(|| self.over("values", usize::MAX))?;
        self.push_id(id)
    }

    #[expect(clippy::unnecessary_wraps, reason = "every arm of the opcode match is a Result")]
    fn push_id(&mut self, id: Id) -> Result<(), Error> {
        self.stack.push(id);
        Ok(())
    }

    /// Returns the height below which the current opcode must not reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, Error> {
        if self.stack.len() <= self.floor() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    pub(super) fn top(&self) -> Result<Id, Error> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| self.underflow())
    }

    fn mark(&mut self) -> Result<(), Error> {
        if self.marks.len() >= self.limits.marks {
            return Err(self.over("open marks", self.limits.marks));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Error> {
        let Some(height) = self.marks.pop() else {
            return Err(Error::NoMark { opcode: self.name(), at: self.at });
        };
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn pop_value_or_mark(&mut self) -> Result<(), Error> {
        if self.stack.len() > self.floor() {
            return self.pop().map(drop);
        }
        self.marks.pop().map(drop).ok_or_else(|| self.underflow())
    }

    fn pop_pairs(&mut self) -> Result<Vec<(Id, Id)>, Error> {
        let items = self.pop_mark()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.operand("odd number of dict items"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn tuple<const N: usize>(&mut self) -> Result<(), Error> {
        let mut items = [None; N];
        for item in items.iter_mut().rev() {
            *item = Some(self.pop()?);
        }
        self.push(Value::Tuple(items.into_iter().flatten().collect()))
    }

    // ---- the memo

    pub(super) fn get(&mut self, index: u64) -> Result<(), Error> {
        let Some(&id) = self.memo.get(&index) else {
            return Err(Error::MemoMiss { opcode: self.name(), at: self.at, index });
        };
        self.push_id(id)
    }

    pub(super) fn put(&mut self, index: u64) -> Result<(), Error> {
        let id = self.top()?;
        self.memo.put(index, id);
        Ok(())
    }

    // ---- opcodes that build on values

    fn global(&mut self) -> Result<(), Error> {
        let module = self.name_line()?;
        let name = self.name_line()?;
        self.push(Value::Global(Box::new(Global { module, name })))
    }

    fn name_line(&mut self) -> Result<Box<str>, Error> {
        let line = self.input.line(self.limits.line)?;
        let name = std::str::from_utf8(line).ok().map(Into::into);
        name.ok_or_else(|| self.operand("a name that is not UTF-8"))
    }

    fn stack_global(&mut self) -> Result<(), Error> {
        let (name, module) = (self.pop()?, self.pop()?);
        let global = match (self.values.text(module), self.values.text(name)) {
            (Some(module), Some(name)) => Global { module: module.into(), name: name.into() },
            _ => return Err(self.operand("non-string name")),
        };
        self.push(Value::Global(Box::new(global)))
    }

    fn call(&mut self, call: Call, with_kwargs: bool) -> Result<(), Error> {
        let kwargs = if with_kwargs { Some(self.pop()?) } else { None };
        let args = self.pop()?;
        let callable = self.pop()?;
        if !self.bare || call == Call::New {
            self.expect(args, |value| matches!(value, Value::Tuple(_)))?;
        }
        // A legacy PyTorch file has classes in persistent IDs.
        let is_callable =
            |value: &Value| matches!(value, Value::Global(_) | Value::Object(_) | Value::Persistent(_));
        self.expect(callable, is_callable)?;
        if let Some(kwargs) = kwargs {
            self.expect(kwargs, |value| matches!(value, Value::Dict(_)))?;
        }
        let (items, appended) = (Vec::new(), Vec::new());
        self.push(Value::Object(Box::new(Object {
            call,
            callable,
            args,
            kwargs,
            state: None,
            items,
            appended,
            made: self.at,
            built: 0,
        })))
    }

    fn build(&mut self) -> Result<(), Error> {
        let state = self.pop()?;
        let target = self.top()?;
        let at = self.at;
        let before = self.values.change(target, at, |value| match value {
            Value::Object(object) => {
                object.built = at;
                Some(object.state.replace(state))
            }
            _ => None,
        });
        match before.flatten() {
            Some(None) => Ok(()),
            Some(Some(_)) => Err(self.operand("object built twice")),
            None => Err(self.wrong_type(target)),
        }
    }

    fn append(&mut self, items: &[Id]) -> Result<(), Error> {
        let target = self.top()?;
        self.extend(target, items, |value| match value {
            Value::List(list) => Some(list),
            Value::Object(object) => Some(&mut object.appended),
            _ => None,
        })
    }

    fn add(&mut self, items: &[Id]) -> Result<(), Error> {
        let target = self.top()?;
        self.extend(target, items, |value| match value {
            Value::Set(set) => Some(set),
            Value::Object(object) => Some(&mut object.appended),
            _ => None,
        })
    }

    fn set_item(&mut self) -> Result<(), Error> {
        let (value, key) = (self.pop()?, self.pop()?);
        self.set_items(&[(key, value)])
    }

    fn set_items(&mut self, pairs: &[(Id, Id)]) -> Result<(), Error> {
        let target = self.top()?;
        self.extend(target, pairs, |value| match value {
            Value::Dict(dict) => Some(dict),
            Value::Object(object) => Some(&mut object.items),
            _ => None,
        })
    }

    /// Adds items to the list in which a value keeps them.
    fn extend<T: Copy>(
        &mut self,
        target: Id,
        items: &[T],
        list: impl FnOnce(&mut Value) -> Option<&mut Vec<T>>,
    ) -> Result<(), Error> {
        let done = self
            .values
            .change(target, self.at, |value| list(value).map(|list| list.extend_from_slice(items)));
        done.flatten().ok_or_else(|| self.wrong_type(target))
    }
}
