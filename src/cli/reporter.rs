//! [`TerminalReporter`] prints the reports of an action, for the user or as JSON.
//!
//! Invariant: no report is left out. A long list is truncated for the user, with the number of the other items; `-v`
//! and `--json` print all of it.

mod remote;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use bstr::{BStr, BString};

use super::error::Report;
use super::hints;
use super::interrupt::Interrupt;
use super::json;
use super::notes;
use super::sanitize;
use super::shell_paths::{File, Here};
use super::sizes::grouped;
use super::tally::FileTally;
use super::ui::{BAD, DIM, GOOD, STRONG, Ui, styled};
use super::wording;
use crate::actions::verify::Verified;
use crate::actions::{Conversion, Note, Outcome, Reason, RemoteNote, Reporter, Status};
use crate::git::{Phase, Progress};
use crate::remote::Event;

/// Prints while an action runs.
pub(super) struct TerminalReporter<'a> {
    ui: &'a Ui,
    interrupt: &'a Interrupt,
    here: Here,
    /// `true` if files are named as they were given, and not from the top of the repository.
    given: bool,
    dry_run: bool,
    /// In a batch, whether it shows the results of single files. A batch prompts nobody.
    of_batch: Option<bool>,
    tally: Mutex<FileTally>,
}

impl<'a> TerminalReporter<'a> {
    /// Creates it; `dry_run`: nothing is written.
    pub(super) fn new(ui: &'a Ui, interrupt: &'a Interrupt, dry_run: bool) -> Self {
        let tally = Mutex::new(FileTally { dry_run, ..FileTally::default() });
        Self { ui, interrupt, here: Here::default(), given: false, dry_run, of_batch: None, tally }
    }

    /// Sets the user's directory, and whether the user gave the files by these names.
    pub(super) fn at(mut self, here: Here, given: bool) -> Self {
        (self.here, self.given) = (here, given);
        self
    }

    /// Shows the results of files, and notes other than those about servers, only if `shows_files`.
    pub(super) fn of_batch(mut self, shows_files: bool) -> Self {
        self.of_batch = Some(shows_files);
        self
    }

    /// Returns the user's directory.
    pub(super) fn here(&self) -> &Here {
        &self.here
    }

    fn file<'b>(&self, name: &'b BString) -> File<'b> {
        if self.given { File::Given(name.as_ref()) } else { File::OfTop(name.as_ref()) }
    }

    /// Returns the name of a file, as an argument of a command.
    pub(super) fn argument(&self, name: &BString) -> String {
        self.here.argument(self.file(name))
    }

    /// Returns the results so far.
    pub(super) fn tally(&self) -> FileTally {
        self.lock().clone()
    }

    /// Adds the results to the last line; if the run `is_stopped`, also the number of unfinished files.
    pub(super) fn close(&self, is_stopped: bool) {
        let tally = self.tally();
        self.ui.close(|closing| tally.close(is_stopped, closing));
    }

    fn lock(&self) -> MutexGuard<'_, FileTally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn converted(&self, source: &str, output: &str, conversion: &Conversion) {
        let mut lines = if self.dry_run { "would convert ".to_owned() } else { String::new() };
        let arrow = styled(DIM, "→");
        let _ = write!(lines, "{} {arrow} {}", styled(STRONG, source), styled(GOOD, output));
        let _ = write!(lines, "\n  {}", wording::totals(conversion, self.ui.verbose > 0));
        for (title, text) in wording::facts(conversion, self.ui.verbose > 0) {
            let _ = write!(lines, "\n  {} {text}", styled(DIM, &format!("{title:<8}")));
        }
        self.ui.result(&lines);
        for note in &conversion.notes {
            self.ui.note(&format!("{source}: {}", wording::note(note, self.ui.verbose > 0)));
        }
    }

    /// Prints what a run changed, or would change, other than the safetensors files.
    fn changed(&self, note: &Note) {
        let verb = |done: &'static str, planned: &'static str| if self.dry_run { planned } else { done };
        let text = match note {
            Note::AttributesChanged { path, has_unstaged_changes } => {
                let (path, rest) = (sanitize::bytes(path.as_ref()), rest(*has_unstaged_changes));
                format!("{} an LFS entry to {path}{rest}", verb("added", "would add"))
            }
            Note::AttributesStaged { path, has_unstaged_changes } => {
                let (path, rest) = (sanitize::bytes(path.as_ref()), rest(*has_unstaged_changes));
                format!("{} the LFS entry in {path}{rest}", verb("staged", "would stage"))
            }
            Note::IndexWritten { path } => {
                format!("{} shard index {}", verb("wrote", "would write"), sanitize::bytes(path.as_ref()))
            }
            Note::Removed { path } => {
                format!("{} {}", verb("removed", "would remove"), sanitize::bytes(path.as_ref()))
            }
            _ => return,
        };
        self.ui.note(&text);
    }
}

impl Drop for TerminalReporter<'_> {
    /// After a panic, the last line still counts what was done.
    fn drop(&mut self) {
        if thread::panicking() && self.of_batch.is_none() {
            self.close(true);
        }
    }
}

