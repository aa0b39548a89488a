//! [`Clock`]: how long a run has lasted, as a value, so that a test can move its hands.

use std::time::{Duration, Instant};

/// Tells the time since it was made.
pub(super) struct Clock(Box<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The clock of the machine, which no change of the date moves.
    pub(super) fn system() -> Self {
        let begun = Instant::now();
        Self(Box::new(move || begun.elapsed()))
    }

    /// How long ago it was made.
    pub(super) fn now(&self) -> Duration {
        (self.0)()
    }
}
