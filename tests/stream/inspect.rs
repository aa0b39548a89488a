//! Tests `inspect` of files on a server: headers are read by ranges, and nothing is stored.

use std::fs;

use git_st_convert::hash::Oid;

use super::{CHECKPOINT, large, objects, world};
use crate::clone::{ID, World};
use crate::hub::{Builder, Fault, Place};

/// Returns the output of `inspect` for the same file on this machine.
fn here(world: &World, bytes: &[u8]) -> String {
    let dir = world.sandbox.path("here");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(CHECKPOINT), bytes).unwrap();
    world.run(&dir, &["inspect", CHECKPOINT]).ok()
}

#[test]
fn a_file_of_the_hub_an_address_and_a_pointer_are_read_by_ranges() {
    let bytes = large(20);
    let world = world(&bytes);
    let (expected, oid) = (here(&world, &bytes), Oid::of(&bytes).to_string());
    let home = world.home();
    let repo = world.clone(&[]);
    let url = format!("{}/resolve/main/{CHECKPOINT}", world.hub.url(ID));
    let commit = world.git(&repo, &["rev-parse", "HEAD"]);
    for (dir, target) in [
        (&home, format!("{ID}:{CHECKPOINT}")),
        (&home, format!("{ID}@{}:{CHECKPOINT}", commit.trim())),
        (&home, url),
        (&repo, CHECKPOINT.to_owned()),
        (&repo, format!("HEAD:{CHECKPOINT}")),
        // This repository has no revision of that name.
        (&repo, format!("{ID}:{CHECKPOINT}")),
    ] {
        world.hub.forget_requests();
        assert_eq!(world.run(dir, &["inspect", &target]).ok(), expected, "{target}");
        let fetched: u64 = world.hub.fetched(&oid).iter().map(|range| range.end - range.start).sum();
        assert!(0 < fetched && fetched < 1 << 20, "{target}: {fetched}");
    }
    assert_eq!(objects(&repo), <[String; 0]>::default());
}

#[test]
fn ties_are_those_of_the_class_in_the_config_beside_it() {
    let name = "t5-tied.bin";
    let dir = crate::formats::fixtures().join("checkpoints");
    let file = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name =
        file.into_iter().find(|file| file == name).unwrap_or_else(|| "all-names-discarded.bin".to_owned());
    let expected = &crate::formats::expected()[&name];
    let mut model = Builder::new();
    let class = expected.config.clone().unwrap();
    model.file("config.json", format!("{{\"architectures\": [\"{class}\"]}}"));
    model.lfs(CHECKPOINT, fs::read(dir.join(&name)).unwrap()).commit("tied");
    let world = World::with(&model);
    let shown = world.run(&world.home(), &["inspect", "--json", &format!("{ID}:{CHECKPOINT}")]).ok();
    for (dropped, kept) in expected.dropped.as_ref().unwrap() {
        assert!(shown.lines().any(|line| {
            line.contains(&format!("\"name\":\"{dropped}\""))
                && line.contains(&format!("\"tied_to\":\"{kept}\""))
        }));
    }
}

#[test]
fn a_plain_word_is_a_revision_wherever_it_stands() {
    let world = world(&large(2));
    world.hub.forget_requests();
    for target in ["HEAD:x", "gpt2:pytorch_model.bin", "acme--x/bert:x", "acme/bert-:x", "acme/bert.git:x"] {
        let output = world.run(&world.home(), &["inspect", target]);
        assert_eq!(output.code, Some(2), "{target}: {output:#?}");
    }
    assert_eq!(world.hub.requests().len(), 0);
}

#[test]
fn what_cannot_be_read_is_one_clear_error() {
    let bytes = large(2);
    let world = world(&bytes);
    let oid = Oid::of(&bytes).to_string();
    let target = format!("{ID}:{CHECKPOINT}");
    for (args, says) in [
        (vec!["inspect", &target, "--offline"], "--offline"),
        (vec!["inspect", "acme/none:x.bin"], "acme/none"),
        (vec!["inspect", "acme/bert:none.bin"], "none.bin"),
        (vec!["inspect", "ftp://host/x.bin"], ""),
    ] {
        let output = world.run(&world.home(), &args);
        assert!(matches!(output.code, Some(1 | 2)), "{args:?}: {output:#?}");
        assert!(output.stderr.starts_with("error: ") && output.stderr.contains(says), "{output:#?}");
    }
    world.hub.inject(Fault::NoRanges.at(Place::content(&oid)));
    let output = world.run(&world.home(), &["inspect", &target]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("cannot read only the header"), "{output:#?}");
}
