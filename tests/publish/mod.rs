//! Acceptance tests of `git st-convert publish`: the program itself, git and git-lfs, and the hub.

mod agents;
mod before;
mod branch;
pub(crate) mod client;
mod content;
mod failures;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use git_st_convert::hash::Oid;
use serde_json::Value;

use crate::clone::{ID, World};
use crate::formats::fixtures;
use crate::hub::{Builder, Discussion, Right, Status, pointer};
use crate::sandbox::Output;

/// A token that may open pull requests.
const TOKEN: &str = "hf_TheTokenOfAHelper";

/// The title of the reference converter, which loaders look for.
const TITLE: &str = "Adding `safetensors` variant of this model";

fn checkpoint() -> Vec<u8> {
    fs::read(fixtures().join("checkpoints/bert-tied.bin")).unwrap()
}

/// Returns a model before the conversion: a checkpoint behind a pointer, without a safetensors file.
fn model() -> Builder {
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs("pytorch_model.bin", checkpoint()).commit("first");
    model.file("README.md", "# bert\n").commit("card");
    model
}

/// A clone with a converted checkpoint, of a user who may open pull requests.
struct Desk {
    world: World,
    dir: PathBuf,
}

impl Desk {
    #[track_caller]
    fn of(model: &Builder) -> Self {
        let world = World::with(model);
        world.hub.add_token(TOKEN, "helper", Right::Contribute);
        let dir = world.clone(&[]);
        let desk = Self { world, dir };
        for (key, value) in [("lfs.transfer.maxretrydelay", "0"), ("lfs.transfer.maxretries", "2")] {
            desk.git(&["config", key, value]);
        }
        assert_eq!(desk.run(&["--pr", "never"]).code, Some(0));
        desk.world.hub.forget_requests();
        desk
    }

    #[track_caller]
    fn new() -> Self {
        Self::of(&model())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(&self.dir, args);
        command.env("HF_TOKEN", TOKEN);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap().into()
    }

    fn publish(&self, args: &[&str]) -> Output {
        self.run(&[&["publish"], args].concat())
    }

    #[track_caller]
    fn published(&self, args: &[&str]) -> Value {
        let output = self.publish(&[&["--json"], args].concat());
        assert_eq!(output.code, Some(0), "{output:#?}");
        line(&output)
    }

    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        self.world.git(&self.dir, args)
    }

    fn rev(&self, name: &str) -> String {
        self.world.hub.rev(ID, name).unwrap()
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.dir.join(path)).unwrap()
    }

    /// Returns the bytes of the converted checkpoint, and checks the reference's SHA-256.
    #[track_caller]
    fn converted(&self) -> Vec<u8> {
        let bytes = self.read("model.safetensors");
        let expected = crate::formats::expected()["bert-tied.bin"].sha256.clone().unwrap();
        assert_eq!(Oid::of(&bytes).to_string(), expected);
        bytes
    }

    fn requests(&self, id: &str) -> Vec<Discussion> {
        self.world.hub.discussions(id).into_iter().filter(|one| one.is_pull_request).collect()
    }

    /// Returns everything in the clone that a publication may not change.
    fn state(&self) -> String {
        let refs = self.git(&["for-each-ref", "--format=%(objectname) %(refname)"]);
        let rest = [&["status", "--porcelain", "-uall"][..], &["ls-files", "-s"], &["rev-parse", "HEAD"]];
        rest.iter().fold(refs, |all, args| all + &self.git(args))
    }

    /// Checks that one pull request exists, which is open and contains only the converted file, with its content.
    #[track_caller]
    fn check(&self, id: &str) -> Discussion {
        let requests = self.requests(id);
        let [request] = requests.as_slice() else { panic!("{requests:#?}") };
        assert_eq!((request.status, request.author.as_str()), (Status::Open, "helper"));
        let git_dir = self.world.hub.git_dir(id);
        let reference = format!("refs/pr/{}", request.number);
        let changed = self.world.git(&git_dir, &["diff", "--name-status", "main", &reference]);
        assert_eq!(changed, "A\tmodel.safetensors\n");
        let count = self.world.git(&git_dir, &["rev-list", "--count", &format!("main..{reference}")]);
        assert_eq!(count, "1\n");
        let bytes = self.converted();
        let oid = Oid::of(&bytes).to_string();
        let blob = self.world.git(&git_dir, &["cat-file", "blob", &format!("{reference}:model.safetensors")]);
        assert_eq!(blob, pointer(&oid, bytes.len() as u64));
        assert!(fs::read(self.world.hub.object(id, &oid)).unwrap() == bytes);
        let journals = self.dir.join(".git/st-convert");
        assert_eq!(crate::clone::names(&journals), ["publish.lock"]);
        request.clone()
    }
}

/// Returns the line of type `publish`.
#[track_caller]
fn line(output: &Output) -> Value {
    let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.into_iter().find(|line| line["type"] == "publish").unwrap_or_else(|| panic!("{output:#?}"))
}

