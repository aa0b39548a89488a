//! [`Secret`]: a text that nobody may read by accident.
//!
//! Invariant: it has no `Display`, its `Debug` shows nothing of it, and it can be read inside `remote` alone.
//! It does not wipe memory: whoever reads this process's memory reads the request buffers too.

use std::fmt;

/// A token, a password, or the value of a header that may hold one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the request it belongs to.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Secret::new("hf_abc"))), "Some(Secret)");
    }
}
