//! Tests pull requests that cannot be taken: one message, one hint, and no change.

use std::fs;

use super::{Clone, ID, model, noise, shown, weights};
use crate::hub::{Access, Builder, Fault, Place, oid_of};
use crate::sandbox::Output;

const LIST: &str = "list the pull requests that add safetensors files: `git st-convert pull`";
const AWAY: &str = "stash them: `git stash --include-untracked`\nhint: or commit them: `git commit`";

#[track_caller]
fn assert_error(output: &Output, code: i32, message: &str, hint: &str) {
    assert_eq!(output.code, Some(code), "{output:#?}");
    assert_eq!(shown(output), format!("error: {message}\nhint: {hint}\n"));
    assert!(!output.stderr.contains("panicked"));
}

#[test]
fn no_such_pull_request_and_one_that_was_deleted() {
    let clone = Clone::new();
    let before = clone.state();
    let message = "pull request 7 not found";
    assert_error(&clone.run(&["pull", "7"]), 2, message, LIST);
    let dir = clone.world.hub.git_dir(ID);
    clone.world.git(&dir, &["update-ref", "-d", "refs/pr/42"]);
    let message = "pull request 42 not found";
    assert_error(&clone.run(&["pull", "42"]), 2, message, LIST);
    assert_eq!(clone.state(), before);
}

#[test]
fn a_pull_request_without_safetensors() {
    let mut model = model();
    model.pull_request(43).file("README.md", "# b\n").commit("card").on("main");
    let clone = Clone::of(&model);
    let before = clone.state();
    assert_error(&clone.run(&["pull", "43"]), 1, "pull request 43 adds no safetensors files", LIST);
    assert_eq!(clone.state(), before);
}

#[test]
fn what_is_no_safetensors_file() {
    let mut model = model();
    model.pull_request(43).lfs("model.safetensors", noise(1, 5000)).commit("noise").on("main");
    let clone = Clone::of(&model);
    let before = clone.state();
    let message = "the pull request's model.safetensors is not a valid safetensors file";
    let hint = "list the pull requests that add safetensors files: `git st-convert pull`";
    assert_error(&clone.run(&["pull", "43"]), 1, message, hint);
    assert_eq!(clone.state(), before);
}

/// A change of the user.
type Change = fn(&Clone);

#[test]
fn local_changes_are_in_the_way() {
    let mut with_file = model();
    with_file.lfs("model.safetensors", weights(1, 9000)).commit("old");
    with_file.pull_request(50).lfs("model.safetensors", weights(50, 8000)).commit("new").on("main");
    let changes: [(&str, Change); 4] = [
        ("42", |clone| clone.write("model.safetensors", "mine")),
        ("42", |clone| {
            clone.write("model.safetensors", "mine");
            clone.git(&["add", "model.safetensors"]);
        }),
        ("50", |clone| clone.write("model.safetensors", "mine")),
        ("50", |clone| {
            clone.write("model.safetensors", "mine");
            clone.git(&["add", "model.safetensors"]);
        }),
    ];
    for (number, change) in changes {
        for moved_on in [false, true] {
            let clone = if number == "42" { Clone::new() } else { Clone::of(&with_file) };
            if moved_on {
                clone.write("note.txt", "mine\n");
                clone.commit("mine");
            }
            change(&clone);
            let before = clone.state();
            let output = clone.run(&["pull", number]);
            let path = if moved_on { "model.safetensors" } else { "`model.safetensors`" };
            assert_error(&output, 2, &format!("local changes to {path} would be overwritten"), AWAY);
            assert_eq!(clone.state(), before);
        }
    }
}

#[test]
fn the_very_same_file_is_not_in_the_way() {
    let clone = Clone::new();
    clone.write("note.txt", "mine\n");
    clone.commit("mine");
    clone.write("model.safetensors", weights(42, 200_000));
    clone.ok(&["pull", "42"]);
    clone.check("model.safetensors", &weights(42, 200_000));
}

