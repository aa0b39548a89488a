//! Decodes text in lines: the escapes of `STRING` and of `UNICODE`, as far as they can occur in a name or a byte.
//!
//! Sources: `CPython`'s `PyBytes_DecodeEscape` and `PyUnicode_DecodeRawUnicodeEscape`.

/// The position of a byte string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Span {
    pub(in super::super) at: u64,
    pub(in super::super) len: u64,
    pub(in super::super) spelling: Spelling,
}

/// How a byte string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Spelling {
    /// As it is.
    Plain,
    /// As a text in which each letter is a byte.
    Text,
    /// As such a text in a line, with its escapes.
    Line,
}

impl Spelling {
    /// Returns the bytes that a text spells.
    pub(in super::super) fn bytes(self, text: &[u8]) -> Vec<u8> {
        let letters = match self {
            Self::Plain => return text.to_vec(),
            Self::Text => String::from_utf8_lossy(text).into_owned(),
            Self::Line => of_unicode(text).unwrap_or_default(),
        };
        letters.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect()
    }
}

/// Returns the text of a `STRING`, without its quotes; `None` if no reader accepts it.
pub(super) fn of_bytes(text: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(char::from(byte));
            continue;
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        let plain = match escape {
            b'\\' | b'\'' | b'"' => escape,
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'r' => b'\r',
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|digit| matches!(digit, b'0'..=b'7')).count();
                let (digits, after) = rest.split_at_checked(more)?;
                rest = after;
                // Only the low bits of a number above 255 count.
                digits.iter().fold(octal(escape), |number, &digit| number << 3 | octal(digit))
            }
            b'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(hexadecimal(digits)?, 16).ok()?
            }
            other => {
                out.push('\\');
                other
            }
        };
        out.push(char::from(plain));
    }
    Some(out)
}

fn octal(digit: u8) -> u8 {
    digit & 7
}

/// Returns the text of a `UNICODE` line; `None` if no reader accepts it.
pub(super) fn of_unicode(text: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        out.push(char::from(byte));
        let Some((&escape, after)) = rest.split_first().filter(|_| byte == b'\\') else { continue };
        rest = after;
        let width = match escape {
            b'u' => 4,
            b'U' => 8,
            other => {
                out.push(char::from(other));
                continue;
            }
        };
        let (digits, after) = rest.split_at_checked(width)?;
        rest = after;
        let code = u32::from_str_radix(hexadecimal(digits)?, 16).ok().filter(|code| *code <= 0x10_ffff)?;
        out.pop();
        // No name contains half of a surrogate pair.
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    Some(out)
}

/// Returns the text if it consists only of hexadecimal digits; the library would also accept a sign.
fn hexadecimal(digits: &[u8]) -> Option<&str> {
    if digits.iter().all(u8::is_ascii_hexdigit) { str::from_utf8(digits).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are those of `codecs.escape_decode` of `CPython` 3.11.
    #[test]
    fn escapes_of_bytes() {
        for (text, expected) in [
            (br"os".as_slice(), Some("os")),
            (br"\x6f\163", Some("os")),
            (br"\563ystem", Some("system")),
            (br"\1634", Some("s4")),
            (br"\q\\", Some("\\q\\")),
            (br"\'\n", Some("'\n")),
            (br"\x6", None),
            (br"\x+6", None),
            (b"\\", None),
        ] {
            assert_eq!(of_bytes(text).as_deref(), expected, "{text:?}");
        }
    }

    /// The expected values are those of `str(text, "raw-unicode-escape")` of `CPython` 3.11.
    #[test]
    fn escapes_of_text() {
        for (text, expected) in [
            (br"\u006fs".as_slice(), Some("os")),
            (br"\U0000006fs", Some("os")),
            (br"\\u006fs", Some("\\\\u006fs")),
            (br"\x6f\", Some("\\x6f\\")),
            (br"\u006", None),
            (br"\u+06f", None),
            (br"\U00110000", None),
            (b"\xe9", Some("\u{e9}")),
        ] {
            assert_eq!(of_unicode(text).as_deref(), expected, "{text:?}");
        }
    }
}
