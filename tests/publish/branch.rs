//! Tests remotes other than the Hub, and `--branch`.

use std::fs;

use git_st_convert::hash::Oid;

use super::{Desk, ID, line};
use crate::hub::Right;

/// Creates a bare repository with the model's branch, as the remote of a converted clone.
fn local(desk: &Desk) -> std::path::PathBuf {
    let bare = desk.world.sandbox.path("bare.git");
    let from = desk.world.hub.git_dir(ID);
    desk.world
        .git(&desk.world.home(), &["clone", "-q", "--bare", from.to_str().unwrap(), bare.to_str().unwrap()]);
    desk.git(&["remote", "set-url", "origin", &format!("file://{}", bare.display())]);
    desk.git(&["config", "--unset", "remote.origin.promisor"]);
    bare
}

#[test]
fn a_path_gets_a_branch_and_the_objects_in_its_store() {
    let desk = Desk::new();
    let bare = local(&desk);
    let before = desk.state();
    let output = desk.publish(&["--json"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let json = line(&output);
    assert_eq!((&json["status"], &json["ref"]), (&"pushed".into(), &"refs/heads/safetensors".into()));
    assert!(
        output.stderr.contains("git fetch origin refs/heads/safetensors && git merge FETCH_HEAD"),
        "{output:#?}"
    );
    assert_eq!(
        desk.world.git(&bare, &["diff", "--name-status", "main", "safetensors"]),
        "A\tmodel.safetensors\n"
    );
    assert_eq!(json["commit"], desk.world.git(&bare, &["rev-parse", "safetensors"]).trim());
    let bytes = desk.converted();
    let oid = Oid::of(&bytes).to_string();
    assert!(fs::read(bare.join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid)).unwrap() == bytes);
    assert_eq!(desk.state(), before);
    assert_eq!(desk.published(&[])["status"], "exists");
    // An existing branch is moved forward.
    desk.world.git(&bare, &["update-ref", "refs/heads/other", "main"]);
    assert_eq!(desk.published(&["--branch", "other"])["status"], "pushed");
    assert!(desk.world.hub.requests().is_empty());
}

/// `branch.<name>.pushRemote`, then `remote.pushDefault`, as `git push` decides.
#[test]
fn the_remote_of_git_push_gets_the_branch() {
    let desk = Desk::new();
    let bare = local(&desk);
    let fork = desk.world.sandbox.path("fork.git");
    let paths = [bare.to_str().unwrap(), fork.to_str().unwrap()];
    desk.world.git(&desk.world.home(), &["clone", "-q", "--bare", paths[0], paths[1]]);
    desk.git(&["remote", "add", "fork", &format!("file://{}", fork.display())]);
    let published =
        |dir: &std::path::Path| !desk.world.git(dir, &["for-each-ref", "refs/heads/safetensors"]).is_empty();
    desk.git(&["config", "remote.pushDefault", "fork"]);
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("git fetch fork refs/heads/safetensors"), "{output:#?}");
    assert!(published(&fork) && !published(&bare) && fork.join("lfs/objects").exists());
    desk.git(&["config", "branch.main.pushRemote", "origin"]);
    assert_eq!(desk.publish(&[]).code, Some(0));
    assert!(published(&bare));
    // A remote that does not exist is not replaced by another one, which may be public; a URL is a remote.
    for (name, shown) in
        [("gone", "gone"), ("-x", "-x"), ("--mirror", "--mirror"), ("", ""), ("a\x1bb", "a\\x1bb")]
    {
        desk.git(&["config", "branch.main.pushRemote", name]);
        let output = desk.publish(&[]);
        let said = format!("error: remote `{shown}` not found\nhint: list the remotes: `git remote -v`\n");
        assert_eq!((output.stderr, output.code), (said, Some(2)));
    }
    // The objects go where the branch goes, also to a directory without `/` in its name.
    desk.world.git(&desk.dir, &["clone", "-q", "--bare", paths[0], "backup"]);
    let backup = desk.dir.join("backup");
    desk.world.git(&backup, &["update-ref", "-d", "refs/heads/safetensors"]);
    desk.git(&["config", "branch.main.pushRemote", "backup"]);
    let output = desk.publish(&[]);
    assert!(output.code == Some(0) && published(&backup), "{output:#?}");
    assert!(backup.join("lfs/objects").exists());
    fs::remove_dir_all(backup).unwrap();
    desk.git(&["config", "--unset", "branch.main.pushRemote"]);
    let url = desk.world.sandbox.path("url.git");
    desk.world.git(&desk.world.home(), &["clone", "-q", "--bare", paths[0], url.to_str().unwrap()]);
    desk.world.git(&url, &["update-ref", "-d", "refs/heads/safetensors"]);
    desk.git(&["config", "remote.pushDefault", &format!("file://{}", url.display())]);
    let output = desk.publish(&[]);
    assert!(output.code == Some(0) && published(&url), "{output:#?}");
}

