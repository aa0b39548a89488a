//! Finds the pickles in a `MessagePack` file: msgpack-numpy unpickles the bytes of an array of objects.
//!
//! Such an array is a map in which `kind` is `O`. In a file with this pair, every byte string and every text counts
//! that is a pickle, whatever map it belongs to. The values are walked and not read, so a large array costs nothing; a file
//! on a server is walked only at its beginning, because each value would cost a request.
//!
//! Source: `decode` of msgpack-numpy; the specification of `MessagePack`.

use std::io::{self, Read as _, Seek as _};

use super::code::BEGINNING;
use super::pickles::{self, End, Stream};
use super::{Limits, Storages};
use crate::read_at::{ReadAt, Reader, Window};

/// Levels of values in values: msgpack stops there.
const DEPTH: usize = 1024;
/// How many bytes of a byte string are compared.
const SHORT: u64 = 4;

/// Values of a file.
const VALUES: u64 = 20_000_000;

/// One value, after its first bytes.
enum Token {
    /// An array or a map with this number of values.
    Container(u64),
    /// A byte string or a text of this length.
    Bytes(u64),
    /// Another value of this length.
    Other(u64),
}

/// Passes each pickle to `tell`, with its position.
pub(super) fn pickles(
    source: &dyn ReadAt,
    limits: &Limits,
    storages: Storages,
    tell: &mut dyn FnMut(u64, Stream) -> io::Result<()>,
) -> io::Result<End> {
    let until = if storages == Storages::LeftOut { BEGINNING } else { u64::MAX };
    let (mut is_kind, mut has_objects) = (false, false);
    let end = walk(source, until, &mut |_, _, first| {
        has_objects |= is_kind && first == b"O";
        is_kind = first == b"kind";
        Ok(!has_objects)
    })?;
    if !has_objects {
        return Ok(end);
    }
    let (mut found, mut is_whole) = (0_usize, true);
    let end = walk(source, until, &mut |at, len, _| {
        let Some(stream) = pickles::stream(&Window::new(source, at, len)?, limits)? else { return Ok(true) };
        is_whole = found < limits.pickles;
        found = found.saturating_add(1);
        if is_whole {
            tell(at, stream)?;
        }
        Ok(is_whole)
    })?;
    Ok(if is_whole { end } else { End::TooMany("pickles") })
}

/// Gets the position, the length and the first bytes of a byte string. Returns `true` for the next one.
type Each<'a> = &'a mut dyn FnMut(u64, u64, &[u8]) -> io::Result<bool>;

/// Passes the position, the length and the first bytes of each byte string before `until` to `each`, until that returns
/// `false`.
fn walk(source: &dyn ReadAt, until: u64, each: Each<'_>) -> io::Result<End> {
    let mut reader = Reader::new(source);
    let (mut at, mut values) = (0_u64, 0_u64);
    // The number of values that are missing on each level.
    let mut open: Vec<u64> = Vec::new();
    while at < source.len() {
        if at >= until {
            return Ok(End::Beginning);
        }
        if values >= VALUES {
            return Ok(End::TooMany("values"));
        }
        values = values.saturating_add(1);
        let Some((token, len)) = token(&mut reader, source.len().saturating_sub(at))? else { break };
        at = at.saturating_add(len);
        if let Some(left) = open.last_mut() {
            *left = left.saturating_sub(1);
        } else if !matches!(token, Token::Container(_)) {
            // Any bytes are values, but what follows the first one is rarely a container.
            break;
        }
        match token {
            Token::Container(_) if open.len() >= DEPTH => break,
            Token::Container(count) => open.push(count),
            Token::Bytes(len) if len > source.len().saturating_sub(at) => break,
            Token::Bytes(len) => {
                let mut first = Vec::new();
                reader.by_ref().take(len.min(SHORT.saturating_add(1))).read_to_end(&mut first)?;
                if !each(at, len, &first)? {
                    break;
                }
                at = at.saturating_add(len);
                reader.seek(io::SeekFrom::Start(at))?;
            }
            Token::Other(0) => {}
            Token::Other(len) => {
                at = at.saturating_add(len);
                reader.seek(io::SeekFrom::Start(at))?;
            }
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    Ok(End::Whole)
}

/// Reads the first bytes of a value of which `left` remain, and returns their number. `None` if they are not valid.
fn token(reader: &mut Reader<'_>, left: u64) -> io::Result<Option<(Token, u64)>> {
    let mut first = [0];
    reader.read_exact(&mut first)?;
    let [first] = first;
    let low = |mask: u8| u64::from(first & mask);
    let fixed = match first {
        0x80..=0x8f => Some(Token::Container(low(0x0f).saturating_mul(2))),
        0x90..=0x9f => Some(Token::Container(low(0x0f))),
        0xa0..=0xbf => Some(Token::Bytes(low(0x1f))),
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Some(Token::Other(0)),
        0xcc | 0xd0 => Some(Token::Other(1)),
        0xcd | 0xd1 | 0xd4 => Some(Token::Other(2)),
        0xca | 0xce | 0xd2 => Some(Token::Other(4)),
        0xcb | 0xcf | 0xd3 => Some(Token::Other(8)),
        0xd5 => Some(Token::Other(3)),
        0xd6 => Some(Token::Other(5)),
        0xd7 => Some(Token::Other(9)),
        0xd8 => Some(Token::Other(17)),
        _ => None,
    };
    if let Some(token) = fixed {
        return Ok(Some((token, 1)));
    }
    let width = match first {
        0xc4 | 0xc7 | 0xd9 => 1_u64,
        0xc5 | 0xc8 | 0xda | 0xdc | 0xde => 2,
        0xc6 | 0xc9 | 0xdb | 0xdd | 0xdf => 4,
        _ => return Ok(None),
    };
    if left <= width {
        return Ok(None);
    }
    let mut digits = Vec::new();
    reader.by_ref().take(width).read_to_end(&mut digits)?;
    let count = digits.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let token = match first {
        0xdc | 0xdd => Token::Container(count),
        0xde | 0xdf => Token::Container(count.saturating_mul(2)),
        // The type of an extension is one more byte.
        0xc7..=0xc9 => Token::Other(count.saturating_add(1)),
        _ => Token::Bytes(count),
    };
    Ok(Some((token, width.saturating_add(1))))
}
