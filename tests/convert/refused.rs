//! Tests refusals: exit 1, a reason, a hint, and no byte written; and exit 2 for content that is not downloaded.

use std::fs;

use super::{Model, differences, fixture};
use crate::formats::expected;

/// Returns everything that is wrong with one refusal.
fn complaints(model: &Model, args: &[&str]) -> Vec<String> {
    complaints_with(model, args, 1)
}

fn complaints_with(model: &Model, args: &[&str], code: i32) -> Vec<String> {
    let before = model.listing();
    let run = model.run(args);
    let mut found = differences(&before, &model.listing());
    if run.code != Some(code) {
        found.push(format!("exit {:?}", run.code));
    }
    if !run.stderr.starts_with("error: pytorch_model.bin: ") {
        found.push("no error about the file".to_owned());
    }
    if !run.stderr.lines().any(|line| line.starts_with("hint: ")) {
        found.push("no hint".to_owned());
    }
    if !run.stdout.is_empty() {
        found.push("something on stdout".to_owned());
    }
    if !found.is_empty() {
        found.push(run.stderr);
    }
    found
}

/// Returns everything that is wrong with training state, which is skipped with a note if it is not named, and refused
/// without a hint if it is.
fn complaints_about_state(model: &Model) -> Vec<String> {
    let before = model.listing();
    let (skipped, named) = (model.run::<&str>(&[]), model.run(&["pytorch_model.bin"]));
    let mut found = differences(&before, &model.listing());
    if skipped.code != Some(0) || !skipped.stderr.starts_with("pytorch_model.bin: skipped: training state") {
        found.push(format!("{skipped:?}"));
    }
    let is_error = named.stderr.starts_with("error: pytorch_model.bin: ");
    if named.code != Some(1) || !is_error || named.stderr.contains("hint: ") {
        found.push(format!("{named:?}"));
    }
    found
}

/// Plain pickles without PyTorch storages, which are not an error if they are not named.
const PLAIN: &[&str] = &[
    "pickled-nothing.pkl",
    "pickled-nothing-0.pkl",
    "pickled-nothing-1.pkl",
    "pickled-objects.pkl",
    "unpacked-data.pkl",
];

fn complaints_about_plain(model: &Model) -> Vec<String> {
    let before = model.listing();
    let skipped = model.run::<&str>(&[]);
    let mut found = differences(&before, &model.listing());
    if skipped.code != Some(0) || !skipped.stderr.starts_with("pytorch_model.bin: skipped: ") {
        found.push(format!("{skipped:?}"));
    }
    found.extend(complaints(model, &["pytorch_model.bin"]));
    found
}

#[test]
fn every_refused_fixture_with_a_reason_and_a_hint_and_nothing_written() {
    let model = Model::with_attributes(None);
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, expected) in expected().iter().filter(|(_, expected)| expected.refused.is_some()) {
        count += 1;
        model.write("pytorch_model.bin", fixture(name));
        model.git(&["add", "pytorch_model.bin"]);
        model.git(&["commit", "-q", "--allow-empty", "-m", name]);
        if expected.refused.as_deref() == Some("state") {
            let found = complaints_about_state(&model);
            wrong.extend((!found.is_empty()).then(|| format!("{name}: {}", found.join("; "))));
            continue;
        }
        if PLAIN.contains(&name.as_str()) {
            let found = complaints_about_plain(&model);
            wrong.extend((!found.is_empty()).then(|| format!("{name}: {}", found.join("; "))));
            continue;
        }
        for args in [&[] as &[&str], &["--commit", "--replace"]] {
            let found = complaints_with(&model, args, if name == "pointer.bin" { 2 } else { 1 });
            wrong.extend((!found.is_empty()).then(|| format!("{name} {args:?}: {}", found.join("; "))));
        }
    }
    assert!(count > 30, "only {count} fixtures");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_pointer_whose_object_is_missing() {
    let model = Model::with("tied-2.bin");
    let bytes = fixture("tied-2.bin");
    fs::remove_file(model.object(git_st_convert::hash::Oid::of(&bytes))).unwrap();
    model.only_pointer("pytorch_model.bin", &bytes);
    assert_eq!(complaints_with(&model, &[], 2), [""; 0]);
    assert_eq!(complaints_with(&model, &["--commit", "--replace"], 2), [""; 0]);
}

#[test]
fn one_bad_file_stops_no_other() {
    let model = Model::new();
    model.add("a/pytorch_model.bin", &fixture("os-system.bin"));
    model.add("b/pytorch_model.bin", &fixture("tied-2.bin"));
    model.add("c/pytorch_model.bin", &fixture("crc.bin"));
    model.commit();
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("error: a/pytorch_model.bin: refused: the pickle imports "), "{run:?}");
    assert!(run.stderr.contains("error: c/pytorch_model.bin: "), "{run:?}");
    model.check("b/model.safetensors", &super::oid_of("tied-2.bin"));
    assert_eq!(model.status(), "A  b/model.safetensors\n");
}

#[test]
fn no_pickle_is_ever_executed() {
    let model = Model::new();
    for name in
        ["os-system.bin", "posix-system.bin", "legacy-os-system.bin", "eval-dropped.bin", "eval-in-hooks.bin"]
    {
        model.add(format!("{name}/pytorch_model.bin"), &fixture(name));
    }
    model.commit();
    let mut command = model.command(crate::sandbox::BIN, &model.dir);
    // No program that a shell or Python would start can be found.
    let run = super::finish(command.env("PATH", model.sandbox.path("home")));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.stderr.matches("error: ").count(), 5, "{run:?}");
}
