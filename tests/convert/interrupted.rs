//! Sends SIGKILL at two hundred points of a run: every name is as before or as after, and a later run finishes the
//! work.
//!
//! The points are spread over the measured duration of a run, every second one over its last part, in which names are
//! given. A run that ends before its point is a new measurement. The points come from a fixed seed; the progress of the
//! run at each point depends on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use git_st_convert::hash::Oid;

use super::stopped::wait_at_most;
use super::torch::{checkpoint, next, noise};
use super::{Model, age};

const RUNS: u32 = 200;
const SIZE: usize = 20 << 20;

/// The visible state of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    /// The output of `git ls-files --stage`.
    index: String,
    refs: String,
    attributes: Option<Vec<u8>>,
    source: Option<(u64, i64)>,
    output: Option<Oid>,
}

/// The state that a kill left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Before,
    /// Some names are new, and others are old.
    Between,
    After,
}

struct Killed {
    model: Model,
    /// The length of the safetensors file.
    size: Option<u64>,
    kept: PathBuf,
    index: Vec<u8>,
    /// The states before, after, and after with `--replace`.
    states: [State; 3],
    duration: Duration,
}

fn hash(path: &Path) -> Option<Oid> {
    fs::read(path).ok().map(|bytes| Oid::of(&bytes))
}

impl Killed {
    fn new() -> Self {
        let model = Model::with_attributes(Some("*.bin filter=lfs diff=lfs merge=lfs -text\n"));
        let source = checkpoint(&[noise(SIZE)]);
        model.add("pytorch_model.bin", &source);
        model.commit();
        // A second name of the file outside of the repository lets it come back without a copy.
        let kept = model.sandbox.path("kept.bin");
        fs::hard_link(model.at("pytorch_model.bin"), &kept).unwrap();
        let index = fs::read(model.at(".git/index")).unwrap();
        let states = [(); 3].map(|()| state(&model));
        let mut killed = Self { model, size: None, kept, index, states, duration: Duration::ZERO };
        let mut times = Vec::new();
        for replace in [false, true, false] {
            let start = Instant::now();
            killed.model.run(args(replace)).ok();
            times.push(start.elapsed());
            killed.states[1 + usize::from(replace)] = state(&killed.model);
            killed.size = Some(killed.model.at("model.safetensors").metadata().unwrap().len());
            killed.reset();
        }
        times.sort();
        killed.duration = times[1];
        assert!(killed.states[1].output.is_some() && killed.states[2].source.is_none());
        killed
    }

    /// Restores the state before any run.
    fn reset(&self) {
        let at = |path: &str| self.model.at(path);
        for path in ["model.safetensors", ".git/index.lock", "pytorch_model.bin"] {
            let _may_be_absent = fs::remove_file(at(path));
        }
        fs::hard_link(&self.kept, at("pytorch_model.bin")).unwrap();
        fs::write(at(".git/index"), &self.index).unwrap();
        fs::write(at(".gitattributes"), self.states[0].attributes.as_ref().unwrap()).unwrap();
        age(&at(".gitattributes"));
        let _may_be_absent = fs::remove_file(self.model.object(self.states[1].output.unwrap()));
    }

