//! Tests servers that do not support all parts of a partial clone.
#![expect(clippy::disallowed_methods, reason = "a test puts another git in front of the real one")]

use std::fs;

use super::{ID, World, noise};
use crate::hub::{Fault, Place};
use crate::sandbox::Sandbox;

/// Checks that the clone is complete and clean, and has no filter for later fetches.
#[track_caller]
fn assert_whole(world: &World, dir: &std::path::Path) {
    assert!(fs::read(dir.join("vocab.txt")).unwrap() == noise(2, 100_000));
    assert_eq!(world.git(dir, &["status", "--porcelain"]), "");
    let missing = world.git(dir, &["rev-list", "--objects", "--missing=print", "HEAD"]);
    assert!(!missing.contains('?'), "{missing}");
    let filter = world.sandbox.try_git(dir, &["config", "remote.origin.partialCloneFilter"]);
    assert_eq!(filter.stdout, "");
}

#[test]
fn without_filters_everything_comes_at_once() {
    let world = World::new();
    world.hub.inject(Fault::NoFilter.at(Place::git(ID)));
    let dir = world.clone(&[]);
    assert!(fs::read(dir.join("vocab.txt")).unwrap() == noise(2, 100_000));
    assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
    world.git(&dir, &["fsck", "--strict"]);
}

#[test]
fn where_single_files_are_refused_the_clone_is_made_whole() {
    let world = World::new();
    world.hub.inject(Fault::RefuseBlobs.at(Place::git(ID)));
    let output = world.run(&world.home(), &["clone", ID, "--no-convert"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(
        output.stderr.starts_with(
            "the server does not support fetching single files; fetched all files\ncloned into "
        ),
        "{}",
        output.stderr
    );
    let dir = world.home().join("bert");
    assert_whole(&world, &dir);
    assert_eq!(world.git(&dir, &["rev-list", "--count", "HEAD"]), "3\n");
    world.git(&dir, &["fsck", "--strict"]);
    // Later fetches are complete, too.
    world.hub.add_model(ID, crate::hub::Builder::more().file("new.txt", noise(9, 90_000)).commit("new"));
    world.git(&dir, &["pull", "-q"]);
    assert_eq!(fs::metadata(dir.join("new.txt")).unwrap().len(), 90_000);
}

#[test]
fn a_revision_is_made_whole_too() {
    let mut model = super::model();
    model.pull_request(3).file("extra.txt", noise(7, 80_000)).commit("extra").on("main");
    let world = World::with(&model);
    world.hub.inject(Fault::RefuseBlobs.at(Place::git(ID)));
    let dir = world.clone(&["--revision", "refs/pr/3"]);
    assert_eq!(fs::metadata(dir.join("extra.txt")).unwrap().len(), 80_000);
    assert_whole(&world, &dir);
}

#[test]
fn an_old_git_that_cannot_make_it_whole_takes_the_last_commit() {
    let world = World::new();
    world.hub.inject(Fault::RefuseBlobs.at(Place::git(ID)));
    let old = old_git(&world.sandbox, "2.35.1");
    let mut command = world.command(&world.home(), &["clone", ID, "--no-convert"]);
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(old).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).unwrap());
    let output: crate::sandbox::Output = command.output().unwrap().into();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("made a shallow clone of the last commit"), "{}", output.stderr);
    let dir = world.home().join("bert");
    assert_whole(&world, &dir);
    assert_eq!(world.git(&dir, &["rev-list", "--count", "HEAD"]), "1\n");
}

#[test]
fn a_git_that_is_too_old_is_told_so() {
    let world = World::new();
    let mut command = world.command(&world.home(), &["clone", ID]);
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(old_git(&world.sandbox, "2.20.1")).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).unwrap());
    let output: crate::sandbox::Output = command.output().unwrap().into();
    assert_eq!(output.code, Some(2));
    assert_eq!(
        output.stderr,
        "error: acme/bert: git 2.20 is too old: 2.29 or later is required\n\
         hint: install a newer git: https://git-scm.com\n"
    );
    assert_eq!(world.hub.requests().len(), 0);
}

/// Creates a git that reports an older version, and does not have `--refetch`.
fn old_git(sandbox: &Sandbox, version: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = sandbox.path("old");
    fs::create_dir(&dir).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let git = std::env::split_paths(&path).map(|dir| dir.join("git")).find(|git| git.is_file()).unwrap();
    let script = format!(
        "#!/bin/sh\nfor word; do\n  case $word in\n    version) echo 'git version {version}'; exit;;\n    \
         --refetch) echo 'error: unknown option' >&2; exit 129;;\n  esac\ndone\nexec '{}' \"$@\"\n",
        git.display()
    );
    fs::write(dir.join("git"), script).unwrap();
    fs::set_permissions(dir.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

#[test]
fn a_fault_that_passes_is_tried_again() {
    for fault in [Fault::Status(503), Fault::RetryAfter(429, 1), Fault::Drop, Fault::Cut(40)] {
        let world = World::new();
        world.hub.inject(fault.at(Place::upload_pack(ID)).after(1).times(1));
        let dir = world.clone(&[]);
        assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
        assert!(world.hub.requests().iter().any(|seen| !seen.faults.is_empty()));
    }
}
