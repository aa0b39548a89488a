//! Implements the user interface: arguments, progress, colors, JSON, hints, exit codes. Only this module prints.
//!
//! ```text
//! args ──▶ commands/* ──▶ actions::*  ──▶ Reporter ──▶ ui: stdout the result, stderr the rest
//!                              └─ Error ──▶ error: kind, causes, hints ──▶ exit code
//! ```
//!
//! Invariant: the exit status is 0 for success or nothing to do, 1 for a finding or a refusal, 2 if the work could not
//! be done, 101 for a bug, 130 after an interruption; with several files, the worst one counts. The commands know no
//! format and no repository: they resolve arguments, call the library, and print the result.

mod args;
mod clock;
mod closing;
mod commands;
mod environment;
mod error;
mod hints;
mod interrupt;
mod json;
mod manpath;
mod notes;
mod page;
mod paging;
mod panic;
mod progress;
mod reporter;
mod sanitize;
mod sarif;
mod shell_paths;
mod sizes;
mod tally;
mod ui;
mod wording;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::{Args, Command};
use commands::Call;
use error::Report;
use interrupt::Interrupt;
use ui::Ui;

use crate::repo::Repo;

/// Runs a command line, which begins with the program's name, and returns its exit status.
pub fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    panic::install();
    let line: Vec<_> = line.into_iter().collect();
    let color = args::color_of(&line).unwrap_or(clap::ColorChoice::Auto);
    let wants_json = args::wants_json(&line);
    let args = match Args::read(line.clone()) {
        Ok(args) => args,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let last = (wants_json && code != 0).then(|| json::misused(&usage(&error), code));
            Ui::usage(&error, &args::command_of(line), color, last);
            return ExitCode::from(code);
        }
    };
    let ui = Ui::new(&args.common);
    let code = ended(panic::caught(|| dispatch(&args, &ui)), &ui, wants_json);
    match ui.finish() {
        Ok(()) => ExitCode::from(code),
        Err(cause) => {
            let report = Report::io(Path::new("standard output"), "cannot be written", &cause);
            ui.error(&report);
            ExitCode::from(code.max(report.exit_code()))
        }
    }
}

/// Returns the exit status of a command, after its last line of JSON and its error.
fn ended(done: Result<Result<u8, Report>, String>, ui: &Ui, wants_json: bool) -> u8 {
    // An error before the command began, or outside of its work, has no last line yet.
    let needs_end = wants_json && !ui.is_concluded();
    match done {
        Ok(Ok(code)) => code,
        Ok(Err(report)) => {
            if needs_end {
                ui.conclude(&json::end(Some(&report)));
            }
            ui.error(&report);
            report.exit_code()
        }
        Err(panicked) => {
            if needs_end {
                ui.conclude(&json::misused(&panicked, panic::CODE));
            }
            panic::CODE
        }
    }
}

/// Returns clap's message about a command line in one line, without the advice below it.
fn usage(error: &clap::Error) -> String {
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given".to_owned();
    }
    let text = error.render().to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let told = lines.collect::<Vec<_>>().join(" ");
    told.strip_prefix("error: ").unwrap_or(&told).to_owned()
}

