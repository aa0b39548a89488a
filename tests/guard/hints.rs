//! Runs the hints of the hooks unchanged in a shell, in the user's directory.

use std::path::{Path, PathBuf};

use super::{Place, checkpoint};
use crate::sandbox::Output;

/// Names that a shell, a pathspec or an option parser could misread.
const NAMES: &[&str] = &[
    "a.dat",
    "a[1].dat",
    "st*r?.dat",
    ":(top)x.dat",
    "-n.dat",
    "it's a `name`.dat",
    "sub/own.dat",
    "sub/\u{202e}\n%\\.dat",
];

/// Returns the hints of one kind, in the order of the files.
fn hints(stderr: &str, kind: &str) -> Vec<String> {
    let start = format!("hint: {kind}");
    let hints = stderr.lines().filter_map(|line| line.strip_prefix(&start));
    let commands: Vec<_> =
        hints.map(|hint| hint.split_once('`').unwrap().1.rsplit_once('`').unwrap().0.to_owned()).collect();
    assert!(!commands.is_empty(), "no `{kind}` in {stderr}");
    commands
}

/// Runs a hint as a user would paste it there.
#[track_caller]
fn paste(place: &Place, cwd: &Path, hint: &str) -> String {
    let output: Output = place.command("sh", cwd, &["-c", hint]).output().unwrap().into();
    assert_eq!(output.code, Some(0), "{hint}: {output:#?}");
    output.stdout
}

fn staged(place: &Place) -> Vec<String> {
    let names = place.git(&["diff", "--cached", "--name-only", "-z"]).ok();
    names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Returns the directories from which a commit is made.
fn stands(place: &Place) -> [PathBuf; 3] {
    [place.at(""), place.at("sub"), place.at("other/deep")]
}

fn with_names() -> Place {
    let place = Place::guarded();
    place.write("other/deep/kept.txt", b"text");
    for name in NAMES {
        place.write(name, &checkpoint());
    }
    // A pattern would also match these names.
    for name in ["a1.dat", "star!.dat", "x.dat"] {
        place.add(name, b"text");
    }
    place
}

#[test]
fn what_a_commit_is_told_works_from_every_directory() {
    let place = with_names();
    for cwd in stands(&place) {
        for (kind, is_kept) in [("convert it", false), ("allow them", true)] {
            place.git(&["add", "-A"]).ok();
            let output = place.git_in(&cwd, &["commit", "-q", "-m", "more"]);
            assert_eq!(output.code, Some(1), "{output:#?}");
            let commands = hints(&output.stderr, kind);
            assert_eq!(commands.len(), if is_kept { 1 } else { NAMES.len() }, "{output:#?}");
            for command in commands {
                // PyTorch checkpoints would be converted; this test uses a dry run instead.
                let command = command.replace("git st-convert --replace", "git st-convert --dry-run");
                let said = paste(&place, &cwd, &command);
                assert!(is_kept || said.contains("would convert "), "{command}: {said}");
            }
            if is_kept {
                place.git_in(&cwd, &["st-convert", "hook", "run", "pre-commit"]).ok();
                place.git(&["rm", "-q", "-f", ".st-convert-allow"]).ok();
            }
        }
    }
}

#[test]
fn a_file_is_taken_back_and_no_other() {
    // This pickle contains no weights.
    let pickle = b"\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01K\x01s.";
    let place = with_names();
    for cwd in stands(&place) {
        for name in NAMES {
            place.write(name, pickle);
        }
        place.git(&["add", "-A"]).ok();
        let before = staged(&place);
        let output = place.git_in(&cwd, &["commit", "-q", "-m", "more"]);
        for command in hints(&output.stderr, "unstage it") {
            paste(&place, &cwd, &command);
        }
        let left: Vec<_> = before.into_iter().filter(|name| !NAMES.contains(&name.as_str())).collect();
        assert_eq!(staged(&place), left);
    }
}

#[test]
fn the_first_commit_and_a_push() {
    let place = Place::new();
    let root = place.sandbox.path("");
    place.git_in(&root, &["init", "-q", "--bare", "server.git"]).ok();
    place.git(&["remote", "add", "origin", "../server.git"]).ok();
    let pickle = b"\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01K\x01s.";
    place.add("sub/a[1].dat", pickle);
    place.add("sub/a1.dat", b"text");
    place.git(&["commit", "-q", "-m", "two"]).ok();
    place.git(&["st-convert", "hook", "install"]).ok();
    let push = || place.git_in(&place.at("sub"), &["push", "-q", "origin", "main"]);
    let output = push();
    assert_eq!(output.code, Some(1), "{output:#?}");
    for command in hints(&output.stderr, "in commit ") {
        paste(&place, &place.at("sub"), &command.replace("--amend", "--amend --no-edit"));
    }
    push().ok();
    assert_eq!(place.git(&["ls-tree", "-r", "--name-only", "HEAD"]).ok(), "README.md\nsub/a1.dat\n");

    let unborn = place.sandbox.path("unborn");
    place.git_in(&root, &["init", "-q", "unborn"]).ok();
    place.git_in(&unborn, &["st-convert", "hook", "install"]).ok();
    std::fs::create_dir(unborn.join("sub")).unwrap();
    std::fs::write(unborn.join("a.dat"), pickle).unwrap();
    place.git_in(&unborn, &["add", "a.dat"]).ok();
    let output = place.git_in(&unborn.join("sub"), &["commit", "-q", "-m", "one"]);
    paste(&place, &unborn.join("sub"), &hints(&output.stderr, "unstage it")[0]);
    assert_eq!(place.git_in(&unborn, &["ls-files"]).ok(), "");
}

#[test]
fn exceptions_that_stand_in_the_home() {
    let place = Place::guarded();
    place.git(&["config", "st-convert.allow", "~/kept pickles"]).ok();
    std::fs::write(place.sandbox.path("home/kept pickles"), "").unwrap();
    place.add("sub/a.dat", &checkpoint());
    let output = place.git_in(&place.at("sub"), &["commit", "-q", "-m", "more"]);
    for command in hints(&output.stderr, "allow it") {
        paste(&place, &place.at("sub"), &command);
    }
    place.git(&["commit", "-q", "-m", "more"]).ok();
}
