//! [`Closing`] formats the last line of a run: its results, the number of bytes, and the time.
//!
//! `3 converted, 1 up to date, 2 skipped · 2.1 GiB in 3.4 s`
//!
//! Invariant: a run without counted results has no such line, because its other output already explains why.

use std::time::Duration;

use super::sizes::{self, grouped};

/// The results of a run so far.
#[derive(Debug, Default)]
pub(super) struct Closing {
    counts: Vec<String>,
    bytes: u64,
}

impl Closing {
    /// Adds a count: `3 converted`. Zero is left out.
    pub(super) fn count(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.counts.push(format!("{} {what}", grouped(count as u64)));
        }
    }

    /// Adds the number of bytes that were written, read or sent.
    pub(super) fn bytes(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Returns the line for a run that took this long.
    pub(super) fn line(&self, took: Duration) -> Option<String> {
        let bytes = if self.bytes > 0 { format!("{} in ", sizes::bytes(self.bytes)) } else { String::new() };
        let counts = self.counts.join(", ");
        (!counts.is_empty()).then(|| format!("{counts} · {bytes}{}", sizes::lasted(took)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_what_was_done() {
        let mut closing = Closing::default();
        let took = Duration::from_millis(3_449);
        assert_eq!(closing.line(took), None);
        closing.count(0, "converted");
        closing.bytes(7);
        assert_eq!(closing.line(took), None, "bytes of nothing");
        let mut closing = Closing::default();
        closing.count(1_200, "up to date");
        assert_eq!(closing.line(took).unwrap(), "1,200 up to date · 3.4 s");
        closing.count(2, "skipped");
        closing.bytes(2 << 30);
        closing.bytes(1 << 29);
        assert_eq!(closing.line(took).unwrap(), "1,200 up to date, 2 skipped · 2.5 GiB in 3.4 s");
    }
}
