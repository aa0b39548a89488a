//! Tests git as the client: clone, fetch, push, filters, and the faults of the git server.

use std::fs;

use super::{Check, ID, WRITER};
use crate::hub::{Builder, Content, Fault, Hub, Place, Right, To};
use crate::sandbox::Sandbox;

#[test]
fn git_clones_the_model_and_fetches_its_pull_request() {
    let check = Check::new();
    let dir = check.clone(&[], "clone");
    assert_eq!(fs::read_to_string(dir.join("vocab.txt")).unwrap(), "a\nb\n");
    assert_eq!(check.git(&dir, &["describe", "--tags"]).split('-').next(), Some("v1"));
    let attributes = check.git(&dir, &["rev-parse", "HEAD:.gitattributes"]);
    assert_eq!(attributes.trim(), "a6344aac8c09253b3b630fb776ae94478aa0275b", "that of the Hub");
    let pointer = fs::read_to_string(dir.join("pytorch_model.bin")).unwrap();
    assert_eq!(pointer, crate::hub::pointer(&check.oid("pytorch_model.bin"), 300_000));

    check.git(&dir, &["fetch", "-q", "origin", "refs/pr/42:pr/42"]);
    let seen = check.git(&dir, &["rev-parse", "pr/42"]);
    assert_eq!(Some(seen.trim().to_owned()), check.hub.rev(ID, "refs/pr/42"));
    let subjects = check.git(&dir, &["log", "--format=%an %s", "--name-only", "main..pr/42"]);
    assert_eq!(subjects, "Bot Adding `safetensors` variant of this model\n\nmodel.safetensors\n");
    check.git(&dir, &["fsck", "--strict"]);
}

#[test]
fn the_same_model_is_the_same_commits_anywhere() {
    let (one, two) = (Check::new(), Check::new());
    for name in ["main", "v1", "refs/pr/42"] {
        assert_eq!(one.hub.rev(ID, name).unwrap(), two.hub.rev(ID, name).unwrap());
    }
    assert_eq!(one.hub.rev(ID, "refs/pr/43"), None);
}

#[test]
fn both_spellings_of_a_url_are_served_and_unknown_models_are_refused() {
    let check = Check::new();
    check.clone_from(&format!("{}.git", check.hub.url(ID)), &[], "dotted");
    let output = check.try_git(&["ls-remote", &check.hub.url("acme/none")]);
    assert!(output.stderr.contains("could not read Username"), "{output:?}");
    assert!(check.hub.requests().iter().any(|seen| seen.status == 401));
}

#[test]
fn a_filtered_clone_gets_no_large_blob_until_it_is_wanted() {
    let check = Check::new();
    check.hub.add_model(ID, Builder::more().file("big.txt", vec![b'x'; 100_000]).commit("big"));
    let dir = check.clone(&["--filter=blob:limit=64k", "--no-checkout"], "clone");
    let missing = check.git(&dir, &["rev-list", "--objects", "--missing=print", "HEAD"]);
    assert_eq!(missing.lines().filter(|line| line.starts_with('?')).count(), 1);
    check.git(&dir, &["checkout", "-q"]);
    assert_eq!(fs::metadata(dir.join("big.txt")).unwrap().len(), 100_000);
}

#[test]
fn without_filters_a_filtered_clone_gets_everything() {
    let check = Check::new();
    check.hub.inject(Fault::NoFilter.at(Place::git(ID)));
    check.hub.add_model(ID, Builder::more().file("big.txt", vec![b'x'; 100_000]).commit("big"));
    let dir = check.sandbox.path("clone");
    let args =
        ["clone", "--filter=blob:limit=64k", "--no-checkout", &check.hub.url(ID), dir.to_str().unwrap()];
    let output = check.try_git(&args);
    assert!(output.stderr.contains("filtering not recognized by server, ignoring"), "{output:?}");
    output.ok();
    let missing = check.git(&dir, &["rev-list", "--objects", "--missing=print", "HEAD"]);
    assert!(!missing.contains('?'), "{missing}");
}

#[test]
fn refused_blob_wants_break_a_checkout_and_a_refetch_heals_it() {
    let check = Check::new();
    check.hub.inject(Fault::RefuseBlobs.at(Place::upload_pack(ID)));
    let dir = check.clone(&["--filter=blob:none", "--no-checkout"], "clone");
    let output = check.sandbox.try_git(&dir, &["checkout", "-q"]);
    assert!(output.stderr.contains("fatal: expected 'packfile'"), "{output:?}");
    assert!(output.stderr.contains("from promisor remote"), "{output:?}");
    check.git(&dir, &["fetch", "-q", "--refetch", "--no-filter", "origin"]);
    check.git(&dir, &["checkout", "-q"]);
    assert!(dir.join("config.json").is_file());
}

