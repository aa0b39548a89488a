//! Walks bytes that may be a pickle as far as one reader of Python goes, and finds every global that the reader would
//! look up before the bytes prove broken or not a pickle.
//!
//! The strict machine of `pickle/` refuses everything that loaders disagree on, and then reports nothing of the rest.
//! This walk keeps a real stack, marks and memo, but only those values from which a global can be made. It assumes that
//! every lookup, call and state succeeds, so it goes at least as far as the reader: where it stops, the reader stops,
//! or a limit was exceeded. `feed` reads the bytes and `numbers` the numbers, both exactly as the reader does, because
//! a spelling that one reader accepts and another does not decides what comes next; [`Walk::forked`] reports that
//! another reader must be followed.
//!
//! Invariant: time and memory are proportional to the bytes read, within the limits; nothing is looked up.

mod arrays;
mod calls;
mod carriers;
mod feed;
mod item;
mod numbers;
mod stack;
mod text;

use std::collections::BTreeSet;
use std::rc::Rc;

pub(super) use carriers::{Carrier, Uses};
pub(super) use feed::Reader;
pub(super) use stack::KeptMemo;
pub(super) use text::{Span, Spelling};

use crate::pickle::{Error, Limits};
use crate::read_at::ReadAt;
use feed::Feed;
use item::{Attributes, Item};
use numbers::{Index, Taken};
use stack::Stack;

/// Bytes of a string that are kept; no importable name is longer.
const TEXT: usize = 256;
/// Distinct globals that are kept for one pickle.
const GLOBALS: usize = 10_000;

/// A global, and the first opcode that imports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) module: Rc<str>,
    pub(super) name: Rc<str>,
    pub(super) at: u64,
}

/// The findings of a walk.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Walk {
    /// Each global once, in the order of the bytes.
    pub(super) globals: Vec<Found>,
    /// How the pickle used the carriers.
    pub(super) uses: Uses,
    /// The number of opcodes that ran.
    pub(super) opcodes: u64,
    /// The number of features that pickles have, and noise and texts rarely have: a closed mark, a memo in order, a
    /// quoted string, a number in a line, a readable text after its length.
    pub(super) traits: u64,
    /// `true` if the walk found a `PROTO`.
    pub(super) proto: bool,
    /// `true` if the walk found a `FRAME` that a reader accepts.
    pub(super) framed: bool,
    /// `true` if the pickle would call something.
    pub(super) calls: bool,
    /// The position of the last call.
    pub(super) last_call: u64,
    /// `true` if the pickle would set a state.
    pub(super) builds: bool,
    /// The offset after `STOP`.
    pub(super) end: Option<u64>,
    /// The end of the frame in which it ended.
    pub(super) frame: Option<u64>,
    /// The offset at which it ended, with or without `STOP`.
    pub(super) until: u64,
    /// `true` if it ended in a `GLOBAL` or an `INST`.
    pub(super) in_name: bool,
    /// `true` if it puts values into the memo by their number, and takes some from it: the values depend on those of the
    /// pickle before.
    pub(super) remembers: bool,
    /// `true` if exactly one value was left at `STOP`.
    pub(super) single: bool,
    /// `true` if an operand crosses the end of its frame, or if `STOP` comes before that end.
    pub(super) crossed: bool,
    /// `true` if another reader may have found something else.
    pub(super) forked: bool,
    /// `true` if it imports the class that represents an array in a joblib file, so that joblib's reader finds
    /// something else.
    pub(super) arrays: bool,
    /// The position of the first array that joblib's reader reads.
    pub(super) first_array: Option<u64>,
    /// The positions and lengths of the byte strings that torch loads as files.
    pub(super) inner: Vec<Span>,
    /// Why it ended before `STOP`.
    pub(super) broken: Option<Error>,
}

pub(super) struct Walker<'a> {
    source: &'a dyn ReadAt,
    feed: Feed<'a>,
    limits: &'a Limits,
    stack: Stack,
    seen: BTreeSet<(Rc<str>, Rc<str>)>,
    walk: Walk,
}

