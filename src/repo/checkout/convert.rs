//! [`Survey`] and [`Converter`] convert a blob in two passes, in pieces of any length.
//!
//! The first pass finds out whether the content is text, which git checks for a whole content before it changes a line
//! end. The second pass writes.
//!
//! Invariant: the result does not depend on how the blob is split, and at most a piece and an unfinished `$Id: …` are
//! in memory.

use std::io::Write as _;

use bstr::ByteSlice as _;

use super::super::ObjectId;
use super::encoding::{Encoder, Stop};
use super::{LineEnds, Recipe, Unclear};

/// The longest unfinished `$Id: …` that is kept.
const LONGEST_IDENT: usize = 16 << 20;

/// The first pass over a blob.
#[derive(Debug)]
pub struct Survey<'a> {
    recipe: &'a Recipe,
    id: ObjectId,
    ident: Option<Ident>,
    stats: Stats,
    buf: Vec<u8>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(recipe: &'a Recipe, id: ObjectId) -> Self {
        let ident = recipe.ident.then(|| Ident::new(id));
        Self { recipe, id, ident, stats: Stats::default(), buf: Vec::new() }
    }

    /// Reads the next bytes of the blob.
    ///
    /// # Errors
    /// [`Unclear::Ident`]
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Unclear> {
        if self.recipe.keeps_line_ends() {
            return Ok(());
        }
        let Some(ident) = &mut self.ident else {
            self.stats.push(piece);
            return Ok(());
        };
        self.buf.clear();
        ident.push(piece, &mut self.buf)?;
        self.stats.push(&self.buf);
        Ok(())
    }

    /// Returns the second pass, after the last bytes; `None` if the recipe changes nothing.
    ///
    /// # Errors
    /// Currently none; as [`Survey::push`].
    pub fn finish(mut self) -> Result<Option<Converter>, Unclear> {
        if let Some(ident) = &mut self.ident {
            self.buf.clear();
            ident.finish(&mut self.buf);
            self.stats.push(&self.buf);
        }
        let converts = self.stats.converts(self.recipe.line_ends);
        Ok(self.converter(converts))
    }

    /// Returns, after the first bytes of a longer blob, the second pass over these bytes, which may convert content
    /// that git would not convert if it read the rest.
    pub fn finish_early(self) -> Option<Converter> {
        let converts = match self.recipe.line_ends {
            LineEnds::Kept => false,
            LineEnds::Detected => !self.stats.is_settled,
            LineEnds::Always => true,
        };
        self.converter(converts)
    }

    fn converter(self, converts: bool) -> Option<Converter> {
        let recipe = self.recipe;
        // The rest of a recipe that keeps line ends is a separate recipe.
        if recipe.line_ends != LineEnds::Kept && !converts {
            return None;
        }
        Some(Converter {
            ident: recipe.ident.then(|| Ident::new(self.id)),
            crlf: converts.then(Crlf::default),
            encoder: recipe.encoding.as_ref().map(Encoder::new),
            buf: Vec::new(),
            crlf_buf: Vec::new(),
        })
    }
}

/// The second pass over a blob.
pub struct Converter {
    ident: Option<Ident>,
    crlf: Option<Crlf>,
    encoder: Option<Encoder>,
    buf: Vec<u8>,
    crlf_buf: Vec<u8>,
}

impl Converter {
    /// Converts the next bytes of the blob. Returns `false` if git cannot, and writes the blob without this conversion.
    ///
    /// # Errors
    /// [`Unclear`]
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<bool, Unclear> {
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        let done = match &mut self.ident {
            Some(ident) => ident.push(piece, &mut buf).and_then(|()| self.rest(&buf, out)),
            None => self.rest(piece, out),
        };
        self.buf = buf;
        done
    }

    /// Finishes after the last bytes. Returns `false` as [`Converter::push`].
    ///
    /// # Errors
    /// As [`Converter::push`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<bool, Unclear> {
        let mut buf = Vec::new();
        if let Some(ident) = &mut self.ident {
            ident.finish(&mut buf);
        }
        Ok(self.rest(&buf, out)? && self.encoder.as_ref().is_none_or(Encoder::is_whole))
    }

    fn rest(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<bool, Unclear> {
        let mut buf = std::mem::take(&mut self.crlf_buf);
        buf.clear();
        let piece = match &mut self.crlf {
            Some(crlf) => {
                crlf.push(piece, &mut buf);
                &buf
            }
            None => piece,
        };
        let done = if let Some(encoder) = &mut self.encoder {
            encoder.push(piece, out)
        } else {
            out.extend_from_slice(piece);
            Ok(())
        };
        self.crlf_buf = buf;
        match done {
            Ok(()) => Ok(true),
            Err(Stop::Fails) => Ok(false),
            Err(Stop::Unclear(unclear)) => Err(unclear),
        }
    }
}

