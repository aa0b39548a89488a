//! Tests a full disk, a limit on the length of files, a read-only directory and a lock of another process: exit 2, and
//! everything is unchanged.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::torch::{checkpoint, noise};
use super::{Listing, Model, differences, fixture, listing, oid_of, skipped};
use crate::sandbox::disk::Disk;
use crate::sandbox::{BIN, Output};

/// Removes the blobs of git from a listing, because nothing names new ones after a failure.
fn named(mut listing: Listing) -> Listing {
    listing.retain(|path, _| !path.to_string_lossy().contains(".git/objects"));
    listing
}

/// Checks that a run failed with 2 and a cause, and changed only the record of the conversion. That is written before
/// anything is staged, so that a stopped run can be finished, and records only which contents belong together.
#[track_caller]
fn failed(before: &Listing, mut after: Listing, run: &Output) {
    after
        .retain(|path, _| before.contains_key(path) || !path.to_string_lossy().contains(".git/st-converted"));
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.starts_with("error: "), "{run:?}");
    let differences = differences(&named(before.clone()), &named(after));
    assert_eq!(differences, [""; 0], "{run:?}");
}

fn model(attributes: Option<&str>) -> Model {
    let model = Model::with_attributes(attributes);
    model.add("pytorch_model.bin", &checkpoint(&[noise(1 << 20)]));
    model.commit();
    model
}

#[test]
fn a_limit_on_the_length_of_files() {
    let model = model(None);
    let before = model.listing();
    // The limits, in blocks of 512 bytes, end within the safetensors file; the ignored signal becomes an error.
    for blocks in [0, 1, 1024] {
        let script = format!("trap '' XFSZ; ulimit -f {blocks} && exec '{BIN}'");
        let run = super::finish(model.command("sh", &model.dir).args(["-c", &script]));
        failed(&before, model.listing(), &run);
    }
    model.run::<&str>(&[]).ok();
    assert_eq!(model.status(), "A  .gitattributes\nA  model.safetensors\n");
}

#[test]
fn a_full_disk() {
    let model = model(None);
    let Some(disk) = Disk::new(&model.sandbox, "8m") else {
        return skipped("no file system can be mounted here, so no disk is full");
    };
    let repo = disk.copy(&model.dir);
    let before = listing(&disk.dir);
    let mut failures = 0;
    // The conversion needs a little more than two MiB: the disk fills in the object, in the copy, or in the small files
    // at the end.
    for free in [0, 4, 512, 1020, 1028, 1500, 2040, 2048, 2052, 2056, 2060, 2064, 2072, 2080, 2100] {
        disk.fill(free);
        let run = model.sandbox.bin::<&str>(&repo, &[]);
        disk.free();
        if run.code == Some(0) {
            break;
        }
        failures += 1;
        // An object in LFS storage is complete, because its name is its hash, and a later run uses it.
        let mut after = listing(&disk.dir);
        after.retain(|path, _| before.contains_key(path) || !path.to_string_lossy().contains("lfs/objects"));
        failed(&before, after, &run);
        // A foreseeable failure is reported before the work, any other when it occurs.
        let (is_foreseen, is_full) = (run.stderr.contains(" free\n"), run.stderr.contains("No space left"));
        assert!(is_foreseen || is_full, "{free} KiB: {run:?}");
        assert!(is_foreseen || free > 1028, "{free} KiB: {run:?}");
    }
    assert!(failures > 5, "only {failures} disks were full");
    model.sandbox.bin::<&str>(&repo, &[]).ok();
}