impl Reporter for TerminalReporter<'_> {
    fn planned(&self, files: &[(&BStr, u64)]) {
        self.lock().planned.extend(files.iter().map(|(path, _)| (*path).to_owned()));
        let files = files.iter().map(|(path, size)| (sanitize::bytes(path).into_owned(), *size));
        self.ui.progress.plan(files.collect());
    }

    fn started(&self, path: &BStr, bytes: u64) {
        let mut tally = self.lock();
        if tally.planned.is_empty() {
            // A single file is not announced by `planned`.
            tally.planned.insert(path.to_owned());
        }
        drop(tally);
        self.ui.progress.start(sanitize::bytes(path).into_owned(), bytes);
    }

    fn resumed(&self, bytes: u64) {
        self.ui.progress.resume(bytes);
    }

    fn advanced(&self, bytes: u64) {
        let mut tally = self.lock();
        tally.passed = tally.passed.saturating_add(bytes);
        drop(tally);
        self.ui.progress.advance(bytes);
    }

    fn transfer(&self, progress: Progress) {
        let what = match progress.phase {
            Phase::Counting => "counting objects",
            Phase::Compressing => "compressing objects",
            Phase::Receiving => "receiving objects",
            Phase::Resolving => "resolving deltas",
            Phase::Updating => "updating files",
        };
        self.ui.progress.count(what, progress.done, Some(progress.total));
    }

    fn finished(&self) {
        self.ui.progress.finish(self.interrupt.is_asked());
    }

    fn staged(&self) {
        self.lock().staged = true;
    }

    fn outcome(&self, outcome: &Outcome) {
        if self.of_batch == Some(false) {
            return;
        }
        self.lock().add(outcome);
        if self.ui.json {
            self.ui.data(&json::file(outcome));
        }
        let source = sanitize::bytes(outcome.source.as_ref());
        let output = outcome.output.as_ref().map_or("?".into(), |output| sanitize::bytes(output.as_ref()));
        match (outcome.status, &outcome.reason) {
            (_, Some(Reason::Error(error))) => {
                self.ui.error(&Report::of_file(error, self.file(&outcome.source), &self.here));
            }
            (_, Some(Reason::TrainingState)) => {
                self.ui.note(&format!("{source}: skipped: training state"));
            }
            (_, Some(reason @ (Reason::Script | Reason::Plain | Reason::Pickle))) => {
                let (git, file) = (self.here.git(), self.argument(&outcome.source));
                let convert = |how| format!("{how}: `{git} st-convert{} {file}`", self.here.options());
                let (what, command) = match reason {
                    Reason::Script => ("TorchScript archive", convert("convert it")),
                    Reason::Plain => ("plain pickle", convert("convert its arrays")),
                    _ => ("plain pickle", format!("list what it imports: `{git} st-convert scan {file}`")),
                };
                self.ui.note(&format!("{source}: skipped: {what}; {command}"));
            }
            (_, Some(Reason::Distributed)) => {
                let how = hints::merge(self.file(&outcome.source), &self.here);
                self.ui.note(&format!("{source}: skipped: shard of a distributed checkpoint; {how}"));
            }
            (_, Some(Reason::Link { target, command })) => {
                notes::link(self.ui, &self.here, &outcome.source, target, *command);
            }
            (_, Some(reason @ (Reason::Safetensors | Reason::SameFile))) => {
                self.ui.note(&format!("{source}: skipped: {}", reason.text(&|text| text.to_owned())));
            }
            (_, Some(Reason::NoTensors)) | (Status::Skipped, None) => {
                self.ui.note(&format!("{source}: skipped: no tensors"));
            }
            (Status::UpToDate | Status::Unverified, None) => {
                let is_known = outcome.status == Status::UpToDate;
                let kept = if is_known { "(up to date)" } else { "(exists, not verified)" };
                let (arrow, kept) = (styled(DIM, "→"), styled(DIM, kept));
                self.ui.result(&format!("{} {arrow} {output} {kept}", styled(STRONG, &source)));
            }
            (_, None) => {
                if let Some(conversion) = &outcome.conversion {
                    let again = if outcome.status == Status::Updated { " (updated)" } else { "" };
                    self.converted(&source, &format!("{output}{again}"), conversion);
                }
            }
        }
    }

    fn verified(&self, verified: &Verified) {
        self.lock().verify(verified);
        if self.ui.json {
            self.ui.data(&json::verified(verified));
        }
        print_verified(self.ui, verified, &self.here);
    }

    fn note(&self, note: &Note) {
        use RemoteNote::{HalfWay, ServerMoved, Waiting};
        let is_of_batch = matches!(note, Note::Remote(ServerMoved { .. } | HalfWay { .. } | Waiting { .. }));
        if self.of_batch == Some(false) && !is_of_batch {
            return;
        }
        self.lock().removed += usize::from(matches!(note, Note::Removed { .. } | Note::Unstaged { .. }));
        match note {
            Note::AttributesChanged { .. }
            | Note::AttributesStaged { .. }
            | Note::IndexWritten { .. }
            | Note::Removed { .. } => self.changed(note),
            Note::NoFilter => {
                self.ui.warning(
                    "Git LFS is not installed in this repository; git will show these files as modified",
                );
                self.ui.hint(&format!("install it: `{} lfs install`", self.here.git()));
            }
            Note::LongHeader { path, len, limit } => {
                let (path, len, limit) = (sanitize::bytes(path.as_ref()), grouped(*len), grouped(*limit));
                self.ui.note(&format!(
                    "{path}: header is {len} bytes; the Hub previews tensors only up to {limit}"
                ));
            }
            Note::Unlisted { path, names } => notes::unlisted(self.ui, path, names),
            Note::Kept { path } => {
                let path = sanitize::bytes(path.as_ref());
                self.ui.note(&format!("kept {path} in the index: its content is nowhere else"));
            }
            Note::Unstaged { path } => {
                let path = sanitize::bytes(path.as_ref());
                let state = if self.dry_run { "would be kept" } else { "kept" };
                self.ui.note(&format!(
                    "{path}: {state} in the working tree only, because git could not give it back; add it to .gitignore to keep it out of git"
                ));
            }
            Note::Leftover { path } => {
                let path = sanitize::bytes(path.as_ref());
                self.ui.note(&format!("kept {path}: untracked and different from HEAD"));
            }
            Note::OtherRepository { path } => {
                let path = sanitize::bytes(path.as_ref());
                self.ui.note(&format!("{path}: skipped: another git repository"));
            }
            Note::Remote(note) => self.remote_note(note),
            Note::SourceUnstaged { path } => notes::unstaged(self.ui, &self.here, path),
            Note::Untracked { .. } | Note::LeftOut { .. } | Note::Submodule { .. } => {
                notes::left_alone(self.ui, &self.here, note);
            }
            Note::OldKept { path, oid } => {
                let path = sanitize::bytes(path.as_ref());
                self.ui.note(&format!("{path}: the old file is kept in the LFS storage: sha256 {oid}"));
            }
            Note::NothingToCommit => self.ui.note("nothing to commit"),
            Note::Committed { id } => {
                self.ui.note(&format!("committed {}", sanitize::text(id.get(..12).unwrap_or(id))));
            }
        }
    }

    fn confirm(&self, question: &str) -> bool {
        self.of_batch.is_none() && self.ui.confirm(question)
    }

    fn command(&self, arguments: &[OsString]) {
        // These commands wait for a server, and may prompt the user.
        let may_ask = |word: &&str| matches!(*word, "clone" | "fetch" | "ls-remote" | "push" | "credential");
        if let Some(word) = arguments.iter().filter_map(|word| word.to_str()).find(may_ask) {
            self.ui.progress.wait(&format!("git {word}"));
        }
        if self.ui.verbose > 1 {
            let words: Vec<_> =
                arguments.iter().map(|word| sanitize::bytes(word.as_encoded_bytes().into())).collect();
            self.ui.note(&format!("run: git {}", words.join(" ")));
        }
    }

    fn request(&self, event: &Event<'_>) {
        self.ui.progress.heard();
        if self.ui.verbose > 1 {
            let status = event.status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
            let url = event.url.to_string();
            self.ui.note(&format!("{} {}: {status}", event.method, sanitize::text(&url)));
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.is_asked()
    }
}

