//! Tests sharded checkpoints against the reference's conversion: each shard, the shard index and its size are those of
//! `tests/fixtures/shards.json`, whose script checks that loading gives the same tensors.

use std::fs;
use std::path::Path;

use git_st_convert::hash::Oid;
use serde_json::Value;

use super::Model;
use crate::formats::fixtures;

const INDEX: &str = "pytorch_model.bin.index.json";

fn expected() -> serde_json::Map<String, Value> {
    let text = fs::read(fixtures().join("shards.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap().as_object().unwrap().clone()
}

/// Creates a repository with this sharded checkpoint.
fn model(set: &str) -> Model {
    let model = Model::new();
    let mut files: Vec<_> = fs::read_dir(fixtures().join("shards").join(set))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        model.add(file.file_name().unwrap(), &fs::read(&file).unwrap());
    }
    model.commit();
    model
}

#[track_caller]
fn check(model: &Model, expected: &Value) {
    for (file, oid) in expected["files"].as_object().unwrap() {
        assert_eq!(Oid::of(&fs::read(model.at(file)).unwrap()).to_string(), *oid, "{file}");
        model.check(file, oid.as_str().unwrap());
    }
    let index = fs::read(model.at(Path::new("model.safetensors.index.json"))).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["weight_map"], expected["weight_map"]);
    assert_eq!(index["metadata"]["total_size"], expected["total_size"]);
}

#[test]
fn each_set_becomes_what_the_reference_makes_of_it() {
    let all = expected();
    assert_eq!(all.len(), 3);
    for (set, expected) in &all {
        let model = model(set);
        let run = model.run(&["--json"]);
        let lines = super::json_lines(&run.ok());
        check(&model, expected);
        let mut dropped = serde_json::Map::new();
        for tie in lines.iter().filter_map(|line| line["dropped"].as_array()).flatten() {
            dropped.insert(tie["name"].as_str().unwrap().to_owned(), tie["kept"].clone());
        }
        assert_eq!(Value::Object(dropped), expected["dropped"], "{set}");
    }
}

#[test]
fn a_name_to_keep_may_be_in_any_shard_and_must_be_in_one() {
    let kept = model("tied-inside");
    kept.run(&["--keep", "lm_head.weight"]).ok();
    let text = fs::read_to_string(kept.at("model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(index["weight_map"]["lm_head.weight"], "model-00001-of-00002.safetensors");
    assert!(index["weight_map"].get("transformer.wte.weight").is_none());
    let unknown = model("tied-inside");
    let run = unknown.run(&["--keep", "lm_head"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("no tied tensor is named lm_head"), "{run:?}");
    assert!(!unknown.at("model.safetensors.index.json").exists());
}

#[test]
fn a_set_without_its_class_keeps_the_first_name_of_a_tie() {
    // The old shard index lists both names; the new one lists the name in the file.
    let model = model("tied-inside");
    model.git(&["rm", "-q", "config.json"]);
    model.git(&["commit", "-q", "-m", "no class"]);
    model.run(&[INDEX]).ok();
    let text = fs::read_to_string(model.at("model.safetensors.index.json")).unwrap();
    assert!(text.contains("lm_head.weight") && !text.contains("transformer.wte.weight"), "{text}");
}
