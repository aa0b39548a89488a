//! The stack, the marks and the memo of a walk, and what is known of a value.

use std::rc::Rc;

use super::numbers::Index;
use super::{Carrier, Error, TEXT, Walker};

/// Values of a tuple that are looked at; more are arguments of no form that is told apart.
const TUPLE: usize = 4;

/// What is known of a value: what a global, or a call that is told apart, can be made of.
#[derive(Clone)]
pub(super) enum Item {
    Text(Rc<str>),
    Global(Named),
    /// What a carrier has made in a form that does nothing until it is called.
    Inert(Carrier),
    /// The result of a call, which may be anything.
    Made,
    /// What only some loaders have: of a persistent id, or of the extension registry. Noise has them, too, so that a
    /// call of one is no evidence.
    Given,
    /// A few values, none of them a tuple: so it has no depth.
    Tuple(Rc<[Self]>),
    Plain,
}

/// What a global on the stack is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Carrier(Carrier),
    /// Spelled as a class, and not dangerous.
    Class,
    /// Not dangerous.
    Other,
    Dangerous,
}

impl Walker<'_> {
    pub(super) fn push(&mut self, item: Item) -> Result<(), Error> {
        if self.stack.len() >= self.limits.stack {
            return Err(self.over("values on the stack", self.limits.stack));
        }
        self.stack.push(item);
        Ok(())
    }

    pub(super) fn push_text(&mut self, text: &str) -> Result<(), Error> {
        let text: String =
            if text.len() > TEXT { text.chars().take(TEXT).collect() } else { text.to_owned() };
        self.memory = self.memory.saturating_add(text.len()).saturating_add(size_of::<Item>());
        self.push(Item::Text(text.into()))
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Item, Error> {
        let item = if self.stack.len() > self.floor() { self.stack.pop() } else { None };
        item.ok_or_else(|| self.underflow())
    }

    /// Takes values away that go into another.
    pub(super) fn take(&mut self, count: usize) -> Result<(), Error> {
        for _ in 0..count {
            let item = self.pop()?;
            self.moved(&item);
        }
        Ok(())
    }

    pub(super) fn top(&self) -> Result<&Item, Error> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().ok_or_else(|| self.underflow())
    }

    pub(super) fn mark(&mut self) -> Result<(), Error> {
        if self.marks.len() >= self.limits.stack {
            return Err(self.over("open marks", self.limits.stack));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Item>, Error> {
        let height = self.marks.pop().ok_or(Error::NoMark { opcode: self.name(), at: self.at })?;
        self.walk.traits = self.walk.traits.saturating_add(1);
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    /// Closes a mark: what stood above it goes into another value.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        self.pop_mark()?.iter().for_each(|item| self.moved(item));
        Ok(())
    }

    pub(super) fn pop_value_or_mark(&mut self) -> Result<(), Error> {
        if self.stack.len() > self.floor() {
            return self.pop().map(drop);
        }
        self.marks.pop().map(drop).ok_or_else(|| self.underflow())
    }

    /// A tuple of what stands above the mark, or of the last values.
    pub(super) fn tuple(&mut self, count: Option<usize>) -> Result<(), Error> {
        let mut items = match count {
            None => self.pop_mark()?,
            Some(count) => {
                let first = self.stack.len().checked_sub(count).filter(|first| *first >= self.floor());
                let first = first.ok_or_else(|| self.underflow())?;
                self.stack.split_off(first)
            }
        };
        if items.len() > TUPLE {
            items.iter().for_each(|item| self.moved(item));
            return self.push(Item::Plain);
        }
        for item in items.iter_mut().filter(|item| matches!(item, Item::Tuple(_))) {
            self.moved(item);
            *item = Item::Plain;
        }
        self.memory = self.memory.saturating_add(items.len().saturating_mul(size_of::<Item>()));
        self.push(Item::Tuple(items.into()))
    }

    pub(super) fn get(&mut self, index: &Index) -> Result<(), Error> {
        let number = if let Index::Small(number) = index { *number } else { u64::MAX };
        let missing = Error::MemoMiss { opcode: self.name(), at: self.at, index: number };
        let item = self.memo.get(index).cloned().ok_or(missing)?;
        self.walk.traits = self.walk.traits.saturating_add(1);
        self.push(item)
    }

    pub(super) fn put(&mut self, index: Index) -> Result<(), Error> {
        let item = self.top()?.clone();
        if index == self.next_index() {
            self.walk.traits = self.walk.traits.saturating_add(1);
        }
        self.memo.insert(index, item);
        Ok(())
    }

    pub(super) fn next_index(&self) -> Index {
        Index::Small(u64::try_from(self.memo.len()).unwrap_or(u64::MAX))
    }
}
