//! Tests commits of only our paths, by git and without the filter.

use std::fs;

use git_st_convert::git::commit::{commit, commit_tree, init, rev_parse, update_ref, write_tree};
use git_st_convert::git::{Error, Git, Identity};
use git_st_convert::repo;

use super::{convert, open};
use crate::sandbox::Sandbox;

/// A commit by the library runs git in the machine's environment, so the author must be in the repository's
/// configuration.
fn identify(sandbox: &Sandbox, dir: &std::path::Path) {
    sandbox.git(dir, &["config", "user.name", "A U Thor"]);
    sandbox.git(dir, &["config", "user.email", "author@example.com"]);
    sandbox.git(dir, &["config", "commit.gpgSign", "false"]);
    sandbox.git(dir, &["config", "core.hooksPath", ".git/hooks"]);
}

#[test]
fn only_our_paths_are_committed_and_the_hook_runs_and_the_filter_does_not() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    identify(&sandbox, &dir);
    fs::create_dir_all(dir.join(".git/hooks")).unwrap();
    let hook = dir.join(".git/hooks/pre-commit");
    fs::write(&hook, "#!/bin/sh\ngit diff --cached --name-only >hooked\n").unwrap();
    #[cfg(unix)]
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let repo = open(&dir);
    convert(&repo, "mine.safetensors", b"staged before by hand");
    convert(&repo, "model.safetensors", b"converted");
    fs::write(dir.join("README.md"), "# changed\n").unwrap();
    sandbox.git(&dir, &["add", "README.md"]);

    let paths = ["model.safetensors".into()];
    let attributes = repo.plan_committed_attributes(&paths).unwrap();
    let partial = repo.partial_index(&paths, &attributes).unwrap();
    let (id, _) =
        commit(&Git::at(&dir).unwrap(), Some(partial.path()), "convert\n\nConverted-From: x\n").unwrap();
    drop(partial);

    assert_eq!(id, sandbox.git(&dir, &["rev-parse", "HEAD"]).trim());
    let names = sandbox.git(&dir, &["show", "--name-only", "--format=%(trailers)", "HEAD"]);
    assert_eq!(names, "Converted-From: x\n\n\n.gitattributes\nmodel.safetensors\n");
    assert_eq!(fs::read_to_string(dir.join("hooked")).unwrap(), ".gitattributes\nmodel.safetensors\n");
    fs::remove_file(dir.join("hooked")).unwrap();
    assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), "M  README.md\nA  mine.safetensors\n");
    assert_eq!(sandbox.filter_runs(), [""; 0], "the filter ran");
    let left = fs::read_dir(dir.join(".git")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().contains("st-convert")).count(), 0);
}

#[test]
fn a_hook_that_refuses_is_an_error_with_its_words() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    identify(&sandbox, &dir);
    fs::create_dir_all(dir.join(".git/hooks")).unwrap();
    let hook = dir.join(".git/hooks/pre-commit");
    fs::write(&hook, "#!/bin/sh\necho no >&2\nexit 1\n").unwrap();
    #[cfg(unix)]
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    convert(&open(&dir), "model.safetensors", b"converted");
    let err = commit(&Git::at(&dir).unwrap(), None, "convert").unwrap_err();
    assert!(matches!(&err, Error::Failed { status: Some(1), stderr, .. } if stderr.0 == "no"), "{err:?}");
}

#[test]
fn a_merge_is_not_swallowed() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    sandbox.git(&dir, &["checkout", "-q", "-b", "other"]);
    fs::write(dir.join("theirs"), "theirs").unwrap();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-q", "-m", "theirs"]);
    sandbox.git(&dir, &["checkout", "-q", "main"]);
    sandbox.git(&dir, &["merge", "-q", "--no-ff", "--no-commit", "other"]);
    let err = open(&dir).partial_index(&["README.md".into()], &[]).unwrap_err();
    assert!(matches!(err, repo::Error::InProgress { .. }), "{err}");
}

#[test]
fn a_small_repository_from_nothing() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("demo");
    fs::create_dir(&dir).unwrap();
    let git = Git::at(&dir).unwrap();
    init(&git).unwrap();
    let tree = write_tree(&git).unwrap();
    let identity = Identity { name: "A U Thor", email: "author@example.com" };
    let one = commit_tree(&git, &tree, &[], "one\n", identity).unwrap();
    let two = commit_tree(&git, &tree, &[&one], "two\n", identity).unwrap();
    update_ref(&git, "refs/heads/main", &one).unwrap();
    update_ref(&git, "refs/pr/1", &two).unwrap();
    assert_eq!(rev_parse(&git, "refs/pr/1^").unwrap(), one);
    assert!(rev_parse(&git, "--all").is_err());
    assert_eq!(sandbox.git(&dir, &["log", "--format=%s", "refs/pr/1"]), "two\none\n");
}
