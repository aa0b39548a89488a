//! Tests `scan MODEL`, a model of the Hub before its download: the results are those of the local files.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use git_st_convert::hash::Oid;
use serde_json::Value;

use super::{CALL, containers, fixtures, joined};
use crate::checkpoint::archive::{Record, write};
use crate::clone::{ID, World};
use crate::hub::{Access, Builder, Fault, Place, Right};
use crate::sandbox::Output;

const WEIGHTS: &[u8] = b"\x80\x02}q\x00.";

/// Returns the lines of `--json`, and the last one separately.
fn lines(output: &Output) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["exit_code"].as_i64(), output.code.map(i64::from), "{output:#?}");
    (lines, summary)
}

/// Returns the result for a file, without the `prefix` of its path.
fn judged(prefix: &str, line: &Value) -> (String, [Value; 5]) {
    let path = line["path"].as_str().unwrap().strip_prefix(prefix).unwrap().to_owned();
    (path, ["content", "verdict", "pickles", "reason", "size"].map(|key| line[key].clone()))
}

/// Returns a model of these files, under Git LFS or in git itself.
fn model(files: &[(String, Vec<u8>)]) -> Builder {
    let mut model = Builder::new();
    for (at, (name, bytes)) in files.iter().enumerate() {
        if at % 4 == 3 {
            model.file(name, bytes)
        } else {
            model.lfs(name, bytes.clone())
        };
    }
    model.commit("all");
    model
}

/// Returns the bytes of files that the hub sent.
fn sent(world: &World) -> u64 {
    let requests = world.hub.requests();
    let of_files = requests.iter().filter(|seen| !seen.path().starts_with("/api/") && seen.status < 300);
    of_files.map(|seen| seen.sent).sum()
}

#[test]
fn the_verdicts_are_those_of_the_same_files_here() {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    // One fixture is a pointer to an object that does not exist.
    for (path, bytes) in fixtures().into_iter().filter(|(path, _)| !path.ends_with("pointer.bin")) {
        files.push((format!("fixtures/{}", path.file_name().unwrap().to_str().unwrap()), bytes));
    }
    for (kind, pickle) in [("bad", joined(&[CALL, b"."])), ("good", WEIGHTS.to_vec())] {
        for (number, (_, file)) in containers(&pickle).into_iter().enumerate() {
            files.push((format!("{kind}/{number}.bin"), file));
        }
    }
    // These files are longer than one read at the beginning and one at the end.
    for (number, len) in [20_000, 90_000, 300_000, 1_500_000].into_iter().enumerate() {
        files.push((format!("long/{number}.txt"), b"word ".repeat(len / 5)));
        files.push((format!("long/{number}.pkl"), joined(&[&b"N0".repeat(len / 2), CALL, b"."])));
        let behind = write(&[Record::stored("a/data.pkl", &joined(&[CALL, b"."]))]);
        files.push((format!("long/{number}.zip"), joined(&[&vec![7; len], &behind])));
    }
    files.push(("nothing".to_owned(), Vec::new()));
    files.push((".gitattributes".to_owned(), Vec::new()));
    let world = World::with(&model(&files));
    let dir = world.sandbox.path("here");
    for (name, bytes) in &files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let here = world.run(&dir, &["--json", "scan", "."]);
    let far = world.run(&world.home(), &["--json", "scan", ID]);
    let ((here, here_end), (far, far_end)) = (lines(&here), lines(&far));
    assert!(here.len() > 150, "{}", here.len());
    let sorted = |prefix: &str, lines: &[Value]| {
        let mut all: Vec<_> = lines.iter().map(|line| judged(prefix, line)).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    };
    for (here, far) in sorted("./", &here).into_iter().zip(sorted(&format!("{ID}:"), &far)) {
        assert_eq!(far, here);
    }
    assert_eq!(far.len(), here.len());
    for key in ["files", "clean", "weights", "unknown", "unreadable", "dangerous", "failed", "exit_code"] {
        assert_eq!(far_end[key], here_end[key], "{key}");
    }
    assert!(far.iter().all(|line| line["left_out"].is_null() && line["model"] == ID));
}

