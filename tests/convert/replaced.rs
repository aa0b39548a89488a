//! Tests `--replace` with a safetensors file of another program: the bits decide whether the checkpoint is removed.

use std::fs;

use git_st_convert::hash::Oid;

use super::states::{CHECKPOINT, FILE, epoch_of, model, record, trained};
use super::{Model, json_lines};

/// Returns a file with the same tensors and other metadata, as another program writes it.
pub(super) fn with_note(bytes: &[u8]) -> Vec<u8> {
    let len = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    header["__metadata__"] = serde_json::json!({ "format": "pt", "by": "somebody" });
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes(), text.as_slice(), &bytes[8 + len..]].concat()
}

/// Returns the conversion of this checkpoint.
fn converted(epoch: u8) -> Vec<u8> {
    let model = model(epoch);
    model.run::<&str>(&[]).ok();
    fs::read(model.at(FILE)).unwrap()
}

/// Creates a committed checkpoint and a committed safetensors file of another author.
fn beside(file: &[u8]) -> Model {
    let model = model(1);
    model.add(FILE, file);
    model.commit();
    model
}

fn removed(model: &Model) -> bool {
    let is_tracked = !model.git(&["ls-files", CHECKPOINT]).is_empty();
    assert_eq!(is_tracked, model.at(CHECKPOINT).exists());
    !is_tracked
}

#[test]
fn a_file_that_holds_the_same_bits_is_verified_and_kept() {
    let file = with_note(&converted(1));
    let model = beside(&file);
    let dry = model.run(&["-n", "--replace"]);
    assert!(dry.stderr.contains(&format!("would remove {CHECKPOINT}\n")), "{dry:?}");
    assert!(dry.code == Some(0) && !removed(&model), "{dry:?}");
    assert!(!record(&model).exists());
    let run = model.run(&["--replace", "--commit"]);
    assert!(run.stderr.contains(&format!("removed {CHECKPOINT}\n")), "{run:?}");
    assert_eq!(run.ok(), format!("{CHECKPOINT} → {FILE} (up to date)\n"));
    assert!(removed(&model));
    assert_eq!(fs::read(model.at(FILE)).unwrap(), file);
    assert_eq!(model.status(), "");
    let trailer = format!("Converted-From: {CHECKPOINT} sha256:{}\n", Oid::of(&trained(1)));
    assert!(model.git(&["show", "-s", "--format=%B", "HEAD"]).contains(&trailer));
    assert_eq!(
        model.git(&["show", "--format=", "--name-status", "--no-renames", "HEAD"]),
        format!("D\t{CHECKPOINT}\n")
    );
    // The verification was recorded.
    let run = model.run(&["verify"]);
    assert!(run.stdout.contains("equal"), "{run:?}");
    run.ok();
}

#[test]
fn what_was_verified_before_is_not_read_again() {
    let model = beside(&with_note(&converted(1)));
    model.run(&["verify"]).ok();
    let run = json_lines(&model.run(&["--replace", "--json"]).ok());
    assert_eq!(run[0]["status"], "up-to-date");
    assert!(removed(&model));
    assert_eq!(model.status(), format!("D  {CHECKPOINT}\n"));
}

/// The header fits, but one bit differs.
#[test]
fn a_file_with_another_bit_keeps_its_checkpoint() {
    let file = with_note(&converted(1));
    for at in [file.len() - 1, file.len() - 64] {
        let mut other = file.clone();
        other[at] ^= 1;
        let model = beside(&other);
        for args in [&["--replace"] as &[&str], &["--replace", "--commit"], &["--replace", CHECKPOINT]] {
            let (before, head) = (model.status(), model.git(&["rev-parse", "HEAD"]));
            let run = model.run(args);
            assert_eq!(run.code, Some(1), "{run:?}");
            assert!(run.stderr.contains("has other values"), "{run:?}");
            assert!(run.stderr.contains(" --replace") && run.stderr.contains(" --force"), "{run:?}");
            assert!(!removed(&model));
            assert_eq!((model.status(), model.git(&["rev-parse", "HEAD"])), (before, head));
        }
        // The command of the hint replaces the file, and the old one is kept.
        model.run(&["--replace", "--force", CHECKPOINT]).ok();
        assert!(removed(&model) && model.object(Oid::of(&other)).exists());
        assert_eq!(epoch_of(&model), 1);
    }
}

