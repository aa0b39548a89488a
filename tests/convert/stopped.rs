//! Stops runs of each kind that writes by KILL, INT, TERM and HUP: every name is as before or as after, no name has a
//! half-written file, and the same command finishes the work, including the commit.
//!
//! The points are spread over the measured duration of a run, every second one over its last part, in which names are
//! given and commits are made. A run that ends before its point is a new measurement, and the point is tried again.
//! `ST_CONVERT_KILLS` sets their number per kind of run; the seed is fixed, and the progress of the run at each point
//! depends on the machine.

#![expect(clippy::disallowed_methods, reason = "tests run the reference programs")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use git_st_convert::hash::Oid;

use super::Model;
use super::states::CHECKPOINT;
use super::torch::{Float32, checkpoint, next};
use crate::sandbox::BIN;

/// How many runs of each kind are stopped by default.
const RUNS: u32 = 8;
/// How often a point is tried that came after the end of the run.
const ATTEMPTS: u32 = 4;
const SIGNALS: [&str; 4] = ["KILL", "INT", "TERM", "HUP"];
const SECOND: &str = "vae/pytorch_model.bin";

/// The visible state of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct State {
    head: String,
    /// The entries of the index, by path.
    index: BTreeMap<String, String>,
    /// The hashes of the files of the working tree.
    files: BTreeMap<PathBuf, Oid>,
}

/// A repository that is created once and copied for each run.
struct Series {
    /// The repository of the runs.
    model: Model,
    /// The copy.
    kept: PathBuf,
    args: &'static [&'static str],
    before: State,
    after: State,
    whole: Duration,
}

/// Returns a checkpoint that is large enough for some of the stops to come while bytes are written.
fn trained(epoch: u8) -> Vec<u8> {
    let tensor =
        |name: &str| Float32 { name: name.to_owned(), shape: vec![1 << 18], bytes: vec![epoch; 4 << 18] };
    let mut bytes = checkpoint(&[tensor("embed.weight"), tensor("head.weight")]);
    let len = bytes.len();
    bytes[len - 2] = epoch;
    bytes.resize(len + usize::from(epoch), b' ');
    bytes
}

pub(super) fn copy(from: &Path, to: &Path) {
    let _may_be_absent = fs::remove_dir_all(to);
    let copied = Command::new("cp").args(["-a", "--"]).args([from, to]).status().unwrap();
    assert!(copied.success());
}

impl Series {
    fn new(args: &'static [&'static str], is_retrained: bool) -> Self {
        let model = Model::new();
        model.add(CHECKPOINT, &trained(1));
        model.add(SECOND, &trained(2));
        model.commit();
        if is_retrained {
            model.run(&["--commit"]).ok();
            model.write(CHECKPOINT, trained(3));
            model.write(SECOND, trained(4));
        }
        let kept = model.sandbox.path("kept");
        copy(&model.dir, &kept);
        let (before, after) = (State::default(), State::default());
        let mut series = Self { model, kept, args, before, after, whole: Duration::ZERO };
        let mut times = Vec::new();
        for _ in 0..3 {
            series.reset();
            series.before = series.state();
            let start = Instant::now();
            series.model.run(args).ok();
            times.push(start.elapsed());
            series.after = series.state();
        }
        times.sort();
        series.whole = times[1];
        assert_ne!(series.before, series.after);
        series
    }

    fn reset(&self) {
        copy(&self.kept, &self.model.dir);
        // As after a checkout, git has the stat data of the files.
        self.model.sandbox.try_git(&self.model.dir, &["update-index", "-q", "--refresh"]);
    }

    fn state(&self) -> State {
        let index = self.model.git(&["ls-files", "--stage"]);
        let entry = |line: &str| {
            let (entry, path) = line.split_once('\t').unwrap();
            (path.to_owned(), entry.to_owned())
        };
        let mut files = BTreeMap::new();
        for dir in [self.model.dir.clone(), self.model.at("vae")] {
            for path in fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if path.is_file() {
                    let content = Oid::of(&fs::read(&path).unwrap());
                    files.insert(path.strip_prefix(&self.model.dir).unwrap().to_owned(), content);
                }
            }
        }
        let head = self.model.git(&["rev-parse", "HEAD"]);
        State { head, index: index.lines().map(entry).collect(), files }
    }

    /// Runs, and sends a signal after `delay`. Returns the exit status, and how long the run took.
    fn stop(&self, signal: &str, delay: Duration) -> (ExitStatus, Duration) {
        let mut command = self.model.command(BIN, &self.model.dir);
        command.args(self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C and a closed terminal signal all processes of a group.
        command.process_group(0);
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        if let Some(ended) = wait_at_most(&mut child, delay) {
            return (ended, start.elapsed());
        }
        let group = if matches!(signal, "INT" | "HUP") { "-" } else { "" };
        let target = format!("{group}{}", child.id());
        let sent = Command::new("kill").args(["-s", signal, "--", &target]).stderr(Stdio::null()).status();
        let _may_be_over = sent.unwrap();
        (child.wait().unwrap(), start.elapsed())
    }

    /// Checks that every name is as before or as after, each by itself, and that everything in the index exists.
    fn check(&self, what: &str) -> bool {
        let now = self.state();
        let is_one = |now: Option<&String>, before: Option<&String>, after: Option<&String>| {
            now == before || now == after
        };
        let (before, after) = (&self.before, &self.after);
        assert!(now.head == before.head || now.head == after.head, "{what}: {now:#?}");
        for path in before.index.keys().chain(after.index.keys()).chain(now.index.keys()) {
            let of = |state: &State| state.index.get(path).cloned();
            assert!(
                is_one(of(&now).as_ref(), of(before).as_ref(), of(after).as_ref()),
                "{what}: {path}: {now:#?}"
            );
        }
        let names: BTreeSet<_> =
            [before, after, &now].into_iter().flat_map(|state| state.files.keys()).collect();
        for path in names {
            let of = |state: &State| state.files.get(path).copied();
            assert!(of(&now) == of(before) || of(&now) == of(after), "{what}: {}: {now:#?}", path.display());
            let staged = |state: &State| state.index.get(path.to_str().unwrap()).cloned();
            if path.extension().is_some_and(|name| name == "safetensors") && staged(&now) == staged(after) {
                assert_eq!(of(&now), of(after), "{what}: staged, and not there");
            }
        }
        if now.head == after.head && after.head != before.head {
            assert_eq!(now.index, after.index, "{what}: committed, and not staged");
        }
        for path in objects(&self.model.at(".git/lfs/objects")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(Oid::of(&fs::read(&path).unwrap()).to_string(), name, "{what}: half an object");
        }
        now == *before
    }

    /// Checks that the same command finishes the work.
    fn finish(&self, what: &str) {
        // These locks belong to git, which was also stopped; the program recognizes its own locks.
        for lock in [".git/HEAD.lock", ".git/refs/heads/main.lock"] {
            let _may_be_absent = fs::remove_file(self.model.at(lock));
        }
        let run = self.model.run(self.args);
        assert_eq!(run.code, Some(0), "{what}: {run:?}");
        assert_eq!(self.state(), self.after, "{what}: {run:?}");
        for dir in ["", "vae", ".git", ".git/lfs/tmp", ".git/st-converted"] {
            assert_eq!(leftovers(&self.model.at(dir)), [""; 0].map(PathBuf::from), "{what}: {run:?}");
        }
    }
}

