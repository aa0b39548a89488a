//! Acceptance tests of the conversion of a checkpoint that is only on the LFS server: the program, git and the hub.

mod faults;
mod inspect;
mod questions;
mod resumed;
mod scripts;
mod shards;

use std::fs;
use std::path::{Path, PathBuf};

use git_st_convert::hash::Oid;

use crate::checkpoint::{self as builder, pickle};
use crate::clone::{ID, World};
use crate::convert::torch::{Float32, noise, saved};
use crate::formats::{expected, fixtures};
use crate::hub::{Builder, Fault, Place};
use crate::sandbox::Output;

/// The checkpoint of a model.
const CHECKPOINT: &str = "pytorch_model.bin";

/// Returns a checkpoint with this many tensors of 1 MiB, in which no two blocks are alike.
fn large(tensors: usize) -> Vec<u8> {
    large_of(tensors, "little")
}

/// Returns the same for a machine of this byte order.
fn large_of(tensors: usize, byte_order: &str) -> Vec<u8> {
    let all = noise(tensors << 20).bytes;
    let parts = all.chunks(1 << 20).enumerate();
    let tensor = |(number, bytes): (usize, &[u8])| Float32 {
        // The order differs from that of the file.
        name: format!("layer.{}.weight", (number * 7) % tensors),
        shape: vec![1 << 18],
        bytes: bytes.to_vec(),
    };
    saved(&parts.map(tensor).collect::<Vec<_>>(), byte_order)
}

/// Creates a hub with a model of this checkpoint.
fn world(checkpoint: &[u8]) -> World {
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs(CHECKPOINT, checkpoint).commit("first");
    World::with(&model)
}

/// Returns the conversion of the checkpoint on this machine, which other tests compare with the reference.
fn converted(world: &World, checkpoint: &[u8]) -> Vec<u8> {
    let dir = world.sandbox.path("here");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(CHECKPOINT), checkpoint).unwrap();
    world.run(&dir, &["--force", "-o", "model.safetensors", CHECKPOINT]).ok();
    fs::read(dir.join("model.safetensors")).unwrap()
}

/// Returns the object IDs in LFS storage.
fn objects(repo: &Path) -> Vec<String> {
    let dir = repo.join(".git/lfs/objects");
    let mut found = Vec::new();
    let mut dirs = vec![dir];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                found.push(entry.file_name().into_string().unwrap());
            }
        }
    }
    found.sort();
    found
}

/// Returns the files of LFS storage that only unfinished runs may use.
fn leftovers(repo: &Path) -> Vec<String> {
    let dirs = ["incomplete", "tmp"].map(|dir| repo.join(".git/lfs").join(dir));
    dirs.iter().filter(|dir| dir.exists()).flat_map(|dir| crate::clone::names(dir)).collect()
}

#[track_caller]
fn check(world: &World, repo: &Path, checkpoint: &[u8]) {
    let file = fs::read(repo.join("model.safetensors")).unwrap();
    assert!(file == converted(world, checkpoint));
    assert_eq!(objects(repo), [Oid::of(&file).to_string()]);
    assert_eq!(leftovers(repo), <[String; 0]>::default());
    assert_eq!(world.git(repo, &["status", "--porcelain"]), "A  model.safetensors\n");
}

fn clone(world: &World) -> (Output, PathBuf) {
    let output = world.run(&world.home(), &["clone", ID]);
    (output, world.home().join("bert"))
}

#[test]
fn every_fixture_comes_out_as_the_reference_makes_it() {
    let mut model = Builder::new();
    let mut wanted = Vec::new();
    for (name, expected) in expected() {
        // Plain pickles of arrays are converted only if they are named.
        let is_meant =
            !expected.generated && expected.args.is_empty() && expected.format.as_deref() != Some("pickle");
        let Some(sha256) = expected.sha256.filter(|_| is_meant) else {
            continue;
        };
        let bytes = fs::read(fixtures().join("checkpoints").join(&name)).unwrap();
        let class = expected.config.unwrap_or_default();
        model.file(&format!("{name}.d/config.json"), format!("{{\"architectures\": [\"{class}\"]}}"));
        model.lfs(&format!("{name}.d/{CHECKPOINT}"), bytes.clone());
        wanted.push((name, sha256, Oid::of(&bytes).to_string()));
    }
    model.commit("all");
    let world = World::with(&model);
    let (output, repo) = clone(&world);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let stored = objects(&repo);
    for (name, sha256, source) in &wanted {
        let file = fs::read(repo.join(format!("{name}.d/model.safetensors"))).unwrap();
        assert_eq!(Oid::of(&file).to_string(), *sha256, "{name}");
        assert!(stored.binary_search(sha256).is_ok() && stored.binary_search(source).is_err(), "{name}");
    }
    assert!(wanted.len() > 80, "{}", wanted.len());
    assert_eq!(leftovers(&repo), <[String; 0]>::default());
}

