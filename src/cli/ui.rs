//! [`Ui`]: the only printing of the package.
//!
//! Invariants: the result goes to standard output, everything else to standard error; a line is written whole, and
//! never through the progress bar; colour is there only if the stream, `NO_COLOR`, `CLICOLOR_FORCE` and `--color`
//! agree. A reader who closed the pipe ends the printing and nothing else; any other failure to write is kept,
//! and told at the end. A long result goes through the pager ([`paging`](super::paging)). It does not escape: whoever makes a line does ([`sanitize`](super::sanitize)).

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstream::AutoStream;
use anstream::adapter::strip_str;
use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};

use super::args::Common;
use super::clock::Clock;
use super::closing::Closing;
use super::environment;
use super::error::Report;
use super::interrupt::Interrupt;
use super::paging::Paging;
use super::progress::{Progress, Shows};
use super::shell_paths::Here;
use crate::actions::Error;
use crate::git::pager::Pager;

/// Of the name of a file.
pub(super) const STRONG: Style = Style::new().bold();
/// Of what stands between the facts.
pub(super) const DIM: Style = Style::new().dimmed();
/// Of what is new.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Of what is not as it should be.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Of what is not done.
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// A text in a style.
pub(super) fn styled(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// Where a person looks.
pub(super) struct Ui {
    stdout: Mutex<Sink<io::Stdout>>,
    stderr: Mutex<Sink<io::Stderr>>,
    paging: Mutex<Paging>,
    color: ColorChoice,
    clock: Arc<Clock>,
    closing: Mutex<Closing>,
    pub(super) progress: Progress,
    pub(super) quiet: bool,
    pub(super) verbose: u8,
    pub(super) json: bool,
}

impl Ui {
    /// As the options ask.
    pub(super) fn new(common: &Common) -> Self {
        let shows = match () {
            () if common.no_progress || common.quiet => Shows::Nothing,
            () if io::stderr().is_terminal() && !environment::is_dumb() => {
                Shows::Terminal { is_utf8: environment::is_utf8() }
            }
            () => Shows::Lines,
        };
        let clock = Arc::new(Clock::system());
        Self {
            stdout: Mutex::new(Sink::new(AutoStream::new(io::stdout(), for_result(common.color)))),
            stderr: Mutex::new(Sink::new(AutoStream::new(io::stderr(), choice(common.color)))),
            paging: Mutex::default(),
            color: common.color,
            progress: Progress::new(shows, Arc::clone(&clock)),
            clock,
            closing: Mutex::default(),
            quiet: common.quiet,
            verbose: common.verbose,
            json: common.json,
        }
    }

    /// The result may be long, so that it goes through the pager that git would take in a directory.
    pub(super) fn page(&self, dir: &Path, interrupt: &Interrupt) {
        if !self.quiet && !self.json && io::stdout().is_terminal() {
            *lock(&self.paging) = Paging::wanted(dir, interrupt);
        }
    }

    /// Is the colour of the result that of git's own, which `chosen` gives? `--color` and `NO_COLOR` come first.
    pub(super) fn color_as(&self, chosen: impl FnOnce(bool) -> Option<bool>) {
        if self.color != ColorChoice::Auto || environment::is_colorless() {
            return;
        }
        let is_shown = io::stdout().is_terminal() || environment::is_paged();
        if let Some(has_colors) = chosen(is_shown) {
            let choice =
                if has_colors { anstream::ColorChoice::Always } else { anstream::ColorChoice::Never };
            *lock(&self.stdout) = Sink::new(AutoStream::new(io::stdout(), choice));
        }
    }

    /// A part of the result, for a person.
    pub(super) fn result(&self, lines: &str) {
        if !self.quiet && !self.json {
            self.data(lines);
        }
    }

    /// A part of the result that was asked for by name.
    pub(super) fn data(&self, lines: &str) {
        let mut paging = lock(&self.paging);
        if matches!(*paging, Paging::Wanted { .. }) {
            self.progress.end();
            paging.start();
        }
        let mut stdout = lock(&self.stdout);
        if let Paging::Runs { pager, .. } = &mut *paging {
            stdout.show_lines(lines, pager);
        } else {
            self.progress.suspend(|| stdout.write_lines(lines));
        }
    }

    /// What ended a command, which `last` says as its last line of `--json`.
    pub(super) fn failed(
        &self,
        error: &Error,
        here: &Here,
        last: impl FnOnce(Option<&Report>) -> String,
    ) -> Report {
        let report = Report::of_run(error, here);
        if self.json {
            self.data(&last(Some(&report)));
        }
        report
    }

    /// Something that is good to know.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Something that may surprise later.
    pub(super) fn warning(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("{} {text}", styled(WARNING, "warning:")));
        }
    }

    /// A command that helps; further lines stand below it.
    pub(super) fn hint(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("{} {}", styled(HINT, "hint:"), text.replace('\n', "\n      ")));
        }
    }

    /// Counts what was done, for the last line.
    pub(super) fn close(&self, count: impl FnOnce(&mut Closing)) {
        count(&mut lock(&self.closing));
    }

    /// Asks the person at the terminal. Nobody there, or anything but a yes, is a no.
    pub(super) fn confirm(&self, question: &str) -> bool {
        if self.quiet || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return false;
        }
        let mut answer = String::new();
        let is_read = self.progress.suspend(|| {
            lock(&self.stderr).write_text(&format!("{question} [y/N] "));
            io::stdin().read_line(&mut answer).is_ok()
        });
        is_read && ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
    }

    /// An error, with its causes and, unless errors alone are wanted, its hints.
    pub(super) fn error(&self, report: &Report) {
        let mut lines = format!("{} {}", styled(ERROR, "error:"), report.headline());
        for cause in &report.causes {
            let cause = cause.replace('\n', "\n             ");
            let _infallible = write!(lines, "\n  {} {cause}", styled(DIM, "caused by:"));
        }
        self.say(&lines);
        report.hints.iter().for_each(|hint| self.hint(hint));
    }

    /// What clap says of the command line, or help.
    pub(super) fn usage(error: &clap::Error, color: ColorChoice) {
        let text = error.render().ansi().to_string();
        if error.use_stderr() {
            // `--help` is answered by git, with the manual page; `-h` reaches us.
            let is_help = error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            let text = if is_help { text } else { text.replace("--help", "-h") };
            Sink::new(AutoStream::new(io::stderr(), choice(color))).write_lines(text.trim_end());
        } else {
            Sink::new(AutoStream::new(io::stdout(), choice(color))).write_lines(text.trim_end());
        }
    }

    /// Hands everything on, says what was done, and why standard output could not be written.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.progress.end();
        // Reading takes time too, which is not that of the run.
        let took = self.clock.now();
        let waited = lock(&self.paging).close();
        if !waited.is_empty() {
            self.say(&waited);
        }
        if let Some(last) = lock(&self.closing).line(took) {
            self.note(&last);
        }
        let mut stdout = lock(&self.stdout);
        stdout.flush();
        stdout.error.take().map_or(Ok(()), Err)
    }

    fn say(&self, lines: &str) {
        if lock(&self.paging).waits(lines) {
            return;
        }
        self.progress.suspend(|| lock(&self.stderr).write_lines(lines));
    }
}

