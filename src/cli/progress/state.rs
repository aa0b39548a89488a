//! [`State`] tracks the current work of a run, and determines the progress output for a given time. Several files may
//! be processed at once, each by its own thread: a report of a thread counts for the file that the thread began, or
//! else for the last file.
//!
//! The module does not know the terminal or the clock: the caller passes the time and the width of the line.

use std::collections::BTreeMap;
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::line::{Amount, Letters, Model, Shown, line};
use crate::cli::sizes;

/// A shorter run draws nothing.
const DELAY: Duration = Duration::from_millis(250);
/// Shorter work gets no line.
const WORTH: Duration = Duration::from_secs(1);
/// The interval of the lines for long work.
const BEAT: Duration = Duration::from_secs(30);
/// The speed is not known before this time.
const MEASURED: Duration = Duration::from_millis(500);

/// The current work of a run.
#[derive(Debug, Default)]
pub(super) struct State {
    model: Option<(String, usize, usize)>,
    /// The files of this phase that were not begun, with their sizes.
    planned: BTreeMap<String, u64>,
    /// The number of files, and how many of them were begun.
    files: usize,
    begun: usize,
    /// `true` if the total number of bytes is not known.
    is_open: bool,
    /// The bytes that were read of finished files, and their sizes.
    over: u64,
    /// The files that are done now, in the order in which they began.
    steps: Vec<Step>,
    /// The end of the last step, and what the run waits for since.
    idle: Duration,
    waits_for: Option<String>,
    /// The text on the terminal.
    drawn: Option<String>,
    /// The time of the last line.
    beat: Duration,
}

#[derive(Debug)]
struct Step {
    who: ThreadId,
    name: String,
    since: Duration,
    total: Option<u64>,
    done: u64,
    /// The bytes from an earlier run.
    resumed: u64,
    is_counted: bool,
    /// `true` if a line reported the start.
    is_said: bool,
}

impl State {
    pub(super) fn plan(&mut self, files: Vec<(String, u64)>) {
        self.is_open = files.iter().any(|(_, size)| *size == 0);
        (self.files, self.begun, self.over) = (files.len(), 0, 0);
        self.planned = files.into_iter().collect();
    }

    pub(super) fn model(&mut self, name: String, at: usize, of: usize, now: Duration) {
        self.plan(Vec::new());
        self.model = Some((name, at, of));
        self.idle = now;
    }

    pub(super) fn start(&mut self, name: String, total: u64, now: Duration) {
        self.begun += usize::from(self.planned.remove(&name).is_some());
        self.begin(name, Some(total), false, now);
    }

    pub(super) fn resume(&mut self, bytes: u64) {
        if let Some(step) = self.own() {
            step.resumed = step.resumed.saturating_add(bytes);
            step.done = step.done.saturating_add(bytes);
        }
    }

    pub(super) fn advance(&mut self, bytes: u64) {
        if let Some(step) = self.own() {
            step.done = step.done.saturating_add(bytes);
        }
    }

    pub(super) fn count(&mut self, name: &str, done: u64, total: Option<u64>, now: Duration) {
        let is_same = |step: &Step| step.name == name && step.total == total;
        if !self.steps.last().is_some_and(is_same) {
            self.begin(name.to_owned(), total, true, now);
        }
        if let Some(step) = self.steps.last_mut() {
            step.done = done;
        }
    }

    pub(super) fn wait(&mut self, what: &str, now: Duration) {
        if self.steps.is_empty() {
            self.waits_for = Some(what.to_owned());
            self.idle = now;
        }
    }

    /// Records the end of a wait.
    pub(super) fn heard(&mut self) {
        self.waits_for = None;
    }

    /// Ends the step: it is done, or unfinished if the run is stopped. Returns the line that reports its end, if a line
    /// reported its start.
    pub(super) fn finish(&mut self, is_stopped: bool, now: Duration) -> Option<String> {
        (self.idle, self.waits_for) = (now, None);
        let step = self.steps.remove(self.own_place()?);
        let took = sizes::lasted(now.saturating_sub(step.since));
        let said = step.is_said.then(|| {
            let name = self.called(&step.name);
            let done = sizes::bytes(step.done);
            match step.total.filter(|_| !step.is_counted) {
                None => format!("{name}: finished, {took}"),
                Some(total) if is_stopped && step.done < total => {
                    format!("{name}: stopped, {done} of {} in {took}", sizes::bytes(total))
                }
                Some(_) => format!("{name}: finished, {done} in {took}"),
            }
        });
        if !step.is_counted {
            self.over = self.over.saturating_add(step.total.unwrap_or(0));
        }
        said
    }

