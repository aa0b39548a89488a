//! Tests [`Repo::stage`](git_st_convert::repo::Repo::stage) in every kind of repository and index: git sees a staged
//! file and no modification, and never runs the filter; git-lfs finds its object.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use git_st_convert::repo::{Change, Error};

use super::{add, convert, open};
use crate::sandbox::Sandbox;

const MODEL: &[u8] = b"not really tensors, but 42 bytes of content";
const STATUS: [&str; 3] = ["status", "--porcelain", "--untracked-files=all"];

/// Converts in `dir`, and then checks the result with git and git-lfs.
#[track_caller]
fn check(sandbox: &Sandbox, dir: &Path, path: &str) {
    let repo = open(dir);
    let pointer = convert(&repo, path, MODEL);
    let dir = repo.work_dir();
    let status = sandbox.git(dir, &STATUS);
    let mut lines: Vec<_> = status.lines().filter(|line| !line.ends_with(".gitattributes")).collect();
    lines.sort_unstable();
    assert_eq!(lines, [format!("A  {path}")], "{status}");
    assert_eq!(sandbox.git(dir, &["cat-file", "blob", &format!(":{path}")]), pointer.to_string());
    assert_eq!(fs::read(dir.join(path)).unwrap(), MODEL);
    sandbox.git(dir, &["diff", "--exit-code"]);
    // A sparse index is expanded by writing trees; fsck would not find those that it creates itself.
    sandbox.git(dir, &["write-tree"]);
    sandbox.git(dir, &["fsck", "--strict"]);

    fs::write(dir.join("other.txt"), "other").unwrap();
    sandbox.git(dir, &["add", "--sparse", "other.txt"]);
    sandbox.git(dir, &["commit", "-q", "-m", "converted"]);
    assert_eq!(sandbox.git(dir, &STATUS), "");
    let names = sandbox.git(dir, &["show", "--name-only", "--format=", "HEAD"]);
    assert!(names.lines().any(|name| name == path) && names.contains("other.txt"), "{names}");
    assert_eq!(sandbox.filter_runs(), [""; 0], "the filter ran");

    if sandbox.git_lfs_available() {
        assert_eq!(sandbox.git(dir, &["lfs", "fsck"]), "Git LFS fsck OK\n");
        let listed = sandbox.git(dir, &["lfs", "ls-files", "--long"]);
        assert_eq!(listed, format!("{} * {path}\n", pointer.oid));
        let status = sandbox.git(dir, &["lfs", "status", "--porcelain"]);
        assert_eq!(status.trim(), "");
    }
    assert!(leftovers(&repo.store().tmp_dir()).is_empty() && leftovers(repo.git_dir()).is_empty());
}

fn leftovers(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.contains("st-convert") || name == "index.lock").collect()
}

#[test]
fn a_plain_repository() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    check(&sandbox, &dir, "model.safetensors");
}

#[test]
fn a_sub_directory_that_did_not_exist() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    check(&sandbox, &dir, "unet/deep/model.safetensors");
}

#[test]
fn a_branch_without_a_commit() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("model");
    sandbox.git(&sandbox.path(""), &["init", "-q", "model"]);
    sandbox.count_filter_runs(&dir);
    assert!(open(&dir).head_is_unborn().unwrap());
    check(&sandbox, &dir, "model.safetensors");
}

#[test]
fn index_version_four_stays_four() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    for name in ["a", "ab/c", "ab/cd", "z"] {
        fs::create_dir_all(dir.join("ab")).unwrap();
        fs::write(dir.join(name), name).unwrap();
    }
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-q", "-m", "more"]);
    sandbox.git(&dir, &["update-index", "--index-version", "4"]);
    check(&sandbox, &dir, "model.safetensors");
    assert_eq!(fs::read(dir.join(".git/index")).unwrap()[..8], *b"DIRC\0\0\0\x04");
}

