//! Tests kept clones, and what a later run finds in their directories.

use std::fs;

use serde_json::json;

use super::{Fleet, fixture, id, lines, model, oid_of};
use crate::hub::{Builder, Fault, Place};
use crate::sandbox::{BIN, Output};

#[test]
fn a_model_that_moved_is_done_again_where_that_is_asked_for() {
    let fleet = Fleet::of(3);
    fleet.list(&[id(0), id(1), format!("{}@{}", id(2), fleet.hub.rev(&id(2), "main").unwrap())]);
    let args = ["models.txt", "--dir", "out", "--json"];
    assert_eq!(fleet.run(&args).code, Some(0));
    let first = fleet.staged("out/acme/m1");
    for number in [1, 2] {
        let mut more = Builder::more();
        more.lfs("pytorch_model.bin", fixture("dtype-int64.bin")).commit("new weights");
        fleet.hub.add_model(&id(number), &more);
    }
    fleet.hub.forget_requests();
    assert_eq!(lines(&fleet.run(&args).stdout).len(), 1);
    assert_eq!((fleet.hub.requests().len(), fleet.staged("out/acme/m1")), (0, first));

    let output = fleet.run(&[&args[..], &["--update"]].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    let told = lines(&output.stdout);
    assert_eq!((told.len(), &told[0]["model"], &told[1]["done_before"]), (2, &json!(id(1)), &json!(2)));
    assert_eq!(told[0]["commit"], json!(fleet.hub.rev(&id(1), "main").unwrap()));
    assert!(fleet.staged("out/acme/m1").contains(&oid_of("dtype-int64.bin")));
    let head = fleet.sandbox.git(&fleet.home().join("out/acme/m1"), &["rev-parse", "HEAD"]);
    assert_eq!(head.trim(), fleet.hub.rev(&id(1), "main").unwrap());
    // The server of an unchanged model is asked for its commit, except for a model with a full commit ID.
    let asked = fleet.hub.requests();
    assert!(asked.iter().all(|seen| !seen.path().starts_with("/acme/m2")));
    let of_first = asked.iter().filter(|seen| seen.path().starts_with("/acme/m0"));
    assert!(of_first.clone().count() <= 2 && of_first.count() > 0);
    assert_eq!(lines(&fleet.run(&[&args[..], &["--update"]].concat()).stdout).len(), 1);
}

const UPDATE: [&str; 5] = ["models.txt", "--dir", "out", "--update", "--json"];

/// Creates a converted model with new weights since then.
fn moved() -> Fleet {
    let fleet = Fleet::of(1);
    assert_eq!(fleet.run(&UPDATE).code, Some(0));
    let mut more = Builder::more();
    more.lfs("pytorch_model.bin", fixture("dtype-int64.bin")).commit("new weights");
    fleet.hub.add_model(&id(0), &more);
    fleet
}

#[test]
fn a_model_that_moved_and_was_not_converted_then_is_done_by_the_next_run() {
    let fleet = moved();
    // The branch moves, but the weights are missing.
    fleet.hub.inject(Fault::Status(404).at(Place::batch(&id(0))));
    assert_eq!(fleet.run(&UPDATE).code, Some(2));
    let head = fleet.sandbox.git(&fleet.home().join("out/acme/m0"), &["rev-parse", "HEAD"]);
    assert_eq!(head.trim(), fleet.hub.rev(&id(0), "main").unwrap());
    fleet.hub.heal();
    let output = fleet.run(&UPDATE);
    let told = lines(&output.stdout);
    assert_eq!((output.code, &told[0]["status"]), (Some(0), &json!("converted")), "{output:#?}");
    assert!(fleet.staged("out/acme/m0").contains(&oid_of("dtype-int64.bin")));
    assert_eq!(
        fleet.sandbox.git(&fleet.home().join("out/acme/m0"), &["for-each-ref", "refs/st-convert"]),
        ""
    );
}

#[test]
fn a_clone_that_a_person_has_moved_is_done_again() {
    let fleet = moved();
    let clone = fleet.home().join("out/acme/m0");
    fleet.sandbox.git(&clone, &["-c", "filter.lfs.smudge=", "pull", "-q", "--ff-only"]);
    let told = lines(&fleet.run(&UPDATE).stdout);
    assert_eq!(told[0]["status"], json!("converted"), "{told:#?}");
    assert!(fleet.staged("out/acme/m0").contains(&oid_of("dtype-int64.bin")));
    // The model stays converted.
    assert_eq!(lines(&fleet.run(&UPDATE).stdout).len(), 1);
}

#[test]
fn a_repository_that_the_environment_names_is_not_converted() {
    let fleet = Fleet::of(1);
    let other = fleet.sandbox.repo("other");
    fs::write(other.join("pytorch_model.bin"), fixture("tied-2.bin")).unwrap();
    fleet.sandbox.git(&other, &["add", "-f", "pytorch_model.bin"]);
    let before = fleet.sandbox.git(&other, &["status", "--porcelain"]);
    for (name, value) in [("GIT_DIR", ".git"), ("GIT_INDEX_FILE", ".git/index")] {
        for args in
            [&["batch", "models.txt", "--dir", "out"][..], &["batch", "models.txt"], &["clone", "acme/m0"]]
        {
            let words: Vec<_> = args.iter().map(AsRef::as_ref).collect();
            let mut command = fleet.sandbox.command(BIN.as_ref(), &fleet.home(), &words);
            command.env("HF_ENDPOINT", fleet.hub.endpoint()).env("TMPDIR", fleet.temp());
            let output: Output = command.env(name, other.join(value)).output().unwrap().into();
            let says = "GIT_DIR does not match the repository in ";
            let all = format!("{}{}", output.stdout, output.stderr);
            assert!(output.code == Some(2) && all.contains(says), "{name} {args:?}: {output:#?}");
            assert_eq!(fleet.sandbox.git(&other, &["status", "--porcelain"]), before);
            let _not_here = fs::remove_dir_all(fleet.home().join("m0"));
        }
    }
}

#[test]
fn a_bad_checkpoint_that_its_owner_replaced_is_found_by_the_next_run() {
    let fleet = Fleet::new();
    fleet.hub.add_model(&id(0), &model(&fixture("posix-system.bin")));
    fleet.list(&[id(0)]);
    let args = ["models.txt", "--dir", "out"];
    assert_eq!(fleet.run(&args).code, Some(1));
    let mut more = Builder::more();
    more.lfs("pytorch_model.bin", fixture("dtype-int8.bin")).commit("clean");
    fleet.hub.add_model(&id(0), &more);
    let output = fleet.run(&args);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(fleet.staged("out/acme/m0").contains(&oid_of("dtype-int8.bin")));
}

#[test]
fn what_is_not_that_model_is_not_touched() {
    let fleet = Fleet::of(4);
    let out = fleet.home().join("out/acme");
    fs::create_dir_all(out.join("m0")).unwrap();
    fs::write(out.join("m0/mine"), "mine").unwrap();
    // One directory has another model's clone, and one is empty.
    fleet.sandbox.git(
        &fleet.home(),
        &["clone", "-q", "-c", "filter.lfs.smudge=", &fleet.hub.url(&id(3)), "out/acme/m1"],
    );
    fs::create_dir(out.join("m2")).unwrap();
    let there = fleet.hub.url(&id(2)).replace("127.0.0.1", "localhost");
    fleet.list(&[id(0), id(1), id(2), there]);
    let output = fleet.run(&["models.txt", "--dir", "out", "--json"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    let told = lines(&output.stdout);
    let causes: Vec<_> = told[..4].iter().map(|line| &line["cause"]).collect();
    assert_eq!(causes, [&json!("in-the-way"), &json!("in-the-way"), &json!(null), &json!("in-the-way")]);
    assert!(
        told[3]["reason"].as_str().unwrap().ends_with("out/acme/m2: acme/m2 uses the same directory"),
        "{:#}",
        told[3]
    );
    assert_eq!(fs::read_to_string(out.join("m0/mine")).unwrap(), "mine");
    assert!(!out.join("m1/model.safetensors").exists());
    assert!(fleet.staged("out/acme/m2").starts_with("version "));
}

#[test]
fn paths_of_this_machine_are_models_too() {
    let fleet = Fleet::of(1);
    fleet.sandbox.git(&fleet.home(), &["clone", "-q", "--bare", &fleet.hub.url(&id(0)), "bare.git"]);
    let objects = fleet.home().join("bare.git/lfs/objects");
    let bytes = super::numbered(0);
    let oid = git_st_convert::hash::Oid::of(&bytes).to_string();
    let dir = objects.join(&oid[..2]).join(&oid[2..4]);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(&oid), bytes).unwrap();
    fleet.list(&["./bare.git", "./bare"]);
    fleet.hub.forget_requests();
    for _ in 0..2 {
        let output = fleet.run(&["models.txt", "--dir", "out", "--pr", "never"]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        // A later run finds the clone.
        fs::remove_file(fleet.home().join("out/st-convert-batch.jsonl")).unwrap();
    }
    assert!(fleet.staged("out/bare").starts_with("version "));
    assert_eq!(fleet.hub.requests().len(), 0);
}
