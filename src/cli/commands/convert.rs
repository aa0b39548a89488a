//! `git st-convert [PATH...]`, also spelled `convert`.

use std::path::PathBuf;

use crate::actions::convert::{Options, Summary, convert};
use crate::actions::{Error, Reporter as _};
use crate::cli::args::Convert;
use crate::cli::environment;
use crate::cli::error::{Report, exit_code};
use crate::cli::interrupt::Interrupt;
use crate::cli::json::{self, End};
use crate::cli::reporter::Teller;
use crate::cli::ui::Ui;

/// Converts, and gives the worst exit code of the files.
pub(crate) fn run(
    args: &Convert,
    cwd: PathBuf,
    offline: bool,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<u8, Report> {
    let options = Options {
        cwd,
        paths: args.paths.clone(),
        dry_run: args.dry_run,
        output: args.output.clone(),
        force: args.force,
        key: args.key.clone(),
        keep: args.keep.clone(),
        strict: args.strict,
        replace: args.replace,
        pointer_only: args.pointer_only,
        keep_source: args.keep_source,
        servers: Some(environment::settings(offline)),
        commit: args.commit.then(|| args.message.clone()),
    };
    let teller = Teller::new(ui, interrupt, args.dry_run);
    let done = convert(&options, &teller);
    teller.finished();
    let summary = ended(done, |summary| summary, &teller, ui)?;
    conclude(&summary, args, ui);
    Ok(worst(&summary))
}

/// Prints the last line of `--json`, whatever the end.
pub(crate) fn ended<T>(
    done: Result<T, Error>,
    summary: impl Fn(&T) -> &Summary,
    teller: &Teller<'_>,
    ui: &Ui,
) -> Result<T, Report> {
    let done = done.map_err(|error| Report::of(&error));
    if ui.json {
        let end = match &done {
            Ok(done) => {
                let summary = summary(done);
                End { commit: summary.commit.as_deref(), failure: None, exit_code: worst(summary) }
            }
            Err(report) => End { commit: None, failure: Some(report), exit_code: report.kind.exit_code() },
        };
        ui.data(&json::summary(teller, &end));
    }
    done
}

/// The worst exit code of the files.
pub(crate) fn worst(summary: &Summary) -> u8 {
    let codes = summary.outcomes.iter();
    codes.map(|outcome| exit_code(outcome.status, outcome.reason.as_ref())).max().unwrap_or(0)
}

fn conclude(summary: &Summary, args: &Convert, ui: &Ui) {
    if summary.outcomes.is_empty() {
        ui.note("no torch weights here, nothing to convert");
    }
    if summary.staged && summary.commit.is_none() && !args.dry_run {
        ui.hint("commit what is staged with `git commit -m \"convert weights to safetensors\"`");
    }
}
