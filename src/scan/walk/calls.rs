//! Records the globals of a walk, and which of them are called.

use std::rc::Rc;

use super::super::names::{self, COMPUTED, EXTENSION};
use super::arrays;
use super::feed::Line;
use super::item::{Array, Attributes, Item, Named};
use super::{Carrier, Found, GLOBALS, KeptMemo, Reader, Span, Walk, Walker};
use crate::pickle::{Error, Limits, symbol};

/// The most byte strings that are read as files.
const INNER: usize = 1_000;
/// The most characters of a name that are kept.
const NAME: usize = 1024;

impl Walker<'_> {
    fn named(&mut self, module: Rc<str>, name: Rc<str>) -> Result<(), Error> {
        let kind = match Carrier::of(&module, &name) {
            Some(carrier) => Named::Carrier(carrier),
            None if names::is_dangerous(&module, &name) => Named::Dangerous,
            None if arrays::is_wrapper(&name) => {
                self.walk.arrays = true;
                Named::Wrapper
            }
            None if (&*module, &*name) == ("numpy", "dtype") => Named::Dtype,
            None if (&*module, &*name) == ("_codecs", "encode") => Named::Encode,
            None if symbol::is_class_name(&name) => Named::Class,
            None => Named::Other,
        };
        self.found(Found { module, name, at: self.stack.at })?;
        self.stack.push(Item::Global(kind))
    }

    /// Records a global that was looked up.
    pub(super) fn found(&mut self, found: Found) -> Result<(), Error> {
        if self.seen.len() < GLOBALS && self.seen.insert((found.module.clone(), found.name.clone())) {
            self.walk.globals.push(found);
        } else if self.seen.len() >= GLOBALS {
            return Err(self.stack.over("globals", GLOBALS));
        }
        Ok(())
    }

    fn name_in(&self, line: &Line) -> Result<Rc<str>, Error> {
        let text = match str::from_utf8(&line.kept) {
            Ok(text) => text,
            Err(error) if line.is_longer && error.error_len().is_none() => {
                str::from_utf8(line.kept.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
            }
            Err(_) => return Err(self.stack.wrong("name that is not UTF-8")),
        };
        let end = if text.is_ascii() {
            text.len().min(NAME)
        } else {
            text.char_indices().nth(NAME).map_or(text.len(), |(end, _)| end)
        };
        Ok(text.get(..end).unwrap_or_default().into())
    }

    /// Reads two lines: the module and the name. The C reader refuses an empty one, `pickle.py` looks it up.
    fn lines(&mut self) -> Result<(Rc<str>, Rc<str>), Error> {
        let mut both = [Rc::default(), Rc::default()];
        for line in &mut both {
            let text = self.feed.line()?;
            if text.kept.is_empty() {
                self.feed.forked = true;
                if !self.is_python() {
                    return Err(self.stack.wrong("empty name"));
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
            Item::Text(text) | Item::Long(text, _) => Some(text),
            // These are classes.
            Item::Global(Named::Wrapper | Named::Dtype) => None,
            // Any other global can be a text (`os.sep`), and so can the result of a call.
            Item::Made | Item::Given | Item::Inert(_) | Item::Global(_) => Some(COMPUTED.into()),
            _ => None,
        };
        match (text(module), text(name)) {
            (Some(module), Some(name)) => self.named(module, name),
            _ => Err(self.stack.wrong("non-string name")),
        }
    }

    pub(super) fn extension(&mut self, width: u64) -> Result<(), Error> {
        let code = self.feed.number(width)?;
        self.named(EXTENSION.into(), code.to_string().into())?;
        self.stack.pop()?;
        self.stack.push(Item::Given)
    }

    /// Calls the value below the arguments.
    pub(super) fn reduce(&mut self) -> Result<(), Error> {
        let arguments = self.stack.pop()?;
        let callable = self.stack.pop()?;
        self.stack.moved(&arguments);
        if let Some(inert) = inert(&callable, &arguments) {
            (self.walk.calls, self.walk.last_call) = (true, self.stack.at);
            if let Some(bytes) = loaded(inert, &arguments) {
                if self.walk.inner.len() >= INNER {
                    return Err(self.stack.over("files in strings of bytes", INNER));
                }
                if !self.walk.inner.contains(&bytes) {
                    self.walk.inner.push(bytes);
                }
            }
            self.stack.uses.inert(inert);
            return self.stack.push(Item::Inert(inert));
        }
        self.called(&callable)?;
        let array = if self.is_joblib() { arrays::made(&callable, &arguments) } else { None };
        if self.is_joblib() && array.is_none() {
            self.passed_on(&arguments)?;
        }
        self.stack.push(array.or_else(|| encoded(&callable, &arguments)).unwrap_or(Item::Made))
    }

    /// The same for a class, with keywords as well if two values are above it.
    pub(super) fn new_object(&mut self, arguments: usize) -> Result<(), Error> {
        self.stack.take(arguments)?;
        let class = self.stack.pop()?;
        self.called(&class)?;
        self.stack.push(Self::instance(&class, false))
    }

    /// Returns the instance of a class that is called as `_instantiate` calls it. With arguments, its own `__init__`
    /// sets any attributes.
    fn instance(class: &Item, has_arguments: bool) -> Item {
        match class {
            Item::Global(Named::Wrapper) if has_arguments => Item::Wrapper(Attributes::shared_unknown()),
            Item::Global(Named::Wrapper) => Item::Wrapper(Attributes::none()),
            _ => Item::Made,
        }
    }

    /// An object that represents an array is an argument of a call, which may return it as anything and change its
    /// attributes.
    fn passed_on(&self, arguments: &Item) -> Result<(), Error> {
        let Item::Tuple(arguments) = arguments else { return Ok(()) };
        for argument in &**arguments {
            match argument {
                Item::Wrapper(_) => return Err(self.stack.wrong("array placeholder passed on")),
                Item::Dict(attributes) => *attributes.borrow_mut() = Attributes::unknown(),
                _ => {}
            }
        }
        Ok(())
    }

    fn called(&mut self, callable: &Item) -> Result<(), Error> {
        match callable {
            Item::Global(_) | Item::Made | Item::Inert(_) => {
                (self.walk.calls, self.walk.last_call) = (true, self.stack.at);
            }
            Item::Given => {}
            _ => return Err(self.stack.wrong("nothing that can be called")),
        }
        if let Item::Global(Named::Carrier(carrier)) | Item::Inert(carrier) = callable {
            self.stack.uses.other(*carrier);
        }
        Ok(())
    }

    /// `pickle.py` looks up the class before it searches the mark, the C reader afterwards.
    pub(super) fn inst(&mut self) -> Result<(), Error> {
        if !self.stack.has_mark() {
            self.feed.forked = true;
            if !self.is_python() {
                return Err(Error::NoMark { opcode: self.stack.name(), at: self.stack.at });
            }
        }
        let (module, name) = self.lines()?;
        if !module.is_ascii() || !name.is_ascii() {
            return Err(self.stack.wrong("name that is not ASCII"));
        }
        self.named(module, name)?;
        let class = self.stack.pop()?;
        let has_arguments = !self.stack.close()?.is_empty();
        self.called(&class)?;
        self.stack.push(Self::instance(&class, has_arguments))
    }

    pub(super) fn obj(&mut self) -> Result<(), Error> {
        let items = self.stack.pop_mark()?;
        let (class, arguments) = items.split_first().ok_or_else(|| self.stack.underflow())?;
        for item in arguments {
            self.stack.moved(item);
        }
        self.called(class)?;
        self.stack.push(Self::instance(class, !arguments.is_empty()))
    }

    /// Sets the state of a module, a function or an object, which can call `__setstate__`.
    pub(super) fn build(&mut self) -> Result<(), Error> {
        let state = self.stack.pop()?;
        let target = self.stack.top()?.clone();
        self.walk.builds |= matches!(
            target,
            Item::Global(_) | Item::Made | Item::Inert(_) | Item::Wrapper(_) | Item::Dtype(_)
        );
        match target {
            Item::Dtype(dtype) => dtype.borrow_mut().set(&state),
            Item::Wrapper(attributes) if self.is_joblib() => {
                attributes.borrow_mut().set(&state);
                let array = attributes.borrow().array();
                self.array(array)?;
                self.stack.pop()?;
                self.stack.push(Item::Made)?;
            }
            // The state of a `partial` contains its arguments again.
            Item::Inert(Carrier::Partial) => {}
            Item::Inert(carrier) | Item::Global(Named::Carrier(carrier)) => self.stack.uses.other(carrier),
            _ => {}
        }
        self.stack.moved(&state);
        Ok(())
    }

    /// Reads an array, as joblib's reader does.
    fn array(&mut self, array: Option<Array>) -> Result<(), Error> {
        let unknown = self.stack.wrong("array without a known end");
        let (Some(array), Some(at)) = (array, self.feed.leave_frame()) else { return Err(unknown) };
        self.walk.first_array.get_or_insert(at);
        match array {
            Array::Objects => self.objects(at),
            Array::Elements { padded, len } => {
                let padding = if padded { self.feed.number(1)? } else { 0 };
                self.feed.skip(padding)?;
                self.feed.skip(len)
            }
        }
    }

    /// An array of objects is a separate pickle, which versions of joblib read with one reader or the other.
    fn objects(&mut self, at: u64) -> Result<(), Error> {
        let mut readers = vec![Reader::Memory];
        let mut end = None;
        while let Some(reader) = readers.pop() {
            let opcodes = self.limits.opcodes.saturating_sub(self.walk.opcodes).max(1);
            let limits = Limits { opcodes, ..self.limits.clone() };
            let mut inner = Walker::go(self.source, at, &limits, reader, None, &mut KeptMemo::default());
            if reader == Reader::Memory && inner.forked {
                readers.push(Reader::Python);
            }
            let broken = inner.broken.take();
            self.adopt(inner.opcodes, &inner)?;
            if let Some(broken) = broken {
                return Err(broken);
            }
            if inner.crossed {
                return Err(self.stack.wrong("frame that continues after the pickle"));
            }
            if end.is_some_and(|end| Some(end) != inner.end) {
                return Err(self.stack.wrong("readers disagree on where the pickle ends"));
            }
            end = inner.end;
        }
        self.feed.go_on(end.unwrap_or(at))
    }

    /// Adds the findings of the walk of another pickle to this one.
    fn adopt(&mut self, opcodes: u64, inner: &Walk) -> Result<(), Error> {
        self.walk.opcodes = self.walk.opcodes.saturating_add(opcodes);
        self.walk.calls |= inner.calls;
        self.feed.crossed |= inner.crossed;
        self.stack.uses = self.stack.uses.joined(inner.uses);
        for found in &inner.globals {
            self.found(found.clone())?;
        }
        self.walk.inner.extend(&inner.inner);
        Ok(())
    }
}

/// Returns the carrier if a call has the form that does nothing.
fn inert(callable: &Item, arguments: &Item) -> Option<Carrier> {
    let (Item::Global(Named::Carrier(carrier)), Item::Tuple(arguments)) = (callable, arguments) else {
        return None;
    };
    let is_inert = match (carrier, &**arguments) {
        (
            Carrier::Attribute,
            [Item::Global(Named::Class) | Item::Inert(Carrier::Attribute), Item::Text(name)],
        ) => symbol::is_plain_attribute(name),
        (
            Carrier::Partial,
            [Item::Global(Named::Class | Named::Wrapper | Named::Dtype | Named::Encode | Named::Other), ..],
        )
        | (Carrier::Type, [_])
        | (Carrier::Load, [Item::Bytes(_)]) => true,
        _ => false,
    };
    is_inert.then_some(*carrier)
}

/// Returns the bytes that torch loads as a file.
fn loaded(carrier: Carrier, arguments: &Item) -> Option<Span> {
    match (carrier, arguments) {
        (Carrier::Load, Item::Tuple(arguments)) => match **arguments {
            [Item::Bytes(span)] => Some(span),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the bytes that a long text spells.
fn encoded(callable: &Item, arguments: &Item) -> Option<Item> {
    let (Item::Global(Named::Encode), Item::Tuple(arguments)) = (callable, arguments) else { return None };
    match &**arguments {
        [Item::Long(_, span), Item::Text(name)] if &**name == "latin1" => Some(Item::Bytes(*span)),
        _ => None,
    }
}
