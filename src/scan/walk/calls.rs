//! The globals of a walk, and what is called of them.

use std::rc::Rc;

use super::super::names::{self, COMPUTED, EXTENSION};
use super::feed::Line;
use super::stack::{Item, Named};
use super::{Carrier, Found, GLOBALS, Walker};
use crate::pickle::{Error, symbol};

/// Characters of a name that are kept.
const NAME: usize = 1024;

impl Walker<'_> {
    fn named(&mut self, module: Rc<str>, name: Rc<str>) -> Result<(), Error> {
        let kind = match Carrier::of(&module, &name) {
            Some(carrier) => Named::Carrier(carrier),
            None if names::is_dangerous(&module, &name) => Named::Dangerous,
            None if symbol::is_class_name(&name) => Named::Class,
            None => Named::Other,
        };
        if self.seen.len() < GLOBALS && self.seen.insert((module.clone(), name.clone())) {
            self.walk.globals.push(Found { module, name, at: self.stack.at });
        } else if self.seen.len() >= GLOBALS {
            return Err(self.stack.over("globals", GLOBALS));
        }
        self.stack.push(Item::Global(kind))
    }

    fn name_in(&self, line: &Line) -> Result<Rc<str>, Error> {
        let text = match str::from_utf8(&line.kept) {
            Ok(text) => text,
            Err(error) if line.is_longer && error.error_len().is_none() => {
                str::from_utf8(line.kept.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
            }
            Err(_) => return Err(self.stack.wrong("a name that is not UTF-8")),
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
                    return Err(self.stack.wrong("a name that is empty"));
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
        let (name, module) = (self.stack.pop()?, self.stack.pop()?);
        let text = |item| match item {
            Item::Text(text) => Some(text),
            // A global can be a text (`os.sep`), and so can what is made.
            Item::Made | Item::Given | Item::Inert(_) | Item::Global(_) => Some(COMPUTED.into()),
            Item::Tuple(_) | Item::Plain => None,
        };
        match (text(module), text(name)) {
            (Some(module), Some(name)) => self.named(module, name),
            _ => Err(self.stack.wrong("a name that is not text")),
        }
    }

    pub(super) fn extension(&mut self, width: u64) -> Result<(), Error> {
        let code = self.feed.number(width)?;
        self.named(EXTENSION.into(), code.to_string().into())?;
        self.stack.pop()?;
        self.stack.push(Item::Given)
    }

    /// A call of what lies below the arguments.
    pub(super) fn reduce(&mut self) -> Result<(), Error> {
        let arguments = self.stack.pop()?;
        let callable = self.stack.pop()?;
        self.stack.moved(&arguments);
        if let Some(inert) = inert(&callable, &arguments) {
            self.walk.calls = true;
            self.stack.uses.inert(inert);
            return self.stack.push(Item::Inert(inert));
        }
        self.called(&callable)?;
        self.stack.push(Item::Made)
    }

    /// The same for a class, which has keywords as well where there are two values above it.
    pub(super) fn new_object(&mut self, arguments: usize) -> Result<(), Error> {
        self.stack.take(arguments)?;
        let class = self.stack.pop()?;
        self.called(&class)?;
        self.stack.push(Item::Made)
    }

    fn called(&mut self, callable: &Item) -> Result<(), Error> {
        match callable {
            Item::Global(_) | Item::Made | Item::Inert(_) => self.walk.calls = true,
            Item::Given => {}
            Item::Text(_) | Item::Tuple(_) | Item::Plain => {
                return Err(self.stack.wrong("nothing that can be called"));
            }
        }
        if let Item::Global(Named::Carrier(carrier)) | Item::Inert(carrier) = callable {
            self.stack.uses.other(*carrier);
        }
        Ok(())
    }

    /// The class is looked up before the mark by `pickle.py`, and behind it by the C reader.
    pub(super) fn inst(&mut self) -> Result<(), Error> {
        if !self.stack.has_mark() {
            self.feed.forked = true;
            if !self.is_python() {
                return Err(Error::NoMark { opcode: self.stack.name(), at: self.stack.at });
            }
        }
        let (module, name) = self.lines()?;
        if !module.is_ascii() || !name.is_ascii() {
            return Err(self.stack.wrong("a name that is not ASCII"));
        }
        self.named(module, name)?;
        let class = self.stack.pop()?;
        self.stack.close()?;
        self.called(&class)?;
        self.stack.push(Item::Made)
    }

    pub(super) fn obj(&mut self) -> Result<(), Error> {
        let items = self.stack.pop_mark()?;
        let (class, arguments) = items.split_first().ok_or_else(|| self.stack.underflow())?;
        for item in arguments {
            self.stack.moved(item);
        }
        self.called(class)?;
        self.stack.push(Item::Made)
    }

    /// The state of a module, a function or an object is set, which can call `__setstate__`.
    pub(super) fn build(&mut self) -> Result<(), Error> {
        let state = self.stack.pop()?;
        let target = self.stack.top()?.clone();
        self.walk.builds |= matches!(target, Item::Global(_) | Item::Made | Item::Inert(_));
        match target {
            // What `partial` is called with is in its state again.
            Item::Inert(Carrier::Partial) => {}
            Item::Inert(carrier) | Item::Global(Named::Carrier(carrier)) => self.stack.uses.other(carrier),
            _ => {}
        }
        self.stack.moved(&state);
        Ok(())
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
        (Carrier::Type, [_]) | (Carrier::Partial, [Item::Global(Named::Class | Named::Other), ..]) => true,
        _ => false,
    };
    is_inert.then_some(*carrier)
}
