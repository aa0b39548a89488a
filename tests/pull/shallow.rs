//! Tests pull requests in a shallow history, and those of another remote.

use std::fs;
use std::path::PathBuf;

use super::{Clone, ID, model, weights};
use crate::hub::Builder;

/// Returns the model with later commits on its branch: 42 has one commit, 43 two, and 44 changes other files.
fn moved_on() -> Builder {
    let mut model = model();
    model.pull_request(43).lfs("model-1.safetensors", weights(1, 30_000)).commit("one");
    model.lfs("model-2.safetensors", weights(2, 30_000)).commit("two");
    model
        .on("main")
        .pull_request(44)
        .lfs("model.safetensors", weights(44, 30_000))
        .file("run.py", "x\n")
        .commit("more");
    model.on("main").file("notes.md", "one\n").file("vocab.txt", "other\n").commit("later");
    model.file("notes.md", "two\n").commit("latest");
    model
}

/// Makes a shallow clone by git, which has only the last commits.
fn shallow(clone: &Clone, name: &str, depth: &str) -> PathBuf {
    let dir = clone.world.home().join(name);
    let url = clone.world.hub.url(ID);
    clone.world.git(&clone.world.home(), &["clone", "-q", "--depth", depth, &url, dir.to_str().unwrap()]);
    dir
}

#[test]
fn a_shallow_clone_says_nothing_of_what_it_cannot_know() {
    let clone = Clone::of(&moved_on());
    for depth in ["1", "2"] {
        let dir = shallow(&clone, &format!("depth-{depth}"), depth);
        let output = clone.world.run(&dir, &["pull", "42"]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert!(!output.stderr.contains("changes more"), "{output:#?}");
        assert!(fs::read(dir.join("model.safetensors")).unwrap() == weights(42, 200_000));
        assert_eq!(clone.world.git(&dir, &["diff", "--cached", "--name-only"]), "model.safetensors\n");
        // With two commits, the older one is the common parent.
        assert_eq!(output.stderr.contains("this clone is shallow"), depth == "1", "{output:#?}");
        assert_eq!(output.stderr.contains("git fetch --unshallow origin"), depth == "1", "{output:#?}");
    }
    // The files of both commits are taken, although the last commit has only one of them.
    let dir = shallow(&clone, "other", "1");
    let output = clone.world.run(&dir, &["pull", "43"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(
        clone.world.git(&dir, &["diff", "--cached", "--name-only"]),
        "model-1.safetensors\nmodel-2.safetensors\n"
    );
    // The changes of its own commit are known.
    let output = clone.world.run(&dir, &["pull", "44"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("also changes other files:\n  run.py\n"), "{output:#?}");
    // The same applies to a clone of this program.
    let output = clone
        .world
        .run(&clone.world.home(), &["clone", "--depth", "1", "--pr", "42", &clone.world.hub.url(ID), "ours"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(!output.stderr.contains("changes more"), "{output:#?}");
}

#[test]
fn what_a_shallow_clone_cannot_tell_apart_is_not_taken() {
    let mut model = model();
    model.lfs("model.safetensors", weights(5, 30_000)).commit("safetensors");
    model.pull_request(45).lfs("model.safetensors", weights(6, 30_000)).commit("one");
    model.file("README.md", "more\n").commit("two");
    model
        .on("main")
        .lfs("model.safetensors", weights(7, 30_000))
        .commit("newer")
        .file("x", "y")
        .commit("latest");
    let clone = Clone::of(&model);
    let dir = shallow(&clone, "other", "1");
    let output = clone.world.run(&dir, &["pull", "45", "--yes"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    let error =
        "cannot see all that pull request 45 changes: this clone is shallow, and its history too short";
    assert!(output.stderr.contains(error), "{output:#?}");
    assert!(output.stderr.contains("`git fetch --unshallow"), "{output:#?}");
    assert_eq!(clone.world.git(&dir, &["status", "--porcelain"]), "");
    clone.world.git(&dir, &["fetch", "-q", "--unshallow"]);
    let output = clone.world.run(&dir, &["pull", "45"]);
    assert!(output.stderr.contains("also changes other files:\n  README.md\n"), "{output:#?}");
}

#[test]
fn another_remote_is_asked_and_the_home_of_the_model_is_named() {
    let clone = Clone::new();
    let bare = clone.world.home().join("mirror.git");
    clone.git(&["init", "-q", "--bare", bare.to_str().unwrap()]);
    clone.git(&["remote", "rename", "origin", "hub"]);
    clone.git(&["remote", "add", "origin", &format!("file://{}", bare.display())]);
    clone.git(&["config", "branch.main.remote", "origin"]);
    let output = clone.run(&["pull", "42"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains(&format!("the model {ID} is at the remote hub\n")), "{output:#?}");
    assert!(output.stderr.contains("`git st-convert pull --remote hub 42`"), "{output:#?}");
    let output = clone.run(&["pull", "--remote", "huh", "42"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("error: remote `huh` not found\nhint: "), "{output:#?}");
    let output = clone.ok(&["pull", "--remote", "hub", "42"]);
    assert!(!output.stderr.contains("at the remote"), "{output:#?}");
    clone.check("model.safetensors", &weights(42, 200_000));
}