fn dispatch(args: &Args, ui: &Ui) -> Result<u8, Report> {
    let cwd = directory(&args.common.dir)?;
    let interrupt = Interrupt::listen()
        .map_err(|cause| Report::io(Path::new(""), "cannot install the signal handler", &cause))?;
    // git itself prints the output of the driver of its diff, through its pager.
    if !matches!(args.command, Some(Command::Textconv(_))) {
        ui.progress.begin();
    }
    let call = Call { cwd: &cwd, servers: args.common.servers, ui, interrupt: &interrupt };
    match &args.command {
        None => {
            let first = args.convert.paths.first().filter(|_| args.convert.output.is_none());
            if let Some(word) = first.filter(|word| args::is_bare(word) && !is_file(&cwd, word)) {
                return Err(not_a_command(word));
            }
            commands::convert::run(&args.convert, call)
        }
        Some(Command::Convert(convert)) => commands::convert::run(convert, call),
        Some(Command::Status(status)) => commands::status::run(status, call),
        Some(Command::Clone(clone)) => commands::clone::run(clone, call),
        Some(Command::Pull(pull)) => commands::pull::run(pull, call),
        Some(Command::Verify(verify)) => commands::verify::run(verify, call),
        Some(Command::Batch(batch)) => commands::batch::run(batch, call),
        Some(Command::Publish(publish)) => commands::publish::run(publish, call),
        Some(Command::Inspect(inspect)) => commands::inspect::run(inspect, call),
        Some(Command::Diff(diff)) => commands::diff::run(diff, call),
        Some(Command::Textconv(textconv)) => Ok(commands::textconv::run(textconv, &cwd, ui)),
        Some(Command::Scan(scan)) => commands::scan::run(scan, call),
        Some(Command::Hook(hook)) => commands::hook::run(hook, call),
        Some(Command::Demo(demo)) => commands::demo::run(demo, &cwd, ui, &interrupt),
        Some(Command::Env) => commands::env::run(call),
        Some(Command::Man(man)) => commands::man::run(man, &cwd, ui),
        Some(Command::Completions(completions)) => Ok(commands::completions::run(completions, ui)),
    }
}

fn not_a_command(word: &OsStr) -> Report {
    let shown = sanitize::path(Path::new(word));
    let message = format!("'{shown}' is not a git st-convert command, and no such file exists");
    let hint = match args::meant(word) {
        Some(name) => format!("did you mean `git st-convert {name}`?"),
        None => "list the commands: `git st-convert -h`".to_owned(),
    };
    Report::user(Path::new(""), &message, None).with_hint(hint)
}

/// Returns `true` if a file or a directory of this name exists in the working tree, or only in the index.
fn is_file(cwd: &Path, word: &OsStr) -> bool {
    let is_tracked = || {
        let repo = Repo::discover(cwd).ok()??;
        let path = repo.path_of(cwd, word).ok()?;
        let dir = [path.as_slice(), b"/"].concat();
        let entries = repo.entries().ok()?;
        Some(entries.iter().any(|entry| entry.path == path || entry.path.starts_with(&dir)))
    };
    cwd.join(word).symlink_metadata().is_ok() || is_tracked().unwrap_or(false)
}

/// Returns the working directory: each `-C` is relative to the one before.
fn directory(dirs: &[PathBuf]) -> Result<PathBuf, Report> {
    let here = std::env::current_dir()
        .map_err(|cause| Report::io(Path::new(""), "cannot read the current directory", &cause))?;
    let dir = dirs.iter().fold(here, |dir, next| dir.join(next));
    match dir.metadata() {
        _ if dirs.is_empty() => Ok(dir),
        Ok(meta) if meta.is_dir() => Ok(dir),
        Ok(_) => Err(Report::user(&dir, "not a directory", None)),
        Err(cause) => Err(Report::user(&dir, "cannot change to the directory", Some(&cause))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::actions::Reporter as _;
    use crate::actions::verify::{Verdict, Verified};

    #[test]
    fn a_run_that_panics_ends_with_its_results_and_a_last_line() {
        let line = ["git-st-convert", "verify", "--json"].map(OsString::from);
        let ui = Ui::new(&Args::read(line).unwrap().common);
        let interrupt = Interrupt::default();
        let done = panic::caught(|| -> Result<u8, Report> {
            let reporter = reporter::TerminalReporter::new(&ui, &interrupt, false);
            let mut verified = Verified::default();
            verified.verdict = Some(Verdict::Identical);
            reporter.verified(&verified);
            panic!("of a job");
        });
        assert_eq!(done.as_ref().unwrap_err(), "internal error: of a job");
        assert_eq!(ended(done, &ui, true), 101);
        assert!(ui.is_concluded());
        let mut last = None;
        ui.close(|closing| last = closing.line(Duration::ZERO));
        assert_eq!(last.unwrap(), "1 identical · 0.0 s");
    }
}
