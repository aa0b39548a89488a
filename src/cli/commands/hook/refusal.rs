//! Prints why a commit or push is rejected, by which hook, how to fix each file, and how to allow it.

use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};

use crate::actions::guard::{Advice, GuardFinding, Guarded, Position, Ruling, Tracking, quoted_path};
use crate::cli::args::Asker;
use crate::cli::error::{Kind, Report};
use crate::cli::sanitize;
use crate::cli::shell_paths::{File, Here, quoted};
use crate::cli::sizes::{bytes, counted};
use crate::cli::ui::Ui;
use crate::repo::ObjectId;
use crate::scan;

/// How many exceptions one command contains.
const ALLOWED: usize = 8;

/// Prints the findings, and how to fix each rejected file.
pub(super) fn print(answer: &Guarded, asker: Asker, here: &Here, ui: &Ui) {
    let is_refused = |finding: &&GuardFinding| matches!(finding.ruling, Ruling::Refused | Ruling::Unchecked);
    let refused: Vec<_> = answer.findings.iter().filter(is_refused).collect();
    if !refused.is_empty() {
        // The framework is also run by hand, over files that no commit adds.
        let arrives = refused.iter().any(|finding| finding.tracking == Tracking::Arriving);
        ui.note(&headline(answer, asker, arrives));
    }
    for finding in &answer.findings {
        let file = sanitize::bytes(finding.path.as_ref());
        match &finding.ruling {
            Ruling::Refused | Ruling::Unchecked => ui.error(&report(finding, answer, asker, here)),
            Ruling::Known => ui.note(&format!("{file}: {} (already in HEAD)", what(finding))),
            Ruling::Allowed { reason } if ui.verbose > 0 => {
                ui.note(&format!("{file}: {} (exception: {})", what(finding), sanitize::text(reason)));
            }
            Ruling::Unseen if ui.verbose > 0 => ui.note(&format!("{file}: {}", what(finding))),
            Ruling::Unseen | Ruling::Allowed { .. } => {}
        }
    }
    if ui.verbose > 0 && answer.by_name > 0 {
        let files = counted(answer.by_name, "file");
        ui.note(&format!("{files} checked by name only (content not downloaded)"));
    }
    let refused: Vec<_> = refused.into_iter().filter(|finding| finding.can_be_allowed()).collect();
    if let Some(first) = refused.get(..ALLOWED.min(refused.len())).filter(|first| !first.is_empty()) {
        let which = match (first.len(), refused.len()) {
            (1, _) => "allow it".to_owned(),
            (shown, all) if shown == all => "allow them".to_owned(),
            (shown, all) => format!("allow the first {shown} of {all}"),
        };
        ui.hint(&format!("{which}: {}", allow(first, answer, asker, here)));
    }
}

/// Returns which hook rejects what, why, and how to bypass it.
fn headline(answer: &Guarded, asker: Asker, arrives: bool) -> String {
    let (rejected, bypass) = match asker {
        _ if !arrives => ("files", ""),
        Asker::PreCommit | Asker::PreCommitFramework => ("commit", "; bypass: `git commit --no-verify`"),
        Asker::PreMergeCommit => ("merge", "; bypass: `git merge --no-verify`"),
        Asker::PrePush => ("push", "; bypass: `git push --no-verify`"),
        Asker::PreReceive => ("push", ""),
    };
    let (refused, unchecked) = (answer.count(&Ruling::Refused), answer.count(&Ruling::Unchecked));
    let is_code = |report: &scan::Report| !report.holds_pickle() && report.executes();
    let is_other = |finding: &&GuardFinding| {
        finding.ruling == Ruling::Refused && finding.report.as_ref().is_some_and(is_code)
    };
    let other = answer.findings.iter().filter(is_other).count();
    let refused = refused - other;
    let mut parts = Vec::new();
    if other > 0 {
        parts.push(format!("{} with code that loaders execute", counted(other, "file")));
    }
    if refused > 0 {
        let files = counted(refused, "pickle file");
        parts.push(format!("{files} (pickles can run code when loaded)"));
    }
    if unchecked > 0 {
        let files = counted(unchecked, "file");
        parts.push(format!("{files} that cannot be checked for pickles"));
    }
    format!("git-st-convert: {rejected} rejected, {}{bypass}", parts.join(", "))
}

