//! Runs `git st-convert [PATH...]`, also spelled `convert`.

use std::collections::BTreeSet;
use std::iter;

use bstr::ByteSlice as _;

use crate::actions::convert::{Options, Summary};
use crate::actions::pull::{Choice, Done, by_choice};
use crate::actions::{Error, Outcome, Reporter as _, Status};
use crate::cli::args::Convert;
use crate::cli::commands::Call;
use crate::cli::commands::pull::tell;
use crate::cli::environment;
use crate::cli::error::{Report, exit_code};
use crate::cli::json::{self, End};
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{Given, Here};
use crate::cli::ui::Ui;

/// How many files a hint names.
const NAMED: usize = 50;

/// Converts, and returns the worst exit code of the files.
pub(crate) fn run(args: &Convert, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, servers, ui, interrupt } = call;
    let here = Here::new(cwd).of("convert").with(given(args, servers.offline));
    let reporter = TerminalReporter::new(ui, interrupt, args.dry_run).at(here, args.output.is_some());
    let done = convert(args, call, &reporter);
    reporter.finished();
    match done {
        Ok(Done::Pulled(pulled)) => {
            tell(ui, &pulled, reporter.here());
            Ok(0)
        }
        done => {
            let done = done.map(|done| match done {
                Done::Converted(summary) => summary,
                Done::Pulled(_) => Summary::default(),
            });
            let summary = ended(done, |summary| summary, &reporter, ui)?;
            conclude(&summary, args, &reporter, ui);
            Ok(worst(&summary))
        }
    }
}

/// Returns the given options and paths, which a hint repeats.
fn given(args: &Convert, offline: bool) -> Given {
    let mut given = Given::of(&args.paths);
    given.flag("--offline", offline);
    given.flag("--dry-run", args.dry_run);
    if let Some(output) = &args.output {
        given.value("--output", output.as_os_str().as_encoded_bytes().as_bstr());
    }
    if let Some(choice) = args.pr {
        given.value("--pr", choice.to_string().as_bytes().as_bstr());
    }
    given.flag("--force", args.force);
    args.key.iter().for_each(|key| given.value("--key", key.as_bytes().as_bstr()));
    args.keep.iter().for_each(|name| given.value("--keep", name.as_bytes().as_bstr()));
    given.flag("--strict", args.strict);
    given.flag("--replace", args.replace);
    given.flag("--pointer-only", args.pointer_only);
    given.flag("--keep-source", args.keep_source);
    given.flag("--sha256", args.sha256);
    if let Some(size) = args.max_output {
        given.value("--max-output", size.0.to_string().as_bytes().as_bstr());
    }
    given.flag("--commit", args.commit);
    args.message.iter().for_each(|message| given.value("--message", message.as_bytes().as_bstr()));
    given
}

fn convert(args: &Convert, call: Call<'_>, reporter: &TerminalReporter<'_>) -> Result<Done, Error> {
    // The conversion of a plain file contacts no remote.
    let choice = match args.pr {
        Some(choice) => choice,
        None if args.output.is_some() => Choice::Never,
        None => Choice::configured(call.cwd)?,
    };
    let options = options(args, call)?;
    match beside_number(args) {
        Some(option) if matches!(choice, Choice::Number(_)) => Err(Error::NotWithPullRequest { option }),
        _ => by_choice(choice, &options, reporter),
    }
}

/// Returns an option about the conversion that conflicts with `--pr N`, which converts nothing.
fn beside_number(args: &Convert) -> Option<&'static str> {
    let given = [
        (!args.paths.is_empty(), "PATH"),
        (args.dry_run, "--dry-run"),
        (args.force, "--force"),
        (args.key.is_some(), "--key"),
        (!args.keep.is_empty(), "--keep"),
        (args.strict, "--strict"),
        (args.replace, "--replace"),
        (args.pointer_only, "--pointer-only"),
        (args.keep_source, "--keep-source"),
        (args.sha256, "--sha256"),
        (args.max_output.is_some(), "--max-output"),
        (args.commit, "--commit"),
    ];
    given.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
}

fn options(args: &Convert, call: Call<'_>) -> Result<Options, Error> {
    Ok(Options {
        cwd: call.cwd.to_owned(),
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
        sha256: args.sha256 || call.ui.json,
        max_output: args.max_output.map(|size| size.0),
        servers: environment::servers(call.servers)?,
        jobs: call.servers.jobs.map(usize::from),
        commit: args.commit.then(|| args.message.clone()),
    })
}

/// Prints the last line of `--json`, also after an error.
pub(crate) fn ended<T>(
    done: Result<T, Error>,
    summary: impl Fn(&T) -> &Summary,
    reporter: &TerminalReporter<'_>,
    ui: &Ui,
) -> Result<T, Report> {
    let tally = reporter.tally();
    let done = done.map_err(|error| Report::of_run(&error, reporter.here()));
    reporter.close(done.is_err());
    if ui.json {
        let end = match &done {
            Ok(done) => {
                let summary = summary(done);
                End { commit: summary.commit.as_deref(), failure: None, exit_code: worst(summary) }
            }
            Err(report) => End { commit: None, failure: Some(report), exit_code: report.exit_code() },
        };
        ui.conclude(&json::summary(&tally, &end));
    }
    done
}

/// Returns the worst exit code of the files.
pub(crate) fn worst(summary: &Summary) -> u8 {
    let codes = summary.outcomes.iter();
    codes.map(|outcome| exit_code(outcome.status, outcome.reason.as_ref())).max().unwrap_or(0)
}

fn conclude(summary: &Summary, args: &Convert, reporter: &TerminalReporter<'_>, ui: &Ui) {
    let git = reporter.here().git();
    if summary.outcomes.is_empty() {
        if !summary.in_repository {
            return ui.note("nothing to convert: no checkpoints");
        }
        ui.note("nothing to convert: no tracked checkpoints");
        if summary.left_alone == 0 {
            ui.hint(&format!("convert an untracked file: `{git} st-convert FILE`"));
        }
    }
    let is_kept = |outcome: &&Outcome| outcome.status == Status::Unverified;
    let kept: Vec<_> = summary.outcomes.iter().filter(is_kept).collect();
    if let [_, rest @ ..] = kept.as_slice() {
        // The name of a checkpoint also shows which one is meant, if a file is named after several.
        let mut seen = BTreeSet::new();
        let outputs = summary.outcomes.iter().filter_map(|outcome| outcome.output.as_ref());
        let ambiguous: BTreeSet<_> = outputs.filter(|output| !seen.insert(*output)).collect();
        let is_ambiguous =
            kept.iter().any(|one| one.output.as_ref().is_some_and(|one| ambiguous.contains(one)));
        let named = kept.iter().filter(|_| is_ambiguous || rest.is_empty()).take(NAMED);
        let command = format!("{git} st-convert verify");
        let words: Vec<_> =
            iter::once(command).chain(named.map(|one| reporter.argument(&one.source))).collect();
        let what = if rest.is_empty() { "file" } else { "files" };
        ui.hint(&format!("verify the existing {what}: `{}`", words.join(" ")));
    }
    // With `--commit`, all possible files are committed already.
    if summary.staged && summary.commit.is_none() && !args.dry_run && !args.commit {
        ui.hint(&format!("commit: `{git} commit -m \"convert weights to safetensors\"`"));
    }
}