    /// Returns the text for a terminal of this width, if it changed.
    pub(super) fn draw(&mut self, now: Duration, columns: usize, letters: Letters) -> Option<String> {
        // Another program may have printed a prompt on the line.
        let stays = self.steps.is_empty() && self.waits_for.is_some() && self.drawn.is_some();
        if stays || (self.drawn.is_none() && now < DELAY) {
            return None;
        }
        let text = self.shown(now, |shown| line(shown, columns, letters));
        if self.drawn.as_ref() == Some(&text) {
            return None;
        }
        // The terminal may be narrower by now: text that does not fit is left out, and does not begin a next row.
        let drawn = format!("\r\x1b[?7l{text}\x1b[J\x1b[?7h\r");
        self.drawn = Some(text);
        Some(drawn)
    }

    /// Returns the lines that are due if nothing can be drawn.
    pub(super) fn lines(&mut self, now: Duration) -> Option<String> {
        let is_new =
            |step: &Step| !step.is_said && !step.is_counted && now.saturating_sub(step.since) >= WORTH;
        // A new step is reported before the others, and of several that continue only the last one.
        let place = self.steps.iter().position(is_new).or(self.steps.len().checked_sub(1));
        let step = place.and_then(|place| self.steps.get(place));
        let since = step.map_or(self.idle, |step| step.since);
        let is_beat = now.saturating_sub(self.beat.max(since)) >= BEAT;
        let number = self.number().map(|(at, of)| format!("{at} of {of}, ")).unwrap_or_default();
        let said = match step {
            None if is_beat => {
                let what = self.waits_for.as_deref().unwrap_or(WORKING);
                format!("{}: {}", self.called(what), sizes::lasted(now.saturating_sub(since)))
            }
            Some(step) if is_new(step) => {
                let size = sizes::bytes(step.total.unwrap_or(0));
                format!("{}: started, {number}{size}", self.called(&step.name))
            }
            Some(step) if is_beat => {
                let (done, total) = (step.done, step.total);
                let amount = if step.is_counted {
                    let total =
                        total.map_or_else(String::new, |total| format!(" of {}", sizes::grouped(total)));
                    sizes::grouped(done) + &total
                } else {
                    let speed =
                        step.rate(now).map_or_else(String::new, |rate| format!(", {}/s", sizes::bytes(rate)));
                    format!("{number}{} of {}{speed}", sizes::bytes(done), sizes::bytes(total.unwrap_or(0)))
                };
                format!("{}: {amount}", self.called(&step.name))
            }
            _ => return None,
        };
        if let Some(step) = place.and_then(|place| self.steps.get_mut(place)) {
            step.is_said = !step.is_counted;
        }
        self.beat = now;
        Some(said)
    }

    /// Prepares for a permanent line. Returns `true` if drawn text must be removed first.
    pub(super) fn make_room(&mut self) -> bool {
        self.drawn.take().is_some()
    }

    fn begin(&mut self, name: String, total: Option<u64>, is_counted: bool, now: Duration) {
        let who = thread::current().id();
        self.waits_for = None;
        self.steps.retain(|step| step.who != who);
        self.steps.push(Step {
            who,
            name,
            since: now,
            total,
            done: 0,
            resumed: 0,
            is_counted,
            is_said: false,
        });
    }

    /// Returns the index of the step that this thread began, or else of the last one.
    fn own_place(&self) -> Option<usize> {
        let who = thread::current().id();
        self.steps.iter().position(|step| step.who == who).or(self.steps.len().checked_sub(1))
    }

    fn own(&mut self) -> Option<&mut Step> {
        let place = self.own_place()?;
        self.steps.get_mut(place)
    }

    /// Returns the number of the file, and of all files.
    fn number(&self) -> Option<(usize, usize)> {
        let is_file = self.steps.last().is_some_and(|step| !step.is_counted);
        (self.files > 1 && is_file).then_some((self.begun.max(1), self.files))
    }

    fn called(&self, name: &str) -> String {
        match &self.model {
            Some((model, at, of)) => format!("{at}/{of} {model}: {name}"),
            None => name.to_owned(),
        }
    }

