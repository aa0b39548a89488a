//! Runs `git st-convert status [PATH...]`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use bstr::{BString, ByteSlice as _};

use crate::actions::guard::install::Hook;
use crate::actions::status::{FileState, FileStatus, Options, RepositoryStatus, status};
use crate::cli::args::Status;
use crate::cli::commands::Call;
use crate::cli::error::Report;
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{File, Here, quoted};
use crate::cli::sizes::{bytes, counted};
use crate::cli::ui::{BAD, DIM, GOOD, STRONG, WARNING, styled};
use crate::cli::{json, sanitize};

/// How many files of a group are listed, and how many a command names.
const LISTED: usize = 8;
const NAMED: usize = 50;

/// Shows the state of the repository.
pub(crate) fn run(args: &Status, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, ui, interrupt, .. } = call;
    let here = Here::new(cwd).of("status");
    let reporter = TerminalReporter::new(ui, interrupt, false).at(Here::new(cwd).of("status"), false);
    let options = Options { cwd: cwd.to_owned(), paths: args.paths.clone() };
    let found = status(&options, &reporter).map_err(|error| {
        ui.failed(&error, &here, |report| {
            json::repository_status(None, report, report.map_or(0, Report::exit_code))
        })
    })?;
    let code = u8::from(args.exit_code && found.is_to_do());
    if ui.json {
        found.files.iter().for_each(|file| ui.data(&json::file_status(file)));
        ui.conclude(&json::repository_status(Some(&found), None, code));
    } else {
        let page = Page { here: &here, given: given(&args.paths), all: ui.verbose > 0 };
        ui.result(page.text(&found).trim_end());
    }
    Ok(code)
}

/// Returns the given paths, as arguments of a command, each after a space.
fn given(paths: &[OsString]) -> String {
    let path =
        |path: &OsString| format!(" {}", quoted(Path::new(path).as_os_str().as_encoded_bytes().as_bstr()));
    paths.iter().map(path).collect()
}

struct Page<'a> {
    here: &'a Here,
    given: String,
    /// `true` if all files are listed.
    all: bool,
}

impl Page<'_> {
    fn text(&self, status: &RepositoryStatus) -> String {
        let mut text = String::new();
        let git = self.here.git();
        let convert = format!("`{git} st-convert{}`", self.given);
        let mut group = |state: FileState, title: &str, command: &str| {
            let files: Vec<_> = status.files.iter().filter(|file| file.state == state).collect();
            if !files.is_empty() {
                self.group(&mut text, title, &files, command);
            }
        };
        let sources = |state| self.names(status, state, |file| file.checkpoint.as_ref());
        let outputs = |state| self.names(status, state, |file| file.output.as_ref());
        let verify = |state, files: String| {
            let files = if is_ambiguous(status, state) { format!(" {}", sources(state)) } else { files };
            format!("`{git} st-convert verify{files}`")
        };
        group(FileState::Unconverted, "Not converted", &format!("convert: {convert}"));
        group(FileState::Stale, "Stale: the checkpoint changed since", &format!("convert again: {convert}"));
        let forced = |state| format!("overwrite: `{git} st-convert --force {}`", sources(state));
        let other = "Stale: committed with another checkpoint";
        group(FileState::StaleElsewhere, other, &forced(FileState::StaleElsewhere));
        let compare = verify(FileState::Differs, format!(" {}", outputs(FileState::Differs)));
        let differs = format!("list the differences: {compare}\n  {}", forced(FileState::Differs));
        group(FileState::Differs, "Different from the checkpoint", &differs);
        group(FileState::Unmerged, "In a merge conflict", &format!("finish the merge first: `{git} status`"));
        group(
            FileState::Unreadable,
            "Unreadable",
            &format!("see who may read: `ls -l {}`", self.unreadable(status)),
        );
        for (state, title) in
            [(FileState::Unverified, "Unverified"), (FileState::NotHere, "Not downloaded, not compared")]
        {
            group(state, title, &format!("verify: {}", verify(state, self.given.clone())));
        }
        let untracked = format!("convert: `{git} st-convert {}`", sources(FileState::Untracked));
        group(FileState::Untracked, "Untracked checkpoints", &untracked);
        let state = FileState::TrainingState;
        let keep_out = format!("keep out of git: `{git} rm --cached {}`", sources(state));
        group(state, "Training state", &keep_out);
        self.closing(&mut text, status);
        text
    }

    fn group(&self, text: &mut String, title: &str, files: &[&FileStatus], command: &str) {
        let style = if files.iter().any(|file| file.state.is_to_do()) { BAD } else { WARNING };
        let _infallible = writeln!(text, "{} ({})", styled(style, title), files.len());
        let rows = rows(files);
        let shown = if self.all || rows.len() <= LISTED + 1 { rows.len() } else { LISTED };
        let width = rows.iter().take(shown).map(|row| row.name.chars().count()).max().unwrap_or(0);
        for Row { name, facts } in rows.iter().take(shown) {
            let space = width - name.chars().count();
            let _infallible =
                writeln!(text, "    {}{:space$}  {}", styled(STRONG, name), "", styled(DIM, facts));
        }
        if shown < rows.len() {
            let _infallible = writeln!(text, "    and {} more (`-v` lists all)", rows.len() - shown);
        }
        let _infallible = writeln!(text, "  {command}\n");
    }

    /// Returns the files of a group, as arguments of a command.
    fn names(
        &self,
        status: &RepositoryStatus,
        state: FileState,
        of: impl Fn(&FileStatus) -> Option<&BString>,
    ) -> String {
        let files = status.files.iter().filter(|file| file.state == state);
        let mut names: Vec<_> =
            files.filter_map(of).map(|path| self.here.argument(File::OfTop(path.as_ref()))).collect();
        if names.len() > NAMED {
            names.truncate(1);
        }
        names.join(" ")
    }

    /// Returns the files that cannot be opened, as arguments of another program.
    fn unreadable(&self, status: &RepositoryStatus) -> String {
        let files = status.files.iter().filter(|file| file.state == FileState::Unreadable);
        let both = files.flat_map(|file| file.checkpoint.iter().chain(&file.output)).take(NAMED);
        both.map(|path| self.here.path(File::OfTop(path.as_ref()))).collect::<Vec<_>>().join(" ")
    }

    fn closing(&self, text: &mut String, status: &RepositoryStatus) {
        let current = status.count(FileState::UpToDate);
        let alone = status.count(FileState::Alone);
        let mut facts = Vec::new();
        if current > 0 {
            facts.push(format!("{} up to date", counted(current, "safetensors file")));
        }
        if alone > 0 {
            facts.push(format!("{} without a checkpoint", counted(alone, "safetensors file")));
        }
        if status.left_out > 0 {
            facts.push(format!("{} outside the sparse checkout", counted(status.left_out, "checkpoint")));
        }
        if status.files.is_empty() && status.left_out == 0 {
            facts.push("no checkpoints and no safetensors files".to_owned());
        }
        for fact in facts {
            let _infallible = writeln!(text, "{}", styled(GOOD, &fact));
        }
        if let Some(hooks) = &status.hooks {
            let guarded = |hook, what: &str| {
                let not = if hooks.is_guarded(hook) { "" } else { "not " };
                format!("{what}: {not}guarded")
            };
            let (commits, pushes) = (guarded(Hook::PreCommit, "commits"), guarded(Hook::PrePush, "pushes"));
            let off =
                if hooks.is_off { " (core.hooksPath is not a directory: git runs no hooks)" } else { "" };
            let _infallible = writeln!(text, "{commits}, {pushes}{off}");
            let is_guarded = status.is_guarded(Hook::PreCommit) && status.is_guarded(Hook::PrePush);
            if !hooks.is_off && !is_guarded {
                let _infallible =
                    writeln!(text, "  guard them: `{} st-convert hook install`", self.here.git());
            }
        }
    }
}

