//! Tests that the next run removes the leftovers of a kill next to the user's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Temp;

use super::torch::{checkpoint, noise};
use super::{Model, differences, fixture, skipped};
use crate::sandbox::BIN;

/// Returns the files of a directory that have the name of our temporary files.
fn hidden(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".st-convert-")).collect()
}

/// Kills a run as soon as it writes a temporary file in `dir`.
fn kill(model: &Model, args: &[&str], dir: &Path) {
    let mut command = model.command(BIN, &model.dir);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while hidden(dir).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "no temporary file in {}", dir.display());
        assert!(child.try_wait().unwrap().is_none(), "the run was over before its file was seen");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!hidden(dir).is_empty(), "the kill came too late");
}

/// Creates a file of the user, and one of a living process.
fn bystanders(dir: &Path) -> (PathBuf, Temp) {
    let allow = dir.join(".st-convert-allow");
    fs::write(&allow, "sha256 path reason\n").unwrap();
    (allow, Temp::hidden_in(dir).unwrap())
}

/// Returns a checkpoint that takes long enough to be killed in the middle.
fn large() -> Vec<u8> {
    checkpoint(&[noise(64 << 20)])
}

#[test]
fn beside_the_output_of_a_plain_file() {
    let model = Model::new();
    let dir = model.sandbox.path("out");
    fs::create_dir(&dir).unwrap();
    model.write("big.bin", large());
    let args = ["big.bin", "-o", "../out/big.safetensors"];
    kill(&model, &args, &dir);
    let (allow, living) = bystanders(&dir);
    // A dry run writes nothing, and removes nothing.
    model.run(&["-n", args[0], args[1], args[2]]).ok();
    assert_eq!(hidden(&dir).len(), 3);
    model.run(&args).ok();
    let mut left = hidden(&dir);
    left.sort();
    let mut expected = vec![allow, living.path().to_owned()];
    expected.sort();
    assert_eq!(left, expected);
    assert!(dir.join("big.safetensors").exists());
}

#[test]
fn beside_the_files_of_a_work_tree_whose_store_is_on_another_file_system() {
    let Some((model, _dir)) = super::forced::elsewhere() else {
        return skipped("there is no second file system for the store");
    };
    model.add("sub/pytorch_model.bin", &large());
    model.commit();
    kill(&model, &["sub/pytorch_model.bin"], &model.at("sub"));
    // A kill during the write of a `.gitattributes` would leave these files.
    fs::write(model.at(".st-convert-1-dead00"), "half").unwrap();
    fs::write(model.at(".st-convert-1-dead00.old"), "kept").unwrap();
    let (allow, living) = bystanders(&model.at("sub"));
    let run = model.run(&["sub/pytorch_model.bin"]);
    let mut left = hidden(&model.at("sub"));
    left.sort();
    let mut expected = vec![allow.clone(), living.path().to_owned()];
    expected.sort();
    assert_eq!(left, expected, "{run:?}");
    assert_eq!(hidden(&model.dir), [""; 0].map(PathBuf::from));
    drop(living);
    fs::remove_file(allow).unwrap();
    assert_eq!(model.status(), "A  sub/model.safetensors\n");
    assert!(fs::read_dir(model.store.join("tmp")).unwrap().next().is_none());
}

