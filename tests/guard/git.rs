//! Tests the ways in which git commits and pushes, and the exceptions.

use std::fs;

use git_st_convert::hash::Oid;

use super::{Place, checkpoint};

#[test]
fn commit_a_and_commit_path_are_judged_by_their_own_index() {
    let place = Place::guarded();
    place.add("a.txt", b"one\n");
    place.add("b.txt", b"one\n");
    place.git(&["commit", "-q", "-m", "two"]).ok();
    place.write("a.txt", &checkpoint());
    place.write("b.txt", b"two\n");
    assert_eq!(place.git(&["commit", "-q", "-a", "-m", "all"]).code, Some(1));
    assert_eq!(place.git(&["commit", "-q", "-m", "a", "a.txt"]).code, Some(1));
    // The pickle is staged, but not part of this commit.
    place.git(&["add", "a.txt"]).ok();
    place.git(&["commit", "-q", "-m", "b", "b.txt"]).ok();
    assert_eq!(place.git(&["commit", "-q", "-m", "rest"]).code, Some(1));
}

#[test]
fn it_works_on_an_unborn_branch_and_without_a_home() {
    let place = Place::new();
    let dir = place.sandbox.path("new");
    place.git_in(&place.sandbox.path(""), &["init", "-q", "new"]).ok();
    place.git_in(&dir, &["st-convert", "hook", "install"]).ok();
    fs::write(dir.join("a.pt"), checkpoint()).unwrap();
    place.git_in(&dir, &["add", "."]).ok();
    let commit = |args: &[&str]| {
        let mut command = place.command("git", &dir, args);
        command.env_remove("HOME").output().unwrap()
    };
    let output = commit(&["commit", "-q", "-m", "one"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`git st-convert --replace a.pt`"), "{said}");
    place.git_in(&dir, &["rm", "-q", "--cached", "a.pt"]).ok();
    assert!(commit(&["commit", "-q", "--allow-empty", "-m", "one"]).status.success());
}

#[test]
fn what_head_has_is_a_note_and_links_and_modes_are_nothing() {
    let place = Place::new();
    place.add("a.pt", &checkpoint());
    place.git(&["commit", "-q", "-m", "old sins"]).ok();
    place.git(&["st-convert", "hook", "install"]).ok();
    place.git(&["mv", "a.pt", "b.pt"]).ok();
    let output = place.git(&["commit", "-q", "-m", "renamed"]);
    assert_eq!(output.code, Some(0));
    assert!(output.stderr.contains("b.pt: pickle checkpoint (zip, 1.6 KiB) (already in HEAD)"), "{output:?}");

    place.git(&["update-index", "--chmod=+x", "b.pt"]).ok();
    std::os::unix::fs::symlink("b.pt", place.at("link.pt")).unwrap();
    place.git(&["add", "link.pt"]).ok();
    place.write("intended.pt", &checkpoint());
    place.git(&["add", "-N", "intended.pt"]).ok();
    let commit = place.git(&["rev-parse", "HEAD"]).ok();
    let submodule = format!("160000,{},sub.pt", commit.trim());
    place.git(&["update-index", "--add", "--cacheinfo", &submodule]).ok();
    let judged = place.git(&["st-convert", "hook", "run", "pre-commit"]);
    assert_eq!((judged.code, judged.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_merge_a_rebase_and_a_linked_work_tree() {
    let place = Place::guarded();
    place.git(&["checkout", "-q", "-b", "side"]).ok();
    place.add("a.pt", &checkpoint());
    place.git(&["commit", "-q", "--no-verify", "-m", "side"]).ok();
    place.git(&["checkout", "-q", "main"]).ok();
    place.add("a.txt", b"main\n");
    place.git(&["commit", "-q", "-m", "main"]).ok();
    let merged = place.git(&["merge", "-q", "--no-edit", "side"]);
    assert_ne!(merged.code, Some(0), "{merged:?}");
    assert!(merged.stderr.contains("a.pt: pickle checkpoint"), "{merged:?}");
    assert!(merged.stderr.contains("bypass: `git merge --no-verify`"), "{merged:?}");
    place.git(&["merge", "--abort"]).ok();

    // A rebase of harmless commits is not rejected.
    place.git(&["checkout", "-q", "-b", "topic", "HEAD~1"]).ok();
    place.add("b.txt", b"topic\n");
    place.git(&["commit", "-q", "-m", "topic"]).ok();
    place.git(&["rebase", "-q", "main"]).ok();

    let linked = place.sandbox.path("linked");
    place.git(&["worktree", "add", "-q", linked.to_str().unwrap()]).ok();
    fs::write(linked.join("c.pt"), checkpoint()).unwrap();
    place.git_in(&linked, &["add", "."]).ok();
    assert_eq!(place.git_in(&linked, &["commit", "-q", "-m", "c"]).code, Some(1));
    let status = place.git_in(&linked, &["st-convert", "hook", "status"]).ok();
    assert!(status.contains("commits: guarded, merges: guarded, pushes: guarded\n"), "{status}");
}

#[test]
fn an_exception_is_for_one_content_and_has_a_reason() {
    let place = Place::guarded();
    let oid = Oid::of(&checkpoint());
    place.add(r"a b\012.pt", &checkpoint());
    let said = place.refused(&[&format!(r#"{oid} "a b\\012.pt" REASON"#)]);
    // A shell runs the command of the hint.
    let line = said.lines().find_map(|line| line.strip_prefix("hint: allow it: `")).unwrap();
    let line = line.strip_suffix('`').unwrap();
    assert!(place.command("sh", &place.dir, &["-c", line]).status().unwrap().success());
    let output = place.git(&["commit", "-q", "-m", "kept"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));

    // An exception is not valid for another content of that name, or for that content under another name.
    let other = fs::read(crate::formats::fixtures().join("checkpoints/legacy-dtype-bool.bin")).unwrap();
    place.add(r"a b\012.pt", &other);
    place.refused(&[r"a b\012.pt: pickle checkpoint"]);
    place.git(&["restore", "--staged", r"a b\012.pt"]).ok();

    place.add(".st-convert-allow", format!("{oid} x.pt\n").as_bytes());
    let said = place.refused(&[".st-convert-allow:1: expected a reason after the path"]);
    assert!(said.starts_with("error: "), "{said}");
    assert_eq!(place.git(&["st-convert", "hook", "run", "pre-commit"]).code, Some(2));
}

#[test]
fn the_exceptions_may_stand_elsewhere() {
    let place = Place::guarded();
    let line = format!("{} a.pt the tests need it\n", Oid::of(&checkpoint()));
    place.add("a.pt", &checkpoint());
    place.add("ci/allow", line.as_bytes());
    place.git(&["config", "st-convert.allow", "ci/allow"]).ok();
    place.git(&["st-convert", "hook", "run", "pre-commit"]).ok();
    // An exceptions file inside the repository counts only if it is in the index.
    place.git(&["rm", "-q", "--cached", "ci/allow"]).ok();
    place.refused(&["a.pt: pickle checkpoint", ">> ci/allow"]);
    let outside = place.sandbox.path("allow");
    fs::write(&outside, line).unwrap();
    place.git(&["config", "st-convert.allow", outside.to_str().unwrap()]).ok();
    place.git(&["st-convert", "hook", "run", "pre-commit"]).ok();
}

#[test]
fn a_missing_blob_of_a_partial_clone_is_never_fetched() {
    let place = Place::new();
    place.add("big.dat", &[7; 5000]);
    place.add("old.pt", &[8; 5000]);
    place.git(&["commit", "-q", "-m", "two"]).ok();
    place.git(&["config", "uploadpack.allowFilter", "true"]).ok();
    let url = format!("file://{}", place.dir.display());
    let dir = place.sandbox.path("partial");
    place
        .git_in(
            &place.sandbox.path(""),
            &["clone", "-q", "--no-checkout", "--filter=blob:none", &url, "partial"],
        )
        .ok();
    place.git_in(&dir, &["st-convert", "hook", "install"]).ok();
    place.git_in(&dir, &["read-tree", "HEAD"]).ok();
    let blob = place.git_in(&dir, &["rev-parse", "HEAD:big.dat"]).ok();
    for name in ["other.dat", "other.pt"] {
        let entry = format!("100644,{},{name}", blob.trim());
        place.git_in(&dir, &["update-index", "--add", "--cacheinfo", &entry]).ok();
    }
    let objects = |dir| place.git_in(dir, &["count-objects", "-v"]).ok();
    let before = objects(&dir);
    let judged = place.git_in(&dir, &["st-convert", "hook", "run", "pre-commit", "--json"]);
    // `HEAD` has the blob, so it is not new under either name.
    assert_eq!(judged.code, Some(0), "{judged:#?}");
    assert!(judged.stdout.contains("\"judged_by_name\":2"), "{judged:#?}");
    assert!(judged.stdout.contains("\"known\":1"), "{judged:#?}");
    assert_eq!(objects(&dir), before);
}

#[test]
fn json_says_what_was_found() {
    let place = Place::new();
    place.add_pointer("a.pt", &checkpoint(), true);
    let output = place.git(&["st-convert", "--json", "hook", "run", "pre-commit"]);
    assert_eq!(output.code, Some(1));
    let lines: Vec<serde_json::Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["path"], &lines[0]["status"]), (&"a.pt".into(), &"refused".into()));
    assert_eq!((&lines[0]["lfs"], &lines[0]["verdict"]), (&true.into(), &"weights".into()));
    assert_eq!(lines[0]["oid"], Oid::of(&checkpoint()).to_string());
    assert_eq!((&lines[1]["refused"], &lines[1]["exit_code"]), (&1.into(), &1.into()));
}
