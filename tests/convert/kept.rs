//! Tests that the only copy of a content is kept: a conversion of another checkpoint, a file of another program, a
//! checkpoint whose LFS object is damaged, and everything that an empty variable would mean.

use std::fs;

use git_st_convert::hash::Oid;

use super::Model;
use super::states::{CHECKPOINT, FILE, epoch_of, model, status, trained};

const OTHER: &str = "model.pt";

#[test]
fn a_conversion_of_another_checkpoint_is_not_written_over() {
    for is_committed in [true, false] {
        let model = model(1);
        model.add(OTHER, &trained(2));
        model.commit();
        let args: &[&str] = if is_committed { &["--replace", "--commit"] } else { &["--replace"] };
        model.run(&[args, &[CHECKPOINT]].concat()).ok();
        assert_eq!((model.at(CHECKPOINT).exists(), epoch_of(&model)), (false, 1));
        // The other checkpoint has not changed, and was never converted.
        let page = model.run(&["status"]).stdout;
        assert!(!page.contains("Stale") && page.contains("Unverified (1)\n    model.pt"), "{page}");
        let run = model.run::<&str>(&[]);
        assert!(epoch_of(&model) == 1 && !run.stdout.contains("updated"), "{run:?}");
        let run = model.run(&["--replace"]);
        assert_eq!((run.code, epoch_of(&model), model.at(OTHER).exists()), (Some(1), 1, true), "{run:?}");
        let verified = model.run(&["verify", OTHER]);
        assert!(verified.stdout.contains("differs from model.pt"), "{verified:?}");
        // After more training, the file is still not a conversion of the other checkpoint.
        model.add(OTHER, &trained(3));
        let run = model.run::<&str>(&[]);
        assert_eq!(epoch_of(&model), 1, "{run:?}");
        model.run(&["--force", OTHER]).ok();
        assert_eq!(epoch_of(&model), 3);
    }
    // The checkpoints are named one after the other.
    let model = model(1);
    model.add(OTHER, &trained(2));
    model.commit();
    model.run(&[CHECKPOINT]).ok();
    let run = model.run(&[OTHER]);
    assert!(epoch_of(&model) == 1 && !run.stdout.contains("updated"), "{run:?}");
}

#[test]
fn a_checkpoint_without_an_extension_is_what_its_output_is_verified_against() {
    let model = Model::new();
    for path in ["q.bin", "noext"] {
        model.add(path, &trained(1));
    }
    model.commit();
    model.run(&["--commit"]).ok();
    model.git(&["rm", "-q", "q.bin"]);
    assert!(model.run(&["verify", "noext.safetensors"]).ok().contains("identical to noext"));
    model.add("noext", &trained(2));
    let run = model.run(&["verify", "noext.safetensors"]);
    assert!(run.code == Some(1) && run.stdout.contains("noext.safetensors: stale: noext changed"), "{run:?}");
    // The record still contains the removed checkpoint.
    assert!(model.run(&["verify", "q.safetensors"]).ok().contains("identical to q.bin"));
}

#[test]
fn a_file_that_is_only_equal_is_not_written_over_when_its_checkpoint_changes() {
    let model = model(1);
    model.run::<&str>(&[]).ok();
    let ours = fs::read(model.at(FILE)).unwrap();
    let theirs = super::replaced::with_note(&ours);
    fs::remove_dir_all(model.at(".git/st-converted")).unwrap();
    model.add(FILE, &theirs);
    model.commit();
    assert!(model.run(&["verify"]).ok().contains("equal"));
    model.add(CHECKPOINT, &trained(2));
    let run = model.run::<&str>(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(fs::read(model.at(FILE)).unwrap() == theirs, "{run:?}");
    status(&model, &["--force"], 0, "converted");
    assert_eq!(epoch_of(&model), 2);
}

#[test]
fn a_checkpoint_whose_object_is_damaged_stays() {
    let bytes = trained(1);
    for is_damaged in [true, false] {
        let model = model(1);
        model.run(&["--commit"]).ok();
        let object = model.object(Oid::of(&bytes));
        let mut content = bytes.clone();
        content[100] ^= u8::from(is_damaged);
        fs::remove_file(&object).unwrap();
        fs::write(&object, content).unwrap();
        let run = model.run(&["--replace"]);
        assert_eq!(model.at(CHECKPOINT).exists(), is_damaged, "{run:?}");
        let note = "kept in the working tree only, because git could not give it back";
        assert_eq!(run.stderr.contains(note), is_damaged, "{run:?}");
        if is_damaged {
            assert!(fs::read(model.at(CHECKPOINT)).unwrap() == bytes);
        }
    }
}

#[test]
fn status_sees_every_checkpoint_that_a_run_converts() {
    let model = Model::new();
    let names = ["noext", "w.h5", "w.data", "w.th", "x.model", "w.bin.1"];
    for (epoch, name) in (1..).zip(names) {
        model.add(name, &trained(epoch));
    }
    for text in ["README.md", "vocab.txt", "a.model"] {
        model.add(text, b"text");
    }
    model.commit();
    let would = model.run(&["-n", "--json"]).stdout;
    let status = model.run(&["status", "--json"]).stdout;
    for name in names {
        let is_in = |text: &str, key: &str| text.contains(&format!("\"{key}\":\"{name}\""));
        assert_eq!(is_in(&would, "source"), is_in(&status, "checkpoint"), "{name}: {would} {status}");
        assert!(is_in(&would, "source"), "{name}");
    }
    assert!(!status.contains("README") && !status.contains("a.model"), "{status}");
}

#[test]
fn a_checkpoint_is_no_output_to_write_over() {
    let model = model(1);
    for other in ["other.pt", "other.safetensors"] {
        model.write(other, trained(2));
        let run = model.run(&["--force", "--output", other, CHECKPOINT]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(&format!("cannot write {other}: file exists")), "{run:?}");
        assert!(fs::read(model.at(other)).unwrap() == trained(2));
    }
    // A safetensors file is overwritten, and so is a file of no known format.
    for content in [b"text".to_vec(), fs::read(model.at("out.safetensors")).unwrap_or_default()] {
        model.write("out.safetensors", content);
        model.run(&["--force", "--output", "out.safetensors", CHECKPOINT]).ok();
    }
}

#[test]
fn an_output_that_was_deleted_is_written_again() {
    for has_object in [true, false] {
        let model = model(1);
        model.run(&["--commit"]).ok();
        let bytes = fs::read(model.at(FILE)).unwrap();
        fs::remove_file(model.at(FILE)).unwrap();
        if !has_object {
            fs::remove_file(model.object(Oid::of(&bytes))).unwrap();
        }
        assert!(model.run(&["status"]).stdout.contains("Not converted (1)"));
        model.run::<&str>(&[]).ok();
        assert!(fs::read(model.at(FILE)).unwrap() == bytes);
        assert_eq!(model.status(), "");
        model.git(&["lfs", "fsck"]);
        assert!(model.run::<&str>(&[]).ok().contains("(up to date)"));
    }
}

#[test]
fn an_empty_word_means_nothing() {
    let model = model(1);
    for args in [
        &["--replace", ""][..],
        &[""],
        &["status", ""],
        &["verify", ""],
        &["scan", ""],
        &["diff", "", ""],
        &["diff", "HEAD", "HEAD", "--", ""],
        &["inspect", ""],
        &["clone", ""],
    ] {
        let run = model.run(args);
        assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
        assert!(run.stderr.contains("invalid value ''"), "{args:?}: {run:?}");
    }
    assert_eq!(model.status(), "");
}
