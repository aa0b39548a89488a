//! Tests that docs/json.md describes every type of line and every key that `--json` prints in the work of a day.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// The commands of a user, one after the other; some of them fail.
const DAY: &[&[&str]] = &[
    &["status"],
    &["--force"],
    &["verify"],
    &["verify", "--rev", "HEAD"],
    &["diff", "HEAD~1"],
    &["other.bin"],
    &["--dry-run"],
    &["--replace", "other.bin"],
    &["verify", "nope.safetensors"],
    &["status", "--exit-code"],
];

fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.keys().cloned());
            fields.values().for_each(|value| keys(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_a_day_is_documented() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("demo");
    sandbox.bin(&sandbox.path(""), &["-q", "demo", "demo"]).ok();
    sandbox.git(&dir, &["commit", "-q", "-m", "converted"]);
    fs::copy(dir.join("pytorch_model.bin"), dir.join("other.bin")).unwrap();
    let (mut types, mut found) = (BTreeSet::new(), BTreeSet::new());
    let mut lines = |args: &[&str]| {
        let output = sandbox.bin(&dir, &[&["--json"], args].concat());
        for line in output.stdout.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            types.insert(line["type"].as_str().unwrap().to_owned());
            keys(&line, &mut found);
        }
    };
    for args in DAY {
        lines(args);
    }
    // This is not the checkpoint that was converted.
    fs::copy(dir.join("encoder/pytorch_model-00002-of-00002.bin"), dir.join("pytorch_model.bin")).unwrap();
    for args in [&["status"], &["diff"]] {
        lines(args);
    }
    assert!(types.len() >= 5 && found.len() > 40, "{types:?} {found:?}");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md")).unwrap();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let words: BTreeSet<&str> =
        text.split('`').skip(1).step_by(2).flat_map(|code| code.split(|c| !is_word(c))).collect();
    let missing: Vec<_> = types.iter().chain(&found).filter(|word| !words.contains(word.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/json.md: {missing:?}");
}
