//! Parses numbers in text as the readers of Python do.
//!
//! `pickle.py` calls `int` and `float` on the line; the C reader calls `strtol`, `PyLong_FromString` and
//! `PyOS_string_to_double`, for which a NUL ends the text. Sources: `CPython`'s `Objects/longobject.c`,
//! `Python/pystrtod.c`, `Modules/_pickle.c`, and C11 7.22.1.4.

use super::feed::Line;
use crate::pickle;

/// Which readers accept a line as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) by_c: bool,
    pub(super) by_python: bool,
}

impl Taken {
    /// A line that is longer than its kept bytes may be a number, unless its beginning contains a character that no
    /// number has.
    fn longer(line: &Line, signs: &[u8]) -> Self {
        let may_be = |text: &[u8]| {
            let mut bytes = text.iter();
            bytes.all(|byte| byte.is_ascii_digit() || is_space(*byte) || signs.contains(byte))
        };
        Self { by_c: may_be(before_nul(&line.kept)), by_python: may_be(&line.kept) }
    }

    pub(super) fn by(self, is_python: bool) -> bool {
        if is_python { self.by_python } else { self.by_c }
    }

    pub(super) fn differs(self) -> bool {
        self.by_c != self.by_python
    }
}

/// Parses `INT`, or `LONG` without its `L`.
pub(super) fn integer(line: &Line, is_long: bool) -> Taken {
    if line.is_longer {
        return Taken::longer(line, b"+-_abcdefxoABCDEFXOL");
    }
    let text = match line.kept.strip_suffix(b"L") {
        Some(text) if is_long => text,
        _ => &line.kept,
    };
    let to_nul = before_nul(text);
    let is_nul_first = !is_long && !line.kept.is_empty() && to_nul.is_empty();
    let by_c = !line.kept.is_empty()
        && (is_nul_first || parse(to_nul, Base::Any).is_some() || !is_long && is_c_octal(to_nul));
    // Python reads this as `True`, however it reads other numbers.
    let is_true = !is_long && text == b"01";
    Taken { by_c, by_python: is_true || parse(text, Base::Any).is_some() }
}

/// Parses `FLOAT`.
pub(super) fn float(line: &Line) -> Taken {
    if line.is_longer {
        return Taken::longer(line, b"+-_.aefintyAEFINTY");
    }
    let by_c = !line.kept.is_empty() && is_float(before_nul(&line.kept));
    let text = trimmed(&line.kept);
    let is_split = |pair: &[u8]| pair == b"__";
    let is_plain = |text: &[u8]| {
        let joined: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'_').collect();
        is_float(&joined)
    };
    let between = text.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
        digit(at.checked_sub(1)) && digit(at.checked_add(1))
    });
    Taken { by_c, by_python: between && !text.windows(2).any(is_split) && is_plain(text) }
}

/// A memo index. `None` if no reader accepts the line as one, or if it is negative.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Index {
    Small(u64),
    /// In digits.
    Large(Vec<u8>),
}

impl pickle::Index for Index {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Small(number) => Some(*number),
            Self::Large(_) => None,
        }
    }
}

pub(super) fn index(line: &Line) -> (Taken, Option<Index>) {
    if line.is_longer {
        return (Taken::longer(line, b"+-_"), None);
    }
    let (text, to_nul) = (&line.kept, before_nul(&line.kept));
    let python = parse(text, Base::Ten);
    let c = if text.is_empty() { None } else { parse(to_nul, Base::Ten) };
    let is_small =
        |number: &Option<Index>| matches!(number, Some(Index::Small(small)) if i64::try_from(*small).is_ok());
    (Taken { by_c: is_small(&c), by_python: python.is_some() }, c.or(python))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Ten,
    /// By its prefix.
    Any,
}

fn before_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Returns `true` for what C and Python treat as white space in numbers.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trimmed(text: &[u8]) -> &[u8] {
    let begin = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    let text = text.get(begin..).unwrap_or_default();
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last.saturating_add(1));
    text.get(..end).unwrap_or_default()
}

