//! Runs `git st-convert hook`.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::Path;

use crate::actions::guard::{Question, Ruling, guard};
use crate::cli::args::{Asker, Hook, HookCommand, HookRun};
use crate::cli::commands::Call;
use crate::cli::environment;
use crate::cli::error::{Kind, Report, code};
use crate::cli::json;
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::Here;

mod install;
mod refusal;

/// No push has more lines.
const MAX_INPUT: u64 = 256 << 20;

/// Installs, removes, shows or runs hooks.
pub(crate) fn run(args: &Hook, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, ui, .. } = call;
    match &args.command {
        HookCommand::Install(hooks) => install::install(*hooks, cwd, ui),
        HookCommand::Uninstall(hooks) => install::uninstall(*hooks, cwd, ui),
        HookCommand::Status(status) => install::status(status.global, cwd, ui),
        HookCommand::Run(run) => ask(run, call),
    }
}

fn ask(args: &HookRun, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, ui, interrupt, .. } = call;
    let question = question(args)?;
    let reporter = TerminalReporter::new(ui, interrupt, false);
    let answer = guard(cwd, &question, &reporter).map_err(|error| {
        let here = Here::new(cwd).of("hook run");
        ui.failed(&error, &here, |report| json::guarded(None, report, report.map_or(0, Report::exit_code)))
    })?;
    let unchecked = answer.count(&Ruling::Unchecked);
    let code = match answer.count(&Ruling::Refused) {
        _ if unchecked > 0 => code(Kind::Environment),
        0 => 0,
        _ => code(Kind::Refused),
    };
    if ui.json {
        let lines = answer.findings.iter().map(|finding| json::finding(finding) + "\n");
        ui.conclude(&(lines.collect::<String>() + &json::guarded(Some(&answer), None, code)));
    }
    // For a push, the framework passes on git's question.
    let asker = if matches!(question, Question::Range { .. }) { Asker::PrePush } else { args.hook };
    let here = match asker {
        // The user who pushes is not in the server's repository.
        Asker::PreReceive => Here::default(),
        _ => Here::in_hook(cwd, environment::git_prefix().as_deref()),
    };
    refusal::print(&answer, asker, &here, ui);
    Ok(code)
}

fn question(args: &HookRun) -> Result<Question, Report> {
    Ok(match args.hook {
        Asker::PreCommit | Asker::PreMergeCommit => Question::Index,
        Asker::PrePush => {
            let remote = args.args.first().and_then(|name| name.to_str()).map(str::to_owned);
            Question::Push { lines: input()?, remote }
        }
        Asker::PreReceive => Question::Receive { lines: input()? },
        Asker::PreCommitFramework => match environment::framework_range() {
            Some((from, to)) => Question::Range { from, to },
            None => {
                Question::Files(args.args.iter().filter(|arg| *arg != "--").map(OsString::from).collect())
            }
        },
    })
}

fn input() -> Result<Vec<u8>, Report> {
    let mut lines = Vec::new();
    io::stdin()
        .take(MAX_INPUT)
        .read_to_end(&mut lines)
        .map_err(|cause| Report::io(Path::new("standard input"), "cannot be read", &cause))?;
    Ok(lines)
}
