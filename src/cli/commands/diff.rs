//! Runs `git st-convert diff [A] [B] [-- PATH...]`.

use std::fmt::Write as _;
use std::path::Path;

use bstr::ByteSlice as _;

use crate::actions::diff::{
    Change, Changes, DiffSide, DriverOptions, DriverState, FileDiff, NotCompared, Options, TensorFacts, diff,
    install, uninstall,
};
use crate::cli::args::Diff;
use crate::cli::commands::Call;
use crate::cli::error::{Report, code};
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{File, Here, quoted};
use crate::cli::sizes::{bytes, counted};
use crate::cli::tally::DiffTally;
use crate::cli::ui::{BAD, DIM, GOOD, STRONG, Ui, styled};
use crate::cli::{json, sanitize, wording};
use crate::git::{Git, settings};
use crate::hash::Oid;
use crate::safetensors::Deviation;

/// A longer cell is shown in full, and moves the following cells only in its own line.
const MAX_WIDTH: usize = 72;

/// Compares, and prints the differences; or sets up git's own diff.
pub(crate) fn run(args: &Diff, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, ui, interrupt, .. } = call;
    if args.install || args.uninstall {
        return driver(args, call);
    }
    if args.global {
        return Err(Report::user(Path::new(""), "--global requires --install or --uninstall", None));
    }
    let here = Here::new(cwd).of("diff");
    let reporter = TerminalReporter::new(ui, interrupt, false).at(Here::new(cwd).of("diff"), false);
    let mut sides = args.sides.iter().cloned();
    let options = Options {
        cwd: cwd.to_owned(),
        old: sides.next(),
        new: sides.next(),
        paths: args.paths.clone(),
        staged: args.staged,
        values: args.values,
    };
    ui.color_as(|is_shown| has_colors(&options.cwd, is_shown));
    ui.page(&options.cwd, interrupt);
    let (mut tally, mut worst) = (DiffTally::default(), 0);
    let done = diff(&options, &reporter, &mut |file| {
        tally.add(&file);
        if let Err(NotCompared::Unreadable { error, .. }) = &file.result {
            worst = worst.max(code(error.kind()));
        }
        if ui.json {
            ui.data(&json::file_diff(&file));
        } else {
            print(&file, args.stat, &here, ui);
        }
    });
    let failure = done.err().map(|error| Report::of_run(&error, &here));
    let code = match &failure {
        Some(report) => report.exit_code(),
        None => worst.max(u8::from(args.exit_code && tally.differs)),
    };
    if ui.json {
        ui.conclude(&json::diff(&tally, failure.as_ref(), code));
    }
    if let Some(report) = failure {
        return Err(report);
    }
    if args.stat && tally.files > 0 {
        ui.result(&styled(DIM, &format!("{}: {}", counted(tally.files, "file"), totals(&tally))));
    }
    if tally.unread > 0 && !args.values {
        ui.hint(&format!("compare the values: `{}`", again(args, &here)));
    }
    Ok(code)
}

/// Returns `true` if git's own diff would use colors; `None` if git does not report it.
fn has_colors(cwd: &Path, is_shown: bool) -> Option<bool> {
    settings::has_colors(&Git::at(cwd).ok()?, "color.diff", is_shown)
}

/// Sets the driver of git's own diff, or removes it.
fn driver(args: &Diff, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, ui, interrupt, .. } = call;
    let command = if args.install { "diff --install" } else { "diff --uninstall" };
    let here = Here::new(cwd).of(command);
    let reporter = TerminalReporter::new(ui, interrupt, false).at(Here::new(cwd).of(command), false);
    let options = DriverOptions { cwd: cwd.to_owned(), global: args.global };
    let done = if args.install { install(&options, &reporter) } else { uninstall(&options, &reporter) };
    let done = done.map_err(|error| Report::of_run(&error, &here));
    if ui.json {
        ui.conclude(&json::driver(done.as_ref().ok().copied(), args.global, done.as_ref().err()));
    }
    let of = if args.global { "all repositories" } else { "this repository" };
    match done? {
        DriverState::Installed => {
            ui.result(&format!("installed: git diff, show and log -p list the tensors of LFS files in {of}"));
        }
        DriverState::Unchanged => ui.result(&format!("unchanged: it was installed in {of} before")),
        DriverState::Removed => ui.result(&format!("removed: git diff shows pointers again in {of}")),
        DriverState::Absent => ui.result(&format!("unchanged: it is not installed in {of}")),
    }
    Ok(0)
}

/// Returns the same command, with `--values`.
fn again(args: &Diff, here: &Here) -> String {
    let mut command = format!("{} st-convert diff --values", here.git());
    for (is_given, option) in [(args.staged, " --staged"), (args.stat, " --stat")] {
        command.push_str(if is_given { option } else { "" });
    }
    let parts = [("", &args.sides), (" --", &args.paths)];
    for (before, words) in parts.into_iter().filter(|(_, words)| !words.is_empty()) {
        command.push_str(before);
        for word in words {
            let _infallible = write!(command, " {}", quoted(word.as_encoded_bytes().as_bstr()));
        }
    }
    command
}

