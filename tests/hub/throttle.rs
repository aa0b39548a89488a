//! Limits the common rate of all content that a hub sends.
//!
//! Invariant: in any period, at most the bytes of the rate for that period and [`SLACK`] pass, however many connections
//! share it; a sender that always has bytes gets the whole rate, because time that was overslept is given back.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// The unused time that may be caught up.
const SLACK: Duration = Duration::from_millis(20);

impl super::Hub {
    /// Refuses all requests for this time as not available, and does not state the time.
    pub(crate) fn be_away_for(&self, time: Duration) {
        self.state.settings.lock().unwrap().closed = Some((Instant::now() + time, false));
    }
}

#[derive(Default)]
pub(super) struct Throttle(Mutex<Option<Line>>);

struct Line {
    bytes_a_second: u64,
    /// The time at which the next byte may pass.
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

/// Returns the time for this number of bytes.
pub(super) fn time_of(bytes: usize, bytes_a_second: u64) -> Duration {
    let nanos = bytes as u128 * 1_000_000_000 / u128::from(bytes_a_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