/// Returns `true` if a safetensors file of the group is named after several checkpoints, of which the user must name one.
fn is_ambiguous(status: &RepositoryStatus, state: FileState) -> bool {
    let mut seen = BTreeSet::new();
    let outputs = status.files.iter().filter_map(|file| file.output.as_ref());
    let ambiguous: BTreeSet<_> = outputs.filter(|output| !seen.insert(*output)).collect();
    let files = status.files.iter().filter(|file| file.state == state);
    files.filter_map(|file| file.output.as_ref()).any(|output| ambiguous.contains(output))
}

/// A line of a group.
struct Row {
    name: String,
    facts: String,
}

/// Returns one line per file, and one for all shards of a checkpoint.
fn rows(files: &[&FileStatus]) -> Vec<Row> {
    let mut sets: BTreeMap<(String, String), Vec<&FileStatus>> = BTreeMap::new();
    for file in files {
        sets.entry(set_of(file)).or_default().push(file);
    }
    let row = |((name, _), files): ((String, String), Vec<&FileStatus>)| {
        let size: u64 = files.iter().map(|file| file.size).sum();
        let mut facts = bytes(size);
        if files.len() > 1 {
            facts = format!("{}, {facts}", counted(files.len(), "shard"));
        }
        let output =
            files.first().filter(|file| file.checkpoint.is_some()).and_then(|file| file.output.as_ref());
        if let Some(output) = output.filter(|_| files.len() == 1) {
            facts = format!("→ {}, {facts}", sanitize::bytes(output.as_ref()));
        }
        if files.iter().any(|file| !file.is_here) {
            facts += ", not downloaded";
        }
        if let Some(reason) = files.iter().find_map(|file| file.reason.as_ref()) {
            let _infallible = write!(facts, ": {}", sanitize::text(reason));
        }
        Row { name, facts }
    };
    sets.into_iter().map(row).collect()
}

/// Returns the name of a file, or that of all shards of its checkpoint: `X-*-of-00002.bin`.
fn set_of(file: &FileStatus) -> (String, String) {
    let path = file.checkpoint.as_ref().or(file.output.as_ref());
    let name = path.map(|path| sanitize::bytes(path.as_ref()).into_owned()).unwrap_or_default();
    let shard = name.rsplit_once("-of-").and_then(|(start, end)| {
        let (stem, number) = start.rsplit_once('-')?;
        let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(number) && is_number(end.split('.').next()?)).then(|| format!("{stem}-*-of-{end}"))
    });
    match shard {
        Some(shard) => (shard, String::new()),
        None => (name.clone(), name),
    }
}
