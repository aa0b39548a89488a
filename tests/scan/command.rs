//! Tests `git st-convert scan`: its sources, its output, and its exit codes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::CALL;
use crate::checkpoint::archive::{Record, write};
use crate::checkpoint::pickle::whole;
use crate::sandbox::{Output, Sandbox};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)).unwrap()
}

/// Returns the lines of `--json`: path, verdict and whether it is missing; and the exit code.
fn verdicts(output: &Output) -> (Vec<(String, Option<String>, bool)>, i64) {
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, files) = lines.split_last().unwrap();
    let facts = files.iter().map(|file| {
        let verdict = file["verdict"].as_str().map(str::to_owned);
        (file["path"].as_str().unwrap().to_owned(), verdict, file["missing"].as_bool().unwrap())
    });
    assert_eq!(summary["files"], files.len());
    assert_eq!(summary["exit_code"].as_i64(), output.code.map(i64::from));
    (facts.collect(), summary["exit_code"].as_i64().unwrap())
}

fn found(path: &str, verdict: &str) -> (String, Option<String>, bool) {
    (path.to_owned(), Some(verdict.to_owned()), false)
}

#[test]
fn a_person_sees_the_file_what_it_is_and_what_it_would_call() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir_all(dir.join("sub/.git")).unwrap();
    fs::write(dir.join("sub/model.pt"), fixture("os-system.bin")).unwrap();
    fs::write(dir.join("sub/.git/model.pt"), fixture("os-system.bin")).unwrap();
    fs::write(dir.join("weights.dat"), fixture("tied-2.bin")).unwrap();
    fs::write(dir.join("a.json"), "{}").unwrap();
    let output = sandbox.bin(&dir, &["scan", "."]);
    assert_eq!(
        output.stdout,
        "weights     ./weights.dat (PyTorch zip file, 1.8 KiB)\n\
         dangerous   ./sub/model.pt (PyTorch zip file, 1.3 KiB)\n            \
         dangerous  os.system  os-system/data.pkl: byte 252\n\
         3 files: 1 dangerous, 1 weights\n"
    );
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(1)));
    let output = sandbox.bin(&dir, &["scan", "a.json"]);
    assert_eq!((output.stdout.as_str(), output.code), ("1 file: no pickles found\n", Some(0)));
    let output = sandbox.bin(&dir, &["scan", "a.json", "nothing.bin", "weights.dat"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("nothing.bin: file not found"), "{output:#?}");
    // Outside of a repository, no index exists.
    assert_eq!(sandbox.bin(&dir, &["scan", "--staged"]).code, Some(2));
    assert_eq!(sandbox.bin(&dir, &["scan"]).code, Some(2));
    assert_eq!(sandbox.bin(&dir, &["scan", "--staged", "--rev", "HEAD"]).code, Some(2));
}

#[test]
fn code_outside_of_pickles_is_named_and_counts_where_it_runs() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("config.json"), r#"{"auto_map": {"AutoModel": "modeling_x.XModel"}}"#).unwrap();
    fs::write(dir.join("model.json"), r#"{"class_name": "Lambda", "config": {}}"#).unwrap();
    let output = sandbox.bin(&dir, &["scan", "config.json"]);
    assert_eq!(
        (output.stdout.as_str(), output.code),
        (
            "clean       config.json (text, 48 bytes)\n            clean      Python import: modeling_x.XModel\n\
             1 file: no pickles found, 1 with other code\n",
            Some(0)
        )
    );
    let output = sandbox.bin(&dir, &["scan", "model.json"]);
    assert_eq!(
        (output.stdout.as_str(), output.code),
        (
            "dangerous   model.json (text, 38 bytes)\n            dangerous  Keras object with code: Lambda\n\
             1 file: 1 dangerous, 1 with other code\n",
            Some(1)
        )
    );
    let lines = sandbox.bin(&dir, &["scan", "--json", "model.json"]).stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let code =
        serde_json::json!([{ "member": null, "kind": "keras", "name": "Lambda", "verdict": "dangerous" }]);
    assert_eq!((&lines[0]["code"], &lines[1]["code"], &lines[1]["exit_code"]), (&code, &1.into(), &1.into()));
    let log = sandbox.bin(&dir, &["scan", "--format", "sarif", "."]).stdout;
    let log: Value = serde_json::from_str(&log).unwrap();
    let rules: Vec<_> =
        log["runs"][0]["results"].as_array().unwrap().iter().map(|one| &one["ruleId"]).collect();
    assert_eq!(rules, ["other-code", "pickle-dangerous"]);
}

