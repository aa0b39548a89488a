//! A number of bytes as users write it ([`Size`]) and read it ([`bytes`]).

use std::str::FromStr;

/// A number of bytes: `1048576`, `64MiB`, `20GB`, `1.5TB`. `kB`, `MB`, … are powers of 1000; `KiB`, `MiB`, … are powers
/// of 1024, and so are `k`, `m`, `g`, `t`, as in git. Case does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// The text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a size: bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB, TiB")]
pub struct InvalidSize;

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let scale = scale(unit.trim_start()).ok_or(InvalidSize)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        // A fraction of a byte is invalid.
        let is_part = number.contains('.');
        if whole.is_empty() || part.is_empty() || part.len() > 9 || (is_part && scale == 1) {
            return Err(InvalidSize);
        }
        let (whole, numerator): (u128, u128) = (parse(whole)?, parse(part)?);
        let denominator = 10_u128.pow(u32::try_from(part.len()).map_err(|_| InvalidSize)?);
        let bytes =
            whole.checked_mul(scale).and_then(|bytes| bytes.checked_add(numerator * scale / denominator));
        bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(Self).ok_or(InvalidSize)
    }
}

fn parse(digits: &str) -> Result<u128, InvalidSize> {
    digits.parse().map_err(|_| InvalidSize)
}

fn scale(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let (letter, rest) = match unit.char_indices().nth(1) {
        None if unit.is_empty() || unit == "b" => return Some(1),
        None => (unit.as_str(), "ib"),
        Some((second, _)) => unit.split_at(second),
    };
    let power = 1 + u32::try_from("kmgtpe".find(letter)?).ok()?;
    match rest {
        "b" => Some(1000_u128.pow(power)),
        "ib" => Some(1024_u128.pow(power)),
        _ => None,
    }
}

/// Formats a number of bytes: `512 bytes`, `1.5 KiB`, `4.9 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") };
    }
    // The largest unit with a value of at least one, after rounding to a tenth.
    let (mut scale, mut unit) = (1024_u128, UNITS[0]);
    for name in &UNITS[1..] {
        if tenths(count, scale) < 10_240 {
            break;
        }
        (scale, unit) = (scale * 1024, name);
    }
    let tenths = tenths(count, scale);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn tenths(count: u64, scale: u128) -> u128 {
    (u128::from(count) * 10 + scale / 2) / scale
}

/// Formats two different numbers of bytes, exactly if they would look alike.
pub(crate) fn two(one: u64, other: u64) -> [String; 2] {
    let rounded = [one, other].map(bytes);
    if rounded[0] == rounded[1] { [one, other].map(|count| format!("{count} bytes")) } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_a_person_reads_them() {
        for (count, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (5_261_334_937, "4.9 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
        assert_eq!(two(32, 31), ["32 bytes", "31 bytes"]);
        assert_eq!(two((1 << 30) + 1, 1 << 30), ["1073741825 bytes", "1073741824 bytes"]);
        assert_eq!(two(2 << 30, 1 << 30), ["2.0 GiB", "1.0 GiB"]);
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("123", 123),
            ("123 B", 123),
            ("20GB", 20_000_000_000),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1k", 1024),
            ("2g", 2 << 30),
            ("1.5kB", 1500),
            ("0.5KiB", 512),
            ("4TiB", 4 << 40),
            ("15EiB", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        let more = "340282366920938463463374607431768211456";
        for text in [
            "", "GB", "-1", "+1", "1.", ".5", "1.5", "1.5.5GB", "1e9", "1GBB", "1Gi", "16EiB", "1XB", "1é",
            more, "0x10",
        ] {
            assert_eq!(text.parse::<Size>(), Err(InvalidSize), "{text}");
        }
    }
}