#[test]
fn a_full_disk_that_one_copy_fits_on() {
    let model = model(None);
    let Some(disk) = Disk::new(&model.sandbox, "8m") else {
        return skipped("no file system can be mounted here, so no disk is full");
    };
    let repo = disk.copy(&model.dir);
    let hint = "hint: free some space, or keep the content only in LFS storage: \
                `git st-convert --pointer-only pytorch_model.bin`\n";
    // The safetensors file has a little more than one MiB.
    for (free, is_hint) in [(512, false), (1600, true)] {
        disk.fill(free);
        let run = model.sandbox.bin::<&str>(&repo, &[]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(": not enough space in "), "{run:?}");
        assert_eq!(run.stderr.contains("--pointer-only"), is_hint, "{run:?}");
        assert_eq!(run.stderr.contains(hint), is_hint, "{run:?}");
        // The command of the hint succeeds on the same disk.
        let again = model.sandbox.bin(&repo, &["--pointer-only", "pytorch_model.bin"]);
        assert_eq!(again.code, Some(if is_hint { 0 } else { 2 }), "{again:?}");
        disk.free();
    }
}

/// Returns `true` if file permissions apply to this process.
fn is_bound(model: &Model) -> bool {
    let probe = model.sandbox.path("probe");
    fs::create_dir(&probe).unwrap();
    fs::set_permissions(&probe, Permissions::from_mode(0o555)).unwrap();
    let bound = fs::write(probe.join("file"), "").is_err();
    fs::remove_dir_all(&probe).unwrap();
    bound
}