/// The file belongs to another epoch: the header fits, and the history has no evidence.
#[test]
fn a_file_of_another_epoch_keeps_its_checkpoint() {
    let model = beside(&with_note(&converted(2)));
    let run = model.run(&["--replace"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(!removed(&model));
}

#[test]
fn what_head_does_not_have_stays_in_the_working_tree() {
    for args in [&["--replace"] as &[&str], &["--replace", "--force"], &["--replace", "--commit"]] {
        for file in [None, Some(with_note(&converted(1))), Some(converted(1))] {
            let model = Model::new();
            model.add(CHECKPOINT, &trained(1));
            if let Some(file) = &file {
                model.add(FILE, file);
            }
            let run = model.run(args);
            assert!(run.stderr.contains(".gitignore"), "{run:?}");
            run.ok();
            assert_eq!(model.git(&["ls-files", CHECKPOINT]), "");
            assert_eq!(fs::read(model.at(CHECKPOINT)).unwrap(), trained(1), "{args:?}");
            // The next run does not remove it either.
            model.run(args).ok();
            assert_eq!(fs::read(model.at(CHECKPOINT)).unwrap(), trained(1), "{args:?}");
        }
    }
}

/// `HEAD`, the index and the working tree have three different versions.
#[test]
fn only_the_very_content_of_head_is_removed() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    model.add(CHECKPOINT, &trained(2));
    let run = model.run(&["--replace"]);
    assert!(run.stderr.contains(".gitignore"), "{run:?}");
    assert!(run.stdout.contains("(updated)"), "{run:?}");
    run.ok();
    assert_eq!(fs::read(model.at(CHECKPOINT)).unwrap(), trained(2));
    let model = beside(&with_note(&converted(1)));
    model.write(CHECKPOINT, trained(3));
    let run = model.run(&["--replace"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(fs::read(model.at(CHECKPOINT)).unwrap(), trained(3));
    assert_eq!(model.git(&["ls-files", CHECKPOINT]), format!("{CHECKPOINT}\n"));
}

/// The file is up to date by the record, but its content is missing: it is converted again before its checkpoint is
/// removed.
#[test]
fn a_file_whose_content_is_gone_is_made_again_first() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    let file = fs::read(model.at(FILE)).unwrap();
    fs::remove_file(model.at(FILE)).unwrap();
    fs::remove_file(model.object(Oid::of(&file))).unwrap();
    model.run(&["--replace", "--commit"]).ok();
    assert!(removed(&model));
    assert_eq!(fs::read(model.object(Oid::of(&file))).unwrap(), file);
}

#[test]
fn the_shards_of_a_set_are_verified_with_their_index() {
    let made = super::shards::model();
    made.run::<&str>(&[]).ok();
    let paths = made.git(&["ls-files", "model*"]);
    let shards: Vec<_> = paths.lines().filter(|path| path.ends_with(".safetensors")).collect();
    let of = |path: &str| fs::read(made.at(path)).unwrap();
    // Nothing is wrong, a shard has another bit, or the shard index lacks a tensor.
    for wrong in ["", "shard", "index"] {
        let model = super::shards::model();
        for path in &shards {
            let mut bytes = with_note(&of(path));
            if wrong == "shard" && *path == shards[1] {
                *bytes.last_mut().unwrap() ^= 1;
            }
            model.add(path, &bytes);
        }
        let mut index: serde_json::Value =
            serde_json::from_slice(&of("model.safetensors.index.json")).unwrap();
        if wrong == "index" {
            index["weight_map"].as_object_mut().unwrap().remove("b");
        }
        model.add("model.safetensors.index.json", index.to_string().as_bytes());
        model.commit();
        let before = model.git(&["ls-files", "--stage"]);
        let run = model.run(&["--replace"]);
        if wrong.is_empty() {
            assert_eq!(run.stderr.matches("removed ").count(), 3, "{run:?}");
            run.ok();
            assert_eq!(model.git(&["ls-files", "pytorch_model*"]), "");
        } else {
            assert_eq!(run.code, Some(1), "{wrong}: {run:?}");
            assert_eq!(model.git(&["ls-files", "--stage"]), before);
            assert!(model.at("pytorch_model.bin.index.json").exists());
        }
    }
}

/// `--commit` commits a staged file that was verified as equal.
#[test]
fn a_verified_file_that_is_staged_is_committed() {
    let model = model(1);
    model.add(FILE, &with_note(&converted(1)));
    model.run(&["verify"]).ok();
    model.run(&["--commit"]).ok();
    assert_eq!(model.status(), "");
    assert!(model.git(&["show", "-s", "--format=%B", "HEAD"]).contains("Converted-From: "));
}
