//! Tests which shards belong to a sharded checkpoint, and several sharded checkpoints in one directory.

use serde_json::{Value, json};

use super::{INDEX, Model, SHARDS, check, differences, index, map, model, refused, shards, with_index};

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
    let says = format!("error: {}: not converted: {} of the same checkpoint", SHARDS[1], SHARDS[0]);
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
        assert!(
            output.stderr.contains("pytorch_model.bin.index.json converts to the same name"),
            "{}",
            output.stderr
        );
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

/// Creates two shard indexes for the same shards, as files in git itself.
fn plain(second: &Value) -> Model {
    let model = Model::with_attributes(None);
    for (name, bytes) in SHARDS.iter().zip(shards()) {
        model.write(name, bytes);
    }
    model.write(INDEX, index(&map()));
    model.write(VARIANT, index(second));
    model.git(&["add", "."]);
    model.commit();
    let kept = model.git(&["cat-file", "-s", &format!(":{}", SHARDS[0])]);
    assert!(kept.trim().parse::<usize>().unwrap() > 1000, "{kept}");
    model
}

const VARIANT: &str = "pytorch_model.bin.index.fp16.json";

#[test]
fn shards_of_two_sets_stay_until_both_are_done() {
    let model = plain(&map());
    model.run(&["--replace"]).ok();
    check(&model);
    assert!([SHARDS[0], SHARDS[1], INDEX, VARIANT].iter().all(|path| !model.at(path).exists()));

    // One of them is refused: its shard index still names existing files.
    let mut more = map();
    more["z"] = json!(SHARDS[0]);
    let model = plain(&more);
    let output = model.run(&["--replace"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    check(&model);
    assert!([SHARDS[0], SHARDS[1], VARIANT].iter().all(|path| model.at(path).exists()));
    assert!(!model.at(INDEX).exists());
}

#[test]
fn what_one_index_keeps_no_other_removes() {
    let model = model();
    model.write("stale.bin.index.json", index(&json!({ "a": SHARDS[0], "z": "gone.bin" })));
    model.git(&["add", "stale.bin.index.json"]);
    model.commit();
    let output = model.run(&[&["--replace", "--json"], &SHARDS[..]].concat());
    assert_eq!(output.code, Some(1), "{output:#?}");
    let lines = crate::convert::json_lines(&output.stdout);
    let statuses: Vec<_> =
        lines.iter().filter(|line| line["type"] == "file").map(|line| &line["status"]).collect();
    assert_eq!(statuses, ["refused", "refused"], "{output:#?}");
    assert_eq!(model.status(), "");
}

#[test]
fn an_index_that_says_the_same_in_other_words_is_replaced() {
    let model = model();
    model.run::<&str>(&[]).ok();
    model.git(&["commit", "-q", "-m", "converted"]);
    let path = "model.safetensors.index.json";
    let text = String::from_utf8(std::fs::read(model.at(path)).unwrap()).unwrap();
    model.write(path, text.replace('\n', "\r\n"));
    model.git(&["rm", "-q", "--cached", "--", path]);
    model.run(&["--replace"]).ok();
    check(&model);

    let model = super::model();
    model.write(path, index(&json!({ "a": "other.safetensors" })));
    let output = model.run::<&str>(&[]);
    let hint = "hint: overwrite it: `git st-convert --force`";
    assert!(output.code == Some(1) && output.stderr.contains(hint), "{output:#?}");
    model.run(&["--force"]).ok();
    check(&model);
}

#[test]
fn what_is_kept_keeps_every_set_that_it_is_in() {
    // One shard index keeps the first shard, a second names both, and a third only the second.
    let model = model();
    for (stem, map) in
        [("stale", json!({ "a": SHARDS[0], "z": "gone.bin" })), ("a", json!({ "c": SHARDS[1] }))]
    {
        model.write(format!("{stem}.bin.index.json"), index(&map));
    }
    model.git(&["add", "."]);
    model.commit();
    let output = model.run(&[&["--replace"], &SHARDS[..]].concat());
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(model.status(), "");
}

#[test]
fn an_index_that_names_a_tensor_of_no_shard_says_which_and_what_to_do() {
    let model = with_index(
        &json!({ "a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1], "d": SHARDS[1], "e": SHARDS[0] }),
    );
    let before = model.listing();
    for args in [&[] as &[&str], &[INDEX]] {
        let run = model.run(args);
        assert_eq!(run.code, Some(1), "{run:?}");
        let said = "error: pytorch_model.bin.index.json: shard index does not match: no shard contains d (and 1 more)\n\
                    hint: if the model has no such tensor, delete its line in the `weight_map` of \
                    pytorch_model.bin.index.json; if it has, download the shards again\n";
        assert!(run.stderr.contains(said), "{run:?}");
    }
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
    // The hint is correct.
    model.add(INDEX, index(&map()).as_bytes());
    model.run::<&str>(&[]).ok();
    check(&model);
    // A tensor is in another shard than the shard index names: the named shard is converted as a single file.
    let model = with_index(&json!({ "a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[0] }));
    let run = model.run(&["--replace", INDEX]);
    let hint = format!("hint: convert only this shard: `git st-convert {} --output FILE`\n", SHARDS[0]);
    assert!(run.stderr.contains(&hint), "{run:?}");
}
