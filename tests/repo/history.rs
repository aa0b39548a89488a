//! Compares the relation of two commits by libgit2 with git.

use std::fs;
use std::path::Path;

use git_st_convert::git::{Git, history};
use git_st_convert::repo::{ChangedPath, Error, Mode, ObjectId};

use super::open;
use crate::sandbox::Sandbox;

fn id(sandbox: &Sandbox, dir: &Path, rev: &str) -> ObjectId {
    ObjectId::from_hex(sandbox.git(dir, &["rev-parse", rev]).trim().as_bytes()).unwrap()
}

fn commit(sandbox: &Sandbox, dir: &Path, message: &str) {
    sandbox.git(dir, &["add", "-A"]);
    sandbox.git(dir, &["commit", "-q", "-m", message]);
}

/// Formats a change as `old mode → new mode path`.
fn told(change: &ChangedPath) -> String {
    let mode = |version: &Option<git_st_convert::repo::Version>| match version.map(|version| version.mode) {
        None => "-",
        Some(Mode::File) => "file",
        Some(Mode::Executable) => "executable",
        Some(Mode::Symlink) => "link",
        Some(Mode::Submodule) => "submodule",
    };
    format!("{} → {} {}", mode(&change.old), mode(&change.new), change.path)
}

#[cfg(unix)]
#[test]
fn libgit2_and_git_agree_on_bases_and_changed_paths() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    for path in ["renamed", "run", "a b/tab\tname"] {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), format!("{path} with a long enough text\n")).unwrap();
    }
    commit(&sandbox, &dir, "base");
    sandbox.git(&dir, &["checkout", "-q", "-b", "pr"]);
    fs::rename(dir.join("renamed"), dir.join("new name")).unwrap();
    fs::set_permissions(dir.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(dir.join("a b/tab\tname"), "changed\n").unwrap();
    std::os::unix::fs::symlink("run", dir.join("link")).unwrap();
    let head = sandbox.git(&dir, &["rev-parse", "HEAD"]);
    sandbox.git(&dir, &["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", head.trim())]);
    fs::create_dir(dir.join("sub")).unwrap();
    commit(&sandbox, &dir, "changes");
    sandbox.git(&dir, &["checkout", "-q", "main"]);
    fs::write(dir.join("README.md"), "# moved on\n").unwrap();
    commit(&sandbox, &dir, "main");
    sandbox.git(&dir, &["checkout", "-q", "--orphan", "other"]);
    commit(&sandbox, &dir, "unrelated");
    sandbox.git(&dir, &["checkout", "-q", "main"]);

    let (libgit2, git) = (open(&dir).history().unwrap(), Git::at(&dir).unwrap());
    let (main, pr, base) =
        (id(&sandbox, &dir, "main"), id(&sandbox, &dir, "pr"), id(&sandbox, &dir, "main~1"));
    for (one, other, expected) in
        [(main, pr, Some(base)), (base, pr, Some(base)), (main, id(&sandbox, &dir, "other"), None)]
    {
        assert_eq!(libgit2.merge_base(one, other).unwrap(), expected);
        assert_eq!(history::merge_base(&git, one, other).unwrap(), expected);
    }
    let changes = libgit2.changes(Some(base), pr).unwrap();
    assert_eq!(
        changes.iter().map(told).collect::<Vec<_>>(),
        [
            "file → file a b/tab\tname",
            "- → link link",
            "- → file new name",
            "file → - renamed",
            "file → executable run",
            "- → submodule sub",
        ]
    );
    assert_eq!(history::changes(&git, Some(base), pr).unwrap(), changes);
    assert_eq!(history::changes(&git, None, main).unwrap(), libgit2.changes(None, main).unwrap());

    // An older git wrote this into every partial clone.
    sandbox.git(&dir, &["config", "core.repositoryFormatVersion", "1"]);
    sandbox.git(&dir, &["config", "extensions.partialClone", "origin"]);
    match open(&dir).history() {
        Ok(history) => assert_eq!(history.merge_base(main, pr).unwrap(), Some(base)),
        Err(error) => assert!(matches!(error, Error::History { .. }), "{error}"),
    }
    assert_eq!(history::merge_base(&git, main, pr).unwrap(), Some(base));
}