#[test]
fn a_split_index() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    sandbox.git(&dir, &["config", "core.splitIndex", "true"]);
    sandbox.git(&dir, &["update-index", "--split-index"]);
    fs::write(dir.join("more"), "more").unwrap();
    sandbox.git(&dir, &["add", "more"]);
    sandbox.git(&dir, &["commit", "-q", "-m", "more"]);
    check(&sandbox, &dir, "model.safetensors");
}

#[test]
fn an_untracked_cache_and_no_checksum() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    sandbox.git(&dir, &["config", "core.untrackedCache", "true"]);
    sandbox.git(&dir, &["config", "index.skipHash", "true"]);
    sandbox.git(&dir, &["update-index", "--untracked-cache"]);
    sandbox.git(&dir, &STATUS);
    check(&sandbox, &dir, "model.safetensors");
}

#[cfg(unix)]
#[test]
fn a_file_system_monitor() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let hook = sandbox.path("monitor");
    // The monitor reports no change since its last token.
    fs::write(&hook, "#!/bin/sh\nprintf 'token\\0'\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    sandbox.git(&dir, &["config", "core.fsmonitor", hook.to_str().unwrap()]);
    sandbox.git(&dir, &["update-index", "--fsmonitor"]);
    let repo = open(&dir);
    convert(&repo, "model.safetensors", MODEL);
    let status = sandbox.git(&dir, &STATUS);
    assert_eq!(status, "A  .gitattributes\nA  model.safetensors\n");
    assert_eq!(sandbox.filter_runs(), [""; 0]);
}

#[test]
fn a_linked_work_tree_shares_the_store() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    sandbox.git(&dir, &["worktree", "add", "-q", "-b", "other", "../linked"]);
    check(&sandbox, &sandbox.path("linked"), "model.safetensors");
    let linked = open(&sandbox.path("linked"));
    assert_eq!(linked.lfs_dir().canonicalize().unwrap(), dir.join(".git/lfs").canonicalize().unwrap());
}

#[test]
fn a_store_elsewhere() {
    for storage in ["../../shared-lfs", "deep/lfs"] {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        sandbox.git(&dir, &["config", "lfs.storage", storage]);
        check(&sandbox, &dir, "model.safetensors");
        assert!(dir.join(".git").join(storage).join("objects").is_dir());
        assert!(!dir.join(".git/lfs/objects").exists());
    }
}

fn sparse(sandbox: &Sandbox, args: &[&str]) -> std::path::PathBuf {
    let dir = sandbox.repo("model");
    for path in ["in/a", "out/b", "out/deep/c", "far/d"] {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), path).unwrap();
    }
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-q", "-m", "more"]);
    sandbox.git(&dir, &[&["sparse-checkout", "set"], args].concat());
    assert!(!dir.join("out").exists());
    dir
}

fn skipped(dir: &Path) -> Vec<String> {
    let entries = open(dir).entries().unwrap().into_iter().filter(|entry| entry.skip_worktree);
    entries.map(|entry| entry.path.to_string()).collect()
}

#[test]
fn sparse_checkouts_inside_and_outside_of_the_cone() {
    for args in
        [&["--cone", "in"] as &[&str], &["--cone", "--sparse-index", "in"], &["--no-cone", "/in/", "/*.md"]]
    {
        for path in ["in/model.safetensors", "out/model.safetensors", "out/deep/model.safetensors"] {
            let sandbox = Sandbox::new();
            let dir = sparse(&sandbox, args);
            assert_eq!(skipped(&dir), ["far/d", "out/b", "out/deep/c"]);
            check(&sandbox, &dir, path);
            assert_eq!(skipped(&dir), ["far/d", "out/b", "out/deep/c"], "{args:?} {path}");
        }
    }
}

