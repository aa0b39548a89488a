//! Tests `verify` of files on the disk, in the working tree, in a commit, and behind pointers.

use std::fs;

use serde_json::Value;

use super::{CASES, CHECKPOINT, CONFIG, FILE, file, fixture, lines};
use crate::clone::World;
use crate::formats::fixtures;
use crate::hub::Builder;
use crate::sandbox::Sandbox;

#[test]
fn every_file_on_the_disk_gets_its_verdict() {
    let sandbox = Sandbox::new();
    for case in CASES {
        let dir = sandbox.path(case.file);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("config.json"), CONFIG).unwrap();
        fs::write(dir.join(CHECKPOINT), case.checkpoint()).unwrap();
        fs::write(dir.join(FILE), file(case.file)).unwrap();
        let output = sandbox.bin(&dir, &["verify", FILE]);
        case.check(&output);
        assert_eq!(
            output.stdout,
            sandbox.bin(&dir, &["verify", CHECKPOINT]).stdout,
            "by the checkpoint's name"
        );
        assert!(!output.stdout.contains("downloaded"), "{output:#?}");
    }
}

/// Outside of a repository the object IDs are computed for the report alone, and every checksum is checked all the same.
#[test]
fn plain_files_are_hashed_for_the_report_and_checked_without_it() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("plain");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("model.bin"), fs::read(fixtures().join("checkpoints/tied-2.bin")).unwrap()).unwrap();
    sandbox.bin(&dir, &["-q", "."]).ok();
    let file = fs::read(dir.join("model.safetensors")).unwrap();
    let checkpoint = fs::read(dir.join("model.bin")).unwrap();
    let report = lines(&sandbox.bin(&dir, &["verify", "--json", "model.safetensors"]));
    assert_eq!(report[0]["oid"], crate::hub::oid_of(&file));
    assert_eq!(report[0]["checkpoint_oid"], crate::hub::oid_of(&checkpoint));
    // The tensors stay equal, and the checksum of one is wrong.
    let data = &file[file.len() - 16..];
    for (name, bytes) in [("model.safetensors", &file), ("model.bin", &checkpoint)] {
        let mut bytes = bytes.clone();
        let at = bytes.windows(data.len()).position(|part| part == data).unwrap();
        bytes[at] ^= 1;
        fs::write(dir.join(name), bytes).unwrap();
    }
    for args in [&["verify", "model.safetensors"][..], &["verify", "--json", "model.safetensors"]] {
        let output = sandbox.bin(&dir, args);
        assert!(output.code != Some(0), "{output:?}");
        assert!(format!("{output:?}").contains("CRC-32"), "{output:?}");
    }
}

/// As a conversion finds them: in directories below, through links to files, and not in another repository.
#[test]
fn the_files_below_a_directory_without_a_repository_are_verified() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("models");
    for below in ["a", "a/b", "other/.git", "linked"] {
        fs::create_dir_all(dir.join(below)).unwrap();
    }
    for name in ["a/one.bin", "a/b/two.bin"] {
        fs::write(dir.join(name), fs::read(fixtures().join("checkpoints/tied-2.bin")).unwrap()).unwrap();
    }
    sandbox.bin(&dir, &["-q", "."]).ok();
    fs::copy(dir.join("a/one.safetensors"), dir.join("other/none.safetensors")).unwrap();
    std::os::unix::fs::symlink("../a/one.bin", dir.join("linked/one.bin")).unwrap();
    std::os::unix::fs::symlink("../a/one.safetensors", dir.join("linked/one.safetensors")).unwrap();
    std::os::unix::fs::symlink("../a", dir.join("linked/a")).unwrap();
    let verdicts = |args: &[&str]| {
        let output = sandbox.bin(&dir, &[&["verify", "--json"], args].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        let mut all = lines(&output);
        all.pop();
        all.iter().map(|one| (one["path"].clone(), one["verdict"].clone())).collect::<Vec<_>>()
    };
    let identical =
        |files: &[&str]| files.iter().map(|&file| (file.into(), "identical".into())).collect::<Vec<_>>();
    let all = ["a/b/two.safetensors", "a/one.safetensors", "linked/one.safetensors"];
    assert_eq!(verdicts(&["."]), identical(&all));
    let skipped = "other: skipped: another git repository";
    let output = sandbox.bin(&dir, &["verify", "."]);
    assert!(output.stderr.contains(skipped), "{output:?}");
    assert_eq!(verdicts(&["a"]), identical(&all[..2]));
    assert_eq!(verdicts(&["a/b/", "linked"]), identical(&[all[0], all[2]]));
    fs::create_dir(dir.join("bare")).unwrap();
    let empty = sandbox.bin(&dir, &["verify", "bare"]);
    let error = "error: nothing to verify: no safetensors files\n";
    assert!(empty.code == Some(2) && empty.stderr.starts_with(error), "{empty:?}");
    let none = sandbox.bin(&sandbox.path(""), &["verify", "models/other/nothing"]);
    assert_eq!(none.code, Some(2), "{none:?}");
}

