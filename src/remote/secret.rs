//! [`Secret`] is a text that cannot be printed by accident.
//!
//! Invariant: it has no `Display`, its `Debug` shows nothing of it, and only `remote` can read it. It does not wipe
//! memory: an attacker who reads this process's memory also reads the request buffers.

use std::fmt;

/// A token, a password, or the value of a header that may contain one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, for the request that it belongs to.
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
