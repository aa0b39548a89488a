//! Tests the states of a safetensors file in daily work: up to date, stale, differs, unverified; and the result of a
//! run without paths for each.
//!
//! The checkpoints are those of one model at several epochs: the same names and shapes, other values.

use std::fs;
use std::path::PathBuf;

use git_st_convert::hash::Oid;
use serde_json::Value;

use super::torch::{Float32, checkpoint};
use super::{Model, age, fixture, json_lines};
use crate::sandbox::Output;

pub(super) const CHECKPOINT: &str = "pytorch_model.bin";
pub(super) const FILE: &str = "model.safetensors";

/// Returns the model after some epochs of training. Each has another length, because git compares lengths and seconds.
pub(super) fn trained(epoch: u8) -> Vec<u8> {
    let tensor = |name: &str, shape: &[u32]| Float32 {
        name: name.to_owned(),
        shape: shape.to_vec(),
        bytes: vec![epoch; shape.iter().product::<u32>() as usize * 4],
    };
    let mut bytes = checkpoint(&[tensor("embed.weight", &[4, 2]), tensor("head.weight", &[2, 4])]);
    // This is the comment of the archive.
    let len = bytes.len();
    bytes[len - 2] = epoch;
    bytes.resize(len + usize::from(epoch), b' ');
    bytes
}

pub(super) fn model(epoch: u8) -> Model {
    let model = Model::new();
    model.add(CHECKPOINT, &trained(epoch));
    model.commit();
    model
}

/// Returns the epoch, by the bytes of the tensors of the safetensors file.
pub(super) fn epoch_of(model: &Model) -> u8 {
    let bytes = fs::read(model.at(FILE)).unwrap();
    assert!(bytes[bytes.len() - 64..].iter().all(|byte| *byte == bytes[bytes.len() - 1]));
    bytes[bytes.len() - 1]
}

pub(super) fn record(model: &Model) -> PathBuf {
    model.at(".git/st-converted/provenance-1.jsonl")
}

/// Returns the result for the only file, as JSON.
#[track_caller]
fn outcome(output: &Output) -> Value {
    let lines = json_lines(&output.stdout);
    let mut files: Vec<_> = lines.into_iter().filter(|line| line["type"] == "file").collect();
    assert_eq!(files.len(), 1, "{output:?}");
    files.remove(0)
}

#[track_caller]
pub(super) fn status(model: &Model, args: &[&str], code: i32, status: &str) -> Value {
    let run = model.run(&[&["--json"], args].concat());
    assert_eq!(run.code, Some(code), "{run:?}");
    let file = outcome(&run);
    assert_eq!(file["status"], status, "{run:?}");
    file
}

/// Creates a clone without records.
fn elsewhere(model: &Model) -> Model {
    let dir = model.sandbox.path("clone");
    fs::remove_file(record(model)).unwrap();
    fs::rename(&model.dir, &dir).unwrap();
    let sandbox = crate::sandbox::Sandbox::new();
    let copy = Model { dir: sandbox.path("model"), store: sandbox.path("model/.git/lfs"), sandbox };
    fs::rename(&dir, &copy.dir).unwrap();
    copy.sandbox.count_filter_runs(&copy.dir);
    copy.git(&["update-index", "-q", "--refresh"]);
    copy
}

#[test]
fn a_checkpoint_that_was_trained_again_and_added_is_converted_again() {
    let model = model(1);
    status(&model, &["--commit"], 0, "converted");
    status(&model, &[], 0, "up-to-date");
    model.add(CHECKPOINT, &trained(2));
    for commit in [false, true] {
        if commit {
            model.commit();
        }
        status(&model, &["-n"], 0, "updated");
        assert_eq!(epoch_of(&model), 1);
    }
    let file = status(&model, &[], 0, "updated");
    assert_eq!(file["source_oid"], Oid::of(&trained(2)).to_string());
    assert_eq!(epoch_of(&model), 2);
    assert_eq!(model.status(), "M  model.safetensors\n");
    status(&model, &["--commit"], 0, "up-to-date");
    assert_eq!(model.status(), "");
}

/// A changed file that is not staged is converted as it is in the working tree, with a note that the index differs.
#[test]
fn a_checkpoint_that_was_trained_again_and_not_added_is_converted_again() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    model.write(CHECKPOINT, trained(2));
    let run = model.run::<&str>(&[]);
    assert!(run.stderr.contains(&format!("{CHECKPOINT}: converted with its unstaged changes")), "{run:?}");
    assert!(run.stdout.contains("(updated)"), "{run:?}");
    run.ok();
    assert_eq!(epoch_of(&model), 2);
    assert_eq!(model.status(), format!("M  {FILE}\n M {CHECKPOINT}\n"));
    status(&model, &[], 0, "up-to-date");
    model.git(&["add", CHECKPOINT]);
    status(&model, &[], 0, "up-to-date");
}

