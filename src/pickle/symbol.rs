//! Decides which names a pickle may read from a class without reaching anything else.
//!
//! Below protocol 4 Python spells a name inside a class as `getattr(<the class>, "<the name>")` (`CPython`'s
//! `save_global`, and the members of an `Enum` in 3.11). A plain name that is read from a class in this way and never
//! called is only a name. A GLOBAL need not be a class: `torch os` is a module, from which everything can be read. So
//! the spelling decides whether a global is a class: a pickle contains nothing else about it.

/// Returns `true` if the last part of the dotted name is spelled like a class: a capital letter first, or after
/// underscores.
///
/// A module with such a name (`PIL.Image`) counts as a class, too: the names read from it are reported in full and not
/// called.
pub fn is_class_name(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    is_identifier(last)
        && last.trim_start_matches('_').starts_with(|letter: char| letter.is_ascii_uppercase())
}

/// Returns `true` for the name of an attribute that leads nowhere else: one identifier of ASCII letters that is not a
/// name of Python itself (`__globals__`).
pub fn is_plain_attribute(name: &str) -> bool {
    is_identifier(name) && !name.starts_with("__")
}

fn is_identifier(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic());
    first && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_attributes_are_known_by_their_spelling() {
        for class in ["Segment", "_Hidden", "Outer.Inner", "A1"] {
            assert!(is_class_name(class), "{class}");
        }
        for other in ["os", "nn", "Outer.inner", "", "Outer.", "é", "9A", "_", "A B"] {
            assert!(!is_class_name(other), "{other}");
        }
        for plain in ["RED", "inner", "_x", "x1"] {
            assert!(is_plain_attribute(plain), "{plain}");
        }
        for other in ["", "__globals__", "__init__", "a.b", "a b", "é", "__x"] {
            assert!(!is_plain_attribute(other), "{other}");
        }
    }
}
