//! A common rate for all content that a hub sends.
//!
//! Invariant: in any time no more is let through than the rate gives in it and [`SLACK`], however many connections share
//! it, and a sender that always has bytes gets all of it: time that was overslept is given back.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// How much unused time may be caught up.
const SLACK: Duration = Duration::from_millis(20);

impl super::Hub {
    /// Everybody is told for so long that the hub is not available, and nobody for how long.
    pub(crate) fn be_away_for(&self, time: Duration) {
        self.state.settings.lock().unwrap().closed = Some((Instant::now() + time, false));
    }
}

#[derive(Default)]
pub(super) struct Throttle(Mutex<Option<Line>>);

struct Line {
    bytes_a_second: u64,
    /// When the next byte may go.
    next: Instant,
}

impl Throttle {
    pub(super) fn set(&self, bytes_a_second: Option<u64>) {
        let line = bytes_a_second.map(|bytes_a_second| Line { bytes_a_second, next: Instant::now() });
        *self.0.lock().unwrap() = line;
    }

    /// Waits until these bytes may be sent.
    pub(super) fn wait(&self, bytes: usize) {
        let until = {
            let mut line = self.0.lock().unwrap();
            let Some(line) = line.as_mut() else { return };
            let start =
                Instant::now().checked_sub(SLACK).map_or(line.next, |earliest| line.next.max(earliest));
            line.next = start + time_of(bytes, line.bytes_a_second);
            line.next
        };
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

/// How long so many bytes take.
pub(super) fn time_of(bytes: usize, bytes_a_second: u64) -> Duration {
    let nanos = bytes as u128 * 1_000_000_000 / u128::from(bytes_a_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
