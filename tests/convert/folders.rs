//! Tests directories of plain files: a Hub cache, `--output` with a directory, and the parts that a walk skips.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use git_st_convert::hash::Oid;

use super::{fixture, fixtures, json_lines, oid_of};
use crate::sandbox::{Output, Sandbox};

/// Creates a directory outside of any repository.
pub(super) fn folder(name: &str) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let dir = sandbox.path(name);
    fs::create_dir_all(&dir).unwrap();
    (sandbox, dir)
}

pub(super) fn put(dir: &Path, name: &str, of: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, fixture(of)).unwrap();
}

fn oid(path: impl AsRef<Path>) -> String {
    Oid::of(&fs::read(path).unwrap()).to_string()
}

/// Returns every file below a directory, including links, by its path.
pub(super) fn below(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                waiting.push(path);
            } else {
                all.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    all.sort();
    all
}

/// Returns `source output status` of every file.
fn files(output: &Output) -> Vec<String> {
    let lines = json_lines(&output.stdout);
    let files = lines.iter().filter(|line| line["type"] == "file");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    files
        .map(|file| format!("{} {} {}", text(&file["source"]), text(&file["output"]), text(&file["status"])))
        .collect()
}

#[test]
fn a_directory_is_walked_and_each_result_stands_beside_its_source() {
    let (sandbox, dir) = folder("models");
    put(&dir, "a/pytorch_model.bin", "tied-2.bin");
    put(&dir, "b/c/weights.pt", "plain-dict.bin");
    put(&dir, "b/training_args.bin", "plain-dict.bin");
    put(&dir, "b/config.json", "page.bin");
    put(&dir, "b/old.safetensors", "page.bin");
    let run = sandbox.bin(&sandbox.path(""), &["--json", "models"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(
        files(&run),
        [
            "models/b/training_args.bin - skipped",
            "models/a/pytorch_model.bin models/a/model.safetensors converted",
            "models/b/c/weights.pt models/b/c/weights.safetensors converted",
        ]
    );
    assert_eq!(oid(dir.join("a/model.safetensors")), oid_of("tied-2.bin"));
    assert_eq!(oid(dir.join("b/c/weights.safetensors")), oid_of("plain-dict.bin"));
    // `.` means the same directory, and nothing is written again.
    let before = below(&dir);
    let run = sandbox.bin(&dir, &["."]);
    assert_eq!((run.code, below(&dir)), (Some(0), before), "{run:#?}");
}

#[test]
fn a_snapshot_of_a_hub_cache_gets_its_files_beside_the_links() {
    let (sandbox, hub) = folder("hub");
    let model = hub.join("models--acme--bert");
    for (blob, of) in [("b1", "tied-2.bin"), ("b2", "plain-dict.bin")] {
        put(&model, &format!("blobs/{blob}"), of);
    }
    for revision in ["r1", "r2"] {
        let snapshot = model.join("snapshots").join(revision);
        fs::create_dir_all(snapshot.join("unet")).unwrap();
        symlink("../../blobs/b1", snapshot.join("pytorch_model.bin")).unwrap();
        symlink("../../../blobs/b2", snapshot.join("unet/weights.bin")).unwrap();
        symlink("../../blobs/gone", snapshot.join("README.md")).unwrap();
    }
    let run = sandbox.bin(&sandbox.path(""), &["hub/models--acme--bert/snapshots/r1"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let made = ["r1/model.safetensors", "r1/unet/weights.safetensors"];
    for (file, of) in made.iter().zip(["tied-2.bin", "plain-dict.bin"]) {
        let path = model.join("snapshots").join(file);
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(oid(path), oid_of(of));
    }
    // The blobs of the cache are not searched, and the existing outputs are up to date.
    let run = sandbox.bin(&sandbox.path(""), &["--json", "hub"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let statuses: Vec<_> =
        files(&run).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["up-to-date", "up-to-date", "converted", "converted"], "{run:#?}");
    assert_eq!(below(&model.join("blobs")), ["b1", "b2"]);
}

#[test]
fn a_walk_leaves_links_to_directories_and_other_repositories_alone() {
    let (sandbox, dir) = folder("models");
    put(&dir, "own.bin", "tied-2.bin");
    let other = sandbox.path("elsewhere");
    put(&other, "far.bin", "tied-2.bin");
    symlink(&other, dir.join("linked")).unwrap();
    // A repository with a working tree, a bare one, and a git directory that is itself named.
    sandbox.git(&dir, &["init", "-q", "nested"]);
    put(&dir, "nested/model.bin", "tied-2.bin");
    sandbox.git(&dir, &["init", "-q", "--bare", "bare.git"]);
    put(&dir, "bare.git/lfs/objects/ab/object.bin", "tied-2.bin");
    sandbox.git(&dir, &["init", "-q"]);
    put(&dir, ".git/lfs/objects/cd/object.bin", "tied-2.bin");
    // A read of the pipe would never end.
    assert!(sandbox.command("mkfifo".as_ref(), &dir, &["pipe.bin".as_ref()]).status().unwrap().success());
    let run = sandbox.bin(&sandbox.path(""), &["models", "-o", "out"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    for repo in ["models/nested", "models/bare.git"] {
        assert!(run.stderr.contains(&format!("{repo}: skipped: another git repository\n")), "{run:#?}");
    }
    assert_eq!(oid(sandbox.path("out")), oid_of("tied-2.bin"));
    assert!(!other.join("far.safetensors").exists() && !dir.join("own.safetensors").exists());
}

#[test]
fn an_output_directory_gets_each_file_below_the_path_that_was_named() {
    let (sandbox, dir) = folder("models");
    put(&dir, "x/pytorch_model.bin", "tied-2.bin");
    put(&dir, "y/z/weights.pt", "plain-dict.bin");
    put(&dir, "lone.pt", "plain-dict.bin");
    let top = sandbox.path("");
    // The output path is a directory: with several outputs, as an existing directory, or with a final slash.
    sandbox.bin(&top, &["models", "-o", "out"]).ok();
    assert_eq!(
        below(&sandbox.path("out")),
        ["lone.safetensors", "x/model.safetensors", "y/z/weights.safetensors"]
    );
    assert_eq!(oid(sandbox.path("out/x/model.safetensors")), oid_of("tied-2.bin"));
    sandbox.bin(&top, &["models/y", "models/lone.pt", "-o", "out"]).ok();
    assert!(sandbox.path("out/z/weights.safetensors").is_file());
    sandbox.bin(&top, &["models/lone.pt", "-o", "new/"]).ok();
    assert_eq!(below(&sandbox.path("new")), ["lone.safetensors"]);
    // For one file and without such a directory, the output path is the name of the file.
    sandbox.bin(&top, &["models/x", "-o", "x.safetensors"]).ok();
    assert_eq!(oid(sandbox.path("x.safetensors")), oid_of("tied-2.bin"));
    // No output is next to its source.
    assert_eq!(below(&dir), ["lone.pt", "x/pytorch_model.bin", "y/z/weights.pt"]);
}

#[test]
fn two_outputs_of_one_name_are_an_error_before_anything_is_written() {
    let (sandbox, dir) = folder("models");
    put(&dir, "a/pytorch_model.bin", "tied-2.bin");
    put(&dir, "b/pytorch_model.bin", "plain-dict.bin");
    put(&dir, "c/model.pt", "plain-dict.bin");
    put(&dir, "c/model.bin", "tied-2.bin");
    let top = sandbox.path("");
    let before = below(&dir);
    for (args, said) in [
        (
            &["models/a", "models/b", "-o", "out"][..],
            "cannot write out/model.safetensors: models/a/pytorch_model.bin and models/b/pytorch_model.bin",
        ),
        (
            &["models/a/pytorch_model.bin", "models/c"],
            "cannot write models/c/model.safetensors: models/c/model.bin and models/c/model.pt",
        ),
    ] {
        let run = sandbox.bin(&top, args);
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains(said) && run.stderr.contains(" convert to the same name\n"), "{run:#?}");
        assert!(!sandbox.path("out").exists());
        assert_eq!(below(&dir), before);
    }
    // A file that is named, and also in a named directory, counts once.
    sandbox.bin(&top, &["models/a", "models/a/pytorch_model.bin"]).ok();
}

#[test]
fn one_file_by_two_names_is_converted_once_for_a_directory() {
    let (sandbox, dir) = folder("models");
    put(&dir, "real.bin", "tied-2.bin");
    symlink("real.bin", dir.join("latest.bin")).unwrap();
    fs::create_dir(dir.join("sub")).unwrap();
    symlink("../real.bin", dir.join("sub/other.bin")).unwrap();
    let run = sandbox.bin(&dir, &["."]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(
        run.stderr.contains("latest.bin: skipped: another name of a file that is converted\n"),
        "{run:#?}"
    );
    assert_eq!(
        below(&dir),
        ["latest.bin", "real.bin", "real.safetensors", "sub/other.bin", "sub/other.safetensors"]
    );
}

#[test]
fn what_stands_there_is_compared_with_what_the_conversion_gives() {
    let (sandbox, dir) = folder("models");
    put(&dir, "a.bin", "tied-2.bin");
    put(&dir, "b.bin", "rezipped-deflated.bin");
    sandbox.bin(&dir, &["a.bin", "b.bin"]).ok();
    let made = fs::read(dir.join("a.safetensors")).unwrap();
    let run = sandbox.bin(&dir, &["--json", "."]);
    assert_eq!(files(&run), ["./a.bin ./a.safetensors up-to-date", "./b.bin ./b.safetensors up-to-date"]);
    assert_eq!(json_lines(&run.stdout)[0]["oid"], oid_of("tied-2.bin"));
    assert_eq!(below(&dir).len(), 4, "no leftovers");
    // Files with another length or another byte are refused, also in a dry run, and stay.
    let mut other = made.clone();
    *other.last_mut().unwrap() ^= 1;
    for wrong in [b"mine".to_vec(), other] {
        fs::write(dir.join("a.safetensors"), &wrong).unwrap();
        for args in [&["a.bin"][..], &["-n", "a.bin"], &["a.bin", "-o", "a.safetensors"]] {
            let run = sandbox.bin(&dir, args);
            assert_eq!(run.code, Some(1), "{run:#?}");
            assert!(run.stderr.contains("cannot write a.safetensors: file exists\nhint: "), "{run:#?}");
            assert_eq!(fs::read(dir.join("a.safetensors")).unwrap(), wrong);
        }
    }
    sandbox.bin(&dir, &["--force", "a.bin"]).ok();
    assert_eq!(fs::read(dir.join("a.safetensors")).unwrap(), made);
}

#[test]
fn a_file_that_exists_in_a_folder_of_results_stays_and_is_overwritten_by_its_own_name() {
    let (sandbox, dir) = folder("models");
    put(&dir, "a b/pytorch_model.bin", "tied-2.bin");
    put(&dir, "pytorch_model.bin", "gpt2-tied.bin");
    let out = sandbox.path("out");
    fs::create_dir_all(out.join("a b")).unwrap();
    fs::write(out.join("a b/model.safetensors"), "mine").unwrap();
    let refused = sandbox.bin(&sandbox.path(""), &["-o", "out", "models"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    // Outside of a repository, nothing keeps the overwritten file.
    let hint = "hint: choose another output: `git st-convert 'models/a b/pytorch_model.bin' --output FILE`\n";
    assert!(refused.stderr.contains(hint), "{refused:?}");
    let others = oid(out.join("model.safetensors"));
    sandbox
        .bin(
            &sandbox.path(""),
            &["--output", "out/a b/model.safetensors", "--force", "models/a b/pytorch_model.bin"],
        )
        .ok();
    assert_eq!(oid(out.join("a b/model.safetensors")), oid_of("tied-2.bin"));
    assert_eq!((oid(out.join("model.safetensors")), below(&out).len()), (others, 2));
}

/// Runs the program on a file without an end. If it waits for the end, it is killed, and has no exit code.
fn at_once(sandbox: &Sandbox, dir: &Path, args: &[&str]) -> Output {
    let mut limited = vec!["-s", "KILL", "20", crate::sandbox::BIN];
    limited.extend(args);
    let args: Vec<_> = limited.iter().map(AsRef::as_ref).collect();
    sandbox.command("timeout".as_ref(), dir, &args).output().unwrap().into()
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let (sandbox, dir) = folder("models");
    let pipe = sandbox.command("mkfifo".as_ref(), &dir, &["p.bin".as_ref(), "config.json".as_ref()]).status();
    assert!(pipe.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("s.bin")).unwrap();
    symlink("p.bin", dir.join("l.bin")).unwrap();
    symlink("/dev/zero", dir.join("z.safetensors")).unwrap();
    let kinds =
        [("p.bin", "named pipe"), ("s.bin", "socket"), ("l.bin", "named pipe"), ("z.safetensors", "device")];
    for (file, kind) in kinds {
        for command in ["inspect", "scan", "verify", "convert"] {
            let run = at_once(&sandbox, &dir, &[command, file]);
            let error = format!("error: {file}: not a regular file (found: {kind})\n");
            assert!(run.code == Some(2) && run.stderr.contains(&error), "{command} {file}: {run:?}");
        }
        let run = at_once(&sandbox, &dir, &["diff", file, file]);
        assert!(run.code == Some(2) && run.stderr.contains("not a regular file"), "{run:?}");
    }
    let run = at_once(&sandbox, &dir, &["inspect", "."]);
    assert!(run.stderr.contains("(found: directory)"), "{run:?}");
    // The program does not wait for the pipe next to a checkpoint either.
    put(&dir, "pytorch_model.bin", "tied-2.bin");
    at_once(&sandbox, &dir, &["pytorch_model.bin"]).ok();
    assert_eq!(oid(dir.join("model.safetensors")), oid_of("tied-2.bin"));
}

#[test]
fn safetensors_among_the_paths_are_passed_over() {
    let (sandbox, dir) = folder("models");
    put(&dir, "a.bin", "tied-2.bin");
    sandbox.bin(&dir, &["a.bin"]).ok();
    let run = sandbox.bin(&dir, &["a.bin", "a.safetensors"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.stderr.contains("a.safetensors: skipped: already a safetensors file\n"), "{run:#?}");
}

#[test]
fn the_shards_of_a_directory_get_their_index() {
    let (sandbox, dir) = folder("model");
    let shards = fixtures().join("shards/tied-apart");
    for entry in fs::read_dir(&shards).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    sandbox.bin(&sandbox.path(""), &["model", "-o", "out"]).ok();
    let made = below(&sandbox.path("out"));
    let shard = |number| format!("model-0000{number}-of-00002.safetensors");
    assert_eq!(made, [shard(1), shard(2), "model.safetensors.index.json".to_owned()]);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.path("out/model.safetensors.index.json")).unwrap()).unwrap();
    let named: std::collections::BTreeSet<_> =
        index["weight_map"].as_object().unwrap().values().map(|shard| shard.as_str().unwrap()).collect();
    assert_eq!(named.into_iter().collect::<Vec<_>>(), [shard(1), shard(2)]);
    // The shard index is named, twice in a row.
    for _ in 0..2 {
        sandbox.bin(&dir, &["pytorch_model.bin.index.json"]).ok();
        assert_eq!(
            fs::read(dir.join("model.safetensors.index.json")).unwrap(),
            fs::read(sandbox.path("out/model.safetensors.index.json")).unwrap()
        );
    }
}

#[test]
fn shards_whose_index_does_not_fit_are_not_written() {
    let (sandbox, dir) = folder("model");
    let shards = fixtures().join("shards/tied-apart");
    for entry in fs::read_dir(&shards).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    put(&dir, "alone.bin", "tied-2.bin");
    let path = dir.join("pytorch_model.bin.index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for shard in index["weight_map"].as_object_mut().unwrap().values_mut() {
        *shard = if shard.as_str().unwrap().contains("00001") {
            "pytorch_model-00002-of-00002.bin"
        } else {
            "pytorch_model-00001-of-00002.bin"
        }
        .into();
    }
    fs::write(&path, index.to_string()).unwrap();
    let run = sandbox.bin(&dir, &[".", "-o", "../out/"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(below(&sandbox.path("out")), ["alone.safetensors"]);
    assert!(run.last.starts_with("1 converted, 3 refused"), "{run:#?}");
    assert_eq!(run.stderr.matches("error: ./pytorch_model").count(), 3, "{run:#?}");
}
