//! `git st-convert [PATH...]`, also spelled `convert`.

use std::path::PathBuf;

use crate::actions::Reporter as _;
use crate::actions::convert::{Options, Summary, convert};
use crate::cli::args::Convert;
use crate::cli::error::{Report, exit_code};
use crate::cli::interrupt::Interrupt;
use crate::cli::json;
use crate::cli::reporter::Teller;
use crate::cli::ui::Ui;

/// Converts, and gives the worst exit code of the files.
pub(crate) fn run(args: &Convert, cwd: PathBuf, ui: &Ui, interrupt: &Interrupt) -> Result<u8, Report> {
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
        commit: args.commit.then(|| args.message.clone()),
    };
    let teller = Teller::new(ui, interrupt, args.dry_run);
    let done = convert(&options, &teller);
    teller.finished();
    let summary = done.map_err(|error| {
        let report = Report::of(&error);
        if ui.json {
            ui.data(&json::failure(&report));
        }
        report
    })?;
    conclude(&summary, args, ui);
    Ok(worst(&summary))
}

/// The worst exit code of the files.
pub(crate) fn worst(summary: &Summary) -> u8 {
    let codes = summary.outcomes.iter();
    codes.map(|outcome| exit_code(outcome.status, outcome.reason.as_ref())).max().unwrap_or(0)
}

fn conclude(summary: &Summary, args: &Convert, ui: &Ui) {
    if ui.json {
        ui.data(&json::summary(summary, args.dry_run));
    }
    if summary.outcomes.is_empty() {
        ui.note("no torch weights here, nothing to convert");
    }
    if summary.staged && summary.commit.is_none() && !args.dry_run {
        ui.hint("commit what is staged with `git commit -m \"convert weights to safetensors\"`");
    }
}
