//! [`Retry`] decides what is tried again, how often, and after which pause.
//!
//! Source: `tq/` of Git LFS: 8 retries, 250 ms doubling up to 10 s, `Retry-After` respected. Invariants: an error that
//! would occur again is not retried; a server that sends bytes between two lost connections is retried without limit;
//! the program does not wait for a `Retry-After` of more than 300 s. The module itself sends nothing.

use std::time::Duration;

use super::error::{Error, Result};
use super::pace::MAX_AFTER;
use super::wire::Wire;

const FIRST_DELAY: Duration = Duration::from_millis(250);

/// How often the program retries if no server is reached.
const UNREACHABLE_RETRIES: u32 = 3;

/// How many bytes between two failures reset the count.
const PROGRESS: u64 = 64 << 10;

/// The retries that are left for one piece of work.
pub(super) struct Retry<'c> {
    wire: &'c Wire<'c>,
    is_over: &'c dyn Fn() -> bool,
    failures: u32,
    progress: u64,
}

impl<'c> Retry<'c> {
    /// Starts with all retries. A pause ends early when `is_over` returns that the result is no longer needed.
    pub(super) fn new(wire: &'c Wire<'c>, is_over: &'c dyn Fn() -> bool) -> Self {
        Self { wire, is_over, failures: 0, progress: 0 }
    }

    /// Records received bytes.
    pub(super) fn progress(&mut self, bytes: u64) {
        self.progress += bytes;
        if self.progress >= PROGRESS {
            self.failures = 0;
        }
    }

    /// Waits until the next attempt.
    ///
    /// # Errors
    /// The error itself, if another attempt is useless.
    pub(super) fn after(&mut self, err: Error) -> Result<()> {
        self.wire.check_interrupted()?;
        let patience = self.wire.settings.patience();
        let limit =
            if err.is_unreachable() { patience.retries.min(UNREACHABLE_RETRIES) } else { patience.retries };
        if !err.is_passing() || self.failures >= limit || err.after().is_some_and(|after| after > MAX_AFTER) {
            return Err(err);
        }
        let pause = err.after().unwrap_or_else(|| backoff(self.failures, patience.max_delay));
        self.failures += 1;
        self.progress = 0;
        self.wire.pause(pause, self.is_over)
    }
}

fn backoff(failures: u32, max: Duration) -> Duration {
    FIRST_DELAY.saturating_mul(1 << failures.min(16)).min(max)
}

/// Repeats work until it succeeds or another attempt is useless.
///
/// # Errors
/// The last error.
pub(super) fn patiently<T>(wire: &Wire<'_>, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let mut retry = Retry::new(wire, &|| false);
    loop {
        match work() {
            Ok(done) => return Ok(done),
            Err(err) => retry.after(err)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::settings::Settings;
    use super::super::url::Url;
    use super::*;

    fn status(status: u16, after: Option<u64>) -> Error {
        let url = Url::parse("http://h/").unwrap();
        Error::Status { url, status, after: after.map(Duration::from_secs), said: None }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let max = Duration::from_secs(10);
        let pauses: Vec<_> = (0..8).map(|n| backoff(n, max).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 10000, 10000]);
        assert_eq!(backoff(40, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn what_fails_for_good_is_not_tried_again() {
        let config = Config::new([("lfs.transfer.maxretries", "2"), ("lfs.transfer.maxretrydelay", "0")]);
        let wire = Wire::new(Settings::default().with_config(config));
        let mut retry = Retry::new(&wire, &|| false);
        assert!(retry.after(status(422, None)).is_err());
        assert!(retry.after(status(503, Some(301))).is_err());
        retry.after(status(503, None)).unwrap();
        retry.after(status(500, Some(0))).unwrap();
        assert!(retry.after(status(500, None)).is_err());
        retry.progress(PROGRESS);
        retry.after(status(500, None)).unwrap();
        let mut tries = 0;
        let result: Result<()> = patiently(&wire, || {
            tries += 1;
            Err(status(502, None))
        });
        assert!(result.is_err() && tries == 3);
    }
}
