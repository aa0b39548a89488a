//! Tests that the system's configuration file of the git in use decides, and not that of another git.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::convert::torch::{Float32, checkpoint};
use crate::sandbox::{BIN, Output, Sandbox};

#[test]
fn the_system_file_of_the_git_in_use_decides() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let tensor = Float32 { name: "w".to_owned(), shape: vec![16], bytes: vec![1; 64] };
    fs::write(dir.join("pytorch_model.bin"), checkpoint(&[tensor])).unwrap();
    sandbox.git(&dir, &["add", "pytorch_model.bin"]);
    // A wrapper with a system file of its own, as package managers make them.
    let system = sandbox.path("system");
    fs::write(&system, "[st-convert]\n\tmaxOutput = 10\n").unwrap();
    let mut shell =
        sandbox.command("sh".as_ref(), &dir, &["-c".as_ref(), "command -v git; echo \"$PATH\"".as_ref()]);
    let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    let (git, path) = said.trim().split_once('\n').unwrap();
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    let wrapper = format!("#!/bin/sh\nGIT_CONFIG_SYSTEM='{}' exec '{}' \"$@\"\n", system.display(), git);
    fs::write(bin.join("git"), wrapper).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{path}", bin.display());
    let run = |mut command: Command, no_system: Option<&str>| -> Output {
        command.env("PATH", &path).env_remove("GIT_CONFIG_NOSYSTEM");
        if let Some(value) = no_system {
            command.env("GIT_CONFIG_NOSYSTEM", value);
        }
        command.output().unwrap().into()
    };
    for no_system in [None, Some("0"), Some("1"), Some("true")] {
        let args = ["config", "st-convert.maxOutput"].map(AsRef::as_ref);
        let by_git = run(sandbox.command(bin.join("git").as_ref(), &dir, &args), no_system);
        let ours = run(sandbox.command(BIN.as_ref(), &dir, &["-n".as_ref()]), no_system);
        let is_limited = ours.stderr.contains("over the limit of 10 bytes");
        assert_eq!(is_limited, by_git.stdout == "10\n", "{no_system:?}: {by_git:?} {ours:?}");
    }
}

#[test]
fn git_is_not_asked_where_no_repository_is() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("model");
    let (bin, asked, outside) = (sandbox.path("bin"), sandbox.path("asked"), sandbox.path("outside"));
    for dir in [&bin, &outside] {
        fs::create_dir(dir).unwrap();
    }
    fs::write(outside.join("text"), "words").unwrap();
    fs::write(bin.join("git"), format!("#!/bin/sh\ntouch '{}'\nexit 1\n", asked.display())).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    for (cwd, is_asked) in [(&outside, false), (&dir, true)] {
        let args = ["scan".as_ref(), outside.as_os_str()];
        let mut command = sandbox.command(BIN.as_ref(), cwd, &args);
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let ran: Output =
            command.env("PATH", path).env_remove("GIT_CONFIG_NOSYSTEM").output().unwrap().into();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(asked.exists(), is_asked, "in {}", cwd.display());
    }
}
