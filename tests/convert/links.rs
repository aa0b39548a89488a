//! Tests symbolic links as source, as output, and as a directory of either: they are refused, and nothing is written
//! through them.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Model, differences, fixture, oid_of};

const NAME: &str = "tied-2.bin";

/// Checks a refusal with 1, a reason that names the link, a hint, and no change.
#[track_caller]
fn refused(model: &Model, args: &[&str]) {
    let before = model.listing();
    let run = model.run(args);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("symbolic link"), "{run:?}");
    assert!(run.stderr.contains("hint: "), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn a_source_that_is_tracked_as_a_link() {
    let model = Model::new();
    fs::write(model.sandbox.path("outside.bin"), fixture(NAME)).unwrap();
    symlink("../outside.bin", model.at("pytorch_model.bin")).unwrap();
    model.git(&["add", "pytorch_model.bin"]);
    model.commit();
    refused(&model, &["pytorch_model.bin"]);
    // Its name indicates weights, so it is reported even if it is not named.
    let before = model.listing();
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let note = "pytorch_model.bin: skipped: symbolic link to ../outside.bin\n";
    assert!(run.stderr.contains(note), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn a_source_that_became_a_link() {
    let model = Model::new();
    // The file is not under LFS, so the bytes can only come from the working tree.
    model.git(&["config", "filter.lfs.clean", "cat"]);
    model.write("pytorch_model.bin", fixture(NAME));
    model.git(&["add", "pytorch_model.bin"]);
    model.commit();
    fs::rename(model.at("pytorch_model.bin"), model.sandbox.path("outside.bin")).unwrap();
    symlink("../outside.bin", model.at("pytorch_model.bin")).unwrap();
    refused(&model, &["pytorch_model.bin"]);
    refused(&model, &[]);
    symlink("../outside.bin", model.at("untracked.bin")).unwrap();
    refused(&model, &["untracked.bin"]);
}

#[test]
fn a_target_that_is_a_link() {
    for to in ["../victim", "../none", "README.md"] {
        let model = Model::with(NAME);
        fs::write(model.sandbox.path("victim"), "mine").unwrap();
        symlink(to, model.at("model.safetensors")).unwrap();
        refused(&model, &[]);
        refused(&model, &["-f"]);
        refused(&model, &["-f", "--pointer-only", "pytorch_model.bin"]);
    }
}

#[test]
fn a_directory_on_the_way_that_is_a_link() {
    let model = Model::new();
    model.add("sub/pytorch_model.bin", &fixture(NAME));
    model.commit();
    let outside = model.sandbox.path("outside");
    fs::rename(model.at("sub"), &outside).unwrap();
    symlink("../outside", model.at("sub")).unwrap();
    refused(&model, &[]);
    refused(&model, &["sub/pytorch_model.bin"]);
    refused(&model, &["-f"]);
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
}

#[test]
fn a_shard_index_target_that_is_a_link() {
    let model = super::shards::model();
    fs::write(model.sandbox.path("victim"), "mine").unwrap();
    symlink("../victim", model.at("model.safetensors.index.json")).unwrap();
    refused(&model, &[]);
    refused(&model, &["-f"]);
}

#[test]
fn the_repository_itself_may_be_reached_by_a_link() {
    let model = Model::with(NAME);
    let link = model.sandbox.path("link");
    symlink(&model.dir, &link).unwrap();
    model.sandbox.bin(&link, &["pytorch_model.bin"]).ok();
    model.check("model.safetensors", &oid_of(NAME));
}

#[test]
fn an_output_outside_of_repositories_replaces_a_link_and_not_its_target() {
    let model = Model::with(NAME);
    let victim = model.sandbox.path("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, model.sandbox.path("out.safetensors")).unwrap();
    let run = model.run(&["-o", "../out.safetensors", "pytorch_model.bin"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    model.run(&["-f", "-o", "../out.safetensors", "pytorch_model.bin"]).ok();
    assert_eq!(fs::read_to_string(victim).unwrap(), "mine");
}
