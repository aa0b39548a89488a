//! Runs `git st-convert inspect <TARGET>`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use crate::actions::inspect::{Inspection, Options, Row, inspect};
use crate::cli::args::Inspect;
use crate::cli::commands::Call;
use crate::cli::environment;
use crate::cli::error::{Report, name};
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{File, Here};
use crate::cli::sizes::{bytes, counted, grouped, parameters};
use crate::cli::ui::{DIM, STRONG, styled};
use crate::cli::{json, page, sanitize, wording};
use crate::lfs::Temp;

/// A longer cell is shown in full, and moves the following cells only in its own line.
const MAX_WIDTH: usize = 72;

/// Lists the tensors of the target.
pub(crate) fn run(args: &Inspect, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, servers, ui, interrupt } = call;
    let target = name(Path::new(&args.target));
    let reporter = TerminalReporter::new(ui, interrupt, false).at(Here::new(cwd).of("inspect"), true);
    let found = environment::servers(servers).and_then(|servers| {
        let options =
            Options { cwd: cwd.to_owned(), target: args.target.clone(), servers, key: args.key.clone() };
        inspect(&options, &reporter)
    });
    let failed = |report: &Report| {
        if ui.json {
            ui.conclude(&json::inspection(None, Some(report)));
        }
    };
    let found = found.map_err(|error| Report::of_file(&error, File::Given(target.as_ref()), reporter.here()));
    let found = found.inspect_err(failed)?;
    if let Some(file) = &args.html {
        let text = page::page(&sanitize::bytes(target.as_ref()), &found);
        write_page(&cwd.join(file), file, &text).inspect_err(failed)?;
    }
    if args.html.is_none() {
        ui.page(cwd, interrupt);
    }
    if ui.json {
        let rows = found.tensors.iter().filter(|_| !args.summary);
        let lines: String = rows.map(|row| json::tensor(row) + "\n").collect();
        ui.conclude(&(lines + &json::inspection(Some(&found), None)));
    } else if let Some(file) = &args.html {
        ui.result(&format!("{}: {}", sanitize::path(file), totals(&found)));
    } else if args.summary {
        ui.result(&summary(&found));
    } else {
        ui.result(&(table(&found.tensors) + &totals(&found)));
    }
    for note in &found.notes {
        let target = sanitize::bytes(target.as_ref());
        ui.note(&format!("{target}: {}", wording::note(note, ui.verbose > 0)));
    }
    if let Some(global) = &found.dangerous {
        let (target, global) = (sanitize::bytes(target.as_ref()), sanitize::text(global));
        ui.warning(&format!("{target}: the pickle imports `{global}`, which can run code; do not load it"));
    }
    Ok(0)
}

/// Writes a page, and overwrites nothing except another page.
fn write_page(path: &Path, given: &Path, text: &str) -> Result<(), Report> {
    let failed = |error: &io::Error| Report::io(given, "cannot write the page", error);
    let is_page = |file: &fs::File| {
        let mut head = Vec::new();
        let read = file.take(page::BEGINNING.len() as u64).read_to_end(&mut head);
        read.is_ok() && head == page::BEGINNING.as_bytes()
    };
    let replaces = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(&error)),
        Ok(there) if there.is_file() && fs::File::open(path).is_ok_and(|file| is_page(&file)) => true,
        Ok(_) => return Err(Report::user(given, "cannot write the page: file exists", None)),
    };
    let dir = path.parent().unwrap_or(path);
    let write = || {
        let page = Temp::hidden_in(dir)?;
        page.file().write_all(text.as_bytes())?;
        page.file().sync_all()?;
        let named = if replaces { page.rename(path) } else { page.rename_new(path) };
        named.map(drop).map_err(|(error, _)| error)
    };
    write().map_err(|error| failed(&error))
}

fn table(rows: &[Row]) -> String {
    let has_ties = rows.iter().any(|row| row.tied_to.is_some());
    let head = ["NAME", "DTYPE", "SHAPE", "BYTES", if has_ties { "TIED TO" } else { "" }].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        [
            sanitize::text(&row.name).into_owned(),
            row.dtype.to_string(),
            wording::shape(&row.shape),
            row.bytes.to_string(),
            row.tied_to.as_deref().map(|name| sanitize::text(name).into_owned()).unwrap_or_default(),
        ]
    });
    let cells: Vec<_> = std::iter::once(head).chain(cells).collect();
    let widest = |column: usize| {
        cells.iter().map(|row| width(&row[column])).filter(|width| *width <= MAX_WIDTH).max().unwrap_or(0)
    };
    let widths = [widest(0), widest(1), widest(2), widest(3)];
    let mut out = String::new();
    for (at, [name, dtype, shape, bytes, tied]) in cells.iter().enumerate() {
        let mut line = String::new();
        for (text, width, is_number) in [
            (name, widths[0], false),
            (dtype, widths[1], false),
            (shape, widths[2], false),
            (bytes, widths[3], true),
        ] {
            let pad = " ".repeat(width.saturating_sub(self::width(text)));
            let (left, right) = if is_number { (&pad, text) } else { (text, &pad) };
            line.extend([left.as_str(), right.as_str(), "  "]);
        }
        line += tied;
        let line = line.trim_end();
        let _ = writeln!(out, "{}", if at == 0 { styled(STRONG, line) } else { line.to_owned() });
    }
    out
}

/// Returns about how many columns a text takes: a wide character counts as one.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn totals(found: &Inspection) -> String {
    let (tensors, elements) = (counted(found.tensors.len(), "tensor"), parameters(found.parameters()));
    let text = format!("{tensors}, {elements}, {}, {}", bytes(found.bytes()), found.format);
    styled(DIM, &text)
}

fn summary(found: &Inspection) -> String {
    let count = found.tensors.iter().filter(|row| row.tied_to.is_some()).count();
    let tied = if count > 0 { format!(", {count} tied") } else { String::new() };
    let mut facts = vec![
        ("format", format!("{}, {}", found.format, bytes(found.size))),
        ("tensors", format!("{}{tied}", grouped(found.tensors.len() as u64))),
        ("parameters", grouped(found.parameters())),
    ];
    let dtypes = found
        .by_dtype()
        .into_iter()
        .map(|(dtype, (tensors, size))| format!("{dtype}: {}, {}", counted(tensors, "tensor"), bytes(size)));
    let metadata = found.metadata.iter();
    let metadata = metadata.map(|(key, value)| format!("{}: {}", sanitize::text(key), sanitize::text(value)));
    let ignored = found.ignored.iter();
    let ignored =
        ignored.map(|item| format!("{} ({})", sanitize::text(&item.path), sanitize::text(&item.reason)));
    facts.extend(dtypes.map(|text| ("dtype", text)));
    facts.extend(metadata.map(|text| ("metadata", text)));
    facts.extend(ignored.map(|text| ("ignored", text)));
    let mut out = String::new();
    let mut last = "";
    for (title, text) in facts {
        let shown = if title == last { "" } else { title };
        let _ = writeln!(out, "{} {text}", styled(STRONG, &format!("{shown:<10}")));
        last = title;
    }
    out
}
