//! Tests `--commit` of files that an earlier run staged.

use std::fs;

use git_st_convert::hash::Oid;

use super::{Model, fixture, json_lines, oid_of};

const NAME: &str = "tied-2.bin";
const NOTHING: &str = "nothing to commit\n";

fn head(model: &Model) -> String {
    model.git(&["rev-parse", "HEAD"]).trim().to_owned()
}

/// Returns the paths of the commit, and its trailers.
fn committed(model: &Model) -> (String, String) {
    let format = "--format=%(trailers:key=Converted-From,valueonly)";
    let trailers = model.git(&["show", "-s", format, "HEAD"]);
    (model.git(&["show", "--format=", "--name-only", "HEAD"]), trailers.trim_end().to_owned())
}

fn trailer(path: &str) -> String {
    format!("{path} sha256:{}", Oid::of(&fixture(NAME)))
}

#[test]
fn what_an_earlier_run_staged_is_committed_with_its_trailers() {
    let model = Model::with_attributes(Some("*.bin filter=lfs diff=lfs merge=lfs -text\n"));
    model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    model.write("other.txt", "other");
    model.git(&["add", "other.txt"]);
    model.run::<&str>(&[]).ok();
    let (before, runs) = (head(&model), model.sandbox.filter_runs());
    let file = fs::metadata(model.at("model.safetensors")).unwrap().modified().unwrap();
    // A dry run commits nothing.
    model.run(&["-n", "--commit"]).ok();
    assert_eq!(head(&model), before);
    let run = json_lines(&model.run(&["--json", "--commit"]).ok());
    assert_eq!(run[0]["status"], "up-to-date");
    assert_eq!(run[0]["oid"], oid_of(NAME));
    assert_eq!(run[0]["source_oid"], Oid::of(&fixture(NAME)).to_string());
    assert_eq!(run[1]["commit"], head(&model));
    assert_eq!(run[1]["staged"], false);
    assert_eq!(model.git(&["rev-parse", "HEAD^"]).trim(), before);
    let names = ".gitattributes\nmodel.safetensors\n".to_owned();
    assert_eq!(committed(&model), (names, trailer("pytorch_model.bin")));
    // The run only commits: it writes nothing, and another staged file stays staged.
    let now = fs::metadata(model.at("model.safetensors")).unwrap().modified().unwrap();
    assert_eq!(now, file);
    assert_eq!(model.status(), "A  other.txt\n");
    assert_eq!(model.sandbox.filter_runs(), runs, "the filter ran");
    model.check("model.safetensors", &oid_of(NAME));
}

#[test]
fn what_is_committed_already_is_said_to_be() {
    let model = Model::with(NAME);
    model.run::<&str>(&[]).ok();
    model.commit();
    let before = head(&model);
    for args in [&["--commit"] as &[&str], &["--commit", "pytorch_model.bin"], &["--commit", "-f"]] {
        let run = model.run(args);
        assert!(run.stderr.contains(NOTHING), "{run:?}");
        run.ok();
        assert_eq!((head(&model), model.status()), (before.clone(), String::new()));
    }
    assert!(!model.run(&["-n", "--commit"]).stderr.contains(NOTHING));
    let run = json_lines(&model.run(&["--json", "--commit"]).ok());
    assert_eq!(run[1]["commit"], serde_json::Value::Null);
    // A run in which every file was refused does not report this.
    let model = Model::with("os-system.bin");
    let run = model.run(&["--commit"]);
    assert!(run.code == Some(1) && !run.stderr.contains(NOTHING), "{run:?}");
}

#[test]
fn only_what_is_not_committed_is() {
    let model = Model::new();
    for path in ["a/pytorch_model.bin", "b/pytorch_model.bin"] {
        model.add(path, &fixture(NAME));
    }
    model.commit();
    model.run(&["a"]).ok();
    model.commit();
    model.run(&["b"]).ok();
    model.run(&["--commit"]).ok();
    let names = "b/model.safetensors\n".to_owned();
    assert_eq!(committed(&model), (names, trailer("b/pytorch_model.bin")));
}

