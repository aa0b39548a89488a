//! Tests a kill between the write of the index and the end of a run. In that time needless files are removed one by
//! one: the checkpoints of `--replace`, and the journals of the shards. Whichever of them are left, git has the new
//! files, every name is as before or as after, and the same command removes the rest.
//!
//! The run is killed when the new index exists. How much it has removed by then depends on the machine, so the test
//! repeats until some kills came in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use git_st_convert::hash::Oid;

use super::Model;
use super::stopped::{copy, objects};
use super::torch::{Float32, checkpoint};
use crate::sandbox::BIN;

/// Enough shards for a kill before all their files are removed.
const SHARDS: usize = 64;
/// How many kills must come in between, and how many runs may be tried.
const CAUGHT: usize = 2;
const TRIES: usize = 60;

const INDEX: &str = "pytorch_model.bin.index.json";

fn shard(at: usize) -> String {
    format!("pytorch_model-{:05}-of-{SHARDS:05}.bin", at + 1)
}

fn model() -> Model {
    let model = Model::new();
    let mut map = Vec::new();
    for at in 0..SHARDS {
        let name = format!("layer.{at}.weight");
        let bytes = u32::try_from(at).unwrap().to_le_bytes().to_vec();
        let content = checkpoint(&[Float32 { name: name.clone(), shape: vec![1], bytes }]);
        model.write(shard(at), &content);
        let object = model.object(Oid::of(&content));
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(object, content).unwrap();
        map.push(format!("\"{name}\":\"{}\"", shard(at)));
    }
    let index =
        format!("{{\"metadata\":{{\"total_size\":{}}},\"weight_map\":{{{}}}}}", 4 * SHARDS, map.join(","));
    model.write(INDEX, index);
    model.git(&["add", "."]);
    model.commit();
    model
}

/// The contents of the index and the working tree, and the files next to the objects of LFS storage.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    index: String,
    files: BTreeMap<PathBuf, Oid>,
    waiting: BTreeSet<PathBuf>,
}

fn state(model: &Model) -> State {
    let mut files = BTreeMap::new();
    for path in
        fs::read_dir(&model.dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        files.insert(path.strip_prefix(&model.dir).unwrap().to_owned(), Oid::of(&fs::read(&path).unwrap()));
    }
    let waiting = objects(&model.store.join("incomplete")).into_iter().collect();
    State { index: model.git(&["ls-files", "--stage"]), files, waiting }
}

/// Describes the differences in a few words.
fn differs(now: &State, after: &State) -> String {
    let more = now.files.keys().filter(|path| !after.files.contains_key(*path)).count();
    let index = if now.index == after.index { "as after" } else { "other" };
    format!("{} journals, {more} more files, index {index}", now.waiting.len())
}

/// Runs, and kills the run as soon as the index is replaced.
fn kill(model: &Model, args: &[&str]) {
    let index = model.at(".git/index");
    let number = || fs::metadata(&index).unwrap().ino();
    let before = number();
    let mut command = model.command(BIN, &model.dir);
    let mut child = command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while number() == before && child.try_wait().unwrap().is_none() {}
    let _may_be_over = child.kill();
    child.wait().unwrap();
}

#[track_caller]
fn caught_in_between(args: &[&str]) {
    let model = model();
    let kept = model.sandbox.path("kept");
    copy(&model.dir, &kept);
    let before = state(&model);
    model.run(args).ok();
    let after = state(&model);
    assert!(after.waiting.is_empty() && after.index != before.index, "{}", differs(&after, &before));
    let (mut caught, mut partly) = (0, 0);
    for run in 0..TRIES {
        copy(&kept, &model.dir);
        model.git(&["update-index", "-q", "--refresh"]);
        kill(&model, args);
        let now = state(&model);
        let what = format!("{args:?}: run {run}: {}", differs(&now, &after));
        if now.index == before.index {
            continue;
        }
        // The index is replaced at once, and everything that it names exists.
        assert!(now.index == after.index, "{what}");
        for (path, oid) in &after.files {
            assert_eq!(now.files.get(path), Some(oid), "{what}");
        }
        for (path, oid) in now.files.iter().filter(|(path, _)| !after.files.contains_key(*path)) {
            assert_eq!(before.files.get(path), Some(oid), "{what}");
        }
        caught += usize::from(!now.waiting.is_empty());
        partly += usize::from(now.files != after.files);
        let again = model.run(args);
        assert_eq!(again.code, Some(0), "{what}\n{}", again.stderr);
        let end = state(&model);
        assert!(end == after, "{what}\n{}", differs(&end, &after));
        if caught >= CAUGHT && (partly > 0 || !args.contains(&"--replace")) {
            return;
        }
    }
    panic!("{args:?}: caught {caught} times, with checkpoints that were left {partly} times");
}

#[test]
fn the_journals_of_shards() {
    caught_in_between(&[]);
}

#[test]
fn the_checkpoints_and_journals_of_shards_that_are_replaced() {
    caught_in_between(&["--replace"]);
}
