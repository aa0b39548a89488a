//! Runs `git st-convert batch <LIST>`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bstr::ByteSlice as _;

use crate::actions::batch::{self, BatchSummary, Cause, Item, ModelStatus, Options, Progress, Record, Shard};
use crate::actions::{Reporter, Servers};
use crate::cli::args::Batch;
use crate::cli::commands::Call;
use crate::cli::environment::{self, NoShard, shard_of_environment};
use crate::cli::error::{Kind, Report, code};
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{Here, quoted};
use crate::cli::sizes::{bytes, counted};
use crate::cli::ui::{DIM, GOOD, STRONG, Ui, WARNING, styled};
use crate::cli::{json, sanitize};

/// The longest list that is read.
const MAX_LIST: u64 = 256 << 20;

/// How many models of one cause are listed.
const LISTED: usize = 5;

/// Converts the models of a list, and returns the exit code of the worst.
pub(crate) fn run(args: &Batch, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, servers, ui, interrupt } = call;
    let failed = |mut report: Report| {
        if report.kind == Kind::Interrupted && !args.dry_run {
            report = report.with_hint("resume the run: run the same command again".to_owned());
        }
        if ui.json {
            ui.conclude(&json::batch(None, None, Some(&report), report.exit_code()));
        }
        report
    };
    let shard = shard(args).map_err(failed)?;
    let jobs = servers.jobs.map(usize::from);
    let servers = environment::servers(servers).map_err(|error| failed(Report::of(&error)))?;
    // No user waits at a batch to enter a password.
    let servers = servers.of_batch();
    let watcher = Watcher {
        ui,
        reporter: TerminalReporter::new(ui, interrupt, args.dry_run)
            .at(Here::default(), true)
            .of_batch(ui.verbose > 0 && !ui.json),
        total: 0.into(),
    };
    let items = items(args, cwd, &servers, &watcher.reporter);
    watcher.reporter.finished();
    let items = items.map_err(failed)?;
    let items = shard.map_or(items.clone(), |shard| shard.of(items));
    let options = Options {
        journal: journal(args, shard, cwd),
        cwd: cwd.to_owned(),
        servers,
        dir: args.kept.clone(),
        temp: std::env::temp_dir(),
        pr: args.pr,
        force: args.force,
        strict: args.strict,
        max_output: args.max_output.map(|size| size.0),
        pointer_only: args.pointer_only,
        publish: args.publish,
        max_size: args.max_size.map(|size| size.0),
        update: args.update,
        jobs,
    };
    if args.dry_run {
        let pending = batch::pending(&options, items, &watcher.reporter);
        watcher.reporter.finished();
        let pending = pending.map_err(|error| failed(Report::of(&error)))?;
        tell_pending(ui, &pending);
        return Ok(0);
    }
    if options.dir.is_none() && !options.publish {
        ui.warning("the converted files are not kept: pass `--dir DIR` or `--publish`");
    }
    let summary = batch::run(&options, items, &watcher);
    watcher.reporter.finished();
    let summary = summary.map_err(|error| failed(Report::of(&error)))?;
    conclude(ui, &summary, shard, &options.journal)
}

/// Returns the selected part of the list.
fn shard(args: &Batch) -> Result<Option<Shard>, Report> {
    let shard = match args.shard {
        Some(shard) => Some(shard),
        None => shard_of_environment().map_err(|NoShard { variable, message, hint }| {
            Report::user(Path::new(variable), message, None).with_hint(hint.to_owned())
        })?,
    };
    if let Some(count) = args.top.filter(|_| shard.is_some_and(|shard| shard.count() > 1)) {
        let message = "cannot be combined with `--shard`: the order changes between requests";
        let hint = format!("write the list first: `git st-convert batch --top {count} -n > models.txt`");
        return Err(Report::user(Path::new("--top"), message, None).with_hint(hint));
    }
    Ok(shard)
}