/// Describes a file: kind, format, length, location.
fn what(finding: &GuardFinding) -> String {
    let mut facts = Vec::new();
    if let Some(report) = &finding.report {
        facts.push(report.content.name().to_owned());
    }
    facts.extend(finding.size.map(bytes));
    if finding.is_lfs {
        facts.push("Git LFS".to_owned());
    }
    let kind = match &finding.report {
        None => "pickle by name (content not available)",
        Some(report) if report.holds_pickle() && finding.is_convertible() => "pickle checkpoint",
        Some(report) if report.is_pickle() => "pickle",
        Some(report) if report.holds_pickle() => "contains a pickle",
        Some(report) if report.executes() => "contains code that its loader executes",
        Some(_) => "unreadable container",
    };
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let checkout = finding.checkout.as_ref();
    let checkout = checkout.map(|by| format!(", as a checkout writes it ({})", sanitize::text(by)));
    let calls = finding.dangerous().map(|global| format!(", imports `{}`", sanitize::text(&global)));
    let commit = finding.commit.map(|commit| format!(", in commit {}", short(commit)));
    let [calls, checkout, commit] = [calls, checkout, commit].map(Option::unwrap_or_default);
    format!("{kind}{facts}{calls}{checkout}{commit}")
}

/// Shortens an ID as git does.
fn short(commit: ObjectId) -> String {
    commit.to_hex_with_len(10).to_string()
}

fn report(finding: &GuardFinding, answer: &Guarded, asker: Asker, here: &Here) -> Report {
    Report {
        kind: if finding.ruling == Ruling::Refused { Kind::Refused } else { Kind::Environment },
        file: Some(sanitize::bytes(finding.path.as_ref()).into_owned()),
        message: what(finding),
        causes: finding.reason.iter().map(|reason| sanitize::text(reason).into_owned()).collect(),
        hints: match asker {
            Asker::PrePush | Asker::PreReceive => vec![in_commit(finding, here)],
            _ => in_index(finding, answer, here),
        },
    }
}

/// Returns the hints before a commit, and for a file that a user named and no commit adds.
fn in_index(finding: &GuardFinding, answer: &Guarded, here: &Here) -> Vec<String> {
    let file = File::OfTop(finding.path.as_ref());
    let (git, spec, name) = (here.git(), here.pathspec(file), here.argument(file));
    let force = if finding.has_output { " --force" } else { "" };
    let convert = format!("convert it: `{git} st-convert{force} {name}`");
    let replace = format!("convert it: `{git} st-convert --replace{force} {name}`");
    let keep_out = format!("keep it out of git: {}", keep_out(finding, answer, here));
    let unstage = if answer.is_unborn {
        format!("`{git} rm --cached -f {spec}`")
    } else {
        format!("`{git} restore --staged {spec}`")
    };
    let unstage = format!("unstage it: {unstage}");
    if finding.tracking == Tracking::Untracked && finding.path.contains(&b'\n') {
        return vec![convert];
    }
    match (finding.advice, finding.tracking, finding.is_in_head) {
        (Advice::Replace, Tracking::Arriving | Tracking::Committed, _) => vec![replace],
        (Advice::ConvertAndKeepOut, Tracking::Arriving, true) => vec![convert, unstage],
        (Advice::Replace | Advice::ConvertAndKeepOut, _, _) => vec![convert, keep_out],
        (Advice::KeepOut, Tracking::Arriving, true) | (Advice::Unstage, Tracking::Arriving, _) => {
            vec![unstage]
        }
        (Advice::KeepOut, _, _) | (Advice::Unstage, Tracking::Untracked, _) => vec![keep_out],
        (Advice::Unstage, Tracking::Committed, _) => {
            vec![format!("remove it from git: `{git} rm --cached {spec}`")]
        }
    }
}

