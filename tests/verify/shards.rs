//! Tests sharded checkpoints: each shard is compared with its checkpoint, and the shard index with its shards.

use std::fs;
use std::path::Path;

use super::{fetched, fixture};
use crate::clone::World;
use crate::hub::{Builder, Fault, Place, oid_of};
use crate::sandbox::Sandbox;

const STEMS: [&str; 2] = ["-00001-of-00002", "-00002-of-00002"];
const INDEX: &str = "model.safetensors.index.json";
const SOURCE: &str = "pytorch_model.bin.index.json";

/// A shard index that names only the first shard.
const HALF: &str =
    r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"}}"#;

/// Returns the checkpoint's shards and their shard index.
fn checkpoints() -> Builder {
    let mut model = Builder::new();
    for stem in STEMS {
        model.lfs(&format!("pytorch_model{stem}.bin"), shard(stem, "bin"));
    }
    let index = String::from_utf8(fixture("shards.index.json")).unwrap();
    model.file(SOURCE, index.replace("model-", "pytorch_model-").replace(".safetensors", ".bin"));
    model.commit("first");
    model
}

fn shard(stem: &str, extension: &str) -> Vec<u8> {
    fixture(&format!("shard{stem}.{extension}"))
}

fn put(dir: &Path) {
    for stem in STEMS {
        fs::write(dir.join(format!("pytorch_model{stem}.bin")), shard(stem, "bin")).unwrap();
        fs::write(dir.join(format!("model{stem}.safetensors")), shard(stem, "safetensors")).unwrap();
    }
    fs::write(dir.join(INDEX), fixture("shards.index.json")).unwrap();
}

#[test]
fn the_reference_s_set_is_right_and_each_fault_of_its_index_is_named() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("set");
    fs::create_dir(&dir).unwrap();
    put(&dir);
    let output = sandbox.bin(&dir, &["verify", INDEX]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout.matches("identical to pytorch_model-0000").count(), 2);
    assert!(
        output.stdout.ends_with("model.safetensors.index.json: equal: matches its shards\n"),
        "{output:#?}"
    );
    let index = String::from_utf8(fixture("shards.index.json")).unwrap();
    for (from, to, said) in [
        ("\"a\": ", "\"aa\": ", "missing  aa in model-00001-of-00002.safetensors"),
        ("\"a\": ", "\"aa\": ", "extra    a in model-00001-of-00002.safetensors, not in the shard index"),
        ("\"b\": \"model-00001", "\"b\": \"model-00002", "missing  b in model-00002-of-00002.safetensors"),
        ("\"total_size\": 68", "\"total_size\": 69", "total_size is 69, expected 68"),
        (
            "00001-of-00002.safetensors",
            "00001-of-00002.bin",
            "format   shard model-00001-of-00002.bin is not a",
        ),
        ("model-00002-of", "model-00003-of", "missing  shard model-00003-of-00002.safetensors"),
    ] {
        assert!(index.contains(from), "{from} in {index}");
        fs::write(dir.join(INDEX), index.replace(from, to)).unwrap();
        let output = sandbox.bin(&dir, &["verify", INDEX]);
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(
            output.stdout.contains("model.safetensors.index.json: differs: does not match its shards\n"),
            "{output:#?}"
        );
        assert!(output.stdout.contains(said), "{said}: {}", output.stdout);
    }
    fs::write(dir.join(INDEX), "{}").unwrap();
    assert_eq!(sandbox.bin(&dir, &["verify", INDEX]).code, Some(1));
}

#[test]
fn of_a_pull_request_no_byte_comes_and_a_shard_that_is_missing_is_told() {
    for is_whole in [true, false] {
        let mut model = Builder::new();
        for stem in STEMS {
            model.lfs(&format!("pytorch_model{stem}.bin"), shard(stem, "bin"));
        }
        model.commit("first").pull_request(1);
        let brought = if is_whole { &STEMS[..] } else { &STEMS[..1] };
        for stem in brought {
            model.lfs(&format!("model{stem}.safetensors"), shard(stem, "safetensors"));
        }
        model.file(INDEX, fixture("shards.index.json")).commit("set").on("main");
        let world = World::with(&model);
        let dir = world.clone(&[]);
        world.hub.forget_requests();
        let output = world.run(&dir, &["verify", "--pr", "1"]);
        assert_eq!(output.code, Some(i32::from(!is_whole)), "{output:#?}");
        assert_eq!(output.stdout.matches(": identical to").count(), brought.len(), "{output:#?}");
        let said = if is_whole { "equal: matches its shards" } else { "missing  shard model-00002-of-00002" };
        assert!(output.stdout.contains(said), "{output:#?}");
        for stem in STEMS {
            assert_eq!(fetched(&world, &shard(stem, "safetensors")), 0);
        }
    }
}