#[test]
fn a_checkpoint_with_unstaged_changes_is_named_at_its_first_conversion_too() {
    // git itself stores it: of a pointer, changes are refused.
    let model = || {
        let model = Model::with_attributes(Some("*.safetensors filter=lfs diff=lfs merge=lfs -text\n"));
        model.write(CHECKPOINT, trained(1));
        model.git(&["add", CHECKPOINT]);
        model.commit();
        model
    };
    let run = model().run::<&str>(&[]);
    assert!(run.code == Some(0) && !run.stderr.contains("unstaged"), "{run:?}");
    let model = model();
    model.write(CHECKPOINT, trained(2));
    let run = model.run::<&str>(&[]);
    let note =
        format!("{CHECKPOINT}: converted with its unstaged changes; stage them: `git add {CHECKPOINT}`\n");
    assert!(run.stderr.contains(&note), "{run:?}");
    run.ok();
    assert_eq!(epoch_of(&model), 2);
}

/// A run without paths includes an untracked checkpoint after its first conversion.
#[test]
fn a_checkpoint_that_git_does_not_track_is_converted_again() {
    let model = Model::new();
    model.write(CHECKPOINT, trained(1));
    assert_eq!(model.run::<&str>(&[]).ok(), "");
    model.run(&["--commit", CHECKPOINT]).ok();
    let run = model.run::<&str>(&[]);
    assert_eq!(run.stdout, format!("{CHECKPOINT} → {FILE} (up to date)\n"));
    assert_eq!((run.stderr.as_str(), run.code), ("", Some(0)));
    assert!(run.last.starts_with("1 up to date"), "{run:?}");
    model.write(CHECKPOINT, trained(2));
    status(&model, &[], 0, "updated");
    assert_eq!(epoch_of(&model), 2);
    // A run with other paths ignores it.
    model.write(CHECKPOINT, trained(3));
    assert_eq!(model.run(&["README.md"]).code, Some(1));
    assert_eq!(epoch_of(&model), 2);
}

#[test]
fn a_file_that_was_touched_is_not_converted_again() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    let written = fs::metadata(model.at(FILE)).unwrap().modified().unwrap();
    for path in [CHECKPOINT, FILE] {
        fs::write(model.at(path), fs::read(model.at(path)).unwrap()).unwrap();
    }
    let touched = fs::metadata(model.at(FILE)).unwrap().modified().unwrap();
    assert_ne!(written, touched);
    status(&model, &[], 0, "up-to-date");
    assert_eq!(fs::metadata(model.at(FILE)).unwrap().modified().unwrap(), touched);
}

/// The file changes within the same timestamp as the record, and keeps its length: git's racy case.
#[test]
fn a_file_that_changes_in_the_moment_of_the_record_is_seen() {
    for _ in 0..8 {
        let model = model(1);
        model.run(&["--commit"]).ok();
        fs::write(model.at(CHECKPOINT), trained(2)).unwrap();
        status(&model, &[], 0, "updated");
        assert_eq!(epoch_of(&model), 2);
    }
}

#[test]
fn a_branch_has_its_own_and_is_still_known() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    model.git(&["switch", "-q", "-c", "other"]);
    model.add(CHECKPOINT, &trained(2));
    model.run(&["--commit"]).ok();
    model.commit();
    model.git(&["switch", "-q", "main"]);
    status(&model, &[], 0, "up-to-date");
    assert_eq!(epoch_of(&model), 1);
    model.git(&["mv", FILE, "renamed.safetensors"]);
    model.git(&["mv", CHECKPOINT, "renamed.bin"]);
    model.commit();
    status(&model, &[], 0, "up-to-date");
}

#[test]
fn a_linked_working_tree_has_the_record_too() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    model.git(&["worktree", "add", "-q", "../linked"]);
    let dir = model.sandbox.path("linked");
    let run = model.sandbox.bin(&dir, &["--json"]);
    assert_eq!(outcome(&run)["status"], "up-to-date", "{run:?}");
    fs::write(dir.join(CHECKPOINT), trained(2)).unwrap();
    let run = model.sandbox.bin(&dir, &["--json"]);
    assert_eq!(outcome(&run)["status"], "updated", "{run:?}");
    // The other checkpoint is unchanged.
    status(&model, &[], 0, "up-to-date");
}

/// The record is empty, and the history shows that the checkpoint changed.
#[test]
fn by_the_history_a_file_is_stale_and_nobody_knows_whose() {
    for is_committed in [true, false] {
        let model = model(1);
        model.run(&["--commit"]).ok();
        model.add(CHECKPOINT, &trained(2));
        if is_committed {
            model.commit();
        }
        let model = elsewhere(&model);
        let file = status(&model, &[], 1, "refused");
        let reason = format!("cannot write {FILE}: file exists: made from another checkpoint");
        assert_eq!(file["reason"], reason);
        let run = model.run::<&str>(&[]);
        assert!(run.stderr.contains(&format!("`git st-convert --force {CHECKPOINT}`")), "{run:?}");
        assert_eq!(epoch_of(&model), 1);
        model.run(&["--force", CHECKPOINT]).ok();
        assert_eq!(epoch_of(&model), 2);
        status(&model, &[], 0, "up-to-date");
    }
}

