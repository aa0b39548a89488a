//! Tests the program as users and scripts see it: standard output, standard error and exit code, byte for byte.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests run the programs that judge ours")]

mod arguments;
mod convert;
mod demo;
mod docs;
mod env;
mod help;
#[cfg(unix)]
mod interrupt;
mod inspect;
mod last;
mod page;
mod pages;
mod readme;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sandbox::{Output, Sandbox};

/// Creates a sandbox with these fixtures in a directory outside of any repository.
fn with_fixtures(names: &[&str]) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("here");
    fs::create_dir(&dir).unwrap();
    for name in names {
        copy(name, &dir.join(name));
    }
    (sandbox, dir)
}

fn copy(fixture: &str, to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(fixture);
    fs::copy(from, to).unwrap();
}

/// Returns both streams and the exit code in one text.
fn shown(output: &Output) -> String {
    let code = output.code.map_or("killed".to_owned(), |code| code.to_string());
    let title = if output.stderr.is_empty() { "" } else { "--- stderr\n" };
    format!("{}{title}{}--- exit {code}\n", output.stdout, output.stderr)
}

/// Runs the program. Returns its output as one text.
fn run<S: AsRef<OsStr>>(sandbox: &Sandbox, cwd: &Path, args: &[S]) -> String {
    shown(&sandbox.bin(cwd, args))
}

/// Compares two texts, and prints both in full if they differ.
#[track_caller]
fn assert_shown(got: &str, expected: &str) {
    assert!(got == expected, "got:\n{got}\nexpected:\n{expected}");
}

/// Parses each line as JSON.
fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
