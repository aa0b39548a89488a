//! Tests that hooks are installed next to existing ones, and removed without a trace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Place, checkpoint, skipped};

/// Returns every file of a directory with its content or target, and its mode.
pub(super) fn files(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let content = match fs::read_link(&path) {
            Ok(target) => target.as_os_str().as_encoded_bytes().to_vec(),
            Err(_) if metadata.is_dir() => continue,
            Err(_) => fs::read(&path).unwrap(),
        };
        found.insert(path, (content, metadata.permissions().mode()));
    }
    found
}

fn hook(place: &Place, name: &str, text: &[u8], mode: u32) -> PathBuf {
    let path = place.at(".git/hooks").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// Installs, commits and uninstalls: a pickle is rejected, an existing hook runs, and stays unchanged.
#[track_caller]
fn comes_and_goes(place: &Place, runs: bool) {
    let hooks = place.at(".git/hooks");
    let before = files(&hooks);
    place.git(&["st-convert", "hook", "install"]).ok();
    let installed = files(&hooks);
    assert_ne!(installed, before);
    place.git(&["st-convert", "hook", "install"]).ok();
    assert_eq!(files(&hooks), installed, "the second time changed something");
    assert!(hooks.join("pre-commit").metadata().unwrap().permissions().mode() & 0o100 != 0);

    place.add("a.pt", &checkpoint());
    place.refused(&["a.pt: pickle checkpoint"]);
    place.git(&["rm", "-q", "--cached", "a.pt"]).ok();
    place.add("a.txt", b"fine\n");
    place.git(&["commit", "-q", "-m", "fine"]).ok();
    assert_eq!(place.at("ran").exists(), runs);

    place.git(&["st-convert", "hook", "uninstall"]).ok();
    assert_eq!(files(&hooks), before);
    let again = place.git(&["st-convert", "hook", "uninstall"]);
    assert!(again.code == Some(0) && again.stderr.contains("no git-st-convert hooks to remove"), "{again:?}");
}

#[test]
fn markers_in_a_text_of_another_hook_are_not_ours() {
    let place = Place::new();
    let text = "#!/bin/sh\ncat >/dev/null <<'EOF'\n# >>> git st-convert >>>\ngit st-convert hook run pre-commit\n\
                # <<< git st-convert <<<\nEOF\ntouch ran\n";
    hook(&place, "pre-commit", text.as_bytes(), 0o755);
    let status = place.git(&["st-convert", "hook", "status"]);
    assert!(status.stdout.contains("commits: not guarded"), "{status:?}");
    comes_and_goes(&place, true);
}

#[test]
fn beside_hooks_of_every_kind() {
    for (text, mode, runs) in [
        ("#!/bin/sh\necho ran >> ran\nexit 0\n", 0o755, true),
        ("#!/usr/bin/env bash\nset -eu\necho ran >> ran", 0o700, true),
        ("echo ran >> ran\n", 0o755, true),
        ("#!/usr/bin/env python3\nopen('ran', 'w')\n", 0o755, true),
        ("#!/bin/sh\necho ran >> ran\n", 0o644, false),
        ("#!/bin/sh\n", 0o755, false),
    ] {
        let place = Place::new();
        hook(&place, "pre-commit", text.as_bytes(), mode);
        comes_and_goes(&place, runs);
    }
    // The existing hook is a link to a script of the repository.
    let place = Place::new();
    place.write("tools/check", b"#!/bin/sh\necho ran >> ran\n");
    fs::set_permissions(place.at("tools/check"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(place.at(".git/hooks")).unwrap();
    std::os::unix::fs::symlink("../../tools/check", place.at(".git/hooks/pre-commit")).unwrap();
    comes_and_goes(&place, true);
    assert_eq!(fs::read(place.at("tools/check")).unwrap(), b"#!/bin/sh\necho ran >> ran\n");
    // No hook exists.
    comes_and_goes(&Place::new(), false);
}

/// git did not run the previous hook, and ours does not run it either.
#[test]
fn a_previous_hook_that_git_passed_over_is_not_said_to_run() {
    for (mode, runs) in [(0o755, true), (0o644, false)] {
        let place = Place::new();
        hook(&place, "pre-commit", b"#!/usr/bin/env python3\nopen('ran', 'w')\n", mode);
        let said = place.git(&["st-convert", "hook", "install"]).ok();
        let status = place.git(&["st-convert", "hook", "status"]).ok();
        for text in [said, status] {
            assert_eq!(text.contains("(runs the previous hook after it)"), runs, "{text}");
        }
        place.add("a.txt", b"fine\n");
        place.git(&["commit", "-q", "-m", "fine"]).ok();
        assert_eq!(place.at("ran").exists(), runs);
    }
}

#[test]
fn a_hook_that_fails_still_fails() {
    let place = Place::new();
    hook(&place, "pre-commit", b"#!/usr/bin/env python3\nimport sys\nsys.exit(7)\n", 0o755);
    place.git(&["st-convert", "hook", "install"]).ok();
    place.add("a.txt", b"fine\n");
    assert_eq!(place.git(&["commit", "-q", "-m", "fine"]).code, Some(1));
}

#[test]
fn the_hooks_of_git_lfs_keep_their_input() {
    let place = Place::new();
    if !place.sandbox.git_lfs_available() {
        return skipped("git-lfs is not here");
    }
    let server = place.sandbox.path("server.git");
    place.git_in(&place.sandbox.path(""), &["init", "-q", "--bare", "server.git"]).ok();
    place.git(&["remote", "add", "origin", server.to_str().unwrap()]).ok();
    place.git(&["lfs", "install", "--local"]).ok();
    let before = files(&place.at(".git/hooks"));
    place.git(&["st-convert", "hook", "install"]).ok();
    place.git(&["lfs", "track", "*.dat"]).ok();
    place.add(".gitattributes", &fs::read(place.at(".gitattributes")).unwrap());
    place.add("a.dat", b"content under Git LFS");
    place.git(&["commit", "-q", "-m", "lfs"]).ok();
    place.git(&["push", "-q", "origin", "main"]).ok();
    let uploaded = || fs::read_dir(server.join("lfs/objects")).map_or(0, Iterator::count);
    assert_eq!(uploaded(), 1, "git-lfs was not told what is pushed");
    place.git(&["st-convert", "hook", "uninstall"]).ok();
    assert_eq!(files(&place.at(".git/hooks")), before);

    // Without the hook of git-lfs, ours does its work, because git-lfs does not install its own next to another.
    fs::remove_file(place.at(".git/hooks/pre-push")).unwrap();
    place.git(&["st-convert", "hook", "install", "--pre-push"]).ok();
    place.add("b.dat", b"more content under Git LFS");
    place.git(&["commit", "-q", "-m", "more"]).ok();
    place.git(&["push", "-q", "origin", "main"]).ok();
    assert_eq!(uploaded(), 2, "an object was not uploaded");
}

#[test]
fn where_another_program_writes_hooks_its_lines_are_printed() {
    for (file, tool, line) in [
        (".pre-commit-config.yaml", "pre-commit", "entry: git st-convert hook run pre-commit-framework"),
        ("lefthook.yml", "lefthook", "run: git st-convert hook run pre-push {1} {2}"),
        (".husky/pre-commit", "husky", "git st-convert hook run pre-commit"),
    ] {
        let place = Place::new();
        place.write(file, b"");
        let before = files(&place.at(".git/hooks"));
        let output = place.git(&["st-convert", "hook", "install"]);
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.stderr.contains(&format!("hooks are managed by {tool}")), "{output:#?}");
        assert!(output.stdout.contains(line), "{output:#?}");
        assert_eq!(files(&place.at(".git/hooks")), before);
    }
}

#[test]
fn a_configured_directory_gets_the_hooks_and_a_shared_one_a_warning() {
    let place = Place::new();
    place.git(&["config", "core.hooksPath", "tools/hooks"]).ok();
    let output = place.git(&["st-convert", "hook", "install", "--pre-commit"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(place.at("tools/hooks/pre-commit").exists());
    place.add("a.pt", &checkpoint());
    place.refused(&["a.pt: pickle checkpoint"]);
    let outside = place.sandbox.path("everybody");
    place.git(&["config", "core.hooksPath", outside.to_str().unwrap()]).ok();
    let output = place.git(&["st-convert", "hook", "install"]);
    assert!(output.stderr.contains("warning: core.hooksPath is outside this repository"), "{output:?}");
    assert!(outside.join("pre-push").exists());
}

#[test]
fn new_repositories_get_the_hooks_of_the_template() {
    let place = Place::new();
    place.git(&["st-convert", "hook", "install", "--global"]).ok();
    let template = place.git(&["config", "--global", "init.templateDir"]).ok();
    assert!(template.trim().starts_with(place.sandbox.path("home").to_str().unwrap()), "{template}");
    place.git_in(&place.sandbox.path(""), &["init", "-q", "new"]).ok();
    let dir = place.sandbox.path("new");
    fs::write(dir.join("a.pt"), checkpoint()).unwrap();
    place.git_in(&dir, &["add", "."]).ok();
    assert_eq!(place.git_in(&dir, &["commit", "-q", "-m", "a"]).code, Some(1));
    let status = place.git(&["st-convert", "hook", "status", "--global"]).ok();
    assert_eq!(
        status
            .lines()
            .filter(|line| line.contains(" installed ") && !line.contains(" not installed "))
            .count(),
        3,
        "{status}"
    );
    place.git(&["st-convert", "hook", "uninstall", "--global"]).ok();
    assert_eq!(place.git(&["config", "--global", "init.templateDir"]).code, Some(1));
    assert!(!Path::new(template.trim()).exists());

    // An existing template keeps its files.
    let own = place.sandbox.path("template");
    fs::create_dir_all(own.join("hooks")).unwrap();
    fs::write(own.join("hooks/pre-commit"), "#!/bin/sh\n").unwrap();
    place.git(&["config", "--global", "init.templateDir", own.to_str().unwrap()]).ok();
    let before = files(&own.join("hooks"));
    place.git(&["st-convert", "hook", "install", "--global"]).ok();
    place.git(&["st-convert", "hook", "uninstall", "--global"]).ok();
    assert_eq!(files(&own.join("hooks")), before);
    assert_eq!(place.git(&["config", "--global", "init.templateDir"]).ok().trim(), own.to_str().unwrap());
}

#[test]
fn without_the_program_nothing_is_committed_and_the_hook_says_why() {
    let place = Place::guarded();
    place.add("a.txt", b"fine\n");
    // The sandbox's own PATH has git-st-convert only if it is installed on the machine.
    let output = place.sandbox.try_git(&place.dir, &["commit", "-q", "-m", "fine"]);
    if output.code == Some(0) {
        return skipped("git-st-convert is installed on this machine");
    }
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("pre-commit: git-st-convert not found on PATH"), "{output:#?}");
}

#[test]
fn a_git_that_runs_hooks_of_the_configuration_gets_settings() {
    // Only the version is simulated; that such a git runs the hooks cannot be tested with an older one.
    let place = Place::new();
    let bin = place.sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    let real = place.command("sh", &place.dir, &["-c", "command -v git"]).output().unwrap().stdout;
    let script = format!(
        "#!/bin/sh\nfor word; do\n    [ \"$word\" = version ] && echo 'git version 2.54.0' && exit\ndone\nexec {} \"$@\"\n",
        String::from_utf8(real).unwrap().trim()
    );
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let run = |args: &[&str]| -> crate::sandbox::Output {
        let mut command = place.command(crate::sandbox::BIN, &place.dir, &[&["hook"], args].concat());
        let path = format!("{}:{}", bin.display(), super::path().to_str().unwrap());
        command.env("PATH", path).output().unwrap().into()
    };
    let before = (fs::read(place.at(".git/config")).unwrap(), files(&place.at(".git/hooks")));
    run(&["install"]).ok();
    let set = |key: &str| place.git(&["config", "--local", key]).ok().trim().to_owned();
    for name in ["pre-commit", "pre-merge-commit", "pre-push"] {
        assert_eq!(
            set(&format!("hook.st-convert-{name}.command")),
            format!("git st-convert hook run {name}")
        );
        assert_eq!(set(&format!("hook.st-convert-{name}.event")), name);
    }
    assert_eq!(files(&place.at(".git/hooks")), before.1);
    assert!(run(&["install"]).ok().lines().all(|line| line.contains("installed")));
    let status = run(&["status"]).ok();
    assert!(status.contains("commits: guarded, merges: guarded, pushes: guarded\n"), "{status}");
    run(&["uninstall"]).ok();
    assert_eq!(fs::read(place.at(".git/config")).unwrap(), before.0);
}

#[test]
fn a_hook_of_ours_that_git_passes_over_is_run_again() {
    let place = Place::guarded();
    let hook = place.at(".git/hooks/pre-commit");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o644)).unwrap();
    let status = place.git(&["st-convert", "hook", "status"]).ok();
    assert!(status.starts_with("pre-commit present, not executable (git does not run it) "), "{status}");
    assert!(status.contains("commits: not guarded"), "{status}");
    let said = place.git(&["st-convert", "hook", "install"]).ok();
    assert!(said.starts_with("pre-commit installed"), "{said}");
    assert_eq!(fs::metadata(&hook).unwrap().permissions().mode() & 0o100, 0o100);
    place.add("a.pt", &checkpoint());
    place.refused(&["a.pt: pickle checkpoint"]);
}

/// The usual way to turn hooks off: git looks for `/dev/null/pre-commit`, and finds none.
#[test]
fn hooks_that_are_turned_off_are_no_failure() {
    let place = Place::guarded();
    place.add("a.pt", &checkpoint());
    place.git(&["config", "core.hooksPath", "/dev/null"]).ok();
    let status = place.git(&["st-convert", "hook", "status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(
        status.stdout.contains("commits: not guarded, merges: not guarded, pushes: not guarded"),
        "{status:?}"
    );
    let warning = "warning: core.hooksPath is not a directory: git runs no hooks in this repository\n";
    assert_eq!(status.stderr, warning, "{status:?}");
    let whole = place.git(&["st-convert", "status"]);
    let off =
        "commits: not guarded, pushes: not guarded (core.hooksPath is not a directory: git runs no hooks)\n";
    assert!(whole.code == Some(0) && whole.stdout.contains(off), "{whole:?}");
    assert!(!whole.stdout.contains("hook install"), "{whole:?}");
    let install = place.git(&["st-convert", "hook", "install"]);
    assert_eq!(install.code, Some(2), "{install:?}");
    let error = "error: cannot install hooks: core.hooksPath is not a directory: /dev/null\n";
    assert!(install.stderr.contains(error), "{install:?}");
    // As git says: the pickle is committed.
    place.git(&["commit", "-q", "-m", "not guarded"]).ok();
}
