//! Tests a run with `--commit` that staged files and was stopped before the commit. The same command makes the commit.

use std::fs;

use super::states::{CHECKPOINT, FILE, model, record, trained};
use super::{Model, age};

/// Runs with a commit that cannot be made: all earlier steps are done.
#[track_caller]
fn stopped(model: &Model, args: &[&str]) {
    model.git(&["config", "commit.gpgSign", "true"]);
    model.git(&["config", "gpg.program", "false"]);
    let run = model.run(args);
    assert_eq!(run.code, Some(2), "{run:?}");
    model.git(&["config", "--unset", "commit.gpgSign"]);
}

fn head(model: &Model) -> String {
    model.git(&["rev-parse", "HEAD"])
}

/// Checks that a run that was stopped and repeated leaves the same repository as a single run.
#[track_caller]
fn finished(make: impl Fn() -> Model, args: &[&str]) -> Model {
    let (whole, halves) = (make(), make());
    whole.run(args).ok();
    stopped(&halves, args);
    assert_ne!(head(&halves), head(&whole));
    let run = halves.run(args);
    assert!(run.stderr.contains("committed "), "{run:?}");
    assert!(!run.stderr.contains("nothing to convert"), "{run:?}");
    run.ok();
    assert_eq!(head(&halves), head(&whole), "{}", halves.git(&["show", "--stat"]));
    assert_eq!(halves.status(), whole.status());
    // A third run commits nothing.
    halves.run(args).ok();
    assert_eq!(head(&halves), head(&whole));
    halves
}

#[test]
fn a_checkpoint_that_was_replaced() {
    for args in [
        &["--replace", "--commit"] as &[&str],
        &["--replace", "--commit", "-m", "Mine"],
        &["--replace", "--commit", CHECKPOINT],
        &["--replace", "--commit", "."],
        &["--commit", "--replace", CHECKPOINT, "."],
        &["--replace", "--commit", "--key", "."],
    ] {
        finished(|| model(1), args);
    }
}

#[test]
fn one_that_head_does_not_have() {
    let make = || {
        let model = Model::new();
        model.add(CHECKPOINT, &trained(1));
        model
    };
    let model = finished(make, &["--replace", "--commit"]);
    assert_eq!(fs::read(model.at(CHECKPOINT)).unwrap(), trained(1));
}

/// `HEAD` has another version than the converted one.
#[test]
fn one_that_was_trained_again() {
    let make = || {
        let model = model(1);
        model.run(&["--commit"]).ok();
        model.add(CHECKPOINT, &trained(2));
        model
    };
    for args in [&["--replace", "--commit"] as &[&str], &["--commit"]] {
        finished(make, args);
    }
}

#[test]
fn one_that_git_does_not_track() {
    let make = || {
        let model = Model::new();
        model.write(CHECKPOINT, trained(1));
        model.run(&["--commit", CHECKPOINT]).ok();
        model.write(CHECKPOINT, trained(2));
        age(&model.at(CHECKPOINT));
        model
    };
    finished(make, &["--commit"]);
}

#[test]
fn one_beside_a_file_that_was_committed_before() {
    let make = || {
        let model = model(1);
        model.run(&["--commit"]).ok();
        model
    };
    finished(make, &["--replace", "--commit"]);
}

#[test]
fn a_set() {
    finished(super::shards::model, &["--replace", "--commit"]);
    finished(super::shards::model, &["--replace", "--commit", "pytorch_model.bin.index.json"]);
    // A verified sharded checkpoint, including its shard index.
    let source = super::shards::model();
    source.run::<&str>(&[]).ok();
    let make = || {
        let model = super::shards::model();
        for path in source.git(&["ls-files", "model*"]).lines() {
            model.add(path, &fs::read(source.at(path)).unwrap());
        }
        model.commit();
        model
    };
    finished(make, &["--replace", "--commit"]);
}

/// One unit was converted before, the other was not.
#[test]
fn the_first_of_two() {
    let make = || {
        let model = model(1);
        model.add("b/pytorch_model.bin", &trained(2));
        model.commit();
        model
    };
    let (whole, halves) = (make(), make());
    whole.run(&["--replace", "--commit"]).ok();
    stopped(&halves, &["--replace", "--commit", CHECKPOINT]);
    // Files that the paths do not mean stay unchanged.
    halves.git(&["tag", "before"]);
    halves.run(&["--replace", "--commit", "b"]).ok();
    let names = halves.git(&["show", "--format=", "--name-only", "--no-renames", "HEAD"]);
    assert_eq!(names, "b/model.safetensors\nb/pytorch_model.bin\n");
    halves.git(&["reset", "-q", "--soft", "before"]);
    halves.git(&["restore", "--staged", "--worktree", "b/pytorch_model.bin"]);
    halves.git(&["rm", "-q", "-f", "b/model.safetensors"]);
    halves.run(&["--replace", "--commit"]).ok();
    assert_eq!(head(&halves), head(&whole), "{}", halves.git(&["show", "--stat"]));
}

/// Files that the user staged are not committed, whatever their names are.
#[test]
fn what_a_person_did_is_left_alone() {
    // The user removed the checkpoint after its conversion was committed.
    let model = model(1);
    model.run(&["--commit"]).ok();
    model.git(&["rm", "-q", CHECKPOINT]);
    let before = (head(&model), model.status());
    model.run(&["--commit"]).ok();
    assert_eq!((head(&model), model.status()), before);
    // The record has another content, or none.
    for is_recorded in [true, false] {
        let model = super::states::model(1);
        stopped(&model, &["--replace", "--commit"]);
        if is_recorded {
            model.add(FILE, b"by hand");
        } else {
            fs::remove_file(record(&model)).unwrap();
        }
        let before = (head(&model), model.status());
        let run = model.run(&["--replace", "--commit"]);
        assert_eq!((head(&model), model.status()), before, "{run:?}");
    }
    // Another staged file stays staged.
    let model = super::states::model(1);
    stopped(&model, &["--replace", "--commit"]);
    model.add("notes.txt", b"mine");
    model.run(&["-n", "--replace", "--commit"]).ok();
    assert_eq!(model.status().lines().count(), 3);
    model.run(&["--replace", "--commit"]).ok();
    assert_eq!(model.status(), "A  notes.txt\n");
}
