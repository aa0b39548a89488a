//! `git st-convert hook`

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::Path;

use bstr::{BStr, ByteSlice as _};

use crate::actions::guard::{Finding, Guarded, Question, State, guard, quoted_path};
use crate::cli::args::{Asker, Hook, HookCommand, HookRun};
use crate::cli::environment;
use crate::cli::error::{Kind, Report, code};
use crate::cli::interrupt::Interrupt;
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{File, Here, quoted};
use crate::cli::sizes::{bytes, counted};
use crate::cli::ui::Ui;
use crate::cli::{json, sanitize};

mod install;

/// More lines than this no push has.
const MAX_INPUT: u64 = 256 << 20;

/// Installs, removes, shows or runs hooks.
pub(crate) fn run(args: &Hook, cwd: &Path, ui: &Ui, interrupt: &Interrupt) -> Result<u8, Report> {
    match &args.command {
        HookCommand::Install(hooks) => install::install(*hooks, cwd, ui),
        HookCommand::Uninstall(hooks) => install::uninstall(*hooks, cwd, ui),
        HookCommand::Status(status) => install::status(status.global, cwd, ui),
        HookCommand::Run(run) => ask(run, cwd, ui, interrupt),
    }
}

fn ask(args: &HookRun, cwd: &Path, ui: &Ui, interrupt: &Interrupt) -> Result<u8, Report> {
    let question = question(args)?;
    let reporter = TerminalReporter::new(ui, interrupt, false);
    let answer = guard(cwd, &question, &reporter).map_err(|error| {
        let report = Report::of(&error);
        if ui.json {
            ui.data(&json::guarded(None, Some(&report), report.exit_code()));
        }
        report
    })?;
    let unchecked = answer.count(&State::Unchecked);
    let code = match answer.count(&State::Refused) {
        _ if unchecked > 0 => code(Kind::Environment),
        0 => 0,
        _ => code(Kind::Refused),
    };
    if ui.json {
        let lines = answer.findings.iter().map(|finding| json::finding(finding) + "\n");
        ui.data(&(lines.collect::<String>() + &json::guarded(Some(&answer), None, code)));
    }
    // On a push the framework is no other than git.
    let asker = if matches!(question, Question::Range { .. }) { Asker::PrePush } else { args.hook };
    let here = match asker {
        // A server's repository is not where the person is who pushes.
        Asker::PreReceive => Here::default(),
        _ => Here::in_hook(cwd, environment::git_prefix().as_deref()),
    };
    tell(&answer, asker, &here, ui);
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

/// Says what was found, and how to go on.
fn tell(answer: &Guarded, asker: Asker, here: &Here, ui: &Ui) {
    for finding in &answer.findings {
        let file = sanitize::bytes(finding.path.as_ref());
        match &finding.state {
            State::Refused | State::Unchecked => ui.error(&report(finding, answer, asker, here)),
            State::Known => ui.note(&format!("{file}: {}; HEAD has it already", what(finding))),
            State::Allowed { reason } if ui.verbose > 0 => {
                ui.note(&format!("{file}: {}; allowed: {}", what(finding), sanitize::text(reason)));
            }
            State::Unseen if ui.verbose > 0 => ui.note(&format!("{file}: {}", what(finding))),
            State::Unseen | State::Allowed { .. } => {}
        }
    }
    if ui.verbose > 0 && answer.by_name > 0 {
        let files = counted(answer.by_name, "file");
        ui.note(&format!("{files} judged by name alone, for the content is not here"));
    }
    let (refused, unchecked) = (answer.count(&State::Refused), answer.count(&State::Unchecked));
    if refused + unchecked == 0 {
        return;
    }
    let mut parts = Vec::new();
    if refused > 0 {
        parts.push(format!("{} refused", counted(refused, "file")));
    }
    if unchecked > 0 {
        parts.push(format!("{} not checked", counted(unchecked, "file")));
    }
    let skip = match asker {
        Asker::PreCommit | Asker::PreCommitFramework => "; `git commit --no-verify` skips this check",
        Asker::PreMergeCommit => "; `git merge --no-verify` skips this check",
        Asker::PrePush => "; `git push --no-verify` skips this check",
        Asker::PreReceive => "",
    };
    ui.note(&format!("{}{skip}", parts.join(", ")));
}

/// What it is: kind, format, length, where.
fn what(finding: &Finding) -> String {
    let mut facts = Vec::new();
    if let Some(report) = &finding.report {
        facts.push(report.content.name().to_owned());
    }
    facts.extend(finding.size.map(bytes));
    if finding.is_lfs {
        facts.push("Git LFS".to_owned());
    }
    let kind = match &finding.report {
        None => "has the name of a pickle",
        Some(report) if report.holds_pickle() && finding.is_convertible() => "pickle weights",
        Some(report) if report.is_pickle() => "pickle",
        Some(report) if report.holds_pickle() => "holds a pickle",
        Some(_) => "cannot be looked into",
    };
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let checkout = finding.checkout.as_ref();
    let checkout = checkout.map(|by| format!(", as a checkout writes it: {}", sanitize::text(by)));
    let calls = finding.dangerous().map(|global| format!(", which calls `{}`", sanitize::text(&global)));
    format!("{kind}{facts}{}{}", calls.unwrap_or_default(), checkout.unwrap_or_default())
}

fn report(finding: &Finding, answer: &Guarded, asker: Asker, here: &Here) -> Report {
    Report {
        kind: if finding.state == State::Refused { Kind::Refused } else { Kind::Environment },
        file: Some(sanitize::bytes(finding.path.as_ref()).into_owned()),
        message: what(finding),
        causes: finding.reason.iter().map(|reason| sanitize::text(reason).into_owned()).collect(),
        hints: vec![fix(finding, answer, asker, here), keep(finding, answer, asker, here)],
    }
}

fn fix(finding: &Finding, answer: &Guarded, asker: Asker, here: &Here) -> String {
    let file = File::OfTop(finding.path.as_ref());
    let (git, spec, file) = (here.git(), here.pathspec(file), here.argument(file));
    let is_pushed = matches!(asker, Asker::PrePush | Asker::PreReceive);
    let how = match (finding.is_convertible() && finding.state == State::Refused, is_pushed) {
        (true, false) => format!("`{git} st-convert --replace {file}`"),
        (true, true) => {
            format!("in the commit that adds it, `{git} st-convert --replace {file} && {git} commit --amend`")
        }
        (false, true) => {
            format!("in the commit that adds it, `{git} rm --cached {spec} && {git} commit --amend`")
        }
        (false, false) if answer.is_unborn => format!("`{git} rm --cached {spec}`"),
        (false, false) => format!("`{git} restore --staged {spec}`"),
    };
    format!("to fix it: {how}")
}

fn keep(finding: &Finding, answer: &Guarded, asker: Asker, here: &Here) -> String {
    let path = quoted_path(finding.path.as_ref());
    let file = &answer.allow_file;
    let is_inside = !file.starts_with('~') && !Path::new(file).is_absolute();
    let name = BStr::new(file.as_bytes());
    let name = if is_inside { File::OfTop(name) } else { File::Given(name) };
    let (git, spec) = (here.git(), here.pathspec(name));
    let target = match file.split_once('/') {
        // A shell and git know the same homes.
        Some((home, below)) if home.starts_with('~') && !is_inside => {
            let user = home.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            if user { format!("{home}/{}", quoted(below.into())) } else { here.path(name) }
        }
        _ => here.path(name),
    };
    let then = match asker {
        _ if !is_inside => String::new(),
        Asker::PrePush | Asker::PreReceive => {
            format!(" && {git} add {spec} && {git} commit -m \"keep a pickle\"")
        }
        _ => format!(" && {git} add {spec}"),
    };
    let line = match (finding.oid, finding.blob) {
        (Some(oid), _) => quoted(format!("{oid} {path} REASON").as_bytes().as_bstr()),
        (None, Some(blob)) => {
            let words = quoted(format!("{path} REASON").as_bytes().as_bstr());
            format!("\"$({git} cat-file blob {blob} | sha256sum | cut -c1-64)\" {words}")
        }
        (None, None) => {
            let words = quoted(format!("{path} REASON").as_bytes().as_bstr());
            let name = here.path(File::OfTop(finding.path.as_ref()));
            format!("\"$(sha256sum < {name} | cut -c1-64)\" {words}")
        }
    };
    // Some shells have an `echo` that reads escapes.
    let print = if line.contains('\\') { "printf '%s\\n'" } else { "echo" };
    format!("to keep it: `{print} {line} >> {target}{then}`")
}