/// Parses a whole text as `PyLong_FromString` does; returns the value in base ten, if it is not negative.
fn parse(text: &[u8], base: Base) -> Option<Index> {
    let text = trimmed(text);
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        text => (false, text),
    };
    let (radix, digits) = match (base, digits) {
        (Base::Any, [b'0', b'x' | b'X', rest @ ..]) => (16, rest.strip_prefix(b"_").unwrap_or(rest)),
        (Base::Any, [b'0', b'o' | b'O', rest @ ..]) => (8, rest.strip_prefix(b"_").unwrap_or(rest)),
        (Base::Any, [b'0', b'b' | b'B', rest @ ..]) => (2, rest.strip_prefix(b"_").unwrap_or(rest)),
        (_, digits) => (10, digits),
    };
    let is_digit = |byte: u8| char::from(byte).is_digit(radix);
    let ends_well = digits.first().is_some_and(|first| is_digit(*first))
        && digits.last().is_some_and(|last| is_digit(*last));
    let is_split = digits.windows(2).any(|pair| pair == b"__");
    if !ends_well || is_split || !digits.iter().all(|byte| *byte == b'_' || is_digit(*byte)) {
        return None;
    }
    let value: Vec<u8> =
        digits.iter().copied().filter(|byte| *byte != b'_').skip_while(|byte| *byte == b'0').collect();
    // Zeros before a number once meant octal.
    if base == Base::Any && radix == 10 && digits.first() == Some(&b'0') && !value.is_empty() {
        return None;
    }
    if base == Base::Ten && is_negative && !value.is_empty() {
        return None;
    }
    let small = if value.is_empty() { Some(0) } else { str::from_utf8(&value).ok()?.parse().ok() };
    Some(small.map_or(Index::Large(value), Index::Small))
}

/// Returns `true` for numbers that `strtol` accepts and Python does not: zeros before octal digits, with nothing after
/// them.
fn is_c_octal(text: &[u8]) -> bool {
    let begin = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    let text = text.get(begin..).unwrap_or_default();
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    digits.first() == Some(&b'0') && digits.iter().all(|byte| matches!(byte, b'0'..=b'7'))
}

fn is_float(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Line {
        Line { kept: text.to_vec(), last: text.last().copied(), is_longer: false }
    }

    /// The expected values are those of `int(text, 0)` and `pickle.loads(b"I" + text + b"\n.")` of `CPython` 3.11.
    #[test]
    fn integers_are_those_of_python_and_of_c() {
        for (text, by_c, by_python) in [
            (b"1".as_slice(), true, true),
            (b"-1", true, true),
            (b"+1", true, true),
            (b"\x0b1", true, true),
            (b" \t1 \x0c", true, true),
            (b"0x10", true, true),
            (b"0X_f", true, true),
            (b"0o17", true, true),
            (b"0b1", true, true),
            (b"1_0", true, true),
            (b"00", true, true),
            (b"0_0", true, true),
            (b"01", true, true),
            (b"010", true, false),
            (b"-017", true, false),
            (b"08", false, false),
            (b"1\0x", true, false),
            (b"\0", true, false),
            (b"1__0", false, false),
            (b"_1", false, false),
            (b"1_", false, false),
            (b"+ 1", false, false),
            (b"0x", false, false),
            (b"", false, false),
            (b" ", false, false),
            (b"1L", false, false),
            (b"1.0", false, false),
            (b"99999999999999999999999", true, true),
        ] {
            let taken = integer(&line(text), false);
            assert_eq!((taken.by_c, taken.by_python), (by_c, by_python), "{text:?}");
        }
        assert!(integer(&line(b"1L"), true).by_c && integer(&line(b"0x1L"), true).by_python);
    }

    #[test]
    fn floats_are_those_of_python_and_of_c() {
        for (text, by_c, by_python) in [
            (b"1".as_slice(), true, true),
            (b"-1.5e3", true, true),
            (b"inf", true, true),
            (b"nan", true, true),
            (b" 1", false, true),
            (b"1_0.5", false, true),
            (b"1\0x", true, false),
            (b"1__0", false, false),
            (b"_1", false, false),
            (b"1_.5", false, false),
            (b"", false, false),
            (b"x", false, false),
        ] {
            let taken = float(&line(text));
            assert_eq!((taken.by_c, taken.by_python), (by_c, by_python), "{text:?}");
        }
    }

    #[test]
    fn numbers_of_the_memo_are_in_base_ten() {
        assert_eq!(index(&line(b" 007\x0b")).1, Some(Index::Small(7)));
        assert_eq!(index(&line(b"-0")).1, Some(Index::Small(0)));
        assert_eq!(index(&line(b"1_0")).1, Some(Index::Small(10)));
        assert_eq!(index(&line(b"1\0x")), (Taken { by_c: true, by_python: false }, Some(Index::Small(1))));
        for text in [b"-1".as_slice(), b"0x1", b"", b"x", b"1__0"] {
            assert_eq!(index(&line(text)).1, None, "{text:?}");
        }
        let large = index(&line(b"99999999999999999999"));
        assert!(!large.0.by_c && large.0.by_python);
    }
}
