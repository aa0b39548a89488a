//! Reads the settings that the user gave on git's command line (`git -c`), which git passes on in the environment.
//!
//! Source: `sq_quote_buf` of `quote.c`, and `git_config_from_parameters` of `config.c` in git. A setting is `'key'='value'`, `'key'=` without a value (true), or, by a git before 2.31,
//! `'key=value'`; settings are separated by spaces. Invariant: a text that git would not write contains no settings.

use std::ffi::OsStr;

use bstr::{BString, ByteSlice as _};

use super::command::variable;

/// Returns the settings of `git -c`, each as `key=value`, or as `key` if it has no value.
pub fn overrides() -> Vec<BString> {
    let text = variable("GIT_CONFIG_PARAMETERS");
    text.as_deref().map(OsStr::as_encoded_bytes).and_then(parse).unwrap_or_default()
}

fn parse(mut text: &[u8]) -> Option<Vec<BString>> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Some(found);
        }
        let (key, rest) = unquoted(text)?;
        let (setting, rest) = match rest.strip_prefix(b"=") {
            // Otherwise the library would end the key at its first `=`.
            Some(_) if key.contains(&b'=') => return None,
            Some(value) if value.starts_with(b"'") => {
                let (value, rest) = unquoted(value)?;
                ([key.as_slice(), b"=", &value].concat(), rest)
            }
            Some(rest) => (key, rest),
            None => (key, rest),
        };
        if !rest.is_empty() && !rest.starts_with(b" ") {
            return None;
        }
        text = rest;
        // A name without a section is not one of a setting.
        if setting.split(|byte| *byte == b'=').next().is_some_and(|key| key.contains(&b'.')) {
            found.push(setting.into());
        }
    }
}

/// Returns the text in single quotes at the start, and the rest. Between quoted parts, `!` and `'` follow a backslash.
fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"'")?;
    let mut unquoted = Vec::new();
    loop {
        let end = rest.find_byte(b'\'')?;
        let (part, after) = (rest.get(..end)?, rest.get(end + 1..)?);
        unquoted.extend_from_slice(part);
        match after {
            [b'\\', byte @ (b'\'' | b'!'), b'\'', more @ ..] => {
                unquoted.push(*byte);
                rest = more;
            }
            _ => return Some((unquoted, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_that_git_passes_on() {
        for (text, settings) in [
            ("", Some(&[][..])),
            ("'a.b'='c'", Some(&["a.b=c"])),
            ("'a.b'='c' 'd.e f.g'='' 'h.i'=", Some(&["a.b=c", "d.e f.g=", "h.i"])),
            ("'a.b=c d' 'e.f'", Some(&["a.b=c d", "e.f"])),
            (r"'a.b'='it'\''s '\!' here'", Some(&["a.b=it's ! here"])),
            ("'nosection'='c' 'a.b'='c'", Some(&["a.b=c"])),
            ("'a.b'=c", None),
            ("'a.b'='c", None),
            ("a.b=c", None),
            ("'a.b'='c''d.e'='f'", None),
        ] {
            let parsed = parse(text.as_bytes());
            let parsed =
                parsed.as_ref().map(|all| all.iter().map(|one| one.to_str().unwrap()).collect::<Vec<_>>());
            assert_eq!(parsed.as_deref(), settings, "{text}");
        }
    }
}
