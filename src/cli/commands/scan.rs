//! Runs `git st-convert scan [TARGET...]`.

use std::fmt::Write as _;

use crate::actions::scan::{About, Remark, ScanEvent, Scanned, Standing, Targets, scan};
use crate::cli::args::{Format, Scan};
use crate::cli::commands::Call;
use crate::cli::environment;
use crate::cli::error::Report;
use crate::cli::reporter::TerminalReporter;
use crate::cli::sarif::Sarif;
use crate::cli::shell_paths::{File, Here, shell};
use crate::cli::sizes::{bytes, counted};
use crate::cli::tally::ScanTally;
use crate::cli::ui::{BAD, DIM, STRONG, Ui, WARNING, styled};
use crate::cli::{json, sanitize};
use crate::scan::{Code, CodeIn, GlobalIn, PickleIn, Verdict};

/// How many globals of a file are listed.
const LISTED: usize = 10;

/// Scans the targets.
pub(crate) fn run(args: &Scan, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, servers, ui, interrupt } = call;
    let format = if ui.json && args.format == Format::Text { Format::Json } else { args.format };
    let reporter = TerminalReporter::new(ui, interrupt, false);
    let here = Here::new(cwd).of(typed(args));
    let targets = targets(args);
    let is_given = matches!(&targets, Targets::Paths(paths) if !paths.is_empty());
    if format == Format::Text {
        ui.page(cwd, interrupt);
    }
    let mut tally = ScanTally::default();
    let mut sarif = Sarif::default();
    let mut remarks = Vec::new();
    let (jobs, servers) = (servers.jobs.map(usize::from), || environment::servers(servers));
    let ended = scan(cwd, &targets, jobs, &servers, &reporter, &mut |told| match told {
        ScanEvent::File(scanned) => {
            tally.count(scanned);
            ui.progress.count("files scanned", tally.files as u64, None);
            match format {
                Format::Json => ui.data(&json::scanned(scanned)),
                Format::Sarif => sarif.add(scanned),
                Format::Text => {}
            }
            if format == Format::Text || scanned.result.is_err() {
                let path = scanned.path.as_ref();
                tell(ui, scanned, if is_given { File::Given(path) } else { File::OfTop(path) }, &here);
            }
        }
        ScanEvent::Remark(remark) if format == Format::Json => ui.data(&json::remark(remark)),
        ScanEvent::Remark(remark) => remarks.push((*remark).clone()),
    });
    tell_remarks(ui, &remarks, &here);
    ui.close(|closing| tally.close(closing));
    let failure = ended.err().map(|error| Report::of_run(&error, &here));
    let code = failure.as_ref().map_or(tally.exit_code(), Report::exit_code);
    match format {
        Format::Json => ui.conclude(&json::scan_summary(&tally, failure.as_ref(), code)),
        Format::Sarif => ui.conclude(&sarif.finish(failure.as_ref(), code)),
        Format::Text if failure.is_none() => ui.result(&totals(&tally)),
        Format::Text => {}
    }
    failure.map_or(Ok(code), Err)
}

/// Returns the command with the arguments that select what is scanned.
fn typed(args: &Scan) -> String {
    let value = |option: &str, value: &str| format!("scan {option} {}", shell(value.as_bytes().into()));
    match (&args.rev, &args.range) {
        (Some(rev), _) => value("--rev", rev),
        (_, Some(range)) => value("--range", range),
        _ if args.staged => "scan --staged".to_owned(),
        _ => "scan".to_owned(),
    }
}

/// Prints notes on links and untracked pickles, and truncates a long list.
fn tell_remarks(ui: &Ui, remarks: &[Remark], here: &Here) {
    let (untracked, links): (Vec<_>, Vec<_>) =
        remarks.iter().partition(|remark| remark.about == About::Untracked);
    let listed = if ui.verbose > 0 { usize::MAX } else { LISTED };
    for remark in links.iter().take(listed) {
        let path = sanitize::bytes(remark.path.as_ref());
        let target = remark.target.as_ref().map(|target| format!(" ({})", sanitize::path(target)));
        let target = target.unwrap_or_default();
        ui.note(&match &remark.about {
            About::Dangling => format!("{path}: dangling link{target}"),
            About::Directory => format!("{path}: link to a directory, not followed{target}"),
            About::NoFile => format!("{path}: not a regular file, not scanned"),
            About::Scanned(other) => {
                format!("{path}: same file as {}, scanned once", sanitize::bytes(other.as_ref()))
            }
            About::Outside => format!("{path}: link leads out of the working tree{target}"),
            About::Untracked => continue,
        });
    }
    if links.len() > listed {
        ui.note(&format!("{} more links and files like these: `-v` lists them", links.len() - listed));
    }
    if untracked.is_empty() {
        return;
    }
    let names = untracked.iter().take(LISTED).map(|remark| sanitize::bytes(remark.path.as_ref()));
    let names = names.collect::<Vec<_>>().join(", ");
    let more = if untracked.len() > LISTED { ", …" } else { "" };
    ui.note(&format!("{} not scanned: {names}{more}", counted(untracked.len(), "untracked pickle")));
    let files: Vec<_> = untracked
        .iter()
        .take(LISTED)
        .map(|remark| here.argument(File::OfTop(remark.path.as_ref())))
        .collect();
    let them = if untracked.len() == 1 { "it" } else { "them" };
    ui.hint(&format!("scan {them}: `{} st-convert scan {}`", here.git(), files.join(" ")));
}

