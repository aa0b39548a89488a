//! Finds the pickles in the `data` of a Stable-Baselines3 archive: JSON, in which each value under `":serialized:"` is
//! the base64 text of an object that `cloudpickle` pickled.
//!
//! It finds them by the strings only, at any depth and in any JSON, valid or not: so it also scans values that the
//! loader would not reach, and never misses one that it would. Source: `json_to_data` of
//! `stable_baselines3.common.save_util`; RFC 8259, 7; `binascii.a2b_base64` without `strict_mode`.

/// The key of a pickle.
const KEY: &[u8] = b":serialized:";

/// Returns `true` if this member of an archive may contain such values.
pub(super) fn is_named(member: &str) -> bool {
    member.rsplit("!/").next() == Some("data")
}

/// Returns the decoded pickles, in the order of the text.
pub(super) fn pickles(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((string, after)) = next_string(rest) {
        rest = after;
        let value = after.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        if string == KEY
            && let Some(value) = value.filter(|value| value.starts_with(b"\""))
            && let Some((value, after)) = next_string(value)
        {
            rest = after;
            found.push(base64(&value));
        }
    }
    found
}

/// Returns the next string of a text, without its escapes, and the text after it.
pub(super) fn next_string(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let quote = text.iter().position(|&byte| byte == b'"')?;
    let mut rest = text.get(quote.saturating_add(1)..)?;
    let mut string = Vec::new();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((string, rest)),
            b'\\' => {
                let (&escape, after) = rest.split_first()?;
                rest = after;
                match escape {
                    b'u' => {
                        let (digits, after) = rest.split_at_checked(4)?;
                        rest = after;
                        let digits = str::from_utf8(digits).ok();
                        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                        // Neither the key nor base64 contains any other character.
                        string.push(code.unwrap_or(b'?'));
                    }
                    b'b' | b'f' | b'n' | b'r' | b't' => string.push(b' '),
                    escape => string.push(escape),
                }
            }
            byte => string.push(byte),
        }
    }
}

/// Decodes base64; it skips other characters, and ignores what follows the padding.
fn base64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count, mut pads) = (0_u32, 0_u32, 0_u32);
    for &letter in text {
        let six = match letter {
            b'A'..=b'Z' => letter.wrapping_sub(b'A'),
            b'a'..=b'z' => letter.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => letter.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            b'=' if count >= 2 => {
                pads = pads.saturating_add(1);
                if count.saturating_add(pads) >= 4 {
                    break;
                }
                continue;
            }
            _ => continue,
        };
        pads = 0;
        bits = bits << 6 | u32::from(six);
        count = count.saturating_add(1);
        if count > 1 {
            let [.., byte] = (bits >> 8_u32.saturating_sub(count.saturating_mul(2))).to_be_bytes();
            bytes.push(byte);
        }
        count %= 4;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_python_takes_it() {
        for (text, bytes) in [
            ("", b"".as_slice()),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYmFy", b"foobar"),
            ("Z m\n9*v=Y-mFy", b"foobar"),
            ("Zg==Zg==", b"f"),
            ("+/+/", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(base64(text.as_bytes()), bytes, "{text}");
        }
    }

    #[test]
    fn keys_are_found_however_they_are_spelt() {
        let text = br#"{"a": {":type:": "x", ":serialized:": "Zm9v"}, "\u003aserialized:" :
            "Zm\u0039v", ":serialized:": 3, "b": ":serialized:", "c\"": ":serialized:", ":serialized:":"Zm8="#;
        assert_eq!(pickles(text), [b"foo", b"foo"]);
    }
}
