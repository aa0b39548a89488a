//! The operands of a walk: what stands behind an opcode, in the reading of frames that the walk takes.

use super::{Error, Frames, Item, TEXT, Walker};

impl Walker<'_> {
    /// Before `len` bytes are taken: do they cross the end of the frame?
    pub(super) fn cross(&mut self, len: u64) {
        let Some(end) = self.frame else { return };
        let at = self.input.at();
        if at >= end {
            self.frame = None;
        } else if at.saturating_add(len) > end {
            self.walk.crossed = true;
            if self.frames != Frames::Ignored {
                self.input.seek(end);
            }
            self.frame = None;
        }
    }

    pub(super) fn operand(&mut self, len: u64) -> Result<&[u8], Error> {
        self.cross(len);
        self.input.take(len)
    }

    pub(super) fn length(&mut self, width: u64) -> Result<u64, Error> {
        let bytes = self.operand(width)?;
        Ok(bytes.iter().rev().fold(0, |number, &digit| number << 8 | u64::from(digit)))
    }

    pub(super) fn plain(&mut self, len: u64) -> Result<(), Error> {
        self.cross(len);
        self.input.skip(len)?;
        self.push(Item::Plain)
    }

    pub(super) fn bytes(&mut self, len: u64) -> Result<(), Error> {
        if self.frames == Frames::TextSkipped {
            let end = self.input.at().saturating_add(len);
            self.walk.crossed |= self.frame.is_some_and(|frame| self.input.at() < frame && frame < end);
            self.frame = self.frame.filter(|frame| *frame >= end);
        }
        self.plain(len)
    }

    pub(super) fn text(&mut self, len: u64) -> Result<(), Error> {
        self.cross(len);
        let kept = len.min(u64::try_from(TEXT).unwrap_or(0));
        let text = String::from_utf8_lossy(self.input.take(kept)?).into_owned();
        self.input.skip(len.saturating_sub(kept))?;
        self.push_text(text)
    }

    pub(super) fn line(&mut self) -> Result<Vec<u8>, Error> {
        if let Some(end) = self.frame {
            let left = end.saturating_sub(self.input.at());
            // A line that is not whole in its frame is the one behind it.
            let at = self.input.at();
            let whole = self.input.line(self.limits.line).map(<[u8]>::to_vec);
            if self.input.at().saturating_sub(at) <= left && whole.is_ok() {
                return whole;
            }
            self.walk.crossed = true;
            self.frame = None;
            if self.frames == Frames::Ignored || self.input.at() > end {
                return whole;
            }
            self.input.seek(end);
        }
        self.input.line(self.limits.line).map(<[u8]>::to_vec)
    }

    pub(super) fn number(&mut self, digit: fn(u8) -> bool) -> Result<(), Error> {
        let line = self.line()?;
        let digits = line.trim_ascii();
        if digits.is_empty() || !digits.iter().copied().all(digit) {
            return Err(self.wrong("no number"));
        }
        self.push(Item::Plain)
    }

    pub(super) fn string(&mut self) -> Result<(), Error> {
        let line = self.line()?;
        let quoted = match line.trim_ascii() {
            [first @ (b'\'' | b'"'), text @ .., last] if first == last => unescaped(text, Escapes::Bytes),
            _ => return Err(self.wrong("no quoted string")),
        };
        self.push_text(quoted)
    }

    pub(super) fn unicode(&mut self) -> Result<(), Error> {
        let line = self.line()?;
        self.push_text(unescaped(&line, Escapes::Unicode))
    }

    pub(super) fn text_index(&mut self) -> Result<u64, Error> {
        let line = self.line()?;
        let digits: String =
            line.trim_ascii().iter().filter(|byte| **byte != b'_').map(|byte| char::from(*byte)).collect();
        digits.parse().map_err(|_| self.wrong("no memo index"))
    }

    pub(super) fn proto(&mut self) -> Result<(), Error> {
        let version = self.operand(1)?.first().copied().unwrap_or_default();
        if version > 5 {
            return Err(Error::Protocol { version, at: self.at });
        }
        self.walk.proto = true;
        Ok(())
    }

    pub(super) fn open_frame(&mut self) -> Result<(), Error> {
        let len = self.length(8)?;
        if len > self.input.left() {
            return Err(Error::Frame { at: self.at });
        }
        let end = self.input.at().saturating_add(len);
        // One that opens inside another and ends elsewhere is read in several ways, too.
        self.walk.crossed |= self.frame.is_some_and(|open| open > self.input.at());
        self.frame = Some(end);
        Ok(())
    }
}

/// Which escapes a line has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// `\xhh`, `\ooo` and `\` before another byte: `STRING`.
    Bytes,
    /// `\uhhhh` and `\Uhhhhhhhh`: `UNICODE`.
    Unicode,
}

/// The text of a line with escapes, as far as a name can have any.
fn unescaped(text: &[u8], escapes: Escapes) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT));
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let (skipped, digits, radix) = match (byte, rest.first(), escapes) {
            (b'\\', Some(b'x'), Escapes::Bytes) => (1, 2, 16),
            (b'\\', Some(b'0'..=b'7'), Escapes::Bytes) => {
                (0, rest.iter().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count(), 8)
            }
            (b'\\', Some(_), Escapes::Bytes) => continue,
            (b'\\', Some(b'u'), Escapes::Unicode) => (1, 4, 16),
            (b'\\', Some(b'U'), Escapes::Unicode) => (1, 8, 16),
            _ => {
                out.push(char::from(byte));
                continue;
            }
        };
        let code = rest.get(skipped..).and_then(|rest| rest.get(..digits));
        let code = code.and_then(|code| str::from_utf8(code).ok());
        match code.and_then(|code| u32::from_str_radix(code, radix).ok()).and_then(char::from_u32) {
            Some(code) => {
                out.push(code);
                rest = rest.get(digits.saturating_add(skipped)..).unwrap_or_default();
            }
            None => out.push('\\'),
        }
    }
    out
}
