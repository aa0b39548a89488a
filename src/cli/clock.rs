//! [`Clock`] returns how long a run has lasted, as a value, so that a test can set it.

use std::time::{Duration, Instant};

/// The time since the clock was created.
pub(super) struct Clock(Box<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// Creates the clock of the machine, which a change of the date does not affect.
    pub(super) fn system() -> Self {
        let begun = Instant::now();
        Self(Box::new(move || begun.elapsed()))
    }

    /// Returns the time since it was created.
    pub(super) fn now(&self) -> Duration {
        (self.0)()
    }
}
