//! Tests credentials with git's own helper, which stores them in a file.

use std::fs;

use git_st_convert::git::credential::{Request, approve, fill, reject};
use git_st_convert::git::{Error, Git};

use crate::sandbox::Sandbox;

const ORIGIN: Request<'static> = Request {
    protocol: "http",
    host: "127.0.0.1:8080",
    path: Some("acme/model.git"),
    username: None,
    challenges: &[],
    may_ask: true,
};

#[test]
fn a_helper_answers_and_keeps_what_was_approved_and_forgets_what_was_rejected() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let kept = sandbox.path("kept");
    let helper = format!("store --file={}", kept.to_str().unwrap());
    // The empty value drops the machine's own helpers.
    sandbox.git(&dir, &["config", "credential.helper", ""]);
    sandbox.git(&dir, &["config", "--add", "credential.helper", &helper]);
    sandbox.git(&dir, &["config", "core.askPass", "false"]);
    let git = Git::at(&dir).unwrap();

    assert_eq!(fill(&git, &ORIGIN).unwrap(), None, "nobody knows it");
    fs::write(&kept, "http://user:hf_%0asecret@127.0.0.1%3a8080\n").unwrap();
    let hostile = fill(&git, &ORIGIN);
    assert!(matches!(hostile, Ok(None) | Err(Error::Failed { .. })), "{hostile:?}");

    fs::write(&kept, "http://user:hf_secret@127.0.0.1%3a8080\n").unwrap();
    let credential = fill(&git, &ORIGIN).unwrap().unwrap();
    assert_eq!((credential.username.as_str(), credential.password.as_str()), ("user", "hf_secret"));
    assert_eq!(fill(&git, &Request { host: "127.0.0.1:8081", ..ORIGIN }).unwrap(), None, "another origin");

    reject(&git, &credential).unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "");
    approve(&git, &credential).unwrap();
    assert_eq!(fill(&git, &ORIGIN).unwrap(), Some(credential));
}
