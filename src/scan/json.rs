//! Walks JSON text without building a value: it is as lenient as Python's `json`, and more, so that nothing that a
//! loader reads is missed. It has no limit of depth that a hostile text could exceed, and a truncated text is walked to
//! its end.

use std::borrow::Cow;

use super::serialized::next_string;

/// The most keys of one object whose values are remembered.
const VALUES: usize = 64;

/// An object with the values that are strings.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// Keys of interest in [`Object::texts`], and those that have another value.
    pub(super) keys: Vec<String>,
    /// Each key with its string; a key can appear more than once.
    pub(super) texts: Vec<(String, String)>,
}

impl Object {
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known == key)
    }

    pub(super) fn texts<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.texts.iter().filter(move |(known, _)| known == key).map(|(_, text)| text.as_str())
    }
}

/// A part of a text.
pub(super) enum Event<'a> {
    /// A string that is a value, with the keys above it.
    Text { keys: &'a [Option<String>], value: &'a str },
    /// An object that ends, or that the text truncates.
    Object(&'a Object),
}

/// Walks a text, and returns the number of bytes that are JSON.
pub(super) fn walk(text: &[u8], tell: &mut dyn FnMut(Event<'_>)) -> usize {
    let mut open: Vec<Option<Object>> = Vec::new();
    // The key of the current value on each level.
    let mut keys: Vec<Option<String>> = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'{' | b'[' => {
                open.push((byte == b'{').then(Object::default));
                keys.push(None);
                rest = after;
            }
            b'}' | b']' => {
                rest = after;
                keys.pop();
                if let Some(Some(object)) = open.pop() {
                    tell(Event::Object(&object));
                }
                if open.is_empty() {
                    break;
                }
            }
            b'"' => {
                let Some((string, after)) = next_string(rest) else { break };
                rest = after;
                let string = String::from_utf8_lossy(&string).into_owned();
                let is_key = rest.trim_ascii_start().starts_with(b":");
                let (Some(level), Some(key)) = (open.last_mut(), keys.last_mut()) else { break };
                match level {
                    Some(object) if is_key => {
                        if object.keys.len() < VALUES || is_known(&string) {
                            object.keys.push(string.clone());
                        }
                        *key = Some(string);
                    }
                    level => {
                        if let (Some(object), Some(key)) = (level, key.as_ref())
                            && (object.texts.len() < VALUES || is_known(key))
                        {
                            object.texts.push((key.clone(), string.clone()));
                        }
                        tell(Event::Text { keys: &keys, value: &string });
                    }
                }
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'+' | b'-' | b'.' => rest = after,
            byte if byte.is_ascii_alphanumeric() => rest = after,
            _ => break,
        }
    }
    let walked = text.len().saturating_sub(rest.len());
    for object in open.iter().flatten().rev() {
        tell(Event::Object(object));
    }
    walked
}

/// Returns the text as bytes of one per character, `?` for those that are not ASCII, if it is not in UTF-8: Python
/// detects the encoding of JSON by its first bytes (`json.detect_encoding`).
pub(super) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    let (skip, width, is_big) = match text {
        [0xff, 0xfe, 0, 0, ..] => (4, 4, false),
        [0, 0, 0xfe, 0xff, ..] => (4, 4, true),
        [0xff, 0xfe, ..] => (2, 2, false),
        [0xfe, 0xff, ..] => (2, 2, true),
        [0xef, 0xbb, 0xbf, ..] => (3, 1, false),
        [0, 0, ..] => (0, 4, true),
        [0, ..] => (0, 2, true),
        [_, 0, 0, 0, ..] => (0, 4, false),
        [_, 0, ..] => (0, 2, false),
        _ => return Cow::Borrowed(text),
    };
    let text = text.get(skip..).unwrap_or_default();
    if width == 1 {
        return Cow::Borrowed(text);
    }
    let letter = |unit: &[u8]| {
        let split = if is_big { unit.split_last() } else { unit.split_first() };
        split
            .filter(|(byte, rest)| byte.is_ascii() && rest.iter().all(|byte| *byte == 0))
            .map_or(b'?', |(byte, _)| *byte)
    };
    Cow::Owned(text.chunks_exact(width).map(letter).collect())
}

/// Returns `true` for a key that no number of other keys may hide.
fn is_known(key: &str) -> bool {
    matches!(key, "class_name" | "module" | "config")
}
