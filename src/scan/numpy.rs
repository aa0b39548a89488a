//! Reads the header of a numpy array file: `"\x93NUMPY"`, the version, the length of the header, the header; then the
//! elements, which are one pickle if their type contains objects.
//!
//! numpy evaluates the header as Python's `literal_eval` does, with comments, prefixes and escapes. This module reads
//! only a header that is spelled as numpy writes it; after any other header the type of the elements is unknown, so
//! they are scanned.
//!
//! Source: numpy's `lib/format.py` (versions 1.0, 2.0 and 3.0), and the array interface for the types.

use std::io;

use crate::read_at::ReadAt;

/// The most bytes of a header that are read. numpy has no limit if it may unpickle.
const HEADER: u32 = 1 << 20;
/// Levels of types in types.
const DEPTH: usize = 32;

/// Whether the elements contain objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Objects {
    No,
    /// They may: the header could mean that to numpy.
    Perhaps,
    Yes,
}

/// Returns the offset of the elements, and whether they contain objects. `None` for a header that numpy cannot read.
pub(super) fn elements(source: &dyn ReadAt) -> io::Result<Option<(u64, Objects)>> {
    if source.len() < 10 {
        return Ok(None);
    }
    let head = source.read_vec_at(0, usize::try_from(source.len().min(12)).unwrap_or(0))?;
    let (begin, len) = match *head.as_slice() {
        [_, _, _, _, _, _, 1, 0, low, high, ..] => (10_u64, u32::from(u16::from_le_bytes([low, high]))),
        [_, _, _, _, _, _, 2 | 3, 0, a, b, c, d] => (12, u32::from_le_bytes([a, b, c, d])),
        _ => return Ok(None),
    };
    let end = begin.saturating_add(len.into());
    if end > source.len() {
        return Ok(None);
    }
    if len > HEADER {
        return Ok(Some((end, Objects::Perhaps)));
    }
    let header = source.read_vec_at(begin, usize::try_from(len).unwrap_or(0))?;
    Ok(Some((end, objects_of(&header))))
}

fn objects_of(header: &[u8]) -> Objects {
    Header { rest: header }.objects().unwrap_or(Objects::Perhaps)
}

/// A header as numpy writes it: a dict of three keys, spaces, a line feed. Any other spelling is `None`.
struct Header<'a> {
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    fn objects(mut self) -> Option<Objects> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        self.word(b"{")?;
        while !self.is(b"}") {
            let key = self.string()?;
            self.word(b":")?;
            match key {
                b"descr" if descr.is_none() => descr = Some(self.descr(0)?),
                b"fortran_order" if order.is_none() => {
                    order = Some(self.word(if self.is(b"T") { b"True" } else { b"False" })?);
                }
                b"shape" if shape.is_none() => shape = Some(self.shape()?),
                _ => return None,
            }
            if !self.is(b"}") {
                self.word(b",")?;
            }
        }
        self.word(b"}")?;
        let ends = self.rest.iter().all(|byte| matches!(byte, b' ' | b'\n'));
        descr.filter(|_| ends && order.is_some() && shape.is_some())
    }

    /// Reads a type, or a list of fields: a name and a type, and perhaps a shape.
    fn descr(&mut self, depth: usize) -> Option<Objects> {
        if depth > DEPTH {
            return None;
        }
        if !self.is(b"[") {
            return self.string().and_then(of_type).map(|(objects, _)| objects);
        }
        self.word(b"[")?;
        let mut objects = Objects::No;
        while !self.is(b"]") {
            self.word(b"(")?;
            if self.is(b"(") {
                // A title precedes the name.
                self.word(b"(")?;
                self.string()?;
                self.word(b",")?;
                self.string()?;
                self.word(b")")?;
            } else {
                self.string()?;
            }
            self.word(b",")?;
            objects = objects.max(self.descr(depth.saturating_add(1))?);
            if self.is(b",") {
                self.word(b",")?;
                self.shape()?;
            }
            self.word(b")")?;
            if !self.is(b"]") {
                self.word(b",")?;
            }
        }
        self.word(b"]")?;
        Some(objects)
    }

    /// Reads a tuple of numbers.
    fn shape(&mut self) -> Option<()> {
        self.word(b"(")?;
        while !self.is(b")") {
            let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            self.rest = self.rest.get(digits..).filter(|_| digits > 0)?;
            self.word(if self.is(b")") { b"" } else { b"," })?;
        }
        self.word(b")")
    }

    /// Reads a string without escapes. Python would join two adjacent strings.
    fn string(&mut self) -> Option<&'a [u8]> {
        let (&quote, rest) = self.rest.split_first().filter(|(quote, _)| matches!(quote, b'\'' | b'"'))?;
        let end = rest.iter().position(|&byte| byte == quote || byte == b'\\' || byte < b' ')?;
        let (string, rest) = rest.split_at_checked(end)?;
        self.rest = rest.strip_prefix(&[quote])?;
        self.blanks();
        if self.is(b"'") || self.is(b"\"") { None } else { Some(string) }
    }

    fn is(&self, word: &[u8]) -> bool {
        self.rest.starts_with(word)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        self.blanks();
        Some(())
    }

    fn blanks(&mut self) {
        while let Some(rest) = self.rest.strip_prefix(b" ") {
            self.rest = rest;
        }
    }
}