#[test]
fn what_cannot_be_opened_counts_by_its_name() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir(&dir).unwrap();
    let sealed = [b"7z\xbc\xaf\x27\x1c".as_slice(), &[0; 64]].concat();
    fs::write(dir.join("data.7z"), &sealed).unwrap();
    let (files, code) = verdicts(&sandbox.bin(&dir, &["scan", "--json", "data.7z"]));
    assert_eq!((files, code), (vec![found("data.7z", "unreadable")], 0));
    fs::write(dir.join("pytorch_model.bin"), &sealed).unwrap();
    assert_eq!(sandbox.bin(&dir, &["scan", "pytorch_model.bin"]).code, Some(2));
}

#[test]
fn the_index_a_commit_and_a_range() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    fs::write(dir.join("a.bin"), fixture("tied-2.bin")).unwrap();
    sandbox.git(&dir, &["add", "a.bin"]);
    // The staged version counts, not the one in the working tree.
    fs::write(dir.join("a.bin"), "text").unwrap();
    let (files, code) = verdicts(&sandbox.bin(&dir, &["scan", "--staged", "--json"]));
    assert_eq!((files, code), (vec![found("README.md", "clean"), found("a.bin", "weights")], 1));
    let (files, code) = verdicts(&sandbox.bin(&dir, &["scan", "--json"]));
    assert_eq!((files, code), (vec![found("README.md", "clean"), found("a.bin", "clean")], 0));
    sandbox.git(&dir, &["commit", "-q", "-m", "two"]);
    // The range contains the file, although its last commit removes it.
    sandbox.git(&dir, &["rm", "-qf", "a.bin"]);
    fs::write(dir.join("b.txt"), "b").unwrap();
    sandbox.git(&dir, &["add", "b.txt"]);
    sandbox.git(&dir, &["commit", "-q", "-m", "three"]);
    let (files, code) = verdicts(&sandbox.bin(&dir, &["scan", "--range", "HEAD~2..HEAD", "--json"]));
    assert_eq!((files, code), (vec![found("b.txt", "clean"), found("a.bin", "weights")], 1));
    let (files, code) = verdicts(&sandbox.bin(&dir, &["scan", "--range", "HEAD~1..", "--json"]));
    assert_eq!((files, code), (vec![found("b.txt", "clean")], 0));
    let (files, _) =
        verdicts(&sandbox.bin(&dir, &["scan", "--range", &format!("{}..HEAD", "0".repeat(40)), "--json"]));
    assert_eq!(files.len(), 3);
    let (files, code) = verdicts(&sandbox.bin(&dir, &["scan", "--rev", "HEAD~1", "--json"]));
    assert_eq!((files, code), (vec![found("README.md", "clean"), found("a.bin", "weights")], 1));
    let one = sandbox.bin(&dir, &["scan", "--range", "HEAD"]);
    assert_eq!(one.code, Some(2), "one revision adds nothing to itself: {one:#?}");
    assert!(one.stderr.contains("expected A..B"), "{one:#?}");
    assert_eq!(sandbox.bin(&dir, &["scan", "--rev", "nowhere"]).code, Some(2));
    // Commits and named files can be scanned without a working tree.
    sandbox.git(&dir, &["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = sandbox.path("bare.git");
    for args in [["--rev", "HEAD~1"], ["--range", "HEAD~2..HEAD"]] {
        let (files, code) = verdicts(&sandbox.bin(&bare, &["scan", args[0], args[1], "--json"]));
        assert_eq!((files.last(), code), (Some(&found("a.bin", "weights")), 1));
    }
    let (files, _) = verdicts(&sandbox.bin(&bare, &["scan", "../repo/b.txt", "--json"]));
    assert_eq!(files, vec![found("../repo/b.txt", "clean")]);
    assert_eq!(sandbox.bin(&bare, &["scan", "--staged"]).code, Some(2));
    // A merge of known files adds nothing.
    sandbox.git(&dir, &["checkout", "-q", "-b", "side", "HEAD~2"]);
    fs::write(dir.join("c.txt"), "c").unwrap();
    sandbox.git(&dir, &["add", "c.txt"]);
    sandbox.git(&dir, &["commit", "-q", "-m", "side"]);
    sandbox.git(&dir, &["merge", "-q", "-m", "merge", "main"]);
    let (files, _) = verdicts(&sandbox.bin(&dir, &["scan", "--range", "main..side", "--json"]));
    assert_eq!(files, vec![found("c.txt", "clean")]);
}

#[test]
fn a_pointer_stands_for_its_object_and_says_so_if_that_is_not_here() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    let content = fixture("tied-2.bin");
    let oid = git_st_convert::hash::Oid::of(&content).to_string();
    let pointer =
        |size| format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n");
    fs::write(dir.join("model.bin"), pointer(content.len())).unwrap();
    fs::write(dir.join("model.safetensors"), pointer(content.len())).unwrap();
    sandbox.git(&dir, &["add", "."]);
    let output = sandbox.bin(&dir, &["scan", "--staged", "--json"]);
    let (files, code) = verdicts(&output);
    let missing = |path: &str| (path.to_owned(), None, true);
    assert_eq!(code, 2);
    assert_eq!(files, [found("README.md", "clean"), missing("model.bin"), missing("model.safetensors")]);
    // A file that has the name of another kind is reported, and is not a failure.
    fs::remove_file(dir.join("model.bin")).unwrap();
    sandbox.git(&dir, &["rm", "-q", "--cached", "model.bin"]);
    assert_eq!(sandbox.bin(&dir, &["scan", "--staged"]).code, Some(0));
    let store = dir.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]);
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join(&oid), &content).unwrap();
    for args in [
        &["scan", "--staged", "--json"][..],
        &["scan", "--json"],
        &["scan", "--json", "README.md", "model.safetensors"],
    ] {
        let (files, code) = verdicts(&sandbox.bin(&dir, args));
        assert_eq!((code, &files[1]), (1, &found("model.safetensors", "weights")));
    }
}