/// The conversion of a file that has none is not looked for.
#[test]
fn a_file_that_is_no_checkpoint_is_said_to_be_none() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("files");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("config.json"), CONFIG).unwrap();
    fs::write(dir.join("model.bin"), fs::read(fixtures().join("checkpoints/tied-2.bin")).unwrap()).unwrap();
    let other = sandbox.bin(&dir, &["verify", "config.json"]);
    let error = "error: config.json: not a PyTorch checkpoint (found: unknown format)\n";
    assert!(other.code == Some(1) && other.stderr.starts_with(error), "{other:?}");
    let missing = sandbox.bin(&dir, &["verify", "model.bin"]);
    assert!(missing.stderr.contains("model.safetensors: file not found"), "{missing:?}");
}

/// Every conversion is identical, and differs with another byte: numpy arrays, deflated records, legacy files and all
/// others.
#[test]
fn what_is_converted_of_every_fixture_is_identical() {
    let sandbox = Sandbox::new();
    let (top, mut files) = (sandbox.path("all"), Vec::new());
    for (number, path) in fs::read_dir(fixtures().join("checkpoints")).unwrap().enumerate() {
        let path = path.unwrap().path();
        let dir = top.join(number.to_string());
        fs::create_dir_all(&dir).unwrap();
        fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
        files.push(format!("{number}/{}.safetensors", path.file_stem().unwrap().to_str().unwrap()));
    }
    sandbox.bin(&top, &["."]);
    files.retain(|file| top.join(file).exists());
    let verdicts = || {
        let args: Vec<_> = ["verify", "--json"].into_iter().chain(files.iter().map(String::as_str)).collect();
        let output = sandbox.bin(&top, &args);
        let mut all = lines(&output);
        all.pop();
        all
    };
    let all = verdicts();
    assert!(all.len() > 100 && all.len() == files.len(), "{} {}", all.len(), files.len());
    for one in &all {
        assert_eq!(one["verdict"], "identical", "{one:#}");
    }
    for path in files.iter().map(|file| top.join(file)) {
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    for one in verdicts() {
        assert_ne!(one["verdict"], "identical", "{one:#}");
    }
}

#[test]
fn the_work_tree_and_a_commit_may_say_other_things() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    fs::write(dir.join(CHECKPOINT), fixture("tied.bin")).unwrap();
    fs::write(dir.join("config.json"), CONFIG).unwrap();
    fs::write(dir.join(FILE), file("0.8.0-tied")).unwrap();
    sandbox.git(&dir, &["add", "-A"]);
    sandbox.git(&dir, &["commit", "-q", "-m", "two"]);
    fs::write(dir.join(FILE), file("flipped")).unwrap();
    let here = sandbox.bin(&dir, &["verify"]);
    assert_eq!(here.code, Some(1), "{here:#?}");
    assert!(here.stdout.starts_with("model.safetensors: differs from pytorch_model.bin\n"), "{here:#?}");
    for args in [&["verify", "--rev", "HEAD"][..], &["verify", "--rev", "main", FILE]] {
        let there = sandbox.bin(&dir, args);
        assert_eq!(there.code, Some(0), "{there:#?}");
        assert!(
            there.stdout.starts_with("model.safetensors: identical to pytorch_model.bin as converted by ")
        );
    }
    let none = sandbox.bin(&dir, &["verify", "--rev", "HEAD~1"]);
    assert_eq!(
        (none.code, none.stderr.as_str()),
        (Some(2), "error: nothing to verify: no safetensors files in HEAD~1\n")
    );
    assert_eq!(sandbox.bin(&dir, &["verify", "--rev", "nowhere"]).code, Some(2));
    assert_eq!(sandbox.bin(&dir, &["verify", "nowhere.safetensors"]).code, Some(2));
    // Nothing was written.
    assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), " M model.safetensors\n");
}

