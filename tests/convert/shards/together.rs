//! Which shards are a set, and which sets stand beside one another.

use serde_json::{Value, json};

use super::{INDEX, Model, SHARDS, check, index, model, refused, shards};

#[test]
fn shards_that_are_all_named_are_their_set() {
    for more in [&[] as &[&str], &["--replace"]] {
        let model = model();
        model.run(&[&SHARDS, more].concat()).ok();
        check(&model);
        assert_eq!(model.at(INDEX).exists(), more.is_empty());
    }
}

#[test]
fn a_shard_whose_set_stays_is_not_removed() {
    let model = model();
    let says = format!("error: {}: belongs to a sharded set of which {} is not", SHARDS[1], SHARDS[0]);
    refused(&model, &["--replace", SHARDS[1]], &says);
}

#[test]
fn two_sets_whose_index_would_be_one_are_refused() {
    let model = Model::new();
    let [first, second] = shards();
    for (stem, bytes) in [("pytorch_model", first), ("model", second)] {
        let shard = format!("shard-of-{stem}.bin");
        model.add(&shard, &bytes);
        let names: &[&str] = if stem == "model" { &["c"] } else { &["a", "b"] };
        let map: Value = names.iter().map(|name| ((*name).to_owned(), json!(shard))).collect();
        model.write(format!("{stem}.bin.index.json"), index(&map));
        model.git(&["add", &format!("{stem}.bin.index.json")]);
    }
    model.commit();
    for args in [&[] as &[&str], &["--force"]] {
        let output = model.run(args);
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.stderr.contains("as pytorch_model.bin.index.json is"), "{}", output.stderr);
        assert_eq!(model.status(), "");
    }
}

#[test]
fn two_sets_of_the_same_shards_are_replaced_by_both() {
    let model = model();
    let variant = "pytorch_model.bin.index.fp16.json";
    model.write(variant, std::fs::read(model.at(INDEX)).unwrap());
    model.git(&["add", variant]);
    model.commit();
    model.run(&["--replace"]).ok();
    check(&model);
    assert!(!model.at(INDEX).exists() && !model.at(variant).exists() && !model.at(SHARDS[0]).exists());
    let second = std::fs::read(model.at("model.safetensors.index.fp16.json")).unwrap();
    assert_eq!(second, std::fs::read(model.at("model.safetensors.index.json")).unwrap());
}
