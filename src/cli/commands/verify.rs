//! Runs `git st-convert verify [PATH... | --pr N]`.

use std::path::PathBuf;

use crate::actions::verify::{Options, Verified, verify, verify_pull_request};
use crate::actions::{Error, Reporter as _, pull};
use crate::cli::args::{ServerArgs, Verify};
use crate::cli::environment;
use crate::cli::error::{Kind, Report, code};
use crate::cli::interrupt::Interrupt;
use crate::cli::json;
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{Given, Here, shell};
use crate::cli::ui::Ui;

/// Verifies, and returns the worst exit code of the files.
pub(crate) fn run(
    args: &Verify,
    cwd: PathBuf,
    servers: ServerArgs,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<u8, Report> {
    let reporter = TerminalReporter::new(ui, interrupt, false)
        .at(Here::new(&cwd).of(typed(args)).with(given(args)), false);
    let done = work(args, cwd, servers, &reporter);
    reporter.finished();
    reporter.close(done.is_err());
    let done = done.map_err(|error| {
        let report = Report::of_run(&error, reporter.here());
        if ui.json {
            ui.conclude(&json::verification(&[], Some(&report), report.exit_code()));
        }
        report
    })?;
    let code = worst(&done);
    if ui.json {
        ui.conclude(&json::verification(&done, None, code));
    }
    Ok(code)
}

/// Returns the command with the arguments that select what is verified.
fn typed(args: &Verify) -> String {
    match (args.pr, &args.rev) {
        (Some(number), _) => format!("verify --pr {number}"),
        (_, Some(rev)) => format!("verify --rev {}", shell(rev.as_bytes().into())),
        _ => "verify".to_owned(),
    }
}

/// Returns the other given options, which a hint repeats.
fn given(args: &Verify) -> Given {
    let mut given = Given::of(&args.paths);
    args.key.iter().for_each(|key| given.value("--key", key.as_bytes().into()));
    given
}

fn work(
    args: &Verify,
    cwd: PathBuf,
    servers: ServerArgs,
    reporter: &TerminalReporter<'_>,
) -> Result<Vec<Verified>, Error> {
    let servers = environment::servers(servers)?;
    if let Some(number) = args.pr {
        return verify_pull_request(
            &pull::Options { cwd, servers, remote: None },
            number,
            args.key.as_deref(),
            reporter,
        );
    }
    let options =
        Options { cwd, paths: args.paths.clone(), rev: args.rev.clone(), key: args.key.clone(), servers };
    verify(&options, reporter)
}

/// Returns the exit status for all files.
fn worst(done: &[Verified]) -> u8 {
    let code = |verified: &Verified| match &verified.error {
        Some(error) => Report::of(error).exit_code(),
        None if verified.is_good() => 0,
        None => code(Kind::Refused),
    };
    done.iter().map(code).max().unwrap_or(0)
}