    fn shown<T>(&self, now: Duration, show: impl FnOnce(&Shown<'_>) -> T) -> T {
        let model = self.model.as_ref().map(|(name, at, of)| Model { name, number: (*at, *of) });
        let number = self.number();
        let Some(step) = self.steps.last() else {
            let name = self.waits_for.as_deref().unwrap_or(WORKING);
            let lasted =
                if self.waits_for.is_some() { Duration::ZERO } else { now.saturating_sub(self.idle) };
            return show(&Shown { model, number, name, amount: Amount::Waiting { lasted } });
        };
        let amount = if step.is_counted {
            Amount::Pieces { done: step.done, total: step.total }
        } else {
            let mut done = self.steps.iter().map(|step| step.done).sum::<u64>();
            let mut total = self.steps.iter().filter_map(|step| step.total).sum::<u64>();
            if number.is_some() && !self.is_open {
                total = total.saturating_add(self.over).saturating_add(self.planned.values().sum());
                done = done.saturating_add(self.over);
            }
            let rate = self.steps.iter().filter_map(|step| step.rate(now)).reduce(u64::saturating_add);
            Amount::Bytes { done, total, rate }
        };
        show(&Shown { model, number, name: &step.name, amount })
    }
}

/// The text for work without a name.
const WORKING: &str = "working";

impl Step {
    /// The average over the whole step: the first buffers arrive at once, and would distort a shorter average.
    fn rate(&self, now: Duration) -> Option<u64> {
        let lasted = now.saturating_sub(self.since);
        let come = u128::from(self.done.saturating_sub(self.resumed)) * 1000;
        let rate = come.checked_div(lasted.as_millis()).filter(|rate| *rate > 0 && lasted >= MEASURED)?;
        u64::try_from(rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn drawn(state: &mut State, millis: u64) -> Option<String> {
        let drawn = state.draw(at(millis), 100, Letters::of(true))?;
        let text = drawn.strip_prefix("\r\x1b[?7l").unwrap().strip_suffix("\x1b[J\x1b[?7h\r").unwrap();
        assert!(!text.contains('\x1b'), "{text:?}");
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn something_is_drawn_by_a_quarter_of_a_second_and_nothing_before() {
        let mut state = State::default();
        assert_eq!(drawn(&mut state, 249), None);
        assert_eq!(drawn(&mut state, 250).unwrap(), "working");
        assert_eq!(drawn(&mut state, 300), None, "it is there");
        assert_eq!(drawn(&mut state, 5_000).unwrap(), "working 0:05");
        assert!(state.make_room() && !state.make_room(), "it is wiped once");
        // Many short steps are one long work, with a line for each result between them.
        state.start("b.bin".to_owned(), 100, at(6_349));
        assert_eq!(drawn(&mut state, 6_350).unwrap(), "b.bin 0/100 bytes");
        // The text on the terminal is replaced at once.
        state.finish(false, at(6_351));
        assert_eq!(drawn(&mut state, 6_352).unwrap(), "working");
    }

    #[test]
    fn what_was_there_before_is_no_speed() {
        let mut state = State::default();
        state.start("a.bin".to_owned(), 4 << 30, at(0));
        state.resume(3 << 30);
        state.advance(64 << 20);
        assert_eq!(drawn(&mut state, 400).unwrap(), "a.bin ━━━━━━━━━━━━━━━ 3.1/4.0 GiB");
        assert_eq!(
            drawn(&mut state, 2_000).unwrap(),
            "a.bin ━━━━━━━━━━━━━━━ 3.1/4.0 GiB 32.0 MiB/s 0:30 left"
        );
    }

    #[test]
    fn several_files_have_a_number_and_one_total() {
        let mut state = State::default();
        let file = |name: &str| (name.to_owned(), 1 << 30);
        state.plan(vec![file("a.bin"), file("b.bin"), file("c.bin"), file("d.bin")]);
        state.start("a.bin".to_owned(), 1 << 30, at(0));
        state.advance(1 << 30);
        state.finish(false, at(900));
        state.start("b.bin".to_owned(), 1 << 30, at(1_000));
        state.advance(512 << 20);
        assert_eq!(drawn(&mut state, 2_000).unwrap(), "2/4 b.bin ━━━━━━━╸ 1.5/4.0 GiB 512.0 MiB/s 0:05 left");
        state.finish(false, at(2_000));
        state.plan(vec![("a.bin".to_owned(), 0), ("b.bin".to_owned(), 5)]);
        state.start("a.bin".to_owned(), 10, at(3_000));
        assert_eq!(drawn(&mut state, 3_100).unwrap(), "1/2 a.bin 0/10 bytes", "nobody knows the total");
    }

    #[test]
    fn files_that_are_done_at_once_have_one_line_and_each_its_own_bytes() {
        let mut state = State::default();
        let file = |name: &str| (name.to_owned(), 1 << 30);
        state.plan(vec![file("a.bin"), file("b.bin"), file("c.bin")]);
        state.start("a.bin".to_owned(), 1 << 30, at(0));
        state.advance(512 << 20);
        let mut state = thread::spawn(move || {
            state.start("b.bin".to_owned(), 1 << 30, at(500));
            state.advance(256 << 20);
            let both = "2/3 b.bin ━━━━━ 768.0 MiB/3.0 GiB 426.7 MiB/s 0:05 left";
            assert_eq!(drawn(&mut state, 2_000).unwrap(), both);
            assert_eq!(state.lines(at(2_000)).unwrap(), "a.bin: started, 2 of 3, 1.0 GiB");
            assert_eq!(state.lines(at(2_000)).unwrap(), "b.bin: started, 2 of 3, 1.0 GiB");
            state
        })
        .join()
        .unwrap();
        assert_eq!(state.finish(false, at(3_000)).unwrap(), "a.bin: finished, 512.0 MiB in 3.0 s");
        // A report of a thread that began no file counts for the last file.
        state.advance(768 << 20);
        assert_eq!(state.finish(false, at(4_000)).unwrap(), "b.bin: finished, 1.0 GiB in 3.5 s");
        assert_eq!(state.finish(false, at(4_000)), None);
    }

    #[test]
    fn another_program_may_ask_where_the_line_stands() {
        let mut state = State::default();
        state.wait("git fetch", at(100));
        assert_eq!(drawn(&mut state, 400).unwrap(), "git fetch");
        for millis in [1_000, 3_000, 60_000] {
            assert_eq!(drawn(&mut state, millis), None);
        }
        state.count("receiving objects", 1_000, Some(4_000), at(61_000));
        assert_eq!(drawn(&mut state, 61_000).unwrap(), "receiving objects ━━━━━ 1,000 of 4,000");
        state.count("receiving objects", 4_000, Some(4_000), at(61_100));
        state.count("resolving deltas", 1, None, at(61_200));
        assert_eq!(drawn(&mut state, 61_300).unwrap(), "resolving deltas 1");
    }

    #[test]
    fn what_is_stopped_is_not_finished() {
        let mut state = State::default();
        state.start("a.bin".to_owned(), 1 << 30, at(0));
        state.advance(256 << 20);
        state.lines(at(1_000)).unwrap();
        assert_eq!(state.finish(true, at(2_000)).unwrap(), "a.bin: stopped, 256.0 MiB of 1.0 GiB in 2.0 s");
    }

    #[test]
    fn where_nothing_can_be_drawn_long_work_has_lines() {
        let mut state = State::default();
        state.model("acme/bert".to_owned(), 3, 500, at(0));
        state.plan(vec![("a.bin".to_owned(), 5), ("b.bin".to_owned(), 1 << 30)]);
        state.start("a.bin".to_owned(), 5, at(0));
        state.advance(5);
        assert_eq!((state.lines(at(999)), state.finish(false, at(999))), (None, None));
        state.start("b.bin".to_owned(), 1 << 30, at(1_000));
        assert_eq!(state.lines(at(1_999)), None);
        assert_eq!(state.lines(at(2_000)).unwrap(), "3/500 acme/bert: b.bin: started, 2 of 2, 1.0 GiB");
        state.advance(512 << 20);
        assert_eq!(state.lines(at(31_900)), None);
        let beat = state.lines(at(32_000)).unwrap();
        assert_eq!(beat, "3/500 acme/bert: b.bin: 2 of 2, 512.0 MiB of 1.0 GiB, 16.5 MiB/s");
        assert_eq!(state.lines(at(61_900)), None);
        assert!(state.lines(at(62_000)).is_some());
        state.advance(512 << 20);
        assert_eq!(
            state.finish(true, at(65_000)).unwrap(),
            "3/500 acme/bert: b.bin: finished, 1.0 GiB in 1 min 4 s"
        );
        state.wait("git push", at(65_000));
        assert_eq!(state.lines(at(94_999)), None);
        assert_eq!(state.lines(at(95_000)).unwrap(), "3/500 acme/bert: git push: 30.0 s");
        state.count("receiving objects", 1_000, Some(4_000), at(96_000));
        assert_eq!(state.lines(at(126_000)).unwrap(), "3/500 acme/bert: receiving objects: 1,000 of 4,000");
    }
}
