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

/// A report is needed most where the repository cannot be used.
#[test]
fn a_repository_that_cannot_be_opened_is_part_of_the_report() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    sandbox.git(&dir, &["config", "core.repositoryFormatVersion", "1"]);
    sandbox.git(&dir, &["config", "extensions.unheardOf", "true"]);
    let lines = json_lines(&sandbox.bin(&dir, &["env", "--json"]).ok());
    assert_eq!((&lines[0]["repository"], &lines[1]["exit_code"]), (&serde_json::Value::Null, &0.into()));
    assert!(
        lines[0]["unopened"].as_str().unwrap().to_lowercase().contains("extensions.unheardof"),
        "{lines:?}"
    );
    let page = sandbox.bin(&dir, &["env"]).ok();
    assert!(page.contains("\nrepository\n  not opened  ") && page.contains("\nsettings\n"), "{page}");
}

/// A git that was built elsewhere reads another system file than a library would guess.
#[test]
#[cfg(unix)]
fn the_filter_is_the_one_of_git_itself() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let dir = sandbox.path("repo");
    sandbox.git(&sandbox.path(""), &["init", "-q", "repo"]);
    let (system, bin) = (sandbox.path("system"), sandbox.path("bin"));
    fs::write(&system, "[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n").unwrap();
    fs::create_dir(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let git = format!(
        "#!/bin/sh\nPATH='{path}' GIT_CONFIG_SYSTEM='{}' GIT_CONFIG_NOSYSTEM=0 exec git \"$@\"\n",
        system.display()
    );
    fs::write(bin.join("git"), git).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    for (path, is_known) in [(path.clone(), false), (format!("{}:{path}", bin.display()), true)] {
        let mut command = sandbox.command(BIN.as_ref(), &dir, &["env".as_ref(), "--json".as_ref()]);
        let output = command.env("PATH", path).output().unwrap();
        let lines = json_lines(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(lines[0]["repository"]["lfs_filter"], is_known, "{lines:?}");
    }
}