/// Creates a repository whose plain clone needs a request that git gzips.
fn many_refs() -> (Hub, Sandbox) {
    let mut model = Builder::new();
    model.file("config.json", "{}").commit("first");
    for number in 0..40 {
        let path = format!("file-{number}.txt");
        model.on(&format!("branch-{number}")).file(&path, path.repeat(number)).commit("more");
    }
    let hub = Hub::start();
    hub.add_model(ID, &model);
    (hub, Sandbox::new())
}

#[test]
fn refused_gzip_breaks_a_plain_clone_and_not_one_of_a_single_branch() {
    let (hub, sandbox) = many_refs();
    hub.inject(Fault::RefuseGzip.at(Place::upload_pack(ID)));
    let home = sandbox.path("home");
    let output = sandbox.try_git(&home, &["clone", "-q", &hub.url(ID), "plain"]);
    assert!(output.stderr.contains("fatal: expected 'packfile'"), "{output:?}");
    let gzipped = hub.requests().into_iter().filter(|seen| seen.header("Content-Encoding").is_some());
    assert_eq!(
        gzipped.map(|seen| (seen.status, seen.sent, seen.faults)).collect::<Vec<_>>(),
        [(200, 4, vec!["RefuseGzip".to_owned()])]
    );
    sandbox.git(&home, &["clone", "-q", "--single-branch", &hub.url(ID), "single"]);
    hub.heal();
    sandbox.git(&home, &["clone", "-q", &hub.url(ID), "plain"]);
}

#[test]
fn gzipped_wants_of_blobs_are_refused_too() {
    let mut model = Builder::new();
    for number in 0..40 {
        model.file(&format!("{number}.txt"), format!("{number}\n"));
    }
    model.commit("first");
    let (hub, sandbox) = (Hub::start(), Sandbox::new());
    hub.add_model(ID, &model);
    let home = sandbox.path("home");
    hub.inject(Fault::RefuseBlobs.at(Place::upload_pack(ID)));
    let output = sandbox.try_git(&home, &["clone", "-q", "--filter=blob:none", &hub.url(ID), "clone"]);
    assert!(output.stderr.contains("fatal: expected 'packfile'"), "{output:?}");
    assert!(
        hub.requests().iter().any(|seen| seen.header("Content-Encoding") == Some("gzip") && seen.sent == 4)
    );
}

#[test]
fn a_push_needs_a_token_and_the_right_to_the_ref() {
    let check = Check::new();
    check.hub.add_token(WRITER, "owner", Right::Write);
    check.hub.add_token("hf_helper", "helper", Right::Contribute);
    check.hub.add_token("hf_reader", "reader", Right::Read);
    let dir = check.clone(&[], "clone");
    fs::write(dir.join("NEWS.md"), "news\n").unwrap();
    check.git(&dir, &["add", "NEWS.md"]);
    check.git(&dir, &["commit", "-q", "-m", "news"]);
    let push = |url: &str, to: &str| check.sandbox.try_git(&dir, &["push", url, &format!("HEAD:{to}")]);

    assert!(push(&check.hub.url(ID), "main").stderr.contains("could not read Username"));
    assert!(push(&check.url_with("hf_unknown"), "main").stderr.contains("Authentication failed"));
    assert!(push(&check.url_with("hf_reader"), "refs/pr/42").stderr.contains("403"));
    let output = push(&check.url_with("hf_helper"), "main");
    assert!(output.stderr.contains("403"), "{output:?}");
    push(&check.url_with("hf_helper"), "refs/pr/43").ok();
    push(&check.url_with(WRITER), "main").ok();
    let pushed = check.git(&dir, &["rev-parse", "HEAD"]);
    for name in ["main", "refs/pr/43"] {
        assert_eq!(check.hub.rev(ID, name).unwrap(), pushed.trim());
    }
}

#[test]
fn a_large_push_comes_in_chunks() {
    let check = Check::new();
    check.hub.add_token(WRITER, "owner", Right::Write);
    let dir = check.clone(&[], "clone");
    fs::write(dir.join("noise.dat"), super::bytes(3_000_000)).unwrap();
    check.git(&dir, &["add", "noise.dat"]);
    check.git(&dir, &["commit", "-q", "-m", "noise"]);
    check.git(&dir, &["push", "-q", &check.url_with(WRITER), "HEAD:main"]);
    assert!(check.hub.requests().iter().any(|seen| seen.header("Transfer-Encoding") == Some("chunked")));
    assert_eq!(check.hub.rev(ID, "main").unwrap(), check.git(&dir, &["rev-parse", "HEAD"]).trim());
}