/// Writes an archive of zeros with this pickle, of which the disk stores only the headers. Returns its length.
fn sparse(path: &Path, pickle: &[u8], storages: u32, bytes: u32) -> u64 {
    let mut file = fs::File::create(path).unwrap();
    let mut directory = Vec::new();
    let mut add = |name: &str, data: Option<&[u8]>, len: u32, crc: u32| {
        let mut fields = Vec::new();
        for number in [20_u16, 0x800, 0, 0, 0x21] {
            fields.extend(number.to_le_bytes());
        }
        for number in [crc, len, len] {
            fields.extend(number.to_le_bytes());
        }
        fields.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        fields.extend([0, 0]);
        let at = u32::try_from(file.stream_position().unwrap()).unwrap();
        file.write_all(&[b"PK\x03\x04".as_slice(), &fields, name.as_bytes()].concat()).unwrap();
        match data {
            Some(data) => file.write_all(data).unwrap(),
            None => drop(file.seek(SeekFrom::Current(len.into())).unwrap()),
        }
        directory.extend([b"PK\x01\x02\x14\x03".as_slice(), &fields, &[0; 10], &at.to_le_bytes()].concat());
        directory.extend(name.as_bytes());
    };
    add("bert/data.pkl", Some(pickle), u32::try_from(pickle.len()).unwrap(), crc32fast::hash(pickle));
    for number in 0..storages {
        add(&format!("bert/data/{number}"), None, bytes, 0);
    }
    let at = u32::try_from(file.stream_position().unwrap()).unwrap();
    let count = u16::try_from(storages + 1).unwrap().to_le_bytes();
    let len = u32::try_from(directory.len()).unwrap().to_le_bytes();
    file.write_all(&directory).unwrap();
    file.write_all(&[b"PK\x05\x06\0\0\0\0", &count[..], &count, &len, &at.to_le_bytes(), &[0, 0]].concat())
        .unwrap();
    file.stream_position().unwrap()
}

#[test]
fn a_model_of_a_gigabyte_costs_less_than_a_mebibyte() {
    // The numbers are those of BERT-large: as many tensors, and a pickle of that length.
    let hostile = joined(&[b"\x80\x02", &b"}0".repeat(30_000), CALL, b"."]);
    for (pickle, verdict) in [(WEIGHTS, "weights"), (&hostile, "dangerous")] {
        let world = World::with(Builder::new().file("config.json", "{}\n").commit("first"));
        let large = world.sandbox.path("pytorch_model.bin");
        let size = sparse(&large, pickle, 391, 3_400_000);
        let oid = Oid::of(pickle).to_string();
        let mut more = Builder::more();
        more.pointer("pytorch_model.bin", &oid, size).commit("weights");
        world.hub.add_model(ID, &more);
        fs::rename(&large, world.hub.object(ID, &oid)).unwrap();
        let output = world.run(&world.home(), &["--json", "scan", ID]);
        let (files, summary) = lines(&output);
        let file = files.iter().find(|file| file["path"] == format!("{ID}:pytorch_model.bin")).unwrap();
        assert_eq!((&file["verdict"], &file["size"], output.code), (&verdict.into(), &size.into(), Some(1)));
        assert_eq!(file["left_out"], serde_json::json!({"members": 391, "bytes": 391 * 3_400_000_u64}));
        assert_eq!(file["oid"], oid);
        assert_eq!(file["revision"], world.hub.rev(ID, "main").unwrap());
        let sent = sent(&world);
        assert!(size > 1_300_000_000 && sent < 1 << 20, "{sent} of {size}");
        assert_eq!(summary["read"].as_u64(), Some(sent));
        // A scan of the complete local file finds nothing else.
        let object = world.hub.object(ID, &oid);
        let here = world.run(&world.home(), &["--json", "scan", object.to_str().unwrap()]);
        assert_eq!(lines(&here).0[0]["pickles"], file["pickles"]);
    }
}

/// Returns a model of three files.
fn small() -> Builder {
    let mut model = Builder::without_attributes();
    model
        .file("config.json", "{}\n")
        .lfs("a/bad.bin", write(&[Record::stored("x/data.pkl", &joined(&[CALL, b"."]))]));
    model.lfs("model.bin", write(&[Record::stored("x/data.pkl", WEIGHTS)])).commit("first").tag("v1");
    model.remove("a/bad.bin").commit("second");
    model
}

#[test]
fn a_person_sees_all_files_of_the_model_and_what_was_read() {
    let world = World::with(&small());
    let output = world.run(&world.home(), &["scan", &format!("{ID}@v1")]);
    assert_eq!(
        output.stdout,
        "dangerous   acme/bert@v1:a/bad.bin (PyTorch zip file, 139 bytes, Git LFS)\n            \
         dangerous  os.system  x/data.pkl: byte 0\n\
         clean       acme/bert@v1:config.json (text, 3 bytes)\n\
         weights     acme/bert@v1:model.bin (PyTorch zip file, 124 bytes, Git LFS)\n\
         3 files: 1 dangerous, 1 weights (266 bytes of 266 bytes read)\n"
    );
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(1)));
}