#[test]
fn a_checkpoint_of_many_chunks_passes_by_once() {
    let bytes = large(30);
    let world = world(&bytes);
    let (output, repo) = clone(&world);
    assert_eq!(output.code, Some(0), "{output:#?}");
    check(&world, &repo, &bytes);
    // The blocks that were read for the plan may be sent again.
    let twice = world.hub.sent_twice(&Oid::of(&bytes).to_string());
    assert!(twice <= 1 << 20, "{twice}");
}

#[test]
fn what_cannot_pass_by_is_downloaded_and_does_not_stay() {
    let legacy = fs::read(fixtures().join("checkpoints/legacy-dtype-float32.bin")).unwrap();
    let world = world(&legacy);
    let (output, repo) = clone(&world);
    assert_eq!(output.code, Some(0), "{output:#?}");
    check(&world, &repo, &legacy);
    let bytes = large(2);
    let world = self::world(&bytes);
    world.hub.inject(Fault::NoRanges.at(Place::content(&Oid::of(&bytes).to_string())));
    let (output, repo) = clone(&world);
    assert_eq!(output.code, Some(0), "{output:#?}");
    check(&world, &repo, &bytes);
}

#[test]
fn an_archive_that_is_not_as_its_directory_lets_expect_is_downloaded() {
    let object = pickle::named(&[("w", pickle::four())]);
    let mut records = builder::records(&object, &[("0", &builder::floats(4))]);
    for record in records.iter_mut().filter(|record| record.local.name.ends_with(b"data/0")) {
        // It announces a descriptor after the data and has none, so the data begins later than expected.
        *record = record.clone().both(|header| header.flags |= 8).in_local(|header| {
            header.extra = [b"FB\x1c\0".as_slice(), &[b'Z'; 28]].concat();
        });
    }
    let bytes = builder::archive::write(&records);
    let world = world(&bytes);
    let (output, repo) = clone(&world);
    assert_eq!(output.code, Some(0), "{output:#?}");
    check(&world, &repo, &bytes);
}

#[test]
fn the_source_is_kept_where_that_is_asked_for() {
    let bytes = large(1);
    let world = world(&bytes);
    let repo = world.clone(&[]);
    world.run(&repo, &["--keep-source"]).ok();
    let file = fs::read(repo.join("model.safetensors")).unwrap();
    let mut both = [Oid::of(&file).to_string(), Oid::of(&bytes).to_string()];
    both.sort();
    assert_eq!(objects(&repo), both);
}

#[test]
fn a_dry_run_downloads_headers_alone() {
    let bytes = large(20);
    let world = world(&bytes);
    let repo = world.clone(&[]);
    let output = world.run(&repo, &["-n"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let fetched: u64 =
        world.hub.fetched(&Oid::of(&bytes).to_string()).iter().map(|range| range.end - range.start).sum();
    assert!(fetched < 1 << 20, "{fetched} of {}", bytes.len());
    assert_eq!((objects(&repo), leftovers(&repo)), (Vec::new(), Vec::new()));
    assert_eq!(world.git(&repo, &["status", "--porcelain"]), "");
}

#[test]
fn a_pointer_alone_is_left_where_that_is_asked_for() {
    let bytes = large(3);
    let world = world(&bytes);
    let repo = world.clone(&[]);
    world.run(&repo, &["--pointer-only"]).ok();
    let expected = converted(&world, &bytes);
    let text = fs::read_to_string(repo.join("model.safetensors")).unwrap();
    assert!(text.contains(&Oid::of(&expected).to_string()), "{text}");
    assert_eq!(objects(&repo), [Oid::of(&expected).to_string()]);
}

#[test]
fn offline_nothing_is_asked() {
    let bytes = large(1);
    let world = world(&bytes);
    let repo = world.clone(&[]);
    world.hub.forget_requests();
    let output = world.run(&repo, &["--offline"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("git lfs pull"), "{}", output.stderr);
    assert!(world.hub.requests().is_empty());
}

#[test]
fn shards_pass_by_one_after_the_other() {
    let (first, second) = (large(2), large(3));
    let names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    let weights: Vec<String> =
        (0..3).map(|number| format!("\"layer.{number}.weight\": \"{}\"", names[1])).collect();
    let mut model = Builder::new();
    let index =
        format!("{{\"metadata\": {{\"total_size\": 0}}, \"weight_map\": {{{}}}}}", weights.join(", "));
    model.file("pytorch_model.bin.index.json", index);
    // The shard index names only the second file; the first is a separate checkpoint.
    model.lfs(names[0], first).lfs(names[1], second).commit("shards");
    let world = World::with(&model);
    let (output, repo) = clone(&world);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(objects(&repo).len(), 2);
    assert!(repo.join("model.safetensors.index.json").exists());
}