impl<'a> Walker<'a> {
    /// Walks from the byte `at`, in the frame that is open at that byte, with the memo of the reader.
    pub(super) fn go(
        source: &'a dyn ReadAt,
        at: u64,
        limits: &'a Limits,
        reader: Reader,
        frame: Option<u64>,
        kept: &mut KeptMemo,
    ) -> Walk {
        let mut walker = Self {
            source,
            feed: Feed::new(source, at, limits, reader, frame),
            limits,
            stack: Stack::new(limits, at, std::mem::take(kept)),
            seen: BTreeSet::new(),
            walk: Walk::default(),
        };
        walker.walk.broken = walker.run().err();
        walker.walk.until = walker.feed.at();
        walker.walk.uses = walker.stack.uses;
        walker.walk.traits = walker.stack.traits;
        walker.walk.remembers = walker.stack.memoizes && walker.stack.gets;
        walker.walk.in_name = matches!(walker.stack.op, b'c' | b'i');
        walker.walk.frame = walker.feed.open();
        // The next pickle may begin after the frame.
        walker.walk.crossed = walker.feed.crossed || walker.walk.end.is_some() && walker.walk.frame.is_some();
        walker.walk.forked = walker.feed.forked || walker.walk.crossed;
        *kept = walker.stack.into_kept();
        walker.walk
    }
}

