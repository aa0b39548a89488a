//! [`Feed`] returns the bytes of a pickle as one reader of Python reads them.
//!
//! Readers differ in how they treat frames, and a line at the end of the file:
//!
//! | | an operand or a line that crosses its frame | a frame longer than the file | a line without a line feed |
//! |---|---|---|---|
//! | [`Reader::Memory`] | continues without a gap | ends | ends |
//! | [`Reader::File`] | begins after the frame | ends | ends |
//! | [`Reader::FileInto`] | the same, but byte strings continue without a gap | ends | ends |
//! | [`Reader::Python`] | ends | is the rest of the file | counts as a line, without its last byte |
//!
//! The first three are the C reader: of bytes in memory, and of a file that cannot peek, which loses the rest of a
//! frame (python/cpython#154848; since 3.8 not for byte strings). The last is `pickle.py`, which `PyPy` and joblib use.
//!
//! Invariant: at most a mebibyte of a line is in memory, however long the line is.

use crate::pickle::{Error, Input, Limits};
use crate::read_at::ReadAt;

/// Bytes of a line that are kept, and of a line that is a number.
const KEPT: usize = 64 << 10;
pub(super) const NUMBER: usize = 1 << 20;
/// The most bytes of a line that are read.
const LINE: u64 = 1 << 30;

/// Which reader a walk follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Reader {
    /// The C reader of bytes in memory.
    Memory,
    /// The C reader of a file without `peek`, up to Python 3.7.
    File,
    /// The same reader since Python 3.8.
    FileInto,
    /// The reader that is written in Python (`pickle.py`).
    Python,
    /// `pickle.py` in joblib's version: the bytes of arrays are between opcodes.
    Joblib,
}

impl Reader {
    /// Returns `true` if this reader is written in Python.
    pub(super) fn is_python(self) -> bool {
        matches!(self, Self::Python | Self::Joblib)
    }
}

pub(super) struct Feed<'a> {
    input: Input<'a>,
    reader: Reader,
    len: u64,
    /// The end of the open frame.
    frame: Option<u64>,
    /// `true` if an operand crosses the end of its frame, or a frame opens inside another.
    pub(super) crossed: bool,
    /// `true` if another reader may continue where this one ends, or read other bytes.
    pub(super) forked: bool,
}