/// Runs the program as a user without write access everywhere, from a copy that this user can read.
fn run_bound(model: &Model, args: &[&str]) -> Option<Output> {
    if is_bound(model) {
        return Some(model.run(args));
    }
    let bin = model.sandbox.path("git-st-convert");
    if !bin.exists() {
        // Another program copies the file: a child could inherit a file that this process has open for writing, and
        // then it cannot be run.
        super::finish(model.command("cp", &model.dir).arg(BIN).arg(&bin)).ok();
        fs::set_permissions(model.sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = model.command("setpriv", &model.dir);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(bin).args(args);
    Some(command.output().ok()?.into())
}

fn give_away(model: &Model) {
    if !is_bound(model) {
        super::finish(model.command("chown", &model.dir).args(["-R", "65534:65534", "."])).ok();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_may_not_be_written() {
    // The run fails in a different step for the working tree, LFS storage and the directory of the index.
    for dir in [".", ".git/lfs", ".git/lfs/objects", ".git", ".git/objects"] {
        let model = model(None);
        fs::create_dir_all(model.at(".git/lfs/objects")).unwrap();
        give_away(&model);
        if dir == ".git/objects" {
            for entry in fs::read_dir(model.at(dir)).unwrap() {
                set_mode(&entry.unwrap().path(), 0o555);
            }
        }
        set_mode(&model.at(dir), 0o555);
        let before = model.listing();
        let Some(run) = run_bound(&model, &[]) else {
            return skipped("this is root, and setpriv is not there to be somebody else");
        };
        let mut after = model.listing();
        set_mode(&model.at(dir), 0o755);
        after.remove(Path::new("git-st-convert"));
        after.retain(|path, _| before.contains_key(path) || !path.to_string_lossy().contains("lfs/"));
        failed(&before, after, &run);
        assert!(run.stderr.contains("Permission denied"), "{dir}: {run:?}");
    }
}

#[test]
fn a_subdirectory_that_may_not_be_written_stops_no_other() {
    let model = Model::with_attributes(None);
    for path in ["sub/pytorch_model.bin", "pytorch_model.bin"] {
        model.add(path, &fixture("tied-2.bin"));
    }
    model.commit();
    give_away(&model);
    set_mode(&model.at("sub"), 0o555);
    let Some(run) = run_bound(&model, &[]) else {
        return skipped("this is root, and setpriv is not there to be somebody else");
    };
    assert_eq!(run.code, Some(2), "{run:?}");
    if !is_bound(&model) {
        super::finish(model.command("chown", &model.dir).args(["-R", "0:0", "."])).ok();
        model.git(&["update-index", "-q", "--refresh"]);
    }
    model.check("model.safetensors", &oid_of("tied-2.bin"));
    assert_eq!(model.status(), "A  .gitattributes\nA  model.safetensors\n");
}

#[test]
fn what_the_user_may_not_read_is_listed_as_unreadable() {
    let model = Model::with_attributes(None);
    for path in ["a/pytorch_model.bin", "b/pytorch_model.bin", "c/pytorch_model.bin"] {
        model.add(path, &fixture("tied-2.bin"));
    }
    model.commit();
    model.run(&["--commit"]).ok();
    model.write("d.bin", fixture("tied-2.bin"));
    give_away(&model);
    for path in ["a/pytorch_model.bin", "b/model.safetensors", "c", "d.bin"] {
        set_mode(&model.at(path), 0);
    }
    let run = run_bound(&model, &["status", "--json", "--exit-code"]);
    let page = run_bound(&model, &["status"]);
    set_mode(&model.at("c"), 0o755);
    let (Some(run), Some(page)) = (run, page) else {
        return skipped("this is root, and setpriv is not there to be somebody else");
    };
    assert_eq!(run.code, Some(1), "{run:?}");
    let lines: Vec<serde_json::Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let denied = |what: &str| format!("cannot {what}: Permission denied (os error 13)");
    let of = |checkpoint: &str, output: Option<&str>, reason: String| {
        let line = lines.iter().find(|line| line["checkpoint"] == checkpoint).expect(&run.stdout);
        assert_eq!((&line["state"], &line["output"]), (&"unreadable".into(), &output.into()), "{line}");
        assert_eq!(line["reason"], reason);
    };
    of("a/pytorch_model.bin", Some("a/model.safetensors"), denied("open"));
    let output = "b/model.safetensors";
    of("b/pytorch_model.bin", Some(output), format!("{output}: {}", denied("open")));
    of("c/pytorch_model.bin", Some("c/model.safetensors"), denied("read"));
    of("d.bin", None, denied("open"));
    let last = lines.last().unwrap();
    assert_eq!((&last["files"], &last["unreadable"], &last["to_do"]), (&4.into(), &4.into(), &true.into()));
    let text = page.ok();
    assert!(text.contains("  see who may read: `ls -l a/pytorch_model.bin a/model.safetensors b/"), "{text}");
    assert!(text.starts_with("Unreadable (4)\n    a/pytorch_model.bin  → a/model.safetensors, "), "{text}");
    assert!(!text.contains("without a checkpoint"), "{text}");
}

#[test]
fn a_lock_of_somebody_else() {
    for replace in [&[] as &[&str], &["--replace", "--commit"]] {
        let model = model(Some("*.bin filter=lfs -text"));
        fs::write(model.at(".git/index.lock"), "").unwrap();
        let before = model.listing();
        let run = model.run(replace);
        let mut after = model.listing();
        after.retain(|path, _| before.contains_key(path) || !path.to_string_lossy().contains("lfs/objects"));
        failed(&before, after, &run);
        assert!(run.stderr.contains("hint: if no other git process is running: `rm "), "{run:?}");
        fs::remove_file(model.at(".git/index.lock")).unwrap();
        model.run::<&str>(&[]).ok();
    }
}

#[test]
fn a_commit_that_a_hook_refuses_leaves_all_staged() {
    let model = Model::with("tied-2.bin");
    let hook = model.sandbox.path("hook");
    fs::write(&hook, "#!/bin/sh\necho not today >&2\nexit 1\n").unwrap();
    set_mode(&hook, 0o755);
    fs::create_dir_all(model.at(".git/hooks")).unwrap();
    super::finish(model.command("cp", &model.dir).arg("-p").arg(hook).arg(".git/hooks/pre-commit")).ok();
    let head = model.git(&["rev-parse", "HEAD"]);
    let run = model.run(&["--commit"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("not today"), "{run:?}");
    assert_eq!(model.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(model.status(), "A  model.safetensors\n");
    model.check("model.safetensors", &oid_of("tied-2.bin"));
}