#[test]
fn a_large_blob_is_read_in_pieces() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    // Both files are longer than one read; the first bytes decide only about the second.
    let padded = [&b"N0".repeat(9 << 20), CALL, b"."].concat();
    fs::write(dir.join("padded.bin"), padded).unwrap();
    fs::write(dir.join("zeros.bin"), vec![0; 18 << 20]).unwrap();
    sandbox.git(&dir, &["add", "."]);
    fs::write(dir.join("padded.bin"), "text").unwrap();
    let (files, code) = verdicts(&sandbox.bin(&dir, &["scan", "--staged", "--json"]));
    assert_eq!(code, 1);
    assert_eq!(
        files,
        [found("README.md", "clean"), found("padded.bin", "dangerous"), found("zeros.bin", "clean")]
    );
}

#[test]
fn a_blob_that_a_partial_clone_left_out_is_said_and_not_fetched() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("origin");
    fs::write(dir.join("a.bin"), fixture("tied-2.bin")).unwrap();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-q", "-m", "two"]);
    sandbox.git(&dir, &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", dir.display());
    sandbox.git(&sandbox.path(""), &["clone", "-q", "--no-checkout", "--filter=blob:none", &url, "partial"]);
    let partial = sandbox.path("partial");
    let count = || sandbox.git(&partial, &["count-objects", "-v"]);
    let before = count();
    for args in [["scan", "--json", "--rev", "HEAD"], ["scan", "--json", "--range", "HEAD~1..HEAD"]] {
        let (files, code) = verdicts(&sandbox.bin(&partial, &args));
        assert_eq!(code, 2);
        assert!(files.iter().all(|(_, verdict, missing)| verdict.is_none() && *missing), "{files:?}");
    }
    assert_eq!(count(), before);
}

