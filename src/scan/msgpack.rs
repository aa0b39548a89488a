//! Finds the pickles in a `MessagePack` file: msgpack-numpy unpickles the bytes of an array of objects.
//!
//! Such an array is a map in which `kind` is `O`, or a map that the hook itself makes an `O`. In a file with this pair,
//! every byte string and every text counts that is a pickle, whatever map it belongs to. The values are walked and not
//! read, so a large array costs nothing; a file on a server is walked only at its beginning, because each value would
//! cost a request.
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
/// Bytes that are read at once to find the first container.
const AT_ONCE: usize = 4 << 10;
/// Bytes of the values that no container contains. A stream can have any number of them, but any bytes are such values.
const LOOSE: u64 = 64 << 10;

/// One value, after its first bytes.
enum Token {
    /// An array with this number of values.
    Array(u64),
    /// A map with this number of keys and values.
    Map(u64),
    /// A byte string or a text of this length.
    Bytes(u64),
    /// Another value of this length.
    Other(u64),
}

/// A value of interest.
enum Value<'a> {
    Map,
    /// A byte string or a text, with its first bytes.
    Bytes {
        at: u64,
        len: u64,
        first: &'a [u8],
    },
}

/// A container that is being walked.
struct Level {
    /// The number of values that are missing; in a map an even number before a key.
    left: u64,
    is_map: bool,
    /// Its last key makes a loader refuse the map as soon as it has the value.
    is_refused: bool,
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
    let end = walk(source, until, &mut |value| {
        has_objects |= is_kind && matches!(value, Value::Map | Value::Bytes { first: b"O", .. });
        is_kind = matches!(value, Value::Bytes { first: b"kind", .. });
        Ok(!has_objects)
    })?;
    if !has_objects {
        return Ok(end);
    }
    let (mut found, mut is_whole) = (0_usize, true);
    let end = walk(source, until, &mut |value| {
        let Value::Bytes { at, len, .. } = value else { return Ok(true) };
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

/// Gets a value. Returns `true` for the next one.
type Each<'a> = &'a mut dyn FnMut(Value<'_>) -> io::Result<bool>;

/// Passes the maps and the byte strings before `until` to `each`, until that returns `false`.
///
/// A file that begins like a stream of numbers is rarely one, so from the first value outside of containers on, a map
/// counts only as far as a loader reads it that accepts no other keys than texts.
fn walk(source: &dyn ReadAt, until: u64, each: Each<'_>) -> io::Result<End> {
    let mut reader = Reader::new(source);
    let mut loose = numbers(source)?;
    let (mut at, mut values) = (loose, 0_u64);
    reader.seek(io::SeekFrom::Start(at))?;
    let mut open: Vec<Level> = Vec::new();
    while at < source.len() {
        if open.is_empty() && loose >= LOOSE {
            break;
        }
        if at >= until {
            return Ok(End::Beginning);
        }
        if values >= VALUES {
            // What begins with numbers is more likely not MessagePack than too long.
            return Ok(if loose > 0 { End::Whole } else { End::TooMany("values") });
        }
        values = values.saturating_add(1);
        let Some((token, len)) = token(&mut reader, source.len().saturating_sub(at))? else { break };
        at = at.saturating_add(len);
        if let Some(level) = open.last_mut() {
            let is_key = level.is_map && level.left.is_multiple_of(2);
            level.is_refused |= is_key && loose > 0 && !matches!(token, Token::Bytes(_));
            level.left = level.left.saturating_sub(1);
        } else if let Token::Bytes(rest) | Token::Other(rest) = token {
            loose = loose.saturating_add(len).saturating_add(rest);
        }
        match token {
            Token::Array(_) | Token::Map(_) if open.len() >= DEPTH => break,
            Token::Array(left) => open.push(Level { left, is_map: false, is_refused: false }),
            Token::Map(left) => {
                open.push(Level { left, is_map: true, is_refused: false });
                if !each(Value::Map)? {
                    break;
                }
            }
            Token::Bytes(len) if len > source.len().saturating_sub(at) => break,
            Token::Bytes(len) => {
                let mut first = Vec::new();
                reader.by_ref().take(len.min(SHORT.saturating_add(1))).read_to_end(&mut first)?;
                if !each(Value::Bytes { at, len, first: &first })? {
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
        if is_refused(&mut open) {
            break;
        }
    }
    Ok(End::Whole)
}

/// Leaves the containers that are complete. Returns `true` if a loader refuses one of them.
fn is_refused(open: &mut Vec<Level>) -> bool {
    while let Some(level) = open.last() {
        if level.is_refused && level.left.is_multiple_of(2) {
            return true;
        }
        if level.left > 0 {
            return false;
        }
        open.pop();
    }
    false
}

/// Returns how many of the first bytes are values of one byte outside of a container, [`LOOSE`] of them at most.
fn numbers(source: &dyn ReadAt) -> io::Result<u64> {
    let mut count = 0_u64;
    while count < source.len().min(LOOSE) {
        let bytes = usize::try_from(source.len().saturating_sub(count)).unwrap_or(AT_ONCE).min(AT_ONCE);
        let bytes = source.read_vec_at(count, bytes)?;
        let numbers =
            bytes.iter().take_while(|byte| matches!(byte, 0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff));
        let numbers = numbers.count();
        count = count.saturating_add(u64::try_from(numbers).unwrap_or(u64::MAX));
        if numbers < bytes.len() {
            break;
        }
    }
    Ok(count)
}

/// Reads the first bytes of a value of which `left` remain, and returns their number. `None` if they are not valid.
fn token(reader: &mut Reader<'_>, left: u64) -> io::Result<Option<(Token, u64)>> {
    let mut first = [0];
    reader.read_exact(&mut first)?;
    let [first] = first;
    let low = |mask: u8| u64::from(first & mask);
    let fixed = match first {
        0x80..=0x8f => Some(Token::Map(low(0x0f).saturating_mul(2))),
        0x90..=0x9f => Some(Token::Array(low(0x0f))),
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
        0xdc | 0xdd => Token::Array(count),
        0xde | 0xdf => Token::Map(count.saturating_mul(2)),
        // The type of an extension is one more byte.
        0xc7..=0xc9 => Token::Other(count.saturating_add(1)),
        _ => Token::Bytes(count),
    };
    Ok(Some((token, width.saturating_add(1))))
}