#[test]
fn a_staged_set_is_committed_with_its_index() {
    for lfs in [false, true] {
        let model = super::shards::model();
        if lfs {
            let text = fs::read_to_string(model.at(".gitattributes")).unwrap();
            model.write(".gitattributes", text + "*.safetensors.index.json filter=lfs -text\n");
            model.git(&["add", ".gitattributes"]);
            model.commit();
        }
        model.run::<&str>(&[]).ok();
        model.run(&["--commit"]).ok();
        let (names, trailers) = committed(&model);
        let shards = "model-00001-of-00002.safetensors\nmodel-00002-of-00002.safetensors\n";
        assert_eq!(names, format!("{shards}model.safetensors.index.json\n"));
        assert_eq!(trailers.lines().count(), 2);
        assert_eq!(model.status(), "");
        let run = model.run(&["--commit"]);
        assert!(run.stderr.contains(NOTHING), "{run:?}");
    }
}

/// Checks that the run is refused with 1 and a hint, and commits nothing.
#[track_caller]
fn refused(model: &Model) {
    let (before, status) = (head(model), model.status());
    let run = model.run(&["--commit"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(": file exists\n") && run.stderr.contains("hint: "), "{run:?}");
    assert_eq!((head(model), model.status()), (before, status));
}

#[test]
fn what_is_staged_and_no_conversion_is_not_committed() {
    // A file of another size, a file of the same size, and a file that is not a pointer.
    let model = Model::with(NAME);
    model.add("model.safetensors", b"something else");
    refused(&model);
    model.add("model.safetensors", &[7; 264]);
    refused(&model);
    let model = super::shards::model();
    model.run::<&str>(&[]).ok();
    model.write("model.safetensors.index.json", "{\"weight_map\": {}}");
    model.git(&["add", "model.safetensors.index.json"]);
    refused(&model);
}

#[test]
fn a_line_that_was_unstaged_since_is_staged_again() {
    let bin = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
    let model = Model::with_attributes(Some(bin));
    model.add("pytorch_model.bin", &fixture(NAME));
    model.commit();
    model.run::<&str>(&[]).ok();
    model.git(&["reset", "-q", "--", ".gitattributes"]);
    model.run(&["--commit"]).ok();
    assert_eq!(committed(&model).0, ".gitattributes\nmodel.safetensors\n");
    assert_eq!(model.status(), "");
    // Only the file was committed, without its entry.
    model.git(&["revert", "--no-edit", "HEAD"]);
    model.run::<&str>(&[]).ok();
    model.git(&["commit", "-q", "-m", "without its line", "model.safetensors"]);
    model.run(&["--commit"]).ok();
    assert_eq!(committed(&model), (".gitattributes\n".to_owned(), trailer("pytorch_model.bin")));
    assert_eq!(model.status(), "");
}

#[test]
fn a_pointer_stays_a_pointer() {
    let model = Model::with(NAME);
    model.run(&["--pointer-only"]).ok();
    let pointer = fs::read(model.at("model.safetensors")).unwrap();
    model.run(&["--commit"]).ok();
    assert_eq!(committed(&model).1, trailer("pytorch_model.bin"));
    assert_eq!(fs::read(model.at("model.safetensors")).unwrap(), pointer);
    assert_eq!(model.status(), "");
}

#[test]
fn a_commit_that_failed_is_made_by_the_next_run() {
    let model = Model::with(NAME);
    // The commit must be signed, and cannot be.
    model.git(&["config", "commit.gpgSign", "true"]);
    model.git(&["config", "gpg.program", "false"]);
    let run = model.run(&["--commit"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(model.status(), "A  model.safetensors\n");
    model.git(&["config", "commit.gpgSign", "false"]);
    model.run(&["--commit", "-m", "At last"]).ok();
    assert_eq!(model.git(&["show", "-s", "--format=%s", "HEAD"]), "At last\n");
    assert_eq!(committed(&model).1, trailer("pytorch_model.bin"));
    assert_eq!(model.status(), "");
}
