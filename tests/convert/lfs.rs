//! Tests with git-lfs: after a run git-lfs, git and the filter agree, and pushed files come back unchanged.
#![expect(clippy::disallowed_methods, reason = "tests run the reference programs")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use git_st_convert::hash::Oid;

use super::{ATTRIBUTES, Model, fixture, oid_of, skipped};
use crate::formats::{expected, fixtures};

/// A few fixtures of each kind, with their paths.
const MODELS: [(&str, &str); 6] = [
    ("pytorch_model.bin", "plain-ordered.bin"),
    ("text_encoder/pytorch_model.bin", "tied-3.bin"),
    ("unet/diffusion_pytorch_model.bin", "strided.bin"),
    ("vae/diffusion_pytorch_model.fp16.bin", "rezipped-deflated.bin"),
    ("old/pytorch_model.bin", "legacy-python2.bin"),
    ("whisper/base.pt", "whisper.pt"),
];

/// The safetensors file of each fixture.
const CONVERTED: [&str; 6] = [
    "model.safetensors",
    "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "old/model.safetensors",
    "whisper/base.safetensors",
];

fn models() -> Model {
    let model = Model::new();
    for (path, name) in MODELS {
        model.add(path, &fixture(name));
    }
    model.commit();
    model
}

fn check_all(model: &Model) {
    for ((_, name), converted) in MODELS.iter().zip(CONVERTED) {
        model.check(converted, &oid_of(name));
    }
}

fn additions() -> String {
    let mut lines = CONVERTED.map(|path| format!("A  {path}\n"));
    lines.sort();
    lines.concat()
}

#[test]
fn status_shows_the_additions_alone_and_the_filter_never_runs() {
    let model = models();
    let before = model.sandbox.filter_runs();
    assert_eq!(before.len(), MODELS.len(), "what was added was counted");
    model.run::<&str>(&[]).ok();
    check_all(&model);
    assert_eq!(model.status(), additions());
    model.write("other.txt", "other");
    model.git(&["add", "other.txt"]);
    assert_eq!(model.status(), format!("{}A  other.txt\n", additions()).lines().collect::<Sorted>().text());
    model.git(&["commit", "-q", "-m", "converted"]);
    assert_eq!(model.status(), "");
    assert_eq!(model.git(&["stash", "list"]), "");
    assert_eq!(model.sandbox.filter_runs(), before, "the filter ran");
    let names = model.git(&["show", "--format=", "--name-only", "HEAD"]);
    assert_eq!(names.lines().count(), MODELS.len() + 1, "{names}");
    model.git(&["fsck", "--strict"]);
}

/// Lines in the order of `git status`.
#[derive(Default)]
struct Sorted(Vec<String>);

impl<'a> FromIterator<&'a str> for Sorted {
    fn from_iter<I: IntoIterator<Item = &'a str>>(lines: I) -> Self {
        let mut lines: Vec<_> = lines.into_iter().map(|line| format!("{line}\n")).collect();
        lines.sort();
        Self(lines)
    }
}

impl Sorted {
    fn text(&self) -> String {
        self.0.concat()
    }
}

#[test]
fn a_commit_of_our_own_has_its_trailers_and_runs_no_filter() {
    let model = models();
    model.write("other.txt", "other");
    model.git(&["add", "other.txt"]);
    let before = model.sandbox.filter_runs();
    let run = model.run(&["--commit", "-m", "Weights without pickles", "--json"]).ok();
    let summary = super::json_lines(&run).pop().unwrap();
    assert_eq!(summary["commit"], model.git(&["rev-parse", "HEAD"]).trim());
    assert_eq!(model.git(&["show", "-s", "--format=%s", "HEAD"]), "Weights without pickles\n");
    let format = "--format=%(trailers:key=Converted-From,valueonly)";
    let mut expected: Vec<_> =
        MODELS.iter().map(|(path, name)| format!("{path} sha256:{}", Oid::of(&fixture(name)))).collect();
    expected.sort();
    let trailers = model.git(&["show", "-s", format, "HEAD"]);
    assert_eq!(trailers.trim_end().lines().collect::<Vec<_>>(), expected);
    let mut names = CONVERTED;
    names.sort_unstable();
    assert_eq!(model.git(&["show", "--format=", "--name-only", "HEAD"]).lines().collect::<Vec<_>>(), names);
    // An earlier staged file stays staged.
    assert_eq!(model.status(), "A  other.txt\n");
    assert_eq!(model.sandbox.filter_runs(), before, "the filter ran");
    check_all(&model);
}

