//! Tests the record of conversions: its damage, its expiry, and obstacles to a conversion.

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
        // A file that git has is not kept a second time.
        assert!(!model.run(&["--force", CHECKPOINT]).stderr.contains("is kept in"));
    }
    let model = model(1);
    model.add(FILE, b"no safetensors file");
    assert!(status(&model, &[], 1, "refused")["reason"].as_str().unwrap().contains("not a safetensors file"));
}

/// A broken record never prevents a conversion.
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
    // The conversion also succeeds if the record cannot be written.
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

/// The record was replaced by something else: nothing in it is believed, and the program does not wait for it.
#[test]
#[cfg(unix)]
fn status_neither_believes_nor_waits_for_a_hostile_record() {
    let model = model(1);
    model.run(&["--commit"]).ok();
    let (path, text) = (record(&model), fs::read(record(&model)).unwrap());
    let outside = model.sandbox.path("outside.jsonl");
    let place = |how: &str| {
        let _may_be_absent = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        match how {
            // The valid record follows 100 MB of lines.
            "long" => fs::write(&path, [vec![b'\n'; 100 << 20], text.clone()].concat()).unwrap(),
            "one line" => fs::write(&path, vec![b'['; 100 << 20]).unwrap(),
            "pipe" => {
                let made = model.command("mkfifo", &model.dir).arg(&path).status().unwrap();
                assert!(made.success());
            }
            "link" => {
                fs::write(&outside, &text).unwrap();
                std::os::unix::fs::symlink(&outside, &path).unwrap();
            }
            "loop" => std::os::unix::fs::symlink(&path, &path).unwrap(),
            "device" => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
            "garbage" => fs::write(&path, b"\0\xff{}\n{\"type\":\"derived\"}\n").unwrap(),
            "directory" => fs::create_dir(&path).unwrap(),
            _ => fs::write(&path, b"").unwrap(),
        }
    };
    assert!(model.run(&["status"]).ok().contains("1 safetensors file up to date"));
    for how in ["long", "one line", "pipe", "link", "loop", "device", "garbage", "directory", "empty"] {
        place(how);
        let begun = std::time::Instant::now();
        let page = model.run(&["status"]).ok();
        assert!(page.contains("Unverified (1)\n") && !page.contains("up to date"), "{how}: {page}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{how}: {:?}", begun.elapsed());
        // A run that writes replaces it, and the target of a link stays unchanged.
        let run = model.run(&["verify"]);
        assert_eq!(run.code, Some(0), "{how}: {run:?}");
        if how == "link" {
            assert_eq!(fs::read(&outside).unwrap(), text);
        }
    }
    // A valid line about another checkpoint has no effect, because only contents count.
    let (oid, other) = (Oid::of(&trained(1)).to_string(), Oid::of(&trained(2)).to_string());
    let of =
        |line: &str| if line.contains("\"derived\"") { line.replace(&oid, &other) } else { line.to_owned() };
    let lie: Vec<_> = std::str::from_utf8(&text).unwrap().lines().map(of).collect();
    fs::write(&path, lie.join("\n") + "\n").unwrap();
    assert!(!model.run(&["status"]).ok().contains("up to date"));
}

#[test]
fn what_a_kill_left_beside_the_record_is_removed_by_a_run_that_records_nothing() {
    let model = Model::with("tied-2.bin");
    model.run::<&str>(&[]).ok();
    let left = model.at(".git/st-converted/st-convert-4194305-0sRkVf");
    fs::write(&left, "half").unwrap();
    model.run(&["--dry-run"]).ok();
    assert!(left.exists(), "a dry run removes nothing");
    model.run::<&str>(&[]).ok();
    assert!(!left.exists());
}