impl Walker<'_> {
    fn run(&mut self) -> Result<(), Error> {
        loop {
            if self.walk.opcodes >= self.limits.opcodes {
                return Err(Error::Limit { what: "opcodes", limit: self.limits.opcodes, at: self.feed.at() });
            }
            (self.stack.op, self.stack.at) = (0, self.feed.at());
            self.stack.op = self.feed.byte()?;
            if self.stack.op == b'.' {
                self.stack.pop()?;
                self.walk.opcodes = self.walk.opcodes.saturating_add(1);
                self.walk.single = self.stack.is_empty();
                self.walk.end = Some(self.feed.at());
                return Ok(());
            }
            self.step()?;
            self.walk.opcodes = self.walk.opcodes.saturating_add(1);
            self.stack.check(self.limits)?;
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        match self.stack.op {
            b'(' => self.stack.mark(),
            b'0' => self.stack.pop_value_or_mark(),
            b'1' => self.stack.pop_mark().map(drop),
            b'2' => {
                let top = self.stack.top()?.clone();
                self.stack.push(top)
            }
            0x88 | 0x89 | b']' | 0x8f | 0x97 => self.stack.push(Item::Plain),
            b'N' => self.stack.push(Item::None),
            b'}' => self.dict(&[]),
            b'I' | b'L' | b'F' => self.number(),
            b'K' => self.small(1),
            b'M' => self.small(2),
            b'J' => self.small(4),
            b'G' => self.plain(8),
            0x8a => self.long(),
            0x8b => self.feed.number(4).and_then(|len| self.plain(self.signed(len)?)),
            b'S' => self.string(),
            b'V' => self.unicode(),
            b'U' | 0x8c => self.feed.byte().and_then(|len| self.text(len.into())),
            b'T' => self.feed.number(4).and_then(|len| self.text(self.signed(len)?)),
            b'X' => self.feed.number(4).and_then(|len| self.text(len)),
            0x8d => self.feed.number(8).and_then(|len| self.text(len)),
            b'C' => self.feed.number(1).and_then(|len| self.bytes(len)),
            b'B' => self.feed.number(4).and_then(|len| self.bytes(len)),
            0x8e | 0x96 => self.feed.number(8).and_then(|len| self.bytes(len)),
            b't' => self.stack.tuple(None),
            b')' => self.stack.tuple(Some(0)),
            0x85 => self.stack.tuple(Some(1)),
            0x86 => self.stack.tuple(Some(2)),
            0x87 => self.stack.tuple(Some(3)),
            b'l' | 0x91 => self.stack.close().and_then(|_| self.stack.push(Item::Plain)),
            b'd' => self.stack.close().and_then(|items| self.dict(&items)),
            b'a' => self.stack.take(1).and_then(|()| self.stack.added_to()),
            b's' => self.stack.pair().and_then(|items| self.stack.added_to_dict(&items)),
            b'u' => self.stack.close().and_then(|items| self.stack.added_to_dict(&items)),
            b'e' | 0x90 => self.stack.close().and_then(|_| self.stack.added_to()),
            b'c' => self.global(),
            0x93 => self.stack_global(),
            b'R' => self.reduce(),
            0x81 => self.new_object(1),
            0x92 => self.new_object(2),
            b'i' => self.inst(),
            b'o' => self.obj(),
            b'b' => self.build(),
            b'P' => self.feed.line().and_then(|_| self.stack.push(Item::Given)),
            b'Q' => self.stack.pop().and_then(|_| self.stack.push(Item::Given)),
            0x82 => self.extension(1),
            0x83 => self.extension(2),
            0x84 => self.extension(4),
            b'g' | b'h' | b'j' => self.index().and_then(|index| self.stack.get(&index)),
            b'p' | b'q' | b'r' => self.index().and_then(|index| self.stack.put(index)),
            0x94 => self.stack.memoize(),
            0x80 => self.proto(),
            0x95 => self.frame(),
            0x98 => self.stack.top().map(drop),
            byte => Err(Error::UnknownOpcode { byte, at: self.stack.at }),
        }
    }

    fn is_python(&self) -> bool {
        self.feed.reader().is_python()
    }

    fn is_joblib(&self) -> bool {
        self.feed.reader() == Reader::Joblib
    }

    // ---- operands

    fn plain(&mut self, len: u64) -> Result<(), Error> {
        self.feed.skip(len)?;
        self.stack.push(Item::Plain)
    }

    /// Reads a number, which must not be negative if it has four bytes.
    fn small(&mut self, width: u64) -> Result<(), Error> {
        let number = self.feed.number(width)?;
        let is_negative = width == 4 && number > u64::from(i32::MAX.unsigned_abs());
        self.stack.push(if is_negative { Item::Plain } else { Item::Number(number) })
    }

    /// Reads a number that follows its length.
    fn long(&mut self) -> Result<(), Error> {
        let len = self.feed.number(1)?;
        if len > 8 {
            return self.plain(len);
        }
        let number = self.feed.number(len)?;
        let sign = len.checked_mul(8).and_then(|bits| bits.checked_sub(1)).map_or(0, |bit| number >> bit);
        self.stack.push(if sign == 1 { Item::Plain } else { Item::Number(number) })
    }

    fn dict(&mut self, items: &[Item]) -> Result<(), Error> {
        if !self.is_joblib() {
            return self.stack.push(Item::Plain);
        }
        let attributes = Attributes::none();
        attributes.borrow_mut().add(items);
        self.stack.push(Item::Dict(attributes))
    }

    fn bytes(&mut self, len: u64) -> Result<(), Error> {
        self.feed.skip_bytes(len)?;
        if self.stack.op == 0x96 {
            // The pickle can add bytes to it.
            return self.stack.push(Item::Plain);
        }
        let at = self.feed.at().saturating_sub(len);
        self.stack.push(Item::Bytes(Span { at, len, spelling: Spelling::Plain }))
    }

    /// Returns a length that `pickle.py` reads as a signed number, and the C reader of `BINSTRING` as an unsigned one.
    fn signed(&self, len: u64) -> Result<u64, Error> {
        let is_negative = len > u64::from(i32::MAX.unsigned_abs());
        if is_negative && (self.stack.op == 0x8b || self.is_python()) {
            return Err(self.stack.wrong("negative length"));
        }
        Ok(len)
    }

    fn text(&mut self, len: u64) -> Result<(), Error> {
        let (text, is_readable) = self.feed.first(len, u64::try_from(TEXT).unwrap_or(0), |kept| {
            let is_readable = kept.iter().all(|byte| matches!(byte, b' '..=b'~'));
            (Rc::<str>::from(String::from_utf8_lossy(kept)), is_readable && kept.len() > 1)
        })?;
        if is_readable {
            self.stack.trait_seen();
        }
        self.stack.push_text(text)?;
        let at = self.feed.at().saturating_sub(len);
        self.keep_place(Span { at, len, spelling: Spelling::Text })
    }

    /// Keeps the position of a text that is too long to be kept.
    fn keep_place(&mut self, span: Span) -> Result<(), Error> {
        if u64::try_from(TEXT).is_ok_and(|most| span.len > most)
            && let Item::Text(text) = self.stack.pop()?
        {
            self.stack.push(Item::Long(text, span))?;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Error> {
        let line = self.feed.line_of(feed::NUMBER)?;
        let taken = if self.stack.op == b'F' {
            numbers::float(&line)
        } else {
            numbers::integer(&line, self.stack.op == b'L')
        };
        self.taken(taken, "no number")?;
        // The form that Python writes; no other form is used here.
        let digits = line.kept.strip_suffix(b"L").unwrap_or(&line.kept);
        let number =
            str::from_utf8(digits).ok().filter(|_| self.stack.op != b'F').and_then(|text| text.parse().ok());
        self.stack.push(number.map_or(Item::Plain, Item::Number))
    }

    /// Continues if this reader accepts the line.
    fn taken(&mut self, taken: Taken, what: &'static str) -> Result<(), Error> {
        self.feed.forked |= taken.differs();
        if !taken.by(self.is_python()) {
            return Err(self.stack.wrong(what));
        }
        self.stack.trait_seen();
        Ok(())
    }

    fn index(&mut self) -> Result<Index, Error> {
        match self.stack.op {
            b'h' | b'q' => self.feed.byte().map(|index| Index::Small(index.into())),
            b'j' | b'r' => self.feed.number(4).map(Index::Small),
            _ => self.line_index(),
        }
    }

    /// Reads a memo index; an index that is too long to be kept is unknown.
    fn line_index(&mut self) -> Result<Index, Error> {
        let line = self.feed.line_of(feed::NUMBER)?;
        let (taken, index) = numbers::index(&line);
        self.taken(taken, "not a memo index")?;
        index.ok_or_else(|| self.stack.over("bytes in a number", feed::NUMBER))
    }

    fn string(&mut self) -> Result<(), Error> {
        let line = self.feed.line()?;
        let unquoted = match line.kept.split_first() {
            Some((&quote @ (b'\'' | b'"'), rest)) if line.is_longer && line.last == Some(quote) => rest,
            Some((&quote @ (b'\'' | b'"'), rest)) if !line.is_longer => {
                rest.strip_suffix(&[quote]).ok_or_else(|| self.stack.wrong("not a quoted string"))?
            }
            _ => return Err(self.stack.wrong("not a quoted string")),
        };
        let text = text::of_bytes(unquoted).or_else(|| line.is_longer.then(String::new));
        self.stack.trait_seen();
        self.stack.push_first(&text.ok_or_else(|| self.stack.wrong("invalid escape"))?)
    }

    fn unicode(&mut self) -> Result<(), Error> {
        // In a frame, a reader may read it from another position.
        let at = Some(self.feed.at()).filter(|_| self.feed.open().is_none());
        let line = self.feed.line()?;
        let text = text::of_unicode(&line.kept).or_else(|| line.is_longer.then(String::new));
        let text = text.ok_or_else(|| self.stack.wrong("invalid escape"))?;
        self.stack.push_first(&text)?;
        match at.filter(|_| line.is_longer || text.chars().count() > TEXT) {
            Some(at) => {
                let len = self.feed.at().saturating_sub(at).saturating_sub(1);
                self.keep_place(Span { at, len, spelling: Spelling::Line })
            }
            None => Ok(()),
        }
    }

    fn proto(&mut self) -> Result<(), Error> {
        let version = self.feed.byte()?;
        if version > 5 {
            return Err(Error::Protocol { version, at: self.stack.at });
        }
        self.walk.proto = true;
        Ok(())
    }

    fn frame(&mut self) -> Result<(), Error> {
        let len = self.feed.number(8)?;
        self.feed.open_frame(len, self.stack.at)?;
        self.walk.framed = true;
        Ok(())
    }
}
