//! Tests the inputs of packages: pages and completions as the program prints them, and names that agree.
//!
//! The scripts in this directory, which `.ci/full` runs, build and test the packages themselves.

#![expect(clippy::disallowed_methods, reason = "tests run the programs of others")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{BIN, Output, Sandbox};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Runs a Python script; `None` without Python.
fn python(args: &[&str]) -> Option<Output> {
    let output = Command::new("python3").args(args).env("PYTHONDONTWRITEBYTECODE", "1").output();
    if output.is_err() {
        // This is printed past the output capture of the test harness.
        let _nobody_reads = std::io::stderr().write_all(b"left out: python3 is not here\n");
    }
    output.ok().map(Output::from)
}

fn files(dir: &Path, below: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, below, found);
        } else {
            found.insert(path.strip_prefix(below).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn packages_carry_what_the_program_prints() {
    let sandbox = Sandbox::new();
    let share = sandbox.path("share");
    let script = root().join(".packaging/pages.py");
    let Some(output) = python(&[script.to_str().unwrap(), BIN, share.to_str().unwrap()]) else { return };
    output.ok();
    let printed = sandbox.bin(&sandbox.path(""), &["man", "pages"]).ok();
    let pages: Vec<_> =
        printed.lines().map(|path| Path::new(path).file_name().unwrap().to_str().unwrap()).collect();
    let completions = [
        ("bash", "bash-completion/completions/git-st-convert"),
        ("zsh", "zsh/site-functions/_git-st-convert"),
        ("fish", "fish/vendor_completions.d/git-st-convert.fish"),
    ];
    let mut found = BTreeSet::new();
    files(&share, &share, &mut found);
    let mut expected: BTreeSet<_> = pages.iter().map(|page| format!("man/man1/{page}")).collect();
    expected.extend(completions.iter().map(|(_, name)| (*name).to_owned()));
    assert_eq!(found, expected);
    for page in pages {
        let path = format!("pages/{page}");
        let printed = fs::read(sandbox.path(&path)).unwrap();
        assert_eq!(fs::read(share.join("man/man1").join(page)).unwrap(), printed, "{page}");
    }
    for (shell, name) in completions {
        let printed = sandbox.bin(&sandbox.path(""), &["completions", shell]).ok();
        assert_eq!(fs::read_to_string(share.join(name)).unwrap(), printed, "{shell}");
    }
}

#[test]
fn the_backend_of_the_wheel_knows_when_to_build() {
    let tests: PathBuf = root().join("tests/packaging/test_backend.py");
    let Some(output) = python(&[tests.to_str().unwrap()]) else { return };
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// Returns the value of the first `key = …` line.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    found.unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn the_wheel_and_the_crate_say_the_same_of_themselves() {
    let (cargo, python) = (text("Cargo.toml"), text("pyproject.toml"));
    for key in ["name", "description", "readme", "license", "keywords"] {
        assert_eq!(value(&python, key), value(&cargo, key), "{key}");
    }
    let licenses = value(&python, "license-files");
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(licenses.contains(file) && root().join(file).exists(), "{file}");
    }
}

#[test]
fn the_hooks_of_the_framework_differ_by_how_they_are_installed_alone() {
    let hooks = text(".pre-commit-hooks.yaml");
    let parts: Vec<Vec<&str>> = hooks.split("\n- id: ").skip(1).map(|part| part.lines().collect()).collect();
    let of = |part: &[&str], key: &str| {
        part.iter().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_default().trim().to_owned()
    };
    let ids: Vec<_> = parts.iter().map(|part| (part[0], of(part, "language:"))).collect();
    let expected = [
        ("no-pickle-weights", "rust"),
        ("no-pickle-weights-wheel", "python"),
        ("no-pickle-weights-system", "system"),
    ];
    assert_eq!(ids, expected.map(|(id, language)| (id, language.to_owned())));
    let rest = |part: &[&str]| -> Vec<String> {
        let own = ["description:", "language:"];
        let lines = part[1..].iter().map(|line| line.trim());
        lines.filter(|line| !own.iter().any(|key| line.starts_with(key))).map(str::to_owned).collect()
    };
    for part in &parts {
        assert_eq!(rest(part), rest(&parts[0]), "{}", part[0]);
    }
}
