//! What a kill leaves beside the files of a person, and that the next run takes it away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use git_st_convert::lfs::Temp;

use super::torch::{checkpoint, noise};
use super::{Model, skipped};
use crate::sandbox::BIN;

/// What in a directory could be a temporary file of ours.
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

/// A file of a person, and one of a process that lives.
fn bystanders(dir: &Path) -> (PathBuf, Temp) {
    let allow = dir.join(".st-convert-allow");
    fs::write(&allow, "sha256 path reason\n").unwrap();
    (allow, Temp::hidden_in(dir).unwrap())
}

/// Long enough to be killed in the middle.
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
    // What a kill in the writing of a `.gitattributes` would leave.
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
    fs::write(outside.join("pytorch_model.bin"), super::fixture("tied-2.bin")).unwrap();
    let run = model.run(&["linked/pytorch_model.bin", "pytorch_model.bin"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(outside.join(".st-convert-1-dead00").exists());
}
