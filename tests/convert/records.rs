//! The record of what was converted: what breaks it, and what it forgets; and what stands in the way of a conversion.

use std::fs;

use git_st_convert::hash::Oid;

use super::states::{CHECKPOINT, FILE, epoch_of, model, record, status, trained};
use super::{Model, fixture};

#[test]
fn what_differs_is_refused_and_its_content_is_not_lost() {
    for is_tracked in [true, false] {
        let model = model(1);
        let other = fixture("dtype-int64.bin");
        model.write("other.bin", &other);
        model.run(&["other.bin", "-o", FILE]).ok();
        let old = fs::read(model.at(FILE)).unwrap();
        if is_tracked {
            model.git(&["add", FILE]);
            fs::remove_file(model.object(Oid::of(&old))).unwrap_or_default();
        }
        let file = status(&model, &[], 1, "refused");
        let reason = file["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("cannot write {FILE}: file exists: tensor ")), "{reason}");
        assert_eq!(fs::read(model.at(FILE)).unwrap(), old);
        let run = model.run(&["--force", CHECKPOINT]);
        let oid = Oid::of(&old);
        let kept = format!("{FILE}: the old file is kept in the LFS storage: sha256 {oid}\n");
        assert!(run.stderr.contains(&kept), "{run:?}");
        run.ok();
        assert_eq!(fs::read(model.object(oid)).unwrap(), old);
        assert_eq!(epoch_of(&model), 1);
        // What git has is not put there again.
        assert!(!model.run(&["--force", CHECKPOINT]).stderr.contains("is kept in"));
    }
    let model = model(1);
    model.add(FILE, b"no safetensors file");
    assert!(status(&model, &[], 1, "refused")["reason"].as_str().unwrap().contains("not a safetensors file"));
}

/// A record is a help, and never in the way.
#[test]
fn a_record_that_is_garbage_says_nothing() {
    let content = |model: &Model| fs::read(record(model)).unwrap();
    let broken: [fn(Vec<u8>) -> Vec<u8>; 5] = [
        |_| b"\0\xff garbage".to_vec(),
        |mut text| {
            text.truncate(text.len() / 3);
            text
        },
        |text| String::from_utf8(text).unwrap().replace("\"derived\"", "\"derived-9\"").into_bytes(),
        |_| vec![b'['; 1 << 20],
        |_| Vec::new(),
    ];
    for breaks in broken {
        let model = model(1);
        model.run(&["--commit"]).ok();
        let text = content(&model);
        fs::write(record(&model), breaks(text)).unwrap();
        status(&model, &[], 0, "unverified");
        model.run(&["verify"]).ok();
        status(&model, &[], 0, "up-to-date");
    }
    // Where it cannot be written, the conversion is done all the same.
    let model = model(1);
    fs::write(model.at(".git/st-converted"), "a file").unwrap();
    status(&model, &[], 0, "converted");
    status(&model, &[], 0, "unverified");
    let model = self::model(1);
    model.run::<&str>(&[]).ok();
    fs::remove_file(record(&model)).unwrap();
    fs::create_dir(record(&model)).unwrap();
    status(&model, &[], 0, "unverified");
}

#[test]
fn a_record_is_pruned_when_both_files_are_gone() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    assert!(fs::read_to_string(record(&model)).unwrap().contains(CHECKPOINT));
    model.git(&["rm", "-q", CHECKPOINT, FILE]);
    model.commit();
    fs::remove_dir_all(model.at(".git/lfs/objects")).unwrap();
    model.add("other.bin", &trained(7));
    model.run::<&str>(&[]).ok();
    let text = fs::read_to_string(record(&model)).unwrap();
    assert!(!text.contains(CHECKPOINT) && text.contains("other.bin"), "{text}");
}
