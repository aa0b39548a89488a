//! [`Progress`]: one bar on the terminal, for the file that is being read.
//!
//! Invariant: nothing is drawn but on a terminal, not before 250 ms, and not more than 30 times a second; before a
//! line is printed the bar is gone.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::sizes;

/// Work shorter than this shows no bar.
const DELAY: Duration = Duration::from_millis(250);
const FRAMES_PER_SECOND: u8 = 30;
const TEMPLATE: &str = "{wide_msg} {bar:20} {binary_bytes:>10} of {binary_total_bytes}  \
                        {rate:>12}  {left}{margin}";

/// Of what is counted in pieces.
const COUNTED: &str = "{wide_msg} {bar:20} {human_pos:>10} of {human_len}{margin}";

/// The progress of one file after the other.
pub(super) struct Progress {
    shows: bool,
    running: Mutex<Option<Running>>,
}

struct Running {
    name: String,
    is_counted: bool,
    total: u64,
    done: u64,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Draws only if `shows`.
    pub(super) fn new(shows: bool) -> Self {
        Self { shows, running: Mutex::new(None) }
    }

    /// A file of `total` bytes to read begins. The name is safe to print.
    pub(super) fn start(&self, name: String, total: u64) {
        if self.shows {
            self.with(|slot| *slot = Some(Running::new(name, total, false)));
        }
    }

    /// Of `total` pieces, `done` are there now. Another name is another step.
    pub(super) fn count(&self, name: &str, done: u64, total: u64) {
        if !self.shows {
            return;
        }
        self.with(|slot| {
            if slot.as_ref().is_none_or(|running| running.name != name || running.total != total) {
                if let Some(bar) = slot.take().and_then(|running| running.bar) {
                    bar.finish_and_clear();
                }
                *slot = Some(Running::new(name.to_owned(), total, true));
            }
            if let Some(running) = slot {
                running.go_to(done);
            }
        });
    }

    /// So many more bytes were read.
    pub(super) fn advance(&self, bytes: u64) {
        if !self.shows {
            return;
        }
        self.with(|slot| {
            let Some(running) = slot else { return };
            running.go_to(running.done.saturating_add(bytes));
        });
    }

    /// The file is over.
    pub(super) fn clear(&self) {
        self.with(|slot| {
            if let Some(bar) = slot.take().and_then(|running| running.bar) {
                bar.finish_and_clear();
            }
        });
    }

    /// Runs `print` while no bar is drawn.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        let bar = self.with(|slot| slot.as_ref().and_then(|running| running.bar.clone()));
        match bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Option<Running>) -> T) -> T {
        change(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Running {
    fn new(name: String, total: u64, is_counted: bool) -> Self {
        Self { name, is_counted, total, done: 0, since: Instant::now(), bar: None }
    }

    fn go_to(&mut self, done: u64) {
        self.done = done;
        if self.bar.is_none() && self.since.elapsed() >= DELAY {
            self.bar = Some(self.draw());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    fn draw(&self) -> ProgressBar {
        let target = ProgressDrawTarget::stderr_with_hz(FRAMES_PER_SECOND);
        let bar = ProgressBar::with_draw_target(Some(self.total), target)
            .with_elapsed(self.since.elapsed())
            .with_position(self.done)
            .with_message(self.name.clone());
        let template = if self.is_counted { COUNTED } else { TEMPLATE };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.with_key("rate", rate).with_key("left", left).with_key("margin", margin);
        bar.set_style(style.progress_chars("━╸ "));
        bar
    }
}

/// Over the whole file: the first buffers come at once, and would give any shorter average wings.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let millis = state.elapsed().as_millis().max(1);
    let rate = u128::from(state.pos()) * 1000 / millis;
    let _infallible = write!(out, "{}/s", sizes::bytes(u64::try_from(rate).unwrap_or(u64::MAX)));
}

fn left(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let (done, total) = (u128::from(state.pos().max(1)), u128::from(state.len().unwrap_or(0)));
    let seconds = state.elapsed().as_millis() * total.saturating_sub(done) / done / 1000;
    let _infallible = write!(out, "{}:{:02} left", seconds / 60, seconds % 60);
}

/// The cursor waits three columns before the end of the line. At the end, the `^C` that a terminal echoes would
/// begin a new one, and the bar would stay where it was.
fn margin(_: &ProgressState, out: &mut dyn std::fmt::Write) {
    let _infallible = out.write_str("   \x1b[3D");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one_and_short_work_draws_nothing() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
        ProgressStyle::with_template(COUNTED).unwrap();
        let progress = Progress::new(true);
        progress.start("a.bin".to_owned(), 10);
        progress.advance(10);
        assert!(progress.with(|slot| slot.as_ref().unwrap().bar.is_none()));
        progress.clear();
        progress.advance(1);
        progress.suspend(|| ());
    }
}