#[test]
fn the_set_that_we_convert_is_right_and_half_of_it_is_not() {
    let world = World::with(&checkpoints());
    let dir = world.clone(&[]);
    let converted = world.run(&dir, &["--pr", "never"]);
    assert_eq!(converted.code, Some(0), "{converted:#?}");
    for args in [&["verify"][..], &["verify", INDEX], &["verify", SOURCE]] {
        let output = world.run(&dir, args);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(output.stdout.matches(": identical to pytorch_model-0000").count(), 2);
        assert!(
            output.stdout.ends_with("model.safetensors.index.json: equal: matches its shards\n"),
            "{output:#?}"
        );
    }
    // Each existing file is correct, and the shard index has no wrong entry.
    fs::write(dir.join(INDEX), HALF).unwrap();
    let output = world.run(&dir, &["verify"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    let said = "missing  shard model-00002-of-00002.safetensors of the checkpoint";
    assert!(output.stdout.contains(said), "{output:#?}");
    let status = world.run(&dir, &["status"]);
    let said = ": shard model-00002-of-00002.safetensors is not in the shard index\n";
    assert!(status.stdout.contains(said), "{status:#?}");
    // The copy of the checkpoint's shard index is valid, and leads each loader to the pickles.
    fs::copy(dir.join(SOURCE), dir.join(INDEX)).unwrap();
    let output = world.run(&dir, &["verify"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    let said = "  format   shard pytorch_model-00001-of-00002.bin is not a safetensors file\n";
    assert!(output.stdout.contains(said), "{output:#?}");
    let status = world.run(&dir, &["status", "--exit-code"]);
    assert!(
        status.code == Some(1) && status.stdout.contains("Different from the checkpoint (1)\n"),
        "{status:#?}"
    );
    // Without paths, a run refuses to overwrite it.
    assert_eq!(world.run(&dir, &["--pr", "never"]).code, Some(1));
}

#[test]
fn a_pull_request_of_half_a_set_is_not_proven() {
    let mut model = checkpoints();
    model.pull_request(1).lfs("model-00001-of-00002.safetensors", shard(STEMS[0], "safetensors"));
    model.file(INDEX, HALF).commit("set").on("main");
    let world = World::with(&model);
    let dir = world.clone(&[]);
    let output = world.run(&dir, &["verify", "--pr", "1", "--json"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    let lines = super::lines(&output);
    assert_eq!((&lines[0]["verdict"], &lines[1]["verdict"]), (&"identical".into(), &"differs".into()));
    assert_eq!(lines[1]["differences"][0]["kind"], "shard");
    let output = world.run(&dir, &["pull", "1", "--verify"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(!dir.join(INDEX).exists());
}

#[test]
fn an_index_that_is_not_what_its_pointer_says_is_not_believed() {
    let index = HALF.replacen('{', r#"{"metadata": {"note": "xxxxxxxx"}, "#, 1);
    let mut model = Builder::new();
    model.lfs("pytorch_model-00001-of-00002.bin", shard(STEMS[0], "bin")).commit("first").pull_request(1);
    model.lfs("model-00001-of-00002.safetensors", shard(STEMS[0], "safetensors"));
    model.lfs(INDEX, index.clone().into_bytes()).commit("set").on("main");
    let world = World::with(&model);
    let dir = world.clone(&[]);
    let verified = world.run(&dir, &["verify", "--pr", "1"]);
    assert!(verified.stdout.ends_with("equal: matches its shards\n"), "{verified:#?}");
    world.hub.inject(Fault::WrongByte(25).at(Place::content(&oid_of(index.as_bytes()))));
    let output = world.run(&dir, &["verify", "--pr", "1"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        output.stderr.contains("model.safetensors.index.json") && output.stderr.contains("sha256"),
        "{output:#?}"
    );
}