#[test]
fn a_run_does_not_look_behind_a_link() {
    let model = Model::with("tied-2.bin");
    let outside = model.sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join(".st-convert-1-dead00"), "not in this repository").unwrap();
    std::os::unix::fs::symlink(&outside, model.at("linked")).unwrap();
    fs::write(outside.join("pytorch_model.bin"), fixture("tied-2.bin")).unwrap();
    let run = model.run(&["linked/pytorch_model.bin", "pytorch_model.bin"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(outside.join(".st-convert-1-dead00").exists());
}

const NAME: &str = "tied-2.bin";
const REMOVED: &str = "removed pytorch_model.bin\n";
const LEFT: &str = "kept pytorch_model.bin: untracked and different from HEAD\n";

/// Creates the state that a run with `--replace` leaves if it is killed between the write of the index and the removal.
fn killed(attributes: &str) -> Model {
    let model = Model::with_attributes(Some(attributes));
    model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    model.run(&["--replace"]).ok();
    model.write("pytorch_model.bin", fixture(NAME));
    assert!(model.status().contains("?? pytorch_model.bin\n"), "{}", model.status());
    model
}

/// Checks that the file stays and is reported.
#[track_caller]
fn stays(model: &Model) {
    let before = model.listing();
    let run = model.run(&["--replace"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains(LEFT) && !run.stderr.contains(REMOVED), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn a_checkpoint_that_was_not_removed_is_by_the_next_run() {
    // The checkpoint is under Git LFS, or in git itself.
    for attributes in [super::ATTRIBUTES, "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"] {
        let model = killed(attributes);
        // Only `--replace` removes it.
        for args in [&[] as &[&str], &["--commit"]] {
            let run = model.run(args);
            assert!(!run.stderr.contains("pytorch_model.bin"), "{run:?}");
            run.ok();
            assert!(model.at("pytorch_model.bin").exists());
        }
        let run = model.run(&["-n", "--replace"]);
        assert!(run.stderr.contains("would remove pytorch_model.bin\n"), "{run:?}");
        assert!(model.at("pytorch_model.bin").exists());
        let run = model.run(&["--replace"]);
        assert!(run.stderr.contains(REMOVED), "{run:?}");
        run.ok();
        assert!(!model.at("pytorch_model.bin").exists());
        let status = model.git(&["status", "--porcelain", "--no-renames", "--untracked-files=all"]);
        assert_eq!(status, "A  model.safetensors\nD  pytorch_model.bin\n");
    }
}

#[test]
fn a_pointer_that_was_not_removed_is_too() {
    let model = killed(super::ATTRIBUTES);
    model.write("pytorch_model.bin", model.git(&["show", "HEAD:pytorch_model.bin"]));
    let run = model.run(&["--replace"]);
    assert!(run.stderr.contains(REMOVED), "{run:?}");
    assert!(!model.at("pytorch_model.bin").exists());
}

#[test]
fn a_named_checkpoint_that_was_not_removed() {
    let model = killed(super::ATTRIBUTES);
    fs::create_dir(model.at("sub")).unwrap();
    for other in ["sub", "README.md"] {
        let run = model.run(&["--replace", other]);
        assert!(!run.stderr.contains(REMOVED), "{run:?}");
    }
    let run = model.sandbox.bin(&model.at("sub"), &["--replace", "../pytorch_model.bin"]);
    assert!(run.stderr.contains(REMOVED), "{run:?}");
    assert_eq!(run.ok(), "pytorch_model.bin → model.safetensors (up to date)\n");
    assert!(!model.at("pytorch_model.bin").exists());
}

#[test]
fn what_head_does_not_have_stays() {
    // The file changed.
    let model = killed(super::ATTRIBUTES);
    model.write("pytorch_model.bin", fixture("tied-3.bin"));
    stays(&model);
    // The file changed, and has the same length.
    let mut other = fixture(NAME);
    *other.last_mut().unwrap() ^= 1;
    model.write("pytorch_model.bin", other);
    stays(&model);
    // The user made the commit.
    let model = killed(super::ATTRIBUTES);
    model.commit();
    stays(&model);
    // This machine has no other copy.
    let model = killed(super::ATTRIBUTES);
    fs::remove_file(model.object(Oid::of(&fixture(NAME)))).unwrap();
    stays(&model);
    // The file was never tracked.
    let model = Model::new();
    model.add("model.safetensors", b"not of that checkpoint");
    model.commit();
    model.write("pytorch_model.bin", fixture(NAME));
    stays(&model);
}

#[test]
fn what_is_no_checkpoint_by_its_name_is_not_spoken_of() {
    let model = killed(super::ATTRIBUTES);
    fs::remove_file(model.at("pytorch_model.bin")).unwrap();
    for name in ["model.txt", "model.onnx", "unrelated.bin"] {
        model.write(name, "mine");
    }
    std::os::unix::fs::symlink("unrelated.bin", model.at("pytorch_model.bin")).unwrap();
    fs::create_dir(model.at("model.pt")).unwrap();
    let before = model.listing();
    let run = model.run(&["--replace"]);
    assert_eq!(run.stderr.lines().next(), Some("nothing to convert: no tracked checkpoints"));
    assert!(!run.stderr.contains("model") && !run.stderr.contains("unrelated"), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn the_shards_and_the_index_of_a_set_that_were_not_removed() {
    let model = super::shards::model();
    let names = [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
        "pytorch_model.bin.index.json",
    ];
    let kept = names.map(|name| fs::read(model.at(name)).unwrap());
    let put_back = || names.iter().zip(&kept).for_each(|(name, bytes)| model.write(name, bytes));
    model.run(&["--replace"]).ok();
    put_back();
    let run = model.run(&["--replace"]);
    assert_eq!(run.stderr.matches("removed ").count(), 3, "{run:?}");
    assert!(names.iter().all(|name| !model.at(name).exists()));
    // The shard index is named.
    put_back();
    model.run(&["--replace", names[2]]);
    assert!(names.iter().all(|name| !model.at(name).exists()));
}
