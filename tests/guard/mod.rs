//! Acceptance tests of `git st-convert hook`: git with its own commands, in repositories with the hooks.
//!
//! The files to reject are known: checkpoints that torch wrote, and containers of pickles that Python's own module
//! would load.
#![expect(clippy::disallowed_methods, reason = "tests look for the programs that they run")]

mod contents;
mod conversions;
mod examples;
mod framework;
mod gates;
mod git;
mod hints;
mod install;
mod long;
mod pipes;
mod refusals;
mod servers;
mod side_by_side;

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;

use crate::formats::fixtures;
use crate::sandbox::{BIN, Output, Sandbox};

/// Returns a checkpoint that torch wrote.
fn checkpoint() -> Vec<u8> {
    fs::read(fixtures().join("checkpoints/bool-odd-bytes.bin")).unwrap()
}

/// Reports a skipped check, past the output capture of the test harness.
fn skipped(what: &str) {
    let _nobody_reads = std::io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
}

/// A repository with one commit, in which `git st-convert` is found.
struct Place {
    sandbox: Sandbox,
    dir: PathBuf,
}

impl Place {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.path("model");
        let place = Self { sandbox, dir };
        place.git_in(&place.sandbox.path(""), &["init", "-q", "model"]).ok();
        place.write("README.md", b"# a model\n");
        place.git(&["add", "."]).ok();
        place.git(&["commit", "-q", "-m", "one"]).ok();
        place
    }

    /// Creates it with our hooks.
    fn guarded() -> Self {
        let place = Self::new();
        place.git(&["st-convert", "hook", "install"]).ok();
        place
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes and stages a file.
    fn add(&self, path: &str, content: &[u8]) {
        self.write(path, content);
        self.git(&["add", "--", path]).ok();
    }

    /// Stages the pointer of a content, with or without the object in LFS storage.
    fn add_pointer(&self, path: &str, content: &[u8], with_object: bool) {
        let oid = Oid::of(content);
        self.add(path, Pointer { oid, size: content.len() as u64 }.to_string().as_bytes());
        if with_object {
            let name = oid.to_string();
            let object = self.at(format!(".git/lfs/objects/{}/{}/{name}", &name[..2], &name[2..4]));
            fs::create_dir_all(object.parent().unwrap()).unwrap();
            fs::write(object, content).unwrap();
        }
    }

    /// Returns a command in the sandbox that finds `git st-convert`.
    fn command(&self, program: &str, cwd: &Path, args: &[&str]) -> Command {
        let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
        let mut command = self.sandbox.command(program.as_ref(), cwd, &args);
        command.env("PATH", path());
        command
    }

    fn git(&self, args: &[&str]) -> Output {
        self.git_in(&self.dir, args)
    }

    fn git_in(&self, cwd: &Path, args: &[&str]) -> Output {
        self.command("git", cwd, args).output().unwrap().into()
    }

    /// Commits the staged files, and checks that our hook rejects them.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> String {
        let output = self.git(&["commit", "-q", "-m", "more"]);
        assert_eq!(output.code, Some(1), "{output:#?}");
        for word in words {
            assert!(output.stderr.contains(word), "no `{word}` in {}", output.stderr);
        }
        output.stderr
    }
}

/// Returns `PATH` with the directory of the program first.
pub(crate) fn path() -> OsString {
    let own = Path::new(BIN).parent().unwrap().to_owned();
    let other = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&other))).unwrap()
}
