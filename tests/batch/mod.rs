//! Acceptance tests of `git st-convert batch`: the program itself, with many models of the hub.

mod closed;
mod fifty;
mod journal;
mod kept;
mod killed;
mod options;
mod publish;
mod shards;
mod top;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::checkpoint::{self as builder, pickle};
use crate::formats::{expected, fixtures};
use crate::hub::{Builder, Hub};
use crate::sandbox::{BIN, Output, Sandbox};

/// A hub with many models, and a directory for its clients.
struct Fleet {
    hub: Hub,
    sandbox: Sandbox,
}

/// Returns the SHA-256 of a fixture's conversion by the reference.
fn oid_of(fixture: &str) -> String {
    expected()[fixture].sha256.clone().unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("checkpoints").join(name)).unwrap()
}

/// Returns a checkpoint of one tensor, different for each number.
fn numbered(number: u16) -> Vec<u8> {
    let floats: Vec<u8> = (0..4).flat_map(|at| f32::from(number * 4 + at).to_le_bytes()).collect();
    builder::zip(&pickle::named(&[("weight", pickle::four())]), &[("0", &floats)])
}

/// Returns a model with this checkpoint.
fn model(checkpoint: &[u8]) -> Builder {
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs("pytorch_model.bin", checkpoint).commit("first");
    model
}

impl Fleet {
    fn new() -> Self {
        let fleet = Self { hub: Hub::start(), sandbox: Sandbox::new() };
        fs::create_dir(fleet.temp()).unwrap();
        // A failing server is not retried as often as usual.
        fleet.sandbox.git(&fleet.home(), &["config", "--global", "lfs.transfer.maxretries", "1"]);
        fleet
    }

    /// Creates it with the models `acme/m0`, `acme/m1`, …, and their list in `models.txt`.
    fn of(count: u16) -> Self {
        let fleet = Self::new();
        for number in 0..count {
            fleet.hub.add_model(&id(number), &model(&numbered(number)));
        }
        fleet.list(&(0..count).map(id).collect::<Vec<_>>());
        fleet
    }

    fn list(&self, lines: &[impl AsRef<str>]) {
        let lines: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
        fs::write(self.home().join("models.txt"), lines.join("\n") + "\n").unwrap();
    }

    fn home(&self) -> PathBuf {
        self.sandbox.path("home")
    }

    /// Returns the directory of temporary clones.
    fn temp(&self) -> PathBuf {
        self.sandbox.path("tmp")
    }

    fn command(&self, args: &[&str]) -> Command {
        let args: Vec<&OsStr> = ["batch"].iter().chain(args).map(AsRef::as_ref).collect();
        let mut command = self.sandbox.command(BIN.as_ref(), &self.home(), &args);
        command.env("HF_ENDPOINT", self.hub.endpoint()).env("TMPDIR", self.temp());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap().into()
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Returns the complete lines of a journal in the home directory.
    fn journal(&self, name: &str) -> Vec<Value> {
        lines(&fs::read_to_string(self.home().join(name)).unwrap_or_default())
    }

    /// Returns the models that were requested since the last call, by the paths of all requests except those for
    /// content.
    fn asked(&self) -> BTreeSet<String> {
        let seen = self.hub.requests();
        let ids = seen.iter().filter_map(|seen| {
            let path = seen.path().trim_start_matches('/').strip_prefix("api/models/").unwrap_or(seen.path());
            let mut parts = path.trim_start_matches('/').split('/');
            let (owner, name) = (parts.next()?, parts.next()?);
            let is_content = matches!(owner, "content" | "upload");
            (!is_content).then(|| format!("{owner}/{}", name.strip_suffix(".git").unwrap_or(name)))
        });
        let ids = ids.collect();
        self.hub.forget_requests();
        ids
    }

    /// Returns the pointer to `model.safetensors` in the index of a kept clone.
    #[track_caller]
    fn staged(&self, dir: &str) -> String {
        self.sandbox.git(&self.home().join(dir), &["cat-file", "blob", ":model.safetensors"])
    }
}

fn id(number: u16) -> String {
    format!("acme/m{number}")
}

/// Parses the complete lines as JSON.
fn lines(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the models with this status.
fn with(lines: &[Value], status: &str) -> BTreeSet<String> {
    let lines = lines.iter().filter(|line| line["type"] == "model" && line["status"] == status);
    lines.map(|line| line["model"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the names in a directory.
fn names(dir: &Path) -> Vec<String> {
    crate::clone::names(dir)
}