#[test]
fn git_lfs_agrees_before_and_after_the_commit() {
    let model = models();
    if !model.sandbox.git_lfs_available() {
        return skipped("git-lfs is not installed, so its verdicts are not asked for");
    }
    let before = model.sandbox.filter_runs();
    model.run::<&str>(&[]).ok();
    let status = model.git(&["lfs", "status"]);
    for ((_, name), converted) in MODELS.iter().zip(CONVERTED) {
        let short = &oid_of(name)[..7];
        assert!(status.contains(&format!("{converted} (LFS: {short})")), "{converted}: {status}");
    }
    assert!(status.trim_end().ends_with("Objects not staged for commit:"), "{status}");
    assert_eq!(model.git(&["lfs", "fsck"]), "Git LFS fsck OK\n");
    model.git(&["commit", "-q", "-m", "converted"]);
    assert_eq!(model.git(&["lfs", "fsck"]), "Git LFS fsck OK\n");
    assert_eq!(model.git(&["lfs", "status", "--porcelain"]).trim(), "");
    let listed = model.git(&["lfs", "ls-files", "--long"]);
    for ((_, name), converted) in MODELS.iter().zip(CONVERTED) {
        let line = format!("{} * {converted}\n", oid_of(name));
        assert!(listed.contains(&line), "{line}{listed}");
    }
    assert_eq!(listed.lines().count(), 2 * MODELS.len());
    assert_eq!(model.sandbox.filter_runs(), before, "the filter ran");
}

/// Clones by git with the filter of git-lfs.
fn clone(model: &Model, url: &str, name: &str) -> PathBuf {
    let git = [
        "clone",
        "-q",
        "-c",
        "filter.lfs.clean=git-lfs clean -- %f",
        "-c",
        "filter.lfs.smudge=git-lfs smudge -- %f",
        "-c",
        "filter.lfs.process=git-lfs filter-process",
        "-c",
        "filter.lfs.required=true",
        url,
        name,
    ];
    model.sandbox.git(&model.sandbox.path(""), &git);
    model.sandbox.path(name)
}

#[test]
fn a_push_and_a_fresh_clone_give_the_same_bytes() {
    let model = models();
    if !model.sandbox.git_lfs_available() {
        return skipped("git-lfs is not installed, so nothing is pushed");
    }
    model.run(&["--commit"]).ok();
    let root = model.sandbox.path("");
    model.sandbox.git(&root, &["init", "-q", "--bare", "hub.git"]);
    let url = format!("file://{}", model.sandbox.path("hub.git").display());
    model.git(&["remote", "add", "origin", &url]);
    model.git(&["lfs", "push", "origin", "main"]);
    model.git(&["push", "-q", "origin", "main"]);
    let fresh = clone(&model, &url, "fresh");
    for ((path, name), converted) in MODELS.iter().zip(CONVERTED) {
        let oid = |path: &str| Oid::of(&fs::read(fresh.join(path)).unwrap()).to_string();
        assert_eq!(oid(converted), oid_of(name), "{converted}");
        assert_eq!(oid(path), Oid::of(&fixture(name)).to_string(), "{path}");
    }
    assert_eq!(model.sandbox.git(&fresh, &["status", "--porcelain"]), "");
    assert_eq!(model.sandbox.git(&fresh, &["lfs", "fsck"]), "Git LFS fsck OK\n");
    // Nothing is to be done there either.
    let again = model.sandbox.bin(&fresh, &["--json"]).ok();
    assert_eq!(super::json_lines(&again).pop().unwrap()["unverified"], MODELS.len());
}

/// Returns a Python that has torch.
fn python_with_torch() -> Option<String> {
    let given = std::env::var("ST_CONVERT_PYTHON").ok();
    given.into_iter().chain(["python3".to_owned()]).find(|python| {
        let mut python = Command::new(python);
        python.args(["-c", "import torch, safetensors"]).output().is_ok_and(|output| output.status.success())
    })
}

/// Runs `check_converted.py` over many pairs in one process. A pair that this release of torch cannot read is only
/// counted.
const CHECK: &str = "
import sys
sys.path.insert(0, sys.argv[1])
import check_converted
unread = 0
for line in sys.stdin.read().splitlines():
    checkpoint, converted, key = line.split('\\t')
    try:
        problems, _, _ = check_converted.compare(checkpoint, converted, key or None, True)
    except check_converted.Problem as problem:
        unread += 1
        print('unread:', problem)
        continue
    for problem in problems:
        print('%s: %s' % (checkpoint, problem))
        unread += 1000
