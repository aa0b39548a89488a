//! Keeps the stack, the marks and the memo of a walk.

use std::rc::Rc;

use super::item::{Item, Named};
use super::numbers::Index;
use super::{TEXT, Uses};
use crate::pickle::{Error, Limits, Memo, opcode_name};

/// Values of a tuple that are read; a longer tuple is neither a known form of arguments nor the shape of an array.
const TUPLE: usize = 32;

/// The memo, and the memory of its values: a reader that reads another pickle still has them.
#[derive(Default)]
pub(in super::super) struct KeptMemo {
    memo: Memo<Index, Item>,
    memory: usize,
}

/// The values that a reader keeps between opcodes.
pub(super) struct Stack {
    items: Vec<Item>,
    marks: Vec<usize>,
    memo: Memo<Index, Item>,
    memory: usize,
    limit: usize,
    /// How the pickle used the carriers.
    pub(super) uses: Uses,
    /// See [`super::Walk::traits`].
    pub(super) traits: u64,
    /// `true` if a value was taken from the memo.
    pub(super) gets: bool,
    /// `true` if a value was put there by the number of values.
    pub(super) memoizes: bool,
    /// The current opcode and its position.
    pub(super) op: u8,
    pub(super) at: u64,
}

impl Stack {
    pub(super) fn new(limits: &Limits, at: u64, kept: KeptMemo) -> Self {
        Self {
            items: Vec::new(),
            marks: Vec::new(),
            memo: kept.memo,
            memory: kept.memory,
            limit: limits.stack,
            uses: Uses::default(),
            traits: 0,
            gets: false,
            memoizes: false,
            op: 0,
            at,
        }
    }

    /// Returns the values that the next pickle of the same reader finds.
    pub(super) fn into_kept(self) -> KeptMemo {
        KeptMemo { memo: self.memo, memory: self.memory }
    }