/// Waits until `delay` is over or the child ends. Returns the exit status in the second case.
pub(super) fn wait_at_most(child: &mut Child, delay: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + delay;
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return None;
        }
        if let Some(ended) = child.try_wait().unwrap() {
            return Some(ended);
        }
        std::thread::sleep(rest.min(Duration::from_micros(500)));
    }
}

/// Returns all files below a directory.
pub(super) fn objects(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(objects(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Returns our temporary files in a directory.
fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().contains("st-convert-")).collect()
}

/// Returns how many runs to stop.
fn runs() -> u32 {
    std::env::var("ST_CONVERT_KILLS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS)
}

fn series(name: &str, args: &'static [&'static str], is_retrained: bool) {
    let series = Series::new(args, is_retrained);
    let mut whole = series.whole;
    let mut chance = 0x5eed_u64;
    let mut found: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for run in 0..runs() {
        let signal = SIGNALS[run as usize % SIGNALS.len()];
        chance = next(chance);
        let part = f64::from(u32::try_from(chance >> 32).unwrap()) / f64::from(u32::MAX);
        // Each signal occurs in every part of the duration.
        let part = (f64::from(run / 4) + part) / f64::from(runs().div_ceil(4));
        let part = if run / 4 % 2 == 0 { part } else { 0.5 + 0.5 * part };
        let mut attempts = 0;
        let (status, at) = loop {
            series.reset();
            let at = whole.mul_f64(part);
            let (status, took) = series.stop(signal, at);
            attempts += 1;
            if !status.success() || attempts == ATTEMPTS {
                break (status, at);
            }
            whole = whole.min(took);
        };
        let what = format!("{name}: {signal} after {at:.3?} of {whole:.3?}, run {run}: {status:?}");
        let is_asked = status.code() == Some(130);
        assert!(status.success() || is_asked || signal == "KILL" || status.signal().is_some(), "{what}");
        let is_before = series.check(&what);
        if is_asked {
            for dir in ["", "vae", ".git/lfs/tmp"] {
                assert_eq!(leftovers(&series.model.at(dir)), [""; 0].map(PathBuf::from), "{what}");
            }
        }
        series.finish(&what);
        let end = match (status.success(), is_before) {
            (true, _) => "over before",
            (false, true) => "as before",
            (false, false) => "begun",
        };
        *found.entry((signal, end)).or_default() += 1;
    }
    let line = format!("{name}: {} runs of {whole:.3?}: {found:?}\n", runs());
    let _nobody_reads = std::io::stderr().write_all(line.as_bytes());
    let stopped: u32 =
        found.iter().filter(|((_, end), _)| *end != "over before").map(|(_, count)| count).sum();
    assert!(stopped * 4 > runs(), "too few were stopped in time: {found:?}");
}

#[test]
fn a_bare_run() {
    series("bare", &[], false);
}

#[test]
fn a_run_that_commits() {
    series("--commit", &["--commit"], false);
}

#[test]
fn a_run_that_replaces_and_commits() {
    series("--replace --commit", &["--replace", "--commit"], false);
}

#[test]
fn a_run_after_a_retrain() {
    series("after a retrain", &[], true);
}
