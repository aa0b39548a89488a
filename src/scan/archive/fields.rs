//! Reads the little-endian numbers of a zip archive; a missing number is 0, because no reader continues with one.

/// Returns the number of `len` bytes at `at`, or `None` if the bytes are missing.
pub(super) fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let digits = bytes.get(at..)?.get(..len)?;
    Some(digits.iter().rev().fold(0, |number, &digit| number << 8 | u64::from(digit)))
}

/// Reads two bytes.
pub(super) fn short(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |digits| u16::from_le_bytes(*digits))
}

/// Reads four bytes.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |digits| u32::from_le_bytes(*digits))
}
