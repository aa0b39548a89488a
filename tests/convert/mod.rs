//! Acceptance tests of `git st-convert`: the program itself, in repositories that git created, one test for each
//! promise.
//!
//! The expected SHA-256 are those of `tests/fixtures/expected.json`, which torch and `save_file` wrote. Without a
//! reference program, a test reports that by a line `skipped: …` and checks the rest.

mod attributes;
mod commit;
mod digests;
mod failures;
mod folders;
mod forced;
mod halves;
mod harmless;
mod hints;
mod index;
mod interrupted;
mod jobs;
mod kept;
mod leftovers;
mod lfs;
mod limits;
mod links;
mod many;
#[cfg(target_os = "linux")]
mod memory;
mod names;
#[cfg(unix)]
mod needless;
mod options;
#[cfg(unix)]
mod paths;
mod pickled;
mod plain;
mod records;
mod refused;
mod replaced;
mod scripts;
mod sets;
mod shards;
mod sources;
mod sparse;
mod states;
#[cfg(unix)]
mod stopped;
pub(crate) mod torch;
mod walks;
mod wheels;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;

use crate::formats::{expected, fixtures};
use crate::sandbox::{Output, Sandbox};

/// The `.gitattributes` of a repository of the Hub.
const ATTRIBUTES: &str = "\
    *.bin filter=lfs diff=lfs merge=lfs -text\n*.pt filter=lfs diff=lfs merge=lfs -text\n\
    *.safetensors filter=lfs diff=lfs merge=lfs -text\n";

/// Returns the bytes of a fixture.
fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("checkpoints").join(name)).unwrap()
}

/// Returns the object ID of the reference's conversion.
fn oid_of(name: &str) -> String {
    expected()[name].sha256.clone().unwrap()
}

/// Reports a skipped check, past the output capture of the test harness.
fn skipped(what: &str) {
    let _nobody_reads = std::io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
}

/// A model's repository with a counting filter.
struct Model {
    sandbox: Sandbox,
    dir: PathBuf,
    /// The LFS directory.
    store: PathBuf,
}

impl Model {
    /// Creates it with a commit that puts checkpoints and safetensors files under Git LFS.
    fn new() -> Self {
        Self::with_attributes(Some(ATTRIBUTES))
    }

    /// Pushes it, with its objects, to its own remote.
    fn push(&self) {
        self.sandbox.git(&self.sandbox.path(""), &["init", "-q", "--bare", "hub.git"]);
        let url = format!("file://{}", self.sandbox.path("hub.git").display());
        self.git(&["remote", "add", "origin", &url]);
        self.git(&["lfs", "push", "origin", "main"]);
        self.git(&["push", "-q", "-u", "origin", "main"]);
    }

