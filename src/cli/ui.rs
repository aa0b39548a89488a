//! [`Ui`] does all printing of the package.
//!
//! Invariants: the result goes to standard output, everything else to standard error; a line is written as a whole, and
//! never through the progress bar; colors are used only if the stream, `NO_COLOR`, `CLICOLOR_FORCE` and `--color` allow
//! them. A reader who closes the pipe ends only the printing; any other write error is kept, and reported at the end. A
//! long result goes through the pager ([`paging`](super::paging)). The module does not escape: the code that formats a
//! line does ([`sanitize`](super::sanitize)).

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// For the name of a file.
pub(super) const STRONG: Style = Style::new().bold();
/// For the text between facts.
pub(super) const DIM: Style = Style::new().dimmed();
/// For new files.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// For errors and findings.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
const ERROR: Style = AnsiColor::Red.on_default().bold();
/// For work that was not done.
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Returns a text in a style.
pub(super) fn styled(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// The output of the program.
pub(super) struct Ui {
    stdout: Mutex<Sink<io::Stdout>>,
    stderr: Mutex<Sink<io::Stderr>>,
    paging: Mutex<Paging>,
    color: ColorChoice,
    clock: Arc<Clock>,
    closing: Mutex<Closing>,
    /// The last line of the result was printed.
    is_concluded: AtomicBool,
    pub(super) progress: Progress,
    pub(super) quiet: bool,
    pub(super) verbose: u8,
    pub(super) json: bool,
}

impl Ui {
    /// Creates it with these options.
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
            is_concluded: AtomicBool::new(false),
            quiet: common.quiet,
            verbose: common.verbose,
            json: common.json,
        }
    }

    /// Prepares for a long result, which goes through the pager that git would use in a directory.
    pub(super) fn page(&self, dir: &Path, interrupt: &Interrupt) {
        if !self.quiet && !self.json && io::stdout().is_terminal() {
            *lock(&self.paging) = Paging::wanted(dir, interrupt);
        }
    }

    /// Sets the color of the result to git's own setting, which `chosen` returns. `--color` and `NO_COLOR` have
    /// priority.
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

    /// Prints a part of the result, for the user.
    pub(super) fn result(&self, lines: &str) {
        if !self.quiet && !self.json {
            self.data(lines);
        }
    }

    /// Prints a part of the result for programs.
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

    /// The last line of a result for programs, maybe with others before it: nothing follows it.
    pub(super) fn conclude(&self, lines: &str) {
        self.is_concluded.store(true, Ordering::Relaxed);
        self.data(lines);
    }

    /// Returns `true` if that line was printed.
    pub(super) fn is_concluded(&self) -> bool {
        self.is_concluded.load(Ordering::Relaxed)
    }

    /// Prints the error of a command; `last` formats it as its last line of `--json`.
    pub(super) fn failed(
        &self,
        error: &Error,
        here: &Here,
        last: impl FnOnce(Option<&Report>) -> String,
    ) -> Report {
        let report = Report::of_run(error, here);
        if self.json {
            self.conclude(&last(Some(&report)));
        }
        report
    }

    /// Prints a note.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Prints a warning.
    pub(super) fn warning(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("{} {text}", styled(WARNING, "warning:")));
        }
    }

    /// Prints a command that helps; further lines follow below it.
    pub(super) fn hint(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("{} {}", styled(HINT, "hint:"), text.replace('\n', "\n      ")));
        }
    }

    /// Adds results to the last line.
    pub(super) fn close(&self, count: impl FnOnce(&mut Closing)) {
        count(&mut lock(&self.closing));
    }

    /// Prompts the user at the terminal. Without a terminal, or for any other answer than yes, the result is `false`.
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

    /// Prints an error, with its causes and, without `-q`, its hints.
    pub(super) fn error(&self, report: &Report) {
        let mut lines = format!("{} {}", styled(ERROR, "error:"), report.headline());
        for cause in &report.causes {
            let cause = cause.replace('\n', "\n             ");
            let _infallible = write!(lines, "\n  {} {cause}", styled(DIM, "caused by:"));
        }
        self.say(&lines);
        report.hints.iter().for_each(|hint| self.hint(hint));
    }

    /// Prints clap's message about the command line, or help; and the last line of a result for programs.
    pub(super) fn usage(error: &clap::Error, command: &str, color: ColorChoice, last: Option<String>) {
        if let Some(last) = last {
            Sink::new(AutoStream::new(io::stdout(), choice(color))).write_lines(&last);
        }
        let text = error.render().ansi().to_string();
        if error.use_stderr() {
            // git handles `--help` with the manual page; `-h` reaches this program.
            let text = match text.rfind("For more information") {
                Some(end) => format!("{}run `{command} -h` for help", &text[..end]),
                None => text,
            };
            Sink::new(AutoStream::new(io::stderr(), choice(color))).write_lines(text.trim_end());
        } else {
            Sink::new(AutoStream::new(io::stdout(), choice(color))).write_lines(text.trim_end());
        }
    }

    /// Prints pending output and the last line, and returns the write error of standard output.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.progress.end();
        // The time that the user spends reading does not count as time of the run.
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

/// Returns the color choice for the result: git may have started its pager before this program.
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

/// A stream that is written until an error occurs.
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

    /// Does the same through a pager.
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
