//! Tests sharded checkpoints: they are converted completely or not at all, with a correct shard index.

mod index;
mod together;

use std::fs;

use serde_json::{Value, json};

use super::torch::{Float32, checkpoint, noise};
use super::{Model, differences};

const SHARDS: [&str; 2] = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
const CONVERTED: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const INDEX: &str = "pytorch_model.bin.index.json";

fn tensor(name: &str, len: usize) -> Float32 {
    Float32 { name: name.to_owned(), ..noise(len) }
}

fn shards() -> [Vec<u8>; 2] {
    [checkpoint(&[tensor("a", 4000), tensor("b", 8)]), checkpoint(&[tensor("c", 400)])]
}

fn index(map: &Value) -> String {
    // Authors of such a shard index often state a wrong size.
    json!({ "metadata": { "total_size": 1, "by": "somebody" }, "weight_map": map }).to_string()
}

fn with_index(map: &Value) -> Model {
    let model = Model::new();
    for (name, bytes) in SHARDS.iter().zip(shards()) {
        model.add(name, &bytes);
    }
    model.add(INDEX, index(map).as_bytes());
    model.commit();
    model
}

fn map() -> Value {
    json!({ "a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1] })
}

/// Creates a repository with a sharded checkpoint of two shards.
pub(super) fn model() -> Model {
    with_index(&map())
}

#[track_caller]
fn check(model: &Model) {
    let text = fs::read(model.at("model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(index["metadata"], json!({ "total_size": 4408, "by": "somebody" }));
    assert_eq!(index["weight_map"], json!({ "a": CONVERTED[0], "b": CONVERTED[0], "c": CONVERTED[1] }));
    let mut total = 0;
    for shard in CONVERTED {
        let bytes = fs::read(model.at(shard)).unwrap();
        model.check(shard, &git_st_convert::hash::Oid::of(&bytes).to_string());
        let read = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for (name, tensor) in read.tensors() {
            assert_eq!(index["weight_map"][&name], shard);
            total += tensor.data().len();
        }
    }
    assert_eq!(index["metadata"]["total_size"], total);
}

#[test]
fn a_set_with_a_true_index() {
    let model = model();
    let run = model.run::<&str>(&[]);
    assert!(run.stderr.contains("wrote shard index model.safetensors.index.json"), "{run:?}");
    run.ok();
    check(&model);
    let mut expected = CONVERTED.map(|path| format!("A  {path}\n")).to_vec();
    expected.push("A  model.safetensors.index.json\n".to_owned());
    assert_eq!(model.status(), expected.concat());
    assert_eq!(super::json_lines(&model.run(&["--json"]).ok())[2]["up_to_date"], 2);
}

#[test]
fn a_set_of_a_variant() {
    // transformers puts the variant after the stem, and in the shard index before the extension.
    let model = model();
    let shards = ["pytorch_model.fp16-00001-of-00002.bin", "pytorch_model.fp16-00002-of-00002.bin"];
    let converted = ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"];
    for (name, bytes) in shards.iter().zip(self::shards()) {
        model.add(name, &bytes);
    }
    let map = json!({ "a": shards[0], "b": shards[0], "c": shards[1] });
    model.add("pytorch_model.bin.index.fp16.json", index(&map).as_bytes());
    model.commit();
    model.run(&["pytorch_model.bin.index.fp16.json"]).ok();
    let text = fs::read(model.at("model.safetensors.index.fp16.json")).unwrap();
    let written: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(written["weight_map"], json!({ "a": converted[0], "b": converted[0], "c": converted[1] }));
    let files = "A  model.fp16-00001-of-00002.safetensors\nA  model.fp16-00002-of-00002.safetensors\n";
    assert_eq!(model.status(), format!("{files}A  model.safetensors.index.fp16.json\n"));
    // The checkpoint without a variant is another one; both are found.
    model.run::<&str>(&[]).ok();
    check(&model);
    let run = super::json_lines(&model.run(&["--json"]).ok());
    assert_eq!(run.last().unwrap()["up_to_date"], 4);
    // Without a readable shard index, the names show which files are its shards, and those of the other one are not.
    let model = self::model();
    for (name, bytes) in shards.iter().zip(self::shards()) {
        model.add(name, &bytes);
    }
    model.add("pytorch_model.bin.index.fp16.json", b"no index");
    model.commit();
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    for name in shards {
        assert!(run.stderr.contains(&format!("error: {name}: not converted: ")), "{name}: {run:?}");
    }
    check(&model);
    assert!(!model.at(converted[0]).exists());
}

#[test]
fn an_index_under_git_lfs() {
    for args in [&[] as &[&str], &["--replace", "--commit"]] {
        let model = model();
        let text = fs::read_to_string(model.at(".gitattributes")).unwrap();
        model.write(".gitattributes", text + "*.json filter=lfs diff=lfs merge=lfs -text\n");
        model.git(&["rm", "-q", "--cached", INDEX]);
        model.add(INDEX, index(&map()).as_bytes());
        model.git(&["add", ".gitattributes"]);
        model.commit();
        // The working tree is that of a clone without LFS content.
        model.only_pointer(INDEX, index(&map()).as_bytes());
        model.git(&["add", INDEX]);
        assert_eq!(model.status(), "");
        let before = model.sandbox.filter_runs();
        model.run(args).ok();
        check(&model);
        let written = fs::read(model.at("model.safetensors.index.json")).unwrap();
        model.check("model.safetensors.index.json", &git_st_convert::hash::Oid::of(&written).to_string());
        assert_eq!(model.sandbox.filter_runs(), before, "the filter ran");
        assert!(model.status().lines().all(|line| line.starts_with("A  ")), "{}", model.status());
        if model.sandbox.git_lfs_available() {
            assert_eq!(model.git(&["lfs", "fsck"]), "Git LFS fsck OK\n");
        }
    }
}

#[test]
fn one_shard_or_the_index_may_be_named() {
    let model = model();
    model.run(&[INDEX]).ok();
    check(&model);
    // A shard that is named is converted as a single file.
    let model = self::model();
    model.run(&[SHARDS[1]]).ok();
    assert_eq!(model.status(), format!("A  {}\n", CONVERTED[1]));
}

#[test]
fn replacing_removes_the_shards_and_their_index() {
    let model = model();
    model.run(&["--replace", "--commit"]).ok();
    check(&model);
    let files = model.git(&["ls-tree", "--name-only", "HEAD"]);
    assert_eq!(
        files.lines().collect::<Vec<_>>(),
        [".gitattributes", "README.md", CONVERTED[0], CONVERTED[1], "model.safetensors.index.json"]
    );
    assert_eq!(model.status(), "");
    assert!(!model.at(INDEX).exists() && !model.at(SHARDS[0]).exists());
}

#[test]
fn names_that_were_dropped_are_not_in_the_index() {
    let model = Model::new();
    let tied = super::fixture("tied-2.bin");
    model.add(SHARDS[0], &tied);
    model.add(SHARDS[1], &shards()[1]);
    let map = json!({ "embed.weight": SHARDS[0], "decoder.weight": SHARDS[0], "c": SHARDS[1] });
    model.add(INDEX, index(&map).as_bytes());
    model.commit();
    model.run::<&str>(&[]).ok();
    let text = fs::read(model.at("model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_slice(&text).unwrap();
    for (name, shard) in index["weight_map"].as_object().unwrap() {
        let bytes = fs::read(model.at(shard.as_str().unwrap())).unwrap();
        assert!(::safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor(name).is_ok(), "{name}");
    }
    assert!(index["weight_map"].get("embed.weight").is_none());
    assert!(index["weight_map"].get("decoder.weight").is_some());
}

/// Checks a refusal with 1 and a line that names `about`; nothing is written for any shard.
#[track_caller]
fn refused(model: &Model, args: &[&str], about: &str) {
    let before = model.listing();
    let run = model.run(args);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(about), "{run:?}");
    assert!(run.stderr.contains("hint: "), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn a_missing_shard_is_named() {
    let model = model();
    model.git(&["rm", "-q", SHARDS[1]]);
    refused(&model, &[], SHARDS[1]);
    refused(&model, &[INDEX], SHARDS[1]);
    let model = self::model();
    fs::remove_file(model.object(git_st_convert::hash::Oid::of(&shards()[0]))).unwrap();
    model.only_pointer(SHARDS[0], &shards()[0]);
    let before = model.listing();
    let run = model.run::<&str>(&[]);
    assert!(run.code == Some(2) && run.stderr.contains(SHARDS[0]), "what is not here failed: {run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn an_index_with_changes_that_are_not_staged() {
    let model = model();
    model.write(INDEX, index(&json!({ "a": SHARDS[0] })));
    refused(
        &model,
        &[],
        &format!("error: {INDEX}: the file has unstaged changes\nhint: stage the changes: `git add {INDEX}`"),
    );
    refused(
        &model,
        &["--replace"],
        &format!("error: {}: not converted: {INDEX} of the same checkpoint", SHARDS[0]),
    );
}

#[test]
fn an_index_that_disagrees() {
    let wrong = json!({ "a": SHARDS[0], "b": SHARDS[1], "c": SHARDS[1] });
    let says =
        format!("error: {INDEX}: shard index does not match: b is in {}, not {}\n", SHARDS[0], SHARDS[1]);
    refused(&with_index(&wrong), &[], &says);
    let absent = json!({ "a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1], "d": SHARDS[1], "e": SHARDS[0] });
    refused(
        &with_index(&absent),
        &[],
        &format!("error: {INDEX}: shard index does not match: no shard contains d (and 1 more)\n"),
    );
    for map in [json!({ "a": "../outside.bin" }), json!({ "a": 3 }), json!(null)] {
        let model = with_index(&map);
        refused(&model, &[], INDEX);
        refused(&model, &["--replace"], SHARDS[0]);
        // A shard that is named is converted as a single file.
        model.run(&[SHARDS[0]]).ok();
    }
}

#[test]
fn a_tensor_in_two_shards() {
    let model = Model::new();
    model.add(SHARDS[0], &checkpoint(&[tensor("a", 40), tensor("c", 8)]));
    model.add(SHARDS[1], &shards()[1]);
    let map = json!({ "a": SHARDS[0], "c": SHARDS[1] });
    model.add(INDEX, index(&map).as_bytes());
    model.commit();
    let told = format!("error: {INDEX}: tensor c is in two shards: {} and {}\n", SHARDS[0], SHARDS[1]);
    refused(&model, &[], &told);
    refused(
        &model,
        &["--replace", "--commit"],
        &format!("hint: list its tensors: `git st-convert inspect {}`", SHARDS[1]),
    );
    // Each shard by itself is valid.
    model.run(&[SHARDS[0]]).ok();
    model.run(&[SHARDS[1]]).ok();
}

#[test]
fn a_name_that_is_dropped_in_one_shard_and_kept_in_another() {
    let model = Model::new();
    model.add(SHARDS[0], &super::fixture("tied-2.bin"));
    model.add(SHARDS[1], &checkpoint(&[tensor("embed.weight", 40)]));
    let map = json!({ "decoder.weight": SHARDS[0], "embed.weight": SHARDS[1] });
    model.add(INDEX, index(&map).as_bytes());
    model.commit();
    refused(&model, &[], &format!("tensor embed.weight is in two shards: {} and {}", SHARDS[0], SHARDS[1]));
}

#[test]
fn what_the_index_does_not_list_is_told_and_listed() {
    let model = with_index(&json!({ "a": SHARDS[0], "c": SHARDS[1] }));
    let run = model.run(&["-n"]);
    let told = format!("{INDEX}: adding 1 tensor missing from the checkpoint's shard index: b\n");
    assert!(run.stderr.contains(&told), "{run:?}");
    let run = model.run::<&str>(&[]);
    assert!(run.stderr.contains(&told), "{run:?}");
    run.ok();
    check(&model);
}

#[test]
fn an_index_that_is_refused_for_its_text() {
    let other = "{\"weight_map\": {\"a\": \"x.bin\", \"a\": \"y.bin\"}}";
    for (text, says) in [
        (other.to_owned(), "duplicate key a"),
        (index(&json!({})), "weight_map is empty"),
        (index(&json!({ "a": ["x.bin"] })), "shard of a is a list, not a string"),
        (index(&json!({ "a": "" })), "invalid shard name ``: it is empty"),
        (index(&json!({ "a": "/etc/x.bin" })), "it is an absolute path"),
        (index(&json!({ "a": "..\\x.bin" })), "it is in another directory"),
        (index(&json!({ "a": "../x.bin" })), "it is in another directory"),
        (index(&json!({ "a": "x\0.bin" })), "invalid shard name `x\\x00.bin`: it contains a NUL"),
        (index(&json!({ "a": INDEX })), "named like a shard index"),
        (index(&json!({ "a": CONVERTED[0] })), "named like a safetensors file"),
        (json!({ "metadata": [], "weight_map": { "a": "x.bin" } }).to_string(), "metadata is a list"),
        ("[]".to_owned(), "no weight_map"),
    ] {
        let model = Model::new();
        model.add(SHARDS[1], &shards()[1]);
        model.add(INDEX, text.as_bytes());
        model.commit();
        refused(&model, &[], says);
        let run = model.run::<&str>(&[]);
        assert!(run.stderr.contains(&format!("error: {INDEX}: ")), "{run:?}");
        assert!(!run.stderr.contains('\0'), "{run:?}");
    }
}

#[test]
fn an_index_without_metadata_and_with_a_wrong_size() {
    let model = with_index(&map());
    let text = json!({ "weight_map": map(), "other": 1 }).to_string();
    model.add(INDEX, text.as_bytes());
    model.commit();
    model.run::<&str>(&[]).ok();
    let text = fs::read(model.at("model.safetensors.index.json")).unwrap();
    let written: Value = serde_json::from_slice(&text).unwrap();
    let map = json!({ "a": CONVERTED[0], "b": CONVERTED[0], "c": CONVERTED[1] });
    assert_eq!(written, json!({ "metadata": { "total_size": 4408 }, "weight_map": map }));
}

#[test]
fn every_missing_shard_is_named() {
    let third = "pytorch_model-00003-of-00003.bin";
    let model = with_index(&json!({ "a": SHARDS[0], "c": SHARDS[1], "d": third, "e": "x y.bin" }));
    fs::remove_file(model.object(git_st_convert::hash::Oid::of(&shards()[0]))).unwrap();
    model.only_pointer(SHARDS[0], &shards()[0]);
    let before = model.listing();
    let run = model.run::<&str>(&[]);
    // A missing download is not a refusal.
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains(&format!("error: {INDEX}: cannot read 3 shards\n")), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
    for (shard, why) in [
        (SHARDS[0], "the LFS object is not downloaded"),
        (third, "file not found"),
        ("x y.bin", "file not found"),
    ] {
        assert!(run.stderr.contains(&format!("{shard}: {why}\n")), "{run:?}");
    }
    assert!(run.stderr.contains(&format!("git lfs pull --include \"{}\"", SHARDS[0])), "{run:?}");
    let lines = super::json_lines(&model.run(&["--json"]).stdout);
    let told = lines.iter().find(|line| line["source"] == INDEX).unwrap();
    let reason = told["reason"].to_string();
    assert!(reason.contains(third) && reason.contains("x y.bin"), "{reason}");
}

#[test]
fn a_shard_that_is_refused_stops_its_set() {
    for at in [0, 1] {
        let model = Model::new();
        model.add(SHARDS[at], &super::fixture("crc.bin"));
        model.add(SHARDS[1 - at], &shards()[1]);
        let map = json!({ "c": SHARDS[1 - at] , "linear.weight": SHARDS[at] });
        model.add(INDEX, index(&map).as_bytes());
        model.commit();
        refused(&model, &[], SHARDS[at]);
    }
}

#[test]
fn another_index_in_the_place_of_the_new_one_is_replaced_only_if_asked() {
    let output = "model.safetensors.index.json";
    for is_tracked in [false, true] {
        let model = model();
        model.write(output, "{\"weight_map\": {}}");
        if is_tracked {
            model.git(&["add", output]);
            model.commit();
        }
        refused(&model, &[], output);
        model.run(&["--force"]).ok();
        check(&model);
        // Leftovers of a killed run do not count as other files.
        model.git(&["rm", "-q", "--cached", output]);
        model.git(&["rm", "-q", "-f", "--cached", CONVERTED[0], CONVERTED[1]]);
        model.run::<&str>(&[]).ok();
        check(&model);
    }
}