/// Before anything is uploaded, and in a dry run.
#[test]
fn a_name_that_git_gives_no_branch_is_refused() {
    let desk = Desk::new();
    let bare = local(&desk);
    for name in ["bad..name", "a b", "HEAD", "x.lock", "a:b"] {
        for args in [&["-n", "--branch", name][..], &["--branch", name]] {
            let output = desk.publish(args);
            let error = format!("error: invalid branch name `{name}`\n");
            assert!(output.code == Some(2) && output.stderr.starts_with(&error), "{output:#?}");
        }
    }
    assert!(!bare.join("lfs/objects").exists());
}

#[test]
fn the_hint_takes_the_branch_that_was_pushed() {
    let desk = Desk::new();
    local(&desk);
    let output = desk.publish(&["--branch", "it's;new"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let hint = output.stderr.lines().last().unwrap().split('`').nth(1).unwrap();
    let (fetch, merge) = hint.split_once(" && ").unwrap();
    let args = ["-c".as_ref(), fetch.as_ref()];
    let run = desk.world.sandbox.command("sh".as_ref(), &desk.dir, &args).output().unwrap();
    assert!(run.status.success() && merge == "git merge FETCH_HEAD", "{hint}: {run:?}");
    assert_eq!(desk.git(&["diff", "--name-only", "HEAD", "FETCH_HEAD"]), "model.safetensors\n");
}

#[test]
fn a_branch_with_another_checkpoint_is_left_alone() {
    let mut model = super::model();
    model.pull_request(7).lfs("pytorch_model.bin", [super::checkpoint(), vec![0]].concat()).commit("old");
    model.on("main");
    let desk = Desk::of(&model);
    let bare = local(&desk);
    let from = desk.world.hub.git_dir(ID);
    desk.world.git(&bare, &["fetch", "-q", from.to_str().unwrap(), "refs/pr/7:refs/heads/safetensors"]);
    let before = desk.world.git(&bare, &["for-each-ref"]);
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    let said = "model.safetensors was converted from another version of the checkpoint than refs/heads/safetensors on the remote has";
    assert!(output.stderr.contains(said) && output.stderr.contains("--branch"), "{output:#?}");
    assert_eq!(desk.world.git(&bare, &["for-each-ref"]), before);
    assert!(!bare.join("lfs/objects").exists());
    assert_eq!(desk.published(&["--branch", "other"])["status"], "pushed");
}

#[test]
fn a_branch_of_the_hub_needs_the_right_to_write() {
    let desk = Desk::new();
    let hub = &desk.world.hub;
    let refused = desk.publish(&["--branch", "converted"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("no write access") && refused.stderr.contains("hint: "), "{refused:#?}");
    hub.add_token("hf_writer", "owner", Right::Write);
    let output = desk.world.run_as("hf_writer", &desk.dir, &["publish", "--branch", "converted"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let git_dir = hub.git_dir(ID);
    assert_eq!(
        desk.world.git(&git_dir, &["diff", "--name-status", "main", "converted"]),
        "A\tmodel.safetensors\n"
    );
    assert_eq!(desk.requests(ID), []);
    assert_eq!(desk.git(&["for-each-ref", "refs/heads/converted"]), "");
}

#[test]
fn another_server_is_no_hub() {
    let desk = Desk::new();
    let hub = &desk.world.hub;
    hub.add_token("hf_writer", "owner", Right::Write);
    // The same server at another port gets git's own login, and no token.
    let other = hub.open_origin();
    let url = format!("{}/{ID}", other.replace("http://", "http://owner:hf_writer@"));
    desk.git(&["remote", "set-url", "origin", &url]);
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(hub.rev(ID, "refs/heads/safetensors").is_some());
    assert!(
        hub.requests().iter().all(|seen| !seen.carries(super::TOKEN) && !seen.path().starts_with("/api/"))
    );
    assert!(!format!("{output:?}").contains("hf_writer"));
}

#[test]
fn a_model_without_the_line_for_lfs_gets_it_in_the_same_commit() {
    let mut old = crate::hub::Builder::without_attributes();
    old.file(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    old.lfs("pytorch_model.bin", super::checkpoint()).commit("2021");
    let desk = Desk::of(&old);
    // The local attributes of this machine do not count for others.
    fs::write(desk.dir.join(".git/info/attributes"), "*.safetensors filter=lfs\n").unwrap();
    let json = desk.published(&[]);
    assert_eq!(json["attributes"], serde_json::json!([".gitattributes"]));
    let git_dir = desk.world.hub.git_dir(ID);
    let changed = desk.world.git(&git_dir, &["diff", "--name-status", "main", "refs/pr/1"]);
    assert_eq!(changed, "M\t.gitattributes\nA\tmodel.safetensors\n");
    let text = desk.world.git(&git_dir, &["cat-file", "blob", "refs/pr/1:.gitattributes"]);
    assert_eq!(
        text,
        "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
    );
}