/// Takes a pull request in another clone. Returns the clone and the content of the file.
#[track_caller]
fn pulled(desk: &Desk, number: u64) -> (PathBuf, Vec<u8>) {
    let home = desk.world.sandbox.path("other");
    fs::create_dir_all(&home).unwrap();
    desk.world.run(&home, &["clone", ID, "--no-convert"]).ok();
    let dir = home.join("bert");
    desk.world.run(&dir, &["pull", &number.to_string()]).ok();
    let path = dir.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn a_pull_request_is_made_sent_pushed_and_opened_and_comes_back_byte_for_byte() {
    let desk = Desk::new();
    // Other staged work, other commits and other changes must not be published.
    fs::write(desk.dir.join("notes.txt"), "mine").unwrap();
    desk.git(&["add", "notes.txt"]);
    desk.git(&["commit", "-q", "-m", "mine", "notes.txt"]);
    fs::write(desk.dir.join("staged.txt"), "mine").unwrap();
    desk.git(&["add", "staged.txt"]);
    fs::write(desk.dir.join("README.md"), "# changed\n").unwrap();
    let before = desk.state();
    let output = desk.publish(&[]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let request = desk.check(ID);
    let url = format!("{}/{ID}/discussions/{}", desk.world.hub.endpoint(), request.number);
    assert!(output.stdout.contains(&url) && output.stdout.contains("model.safetensors ← pytorch_model.bin"));
    assert!(output.stderr.contains("opened pull request 1 (refs/pr/1)"), "{output:#?}");
    assert!(output.last.starts_with("1 published · "), "{output:#?}");
    assert_eq!(desk.state(), before);

    assert_eq!(request.title, TITLE);
    let (to, from) = (Oid::of(&desk.converted()), Oid::of(&checkpoint()));
    for part in [
        to.to_string(),
        from.to_string(),
        env!("CARGO_PKG_VERSION").to_owned(),
        "git st-convert verify --pr N".to_owned(),
    ] {
        assert!(request.description.contains(&part), "{part}: {}", request.description);
    }
    let message = desk.world.git(&desk.world.hub.git_dir(ID), &["log", "-1", "--format=%B", "refs/pr/1"]);
    assert_eq!(message.trim(), format!("{TITLE}\n\nConverted-From: pytorch_model.bin sha256:{from}"));

    let (path, bytes) = pulled(&desk, request.number);
    assert!(bytes == desk.converted());
    client::loads_in_python(&path);

    // A second run finds the existing pull request.
    desk.world.hub.forget_requests();
    let again = desk.published(&[]);
    assert_eq!((&again["status"], &again["number"]), (&"exists".into(), &1.into()));
    desk.check(ID);
    assert!(
        desk.world
            .hub
            .requests()
            .iter()
            .all(|seen| seen.method != "PUT" && !seen.path().ends_with("receive-pack"))
    );
}

#[test]
fn the_hooks_of_git_lfs_run_and_find_everything_sent() {
    let desk = Desk::new();
    if !desk.world.set_up_lfs() {
        return;
    }
    desk.git(&["lfs", "install", "--local", "--force"]);
    assert!(desk.dir.join(".git/hooks/pre-push").exists());
    let published = desk.published(&[]);
    assert_eq!((&published["status"], &published["ref"]), (&"opened".into(), &"refs/pr/1".into()));
    desk.check(ID);
    // git-lfs itself sent requests with the token as its login, and uploaded nothing more.
    let seen = desk.world.hub.requests();
    let is_lfs = |agent: Option<&str>| agent.is_some_and(|agent| agent.starts_with("git-lfs/"));
    assert!(seen.iter().any(|seen| is_lfs(seen.header("User-Agent"))), "the hook did not run");
    assert_eq!(seen.iter().filter(|seen| seen.method == "PUT").count(), 1);
    let (_, bytes) = pulled(&desk, 1);
    assert!(bytes == desk.converted());
}

#[test]
fn git_lfs_is_not_needed() {
    let desk = Desk::new();
    // This PATH contains only git.
    let bin = desk.world.sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["git", "sh"] {
        std::os::unix::fs::symlink(client::program(program), bin.join(program)).unwrap();
    }
    let output: Output = desk.command(&["publish"]).env("PATH", &bin).output().unwrap().into();
    assert_eq!(output.code, Some(0), "{output:#?}");
    desk.check(ID);
}

#[test]
fn a_dry_run_shows_all_of_it_and_sends_and_writes_nothing() {
    let desk = Desk::new();
    let (before, objects) = (desk.state(), desk.git(&["count-objects", "-v"]));
    let output = desk.publish(&["-n", "-m", "My title\n\nWhy not."]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let parts = [
        "My title",
        "Why not.",
        "verify --pr N",
        "model.safetensors",
        "refs/pr/N",
        "would open a draft pull request on",
        "would mark it as open",
    ];
    for part in parts {
        assert!(output.stdout.contains(part), "{part}: {output:#?}");
    }
    let seen = desk.world.hub.requests();
    assert!(
        seen.iter().all(|seen| seen.method == "GET" || seen.path().ends_with("/git-upload-pack")),
        "{seen:#?}"
    );
    assert_eq!(desk.requests(ID), []);
    let json = desk.published(&["-n"]);
    assert_eq!(
        (&json["status"], &json["title"], &json["model"]),
        (&"planned".into(), &TITLE.into(), &ID.into())
    );
    assert_eq!(json["base"], desk.rev("main"));
    assert_eq!(desk.publish(&["-n", "--offline"]).code, Some(0));
    assert_eq!((desk.state(), desk.git(&["count-objects", "-v"])), (before, objects));
    assert!(!desk.dir.join(".git/st-convert").exists());
    assert_eq!(desk.publish(&["--offline"]).code, Some(2));
}
