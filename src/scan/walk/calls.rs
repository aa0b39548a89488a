//! The globals of a walk, and what is called of them.
//!
//! Three names carry what they are given: `getattr`, `type` and `functools.partial`. In one form each they do nothing that
//! is not named besides, as long as what they make is not called: an attribute with a plain name of what is spelled as a
//! class (which is how Python spells a name in a class below protocol 4), the type of a value, and a function that is
//! named, with arguments. Every other use of them is what their name is: dangerous.

use std::rc::Rc;

use super::super::names::{self, COMPUTED, EXTENSION};
use super::feed::Line;
use super::stack::{Item, Named};
use super::{Error, Found, GLOBALS, Walker};
use crate::pickle::symbol;

/// Characters of a name that are kept.
const NAME: usize = 1024;

/// A name that carries on what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Carrier {
    Attribute,
    Type,
    Partial,
}

impl Carrier {
    pub(in super::super) fn of(module: &str, name: &str) -> Option<Self> {
        let is_builtin = matches!(module, "builtins" | "__builtin__" | "__builtins__");
        match name {
            "getattr" if is_builtin => Some(Self::Attribute),
            "type" if is_builtin => Some(Self::Type),
            "partial" if matches!(module, "functools" | "_functools") => Some(Self::Partial),
            _ => None,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Attribute => 1,
            Self::Type => 2,
            Self::Partial => 4,
        }
    }
}

/// How the carriers of a walk were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct Uses {
    inert: u8,
    other: u8,
}

impl Uses {
    /// Was it used, and never in another than its inert form?
    pub(in super::super) fn are_inert(self, carrier: Carrier) -> bool {
        self.inert & carrier.bit() != 0 && self.other & carrier.bit() == 0
    }

    /// Of two walks of the same bytes.
    pub(in super::super) fn joined(self, other: Self) -> Self {
        Self { inert: self.inert | other.inert, other: self.other | other.other }
    }
}

