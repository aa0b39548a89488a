//! [`Input`] reads the bytes of a pickle forward: those in memory without a copy, others through one small buffer.
//!
//! Invariant: it never allocates more than the number of bytes left to read, whatever a length states.

use bstr::ByteSlice as _;

use super::{Error, Limits};
use crate::read_at::{ReadAt, usize_of};

/// Bytes per read, and bytes of the first read: most sources that are tried are not pickles.
const BUFFER: u64 = 64 << 10;
const FIRST: u64 = 4 << 10;

pub(crate) struct Input<'a> {
    source: &'a dyn ReadAt,
    /// The offset of the first byte that is in neither `known` nor `read`.
    ahead: u64,
    end: u64,
    /// The bytes that the source has in memory; unused after the first read.
    known: &'a [u8],
    /// The bytes that were read.
    read: Vec<u8>,
    /// The place of the next byte in those of the two that are in use.
    pos: usize,
    /// The offset at which a limit ends the bytes, although more may follow.
    capped: Option<u64>,
}

impl<'a> Input<'a> {
    pub(crate) fn new(source: &'a dyn ReadAt, at: u64, limits: &Limits) -> Self {
        let cap = at.saturating_add(limits.bytes);
        let capped = (source.len() > cap).then_some(limits.bytes);
        let end = source.len().min(cap);
        let known = source.known_at(at);
        let known = known.get(..usize_of(end.saturating_sub(at))).unwrap_or(known);
        let ahead = at.saturating_add(u64::try_from(known.len()).unwrap_or(0));
        Self { source, ahead, end, known, read: Vec::new(), pos: 0, capped }
    }

    /// Returns the bytes in memory, of which those from `pos` on are not consumed.
    #[inline]
    fn buf(&self) -> &[u8] {
        if self.read.is_empty() { self.known } else { &self.read }
    }

    /// Returns the offset of the next byte.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        let waiting = self.buf().len().saturating_sub(self.pos);
        self.ahead.saturating_sub(u64::try_from(waiting).unwrap_or(0))
    }

    /// Returns how many bytes are left.
    pub(crate) fn left(&self) -> u64 {
        self.end.saturating_sub(self.at())
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        match self.buf().get(self.pos) {
            Some(&byte) => {
                self.pos = self.pos.saturating_add(1);
                Ok(byte)
            }
            None => self.fetched_byte(),
        }
    }

    fn fetched_byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let len = u64::try_from(N).unwrap_or(u64::MAX);
        self.take(len)?.try_into().map_err(|_| Error::Truncated { at: 0 })
    }

    /// Reads the next `len` bytes.
    pub(crate) fn take(&mut self, len: u64) -> Result<&[u8], Error> {
        let waiting = self.buf().len().saturating_sub(self.pos);
        let len = match usize::try_from(len) {
            Ok(len) if len <= waiting => len,
            _ => self.fetch(len)?,
        };
        let start = self.pos;
        self.pos = self.pos.saturating_add(len);
        self.buf().get(start..self.pos).ok_or(Error::Truncated { at: self.end })
    }

    /// Reads until the next `len` bytes are in memory.
    fn fetch(&mut self, len: u64) -> Result<usize, Error> {
        if len > self.left() {
            return Err(self.ended());
        }
        let len = usize::try_from(len).map_err(|_| Error::Truncated { at: self.end })?;
        self.fill(len)?;
        Ok(len)
    }

    /// Skips the next `len` bytes without reading them.
    pub(crate) fn skip(&mut self, len: u64) -> Result<(), Error> {
        if len > self.left() {
            return Err(self.ended());
        }
        self.seek(self.at().saturating_add(len));
        Ok(())
    }

    /// Continues at the offset `to`, which is not before the next byte.
    pub(crate) fn seek(&mut self, to: u64) {
        let ahead = to.saturating_sub(self.at());
        let waiting = self.buf().len().saturating_sub(self.pos);
        match usize::try_from(ahead) {
            Ok(ahead) if ahead <= waiting => self.pos = self.pos.saturating_add(ahead),
            _ => (self.pos, self.ahead) = (self.buf().len(), to),
        }
    }

    /// Reads the bytes up to the next line feed, which is consumed and not returned.
    pub(crate) fn line(&mut self, limit: u64) -> Result<&[u8], Error> {
        let start = self.at();
        let mut seen = 0_usize;
        let len = loop {
            let waiting = self.buf().get(self.pos..).and_then(|rest| rest.get(seen..)).unwrap_or_default();
            if let Some(found) = waiting.find_byte(b'\n') {
                break seen.saturating_add(found);
            }
            seen = seen.saturating_add(waiting.len());
            if u64::try_from(seen).unwrap_or(u64::MAX) > limit {
                return Err(Error::Limit { what: "bytes in a line", limit, at: start });
            }
            if self.ahead >= self.end {
                return Err(self.ended());
            }
            self.fill(seen.saturating_add(1))?;
        };
        if u64::try_from(len).unwrap_or(u64::MAX) > limit {
            return Err(Error::Limit { what: "bytes in a line", limit, at: start });
        }
        let from = self.pos;
        let to = from.saturating_add(len);
        self.pos = to.saturating_add(1);
        self.buf().get(from..to).ok_or(Error::Truncated { at: self.end })
    }

    /// Reads the next bytes of a line, at most `most`, and returns `true` with them if the line ends there. The line
    /// feed is consumed and not returned; at the end of the source the result is empty.
    pub(crate) fn part_of_line(&mut self, most: u64) -> Result<(&[u8], bool), Error> {
        if most == 0 || self.left() == 0 {
            return Ok((&[], false));
        }
        self.fill(1)?;
        let from = self.pos;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let waiting = self.buf().get(from..).unwrap_or_default();
        let part = waiting.get(..most).unwrap_or(waiting);
        let found = part.find_byte(b'\n');
        let to = from.saturating_add(found.unwrap_or(part.len()));
        self.pos = to.saturating_add(usize::from(found.is_some()));
        Ok((self.buf().get(from..to).unwrap_or_default(), found.is_some()))
    }

    /// Makes sure that at least `len` bytes are in the buffer. The caller has checked that they exist.
    fn fill(&mut self, len: usize) -> Result<(), Error> {
        let waiting = self.buf().len().saturating_sub(self.pos);
        let Some(missing) = len.checked_sub(waiting).filter(|&missing| missing > 0) else { return Ok(()) };
        if self.read.is_empty() {
            self.read = self.known.get(self.pos..).unwrap_or_default().to_vec();
        } else {
            self.read.drain(..self.pos);
        }
        self.pos = 0;
        let missing = u64::try_from(missing).unwrap_or(u64::MAX);
        let before = self.known.len().max(self.read.capacity());
        let is_begun = u64::try_from(before).is_ok_and(|before| before >= FIRST);
        let most = if is_begun { BUFFER } else { FIRST };
        let more = missing.max(most).min(self.end.saturating_sub(self.ahead));
        let more_len = usize::try_from(more).map_err(|_| Error::Truncated { at: self.end })?;
        self.read.resize(waiting.saturating_add(more_len), 0);
        let at = self.ahead;
        let fresh = self.read.get_mut(waiting..).unwrap_or_default();
        self.source.read_exact_at(fresh, at).map_err(|source| Error::Io { at, source })?;
        self.ahead = self.ahead.saturating_add(more);
        Ok(())
    }

    pub(crate) fn ended(&self) -> Error {
        match self.capped {
            Some(limit) => Error::Limit { what: "bytes", limit, at: self.end },
            None => Error::Truncated { at: self.end },
        }
    }
}