#[test]
fn one_bad_file_stops_no_other_and_json_says_it_all() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    for (at, checkpoint, converted) in
        [("a", "plain.bin", "swapped"), ("b", "tied.bin", "0.8.0-tied"), ("c", "many.bin", "reordered")]
    {
        fs::create_dir(dir.join(at)).unwrap();
        fs::write(dir.join(at).join("config.json"), CONFIG).unwrap();
        fs::write(dir.join(at).join(CHECKPOINT), fixture(checkpoint)).unwrap();
        fs::write(dir.join(at).join(FILE), file(converted)).unwrap();
    }
    fs::write(dir.join("alone.safetensors"), file("0.8.0-tied")).unwrap();
    sandbox.git(&dir, &["add", "-A"]);
    let output = sandbox.bin(&dir, &["verify", "--json"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    let found = lines(&output);
    let verdicts: Vec<_> =
        found.iter().map(|line| (line["path"].as_str(), line["verdict"].as_str())).collect();
    assert_eq!(
        verdicts[..4],
        [
            (Some("a/model.safetensors"), Some("differs")),
            (Some("alone.safetensors"), None),
            (Some("b/model.safetensors"), Some("identical")),
            (Some("c/model.safetensors"), Some("equal")),
        ]
    );
    let element = &found[0]["differences"][0];
    assert_eq!((element["kind"].as_str(), element["name"].as_str()), (Some("element"), Some("h.0.weight")));
    assert_eq!(element["index"], serde_json::json!([0, 0]));
    assert_eq!(element["checkpoint"]["bits"], "0xbf45b7de");
    assert_eq!(
        found[1]["reason"],
        "no checkpoint to compare with: none beside it, in the record or in the history"
    );
    assert_eq!(found[2]["tied"][0]["kept"], "transformer.wte.weight");
    assert_eq!(found[2]["oid"], crate::hub::oid_of(&file("0.8.0-tied")));
    assert_eq!(found[2]["checkpoint_oid"], crate::hub::oid_of(&fixture("tied.bin")));
    let summary = &found[4];
    for (key, count) in
        [("files", 4), ("identical", 1), ("equal", 1), ("differs", 1), ("stale", 0), ("failed", 1)]
    {
        assert_eq!(summary[key], count, "{key}");
    }
    assert_eq!(summary["exit_code"], 2);
    let below = sandbox.bin(&dir, &["verify", "b", "c"]);
    assert_eq!(below.code, Some(0), "{below:#?}");
}

#[test]
fn behind_pointers_both_come_from_the_server_and_leave_nothing() {
    for (converted, code) in [("0.8.0-tied", 0), ("other", 0), ("flipped", 1)] {
        let (checkpoint, bytes) = match converted {
            "other" => (fixture("many.bin"), file("other-choice")),
            converted => (fixture("tied.bin"), file(converted)),
        };
        let mut model = Builder::new();
        model.file("config.json", CONFIG).lfs(CHECKPOINT, checkpoint).lfs(FILE, bytes.clone()).commit("all");
        let world = World::with(&model);
        let dir = world.clone(&[]);
        for args in [&["verify"][..], &["verify", "--rev", "HEAD"]] {
            world.hub.forget_requests();
            let output = world.run(&dir, args);
            assert_eq!(output.code, Some(code), "{output:#?}");
            assert_eq!(super::fetched(&world, &bytes) == 0, converted == "0.8.0-tied", "{output:#?}");
        }
        let objects = dir.join(".git/lfs/objects");
        assert!(!objects.exists() || crate::clone::names(&objects).is_empty());
        assert!(super::is_swept(&dir));
        let offline = world.run(&dir, &["verify", "--offline"]);
        assert_eq!(offline.code, Some(2), "{offline:#?}");
        assert!(offline.stderr.contains("the LFS object is not downloaded"), "{offline:#?}");
    }
}

#[test]
fn two_checkpoints_of_one_name_are_not_guessed_between() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("both");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(CHECKPOINT), fixture("plain.bin")).unwrap();
    fs::write(dir.join("model.pt"), fixture("tied.bin")).unwrap();
    fs::write(dir.join(FILE), file("0.8.0-plain")).unwrap();
    let output = sandbox.bin(&dir, &["verify", FILE]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output
            .stderr
            .starts_with("error: model.safetensors: ambiguous checkpoint: model.pt or pytorch_model.bin\n")
    );
}

/// A directory of another repository is that, and a directory without tracked files contains none.
#[test]
fn a_directory_that_the_index_does_not_have() {
    let sandbox = Sandbox::new();
    let (dir, other) = (sandbox.repo("model"), sandbox.repo("other"));
    let url = other.display().to_string();
    sandbox.git(&other, &["commit", "-q", "--allow-empty", "-m", "one"]);
    sandbox.git(&dir, &["-c", "protocol.file.allow=always", "submodule", "-q", "add", &url, "sub mod"]);
    fs::create_dir(dir.join("new")).unwrap();
    fs::write(dir.join("new/model.bin"), fixture("tied.bin")).unwrap();
    let there = sandbox.bin(&dir, &["verify", "sub mod"]);
    let error = "error: sub mod: path is in the submodule `sub mod`\n\
                 hint: name that repository: `git -C 'sub mod' st-convert verify`\n";
    assert_eq!((there.code, there.stderr.as_str()), (Some(2), error), "{there:#?}");
    let new = sandbox.bin(&dir, &["verify", "new"]);
    assert!(new.code == Some(2) && new.stderr.starts_with("error: new: file not found\n"), "{new:#?}");
}