#[test]
fn a_model_is_named_as_elsewhere_and_what_is_here_wins() {
    let world = World::with(&small());
    let home = world.home();
    let url = world.hub.url(ID);
    let commit = world.hub.rev(ID, "v1").unwrap();
    for (target, files) in [
        (ID.to_owned(), 2),
        (format!("{ID}@main"), 2),
        (format!("{ID}@v1"), 3),
        (format!("{ID}@{commit}"), 3),
        (format!("{ID}:model.bin"), 1),
        (format!("{ID}@v1:a/bad.bin"), 1),
        (url.clone(), 2),
        (format!("{url}/resolve/v1/a/bad.bin"), 1),
    ] {
        let (found, _) = lines(&world.run(&home, &["--json", "scan", &target]));
        assert_eq!(found.len(), files, "{target}: {found:#?}");
        // The reported path is valid as an argument.
        for file in found.iter().filter(|_| !target.contains("://")) {
            let (again, _) = lines(&world.run(&home, &["--json", "scan", file["path"].as_str().unwrap()]));
            assert_eq!((again.len(), &again[0]["verdict"]), (1, &file["verdict"]), "{file}");
        }
    }
    world.hub.forget_requests();
    let asks_nobody = |target: &str, code: i32| {
        let output = world.run(&home, &["--json", "scan", target]);
        assert_eq!(output.code, Some(code), "{target}: {output:#?}");
        assert_eq!(world.hub.requests().len(), 0, "{target}");
    };
    for missing in [
        "nothing.bin",
        "weights/model.bin",
        "weights/a.safetensors",
        "bert",
        "a/b/c.bin",
        "HEAD:model.bin",
        "./acme/bert",
        "acme/bert@",
        "ftp://h/a/b",
    ] {
        asks_nobody(missing, 2);
    }
    // The directory exists without the file: then the argument means a missing file.
    fs::create_dir(home.join("acme")).unwrap();
    asks_nobody(ID, 2);
    fs::write(home.join(ID), "text").unwrap();
    asks_nobody(ID, 0);
    let (named, _) = lines(&world.run(&home, &["--json", "scan", ID, &format!("{ID}@main")]));
    assert_eq!(named.len(), 3, "{named:#?}");
}

#[test]
fn all_files_are_of_one_commit_over_all_pages() {
    let files: Vec<_> = (0..50).map(|n| (format!("dir{}/{n}.txt", n % 7), b"text".to_vec())).collect();
    let world = World::with(&model(&files));
    let (found, summary) = lines(&world.run(&world.home(), &["--json", "scan", ID]));
    assert_eq!((found.len(), &summary["clean"]), (51, &51.into()));
    let commit = world.hub.rev(ID, "main").unwrap();
    let requests = world.hub.requests();
    let of_files: Vec<_> = requests.iter().filter(|seen| seen.path().contains("/resolve/")).collect();
    assert!(of_files.len() == 51 && of_files.iter().all(|seen| seen.path().contains(&commit)));
}

#[test]
fn a_page_of_directories_only_is_not_the_last() {
    // A page of the hub has 20 entries, and the directories above a file precede it.
    let deep = format!("{}/bad.bin", "d/".repeat(45).trim_end_matches('/'));
    let world = World::with(&model(&[(deep.clone(), joined(&[CALL, b"."]))]));
    let output = world.run(&world.home(), &["--json", "scan", ID]);
    let (found, summary) = lines(&output);
    assert_eq!((&summary["dangerous"], output.code), (&1.into(), Some(1)), "{found:#?}");
    assert!(found.iter().any(|file| file["path"] == format!("{ID}:{deep}")));
}

