//! Lists the members of a tar archive: for each a block of 512 bytes, then its content in whole blocks.
//!
//! ```text
//!   0  name, 100 bytes     124  size, 12 octal digits, or base 256 if its first bit is set
//! 148  checksum            156  type: 'L', 'K', 'x', 'X' and 'g' describe the next member, '1' to '6' have no content
//! ```
//! Source: POSIX `pax`, and GNU tar's manual.

use std::io;

use crate::read_at::ReadAt;

/// The most bytes of an extended header that are read.
const EXTENDED: u64 = 1 << 20;

/// A file in the archive.
pub(super) struct TarMember {
    pub(super) name: String,
    pub(super) at: u64,
    pub(super) len: u64,
}

/// Visits every file. Returns the reason if some could not be found.
pub(super) fn members(
    source: &dyn ReadAt,
    most: usize,
    mut visit: impl FnMut(&TarMember) -> io::Result<()>,
) -> io::Result<Option<&'static str>> {
    let mut at = 0_u64;
    let mut doubt = None;
    for _ in 0..most {
        let left = source.len().saturating_sub(at);
        if left == 0 {
            return Ok(doubt);
        }
        if left < 512 {
            return Ok(Some("truncated header"));
        }
        let block = source.read_vec_at(at, 512)?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(doubt);
        }
        let Some(len) = size(block.get(124..136).unwrap_or_default()).filter(|_| is_tar(&block)) else {
            return Ok(Some("damaged header"));
        };
        let content = at.saturating_add(512);
        if len > source.len().saturating_sub(content) {
            return Ok(Some("truncated member"));
        }
        match block.get(156) {
            Some(b'x' | b'g' | b'X') => {
                let records = source.read_vec_at(content, usize::try_from(len.min(EXTENDED)).unwrap_or(0))?;
                if len > EXTENDED {
                    doubt = Some("extended header over the limit");
                } else if records.windows(6).any(|six| six == b" size=") {
                    doubt = Some("an extended header overrides a member's size");
                } else if records.windows(11).any(|word| word == b"GNU.sparse.") {
                    doubt = Some("sparse member");
                }
            }
            Some(b'L' | b'K') => {}
            kind => {
                match kind {
                    Some(b'S') => doubt = Some("sparse member"),
                    // Readers that treat these members by their type continue with the next header, which is in these
                    // bytes.
                    Some(b'1'..=b'6') if len > 0 => {
                        doubt = Some("link or directory with a size");
                    }
                    // Python treats an unknown type as a file.
                    _ => {}
                }
                let name =
                    block.get(..100).unwrap_or_default().split(|&byte| byte == 0).next().unwrap_or_default();
                visit(&TarMember { name: String::from_utf8_lossy(name).into_owned(), at: content, len })?;
            }
        }
        at = content.saturating_add(len.next_multiple_of(512));
    }
    Ok(Some("more members than the limit"))
}

/// Returns `true` for a tar header, with or without the magic of POSIX (torch before 0.2 wrote none): its checksum is
/// correct.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..512) else { return false };
    let Some(stored) = number(block.get(148..156).unwrap_or_default()) else { return false };
    let bytes =
        block.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte });
    let sum = bytes.clone().fold(0_i64, |sum, byte| sum.saturating_add(byte.into()));
    // Some old writers, and every reader, also accept sums of signed bytes.
    let signed = bytes.fold(0_i64, |sum, byte| sum.saturating_add(byte.cast_signed().into()));
    stored == sum || stored == signed
}

fn size(field: &[u8]) -> Option<u64> {
    u64::try_from(number(field)?).ok()
}

/// Reads a number as Python does: in base 256 if its first byte indicates that, else in octal digits up to the first
/// NUL.
fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let start = match first {
        0x80 => 0,
        0xff => -1,
        _ => return None,
    };
    rest.iter().try_fold(start, |number: i64, &byte| number.checked_mul(256)?.checked_add(byte.into()))
}

/// Reads octal digits as Python's `int` does.
fn octal(field: &[u8]) -> Option<i64> {
    let text = str::from_utf8(field.split(|&byte| byte == 0).next()?).ok()?;
    let is_space = |letter: char| letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter);
    let text = text.trim_matches(is_space).replace('_', "");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let digits = digits.strip_prefix("0o").or_else(|| digits.strip_prefix("0O")).unwrap_or(digits);
    let number = i64::from_str_radix(if digits.is_empty() { "0" } else { digits }, 8).ok()?;
    number.checked_mul(sign)
}
