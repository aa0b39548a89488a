//! Tests the sources of a checkpoint's bytes, and their checks.

use std::fs;

use git_st_convert::hash::Oid;

use super::{Model, differences, finish, fixture, json_lines, oid_of, skipped};

const NAME: &str = "tied-2.bin";

#[test]
fn a_pointer_in_the_work_tree_and_the_object_in_the_store() {
    let model = Model::with(NAME);
    model.only_pointer("pytorch_model.bin", &fixture(NAME));
    let run = json_lines(&model.run(&["--json"]).ok());
    assert_eq!(run[0]["source_oid"], Oid::of(&fixture(NAME)).to_string());
    model.check("model.safetensors", &oid_of(NAME));
}

#[test]
fn the_content_in_the_work_tree_alone_is_proven_by_its_pointer() {
    let model = Model::with(NAME);
    fs::remove_file(model.object(Oid::of(&fixture(NAME)))).unwrap();
    let run = json_lines(&model.run(&["--json"]).ok());
    assert_eq!(run[0]["source_oid"], Oid::of(&fixture(NAME)).to_string());
    model.check("model.safetensors", &oid_of(NAME));
}

#[test]
fn other_content_in_the_work_tree_than_its_pointer_says_is_refused() {
    for replace in [&[] as &[&str], &["--replace", "--commit"]] {
        let model = Model::with(NAME);
        fs::remove_file(model.object(Oid::of(&fixture(NAME)))).unwrap();
        model.write("pytorch_model.bin", fixture("strided.bin"));
        let before = model.listing();
        let run = model.run(replace);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(
            run.stderr.contains(if replace.is_empty() { "does not match the pointer" } else { "unstaged" })
                && run.stderr.contains("hint: "),
            "{run:?}"
        );
        assert_eq!(differences(&before, &model.listing()), [""; 0]);
    }
}

/// The object exists, and the file of the working tree differs: it is unknown which is meant, and `--replace` could
/// remove the only copy.
#[test]
fn changes_that_are_not_staged_are_neither_passed_over_nor_removed() {
    for options in [&[] as &[&str], &["--replace"]] {
        let model = Model::with(NAME);
        model.write("pytorch_model.bin", fixture("strided.bin"));
        let before = model.listing();
        let run = model.run(options);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("the file has unstaged changes"), "{run:?}");
        assert_eq!(differences(&before, &model.listing()), [""; 0]);
    }
}

/// A checkpoint with the name of a safetensors file is neither up to date nor overwritten.
#[test]
fn a_checkpoint_with_the_name_of_its_output() {
    for options in [&[] as &[&str], &["--force", "--replace"]] {
        let model = Model::new();
        model.write("model.safetensors", fixture(NAME));
        model.git(&["add", "--all"]);
        model.commit();
        let before = model.listing();
        let run = model.run(options);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert_eq!(differences(&before, &model.listing()), [""; 0]);
    }
}

#[test]
fn a_damaged_object_is_refused() {
    let model = Model::with(NAME);
    let mut bytes = fixture(NAME);
    let object = model.object(Oid::of(&bytes));
    // The changed bit is in a tensor, so the checksum of the archive would also differ.
    let at = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    bytes[at - 80] ^= 1;
    fs::write(&object, &bytes).unwrap();
    let before = model.listing();
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("hint: "), "{run:?}");
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
}

#[test]
fn an_object_that_is_nowhere_fails() {
    let model = Model::with(NAME);
    model.only_pointer("pytorch_model.bin", &fixture(NAME));
    fs::remove_file(model.object(Oid::of(&fixture(NAME)))).unwrap();
    let before = model.listing();
    for args in
        [&[] as &[&str], &["pytorch_model.bin"], &["-n"], &["-o", "x.safetensors", "pytorch_model.bin"]]
    {
        let run = model.run(args);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("the LFS object is not downloaded"), "{run:?}");
        assert!(run.last.starts_with("1 failed · "), "it is no refusal: {run:?}");
        assert!(run.stderr.contains("hint: download it: `git lfs pull --include "), "{run:?}");
    }
    assert_eq!(differences(&before, &model.listing()), [""; 0]);
    fs::remove_file(model.at("pytorch_model.bin")).unwrap();
    assert_eq!(model.run::<&str>(&[]).code, Some(2));
}