#[test]
fn whoever_may_not_see_it_is_told_what_helps() {
    let world = World::with(&small());
    world.hub.add_token("hf_owner", "owner", Right::Write);
    world.hub.add_token("hf_stranger", "stranger", Right::Public);
    let says = |output: &Output, parts: &[&str]| {
        assert_eq!(output.code, Some(2), "{output:#?}");
        for part in parts {
            assert!(output.stderr.contains(part), "{part}: {output:#?}");
        }
    };
    let home = world.home();
    says(&world.run(&home, &["scan", ID, "--offline"]), &["while offline", "--offline"]);
    says(&world.run(&home, &["scan", &format!("{ID}@nope")]), &["revision not found", "git ls-remote"]);
    world.hub.set_access(ID, Access::Gated);
    says(&world.run_as("hf_stranger", &home, &["scan", ID]), &["gated model", "request access"]);
    assert_eq!(world.run_as("hf_owner", &home, &["scan", ID]).code, Some(1));
    world.hub.set_access(ID, Access::Private);
    says(&world.run(&home, &["scan", ID]), &["hf auth login"]);
    let json = world.run(&home, &["--json", "scan", ID]);
    let (files, summary) = lines(&json);
    assert!(files.is_empty() && !summary["reason"].is_null(), "{json:#?}");
    assert_eq!(world.run_as("hf_owner", &home, &["scan", ID]).code, Some(1));
}

#[test]
fn a_server_without_ranges_gives_the_file_as_a_whole() {
    let bad = write(&[
        Record::stored("x/data.pkl", &joined(&[CALL, b"."])),
        Record::stored("x/data/0", &vec![0; 3 << 20]),
    ]);
    let oid = Oid::of(&bad).to_string();
    for fault in [Fault::NoRanges, Fault::Gzip] {
        let world = World::with(Builder::without_attributes().lfs("bad.bin", bad.clone()).commit("one"));
        world.hub.inject(fault.at(Place::content(&oid)));
        // The stream is cut once, and starts again.
        world.hub.inject(Fault::Cut(100_000).at(Place::content(&oid)).after(1).times(1));
        let (files, _) = lines(&world.run(&world.home(), &["--json", "scan", ID]));
        assert_eq!((&files[0]["verdict"], &files[0]["left_out"]), (&"dangerous".into(), &Value::Null));
        assert!(files[0]["read"].as_u64().unwrap() >= bad.len() as u64);
    }
}

#[test]
fn what_could_not_be_read_has_no_verdict() {
    let long = joined(&[&b"N0".repeat(400_000), CALL, b"."]);
    let oid = Oid::of(&long).to_string();
    let mut model = Builder::without_attributes();
    model.lfs("a.bin", long.clone()).file("b.json", "{}\n").commit("one");
    let world = World::with(&model);
    // The storage refuses after the first blocks.
    world.hub.inject(Fault::Status(500).at(Place::content(&oid)).after(2));
    let output = world.run(&world.home(), &["--json", "scan", ID]);
    let (files, summary) = lines(&output);
    assert_eq!((&files[0]["verdict"], output.code), (&Value::Null, Some(2)), "{files:#?}");
    assert_eq!((&files[1]["verdict"], &summary["failed"]), (&"clean".into(), &1.into()));
    // A missing object affects only its own file.
    world.hub.heal();
    fs::remove_file(world.hub.object(ID, &oid)).unwrap();
    let output = world.run(&world.home(), &["--json", "scan", ID]);
    let (files, _) = lines(&output);
    assert_eq!((&files[0]["verdict"], &files[1]["verdict"]), (&Value::Null, &"clean".into()));
    assert_eq!(output.code, Some(2));
    // The length differs from the pointer's.
    fs::write(world.hub.object(ID, &oid), "short").unwrap();
    let output = world.run(&world.home(), &["scan", ID]);
    assert!(output.stderr.contains("expected 800") && output.code == Some(2), "{output:#?}");
}

/// A list of files that never ends, with files on each page and without: it is an error, and not a part of the files.
#[test]
fn a_list_of_files_without_end_is_an_error() {
    let world = World::with(&small());
    let home = world.home();
    let path = format!("/api/models/{ID}/tree");
    for is_empty in [false, true] {
        let commit = world.hub.rev(ID, "main").unwrap();
        let again = format!("<{}{path}/{commit}?recursive=true>; rel=\"next\"", world.hub.endpoint());
        world.hub.inject(Fault::Header("Link", again).at(Place::path(&path)));
        if is_empty {
            world.hub.inject(Fault::Json(|page| *page = Value::Array(Vec::new())).at(Place::path(&path)));
        }
        world.hub.forget_requests();
        let output = world.run(&home, &["scan", ID]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{output:#?}");
        assert!(output.stderr.contains("too many pages"), "{output:#?}");
        assert!(world.hub.requests().len() < 250);
        world.hub.heal();
    }
}
