//! [`Ui`]: the only printing of the package.
//!
//! Invariants: the result goes to standard output, everything else to standard error; a line is written whole, and
//! never through the progress bar; colour is there only if the stream, `NO_COLOR`, `CLICOLOR_FORCE` and `--color`
//! agree. A reader who closed the pipe ends the printing and nothing else; any other failure to write is kept,
//! and told at the end. It does not escape: whoever makes a line does ([`sanitize`](super::sanitize)).

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstream::AutoStream;
use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};

use super::args::Common;
use super::clock::Clock;
use super::closing::Closing;
use super::environment;
use super::error::Report;
use super::progress::{Progress, Shows};
use super::shell_paths::Here;
use crate::actions::Error;

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
            stdout: Mutex::new(Sink::new(AutoStream::new(io::stdout(), choice(common.color)))),
            stderr: Mutex::new(Sink::new(AutoStream::new(io::stderr(), choice(common.color)))),
            progress: Progress::new(shows, Arc::clone(&clock)),
            clock,
            closing: Mutex::default(),
            quiet: common.quiet,
            verbose: common.verbose,
            json: common.json,
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
        self.progress.suspend(|| lock(&self.stdout).write_lines(lines));
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
        if let Some(last) = lock(&self.closing).line(self.clock.now()) {
            self.note(&last);
        }
        let mut stdout = lock(&self.stdout);
        stdout.flush();
        stdout.error.take().map_or(Ok(()), Err)
    }

    fn say(&self, lines: &str) {
        self.progress.suspend(|| lock(&self.stderr).write_lines(lines));
    }
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
