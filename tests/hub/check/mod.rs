//! Tests the hub with real clients, git, git-lfs and curl: they must see the faults as they are documented.
//!
//! A test that needs git-lfs or curl reports its absence by a line `skipped: …`.
#![expect(clippy::single_range_in_vec_init, reason = "one range of bytes was fetched")]

mod access;
mod api;
mod content;
mod faults;
mod git;
mod lfs;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::hub::{Builder, Hub};
use crate::sandbox::{Output, Sandbox};

/// The model of these tests.
const ID: &str = "acme/bert";

/// A token that may push to every ref.
const WRITER: &str = "hf_writer";

/// Reports a skipped check, past the output capture of the test harness.
fn skipped(what: &str) {
    let _nobody_reads = std::io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
}

/// Returns pseudorandom bytes.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

/// Returns a model with a checkpoint behind a pointer, plain files, and pull request 42 with safetensors files.
fn model() -> Builder {
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs("pytorch_model.bin", bytes(300_000)).commit("first").tag("v1");
    model.file("vocab.txt", "a\nb\n").commit("vocabulary");
    model.author("Bot <bot@example.com>").pull_request(42).lfs("model.safetensors", bytes(200_000));
    model.commit("Adding `safetensors` variant of this model");
    model.author("A U Thor <author@example.com>").on("main").file("README.md", "# bert\n").commit("card");
    model
}

/// A hub with that model, and a directory for its clients.
struct Check {
    hub: Hub,
    sandbox: Sandbox,
    model: Builder,
}

impl Check {
    fn new() -> Self {
        let check = Self { hub: Hub::start(), sandbox: Sandbox::new(), model: model() };
        check.hub.add_model(ID, &check.model);
        check
    }

    /// Creates it with git-lfs in git's configuration; `None` without git-lfs.
    fn with_lfs() -> Option<Self> {
        let check = Self::new();
        if !check.sandbox.git_lfs_available() {
            skipped("git-lfs is not here: it could not be the hub's client");
            return None;
        }
        check.sandbox.git(&check.home(), &["lfs", "install", "--skip-repo"]);
        Some(check)
    }

    fn home(&self) -> PathBuf {
        self.sandbox.path("home")
    }

    /// Runs git in the home directory.
    fn try_git(&self, args: &[&str]) -> Output {
        self.sandbox.try_git(&self.home(), args)
    }

    /// Clones the model, with these options before the URL.
    #[track_caller]
    fn clone(&self, options: &[&str], name: &str) -> PathBuf {
        self.clone_from(&self.hub.url(ID), options, name)
    }

    #[track_caller]
    fn clone_from(&self, url: &str, options: &[&str], name: &str) -> PathBuf {
        let dir = self.sandbox.path(name);
        let args = ["clone", "-q"].into_iter().chain(options.iter().copied());
        let args: Vec<_> = args.chain([url, dir.to_str().unwrap()]).collect();
        self.try_git(&args).ok();
        dir
    }

    /// Clones, and leaves the pointers in the working tree.
    #[track_caller]
    fn clone_without_content(&self, url: &str, name: &str) -> PathBuf {
        let dir = self.sandbox.path(name);
        let args = ["clone", "-q", url, dir.to_str().unwrap()].map(OsStr::new);
        let mut git = self.sandbox.command("git".as_ref(), &self.home(), &args);
        Output::from(git.env("GIT_LFS_SKIP_SMUDGE", "1").output().unwrap()).ok();
        dir
    }

    #[track_caller]
    fn git(&self, dir: &Path, args: &[&str]) -> String {
        self.sandbox.git(dir, args)
    }

    /// Returns the model's URL with a token in it.
    fn url_with(&self, token: &str) -> String {
        self.hub.url(ID).replacen("http://", &format!("http://user:{token}@"), 1)
    }

    /// Returns the object ID of one of its LFS files.
    fn oid(&self, path: &str) -> String {
        self.model.oid(path)
    }

    /// Runs curl; `None` without curl.
    fn curl(&self, args: &[&str]) -> Option<Output> {
        let args: Vec<_> = ["-sS", "--noproxy", "*"].iter().chain(args).map(|arg| (*arg).as_ref()).collect();
        let mut curl = self.sandbox.command("curl".as_ref(), &self.home(), &args);
        let output = curl.output().ok();
        if output.is_none() {
            skipped("curl is not here: it could not be the hub's client");
        }
        output.map(Output::from)
    }
}