/// Classifies a type by the strings that numpy writes: the byte order, a letter, the bytes per element, the unit of a
/// time. The second value is the number of bytes per element, if the string states it.
pub(super) fn of_type(name: &[u8]) -> Option<(Objects, Option<u64>)> {
    let ([b'|' | b'<' | b'>' | b'=', letter, rest @ ..] | [letter, rest @ ..]) = name else { return None };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = rest.split_at_checked(digits)?;
    let size = str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    match (letter, digits, unit) {
        (b'O', _, []) => Some((Objects::Yes, None)),
        // A character has four bytes.
        (b'U', [_, ..], []) => Some((Objects::No, size.and_then(|size| size.checked_mul(4)))),
        (b'b' | b'i' | b'u' | b'f' | b'c' | b'S' | b'a' | b'V', [_, ..], []) | (b'M' | b'm', b"8", []) => {
            Some((Objects::No, size))
        }
        (b'M' | b'm', b"8", [b'[', unit @ .., b']']) if unit.iter().all(u8::is_ascii_alphanumeric) => {
            Some((Objects::No, size))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_descr(descr: &str) -> Objects {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (3, 4), }}   \n");
        objects_of(header.as_bytes())
    }

    #[test]
    fn types_as_numpy_writes_them() {
        for descr in [
            "'<f8'",
            "'|b1'",
            "'>i4'",
            "'<c16'",
            "'<U10'",
            "'|V8'",
            "'<M8[D]'",
            "'<m8[25s]'",
            "[('a', '<f4'), ('O', '<i2')]",
            "[('a', '<f4', (2, 3)), (('title', 'b'), [('object', '|V1')])]",
            "[]",
            "[('O\"b', '<f4')]",
        ] {
            assert_eq!(of_descr(descr), Objects::No, "{descr}");
        }
        for descr in ["'|O'", "'O'", "'|O8'", "[('a', '<f4'), ('b', '|O')]", "[('a', [('b', '|O')])]"] {
            assert_eq!(of_descr(descr), Objects::Yes, "{descr}");
        }
        for descr in [
            "'object'",
            "'i4,O'",
            "'3O'",
            r"'\x7cO'",
            "'ob' 'ject'",
            "'|' '|O'",
            "u'|O'",
            "b'|O'",
            "r'<f8'",
            "'f'",
            "'(2,)O'",
            "('<f4', (2,))",
            "'''|O'''",
            "'<f8' ''",
            "{'names': ['a'], 'formats': ['O']}",
            "['<f8']",
        ] {
            assert_eq!(of_descr(descr), Objects::Perhaps, "{descr}");
        }
    }

    #[test]
    fn another_spelling_of_a_header_says_nothing() {
        let rest = "'fortran_order': False, 'shape': (3,)";
        for header in [
            format!(" {{'descr': '<f8', {rest}}}\n"),
            format!("\t{{'descr': '<f8', {rest}}}\n"),
            format!("\n{{'descr': '<f8', {rest}}}\n"),
            format!("{{'descr': '<f8', {rest}}} # and more\n"),
            format!("{{'descr': '<f8',\n{rest}}}\n"),
            format!("{{'descr': '<f8', {rest}, 'descr': '|O'}}\n"),
            format!("{{'descr': '<f8', {rest}, **{{'descr': '|O'}}}}\n"),
            format!("{{'d' 'escr': '<f8', {rest}}}\n"),
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3L,), }\n".to_owned(),
            "{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}\n".to_owned(),
            "{'descr': '<f8', 'shape': (3,)}\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(objects_of(header.as_bytes()), Objects::Perhaps, "{header}");
        }
        let order = b"{'shape': (), 'fortran_order': True, 'descr': '<f8'}\n";
        assert_eq!(objects_of(order), Objects::No);
    }
}
