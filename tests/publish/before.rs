//! Tests the checks before anything is sent: the user, the rights, and an existing pull request.

use std::fs;

use super::{Desk, ID, TITLE, TOKEN, checkpoint, line, model};
use crate::clone::noise;
use crate::hub::{Builder, Fault, Place, Right, Seen, Status};
use crate::sandbox::Output;

/// Checks that nothing was sent: every request only reads.
#[track_caller]
fn nothing_was_sent(desk: &Desk) {
    let is_question = |seen: &Seen| seen.method == "GET" || seen.path().ends_with("/git-upload-pack");
    let seen = desk.world.hub.requests();
    let sent: Vec<_> = seen.iter().filter(|seen| !is_question(seen)).collect();
    assert!(sent.is_empty(), "{sent:#?}");
    assert_eq!(desk.requests(ID).iter().filter(|one| one.author == "helper").count(), 0);
}

#[track_caller]
fn refused(desk: &Desk, output: &Output, code: i32, error: &str, hint: &str) {
    assert_eq!(output.code, Some(code), "{output:#?}");
    assert!(output.stderr.contains(error), "{error}: {output:#?}");
    assert!(output.stderr.contains(hint), "{hint}: {output:#?}");
    assert!(output.stdout.is_empty(), "{output:#?}");
    nothing_was_sent(desk);
}

#[test]
fn nobody_publishes_without_a_token_that_writes() {
    let desk = Desk::new();
    let hub = &desk.world.hub;
    hub.add_token("hf_reader", "reader", Right::Read);
    hub.add_expired_token("hf_old", "helper");
    let run = |token: &str| desk.world.run_as(token, &desk.dir, &["publish"]);
    refused(&desk, &run(""), 2, "opening a pull request requires a token", "set HF_TOKEN");
    refused(
        &desk,
        &run("hf_reader"),
        2,
        "the token from HF_TOKEN has no write access",
        "a token with write access",
    );
    refused(&desk, &run("hf_old"), 2, "authentication failed with the credentials from HF_TOKEN", "HF_TOKEN");
    refused(
        &desk,
        &run("hf_nobody"),
        2,
        "authentication failed with the credentials from HF_TOKEN",
        "HF_TOKEN",
    );
}

#[test]
fn a_model_that_may_not_be_seen_or_that_takes_nothing_is_an_error_of_its_own() {
    let desk = Desk::new();
    let hub = &desk.world.hub;
    let run = |token: &str| desk.world.run_as(token, &desk.dir, &["publish"]);
    desk.git(&["remote", "set-url", "origin", &hub.url("acme/none")]);
    refused(&desk, &run(TOKEN), 2, "repository not found or private", "check the name");
    desk.git(&["remote", "set-url", "origin", &hub.url(ID)]);
    hub.close_discussions(ID, true);
    refused(&desk, &run(TOKEN), 2, "discussions and pull requests are disabled", "--branch NAME");
    hub.close_discussions(ID, false);
    // The user did not accept the conditions of the model; a fault simulates that, because the hub has no such user.
    let gate = || Place::path("/api/models/acme/bert/auth-check");
    hub.inject(Fault::Refuse(403, "GatedRepo").at(gate()));
    refused(&desk, &run(TOKEN), 2, "gated model", "request access on the model's page");
}

/// Returns a model with a pull request that adds this file.
fn with_request(author: &str, title: &str, content: Vec<u8>) -> Builder {
    let mut model = model();
    model.author(&format!("{author} <a@example.com>")).pull_request(7);
    model.lfs("model.safetensors", content).commit(title);
    model
}

#[test]
fn an_open_pull_request_with_the_very_same_files_is_named_whoever_made_it() {
    let content = Desk::new().converted();
    let desk = Desk::of(&with_request("A Stranger", "unrelated words", content.clone()));
    let output = desk.publish(&["--json"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let json = line(&output);
    assert_eq!((&json["status"], &json["number"]), (&"exists".into(), &7.into()));
    assert_eq!((&json["author"], &json["commit"]), (&"A Stranger".into(), &desk.rev("refs/pr/7").into()));
    assert!(
        output.stderr.contains("pull request 7 by A Stranger already contains identical files"),
        "{output:#?}"
    );
    nothing_was_sent(&desk);

    // `--force` opens another one, which is then the user's own.
    let forced = desk.published(&["--force"]);
    assert_eq!((&forced["status"], &forced["number"]), (&"opened".into(), &8.into()));
    assert_eq!(desk.published(&[])["number"], 8);
    let forced = desk.published(&["--force"]);
    assert_eq!((&forced["status"], &forced["number"]), (&"opened".into(), &9.into()));
    assert_eq!(desk.requests(ID).len(), 3);
}

#[test]
fn a_title_alone_is_not_trusted_and_neither_is_a_closed_one() {
    let desk = Desk::of(&with_request("SFconvertbot", TITLE, noise(7, 5000)));
    assert_eq!(desk.published(&[])["status"], "opened");
    assert_eq!(desk.requests(ID).len(), 2);

    let content = desk.converted();
    let desk = Desk::of(&with_request("A Stranger", "x", content));
    let mut closed = desk.requests(ID)[0].clone();
    closed.status = Status::Closed;
    desk.world.hub.set_discussion(ID, closed);
    assert_eq!(desk.published(&[])["number"], 8);
}

#[test]
fn another_s_marker_is_not_ours() {
    let desk = Desk::new();
    let description = desk.published(&["-n"])["description"].as_str().unwrap().to_owned();
    let mut model = Builder::more();
    model.author("Mallory <m@example.com>").pull_request(3).file("x", "y").commit("x");
    desk.world.hub.add_model(ID, &model);
    let mut theirs = desk.requests(ID)[0].clone();
    (theirs.description, theirs.status) = (description, Status::Draft);
    desk.world.hub.set_discussion(ID, theirs);
    let published = desk.published(&[]);
    assert_eq!((&published["status"], &published["number"]), (&"opened".into(), &4.into()));
}

#[test]
fn what_the_remote_has_is_not_published_again() {
    let desk = Desk::new();
    let mut more = Builder::more();
    more.lfs("model.safetensors", desk.converted()).commit("merged");
    desk.world.hub.add_model(ID, &more);
    let output = desk.publish(&["--json"]);
    assert_eq!((output.code, &line(&output)["status"]), (Some(0), &"nothing".into()), "{output:#?}");
    nothing_was_sent(&desk);
}

#[test]
fn a_checkpoint_that_changed_upstream_is_not_what_was_converted() {
    let desk = Desk::new();
    let mut more = Builder::more();
    more.lfs("pytorch_model.bin", [checkpoint(), vec![0]].concat()).commit("better weights");
    desk.world.hub.add_model(ID, &more);
    let output = desk.publish(&[]);
    refused(
        &desk,
        &output,
        1,
        "model.safetensors was converted from another version of the checkpoint than the remote has",
        "git pull",
    );
}

#[test]
fn an_object_that_is_missing_or_damaged_is_not_published() {
    let desk = Desk::new();
    let oid = git_st_convert::hash::Oid::of(&desk.converted()).to_string();
    let object = desk.dir.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid);
    let mut bytes = fs::read(&object).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&object, &bytes).unwrap();
    refused(&desk, &desk.publish(&[]), 1, "the LFS object of model.safetensors is damaged", "--force");
    fs::remove_file(&object).unwrap();
    refused(&desk, &desk.publish(&[]), 2, "the LFS object is not downloaded", "git lfs pull");
}