/// That of the result: git may have started its pager before us.
fn for_result(color: ColorChoice) -> anstream::ColorChoice {
    if color == ColorChoice::Auto && environment::is_paged() && !environment::is_colorless() {
        return anstream::ColorChoice::Always;
    }
    choice(color)
}

fn choice(color: ColorChoice) -> anstream::ColorChoice {
    match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that is written until it fails.
struct Sink<S: anstream::stream::RawStream> {
    stream: AutoStream<S>,
    is_closed: bool,
    error: Option<io::Error>,
}

impl<S: anstream::stream::RawStream + anstream::stream::AsLockedWrite> Sink<S> {
    fn new(stream: AutoStream<S>) -> Self {
        Self { stream, is_closed: false, error: None }
    }

    fn write_lines(&mut self, lines: &str) {
        let end = if lines.ends_with('\n') { "" } else { "\n" };
        self.write_text(&format!("{lines}{end}"));
    }

    /// The same through a pager.
    fn show_lines(&mut self, lines: &str, pager: &mut Pager) {
        let end = if lines.ends_with('\n') { "" } else { "\n" };
        let has_colors = self.stream.current_choice() != anstream::ColorChoice::Never;
        let text = if has_colors { lines.to_owned() } else { strip_str(lines).to_string() };
        self.attempt(|_| pager.show(format!("{text}{end}").as_bytes()));
    }

    fn write_text(&mut self, text: &str) {
        self.attempt(|stream| stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
    }

    fn flush(&mut self) {
        self.attempt(Write::flush);
    }

    fn attempt(&mut self, write: impl FnOnce(&mut AutoStream<S>) -> io::Result<()>) {
        if self.is_closed {
            return;
        }
        if let Err(error) = write(&mut self.stream) {
            self.is_closed = true;
            self.error = Some(error).filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
        }
    }
}
