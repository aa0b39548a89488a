//! Formats numbers for the user.

use std::time::Duration;

pub(super) use crate::size::bytes;

/// Formats a duration: `3.4 s`, `2 min 5 s`, `1 h 2 min`.
pub(super) fn lasted(took: Duration) -> String {
    let tenths = (took.as_millis() + 50) / 100;
    let seconds = (took.as_millis() + 500) / 1000;
    match seconds {
        _ if tenths < 600 => format!("{}.{} s", tenths / 10, tenths % 10),
        0..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Formats a count: `1 tensor`, `12,345 tensors`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
}

/// Formats the number of elements of a model: `1 parameter`.
pub(super) fn parameters(count: u64) -> String {
    format!("{} parameter{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Formats a number with a comma between thousands.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_a_person_reads_them() {
        for (millis, expected) in [
            (0, "0.0 s"),
            (49, "0.0 s"),
            (50, "0.1 s"),
            (3_449, "3.4 s"),
            (59_949, "59.9 s"),
            (59_950, "1 min 0 s"),
            (125_000, "2 min 5 s"),
            (3_599_499, "59 min 59 s"),
            (3_599_500, "1 h 0 min"),
            (363_720_000, "101 h 2 min"),
        ] {
            assert_eq!(lasted(Duration::from_millis(millis)), expected);
        }
        assert_eq!(counted(1, "tensor"), "1 tensor");
        assert_eq!(counted(12_345, "tensor"), "12,345 tensors");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }
}