/// Replaces `$Id$` and `$Id: … $` as `ident_to_worktree` finds them.
#[derive(Debug)]
struct Ident {
    id: ObjectId,
    /// The bytes from a `$` on that may become one.
    pending: Vec<u8>,
}

impl Ident {
    fn new(id: ObjectId) -> Self {
        Self { id, pending: Vec::new() }
    }

    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Unclear> {
        let mut rest = piece;
        loop {
            if self.pending.is_empty() {
                let at = rest.find_byte(b'$').unwrap_or(rest.len());
                let (before, from) = rest.split_at_checked(at).unwrap_or_default();
                out.extend_from_slice(before);
                rest = from;
            }
            let Some((&byte, after)) = rest.split_first() else { return Ok(()) };
            rest = after;
            match (self.pending.as_slice(), byte) {
                (b"", b'$') | (b"$", b'I') | (b"$I", b'd') | (b"$Id", b':') => self.pending.push(byte),
                (b"$Id", b'$') => self.substitute(out),
                ([b'$', b'I', b'd', b':', text @ ..], b'$') => match text {
                    // Blanks indicate the keyword of another system.
                    [_, inner @ .., _] if inner.contains(&b' ') => self.restart(out),
                    _ => self.substitute(out),
                },
                ([b'$', b'I', b'd', b':', ..], _) if byte != b'\n' => {
                    if self.pending.len() >= LONGEST_IDENT {
                        return Err(Unclear::Ident);
                    }
                    self.pending.push(byte);
                }
                (_, b'$') => self.restart(out),
                (_, _) => {
                    self.finish(out);
                    out.push(byte);
                }
            }
        }
    }

    fn substitute(&mut self, out: &mut Vec<u8>) {
        self.pending.clear();
        let _infallible = write!(out, "$Id: {} $", self.id);
    }

    /// The pending bytes were not a keyword; the `$` that ended them may begin one.
    fn restart(&mut self, out: &mut Vec<u8>) {
        self.finish(out);
        self.pending.push(b'$');
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.pending);
    }
}

/// Adds a CR to every LF without one.
#[derive(Debug, Default)]
struct Crlf {
    is_after_cr: bool,
}

impl Crlf {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(at) = rest.find_byte(b'\n') {
            let (before, from) = rest.split_at_checked(at).unwrap_or_default();
            out.extend_from_slice(before);
            let is_after_cr = before.last().map_or(self.is_after_cr, |last| *last == b'\r');
            out.extend_from_slice(if is_after_cr { b"\n" } else { b"\r\n" });
            self.is_after_cr = false;
            rest = from.get(1..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
        self.is_after_cr = rest.last().map_or(self.is_after_cr, |last| *last == b'\r');
    }
}

/// The counts by which git detects text: `gather_stats`.
#[derive(Debug, Default)]
struct Stats {
    /// A NUL, a CR without LF, or a CRLF was found: whatever follows, git does not treat the content as text with only
    /// LF.
    is_settled: bool,
    lone_lf: bool,
    printable: u64,
    nonprintable: u64,
    last: Option<u8>,
}

impl Stats {
    fn push(&mut self, piece: &[u8]) {
        for &byte in piece {
            let is_after_cr = self.last == Some(b'\r');
            self.is_settled |= is_after_cr || byte == 0;
            match byte {
                b'\r' => {}
                b'\n' => self.lone_lf |= !is_after_cr,
                0x08 | b'\t' | 0x1b | 0x0c => self.printable = self.printable.saturating_add(1),
                0..0x20 | 0x7f => self.nonprintable = self.nonprintable.saturating_add(1),
                _ => self.printable = self.printable.saturating_add(1),
            }
            self.last = Some(byte);
        }
    }

    /// Returns `true` if git converts the line ends of the counted content.
    fn converts(&self, line_ends: LineEnds) -> bool {
        let is_text = || {
            let is_cr_last = self.last == Some(b'\r');
            // A control-Z at the end of a file is not part of the content.
            let is_sub_last = self.last == Some(0x1a);
            let nonprintable = self.nonprintable.saturating_sub(u64::from(is_sub_last));
            !self.is_settled && !is_cr_last && self.printable >> 7 >= nonprintable
        };
        match line_ends {
            LineEnds::Kept => false,
            LineEnds::Detected => self.lone_lf && is_text(),
            LineEnds::Always => self.lone_lf,
        }
    }
}
