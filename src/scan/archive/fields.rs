//! Reads the little-endian numbers of a zip archive; a missing number is 0, because no reader continues with one.

/// Returns the number of `len` bytes at `at`, or `None` if the bytes are missing.
pub(super) fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let digits = bytes.get(at..)?.get(..len)?;
    Some(digits.iter().rev().fold(0, |number, &digit| number << 8 | u64::from(digit)))
}

/// Reads two bytes.
pub(super) fn short(bytes: &[u8], at: usize) -> u16 {
    number(bytes, at, 2).and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}

/// Reads four bytes.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    number(bytes, at, 4).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}