#[test]
fn the_history_follows_exact_names() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    fs::create_dir(model.at("v1")).unwrap();
    model.git(&["mv", FILE, "v1/model.safetensors"]);
    model.git(&["mv", CHECKPOINT, "v1/pytorch_model.bin"]);
    model.commit();
    model.add("v1/pytorch_model.bin", &trained(2));
    model.commit();
    let model = elsewhere(&model);
    status(&model, &[], 1, "refused");
}

/// Missing objects of a clone are no evidence: the header decides, and nothing is fetched.
#[test]
fn a_shallow_boundary_and_a_missing_tree_say_nothing() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    model.add(CHECKPOINT, &trained(2));
    model.commit();
    let url = format!("file://{}", model.dir.display());
    model.git(&["config", "uploadpack.allowFilter", "true"]);
    for (name, options) in
        [("shallow", &["--depth=1"] as &[&str]), ("treeless", &["--filter=tree:0", "--no-checkout"])]
    {
        let dir = model.sandbox.path(name);
        let args = [&["clone", "-q", "-c", "lfs.url=file:///nowhere"], options, &[&url, name]].concat();
        model.sandbox.git(&model.sandbox.path(""), &args);
        let clone = |args: &[&str]| model.sandbox.git(&dir, args);
        // This is a checkout in which all content is local.
        if name == "treeless" {
            clone(&["checkout", "-q", "main"]);
        }
        for (path, content) in [(CHECKPOINT, trained(2)), (FILE, fs::read(model.at(FILE)).unwrap())] {
            fs::write(dir.join(path), content).unwrap();
            age(&dir.join(path));
        }
        model.sandbox.count_filter_runs(&dir);
        clone(&["add", "--renormalize", "."]);
        clone(&["update-index", "-q", "--refresh"]);
        assert_eq!(clone(&["status", "--porcelain"]), "");
        fs::rename(model.at(".git"), model.at("git")).unwrap();
        let run = model.sandbox.bin(&dir, &["--json"]);
        fs::rename(model.at("git"), model.at(".git")).unwrap();
        assert_eq!(outcome(&run)["status"], "unverified", "{name}: {run:?}");
    }
}

#[test]
fn what_fits_and_is_not_recorded_is_kept_and_verify_records_it() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    let model = elsewhere(&model);
    status(&model, &[], 0, "unverified");
    let run = model.run::<&str>(&[]);
    assert!(
        run.stderr.contains("hint: verify the existing file: `git st-convert verify pytorch_model.bin`"),
        "{run:?}"
    );
    assert_eq!(run.ok(), format!("{CHECKPOINT} → {FILE} (exists, not verified)\n"));
    model.run(&["verify", FILE]).ok();
    status(&model, &[], 0, "up-to-date");
    // From then on it counts as a conversion of ours.
    model.write(CHECKPOINT, trained(2));
    status(&model, &[], 0, "updated");
}

#[test]
fn the_options_of_the_record_are_used_again() {
    let model = Model::new();
    let (first, second) = (fixture("two-candidates.pt"), trained(1));
    model.add("model.pt", &first);
    model.commit();
    let run = model.run(&["--key", "ema", "--commit"]);
    run.ok();
    let trailer = format!("Converted-From: model.pt sha256:{} key=ema\n", Oid::of(&first));
    assert!(model.git(&["show", "-s", "--format=%B", "HEAD"]).contains(&trailer));
    status(&model, &[], 0, "up-to-date");
    status(&model, &["--key", "ema"], 0, "up-to-date");
    // Other options make it stale.
    status(&model, &["--key", "model"], 0, "updated");
    status(&model, &[], 0, "up-to-date");
    status(&model, &["--key", "ema"], 0, "updated");
    // The recorded options also apply to the retrained checkpoint, which has no such dict.
    model.add("model.pt", &second);
    let reason = status(&model, &[], 1, "refused")["reason"].clone();
    assert!(reason.as_str().unwrap().contains("ema"), "{reason}");
    model.add("model.pt", &first);
    status(&model, &[], 0, "up-to-date");
}

#[test]
fn one_shard_that_was_trained_again_brings_all() {
    let model = super::shards::model();
    model.run(&["--commit"]).ok();
    let shards = model.git(&["ls-files", "pytorch_model-*.bin"]);
    let second = shards.lines().nth(1).unwrap();
    let (old, name) = (fs::read(model.at(second)).unwrap(), second);
    // The archive differs, and its tensors are the same.
    let mut new = old.clone();
    let at = new.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    new.truncate(at + 20);
    new.extend_from_slice(&[4, 0, b'n', b'o', b't', b'e']);
    model.add(name, &new);
    let run = model.run(&["--json"]);
    let lines = json_lines(&run.stdout);
    assert!(lines[..2].iter().all(|line| line["status"] == "updated"), "{run:?}");
    run.ok();
    let again = json_lines(&model.run(&["--json"]).ok());
    assert!(again[..2].iter().all(|line| line["status"] == "up-to-date"), "{again:?}");
}