    /// Creates it with a commit of these attributes.
    fn with_attributes(text: Option<&str>) -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.repo("model");
        let store = dir.join(".git/lfs");
        let model = Self { sandbox, dir, store };
        if let Some(text) = text {
            model.write(".gitattributes", text);
            model.git(&["add", ".gitattributes"]);
            model.git(&["commit", "-q", "-m", "attributes"]);
        }
        model
    }

    /// Creates it with a committed `pytorch_model.bin`.
    fn with(name: &str) -> Self {
        let model = Self::new();
        model.add("pytorch_model.bin", &fixture(name));
        model.commit();
        model
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.join(path)
    }

    #[track_caller]
    fn git<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        self.sandbox.git(&self.dir, args)
    }

    fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.sandbox.bin(&self.dir, args)
    }

    /// Returns a program in the sandbox's environment, which is not started yet.
    fn command(&self, program: impl AsRef<OsStr>, cwd: &Path) -> Command {
        self.sandbox.command(program.as_ref(), cwd, &[])
    }

    /// Writes a file of the working tree, old enough for git to trust its index entry.
    fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        age(&path);
    }

    /// Writes and stages a file through the filter, and checks that LFS storage has its object.
    fn add(&self, path: impl AsRef<Path>, content: &[u8]) -> Oid {
        self.write(&path, content);
        self.git(&["add".as_ref(), "--sparse".as_ref(), "--".as_ref(), path.as_ref().as_os_str()]);
        let object = self.object(Oid::of(content));
        if !object.exists() {
            fs::create_dir_all(object.parent().unwrap()).unwrap();
            fs::write(object, content).unwrap();
        }
        Oid::of(content)
    }

    fn commit(&self) {
        self.git(&["commit", "-q", "-m", "model"]);
    }

    /// Returns the path of an object in LFS storage.
    fn object(&self, oid: Oid) -> PathBuf {
        let name = oid.to_string();
        self.store.join("objects").join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// Leaves only the pointer in the working tree, as in a clone without LFS content.
    fn only_pointer(&self, path: impl AsRef<Path>, content: &[u8]) {
        let pointer = Pointer { oid: Oid::of(content), size: content.len() as u64 };
        self.write(&path, pointer.to_string());
        self.git(&["update-index".as_ref(), "-q".as_ref(), "--refresh".as_ref(), "--".as_ref()] as &[&OsStr]);
    }

    fn status(&self) -> String {
        self.git(&["status", "--porcelain", "--untracked-files=all"])
    }

    /// Checks everything that git and LFS storage contain for a converted file: pointer, object, working-tree file,
    /// attribute. No filter may have run.
    #[track_caller]
    fn check(&self, path: impl AsRef<Path>, oid: &str) {
        let path = path.as_ref().as_os_str();
        let content = fs::read(self.at(path)).unwrap();
        assert_eq!(Oid::of(&content).to_string(), oid, "the work-tree file");
        let pointer = Pointer { oid: Oid::of(&content), size: content.len() as u64 };
        assert_eq!(self.staged(path), pointer.to_string());
        assert_eq!(fs::read(self.object(pointer.oid)).unwrap(), content, "the object");
        let attribute =
            self.git(&["check-attr".as_ref(), "-z".as_ref(), "filter".as_ref(), "--".as_ref(), path]);
        assert!(attribute.ends_with("\0filter\0lfs\0"), "{attribute:?}");
        let before = self.sandbox.filter_runs();
        self.git(&["diff", "--exit-code", "--stat", "--", "*.safetensors"]);
        assert_eq!(self.sandbox.filter_runs(), before, "the filter ran");
    }

    /// Returns the content of a path in the index.
    #[track_caller]
    fn staged(&self, path: impl AsRef<OsStr>) -> String {
        let mut name = OsString::from(":");
        name.push(path);
        self.git(&["cat-file".as_ref(), "blob".as_ref(), name.as_os_str()])
    }

    /// Lists every file and directory, including those of git.
    fn listing(&self) -> Listing {
        listing(&self.sandbox.path(""))
    }
}

/// Runs a command to its end.
fn finish(command: &mut Command) -> Output {
    command.output().unwrap().into()
}

/// Makes a file old enough for git.
fn age(path: &Path) {
    let time = SystemTime::now() - Duration::from_secs(10);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Every path below a directory, with its kind, mode and content.
type Listing = BTreeMap<PathBuf, String>;

fn listing(dir: &Path) -> Listing {
    let mut found = Listing::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_symlink() {
                format!("link {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                waiting.push(path.clone());
                "directory".to_owned()
            } else {
                format!("file {:?} {}", metadata.permissions(), Oid::of(&fs::read(&path).unwrap()))
            };
            found.insert(path.strip_prefix(dir).unwrap().to_owned(), what);
        }
    }
    found
}

/// Returns the differences. Empty directories of LFS storage do not count: git-lfs creates them too.
fn differences(before: &Listing, after: &Listing) -> Vec<String> {
    let is_store = |path: &Path| {
        let text = path.to_string_lossy();
        text.ends_with("lfs")
            || text.contains("/lfs/tmp")
            || text.ends_with("/lfs/incomplete")
            || text.contains("/lfs/objects")
    };
    let names = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
    let differs = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let differs = differs.filter(|name| {
        let only_made = !before.contains_key(*name) && after[*name] == "directory";
        !(only_made && is_store(name))
    });
    differs
        .map(|name| format!("{}: {:?} → {:?}", name.display(), before.get(name), after.get(name)))
        .collect()
}

/// Parses the objects of `--json`.
fn json_lines(stdout: &str) -> Vec<serde_json::Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