/// Returns the hint before a push.
fn in_commit(finding: &GuardFinding, here: &Here) -> String {
    let file = File::OfTop(finding.path.as_ref());
    let (git, spec, name) = (here.git(), here.pathspec(file), here.argument(file));
    let force = if finding.has_output { " --force" } else { "" };
    let mend = match finding.advice {
        Advice::Replace => format!("{git} st-convert --replace{force} {name}"),
        Advice::ConvertAndKeepOut | Advice::KeepOut | Advice::Unstage => {
            format!("{git} rm --cached -f {spec}")
        }
    };
    let amend = format!("`{mend} && {git} commit --amend`");
    let Some(commit) = finding.commit.map(short) else { return format!("in its commit: {amend}") };
    match finding.position {
        Position::Tip => format!("in commit {commit}: {amend}"),
        Position::Unknown => format!("in commit {commit}, once it is checked out: {amend}"),
        Position::Below => {
            format!("edit commit {commit}: `{git} rebase -i --rebase-merges {commit}^`, and in it {amend}")
        }
        Position::Root => {
            format!("edit commit {commit}: `{git} rebase -i --rebase-merges --root`, and in it {amend}")
        }
    }
}

/// Returns the command that removes a file from the index and adds it to `.gitignore`. The file stays.
fn keep_out(finding: &GuardFinding, answer: &Guarded, here: &Here) -> String {
    let spec = here.pathspec(File::OfTop(finding.path.as_ref()));
    let remove = format!("{} rm --cached -f {spec}", here.git());
    // No pattern can contain a line feed.
    if finding.path.contains(&b'\n') {
        return format!("`{remove}`");
    }
    let remove = if finding.tracking == Tracking::Untracked { String::new() } else { remove + " && " };
    let mut pattern = BString::from("/");
    for &byte in finding.path.as_slice() {
        if b"*?[\\ ".contains(&byte) {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    let print = match (answer.is_ignore_file_open, pattern.contains(&b'\\')) {
        (true, _) => "printf '\\n%s\\n'",
        (false, true) => "printf '%s\\n'",
        (false, false) => "echo",
    };
    let ignored = here.path(File::OfTop(BStr::new(".gitignore")));
    format!("`{remove}{print} {} >> {ignored}`", quoted(pattern.as_bstr()))
}

/// Returns the command that adds exceptions for some files to their file.
fn allow(findings: &[&GuardFinding], answer: &Guarded, asker: Asker, here: &Here) -> String {
    let file = &answer.allow_file;
    let is_inside = !file.starts_with('~') && !Path::new(file).is_absolute();
    let name = BStr::new(file.as_bytes());
    let name = if is_inside { File::OfTop(name) } else { File::Given(name) };
    let (git, spec) = (here.git(), here.pathspec(name));
    let target = match file.split_once('/') {
        // A shell and git expand `~` in the same way.
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
    let lines: Vec<_> = findings.iter().map(|finding| exception(finding, here)).collect();
    // The `echo` of some shells interprets escapes.
    let is_plain = lines.len() == 1 && !lines.iter().any(|line| line.contains('\\'));
    let print = match (answer.is_allow_file_open, is_plain) {
        (true, _) => "printf '\\n%s\\n'",
        (false, true) => "echo",
        (false, false) => "printf '%s\\n'",
    };
    format!("`{print} {} >> {target}{then}`", lines.join(" "))
}

/// Returns an exception as a word for a shell.
fn exception(finding: &GuardFinding, here: &Here) -> String {
    let path = quoted_path(finding.path.as_ref());
    let digest = match (finding.oid, finding.blob) {
        (Some(oid), _) => return quoted(format!("{oid} {path} REASON").as_bytes().as_bstr()),
        (None, Some(blob)) => format!("{} cat-file blob {blob} | sha256sum", here.git()),
        (None, None) => format!("sha256sum < {}", here.path(File::OfTop(finding.path.as_ref()))),
    };
    // One word of two quoted parts.
    let words = quoted(format!(" {path} REASON").as_bytes().as_bstr());
    format!("\"$({digest} | cut -c1-64)\"{words}")
}
