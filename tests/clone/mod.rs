//! Acceptance tests of `git st-convert clone`: the program itself, compared with git, and the hub as the server.

mod after;
mod errors;
mod places;
mod revisions;
mod servers;
pub(crate) mod short;
mod token;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hub::{Builder, Hub};
use crate::sandbox::{BIN, Output, Sandbox};

/// The model of these tests.
pub(crate) const ID: &str = "acme/bert";

/// Returns pseudorandom bytes for a seed, which do not compress.
pub(crate) fn noise(seed: u32, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

/// Returns a model with a checkpoint behind a pointer, and plain files, two of them too long for the first request.
pub(crate) fn model() -> Builder {
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs("pytorch_model.bin", noise(1, 300_000)).commit("first").tag("v1");
    model.file("vocab.txt", noise(2, 100_000)).file("merges.txt", noise(3, 70_000)).commit("vocabulary");
    model.file("README.md", "# bert\n").commit("card");
    model
}

/// A hub with one model, and a directory for its clients.
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) sandbox: Sandbox,
}

impl World {
    pub(crate) fn with(model: &Builder) -> Self {
        let world = Self { hub: Hub::start(), sandbox: Sandbox::new() };
        world.hub.add_model(ID, model);
        world
    }

    pub(crate) fn new() -> Self {
        Self::with(&model())
    }

    /// Returns the directory of the clients.
    pub(crate) fn home(&self) -> PathBuf {
        self.sandbox.path("home")
    }

    /// Returns the program, which is not started yet, with the hub as its Hub.
    pub(crate) fn command(&self, cwd: &Path, args: &[&str]) -> Command {
        let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
        let mut command = self.sandbox.command(BIN.as_ref(), cwd, &args);
        command.env("HF_ENDPOINT", self.hub.endpoint());
        command
    }

    pub(crate) fn run(&self, cwd: &Path, args: &[&str]) -> Output {
        self.command(cwd, args).output().unwrap().into()
    }

    /// Runs the program as a user with a token.
    pub(crate) fn run_as(&self, token: &str, cwd: &Path, args: &[&str]) -> Output {
        self.command(cwd, args).env("HF_TOKEN", token).output().unwrap().into()
    }

    #[track_caller]
    pub(crate) fn git(&self, cwd: &Path, args: &[&str]) -> String {
        self.sandbox.git(cwd, args)
    }

    /// Clones the model without a conversion, with more arguments.
    #[track_caller]
    pub(crate) fn clone(&self, args: &[&str]) -> PathBuf {
        let output = self.run(&self.home(), &[&["clone", ID, "--no-convert"], args].concat());
        assert_eq!(output.code, Some(0), "{output:#?}");
        self.home().join("bert")
    }

    /// Sets up git-lfs as a user does. Returns `false` without git-lfs.
    pub(crate) fn set_up_lfs(&self) -> bool {
        if !self.sandbox.git_lfs_available() {
            skipped("git-lfs is not here: what it says afterwards was not asked");
            return false;
        }
        self.git(&self.home(), &["lfs", "install", "--skip-repo"]);
        true
    }
}

/// Reports a skipped check, past the output capture of the test harness.
pub(crate) fn skipped(what: &str) {
    use std::io::Write as _;
    let _nobody_reads = std::io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
}

/// Returns the names in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