print('%d unread' % unread)
sys.exit(unread > int(sys.argv[2]))
";

fn compare_in_python(model: &Model, pairs: &str, python: &str) -> crate::sandbox::Output {
    let input = model.sandbox.path("pairs");
    fs::write(&input, pairs).unwrap();
    let mut command = model.command(python, &model.sandbox.path(""));
    command.args(["-c", CHECK]).arg(fixtures()).arg("8").stdin(fs::File::open(input).unwrap());
    super::finish(&mut command)
}

#[test]
fn every_fixture_of_one_repository_equals_its_checkpoint() {
    let model = Model::with_attributes(Some(ATTRIBUTES));
    let table = expected();
    let whole = |args: &[String]| args.is_empty();
    // Plain pickles of arrays are converted only if they are named.
    let is_plain = |format: &Option<String>| format.as_deref() == Some("pickle");
    let all = || {
        table
            .iter()
            .filter(|(_, e)| e.sha256.is_some() && !e.generated && whole(&e.args) && !is_plain(&e.format))
    };
    for (name, expected) in all() {
        model.write(format!("{name}/pytorch_model.bin"), fixture(name));
        if let Some(class) = &expected.config {
            model.write(format!("{name}/config.json"), format!("{{\"architectures\": [\"{class}\"]}}"));
        }
    }
    // The files are in git without LFS, so that only the binary can convert them.
    model.git(&["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false", "add", "."]);
    model.commit();
    let run = super::json_lines(&model.run(&["--json"]).ok());
    assert_eq!(run.len(), all().count() + 1);
    let mut pairs = String::new();
    for (name, expected) in all() {
        let converted = model.at(format!("{name}/model.safetensors"));
        let bytes = fs::read(&converted).unwrap();
        assert_eq!(Some(Oid::of(&bytes).to_string()), expected.sha256, "{name}");
        let checkpoint = fixtures().join("checkpoints").join(name);
        writeln!(pairs, "{}\t{}\t", checkpoint.display(), converted.display()).unwrap();
        ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    }
    match python_with_torch() {
        None => skipped("no python with torch and safetensors: only the crate read the files"),
        Some(python) => {
            let said = compare_in_python(&model, &pairs, &python).ok();
            assert!(said.trim_end().ends_with(" unread"), "{said}");
        }
    }
}

#[test]
fn without_git_lfs_all_but_the_filter_is_there() {
    let model = models();
    for key in ["clean", "smudge", "required"] {
        model.git(&["config", "--unset", &format!("filter.lfs.{key}")]);
    }
    let only_git = model.sandbox.path("bin");
    fs::create_dir(&only_git).unwrap();
    std::os::unix::fs::symlink(which("git"), only_git.join("git")).unwrap();
    let run = |args: &[&str]| {
        let mut command = model.command(crate::sandbox::BIN, &model.dir);
        super::finish(command.args(args).env("PATH", &only_git))
    };
    let output = run(&["--commit"]);
    assert!(output.stderr.contains("Git LFS is not installed in this repository"), "{}", output.stderr);
    assert!(output.stderr.contains("hint: install it: `git lfs install`"), "{}", output.stderr);
    output.ok();
    assert_eq!(model.status(), "");
    check_all(&model);
    // This run has no git at all.
    let other = Model::with("tied-2.bin");
    let mut command = other.command(crate::sandbox::BIN, &other.dir);
    super::finish(command.env("PATH", other.sandbox.path("home"))).ok();
    other.check("model.safetensors", &oid_of("tied-2.bin"));
}

/// In a partial clone, say: whether there is something to commit decides a hint, and no conversion.
#[test]
fn a_hint_that_cannot_be_decided_ends_no_conversion() {
    let model = Model::with("tied-2.bin");
    let tree = model.git(&["rev-parse", "HEAD^{tree}"]);
    let (fan, rest) = tree.trim().split_at(2);
    fs::remove_file(model.dir.join(".git/objects").join(fan).join(rest)).unwrap();
    let output = model.run::<&str>(&[]);
    assert!(output.stderr.contains("hint: commit: `git commit -m "), "{}", output.stderr);
    output.ok();
    model.check("model.safetensors", &oid_of("tied-2.bin"));
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.exists());
    found.unwrap_or_else(|| Path::new("/usr/bin").join(program))
}