    /// Returns `true` if the stack is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.marks.is_empty()
    }

    pub(super) fn has_mark(&self) -> bool {
        !self.marks.is_empty()
    }

    pub(super) fn trait_seen(&mut self) {
        self.traits = self.traits.saturating_add(1);
    }

    /// Checks that the stack has no more values than a pickle may have.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), Error> {
        let values = self.items.len().saturating_add(self.memo.len());
        if values > limits.values || self.memory > limits.memory {
            return Err(self.over("values", limits.values));
        }
        Ok(())
    }

    pub(super) fn push(&mut self, item: Item) -> Result<(), Error> {
        if self.items.len() >= self.limit {
            return Err(self.over("values on the stack", self.limit));
        }
        self.items.push(item);
        Ok(())
    }

    /// Pushes the first characters of a text.
    pub(super) fn push_first(&mut self, text: &str) -> Result<(), Error> {
        let end = if text.len() > TEXT { text.char_indices().nth(TEXT) } else { None };
        self.push_text(end.and_then(|(end, _)| text.get(..end)).unwrap_or(text).into())
    }

    pub(super) fn push_text(&mut self, text: Rc<str>) -> Result<(), Error> {
        self.memory = self.memory.saturating_add(text.len()).saturating_add(size_of::<Item>());
        self.push(Item::Text(text))
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Item, Error> {
        let item = if self.items.len() > self.floor() { self.items.pop() } else { None };
        item.ok_or_else(|| self.underflow())
    }

    /// Removes values that become part of another value.
    pub(super) fn take(&mut self, count: usize) -> Result<(), Error> {
        for _ in 0..count {
            let item = self.pop()?;
            self.moved(&item);
        }
        Ok(())
    }

    pub(super) fn top(&self) -> Result<&Item, Error> {
        let above = self.items.get(self.floor()..).unwrap_or_default();
        above.last().ok_or_else(|| self.underflow())
    }

    pub(super) fn mark(&mut self) -> Result<(), Error> {
        if self.marks.len() >= self.limit {
            return Err(self.over("open marks", self.limit));
        }
        self.marks.push(self.items.len());
        Ok(())
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Item>, Error> {
        let height = self.take_mark()?;
        Ok(self.items.split_off(height))
    }

    /// Removes the innermost mark, and returns the number of values below it.
    fn take_mark(&mut self) -> Result<usize, Error> {
        let Some(height) = self.marks.pop() else {
            return Err(Error::NoMark { opcode: self.name(), at: self.at });
        };
        self.trait_seen();
        Ok(height.min(self.items.len()))
    }

    /// Closes a mark: the values above it become part of another value.
    pub(super) fn close(&mut self) -> Result<Vec<Item>, Error> {
        let items = self.pop_mark()?;
        for item in &items {
            self.moved(item);
        }
        Ok(items)
    }

    /// Removes the last two values, which become an item of a dict.
    pub(super) fn pair(&mut self) -> Result<Vec<Item>, Error> {
        let first = self.items.len().checked_sub(2).filter(|first| *first >= self.floor());
        let items = self.items.split_off(first.ok_or_else(|| self.underflow())?);
        for item in &items {
            self.moved(item);
        }
        Ok(items)
    }

    pub(super) fn pop_value_or_mark(&mut self) -> Result<(), Error> {
        if self.items.len() > self.floor() {
            return self.pop().map(drop);
        }
        self.marks.pop().map(drop).ok_or_else(|| self.underflow())
    }

    /// Makes a tuple of the values above the mark, or of the last values.
    pub(super) fn tuple(&mut self, count: Option<usize>) -> Result<(), Error> {
        let first = match count {
            None => self.take_mark()?,
            Some(count) => {
                let first = self.items.len().checked_sub(count).filter(|first| *first >= self.floor());
                first.ok_or_else(|| self.underflow())?
            }
        };
        let flat = self.flat(first);
        if let Item::Tuple(items) = &flat {
            self.memory = self.memory.saturating_add(items.len().saturating_mul(size_of::<Item>()));
        }
        self.push(flat)
    }

    /// Removes the values from a position on, and returns a tuple of them without tuples among them, or a plain value for a
    /// long one.
    fn flat(&mut self, first: usize) -> Item {
        let (mut items, uses) = (self.items.drain(first..), &mut self.uses);
        if items.len() > TUPLE {
            items.for_each(|item| moved(uses, &item));
            return Item::Plain;
        }
        let mut flat = |item| {
            if matches!(item, Item::Tuple(_)) {
                moved(uses, &item);
                return Item::Plain;
            }
            item
        };
        // The shapes of most tensors have few dimensions.
        let only = if items.len() == 1 { items.next() } else { None };
        Item::Tuple(match only {
            Some(item) => Rc::new([flat(item)]),
            None => items.map(flat).collect(),
        })
    }

    pub(super) fn get(&mut self, index: &Index) -> Result<(), Error> {
        self.gets = true;
        let Some(item) = self.memo.get(index).cloned() else {
            let number = if let Index::Small(number) = index { *number } else { u64::MAX };
            return Err(Error::MemoMiss { opcode: self.name(), at: self.at, index: number });
        };
        self.trait_seen();
        self.push(item)
    }

    pub(super) fn put(&mut self, index: Index) -> Result<(), Error> {
        let item = self.top()?.clone();
        if index == self.next_index() {
            self.trait_seen();
        }
        self.memo.put(index, item);
        Ok(())
    }

    pub(super) fn memoize(&mut self) -> Result<(), Error> {
        self.memoizes = true;
        self.put(self.next_index())
    }

    fn next_index(&self) -> Index {
        Index::Small(u64::try_from(self.memo.len()).unwrap_or(u64::MAX))
    }

    /// Records that a value became part of another one. If it is a carrier, the other value could call it.
    pub(super) fn moved(&mut self, item: &Item) {
        moved(&mut self.uses, item);
    }

    /// Adds keys and values to the dict on top.
    pub(super) fn added_to_dict(&mut self, items: &[Item]) -> Result<(), Error> {
        self.added_to()?;
        if let Item::Dict(attributes) = self.top()? {
            attributes.borrow_mut().add(items);
        }
        Ok(())
    }

    /// Adds to a value by one of its methods.
    pub(super) fn added_to(&mut self) -> Result<(), Error> {
        if let Item::Global(Named::Carrier(carrier)) | Item::Inert(carrier) = *self.top()? {
            self.uses.other(carrier);
        }
        Ok(())
    }

    pub(super) fn over(&self, what: &'static str, limit: usize) -> Error {
        Error::Limit { what, limit: u64::try_from(limit).unwrap_or(u64::MAX), at: self.at }
    }

    pub(super) fn underflow(&self) -> Error {
        Error::StackUnderflow { opcode: self.name(), at: self.at }
    }

    pub(super) fn wrong(&self, what: &'static str) -> Error {
        Error::Operand { opcode: self.name(), at: self.at, what }
    }

    pub(super) fn name(&self) -> &'static str {
        opcode_name(self.op).unwrap_or("?")
    }
}

fn moved(uses: &mut Uses, item: &Item) {
    match item {
        Item::Global(Named::Carrier(carrier)) => uses.other(*carrier),
        Item::Tuple(items) => items.iter().for_each(|item| moved(uses, item)),
        _ => {}
    }
}