/// Prints the result of the verification of one file.
fn print_verified(ui: &Ui, verified: &Verified, here: &Here) {
    let Some(verdict) = verified.verdict else {
        if let Some(error) = &verified.error {
            ui.error(&Report::of_file(error, File::OfTop(verified.concerned()), here));
        }
        return;
    };
    let style = if verified.is_good() { GOOD } else { BAD };
    let path = sanitize::bytes(verified.path.as_ref());
    let mut lines = format!("{path}: {}", styled(style, &wording::verdict(verdict, verified)));
    if verified.is_good() && !verified.is_index {
        let how = match (verified.compared, verified.downloaded) {
            (true, true) => "compared every byte while downloading",
            (true, false) => "compared every byte",
            (false, _) => "verified by object ID, nothing downloaded",
        };
        let _infallible = write!(lines, "\n  {}", styled(DIM, how));
    }
    if !verified.variations.is_empty() {
        let _infallible = write!(lines, "\n  {}", wording::variations(&verified.variations));
    }
    for (name, keeper) in &verified.ties {
        let (name, keeper) = (sanitize::text(name), sanitize::text(keeper));
        let _infallible = write!(lines, "\n  {} {name} (tied to {keeper})", styled(DIM, "dropped "));
    }
    for finding in &verified.findings {
        let _infallible = write!(lines, "\n  {}", wording::finding(finding));
    }
    if verified.more > 0 {
        let _infallible = write!(lines, "\n  and {} more", verified.more);
    }
    if verified.stopped {
        lines += "\n  comparison stopped here";
    }
    ui.result(&lines);
}

/// Returns the text about the other changes to a `.gitattributes`.
fn rest(has_unstaged_changes: bool) -> &'static str {
    if has_unstaged_changes { "; other changes to it stay unstaged" } else { "" }
}