fn print(file: &FileDiff, is_short: bool, here: &Here, ui: &Ui) {
    let path = sanitize::bytes(file.path());
    let name = match (&file.old, &file.new) {
        (Some(old), Some(new)) if old.path != new.path => {
            let old = sanitize::bytes(old.path.as_ref());
            format!("{} {} {}", styled(STRONG, &old), styled(DIM, "→"), styled(STRONG, &path))
        }
        _ => styled(STRONG, &path),
    };
    match &file.result {
        Ok(changes) => {
            let mut text = format!("{name}: {}", counts(file, changes));
            if !is_short {
                text += &list(&changes.list);
            }
            ui.result(&text);
        }
        Err(NotCompared::NotHere { missing }) => {
            let objects = missing.iter().map(|(_, revision, pointer)| {
                let of = revision.as_ref().map(|revision| format!(" of {}", sanitize::text(revision)));
                format!("sha256 {}{} ({})", short(pointer.oid), of.unwrap_or_default(), bytes(pointer.size))
            });
            let objects = objects.collect::<Vec<_>>().join(", ");
            ui.result(&format!("{name}: not compared: not in the LFS storage: {objects}"));
            for (path, revision, _) in missing.iter().filter(|_| here.has_lfs()) {
                ui.hint(&fetched(path.as_ref(), revision.as_deref(), here));
            }
        }
        Err(NotCompared::Unreadable { path, error }) => {
            ui.error(&Report::of_file(error, File::OfTop(path.as_ref()), here));
        }
    }
}

/// Returns the command that downloads a missing object.
fn fetched(path: &bstr::BStr, revision: Option<&str>, here: &Here) -> String {
    let (git, pattern) = (here.git(), here.lfs_pattern([File::OfTop(path)]));
    match revision.filter(|revision| *revision != "HEAD") {
        Some(revision) => {
            let revision = quoted(revision.as_bytes().as_bstr());
            format!("download it: `{git} lfs fetch origin {revision} --include {pattern}`")
        }
        None => format!("download it: `{git} lfs fetch --include {pattern}`"),
    }
}

/// Formats the numbers of added, removed and changed tensors of a file.
fn counts(file: &FileDiff, changes: &Changes) -> String {
    let whole = |side: &DiffSide, what: &str| {
        format!("{what}, {}, {}", counted(side.tensors, "tensor"), bytes(side.size))
    };
    match (&file.old, &file.new) {
        (None, Some(new)) => return whole(new, "new file"),
        (Some(old), None) => return whole(old, "deleted file"),
        _ => {}
    }
    let mut tally = DiffTally::default();
    tally.changes(changes);
    if !changes.list.is_empty() {
        return totals(&tally);
    }
    match changes.unread {
        0 => format!("{}, every byte the same", counted(changes.same, "tensor")),
        unread => {
            let all = counted(changes.same + unread, "tensor");
            format!("{all}, no change in names, dtypes and shapes; values not compared")
        }
    }
}

fn short(oid: Oid) -> String {
    format!("{}…", oid.to_string().get(..12).unwrap_or_default())
}

fn totals(tally: &DiffTally) -> String {
    let counts = [
        (tally.added, "added"),
        (tally.removed, "removed"),
        (tally.renamed, "renamed"),
        (tally.changed, "changed"),
        (tally.same, "the same"),
        (tally.unread, "not compared by value"),
    ];
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    let text = some.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ");
    if text.is_empty() { "no tensors".to_owned() } else { text }
}

fn list(changes: &[Change]) -> String {
    let rows: Vec<_> = changes.iter().map(row).collect();
    let widest = |column: usize| {
        let widths = rows.iter().map(|row| row.cells[column].chars().count());
        widths.filter(|width| *width <= MAX_WIDTH).max().unwrap_or(0)
    };
    let widths = [widest(0), widest(1), widest(2)];
    let mut out = String::new();
    for Row { symbol, style, cells } in &rows {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let pad = width.saturating_sub(cell.chars().count());
            let _infallible = write!(line, "{cell}{:pad$}  ", "");
        }
        line += &cells[3];
        let _infallible = write!(out, "\n  {}", styled(*style, &format!("{symbol} {}", line.trim_end())));
    }
    out
}

/// A tensor in a list: its change, its name, dtype and shape, and further facts.
struct Row {
    symbol: char,
    style: clap::builder::styling::Style,
    cells: [String; 4],
}

fn row(change: &Change) -> Row {
    let of = |tensor: &TensorFacts| [tensor.dtype.to_string(), wording::shape(&tensor.shape)];
    let safe = |name: &str| sanitize::text(name).into_owned();
    let plain = clap::builder::styling::Style::new();
    let (symbol, style, name, [dtype, shape], more) = match change {
        Change::Added(tensor) => ('+', GOOD, safe(&tensor.name), of(tensor), bytes(tensor.bytes)),
        Change::Removed(tensor) => ('-', BAD, safe(&tensor.name), of(tensor), bytes(tensor.bytes)),
        Change::Renamed { from, tensor } => (
            '>',
            plain,
            format!("{} → {}", safe(from), safe(&tensor.name)),
            of(tensor),
            "same bytes".to_owned(),
        ),
        Change::Retyped { old, new, deviation } => {
            let both = |old: String, new: String| if old == new { new } else { format!("{old} → {new}") };
            let ([dtype, shape], [to, into]) = (of(old), of(new));
            let cells = [both(dtype, to), both(shape, into)];
            ('~', plain, safe(&new.name), cells, deviation.as_ref().map(apart).unwrap_or_default())
        }
        Change::Values { tensor, deviation } => {
            let more = deviation.as_ref().map_or_else(|| "other bytes, by their CRC-32".to_owned(), apart);
            ('~', plain, safe(&tensor.name), of(tensor), more)
        }
    };
    Row { symbol, style, cells: [name, dtype, shape, more] }
}

/// Formats the difference between two tensors.
fn apart(found: &Deviation) -> String {
    let Deviation { elements, differing, largest, first, .. } = found;
    let Some(first) = first else { return "every number the same".to_owned() };
    let largest = largest.map(|largest| format!(", by at most {}", wording::significant(largest)));
    let first = wording::shape(first);
    format!("{differing} of {elements} elements differ{}, first at {first}", largest.unwrap_or_default())
}