/// A line without its line feed.
pub(super) struct Line {
    /// Its first bytes.
    pub(super) kept: Vec<u8>,
    /// Its last byte.
    pub(super) last: Option<u8>,
    /// `true` if the line has more bytes than were kept.
    pub(super) is_longer: bool,
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        source: &'a dyn ReadAt,
        at: u64,
        limits: &Limits,
        reader: Reader,
        frame: Option<u64>,
    ) -> Self {
        let input = Input::new(source, at, limits);
        Self { input, reader, len: source.len(), frame, crossed: false, forked: false }
    }

    /// Returns the end of the open frame, if some of it is left.
    pub(super) fn open(&self) -> Option<u64> {
        self.frame.filter(|end| self.at() < *end)
    }

    #[inline]
    pub(super) fn at(&self) -> u64 {
        self.input.at()
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader
    }

    /// Reads the next byte.
    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        self.enter(1)?;
        self.input.byte()
    }

    /// Reads the next `len` bytes, a small number.
    pub(super) fn bytes(&mut self, len: u64) -> Result<&[u8], Error> {
        self.enter(len)?;
        self.input.take(len)
    }

    /// Reads a little-endian number of `width` bytes.
    pub(super) fn number(&mut self, width: u64) -> Result<u64, Error> {
        let mut number = 0;
        for (place, &digit) in (0_u32..).step_by(8).zip(self.bytes(width)?) {
            number |= u64::from(digit) << place;
        }
        Ok(number)
    }

    /// Reads the first `most` of the next `len` bytes by `read`, and skips the rest.
    pub(super) fn first<T>(
        &mut self,
        len: u64,
        most: u64,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Error> {
        self.enter(len)?;
        if len > self.input.left() {
            return Err(self.input.ended());
        }
        let kept = read(self.input.take(len.min(most))?);
        self.input.skip(len.saturating_sub(most))?;
        Ok(kept)
    }

    /// Skips `len` bytes.
    pub(super) fn skip(&mut self, len: u64) -> Result<(), Error> {
        self.enter(len)?;
        self.input.skip(len)
    }

    /// Skips a string of `len` bytes.
    pub(super) fn skip_bytes(&mut self, len: u64) -> Result<(), Error> {
        let end = self.at().saturating_add(len);
        if self.reader == Reader::FileInto
            && let Some(frame) = self.frame
            && self.at() < frame
            && frame < end
        {
            self.crossed = true;
            self.frame = None;
        }
        self.skip(len)
    }

    /// Moves to the position from which the reader reads the next `len` bytes.
    #[inline]
    fn enter(&mut self, len: u64) -> Result<(), Error> {
        match self.frame {
            Some(end) => self.enter_frame(len, end),
            None => Ok(()),
        }
    }

    fn enter_frame(&mut self, len: u64, end: u64) -> Result<(), Error> {
        let at = self.at();
        if at.saturating_add(len) <= end {
            return Ok(());
        }
        self.frame = None;
        if at < end {
            self.crossed = true;
            self.leave(end)?;
        }
        Ok(())
    }

    /// Applies what the reader does with the rest of a frame that is too short.
    fn leave(&mut self, end: u64) -> Result<(), Error> {
        match self.reader {
            Reader::Memory => {}
            Reader::File | Reader::FileInto if end <= self.len => self.input.seek(end),
            Reader::File | Reader::FileInto => return Err(self.input.ended()),
            Reader::Python | Reader::Joblib => return Err(Error::Frame { at: self.at() }),
        }
        Ok(())
    }

    /// Returns the offset at which the file continues after the frame: joblib reads arrays from there. `None` if some
    /// of the frame is left, because that precedes it.
    pub(super) fn leave_frame(&mut self) -> Option<u64> {
        let at = self.at();
        if self.frame.take().is_some_and(|end| at < end) { None } else { Some(at) }
    }

    /// Continues at a later byte.
    pub(super) fn go_on(&mut self, to: u64) -> Result<(), Error> {
        self.input.skip(to.saturating_sub(self.at()))
    }

    /// Opens a frame of `len` bytes.
    pub(super) fn open_frame(&mut self, len: u64, opcode: u64) -> Result<(), Error> {
        if len > i64::MAX.unsigned_abs() {
            return Err(Error::Frame { at: opcode });
        }
        let at = self.at();
        let end = at.saturating_add(len);
        if let Some(open) = self.frame.filter(|open| at < *open) {
            self.crossed = true;
            match self.reader {
                Reader::Memory => {}
                // The buffer contains the whole frame, and stays.
                Reader::File | Reader::FileInto if end <= open => return Ok(()),
                Reader::File | Reader::FileInto => {
                    self.leave(open)?;
                    self.frame = None;
                    return self.open_frame(len, opcode);
                }
                Reader::Python | Reader::Joblib => return Err(Error::Frame { at: opcode }),
            }
        }
        if end > self.len {
            self.forked = true;
            if !self.reader.is_python() {
                return Err(Error::Frame { at: opcode });
            }
        }
        self.frame = Some(end);
        Ok(())
    }

    /// The next line.
    pub(super) fn line(&mut self) -> Result<Line, Error> {
        self.line_of(KEPT)
    }

    /// Reads the next line, and keeps `kept` bytes of it.
    pub(super) fn line_of(&mut self, kept: usize) -> Result<Line, Error> {
        let Some(end) = self.frame.filter(|end| self.at() < self.len.min(*end)) else {
            self.frame = None;
            return self.read_line(None, kept);
        };
        if self.reader == Reader::Memory {
            let line = self.read_line(None, kept)?;
            if self.at() > end {
                self.crossed = true;
                self.frame = None;
            }
            return Ok(line);
        }
        let begin = self.at();
        match self.read_line(Some(end), kept) {
            Err(Error::Truncated { .. }) => {
                self.crossed = true;
                self.frame = None;
                if self.reader.is_python() {
                    return Err(Error::Frame { at: begin });
                }
                self.leave(end)?;
                self.read_line(None, kept)
            }
            line => line,
        }
    }

    /// Reads up to a line feed, or to `end` if a line feed must come before it.
    fn read_line(&mut self, end: Option<u64>, kept: usize) -> Result<Line, Error> {
        let begin = self.at();
        let mut line = Line { kept: Vec::new(), last: None, is_longer: false };
        loop {
            let left = end.unwrap_or(u64::MAX).min(self.len).saturating_sub(self.at());
            let (part, is_whole) = self.input.part_of_line(left)?;
            if let Some(&last) = part.last() {
                line.last = Some(last);
            }
            let room = kept.saturating_sub(line.kept.len());
            line.is_longer |= part.len() > room;
            line.kept.extend_from_slice(part.get(..room).unwrap_or(part));
            let is_empty = part.is_empty();
            if is_whole {
                return Ok(line);
            }
            if is_empty {
                return self.unended(line, end);
            }
            if self.at().saturating_sub(begin) > LINE {
                return Err(Error::Limit { what: "bytes in a line", limit: LINE, at: begin });
            }
        }
    }

    /// Handles a line that ends with the file.
    fn unended(&mut self, mut line: Line, end: Option<u64>) -> Result<Line, Error> {
        self.forked = true;
        if !self.reader.is_python() || end.is_some() {
            return Err(self.input.ended());
        }
        // The byte that the reader treats as the line feed.
        if !line.is_longer {
            line.kept.pop();
        }
        Ok(line)
    }
}
