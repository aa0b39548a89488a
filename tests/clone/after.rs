//! Tests a finished clone with git and git-lfs: it must be like one of their own.

use std::fs;
use std::path::Path;

use super::{ID, World, noise};
use crate::hub::{Builder, Right};

const WRITER: &str = "hf_writer";

/// Creates a world in which the user's own helper knows a token for pushes.
fn world() -> World {
    let mut model = super::model();
    model.on("wide").file("WIDE", noise(5, 90_000)).commit("wide").on("main");
    let world = World::with(&model);
    world.hub.add_token(WRITER, "writer", Right::Write);
    let helper = format!("!f() {{ echo username=writer; echo password={WRITER}; }}; f");
    world.git(&world.home(), &["config", "--global", "credential.helper", &helper]);
    world
}

/// Returns the output of git about a clone.
fn state(world: &World, dir: &Path) -> String {
    [
        &["status", "--porcelain=v2", "--branch"][..],
        &["log", "--format=%H %s"],
        &["ls-files", "-s"],
        &["for-each-ref"],
        &["fsck", "--strict"],
    ]
    .map(|args| world.git(dir, args))
    .concat()
}

#[test]
fn git_works_in_it_as_in_a_clone_of_its_own() {
    let world = world();
    let ours = world.clone(&[]);
    let stock = world.home().join("stock");
    let filter = ["-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false"];
    let url = world.hub.url(ID);
    let clone = ["clone", "-q", "--filter=blob:limit=64k", "--single-branch", &url, "stock"];
    world.git(&world.home(), &[&filter[..], &clone].concat());
    assert_eq!(state(&world, &ours), state(&world, &stock));
    let config = |dir: &Path| fs::read_to_string(dir.join(".git/config")).unwrap();
    assert_eq!(config(&ours), config(&stock));

    // Both clones then fetch the next commit.
    world.hub.add_model(
        ID,
        Builder::more().file("README.md", "# new\n").file("long", noise(6, 80_000)).commit("new"),
    );
    for dir in [&ours, &stock] {
        world.git(dir, &["pull", "-q"]);
        assert!(fs::read(dir.join("long")).unwrap() == noise(6, 80_000));
        world.git(dir, &["fetch", "-q", "origin", "wide:wide"]);
        world.git(dir, &["checkout", "-q", "wide"]);
        assert!(fs::read(dir.join("WIDE")).unwrap() == noise(5, 90_000));
        world.git(dir, &["checkout", "-q", "v1"]);
        world.git(dir, &["checkout", "-q", "main"]);
        world.git(dir, &["fetch", "-q", "--tags"]);
        world.git(dir, &["gc", "-q"]);
    }
    assert_eq!(state(&world, &ours), state(&world, &stock));

    fs::write(ours.join("note.txt"), "mine\n").unwrap();
    world.git(&ours, &["add", "note.txt"]);
    world.git(&ours, &["commit", "-q", "-m", "mine"]);
    world.git(&ours, &["push", "-q"]);
    let head = world.git(&ours, &["rev-parse", "HEAD"]);
    assert_eq!(world.hub.rev(ID, "main").as_deref(), Some(head.trim()));
    assert_eq!(world.git(&ours, &["status", "--porcelain"]), "");
}

#[test]
fn git_lfs_works_in_it_and_ran_no_filter_before() {
    let world = world();
    if !world.set_up_lfs() {
        return;
    }
    let dir = world.clone(&[]);
    let pointer = fs::read_to_string(dir.join("pytorch_model.bin")).unwrap();
    assert!(pointer.starts_with("version https://git-lfs"), "{pointer}");
    assert!(!dir.join(".git/lfs/objects").exists(), "nothing was downloaded");
    assert!(!world.hub.requests().iter().any(|seen| seen.target.contains("/info/lfs")));
    assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
    assert!(!fs::read_to_string(dir.join(".git/config")).unwrap().contains("filter \"lfs\""));

    world.git(&dir, &["lfs", "pull"]);
    assert!(fs::read(dir.join("pytorch_model.bin")).unwrap() == noise(1, 300_000));
    assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
    world.git(&dir, &["lfs", "fsck"]);
    assert!(world.git(&dir, &["lfs", "ls-files"]).contains("pytorch_model.bin"));

    fs::write(dir.join("new.bin"), noise(8, 5000)).unwrap();
    world.git(&dir, &["add", "new.bin"]);
    world.git(&dir, &["commit", "-q", "-m", "weights"]);
    world.git(&dir, &["push", "-q"]);
    world.git(&dir, &["lfs", "push", "--all", "origin", "main"]);
    let oid = crate::hub::oid_of(&noise(8, 5000));
    assert!(fs::read(world.hub.object(ID, &oid)).unwrap() == noise(8, 5000));
    world.git(&dir, &["checkout", "-q", "HEAD~1"]);
    world.git(&dir, &["checkout", "-q", "main"]);
    assert_eq!(world.git(&dir, &["status", "--porcelain"]), "");
}

#[test]
fn a_filter_that_is_required_and_missing_does_not_stop_it() {
    let world = world();
    for (key, value) in [
        ("process", "no-such-git-lfs filter-process"),
        ("smudge", "no-such-git-lfs smudge -- %f"),
        ("required", "true"),
    ] {
        world.git(&world.home(), &["config", "--global", &format!("filter.lfs.{key}"), value]);
    }
    let dir = world.clone(&[]);
    assert!(fs::read_to_string(dir.join("pytorch_model.bin")).unwrap().starts_with("version "));
}