fn targets(args: &Scan) -> Targets {
    match (&args.rev, &args.range) {
        (Some(rev), _) => Targets::Rev(rev.clone()),
        (_, Some(range)) => Targets::Range(range.clone()),
        _ if args.staged => Targets::Staged,
        _ => Targets::Paths(args.targets.clone()),
    }
}

fn tell(ui: &Ui, scanned: &Scanned, file: File<'_>, here: &Here) {
    let report = match &scanned.result {
        Ok(report) => report,
        Err(error) if scanned.standing() == Standing::Noted => {
            return ui.note(&Report::of_file(error, file, here).headline());
        }
        Err(error) => return ui.error(&Report::of_file(error, file, here)),
    };
    // The user has no list of the files of a model on a server.
    let is_silent = report.verdict == Verdict::Clean && report.code.is_empty();
    if is_silent && ui.verbose == 0 && scanned.far.is_none() {
        return;
    }
    let path = sanitize::bytes(scanned.path.as_ref());
    let mut facts = vec![report.content.to_string()];
    facts.extend(scanned.size.map(bytes));
    facts.extend(scanned.pointer.map(|_| "Git LFS".to_owned()));
    let facts = styled(DIM, &format!("({})", facts.join(", ")));
    let mut lines = format!("{} {} {facts}", verdict(report.verdict), styled(STRONG, &path));
    if let Some(checkout) = &scanned.checkout {
        let _ = write!(lines, "\n            as a checkout writes it: {}", sanitize::text(checkout));
    }
    if let Some(reason) = &report.reason {
        let _ = write!(lines, "\n            {}", sanitize::text(reason));
    }
    if report.left_out.members > 0 {
        let (count, size) = (counted(report.left_out.members, "storage"), bytes(report.left_out.bytes));
        let _ = write!(
            lines,
            "\n            {count} not read ({size} of tensors, which PyTorch does not unpickle)"
        );
    }
    let globals = report.globals();
    let listed = if ui.verbose > 0 { globals.len() } else { LISTED };
    let plain = report.verdict <= Verdict::Weights && ui.verbose == 0;
    let shown =
        globals.iter().filter(|(_, global)| !plain && global.verdict > Verdict::Weights || ui.verbose > 0);
    let shown: Vec<_> = shown.collect();
    for (pickle, global) in shown.iter().take(listed) {
        let _ = write!(lines, "\n            {}", named(pickle, global));
    }
    if shown.len() > listed {
        let _ = write!(lines, "\n            … and {} more", shown.len() - listed);
    }
    tell_code(&mut lines, &report.code, if ui.verbose > 0 { usize::MAX } else { LISTED });
    for pickle in report.pickles.iter().filter(|pickle| pickle.reason.is_some()).take(LISTED) {
        let reason = pickle.reason.as_deref().unwrap_or_default();
        let _ = write!(lines, "\n            {}{}", member(pickle), sanitize::text(reason));
    }
    ui.result(&lines);
}

/// Adds the code outside of pickles, the worst first.
fn tell_code(lines: &mut String, code: &[CodeIn], listed: usize) {
    let mut sorted: Vec<_> = code.iter().collect();
    sorted.sort_by_key(|code| std::cmp::Reverse(code.verdict));
    for code in sorted.iter().take(listed) {
        let name = code.name.as_deref().unwrap_or_default();
        let place = code.member.as_deref().unwrap_or_default();
        let place = styled(DIM, &sanitize::text(place));
        let (verdict, kind, name) = (code.verdict.name(), described(code.kind), sanitize::text(name));
        let line = format!("{verdict:<10} {kind}{}{name}", if name.is_empty() { "" } else { ": " });
        let gap = if code.member.is_some() { "  " } else { "" };
        let _ = write!(lines, "\n            {line}{gap}{place}");
    }
    if sorted.len() > listed {
        let _ = write!(lines, "\n            … and {} more", sorted.len() - listed);
    }
}

fn described(kind: Code) -> &'static str {
    match kind {
        Code::Keras => "Keras object with code",
        Code::Python => "Python code",
        Code::Native => "native code",
        Code::Import => "Python import",
        Code::Yaml => "YAML object",
        Code::Template => "template with",
    }
}

fn named(pickle: &PickleIn, global: &GlobalIn) -> String {
    let what = format!("{}.{}", global.module, global.name);
    let place = styled(DIM, &format!("{}byte {}", member(pickle), global.at));
    format!("{:<10} {}  {place}", global.verdict.name(), sanitize::text(&what))
}

fn member(pickle: &PickleIn) -> String {
    pickle.member.as_deref().map(|member| format!("{}: ", sanitize::text(member))).unwrap_or_default()
}

fn verdict(verdict: Verdict) -> String {
    let style = match verdict {
        Verdict::Clean => DIM,
        Verdict::Weights | Verdict::Unknown => WARNING,
        Verdict::Unreadable | Verdict::Dangerous => BAD,
    };
    styled(style, &format!("{:<11}", verdict.name()))
}

fn totals(tally: &ScanTally) -> String {
    let counts = [
        (tally.dangerous, "dangerous"),
        (tally.unreadable, "unreadable"),
        (tally.unknown, "unknown"),
        (tally.weights, "weights"),
        (tally.missing, "not downloaded"),
        (tally.failed, "failed"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let counts: Vec<_> = counts.collect();
    let mut found = if counts.is_empty() { "no pickles found".to_owned() } else { counts.join(", ") };
    if tally.code > 0 {
        let _ = write!(found, ", {} with other code", tally.code);
    }
    let read = tally.read.map(|read| format!(" ({} of {} read)", bytes(read), bytes(tally.bytes)));
    styled(DIM, &format!("{}: {found}{}", counted(tally.files, "file"), read.unwrap_or_default()))
}