#[test]
fn the_hint_of_a_missing_object_does_help() {
    let model = Model::with(NAME);
    if !model.sandbox.git_lfs_available() {
        return skipped("git-lfs is not installed, so it cannot download");
    }
    model.push();
    model.only_pointer("pytorch_model.bin", &fixture(NAME));
    fs::remove_file(model.object(Oid::of(&fixture(NAME)))).unwrap();
    let run = model.run(&["--offline"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    let pattern = run.stderr.split("--include ").nth(1).unwrap().split(['`', '\n']).next().unwrap();
    model.git(&["lfs", "pull", "--include", pattern.trim_matches('"')]);
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &oid_of(NAME));
}

#[test]
fn a_checkpoint_that_was_committed_without_lfs() {
    let model = Model::with_attributes(None);
    model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    assert_eq!(model.git(&["cat-file", "-s", ":pytorch_model.bin"]).trim(), fixture(NAME).len().to_string());
    model.run::<&str>(&[]).ok();
    model.check("model.safetensors", &oid_of(NAME));
    assert_eq!(model.status(), "A  .gitattributes\nA  model.safetensors\n");
    assert_eq!(model.sandbox.filter_runs(), [""; 0]);
}

#[test]
fn a_file_that_nobody_tracks_is_converted_if_it_is_named() {
    let model = Model::new();
    model.write("pytorch_model.bin", fixture(NAME));
    let run = json_lines(&model.run(&["--json"]).ok());
    assert_eq!(run[0]["files"], 0);
    model.run(&["pytorch_model.bin"]).ok();
    model.check("model.safetensors", &oid_of(NAME));
    assert_eq!(model.status(), "A  model.safetensors\n?? pytorch_model.bin\n");
}

#[test]
fn replacing_does_not_remove_what_nobody_tracks() {
    let model = Model::new();
    model.write("pytorch_model.bin", fixture(NAME));
    model.run(&["--replace", "pytorch_model.bin"]).ok();
    assert_eq!(model.status(), "A  model.safetensors\n?? pytorch_model.bin\n");
}

#[test]
fn content_decides_and_not_the_name() {
    let model = Model::new();
    model.add("weights", &fixture(NAME));
    model.add("notes.bin", b"notes, and no weights");
    model.add("archive.zip", &fixture(NAME)[..0]);
    model.commit();
    let run = json_lines(&model.run(&["--json"]).ok());
    assert_eq!(run[0]["source"], "weights");
    assert_eq!(run.last().unwrap()["converted"], 1);
    model.check("weights.safetensors", &oid_of(NAME));
    // A name that indicates weights makes it an error.
    let model = Model::new();
    model.add("pytorch_model.bin", b"notes, and no weights");
    model.commit();
    assert_eq!(model.run::<&str>(&[]).code, Some(1));
}

#[test]
fn a_file_that_is_not_there() {
    let model = Model::with(NAME);
    let run = model.run(&["none.bin", "pytorch_model.bin"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("error: none.bin: "), "{run:?}");
    model.check("model.safetensors", &oid_of(NAME));
    fs::create_dir(model.at("empty")).unwrap();
    let run = model.run(&["empty"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("error: empty: file not found\nhint: "), "{run:?}");
    let run = model.run(&["../outside.bin"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    // No command can find the file elsewhere, so no hint is printed.
    assert!(run.stderr.contains("is outside the repository") && !run.stderr.contains("hint: "), "{run:?}");
}

#[test]
fn more_checkpoints_than_a_process_may_open() {
    let model = Model::with_attributes(None);
    for number in 0..80 {
        model.write(format!("step-{number}/pytorch_model.bin"), fixture(NAME));
    }
    model.git(&["add", "."]);
    model.commit();
    let script = format!("ulimit -n 48 && exec '{}'", crate::sandbox::BIN);
    let mut command = model.command("sh", &model.dir);
    finish(command.args(["-c", &script])).ok();
    assert_eq!(model.status().lines().count(), 81);
}

/// Another process writes the file of the working tree during its conversion.
struct Writes(std::path::PathBuf);

impl git_st_convert::actions::Reporter for Writes {
    fn started(&self, _: &bstr::BStr, _: u64) {
        fs::write(&self.0, "a day's work").unwrap();
    }
}

#[test]
fn what_is_changed_during_the_long_work_is_not_removed() {
    use git_st_convert::actions::{Status, convert};
    let index = "pytorch_model.bin.index.json";
    let shard = "pytorch_model-00002-of-00002.bin";
    for (model, path) in [
        (Model::with("dtype-float32.bin"), "pytorch_model.bin"),
        (super::shards::model(), index),
        (super::shards::model(), shard),
    ] {
        let before = model.git(&["ls-files", "-s"]);
        let options =
            convert::Options { cwd: model.dir.clone(), replace: true, ..convert::Options::default() };
        let summary = convert::convert(&options, &Writes(model.at(path))).unwrap();
        assert!(summary.outcomes.iter().all(|outcome| outcome.status == Status::Refused), "{summary:?}");
        assert_eq!(summary.outcomes[0].source, path, "{summary:?}");
        assert_eq!(fs::read(model.at(path)).unwrap(), b"a day's work");
        assert_eq!(model.git(&["ls-files", "-s"]), before);
        assert!(!model.status().contains("safetensors"), "{}", model.status());
    }
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let model = Model::with("tied-2.bin");
    fs::remove_file(model.at("pytorch_model.bin")).unwrap();
    fs::remove_dir_all(model.store.join("objects")).unwrap();
    let pipes = ["pytorch_model.bin", "untracked.bin"];
    assert!(model.command("mkfifo", &model.dir).args(pipes).status().unwrap().success());
    for pipe in pipes {
        let mut limited = model.command("timeout", &model.dir);
        let run = finish(limited.args(["-s", "KILL", "20", crate::sandbox::BIN, pipe]));
        let error = format!("error: {pipe}: not a regular file (found: named pipe)\n");
        assert!(run.code == Some(2) && run.stderr.contains(&error), "{run:?}");
    }
}
