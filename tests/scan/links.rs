//! Tests links: which are followed, the names of their targets in the output, and the notes on the others.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::sandbox::{Output, Sandbox};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)).unwrap()
}

/// A path, and its verdict.
type File = (String, String);
/// A path, a note, and the subject of the note.
type Note = (String, String, String);

/// Returns the files with their verdicts, and the notes.
fn told(output: &Output) -> (Vec<File>, Vec<Note>) {
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
    let files = of("file").iter().map(|file| (text(&file["path"]), text(&file["verdict"]))).collect();
    let notes =
        of("note").into_iter().map(|note| (text(&note["path"]), text(&note["note"]), text(&note["same_as"])));
    (files, notes.collect())
}

fn pair(path: &str, verdict: &str) -> File {
    (path.to_owned(), verdict.to_owned())
}

fn note(path: &str, what: &str, same_as: &str) -> Note {
    (path.to_owned(), what.to_owned(), same_as.to_owned())
}

#[test]
fn a_cache_of_the_hub_is_told_by_the_names_of_its_snapshots() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("");
    let model = dir.join("models--a--b");
    for below in ["blobs", "refs", "snapshots/one", "snapshots/two"] {
        fs::create_dir_all(model.join(below)).unwrap();
    }
    fs::write(model.join("refs/main"), "one").unwrap();
    fs::write(model.join("blobs/aaaa"), fixture("tied-2.bin")).unwrap();
    fs::write(model.join("blobs/bbbb"), "{}").unwrap();
    fs::write(model.join("blobs/cccc"), fixture("os-system.bin")).unwrap();
    for (name, blob) in
        [("one/pytorch_model.bin", "aaaa"), ("one/config.json", "bbbb"), ("two/other.bin", "aaaa")]
    {
        symlink(format!("../../blobs/{blob}"), model.join("snapshots").join(name)).unwrap();
    }
    let output = sandbox.bin(&dir, &["scan", "--json", "models--a--b"]);
    let (files, notes) = told(&output);
    let expected = [
        pair("models--a--b/refs/main", "clean"),
        pair("models--a--b/snapshots/one/config.json", "clean"),
        pair("models--a--b/snapshots/one/pytorch_model.bin", "weights"),
        // No snapshot links to this blob.
        pair("models--a--b/blobs/cccc", "dangerous"),
    ];
    assert_eq!(files, expected, "{output:#?}");
    let other = "models--a--b/snapshots/two/other.bin";
    assert_eq!(notes, [note(other, "scanned", "models--a--b/snapshots/one/pytorch_model.bin")]);
    assert_eq!(output.code, Some(1));
    // The blobs of a snapshot are above it.
    let output = sandbox.bin(&model.join("snapshots"), &["scan", "two"]);
    assert!(output.stdout.starts_with("weights     two/other.bin ("), "{output:#?}");
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(1)));
}

#[test]
fn what_is_not_followed_is_said_and_no_reason_to_fail() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::create_dir_all(dir.join("../out")).unwrap();
    fs::write(dir.join("z.txt"), "text").unwrap();
    fs::write(dir.join("../out/model.pt"), fixture("os-system.bin")).unwrap();
    symlink("gone.bin", dir.join("dangling.bin")).unwrap();
    symlink("loop", dir.join("loop")).unwrap();
    symlink("../out", dir.join("directory")).unwrap();
    symlink("z.txt", dir.join("a.txt")).unwrap();
    symlink("/dev/null", dir.join("device")).unwrap();
    let made = sandbox.command("mkfifo".as_ref(), &dir, &["pipe".as_ref()]).status().unwrap();
    assert!(made.success());
    let output = sandbox.bin(&dir, &["scan", "--json", "."]);
    let (files, notes) = told(&output);
    assert_eq!(files, [pair("./z.txt", "clean")], "{output:#?}");
    let expected = [
        note("./pipe", "not-a-file", ""),
        note("./a.txt", "scanned", "./z.txt"),
        note("./dangling.bin", "dangling", ""),
        note("./device", "not-a-file", ""),
        note("./directory", "directory", ""),
        note("./loop", "dangling", ""),
    ];
    assert_eq!((notes, output.code), (expected.to_vec(), Some(0)));
    let output = sandbox.bin(&dir, &["scan", "."]);
    for said in [
        "./dangling.bin: dangling link (gone.bin)",
        "./directory: link to a directory, not followed (../out)",
        "./a.txt: same file as ./z.txt, scanned once",
        "./pipe: not a regular file, not scanned",
    ] {
        assert!(output.stderr.contains(said), "no `{said}` in {}", output.stderr);
    }
    // A named target must exist, and the program does not wait for a pipe.
    for name in ["dangling.bin", "pipe"] {
        assert_eq!(sandbox.bin(&dir, &["scan", name]).code, Some(2));
    }
    // A file with two names is scanned once.
    let (files, notes) = told(&sandbox.bin(&dir, &["scan", "--json", "a.txt", "z.txt"]));
    assert_eq!((files, notes), (vec![pair("a.txt", "clean")], vec![note("z.txt", "scanned", "a.txt")]));
}

