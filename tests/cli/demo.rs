//! Tests the demo: the repository is clean, with and without Git LFS.

use std::fs;
use std::path::{Path, PathBuf};

use super::{assert_shown, run};
use crate::sandbox::{BIN, Output, Sandbox};

const STATUS: &str = "M  .gitattributes\n\
                      A  encoder/model-00001-of-00002.safetensors\n\
                      A  encoder/model-00002-of-00002.safetensors\n\
                      A  encoder/model.safetensors.index.json\n\
                      A  model.safetensors\n";

/// Creates a directory of programs that contains only git.
#[cfg(unix)]
fn only_git(sandbox: &Sandbox) -> PathBuf {
    let dir = sandbox.path("programs");
    fs::create_dir(&dir).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let git = std::env::split_paths(&path).map(|dir| dir.join("git")).find(|file| file.is_file()).unwrap();
    std::os::unix::fs::symlink(git, dir.join("git")).unwrap();
    dir
}

fn with_path(sandbox: &Sandbox, path: &Path, program: &str, cwd: &Path, args: &[&str]) -> Output {
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    sandbox.command(program.as_ref(), cwd, &args).env("PATH", path).output().unwrap().into()
}

#[cfg(unix)]
#[test]
fn it_needs_git_alone() {
    let sandbox = Sandbox::new();
    let path = only_git(&sandbox);
    let git = |cwd: &Path, args: &[&str]| with_path(&sandbox, &path, "git", cwd, args);
    let top = sandbox.path("");
    assert_ne!(git(&top, &["lfs", "version"]).code, Some(0), "the point of this test");
    let output = with_path(&sandbox, &path, BIN, &top, &["demo", "a/model"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let dir = sandbox.path("a/model");
    assert_eq!(git(&dir, &["status", "--porcelain"]).ok(), STATUS);
    // The repository was also clean before the conversion: only the staged files differ from the commit.
    assert_eq!(git(&dir, &["diff", "--name-only"]).ok(), "");
    let shown = git(&dir, &["show", "--stat", "--format=%s", "refs/pr/1"]).ok();
    assert!(shown.contains("model.safetensors | 3 +++"), "{shown}");
    assert_eq!(git(&dir, &["rev-parse", "refs/pr/1^"]).ok(), git(&dir, &["rev-parse", "main"]).ok());
    assert_eq!(git(&dir, &["fsck", "--strict"]).ok(), "");
    let pointer = |rev: &str| git(&dir, &["show", &format!("{rev}:model.safetensors")]).ok();
    assert_eq!(pointer(""), pointer("refs/pr/1"), "the conversion has the very bytes of the pull request");
}

#[test]
fn git_lfs_agrees() {
    let sandbox = Sandbox::new();
    if !sandbox.git_lfs_available() {
        return;
    }
    sandbox.git(&sandbox.path(""), &["lfs", "install", "--skip-repo"]);
    assert_eq!(sandbox.bin(&sandbox.path(""), &["demo", "model"]).code, Some(0));
    let dir = sandbox.path("model");
    assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), STATUS);
    assert_eq!(sandbox.git(&dir, &["lfs", "fsck"]), "Git LFS fsck OK\n");
    assert_eq!(sandbox.git(&dir, &["lfs", "fsck", "refs/pr/1"]), "Git LFS fsck OK\n");
    // After a full read, every file still matches the index.
    sandbox.git(&dir, &["update-index", "--really-refresh"]);
    assert_eq!(sandbox.git(&dir, &["diff", "--name-only"]), "");
    sandbox.git(&dir, &["commit", "-q", "-m", "convert"]);
    assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), "");
}

#[test]
fn what_a_person_sees() {
    let sandbox = Sandbox::new();
    sandbox.git(
        &sandbox.path(""),
        &["config", "--file", "gitconfig", "filter.lfs.clean", "git-lfs clean -- %f"],
    );
    let dir = sandbox.path("model");
    let got = run(&sandbox, &sandbox.path(""), &["demo", "model"]).replace(dir.to_str().unwrap(), "DIR");
    assert_shown(&got, include_str!("demo.txt"));
    let quiet = run(&sandbox, &sandbox.path(""), &["-q", "demo", "quiet"]);
    assert_shown(&quiet, "--- exit 0\n");
    let json = sandbox.bin(&sandbox.path(""), &["--json", "demo", "json"]).ok();
    let lines = super::json_lines(&json);
    assert_eq!(lines.len(), 4);
    assert_eq!((&lines[3]["converted"], &lines[3]["exit_code"]), (&3.into(), &0.into()));
}

#[test]
fn a_directory_that_holds_something_stays_untouched() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("taken");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "").unwrap();
    let expected = "--- stderr\nerror: destination DIR exists and is not empty\n\
                    hint: use a temporary directory: `git st-convert demo`\n--- exit 2\n";
    for name in ["taken", "taken/file"] {
        let got = run(&sandbox, &sandbox.path(""), &["demo", name]);
        assert_shown(&got, &expected.replace("DIR", sandbox.path(name).to_str().unwrap()));
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn another_repository_in_the_environment_stays_untouched() {
    let sandbox = Sandbox::new();
    let other = sandbox.repo("other");
    let output = sandbox
        .command(BIN.as_ref(), &sandbox.path(""), &["demo".as_ref(), "model".as_ref()])
        .env("GIT_DIR", other.join(".git"))
        .env("GIT_WORK_TREE", &other)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(sandbox.git(&other, &["status", "--porcelain"]), "");
    assert_eq!(sandbox.git(&other, &["for-each-ref"]).lines().count(), 1);
}