#[test]
fn a_repository_of_this_machine_is_imported_with_its_lfs_objects() {
    let (hub, sandbox) = (Hub::start(), Sandbox::new());
    let dir = sandbox.repo("model");
    fs::write(dir.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    fs::write(dir.join("weights.bin"), b"weights").unwrap();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-q", "-m", "weights"]);
    sandbox.git(&dir, &["update-ref", "refs/pr/3", "HEAD"]);
    let oid = crate::hub::oid_of(b"weights");
    let stored = dir.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid);
    fs::create_dir_all(stored.parent().unwrap()).unwrap();
    fs::write(&stored, b"weights").unwrap();

    hub.import_model("gpt", &dir.join(".git"));
    assert_eq!(fs::read(hub.object("gpt", &oid)).unwrap(), b"weights");
    let refs = sandbox.git(&dir, &["ls-remote", &hub.url("gpt"), "refs/pr/*"]);
    assert_eq!(refs, format!("{}\trefs/pr/3\n", sandbox.git(&dir, &["rev-parse", "HEAD"]).trim()));
}

#[test]
fn a_push_that_the_hub_would_not_take_is_refused() {
    let check = Check::new();
    check.hub.add_token(WRITER, "owner", Right::Write);
    let dir = check.clone(&[], "clone");
    let push = |path: &str, content: &[u8]| {
        fs::write(dir.join(path), content).unwrap();
        check.git(&dir, &["add", path]);
        check.git(&dir, &["commit", "-q", "-m", path]);
        let output = check.sandbox.try_git(&dir, &["push", &check.url_with(WRITER), "HEAD:main"]);
        check.git(&dir, &["reset", "-q", "--hard", "HEAD^"]);
        output
    };
    let before = check.hub.rev(ID, "main");
    let output = push("noise.dat", &super::bytes((10 << 20) + 1));
    assert!(output.stderr.contains("files larger than 10 MiB"), "{output:?}");
    let oid = crate::hub::oid_of(b"not here");
    let pointer = crate::hub::pointer(&oid, 8);
    let output = push("model.safetensors", pointer.as_bytes());
    assert!(output.stderr.contains("an LFS pointer pointed to a file that does not exist"), "{output:?}");
    assert_eq!(check.hub.rev(ID, "main"), before);
    check.hub.put_object(ID, &Content::Bytes(b"not here".to_vec()));
    push("model.safetensors", pointer.as_bytes()).ok();
    assert_ne!(check.hub.rev(ID, "main"), before);
}

#[test]
fn git_follows_a_redirect_of_its_first_request_and_meets_a_refused_push() {
    let check = Check::new();
    check.hub.add_token(WRITER, "owner", Right::Write);
    let other = check.hub.open_origin();
    check.hub.inject(Fault::Redirect(302, To::Origin(other.clone())).at(Place::git(ID)).times(1));
    let dir = check.clone(&[], "clone");
    let packs = check.hub.requests().into_iter().filter(|seen| seen.path().ends_with("/git-upload-pack"));
    assert!(packs.map(|seen| seen.origin).all(|origin| origin == other));
    check.hub.inject(Fault::Status(500).at(Place::receive_pack(ID)));
    let output = check.sandbox.try_git(&dir, &["push", &check.url_with(WRITER), "HEAD:refs/heads/new"]);
    assert!(output.stderr.contains("HTTP 500"), "{output:?}");
    assert_eq!(check.hub.rev(ID, "new"), None);
}

#[test]
fn a_history_holds_links_and_forgets_files() {
    let (hub, sandbox) = (Hub::start(), Sandbox::new());
    let mut model = Builder::without_attributes();
    model.file("a \"b\"\n.txt", "a").link("link", "../elsewhere").file("gone", "").commit("one");
    model.remove("gone").commit("two");
    hub.add_model("gpt2", &model);
    let dir = hub.git_dir("gpt2");
    let names = sandbox.git(&dir, &["ls-tree", "-z", "--name-only", "main"]);
    assert_eq!(names, "a \"b\"\n.txt\0link\0");
    assert!(sandbox.git(&dir, &["ls-tree", "main", "link"]).starts_with("120000 blob "));
    assert_eq!(sandbox.git(&dir, &["cat-file", "blob", "main:link"]), "../elsewhere");
    assert_eq!(sandbox.git(&dir, &["log", "--format=%s %ct", "main"]), "two 1577934365\none 1577934305\n");
}