impl Walker<'_> {
    fn named(&mut self, module: Rc<str>, name: Rc<str>) -> Result<(), Error> {
        let kind = match Carrier::of(&module, &name) {
            Some(carrier) => Named::Carrier(carrier),
            None if names::is_dangerous(&module, &name) => Named::Dangerous,
            None if symbol::is_class_name(&name) => Named::Class,
            None => Named::Other,
        };
        if self.seen.len() < GLOBALS && self.seen.insert((module.clone(), name.clone())) {
            self.walk.globals.push(Found { module, name, at: self.at });
        } else if self.seen.len() >= GLOBALS {
            return Err(self.over("globals", GLOBALS));
        }
        self.push(Item::Global(kind))
    }

    fn name_in(&self, line: &Line) -> Result<Rc<str>, Error> {
        let text = match str::from_utf8(&line.kept) {
            Ok(text) => text,
            Err(error) if line.is_longer && error.error_len().is_none() => {
                str::from_utf8(line.kept.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
            }
            Err(_) => return Err(self.wrong("a name that is not UTF-8")),
        };
        Ok(text.chars().take(NAME).collect::<String>().into())
    }

    /// Two lines: the module and the name. The C reader takes none that is empty, the other looks it up.
    fn lines(&mut self) -> Result<(Rc<str>, Rc<str>), Error> {
        let mut both = [Rc::default(), Rc::default()];
        for line in &mut both {
            let text = self.feed.line()?;
            if text.kept.is_empty() {
                self.feed.forked = true;
                if !self.is_python() {
                    return Err(self.wrong("a name that is empty"));
                }
            }
            *line = self.name_in(&text)?;
        }
        let [module, name] = both;
        Ok((module, name))
    }

    pub(super) fn global(&mut self) -> Result<(), Error> {
        let (module, name) = self.lines()?;
        self.named(module, name)
    }

    pub(super) fn stack_global(&mut self) -> Result<(), Error> {
        let (name, module) = (self.pop()?, self.pop()?);
        let text = |item| match item {
            Item::Text(text) => Some(text),
            // A global can be a text (`os.sep`), and so can what is made.
            Item::Made | Item::Given | Item::Inert(_) | Item::Global(_) => Some(COMPUTED.into()),
            Item::Tuple(_) | Item::Plain => None,
        };
        match (text(module), text(name)) {
            (Some(module), Some(name)) => self.named(module, name),
            _ => Err(self.wrong("a name that is not text")),
        }
    }

    pub(super) fn extension(&mut self, width: u64) -> Result<(), Error> {
        let code = self.feed.number(width)?;
        self.named(EXTENSION.into(), code.to_string().into())?;
        self.pop()?;
        self.push(Item::Given)
    }

    /// A call of what lies below the arguments.
    pub(super) fn reduce(&mut self) -> Result<(), Error> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        self.moved(&arguments);
        if let Some(inert) = inert(&callable, &arguments) {
            self.walk.calls = true;
            self.walk.uses.inert |= inert.bit();
            return self.push(Item::Inert(inert));
        }
        self.called(&callable)?;
        self.push(Item::Made)
    }

    /// The same for a class, which has keywords as well where there are two values above it.
    pub(super) fn new_object(&mut self, arguments: usize) -> Result<(), Error> {
        self.take(arguments)?;
        let class = self.pop()?;
        self.called(&class)?;
        self.push(Item::Made)
    }

    fn called(&mut self, callable: &Item) -> Result<(), Error> {
        match callable {
            Item::Global(_) | Item::Made | Item::Inert(_) => self.walk.calls = true,
            Item::Given => {}
            Item::Text(_) | Item::Tuple(_) | Item::Plain => {
                return Err(self.wrong("nothing that can be called"));
            }
        }
        if let Item::Global(Named::Carrier(carrier)) | Item::Inert(carrier) = callable {
            self.walk.uses.other |= carrier.bit();
        }
        Ok(())
    }

    /// A value went into another. A carrier there could be called by what it is given to.
    pub(super) fn moved(&mut self, item: &Item) {
        match item {
            Item::Global(Named::Carrier(carrier)) => self.walk.uses.other |= carrier.bit(),
            Item::Tuple(items) => items.iter().for_each(|item| self.moved(item)),
            _ => {}
        }
    }

    /// Something is added to a value, by a method of it.
    pub(super) fn added_to(&mut self) -> Result<(), Error> {
        if let Item::Global(Named::Carrier(carrier)) | Item::Inert(carrier) = *self.top()? {
            self.walk.uses.other |= carrier.bit();
        }
        Ok(())
    }

    /// The class is looked up before the mark by `pickle.py`, and behind it by the C reader.
    pub(super) fn inst(&mut self) -> Result<(), Error> {
        if self.marks.is_empty() {
            self.feed.forked = true;
            if !self.is_python() {
                return Err(Error::NoMark { opcode: self.name(), at: self.at });
            }
        }
        let (module, name) = self.lines()?;
        if !module.is_ascii() || !name.is_ascii() {
            return Err(self.wrong("a name that is not ASCII"));
        }
        self.named(module, name)?;
        let class = self.pop()?;
        self.close()?;
        self.called(&class)?;
        self.push(Item::Made)
    }

    pub(super) fn obj(&mut self) -> Result<(), Error> {
        let items = self.pop_mark()?;
        let (class, arguments) = items.split_first().ok_or_else(|| self.underflow())?;
        for item in arguments {
            self.moved(item);
        }
        self.called(class)?;
        self.push(Item::Made)
    }

    /// The state of a module, a function or an object is set, which can call `__setstate__`.
    pub(super) fn build(&mut self) -> Result<(), Error> {
        let state = self.pop()?;
        let target = self.top()?.clone();
        self.walk.builds |= matches!(target, Item::Global(_) | Item::Made | Item::Inert(_));
        match target {
            // What `partial` is called with is in its state again.
            Item::Inert(Carrier::Partial) => {}
            Item::Inert(carrier) | Item::Global(Named::Carrier(carrier)) => {
                self.walk.uses.other |= carrier.bit();
            }
            _ => {}
        }
        self.moved(&state);
        Ok(())
    }

    // ---- errors

    pub(super) fn over(&self, what: &'static str, limit: usize) -> Error {
        Error::Limit { what, limit: u64::try_from(limit).unwrap_or(u64::MAX), at: self.at }
    }

    pub(super) fn underflow(&self) -> Error {
        Error::StackUnderflow { opcode: self.name(), at: self.at }
    }

    pub(super) fn wrong(&self, what: &'static str) -> Error {
        Error::Operand { opcode: self.name(), at: self.at, what }
    }
}

/// Is it the form of a call that does nothing?
fn inert(callable: &Item, arguments: &Item) -> Option<Carrier> {
    let (Item::Global(Named::Carrier(carrier)), Item::Tuple(arguments)) = (callable, arguments) else {
        return None;
    };
    let is_inert = match (carrier, &**arguments) {
        (
            Carrier::Attribute,
            [Item::Global(Named::Class) | Item::Inert(Carrier::Attribute), Item::Text(name)],
        ) => symbol::is_plain_attribute(name),
        (Carrier::Type, [_]) => true,
        (Carrier::Partial, [Item::Global(Named::Class | Named::Other), ..]) => true,
        _ => false,
    };
    is_inert.then_some(*carrier)
}