#[test]
fn a_merge_that_conflicts_is_undone() {
    let mut model = model();
    model
        .pull_request(43)
        .lfs("model.safetensors", weights(43, 100))
        .file("vocab.txt", "theirs\n")
        .commit("both");
    model.on("main");
    let clone = Clone::of(&model);
    clone.write("vocab.txt", "mine\n");
    clone.commit("mine");
    let before = clone.state();
    let output = clone.run(&["pull", "43", "--merge", "--yes"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output.stderr.contains(
            "error: conflict in `vocab.txt`\n\
             hint: stage only the safetensors files: `git st-convert pull --yes 43`\n"
        ),
        "{output:#?}"
    );
    assert_eq!(clone.state(), before);
    assert!(!clone.dir.join(".git/MERGE_HEAD").exists());
}

#[test]
fn an_object_that_is_not_there_and_one_that_is_another() {
    let oid = oid_of(&weights(42, 200_000));
    let clone = Clone::new();
    let before = clone.state();
    fs::remove_file(clone.world.hub.object(ID, &oid)).unwrap();
    let hint = "ask the model's owner to run `git lfs push --all`";
    assert_error(
        &clone.run(&["pull", "42"]),
        2,
        &format!("cannot download LFS object {oid} (code 404)"),
        hint,
    );
    assert_eq!(clone.state(), before);

    let clone = Clone::new();
    clone.world.hub.inject(Fault::WrongByte(5).at(Place::content(&oid)));
    let output = clone.run(&["pull", "42"]);
    assert_eq!(output.code, Some(2));
    assert!(
        output.stderr.contains(&format!("error: downloaded LFS object {oid} is damaged: sha256 ")),
        "{output:#?}"
    );
    assert_eq!(clone.state(), before);
}

#[test]
fn nobody_there_nobody_asked_and_nobody_who_may() {
    let clone = Clone::new();
    let before = clone.state();
    let hint = "go online: drop `--offline` and unset HF_HUB_OFFLINE";
    let message = "cannot look at pull requests while offline";
    for args in [&["pull", "42", "--offline"][..], &["pull", "--offline"]] {
        assert_error(&clone.run(args), 2, message, hint);
    }
    let listed = clone.run(&["pull", "--offline", "--json"]).stdout;
    assert_eq!(
        listed,
        format!(
            "{{\"type\":\"summary\",\"pull_requests\":null,\"seen\":null,\"known\":null,\
             \"reason\":\"{message}\",\"exit_code\":2}}\n"
        )
    );
    assert_eq!(clone.world.hub.requests().len(), 0);
    clone.world.hub.set_access(ID, Access::Private);
    let hint = "sign in: `hf auth login` (or set HF_TOKEN), or configure a git credential helper";
    assert_error(&clone.run(&["pull", "42"]), 2, "authentication required", hint);
    clone.git(&["remote", "set-url", "origin", "http://127.0.0.1:1/m"]);
    let hint = "check the network and the URL";
    assert_error(&clone.run(&["pull"]), 2, "cannot reach the server", hint);
    clone.git(&["remote", "remove", "origin"]);
    let hint = "add a remote: `git remote add origin URL`";
    assert_error(&clone.run(&["pull"]), 2, "no remote configured", hint);
    let after = clone.state();
    assert_eq!(after.lines().next(), before.lines().next());
    let output = clone.world.run(&clone.world.home(), &["pull", "42"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.starts_with("error: not a git repository"), "{output:#?}");
}

#[test]
fn an_empty_repository_has_nothing_to_compare_with() {
    let clone = Clone::of(Builder::new().file("a", "b").commit("one"));
    clone.git(&["checkout", "-q", "--orphan", "new"]);
    let hint = "clone a model: `git st-convert clone OWNER/NAME`";
    assert_error(&clone.run(&["pull"]), 2, "no commits yet", hint);
}
