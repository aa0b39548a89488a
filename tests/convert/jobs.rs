//! Tests files on several threads: with any `-j`, the files, the texts and their order, and the errors are the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use git_st_convert::hash::Oid;

use super::{Model, fixture, oid_of};
use crate::formats::fixtures;
use crate::sandbox::{Output, Sandbox};

/// Good files, files that are refused before or during the read, two equal files, and a sharded checkpoint between
/// them.
const FILES: [(&str, &str); 8] = [
    ("a/pytorch_model.bin", "tied-2.bin"),
    ("b.bin", "os-system.bin"),
    ("c.bin", "crc.bin"),
    ("d.pt", "nan-payloads.bin"),
    ("n.bin", "gpt2-tied.bin"),
    ("o.bin", "gpt2-tied.bin"),
    ("p.bin", "truncated.bin"),
    ("z/weights.pth", "names.bin"),
];

fn add_set(model: &Model, dir: &str) {
    for entry in fs::read_dir(fixtures().join("shards/tied-inside")).unwrap() {
        let path = entry.unwrap().path();
        model.add(Path::new(dir).join(path.file_name().unwrap()), &fs::read(&path).unwrap());
    }
}

fn model() -> Model {
    let model = Model::new();
    for (path, name) in FILES {
        model.add(path, &fixture(name));
    }
    add_set(&model, "m");
    model.commit();
    model
}

/// Returns every file of the working tree and of LFS storage.
fn contents(dirs: &[PathBuf]) -> BTreeMap<PathBuf, String> {
    let listed = dirs.iter().map(|dir| (dir, super::listing(dir)));
    let all =
        listed.flat_map(|(dir, files)| files.into_iter().map(move |(path, what)| (dir.join(path), what)));
    let names = all.filter(|(path, _)| !path.components().any(|part| part.as_os_str() == ".git"));
    names.map(|(path, what)| (path.iter().skip(3).collect(), what)).collect()
}

/// Returns the output of a run without its duration.
fn said(run: &Output) -> (Option<i32>, String, String) {
    (run.code, run.stdout.clone(), run.stderr.clone())
}

#[test]
fn checkpoints_of_a_run_are_what_they_are_one_by_one() {
    let runs = ["-j1", "-j2", "-j8"].map(|jobs| {
        let model = model();
        let run = model.run(&[jobs]);
        let staged = model.git(&["diff", "--cached", "--name-only"]);
        let stored = super::listing(&model.store.join("objects")).into_keys().collect::<Vec<_>>();
        let left: Vec<_> = ["tmp", "incomplete"]
            .iter()
            .flat_map(|dir| fs::read_dir(model.store.join(dir)).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .collect();
        assert!(left.is_empty(), "{jobs}: {left:?}");
        model.check("a/model.safetensors", &oid_of("tied-2.bin"));
        model.check("d.safetensors", &oid_of("nan-payloads.bin"));
        (said(&run), staged, stored, model.status())
    });
    let [one, two, eight] = runs;
    assert_eq!(one.0.0, Some(1), "{one:?}");
    let order: Vec<_> = ["m/", "a/pytorch_model.bin →", "d.pt →", "n.bin →", "o.bin →", "z/weights.pth →"]
        .map(|name| one.0.1.find(name).unwrap())
        .into();
    assert!(order.is_sorted(), "{}", one.0.1);
    assert_eq!(two, one);
    assert_eq!(eight, one);
}

#[test]
fn a_damaged_shard_leaves_its_set_as_it_was_however_many_are_made_at_once() {
    let runs = ["-j1", "-j8"].map(|jobs| {
        let model = Model::new();
        add_set(&model, "");
        model.commit();
        // These are the bytes of the last tensor of the first shard.
        let path = model.at("pytorch_model-00001-of-00002.bin");
        let content = fs::read(&path).unwrap();
        let plan =
            git_st_convert::checkpoint::plan(&content, &git_st_convert::checkpoint::Options::default());
        let record =
            plan.unwrap().records.into_iter().rfind(|record| record.name.contains("/data/")).unwrap();
        let mut damaged = content.clone();
        damaged[usize::try_from(record.at).unwrap()] ^= 1;
        let object = model.object(Oid::of(&content));
        fs::remove_file(&object).unwrap();
        fs::write(&object, damaged).unwrap();
        let before = model.listing();
        let run = model.run(&[jobs]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert_eq!(super::differences(&before, &model.listing()), [""; 0], "{jobs}");
        said(&run)
    });
    assert!(runs[0].2.contains("error: pytorch_model-00001-of-00002.bin: "), "{runs:?}");
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn plain_files_are_what_they_are_one_by_one() {
    let runs = ["-j1", "-j3", "-j8"].map(|jobs| {
        let sandbox = Sandbox::new();
        let dir = sandbox.path("plain");
        for (path, name) in FILES {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), fixture(name)).unwrap();
        }
        let first = sandbox.bin(&dir, &[jobs, "."]);
        let again = sandbox.bin(&dir, &[jobs, ".", "-o", "out"]);
        (said(&first), said(&again), contents(&[dir]))
    });
    let [one, three, eight] = runs;
    assert_eq!((one.0.0, one.0.1.matches(" → ").count()), (Some(1), 5), "{one:?}");
    assert_eq!(one.2.keys().filter(|path| path.to_string_lossy().ends_with(".safetensors")).count(), 10);
    assert_eq!(three, one);
    assert_eq!(eight, one);
}

#[test]
fn one_to_eight_files_are_done_at_once() {
    let sandbox = Sandbox::new();
    for jobs in ["0", "9", "-1", "x", ""] {
        let run = sandbox.bin(&sandbox.path(""), &[&format!("--jobs={jobs}")]);
        assert_eq!(run.code, Some(2), "{run:?}");
        let text = format!("error: invalid value '{jobs}' for '--jobs <N>': expected 1 to 8\n");
        assert!(run.stderr.contains(&text), "{run:?}");
    }
}
