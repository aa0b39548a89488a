//! Tests `--force` with an existing file: nothing is lost if a later step fails, and the mode of the file stays.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use git_st_convert::hash::Oid;

use super::{Model, differences, fixture, oid_of, skipped};

const NAME: &str = "tied-2.bin";
const OLD: &[u8] = b"what somebody made by hand";

/// Creates a checkpoint, and another file at the path of its safetensors file.
fn model(state: &str) -> Model {
    let model = Model::with(NAME);
    match state {
        "untracked" => model.write("model.safetensors", OLD),
        state => {
            model.add("model.safetensors", OLD);
            if state == "committed" {
                model.commit();
            }
        }
    }
    model
}

/// Runs while another process has the lock of the index: every name is given, and the index cannot be written.
#[track_caller]
fn comes_back(model: &Model, args: &[&str]) {
    let lock = model.at(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let (before, status) = (model.listing(), model.status());
    let old = fs::metadata(model.at("model.safetensors")).unwrap();
    let run = model.run(args);
    assert_eq!(run.code, Some(2), "{run:?}");
    let mut after = model.listing();
    // LFS objects and blobs of git are named by their content, and used again. The record is also about contents.
    let is_object = |path: &str| {
        ["lfs/objects", ".git/objects", ".git/st-converted"].iter().any(|part| path.contains(part))
    };
    after.retain(|path, _| before.contains_key(path) || !is_object(&path.to_string_lossy()));
    assert_eq!(differences(&before, &after), [""; 0], "{run:?}");
    let now = fs::metadata(model.at("model.safetensors")).unwrap();
    assert_eq!((now.ino(), now.mtime_nsec()), (old.ino(), old.mtime_nsec()), "the very file");
    fs::remove_file(&lock).unwrap();
    assert_eq!(model.status(), status);
    // All objects of an LFS file still exist.
    model.run(&["-f"]).ok();
    model.check("model.safetensors", &oid_of(NAME));
}

#[test]
fn the_old_file_comes_back_when_the_index_cannot_be_written() {
    for state in ["untracked", "staged", "committed"] {
        comes_back(&model(state), &["-f"]);
        comes_back(&model(state), &["-f", "--replace", "--commit"]);
        comes_back(&model(state), &["-f", "--pointer-only"]);
    }
}

#[test]
fn the_old_file_comes_back_where_the_store_is_on_another_file_system() {
    for state in ["untracked", "committed"] {
        let Some((model, _dir)) = elsewhere() else {
            return skipped("there is no second file system for the store");
        };
        model.write("model.safetensors", OLD);
        if state == "committed" {
            model.add("model.safetensors", OLD);
            model.commit();
        }
        comes_back(&model, &["-f"]);
    }
}

/// Creates a checkpoint in a repository whose LFS storage is on another file system.
pub(super) fn elsewhere() -> Option<(Model, tempfile::TempDir)> {
    let mut model = Model::new();
    let dir = tempfile::tempdir_in("/dev/shm").ok()?;
    let here = fs::metadata(&model.dir).unwrap().dev();
    if dir.path().metadata().unwrap().dev() == here {
        return None;
    }
    model.store = dir.path().join("lfs");
    model.git(&["config", "lfs.storage", model.store.to_str().unwrap()]);
    model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    Some((model, dir))
}

#[test]
fn the_files_of_a_set_come_back_together() {
    let model = super::shards::model();
    model.run::<&str>(&[]).ok();
    model.commit();
    for path in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        model.add(path, path.as_bytes());
    }
    model.write("model.safetensors.index.json", "mine");
    model.git(&["add", "model.safetensors.index.json"]);
    model.commit();
    fs::write(model.at(".git/index.lock"), "").unwrap();
    let before = model.listing();
    let run = model.run(&["-f"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    // The converted objects are recorded for the next run.
    let mut left = differences(&before, &model.listing());
    left.retain(|what| !(what.contains("/lfs/incomplete/") && what.contains(".safetensors.json: None")));
    assert_eq!(left, [""; 0], "{run:?}");
    assert_eq!(fs::read(model.at("model.safetensors.index.json")).unwrap(), b"mine");
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns the mode of a path in the index.
fn staged_mode(model: &Model, path: &str) -> String {
    model.git(&["ls-files", "--stage", "--", path]).split(' ').next().unwrap().to_owned()
}

#[test]
fn the_executable_bit_stays_as_the_index_has_it() {
    for args in [&["-f"] as &[&str], &["-f", "--pointer-only"]] {
        let model = model("committed");
        set_mode(model.at("model.safetensors"), 0o755);
        model.git(&["add", "model.safetensors"]);
        model.commit();
        model.run(args).ok();
        assert_eq!(staged_mode(&model, "model.safetensors"), "100755");
        assert_eq!(mode(model.at("model.safetensors")), 0o755);
        assert_eq!(model.status(), "M  model.safetensors\n");
        // The missing file gets the mode that a checkout by git would give it.
        model.git(&["reset", "-q", "--hard"]);
        fs::remove_file(model.at("model.safetensors")).unwrap();
        model.run(args).ok();
        assert_eq!(staged_mode(&model, "model.safetensors"), "100755");
        assert_eq!(mode(model.at("model.safetensors")) & 0o111, 0o111);
        assert_eq!(model.status(), "M  model.safetensors\n");
    }
}

#[test]
fn without_file_modes_the_index_alone_says_what_is_executable() {
    let model = model("committed");
    model.git(&["config", "core.fileMode", "false"]);
    model.git(&["update-index", "--chmod=+x", "model.safetensors"]);
    model.commit();
    model.run(&["-f"]).ok();
    assert_eq!(staged_mode(&model, "model.safetensors"), "100755");
    assert_eq!(model.status(), "M  model.safetensors\n");
    let model = self::model("untracked");
    model.git(&["config", "core.fileMode", "false"]);
    set_mode(model.at("model.safetensors"), 0o755);
    model.run(&["-f"]).ok();
    assert_eq!(staged_mode(&model, "model.safetensors"), "100644");
    assert_eq!(model.status(), "A  model.safetensors\n");
}

#[test]
fn an_executable_file_that_nobody_tracks_is_staged_as_git_would() {
    let model = model("untracked");
    set_mode(model.at("model.safetensors"), 0o755);
    model.run(&["-f"]).ok();
    assert_eq!(staged_mode(&model, "model.safetensors"), "100755");
    assert_eq!(model.status(), "A  model.safetensors\n");
    model.check("model.safetensors", &oid_of(NAME));
}

#[test]
fn an_executable_checkpoint_makes_no_executable_file() {
    let model = Model::with(NAME);
    set_mode(model.at("pytorch_model.bin"), 0o755);
    model.git(&["add", "pytorch_model.bin"]);
    model.commit();
    model.run(&["--replace", "--commit"]).ok();
    assert_eq!(staged_mode(&model, "model.safetensors"), "100644");
    assert_eq!(model.status(), "");
    assert!(model.object(Oid::of(&fixture(NAME))).exists());
}
