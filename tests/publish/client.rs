//! Tests with the reference clients in Python: `huggingface_hub` of `PyPI` contacts the hub, and `safetensors` loads
//! the published file.
//!
//! The first is searched in `$HUB_PYTHON` and `target/huggingface_hub`, and installed by pip into the latter.
#![expect(clippy::disallowed_methods, reason = "tests run the reference programs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Desk, ID, TITLE, TOKEN};
use crate::clone::skipped;

/// The release with which the responses were compared.
const REQUIREMENT: &str = "huggingface_hub==2.4.0";

fn has(python: &Path, module: &str) -> bool {
    let output = Command::new(python).args(["-c", &format!("import {module}")]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Returns a Python with the reference client, if it exists or can be installed.
pub(crate) fn python() -> Option<PathBuf> {
    if let Some(given) =
        std::env::var_os("HUB_PYTHON").map(PathBuf::from).filter(|path| has(path, "huggingface_hub"))
    {
        return Some(given);
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/huggingface_hub");
    let python = own.join("bin/python");
    if !has(&python, "huggingface_hub") {
        let _whatever_it_says = Command::new("python3").args(["-m", "venv"]).arg(&own).output();
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--retries=1",
            "--timeout=20",
        ]);
        let _whatever_it_says = pip.arg(REQUIREMENT).output();
    }
    Some(python).filter(|python| has(python, "huggingface_hub"))
}

/// Returns the path of a program.
pub(super) fn program(name: &str) -> PathBuf {
    let dirs = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&dirs).map(|dir| dir.join(name)).find(|path| path.exists()).unwrap()
}

/// Checks that the file loads in Python.
pub(super) fn loads_in_python(path: &Path) {
    let python = std::env::var_os("PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    if !has(&python, "safetensors.numpy") {
        return skipped("safetensors is not in this Python: the published file was not loaded; set PYTHON");
    }
    let code = "import sys, safetensors\n\
                with safetensors.safe_open(sys.argv[1], 'np') as file:\n    \
                print(len([file.get_tensor(name) for name in file.keys()]), file.metadata()['format'])";
    let output = Command::new(python).args(["-c", code]).arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (count, format) = said.trim().split_once(' ').unwrap_or_else(|| panic!("{output:?}"));
    assert!(count.parse::<u32>().unwrap() > 0 && format == "pt", "{said}");
}

/// Returns the results of the reference client.
fn asked(desk: &Desk, python: &Path) -> Value {
    let home = desk.world.sandbox.path("hf");
    fs::create_dir(&home).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/publish/client.py");
    let mut command = Command::new(python);
    command.arg(script).args([ID, "1"]).arg(&home).env_clear();
    command
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &home)
        .env("HF_HOME", &home);
    command
        .env("HF_ENDPOINT", desk.world.hub.endpoint())
        .env("HF_TOKEN", TOKEN)
        .env("HF_HUB_DISABLE_XET", "1");
    command.env("HF_HUB_DISABLE_PROGRESS_BARS", "1").env("HF_HUB_DISABLE_TELEMETRY", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_reference_client_sees_what_was_published_and_what_git_says() {
    let Some(python) = python() else {
        return skipped(
            "huggingface_hub is not here, and pip cannot get it: the hub's answers were not compared",
        );
    };
    let desk = Desk::new();
    let published = desk.published(&[]);
    let seen = asked(&desk, &python);
    let (main, request) = (desk.rev("main"), desk.rev("refs/pr/1"));
    assert_eq!(seen["user"], "helper");
    assert_eq!(seen["before"], json!([[1, TITLE, "open", "helper"]]));
    let expected = json!({
        "num": 1,
        "title": TITLE,
        "status": "open",
        "author": "helper",
        "is_pull_request": true,
        "target_branch": "refs/heads/main",
        "reference": "refs/pr/1",
        "url": published["url"],
        "description": published["description"],
        "created_at": "2020-01-02T03:04:05+00:00",
    });
    assert_eq!(seen["published"], expected);
    let files = [".gitattributes", "README.md", "config.json", "pytorch_model.bin"];
    assert_eq!(seen["model"], json!({"id": ID, "sha": main, "gated": false, "files": files}));
    assert_eq!(seen["at_request"], request.as_str());
    assert_eq!(request, published["commit"]);
    assert_eq!(seen["branches"], json!([["main", "refs/heads/main", main]]));
    assert_eq!(seen["pull_requests"], json!([["refs/pr/1", request]]));
    let commits = desk.world.git(&desk.world.hub.git_dir(ID), &["log", "--format=%H", "refs/pr/1"]);
    let titles = [TITLE, "card", "first"];
    let expected: Vec<_> = commits.lines().zip(titles).map(|(id, title)| json!([id, title])).collect();
    assert_eq!(seen["commits"], json!(expected));
    assert_eq!(
        seen["made"],
        json!({"num": 2, "status": "draft", "title": "By the reference client", "reference": "refs/pr/2"})
    );
    assert_eq!((&seen["comment"], &seen["opened"]), (&json!("a comment"), &json!("open")));
    assert_eq!((&seen["after_open"]["status"], &seen["closed"]), (&json!("open"), &json!("closed")));
    assert_eq!(seen["after_open"]["description"], "its description");
    assert_eq!((&seen["open"], &seen["mine"]), (&json!([1]), &json!([2, 1])));
    assert_eq!(seen["discussion"], false);
    assert!(fs::read(seen["file"].as_str().unwrap()).unwrap() == desk.converted());
    assert_eq!(fs::read(seen["small"].as_str().unwrap()).unwrap(), b"{}\n");
    assert_eq!(seen["no_model"], "RepositoryNotFoundError");
    assert_eq!(seen["no_revision"], "RevisionNotFoundError");
    assert_eq!(
        (&seen["no_discussion"], &seen["short_title"]),
        (&json!("HfHubHTTPError"), &json!("BadRequestError"))
    );
}
