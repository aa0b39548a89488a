//! Tests git-lfs as the client: pull, resume, push, and the faults of the LFS API.

use std::fs;

use super::{Check, ID, WRITER, bytes};
use crate::hub::{Expiry, Fault, Place, Right, Signing};
use crate::sandbox::Output;

/// Runs `git lfs pull` in a clone without content.
pub(super) fn pull(check: &Check, name: &str) -> Output {
    let dir = check.clone_without_content(&check.hub.url(ID), name);
    check.hub.forget_requests();
    let args = ["-c", "lfs.transfer.maxretries=2", "lfs", "pull"];
    check.sandbox.try_git(&dir, &args)
}

/// Returns `true` if the clone has the bytes of the checkpoint.
pub(super) fn has_content(check: &Check, name: &str) -> bool {
    fs::read(check.sandbox.path(name).join("pytorch_model.bin")).unwrap() == bytes(300_000)
}

#[test]
fn git_lfs_gets_the_content_once() {
    let Some(check) = Check::with_lfs() else { return };
    let dir = check.clone(&[], "clone");
    assert!(has_content(&check, "clone"));
    assert_eq!(check.hub.fetched(&check.oid("pytorch_model.bin")), [0..300_000]);
    check.git(&dir, &["fetch", "-q", "origin", "refs/pr/42:pr/42"]);
    check.git(&dir, &["checkout", "-q", "pr/42"]);
    assert_eq!(fs::read(dir.join("model.safetensors")).unwrap(), bytes(200_000));
    check.git(&dir, &["lfs", "fsck"]);
    assert_eq!(check.git(&dir, &["status", "--porcelain"]), "");
}

#[test]
fn git_lfs_understands_every_way_to_say_and_sign_an_action() {
    let Some(check) = Check::with_lfs() else { return };
    let cdn = check.hub.open_origin();
    check.hub.serve_content_from(&cdn);
    for (number, expiry) in [Expiry::Unsaid, Expiry::In, Expiry::At].into_iter().enumerate() {
        for signing in [Signing::Query, Signing::Header] {
            check.hub.say_expiry(expiry);
            check.hub.sign(signing);
            let name = format!("clone-{number}-{signing:?}");
            pull(&check, &name).ok();
            assert!(has_content(&check, &name));
            let seen = check.hub.requests();
            let content = seen.iter().find(|seen| seen.path().starts_with("/content/")).unwrap();
            assert_eq!(content.origin, cdn);
            assert_eq!(content.header("X-Hub-Signature").is_some(), signing == Signing::Header);
        }
    }
}

#[test]
fn git_lfs_resumes_after_a_cut() {
    let Some(check) = Check::with_lfs() else { return };
    let oid = check.oid("pytorch_model.bin");
    check.hub.inject(Fault::Cut(100_000).at(Place::content(&oid)).times(1));
    pull(&check, "clone").ok();
    assert!(has_content(&check, "clone"));
    assert_eq!(check.hub.fetched(&oid), [0..100_000, 100_000..300_000]);
    assert_eq!(check.hub.sent_twice(&oid), 0);
}

#[test]
fn git_lfs_uploads_before_a_push_and_gets_it_back() {
    let Some(check) = Check::with_lfs() else { return };
    check.hub.add_token(WRITER, "owner", Right::Write);
    let dir = check.clone_without_content(&check.url_with(WRITER), "clone");
    fs::write(dir.join("model.safetensors"), bytes(500_000)).unwrap();
    check.git(&dir, &["add", "model.safetensors"]);
    check.git(&dir, &["commit", "-q", "-m", "safetensors"]);
    check.git(&dir, &["push", "-q", "origin", "HEAD:refs/pr/7"]);
    let oid = crate::hub::oid_of(&bytes(500_000));
    assert_eq!(fs::read(check.hub.object(ID, &oid)).unwrap(), bytes(500_000));
    let seen = check.hub.requests();
    assert!(
        seen.iter().any(|seen| seen.method == "PUT" && seen.path().ends_with(&oid) && seen.status == 200)
    );
    assert!(seen.iter().any(|seen| seen.path().starts_with("/verify/") && seen.status == 200));
    assert!(seen.iter().any(|seen| seen.path().ends_with("/locks/verify") && seen.status == 404));

    let other = check.clone_without_content(&check.hub.url(ID), "other");
    check.git(&other, &["fetch", "-q", "origin", "refs/pr/7:pr/7"]);
    check.git(&other, &["checkout", "-q", "pr/7"]);
    check.git(&other, &["lfs", "pull"]);
    assert_eq!(fs::read(other.join("model.safetensors")).unwrap(), bytes(500_000));

    // The object exists, so it is not uploaded again.
    check.hub.forget_requests();
    check.git(&dir, &["lfs", "push", "--all", "origin"]);
    assert!(!check.hub.requests().iter().any(|seen| seen.method == "PUT"));
}

#[test]
fn git_lfs_meets_the_faults_of_an_upload() {
    let Some(check) = Check::with_lfs() else { return };
    check.hub.add_token(WRITER, "owner", Right::Write);
    let dir = check.clone_without_content(&check.url_with(WRITER), "clone");
    fs::write(dir.join("model.safetensors"), bytes(500_000)).unwrap();
    check.git(&dir, &["add", "model.safetensors"]);
    check.git(&dir, &["commit", "-q", "-m", "safetensors"]);
    let oid = crate::hub::oid_of(&bytes(500_000));
    let push = || {
        check.sandbox.try_git(&dir, &["-c", "lfs.transfer.maxretries=1", "push", "origin", "HEAD:refs/pr/7"])
    };
    check.hub.inject(Fault::Status(403).at(Place::upload(&oid)));
    let output = push();
    assert!(output.code != Some(0) && output.stderr.contains("The hub was told to say so"), "{output:?}");
    assert!(!check.hub.object(ID, &oid).exists());
    assert_eq!(check.hub.rev(ID, "refs/pr/7"), None);
    check.hub.heal();
    check.hub.inject(Fault::Status(500).at(Place::upload(&oid)).times(1));
    push().ok();
    assert!(check.hub.object(ID, &oid).exists());
}
