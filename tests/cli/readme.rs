//! Runs the session of the README. After a change of an output, `ST_CONVERT_WRITE=1 cargo test readme` writes the new
//! one into the README; long outputs are then shortened to `…` by hand.

use std::fs;
use std::path::{Path, PathBuf};

use super::copy;
use super::docs::{fits, package, session};
use crate::hints::skipped;
use crate::sandbox::{BIN, Sandbox};

/// The home directory in the README.
const HOME: &str = "/home/you";

/// The models of a user with git-lfs, and a shell that keeps its directory.
struct Session {
    sandbox: Sandbox,
    cwd: PathBuf,
}

impl Session {
    /// Starts in the repository of the demo, before its conversion.
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let models = sandbox.path("home/models");
        fs::create_dir(&models).unwrap();
        let mut session = Self { sandbox, cwd: models };
        session
            .run("git lfs install --skip-repo && git st-convert demo demo && cd demo && git reset -q --hard");
        session
    }

    /// Returns the output of a command, with the directory and the times of the README.
    fn run(&mut self, command: &str) -> String {
        let programs = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
        let ours = Path::new(BIN).parent().unwrap().to_path_buf();
        let path = std::env::join_paths(std::iter::once(ours).chain(programs)).unwrap();
        let went = self.sandbox.path("went");
        let script = format!("{{ {command}; }} 2>&1; pwd >{}", went.display());
        let mut shell = self.sandbox.command("sh".as_ref(), &self.cwd, &["-c".as_ref(), script.as_ref()]);
        // The output contains commit IDs, which must have this format, and arrows, which are not ASCII.
        shell.env("PATH", path).env("LC_ALL", "C.UTF-8").env_remove("GIT_DEFAULT_HASH");
        let output = shell.output().unwrap();
        self.cwd = fs::read_to_string(went).unwrap().trim_end().into();
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.replace(self.sandbox.path("home").to_str().unwrap(), HOME);
        text.lines().map(|line| in_no_time(line) + "\n").collect()
    }
}

/// Returns the last line of a run with a usual duration.
fn in_no_time(line: &str) -> String {
    for (before, usual) in [(" in ", "0.1"), (" · ", "0.0")] {
        let (what, took) = line.rsplit_once(before).unwrap_or_default();
        if took.strip_suffix(" s").is_some_and(|seconds| seconds.parse::<f64>().is_ok()) {
            return format!("{what}{before}{usual} s");
        }
    }
    line.to_owned()
}

#[test]
fn the_session_of_the_readme_is_what_happens() {
    let readme = package().join("README.md");
    let mut text = fs::read_to_string(&readme).unwrap();
    if !Sandbox::new().git_lfs_available() {
        return skipped("git-lfs is not installed, so the session of the README was not run");
    }
    let mut ran = Session::new();
    let mut other = Vec::new();
    let commands: Vec<_> =
        session(&text).into_iter().map(|(line, said)| (line.to_owned(), said.join("\n"))).collect();
    assert!(commands.len() > 7, "{commands:?}");
    for (command, said) in commands {
        for (file, fixture) in [("finetuned.bin", "tied-2.bin"), ("suspicious.bin", "posix-system.bin")] {
            if command.contains(file) {
                copy(fixture, &ran.cwd.join(file));
            }
        }
        let got = ran.run(&command);
        // An empty line separates two commands.
        let expected: Vec<_> = said.trim_end().lines().collect();
        if !fits(&expected, &got.lines().collect::<Vec<_>>()) {
            let (old, new) =
                (format!("$ {command}\n{}", said.trim_end()), format!("$ {command}\n{}", got.trim_end()));
            text = text.replace(old.trim_end(), new.trim_end());
            other.push(new);
        }
    }
    if std::env::var_os("ST_CONVERT_WRITE").is_some() {
        fs::write(readme, text).unwrap();
    } else {
        assert!(other.is_empty(), "the README has other output:\n{}", other.join("\n"));
    }
}