    /// Runs, and kills the run after `delay`. Returns its duration if it ended before.
    fn kill(&self, replace: bool, delay: Duration) -> Option<Duration> {
        let mut command = self.model.command(crate::sandbox::BIN, &self.model.dir);
        command.args(args(replace)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        if wait_at_most(&mut child, delay).is_none() {
            child.kill().unwrap();
        }
        child.wait().unwrap().success().then(|| start.elapsed())
    }

    /// Checks that every name is as before or as after, each by itself, and that leftovers are only in the allowed
    /// places.
    fn check(&self, replace: bool) -> Found {
        let (before, after) = (&self.states[0], &self.states[1 + usize::from(replace)]);
        let now = state(&self.model);
        assert!(now.index == before.index || now.index == after.index, "index: {now:#?}");
        assert_eq!(now.refs, before.refs);
        assert!(now.attributes == before.attributes || now.attributes == after.attributes, "{now:#?}");
        assert!(now.source == before.source || now.source == after.source, "{now:#?}");
        assert!(now.output == before.output || now.output == after.output, "{now:#?}");
        let object = self.model.object(after.output.unwrap());
        let is_whole = object.metadata().is_ok_and(|metadata| Some(metadata.len()) == self.size);
        assert!(is_whole || !object.exists(), "half an object under its name");
        // The file that the index names exists.
        assert!(now.index == before.index || now.output == after.output, "{now:#?}");
        let lock = self.model.at(".git/index.lock");
        if let Ok(lock) = fs::symlink_metadata(&lock) {
            let inodes =
                leftovers(&self.model.at(".git")).into_iter().map(|path| path.metadata().unwrap().ino());
            assert!(
                inodes.collect::<BTreeSet<_>>().contains(&lock.ino()),
                "a lock that nobody can know for ours"
            );
        }
        let elsewhere = ["", ".git/lfs", ".git/lfs/objects", ".git/objects"];
        for dir in elsewhere {
            assert_eq!(leftovers(&self.model.at(dir)), [""; 0].map(PathBuf::from), "{dir}");
        }
        match now {
            _ if lock.exists() => Found::Between,
            now if now == *before => Found::Before,
            now if now == *after => Found::After,
            _ => Found::Between,
        }
    }

    /// Checks that a later run removes the leftovers and completes the work.
    fn complete(&self, replace: bool) {
        let run = self.model.run(args(replace));
        assert_eq!(run.code, Some(0), "{run:?}");
        for dir in [".git", ".git/lfs/tmp"] {
            assert_eq!(leftovers(&self.model.at(dir)), [""; 0].map(PathBuf::from), "{run:?}");
        }
        assert!(!self.model.at(".git/index.lock").exists());
        assert_eq!(state(&self.model), self.states[1 + usize::from(replace)], "{run:?}");
    }
}

fn state(model: &Model) -> State {
    State {
        index: model.git(&["ls-files", "--stage"]),
        refs: model.git(&["for-each-ref"]) + &fs::read_to_string(model.at(".git/HEAD")).unwrap(),
        attributes: fs::read(model.at(".gitattributes")).ok(),
        // The file is a link to the kept one, so it need not be read.
        source: fs::metadata(model.at("pytorch_model.bin"))
            .ok()
            .map(|metadata| (metadata.ino(), metadata.mtime())),
        output: hash(&model.at("model.safetensors")),
    }
}

fn args(replace: bool) -> &'static [&'static str] {
    if replace { &["--replace"] } else { &[] }
}

/// Returns our temporary files in a directory.
fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().contains("st-convert-")).collect()
}

#[test]
fn killed_at_two_hundred_points_nothing_is_half_done_and_a_later_run_completes() {
    let killed = Killed::new();
    let mut whole = killed.duration;
    let (mut chance, mut in_time) = (0x5eed_u64, 0);
    let mut found = BTreeMap::new();
    for run in 0..RUNS {
        let replace = run % 3 == 0;
        chance = next(chance);
        let part = f64::from(u32::try_from(chance >> 32).unwrap()) / f64::from(u32::MAX);
        let at = whole.mul_f64(if run % 2 == 0 { part } else { 0.5 + 0.5 * part });
        match killed.kill(replace, at) {
            Some(took) => whole = whole.min(took),
            None => in_time += 1,
        }
        let state = killed.check(replace);
        let count = found.entry(state).and_modify(|count| *count += 1).or_insert(1_u32);
        // Every second mixed state is completed, and some of the others.
        let often = if state == Found::Between { 2 } else { 12 };
        if *count % often == 1 {
            killed.complete(replace);
        }
        if state != Found::Before || *count % often == 1 {
            killed.reset();
        }
    }
    assert!(
        in_time > RUNS / 4,
        "only {in_time} of {RUNS} runs of {whole:.3?} were killed in time: {found:?}"
    );
    killed.complete(false);
}