#[test]
fn a_link_that_leads_out_of_a_work_tree_is_followed_and_said() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    fs::write(sandbox.path("model.pt"), fixture("os-system.bin")).unwrap();
    fs::create_dir(dir.join("sub")).unwrap();
    symlink("../../model.pt", dir.join("sub/out.pt")).unwrap();
    symlink("sub/out.pt", dir.join("again.pt")).unwrap();
    sandbox.git(&dir, &["add", "."]);
    for (args, prefix) in [(&["scan", "--json", "."][..], "./"), (&["scan", "--json"], "")] {
        let output = sandbox.bin(&dir, args);
        let (files, notes) = told(&output);
        let first = format!("{prefix}again.pt");
        let expected = [pair(&format!("{prefix}README.md"), "clean"), pair(&first, "dangerous")];
        assert_eq!(files, expected, "{output:#?}");
        let expected = [
            note(&first, "outside", ""),
            note(&format!("{prefix}sub/out.pt"), "outside", ""),
            note(&format!("{prefix}sub/out.pt"), "scanned", &first),
        ];
        assert_eq!((notes, output.code), (expected.to_vec(), Some(1)));
    }
}

#[test]
fn the_tracked_files_are_told_by_their_own_names() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    fs::write(dir.join("model.dat"), fixture("tied-2.bin")).unwrap();
    symlink("model.dat", dir.join("a.dat")).unwrap();
    symlink("gone.dat", dir.join("gone")).unwrap();
    sandbox.git(&dir, &["add", "."]);
    // The user replaced a file by a link.
    fs::remove_file(dir.join("README.md")).unwrap();
    fs::write(dir.join("untracked.md"), "text").unwrap();
    symlink("untracked.md", dir.join("README.md")).unwrap();
    let output = sandbox.bin(&dir, &["scan", "--json"]);
    let (files, notes) = told(&output);
    assert_eq!(files, [pair("model.dat", "weights"), pair("README.md", "clean")], "{output:#?}");
    let expected = [note("a.dat", "scanned", "model.dat"), note("gone", "dangling", "")];
    assert_eq!((notes, output.code), (expected.to_vec(), Some(1)));
    // If links are checked out as files, the text of a link is its content.
    sandbox.git(&dir, &["config", "core.symlinks", "false"]);
    fs::remove_file(dir.join("gone")).unwrap();
    fs::write(dir.join("gone"), b"cos\nsystem\n(S'id'\ntR.").unwrap();
    let (files, _) = told(&sandbox.bin(&dir, &["scan", "--json"]));
    assert!(files.contains(&pair("gone", "dangerous")), "{files:?}");
}

#[test]
fn untracked_pickles_are_noted() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    fs::create_dir(dir.join("new")).unwrap();
    fs::write(dir.join("new/model.pt"), fixture("tied-2.bin")).unwrap();
    fs::write(dir.join("new/text.pt"), "text").unwrap();
    fs::write(dir.join("ignored.pt"), fixture("tied-2.bin")).unwrap();
    fs::write(dir.join(".git/info/exclude"), "ignored.pt\n").unwrap();
    let output = sandbox.bin(&dir, &["scan"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("1 untracked pickle not scanned: new/model.pt"), "{output:#?}");
    assert!(output.stderr.contains("hint: scan it: `git st-convert scan new/model.pt`"), "{output:#?}");
    let (files, notes) = told(&sandbox.bin(&dir.join("new"), &["scan", "--json"]));
    assert_eq!(files, [pair("README.md", "clean")]);
    assert_eq!(notes, [note("new/model.pt", "untracked", "")]);
    let output = sandbox.bin(&dir.join("new"), &["scan"]);
    assert!(output.stderr.contains("`git st-convert scan model.pt`"), "{output:#?}");
}