#[test]
fn sarif_has_what_code_scanning_asks_for() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir_all(dir.join("a b")).unwrap();
    fs::write(dir.join("a b/ü#.bin"), fixture("os-system.bin")).unwrap();
    fs::write(dir.join("clean.txt"), "text").unwrap();
    fs::write(dir.join("tied.bin"), fixture("tied-2.bin")).unwrap();
    let output =
        sandbox.bin(&dir, &["scan", "--format", "sarif", "a b", "clean.txt", "tied.bin", "gone.bin"]);
    assert_eq!(output.code, Some(2));
    let log: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "git-st-convert");
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let results = run["results"].as_array().unwrap();
    let facts: Vec<_> = results
        .iter()
        .map(|result| {
            let rule = &run["tool"]["driver"]["rules"]
                [usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(place["region"]["startLine"], 1);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&result["ruleId"]), text(&result["level"]), text(&place["artifactLocation"]["uri"]))
        })
        .collect();
    let expected = [
        ("pickle-dangerous", "error", "a%20b/%C3%BC%23.bin"),
        ("pickle-weights", "warning", "tied.bin"),
        ("content-not-seen", "note", "gone.bin"),
    ];
    let expected = expected.map(|(rule, level, uri)| (rule.to_owned(), level.to_owned(), uri.to_owned()));
    assert_eq!(facts, expected);
}

#[test]
fn an_archive_after_other_bytes_is_found_in_a_long_blob_too() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    let archive = write(&[Record::stored("a/data.pkl", &[CALL, b"."].concat())]);
    let mut expected = Vec::new();
    for len in [100, 3_000, 5_000, 7_000, 40_000, 63_000, 70_000] {
        let mut file = whole(&[b"](".as_slice(), &b"N".repeat(len), b"e"].concat());
        // A blob of this length is scanned by its first bytes.
        file.resize(17 << 20, 0);
        fs::write(dir.join(format!("{len}.bin")), [&file[..], &archive].concat()).unwrap();
        expected.push(found(&format!("{len}.bin"), "dangerous"));
    }
    // Beginnings that are no pickle.
    let line = [b"V".as_slice(), &b"a".repeat(5_000), b"\n\xff"].concat();
    let safetensors = [b"\x02\0\0\0\0\0\0\0{}".as_slice(), &[0; 9]].concat();
    let beginnings: [(&str, &[u8]); 5] = [
        ("line", &line),
        ("other", b"\xff"),
        ("text", b"text\n"),
        ("gguf", b"GGUF"),
        ("header", &safetensors),
    ];
    for (name, beginning) in beginnings {
        let mut file = beginning.to_vec();
        file.resize(17 << 20, if name == "text" { b'a' } else { 0 });
        fs::write(dir.join(format!("{name}.bin")), [&file[..], &archive].concat()).unwrap();
        expected.push(found(&format!("{name}.bin"), "dangerous"));
    }
    expected.sort();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-q", "-m", "blobs"]);
    for args in [["scan", "--json", "--rev", "HEAD"].as_slice(), &["scan", "--json"]] {
        let (mut files, code) = verdicts(&sandbox.bin(&dir, args));
        files.retain(|(path, ..)| path != "README.md");
        files.sort();
        assert_eq!((files, code), (expected.clone(), 1), "{args:?}");
    }
    // The hook has no file of the working tree to read instead.
    for (path, ..) in &expected {
        fs::remove_file(dir.join(path)).unwrap();
    }
    sandbox.git(&dir, &["update-ref", "-d", "HEAD"]);
    let hook = sandbox.bin(&dir, &["hook", "run", "pre-commit"]);
    assert_eq!(hook.stderr.matches("os.system").count(), expected.len(), "{hook:#?}");
}
