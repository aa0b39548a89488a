//! Tests our check in hook managers: `.pre-commit-hooks.yaml` in the pre-commit framework itself, and the printed lines
//! in lefthook and husky.
//!
//! `PRE_COMMIT` and `LEFTHOOK` name programs, by default those on `PATH`; `HUSKY_SCRIPT` names the script of husky for
//! node. A missing one is reported.

use std::fs;
use std::path::{Path, PathBuf};

use super::install::files;
use super::{Place, checkpoint, skipped};
use crate::sandbox::Output;

fn program(place: &Place, variable: &str, name: &str) -> Option<PathBuf> {
    let program = std::env::var_os(variable).map_or_else(|| name.into(), PathBuf::from);
    let found = place.command(program.to_str()?, &place.dir, &["--help"]).output();
    if found.is_ok_and(|found| found.status.success()) {
        return Some(program);
    }
    skipped(&format!("{name} is not here"));
    None
}

/// Creates the repository of hooks that the framework clones: the file of this package, with nothing to compile.
fn hooks(place: &Place) -> (PathBuf, String) {
    let dir = place.sandbox.path("hooks");
    fs::create_dir(&dir).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".pre-commit-hooks.yaml");
    fs::copy(file, dir.join(".pre-commit-hooks.yaml")).unwrap();
    place.git_in(&dir, &["init", "-q"]).ok();
    place.git_in(&dir, &["add", "."]).ok();
    place.git_in(&dir, &["commit", "-q", "-m", "hooks"]).ok();
    let commit = place.git_in(&dir, &["rev-parse", "HEAD"]).ok();
    (dir, commit.trim().to_owned())
}

#[test]
fn the_framework_refuses_on_commit_on_push_and_over_all_files() {
    let place = Place::new();
    let Some(program) = program(&place, "PRE_COMMIT", "pre-commit") else { return };
    let pre_commit = |args: &[&str]| -> Output {
        place.command(program.to_str().unwrap(), &place.dir, args).output().unwrap().into()
    };
    let (dir, commit) = hooks(&place);
    let config = format!(
        "repos:\n- repo: {}\n  rev: {commit}\n  hooks:\n  - id: no-pickle-weights-system\n",
        dir.display()
    );
    place.add(".pre-commit-config.yaml", config.as_bytes());
    pre_commit(&["install", "-t", "pre-commit", "-t", "pre-push", "-t", "pre-merge-commit"]).ok();
    let installed = fs::read(place.at(".git/hooks/pre-commit")).unwrap();
    let commit = |message: &str| place.git(&["commit", "-q", "-m", message]);
    assert_eq!(commit("config").code, Some(0));

    place.add("weights.dat", &checkpoint());
    let output = commit("raw");
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("weights.dat: pickle checkpoint"), "{output:#?}");
    place.git(&["rm", "-q", "--cached", "weights.dat"]).ok();
    fs::remove_file(place.at("weights.dat")).unwrap();
    place.add_pointer("p.dat", &checkpoint(), true);
    assert_eq!(commit("pointer").code, Some(1));
    pre_commit(&["run", "--files", "README.md"]).ok();

    // A file that was committed without the hook is found by `--all-files` and by a push.
    place.git(&["commit", "-q", "--no-verify", "-m", "pointer"]).ok();
    let all = pre_commit(&["run", "--all-files"]);
    assert_eq!(all.code, Some(1), "{all:#?}");
    assert!(all.stdout.contains("p.dat: pickle checkpoint"), "{all:#?}");
    let server = place.sandbox.path("server.git");
    place.git_in(&place.sandbox.path(""), &["init", "-q", "--bare", "server.git"]).ok();
    place.git(&["remote", "add", "origin", server.to_str().unwrap()]).ok();
    place.git(&["push", "-q", "--no-verify", "origin", "HEAD~1:refs/heads/main"]).ok();
    let pushed = place.git(&["push", "-q", "origin", "main"]);
    assert_eq!(pushed.code, Some(1), "{pushed:#?}");
    assert!(pushed.stdout.contains("p.dat: pickle checkpoint"), "{pushed:#?}");
    assert!(pushed.stdout.contains("in commit "), "{pushed:#?}");

    // Our lines are not added to its hooks.
    assert_eq!(place.git(&["st-convert", "hook", "install"]).code, Some(1));
    place.git(&["st-convert", "hook", "uninstall"]).ok();
    assert_eq!(fs::read(place.at(".git/hooks/pre-commit")).unwrap(), installed);
}

/// Checks that a commit and a push of a pickle are rejected where another program runs the hooks.
fn refuses(place: &Place, variables: &[(&str, &Path)]) {
    let git = |args: &[&str]| -> Output {
        let mut command = place.command("git", &place.dir, args);
        command.envs(variables.iter().copied()).output().unwrap().into()
    };
    git(&["commit", "-q", "-m", "hooks"]).ok();
    place.add("weights.dat", &checkpoint());
    let output = git(&["commit", "-q", "-m", "raw"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(format!("{output:?}").contains("weights.dat: pickle checkpoint"), "{output:#?}");
    git(&["commit", "-q", "--no-verify", "-m", "raw"]).ok();
    let server = place.sandbox.path("server.git");
    place.git_in(&place.sandbox.path(""), &["init", "-q", "--bare", "server.git"]).ok();
    place.git(&["remote", "add", "origin", server.to_str().unwrap()]).ok();
    git(&["push", "-q", "origin", "HEAD~1:refs/heads/main"]).ok();
    let pushed = git(&["push", "-q", "origin", "main"]);
    assert_eq!(pushed.code, Some(1), "{pushed:#?}");
    assert!(format!("{pushed:?}").contains("in commit "), "{pushed:#?}");
}

#[test]
fn lefthook_refuses_by_the_lines_that_are_printed_for_it() {
    let place = Place::new();
    let Some(program) = program(&place, "LEFTHOOK", "lefthook") else { return };
    place.write("lefthook.yml", b"");
    let told = place.git(&["st-convert", "hook", "install"]);
    assert_eq!(told.code, Some(1), "{told:#?}");
    place.add("lefthook.yml", told.stdout.as_bytes());
    let installed = place.command(program.to_str().unwrap(), &place.dir, &["install"]).output().unwrap();
    assert!(installed.status.success(), "{installed:?}");
    refuses(&place, &[("LEFTHOOK_BIN", &program)]);
}

#[test]
fn husky_refuses_by_the_lines_that_are_printed_for_it() {
    let place = Place::new();
    // husky interprets the variable `HUSKY` itself.
    let Some(script) = std::env::var_os("HUSKY_SCRIPT").map(PathBuf::from) else {
        return skipped("husky is not here");
    };
    let made = place.command("node", &place.dir, &[script.to_str().unwrap()]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let hooks = place.git(&["config", "core.hooksPath"]).ok();
    let before = files(&place.at(hooks.trim()));
    assert!(before.len() > 5, "{before:?}");
    let told = place.git(&["st-convert", "hook", "install"]);
    assert_eq!(told.code, Some(1), "{told:#?}");
    let (commit, push) = told.stdout.split_once('\n').unwrap();
    place.add(".husky/pre-commit", commit.as_bytes());
    place.add(".husky/pre-push", push.as_bytes());
    refuses(&place, &[]);
    place.git(&["st-convert", "hook", "uninstall"]).ok();
    assert_eq!(files(&place.at(hooks.trim())), before);
}