#[test]
fn a_file_that_was_modified_in_the_second_of_the_index_stays_modified() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let readme = dir.join("README.md");
    let now = SystemTime::now();
    let set = |path: &Path| File::options().write(true).open(path).unwrap().set_modified(now).unwrap();
    fs::write(&readme, "# version 1\n").unwrap();
    set(&readme);
    sandbox.git(&dir, &["add", "README.md"]);
    // The length, the time and the inode are the same, so only the content shows that the file differs.
    sandbox.git(&dir, &["config", "core.trustctime", "false"]);
    fs::write(&readme, "# version 2\n").unwrap();
    set(&readme);
    set(&dir.join(".git/index"));
    std::thread::sleep(Duration::from_millis(1100));
    convert(&open(&dir), "model.safetensors", MODEL);
    let status = sandbox.git(&dir, &STATUS);
    assert!(status.contains("MM README.md"), "{status}");
}

#[test]
fn a_multiple_of_four_gibibytes_is_not_read_again() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let repo = open(&dir);
    let path = dir.join("model.safetensors");
    let file = File::create(&path).unwrap();
    file.set_len(4 << 30).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3)).unwrap();
    let mut changes = super::apply_attributes(&repo, &["model.safetensors".into()]);
    changes.push(add(&repo, "model.safetensors".into(), "pointer"));
    repo.stage(&changes).unwrap();
    let version = sandbox.git(&dir, &["version"]);
    let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
    if minor >= 43 {
        assert_eq!(sandbox.git(&dir, &STATUS), "A  .gitattributes\nA  model.safetensors\n");
        assert_eq!(sandbox.filter_runs(), [""; 0]);
    }
}

#[test]
fn staging_again_replaces_and_removal_unstages() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let repo = open(&dir);
    convert(&repo, "model.safetensors", MODEL);
    sandbox.git(&dir, &["commit", "-q", "-m", "converted"]);
    fs::write(dir.join("new"), "new").unwrap();
    let remove = |path: &str| Change::Remove { path: path.into() };
    repo.stage(&[remove("README.md"), add(&repo, "new".into(), "new")]).unwrap();
    repo.remove_file("README.md".into()).unwrap();
    assert_eq!(sandbox.git(&dir, &STATUS), "D  README.md\nA  new\n");
    assert!(matches!(repo.stage(&[remove("README.md")]), Err(Error::NotTracked { .. })));
}

#[test]
fn a_foreign_lock_is_an_error_and_a_dead_one_of_ours_is_not() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let repo = open(&dir);
    fs::write(dir.join("new"), "new").unwrap();
    let lock = dir.join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let before = fs::read(dir.join(".git/index")).unwrap();
    assert!(matches!(repo.stage(&[add(&repo, "new".into(), "new")]), Err(Error::IndexLocked { .. })));
    assert_eq!(fs::read(dir.join(".git/index")).unwrap(), before);
    fs::remove_file(&lock).unwrap();

    let leftover = dir.join(".git/st-convert-1-abc");
    fs::write(&leftover, "half").unwrap();
    fs::hard_link(&leftover, &lock).unwrap();
    assert_ne!(sandbox.try_git(&dir, &["add", "new"]).code, Some(0));
    repo.stage(&[add(&repo, "new".into(), "new")]).unwrap();
    assert_eq!(sandbox.git(&dir, &STATUS), "A  new\n");
}

#[test]
fn a_file_in_the_place_of_a_directory_is_refused() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let repo = open(&dir);
    fs::write(dir.join("new"), "new").unwrap();
    let stat_of = dir.join("new");
    let change = |path: &str| Change::Add {
        path: path.into(),
        blob: b"new".to_vec(),
        stat_of: Some(stat_of.clone()),
        executable: true,
    };
    assert!(matches!(repo.stage(&[change("README.md/new")]), Err(Error::PathConflict { .. })));
    assert!(matches!(repo.stage(&[change(".git/config")]), Err(Error::Place(_))));
    repo.stage(&[change("new")]).unwrap();
    assert!(sandbox.git(&dir, &["ls-files", "-s", "new"]).starts_with("100755 "));
}