/// Returns the selected models.
fn items(args: &Batch, cwd: &Path, servers: &Servers, reporter: &dyn Reporter) -> Result<Vec<Item>, Report> {
    let endpoint = servers.endpoint();
    if let Some(count) = args.top {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let names = batch::top_models(servers, count, &args.filter, cwd, reporter);
        let names = names.map_err(|error| Report::of(&error))?;
        return Ok(batch::of_names(&names, cwd, endpoint));
    }
    let list = args.list.as_deref().unwrap_or_default();
    let read = |mut from: Box<dyn io::Read>| {
        let mut text = Vec::new();
        from.by_ref().take(MAX_LIST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_LIST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
    };
    let text = if list == "-" {
        read(Box::new(io::stdin()))
    } else {
        fs::File::open(cwd.join(list)).and_then(|file| read(Box::new(file)))
    };
    let text = text.map_err(|cause| {
        let report = Report::io(Path::new(list), "cannot read the list", &cause);
        if !list.as_encoded_bytes().contains(&b'/') || cause.kind() != io::ErrorKind::NotFound {
            return report;
        }
        let model = quoted(list.as_encoded_bytes().as_bstr());
        report.with_hint(format!("convert one model: `git st-convert clone {model}`"))
    })?;
    Ok(batch::parse(&text, cwd, endpoint))
}

/// Returns the path of the journal by default: in the directory of the clones, or next to the list; each batch part has
/// its own.
fn journal(args: &Batch, shard: Option<Shard>, cwd: &Path) -> PathBuf {
    if let Some(journal) = &args.journal {
        return cwd.join(journal);
    }
    let shard = shard.filter(|shard| shard.count() > 1);
    let suffix = shard.map_or_else(String::new, |shard| format!(".{}-of-{}", shard.index(), shard.count()));
    let name = |stem: &str| format!("{stem}{suffix}.jsonl");
    match (&args.kept, &args.list) {
        (Some(dir), _) => cwd.join(dir).join(name("st-convert-batch")),
        (None, Some(list)) if list != "-" => {
            let mut path = cwd.join(list).into_os_string();
            path.push(name(".journal"));
            path.into()
        }
        _ => cwd.join(name("st-convert-batch")),
    }
}

/// Prints a list, which is valid input of `batch`.
fn tell_pending(ui: &Ui, pending: &[Item]) {
    for item in pending {
        let name = item.name();
        ui.data(&if ui.json { json::batch_item(item) } else { sanitize::text(&name).into_owned() });
    }
    if ui.json {
        ui.conclude(&json::end(None));
    }
}

/// Returns the exit code of a model.
fn exit_code(status: ModelStatus) -> u8 {
    match status {
        ModelStatus::Converted | ModelStatus::NothingToDo | ModelStatus::Skipped => 0,
        ModelStatus::Refused => code(Kind::Refused),
        ModelStatus::Failed => code(Kind::Environment),
    }
}

fn conclude(ui: &Ui, summary: &BatchSummary, shard: Option<Shard>, journal: &Path) -> Result<u8, Report> {
    let report = summary.stopped.as_ref().map(Report::of);
    ui.close(|closing| {
        let (done, of) = (summary.records.len(), if summary.records.len() == 1 { "model" } else { "models" });
        closing.count(done, of);
        summary.records.iter().for_each(|record| closing.bytes(made(record).sum()));
    });
    let worst = summary.records.iter().map(|record| exit_code(record.status)).max().unwrap_or(0);
    let code = report.as_ref().map_or(worst, Report::exit_code);
    if ui.json {
        ui.conclude(&json::batch(Some((summary, journal)), shard, report.as_ref(), code));
    } else {
        ui.result(&table(summary, ui.verbose > 0));
    }
    if code != 0 {
        let what = if summary.left > 0 { "resume the rest" } else { "retry what was not done" };
        ui.hint(&format!("{what}: run the same command again (journal: {})", sanitize::path(journal)));
    }
    report.map_or(Ok(code), Err)
}

/// Formats the counts, and the models that were not done, by cause.
fn table(summary: &BatchSummary, all: bool) -> String {
    let counts = [
        (summary.count(ModelStatus::Converted), "converted"),
        (summary.count(ModelStatus::NothingToDo), "unchanged"),
        (summary.count(ModelStatus::Skipped), "skipped"),
        (summary.count(ModelStatus::Refused), "refused"),
        (summary.count(ModelStatus::Failed), "failed"),
        (summary.done, "done earlier"),
        (summary.left, "left"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    let models = counted(summary.records.len() + summary.done + summary.left, "model");
    let mut out = styled(
        STRONG,
        &format!(
            "{models}: {}",
            if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") }
        ),
    );
    let causes: BTreeMap<Cause, Vec<&Record>> = summary.causes();
    if causes.is_empty() {
        return out;
    }
    let width = causes.keys().map(|cause| cause.to_string().len()).max().unwrap_or(0);
    let _infallible = write!(out, "\n{}", styled(STRONG, &format!("{:<width$}  COUNT  MODELS", "CAUSE")));
    for (cause, records) in causes {
        let shown = if all || records.len() <= LISTED + 1 { records.len() } else { LISTED };
        let names = records.iter().take(shown).map(|record| sanitize::text(&record.model));
        let mut names = names.collect::<Vec<_>>().join(", ");
        if shown < records.len() {
            let _infallible = write!(names, " and {} more", records.len() - shown);
        }
        let _infallible = write!(out, "\n{:<width$}  {:>5}  {names}", cause.to_string(), records.len());
    }
    out
}

/// Reports models, and their files only on request.
struct Watcher<'a> {
    ui: &'a Ui,
    reporter: TerminalReporter<'a>,
    /// The number of models.
    total: std::sync::atomic::AtomicUsize,
}

impl Watcher<'_> {
    fn total(&self) -> usize {
        self.total.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Progress for Watcher<'_> {
    fn reporter(&self) -> &dyn Reporter {
        &self.reporter
    }

    fn listed(&self, left: usize, done: usize, torn: usize) {
        self.total.store(left, std::sync::atomic::Ordering::Relaxed);
        if torn > 0 {
            self.ui.note("the last journal line is incomplete; processing its model again");
        }
        if done > 0 {
            self.ui.note(&format!("{} of {} done earlier", done, counted(left + done, "model")));
        }
    }

    fn begun(&self, at: usize, item: &Item) {
        let name = sanitize::text(&item.name()).into_owned();
        self.ui.progress.model(name, at, self.total());
        if self.ui.verbose > 0 {
            let name = item.name();
            self.ui.note(&format!("{at}/{} {}", self.total(), sanitize::text(&name)));
        }
    }

    fn ended(&self, at: usize, record: &Record) {
        if self.ui.json {
            self.ui.data(&json::batch_record(record));
            return;
        }
        let at = styled(DIM, &format!("{at}/{}", self.total()));
        let model = sanitize::text(&record.model);
        let (status, what) = told(record);
        self.ui.result(&format!("{at} {} {status}{what}", styled(STRONG, &model)));
    }
}

/// Returns the sizes of the files that were made for a model.
fn made(record: &Record) -> impl Iterator<Item = u64> {
    let is_made = |status: &str| !matches!(status, "skipped" | "up-to-date");
    record.files.iter().filter(move |file| is_made(&file.status)).map(|file| file.size.unwrap_or(0))
}

/// Formats the result of a model, in a word and in full.
fn told(record: &Record) -> (String, String) {
    let mut what =
        record.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", sanitize::text(reason)));
    if let Some(published) = &record.published {
        let number = published.number.map_or_else(String::new, |number| format!(" {number}"));
        let place = published.url.as_ref().or(published.reference.as_ref());
        let place = place.map_or_else(String::new, |place| format!(", {}", sanitize::text(place)));
        let status = match published.status.as_str() {
            "opened" => format!("opened pull request{number}{place}"),
            "exists" => format!("already published{place}"),
            "pushed" => format!("pushed{place}"),
            _ => "nothing to publish".to_owned(),
        };
        let _infallible = write!(what, ", {status}");
    }
    match record.status {
        ModelStatus::Converted => {
            let sizes: Vec<_> = made(record).collect();
            let files = format!(", {}, {}", counted(sizes.len(), "file"), bytes(sizes.iter().sum()));
            (styled(GOOD, "converted"), if sizes.is_empty() { what } else { files + &what })
        }
        ModelStatus::NothingToDo => ("nothing to do".to_owned(), what),
        ModelStatus::Skipped => ("skipped".to_owned(), what),
        ModelStatus::Refused => (styled(WARNING, "refused"), what),
        ModelStatus::Failed => (styled(WARNING, "failed"), what),
    }
}
