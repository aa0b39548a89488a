//! Tests what a walk of a directory leaves out: training state, and sharded checkpoints that are not whole.

use std::fs;

use super::fixtures;
use super::folders::{below, folder, put};

#[test]
fn what_has_no_weights_is_skipped_unless_it_is_named() {
    let (sandbox, dir) = folder("models");
    put(&dir, "moments.pt", "state-moments.pt");
    put(&dir, "pytorch_model.bin", "tied-2.bin");
    let run = sandbox.bin(&dir, &["."]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.stderr.contains("./moments.pt: skipped: training state\n"), "{run:#?}");
    let run = sandbox.bin(&dir, &["moments.pt"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stderr.contains("moments.pt: the checkpoint contains only training state\n"), "{run:#?}");
}

#[test]
fn shards_without_a_shard_index_that_loaders_need_are_not_written() {
    let (sandbox, dir) = folder("model");
    let index = "pytorch_model.bin.index.json";
    for entry in fs::read_dir(fixtures().join("shards/tied-apart")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    put(&dir, "alone.bin", "tied-2.bin");
    let text = fs::read_to_string(dir.join(index)).unwrap();
    let invalid = "error: ./pytorch_model.bin.index.json: not a shard index: no weight_map\n";
    fs::write(dir.join(index), "{}").unwrap();
    let run = sandbox.bin(&dir, &[".", "-o", "../out/"]);
    assert!(run.code == Some(1) && run.stderr.contains(invalid), "{run:#?}");
    assert!(run.last.starts_with("1 converted, 3 refused"), "{run:#?}");
    assert_eq!(below(&sandbox.path("out")), ["alone.safetensors"]);
    // The shard index lists other names.
    fs::write(dir.join(index), text.replace("pytorch_model-", "PyTorch_model-")).unwrap();
    let run = sandbox.bin(&dir, &[".", "-o", "../out/"]);
    assert!(run.code == Some(1) && run.stderr.contains("cannot read 2 shards\n"), "{run:#?}");
    assert_eq!(below(&sandbox.path("out")), ["alone.safetensors"]);
    // One of the shards does not exist. The other one is converted if it is named.
    fs::write(dir.join(index), &text).unwrap();
    fs::remove_file(dir.join("pytorch_model-00002-of-00002.bin")).unwrap();
    let missing = "pytorch_model-00002-of-00002.bin: file not found\n";
    for given in [".", index] {
        let run = sandbox.bin(&dir, &[given, "-o", "../part/"]);
        assert!(run.code == Some(1) && run.stderr.contains(missing), "{run:#?}");
        assert!(!sandbox.path("part/model-00001-of-00002.safetensors").exists(), "{run:#?}");
    }
    sandbox.bin(&dir, &["pytorch_model-00001-of-00002.bin", "-o", "../part/"]).ok();
    // A shard index without shards describes a checkpoint that is elsewhere.
    fs::remove_file(dir.join("pytorch_model-00001-of-00002.bin")).unwrap();
    sandbox.bin(&dir, &[".", "-o", "../out/"]).ok();
    assert_eq!(sandbox.bin(&dir, &[index, "-o", "../out/"]).code, Some(1));
    fs::remove_file(dir.join("alone.bin")).unwrap();
    let run = sandbox.bin(&dir, &["."]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (Some(0), "nothing to convert: no checkpoints\n"),
        "{run:#?}"
    );
}

#[test]
fn one_shard_that_is_refused_keeps_the_others_from_being_written() {
    let (sandbox, dir) = folder("model");
    for entry in fs::read_dir(fixtures().join("shards/tied-apart")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    put(&dir, "alone.bin", "tied-2.bin");
    put(&dir, "pytorch_model-00002-of-00002.bin", "os-system.bin");
    let run = sandbox.bin(&dir, &[".", "-o", "../out/"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let reason =
        "not converted: ./pytorch_model-00002-of-00002.bin of the same checkpoint cannot be converted\n";
    assert!(run.stderr.contains(&format!("error: ./pytorch_model-00001-of-00002.bin: {reason}")), "{run:#?}");
    assert_eq!(run.stderr.matches("error: ").count(), 2, "{run:#?}");
    assert!(run.last.starts_with("1 converted, 2 refused"), "{run:#?}");
    assert_eq!(below(&sandbox.path("out")), ["alone.safetensors"]);
}
