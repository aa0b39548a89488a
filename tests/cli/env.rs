//! Tests `env`: the settings in effect and their sources, without secrets.

use std::fs;

use super::json_lines;
use crate::sandbox::{BIN, Sandbox};

#[test]
fn settings_have_their_value_and_their_origin() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    let git = |args: &[&str]| sandbox.git(&dir, args);
    git(&["config", "st-convert.pr", "never"]);
    git(&["config", "lfs.url", "https://user:hunter2@lfs.example/x"]);
    git(&["config", "http.extraHeader", "Authorization: Bearer hunter2"]);
    fs::create_dir(dir.join("sub")).unwrap();
    let mut command = sandbox.command(BIN.as_ref(), &dir.join("sub"), &["env".as_ref()]);
    command.env("HF_TOKEN", "hf_hunter2").env("HTTPS_PROXY", "http://me:hunter2@proxy.example:3128");
    command.env("HF_ENDPOINT", "https://user:hunter2@hub.example");
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
    let git_version = git(&["version"]).replace("git version ", "");
    for line in [
        concat!("  git-st-convert  ", env!("CARGO_PKG_VERSION")),
        &format!("  git             {}", git_version.trim()),
        &format!("  directory      {}", dir.canonicalize().unwrap().display()),
        "  hooks          commits not guarded, merges not guarded, pushes not guarded",
        "  endpoint  https://user:***@hub.example",
        "  token     from HF_TOKEN",
        "never  (local, file:.git/config)",
        ".st-convert-allow  (default)",
        "(set, not shown)",
    ] {
        assert!(
            shown.contains(line) || shown.contains(&line.replace(".git/config", "../.git/config")),
            "{line}: {shown}"
        );
    }
    assert!(shown.contains("https://user:***@lfs.example/x") || !shown.contains("user:"), "{shown}");
}

#[test]
fn outside_a_repository_and_as_json() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("plain");
    fs::create_dir(&dir).unwrap();
    let lines = json_lines(&sandbox.bin(&dir, &["env", "--json"]).ok());
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["type"], &lines[0]["repository"]), (&"env".into(), &serde_json::Value::Null));
    assert_eq!(lines[0]["version"], env!("CARGO_PKG_VERSION"));
    assert!(lines[0]["git"].as_str().unwrap().starts_with("git version "));
    assert_eq!((&lines[1]["type"], &lines[1]["exit_code"]), (&"summary".into(), &0.into()));
}
