//! Tests the shard index of converted safetensors files: a loader follows it, so it must match its shards.

use serde_json::{Value, json};

use super::{CONVERTED, INDEX, Model, model};

const NEW: &str = "model.safetensors.index.json";

/// Creates a sharded checkpoint that is converted and committed.
fn converted() -> Model {
    let model = model();
    model.run(&["--commit"]).ok();
    model.run::<&str>(&[]).ok();
    model
}

/// Returns a safetensors file with other tensors.
fn fixture_of_another() -> Vec<u8> {
    [b"\x02\0\0\0\0\0\0\0".as_slice(), b"{}"].concat()
}

fn states(model: &Model) -> Vec<(String, String)> {
    let run = model.run(&["status", "--json"]);
    let lines = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let files = lines.filter(|line| line["type"] == "status" && line["state"] != "up-to-date");
    files
        .map(|file| {
            (file["state"].as_str().unwrap().to_owned(), file["checkpoint"].as_str().unwrap().to_owned())
        })
        .collect()
}

fn true_index() -> Value {
    json!({
        "metadata": { "total_size": 4408 },
        "weight_map": { "a": CONVERTED[0], "b": CONVERTED[0], "c": CONVERTED[1] }
    })
}

#[test]
fn one_that_fits_is_kept_whoever_wrote_it() {
    let model = converted();
    assert_eq!(states(&model), []);
    model.add(NEW, true_index().to_string().as_bytes());
    assert_eq!(states(&model), []);
    let run = model.run::<&str>(&[]);
    assert!(run.code == Some(0) && run.last.starts_with("2 up to date"), "{run:#?}");
}

#[test]
fn one_that_does_not_fit_is_said_by_status_and_refused_by_a_run() {
    let mut elsewhere = true_index();
    elsewhere["weight_map"]["b"] = CONVERTED[1].into();
    let mut without = true_index();
    without["weight_map"].as_object_mut().unwrap().remove("b");
    let mut more = true_index();
    more["weight_map"]["zzz"] = CONVERTED[0].into();
    let mut shard = true_index();
    shard["weight_map"]["c"] = "model-00003-of-00003.safetensors".into();
    let mut size = true_index();
    size["metadata"]["total_size"] = 1.into();
    let conflict = "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n".to_owned();
    for (text, reason) in [
        (
            elsewhere.to_string(),
            "tensor b of model-00001-of-00002.safetensors is not in the shard index (and 1 more)",
        ),
        (without.to_string(), "tensor b of model-00001-of-00002.safetensors is not in the shard index"),
        (more.to_string(), "tensor zzz is not in model-00001-of-00002.safetensors"),
        (shard.to_string(), "shard model-00002-of-00002.safetensors is not in the shard index (and 1 more)"),
        (size.to_string(), "total_size is 1, expected 4408"),
        (conflict, "not a shard index"),
    ] {
        let model = converted();
        model.add(NEW, text.as_bytes());
        assert_eq!(states(&model), [("differs".to_owned(), INDEX.to_owned())], "{text}");
        let page = model.run(&["status", "--exit-code"]);
        assert!(page.stdout.contains(reason) && page.code == Some(1), "{reason}: {page:#?}");
        for args in [&[][..], &["--replace"]] {
            let run = model.run(args);
            assert!(run.code == Some(1) && run.stderr.contains(reason), "{args:?}: {run:#?}");
            assert!(run.stderr.contains(&format!("{INDEX}: cannot write {NEW}: file exists")), "{run:#?}");
            // Its shards are what they were.
            assert!(run.last.starts_with("2 up to date, 1 refused"), "{run:#?}");
            assert!(!run.stderr.contains("not converted"), "{run:#?}");
        }
        // The command of the hint corrects it.
        model.run(&["--force", INDEX]).ok();
        assert_eq!(states(&model), [], "{text}");
        model.run(&["verify"]).ok();
    }
}

#[test]
fn a_shard_that_is_up_to_date_is_called_so_beside_one_that_differs() {
    let model = converted();
    model.add(CONVERTED[0], &fixture_of_another());
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.last.starts_with("1 up to date, 1 refused"), "{run:#?}");
    assert!(run.stdout.contains(&format!("{} (up to date)", CONVERTED[1])), "{run:#?}");
    assert!(!run.stderr.contains("not converted"), "{run:#?}");
}

#[test]
fn one_that_is_missing_is_to_be_made_and_is_made() {
    let model = converted();
    model.git(&["rm", "-q", NEW]);
    assert_eq!(states(&model), [("unconverted".to_owned(), INDEX.to_owned())]);
    let page = model.run(&["status", "--exit-code"]);
    assert!(page.stdout.contains("shard index missing") && page.code == Some(1), "{page:#?}");
    model.run::<&str>(&[]).ok();
    assert_eq!(states(&model), []);
    model.run(&["verify"]).ok();
}

#[test]
fn an_index_of_the_checkpoint_that_cannot_be_read_is_named_as_such() {
    let model = converted();
    model.add(INDEX, b"<<<<<<< HEAD\n");
    assert_eq!(states(&model), [("unconverted".to_owned(), INDEX.to_owned())]);
    let run = model.run(&["verify"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stderr.contains(&format!("error: {INDEX}: not a shard index")), "{run:#?}");
    assert!(!run.stderr.contains(&format!("error: {NEW}")), "{run:#?}");
    assert!(!run.stderr.contains("convert only one shard"), "{run:#?}");
}