/// A revision of another kind is named, whoever reads it.
#[test]
fn a_revision_that_is_no_commit() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    fs::write(dir.join("a.txt"), "a").unwrap();
    sandbox.git(&dir, &["add", "-A"]);
    sandbox.git(&dir, &["commit", "-q", "-m", "one"]);
    sandbox.git(&dir, &["tag", "-a", "-m", "blob", "blob", "HEAD:a.txt"]);
    sandbox.git(&dir, &["tag", "tree", "HEAD^{tree}"]);
    let either = "revision `blob` is not a commit or a tree\n";
    for (args, error) in [
        (&["verify", "--rev", "tree"][..], "revision `tree` is not a commit\n"),
        (&["verify", "--rev", "blob"], either),
        (&["scan", "--rev", "blob"], either),
        (&["inspect", "blob:a.txt"], either),
        (&["diff", "blob", "HEAD"], either),
    ] {
        let run = sandbox.bin(&dir, args);
        assert!(run.code == Some(2) && run.stderr.contains(error), "{args:?}: {run:#?}");
        assert!(run.stderr.ends_with("hint: list the revisions: `git log --all --oneline`\n"), "{run:#?}");
    }
    assert_eq!(sandbox.bin(&dir, &["scan", "--rev", "tree"]).code, Some(0));
}

/// The header of a safetensors file.
type Header = serde_json::Map<String, Value>;
type Change = fn(&mut Header);

/// Returns a file with another header, and with the data of its tensors in another order.
fn rewritten(file: &[u8], change: Change, is_turned: bool, spaces: usize) -> Vec<u8> {
    let (len, rest) = file.split_at(8);
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(len.try_into().unwrap())).unwrap());
    let mut header: Header = serde_json::from_slice(header).unwrap();
    change(&mut header);
    let offset =
        |value: &Value, at: usize| usize::try_from(value["data_offsets"][at].as_u64().unwrap()).unwrap();
    let mut names: Vec<_> = header.keys().filter(|name| *name != "__metadata__").cloned().collect();
    names.sort_by_key(|name| (offset(&header[name], 0), offset(&header[name], 1)));
    if is_turned {
        names.reverse();
    }
    let mut turned = Vec::new();
    for name in names {
        let (begin, end) = (offset(&header[&name], 0), offset(&header[&name], 1));
        let at = turned.len();
        turned.extend_from_slice(&data[begin..end]);
        header[&name]["data_offsets"] = serde_json::json!([at, turned.len()]);
    }
    let mut text = serde_json::to_vec(&header).unwrap();
    let padded = text.len().next_multiple_of(8) + spaces;
    text.resize(padded, b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text, &turned].concat()
}

#[test]
fn an_equal_file_says_what_is_not_that_of_a_conversion() {
    let (same, other): (Change, Change) = (
        |_| {},
        |header| {
            header.insert("__metadata__".to_owned(), serde_json::json!({ "format": "pt", "by": "me" }));
        },
    );
    for (change, is_turned, spaces, expected, says) in [
        (same, false, 8, &["header"][..], "form of the header"),
        (other, false, 0, &["metadata"], "metadata"),
        (same, true, 0, &["order"], "order of the tensors"),
        (other, true, 8, &["metadata", "order"], "metadata, order of the tensors"),
    ] {
        let sandbox = Sandbox::new();
        let dir = sandbox.path("model");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(CHECKPOINT), fixture("plain.bin")).unwrap();
        fs::write(dir.join(FILE), rewritten(&file("0.8.0-plain"), change, is_turned, spaces)).unwrap();
        let output = sandbox.bin(&dir, &["verify", FILE]);
        let text = format!(
            "{FILE}: equal: same tensors as {CHECKPOINT}, bit for bit\n  compared every byte\n  not identical: {says}\n"
        );
        assert_eq!((output.stdout.as_str(), output.code), (text.as_str(), Some(0)));
        let line = lines(&sandbox.bin(&dir, &["verify", "--json", FILE])).remove(0);
        assert_eq!(line["variations"], serde_json::json!(expected));
    }
}
