//! A numpy array on the disk: `"\x93NUMPY"`, the version, the length of the header, the header; then the elements, which
//! are one pickle if their type has objects in it.
//!
//! Source: numpy's `lib/format.py`.

use std::io;

use crate::read_at::ReadAt;

/// Are there objects among the elements?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objects {
    No,
    /// The header could be read so.
    Perhaps,
    Yes,
}

/// Where the elements begin, and are there objects among them? `None` for a header that cannot be read.
pub(super) fn elements(source: &dyn ReadAt) -> io::Result<Option<(u64, Objects)>> {
    if source.len() < 12 {
        return Ok(None);
    }
    let head = source.read_vec_at(0, 12)?;
    let (begin, len) = match *head.as_slice() {
        [_, _, _, _, _, _, 1, _, low, high, _, _] => (10_u64, u32::from(u16::from_le_bytes([low, high]))),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d] => (12, u32::from_le_bytes([a, b, c, d])),
        _ => return Ok(None),
    };
    let end = begin.saturating_add(len.into());
    if len > 1 << 20 || end > source.len() {
        return Ok(None);
    }
    let header = source.read_vec_at(begin, usize::try_from(len).unwrap_or(0))?;
    if !header.starts_with(b"{") {
        return Ok(None);
    }
    // A type is `'|O'`, or stands in a list of fields; a field with such a name asks for one look too many.
    let objects = if header.split(|byte| matches!(byte, b'\'' | b'"')).any(is_object_type) {
        Objects::Yes
    } else if header.iter().any(|byte| matches!(byte, b'O' | b'\\')) || spells_object(&header) {
        // `'i4,O'`, `'3O'`, `'\x7cO'` and `'ob' 'ject'` are types of objects, too; names of fields look like them.
        Objects::Perhaps
    } else {
        Objects::No
    };
    Ok(Some((end, objects)))
}

/// Is it a type of objects, as numpy spells types: the byte order, then a letter?
fn is_object_type(word: &[u8]) -> bool {
    matches!(word.trim_ascii(), [b'O', ..] | [b'|' | b'<' | b'>' | b'=', b'O', ..] | b"object")
}

/// Do the letters of the header spell `object`, however they are quoted?
fn spells_object(header: &[u8]) -> bool {
    let letters: Vec<u8> = header.iter().copied().filter(u8::is_ascii_alphabetic).collect();
    letters.windows(6).any(|word| word == b"object")
}
