//! Runs `git st-convert verify [PATH... | --pr N]`.

use crate::actions::verify::{Options, Verified, verify, verify_pull_request};
use crate::actions::{Error, Reporter as _, pull};
use crate::cli::args::Verify;
use crate::cli::commands::Call;
use crate::cli::environment;
use crate::cli::error::{Kind, Report, code};
use crate::cli::json;
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{Given, Here, shell};

/// Verifies, and returns the worst exit code of the files.
pub(crate) fn run(args: &Verify, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, ui, interrupt, .. } = call;
    let reporter = TerminalReporter::new(ui, interrupt, false)
        .at(Here::new(cwd).of(typed(args)).with(given(args)), false);
    let done = work(args, call, &reporter);
    reporter.finished();
    reporter.close(done.is_err());
    let done = done.map_err(|error| {
        let last =
            |report: Option<&Report>| json::verification(&[], report, report.map_or(0, Report::exit_code));
        ui.failed(&error, reporter.here(), last)
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

fn work(args: &Verify, call: Call<'_>, reporter: &TerminalReporter<'_>) -> Result<Vec<Verified>, Error> {
    let (cwd, servers) = (call.cwd.to_owned(), environment::servers(call.servers)?);
    if let Some(number) = args.pr {
        let from = pull::Options { cwd, servers, remote: None };
        return verify_pull_request(&from, number, args.key.as_deref(), reporter);
    }
    let (paths, rev, key) = (args.paths.clone(), args.rev.clone(), args.key.clone());
    verify(&Options { cwd, paths, rev, key, hashes: call.ui.json, servers }, reporter)
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
