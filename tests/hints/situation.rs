//! [`Situation`] is a directory in which a command fails, or ends with more to do.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use git_st_convert::hash::Oid;

use crate::formats::fixtures;
use crate::guard::path;
use crate::hub::Hub;
use crate::sandbox::{Output, Sandbox};

/// The attributes of a new repository of the Hub.
const ATTRIBUTES: &str = "*.bin filter=lfs diff=lfs merge=lfs -text\n*.pt filter=lfs diff=lfs merge=lfs -text\n\
                          *.safetensors filter=lfs diff=lfs merge=lfs -text\n";

/// The place of a command.
pub(super) struct Situation {
    sandbox: Sandbox,
    pub(super) hub: Option<Hub>,
    /// The working tree, or the directory without one.
    dir: PathBuf,
    cwd: PathBuf,
    environment: Vec<(String, String)>,
}

/// Reports a skipped check, past the output capture of the test harness.
pub(crate) fn skipped(what: &str) {
    let _nobody_reads = std::io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
}

pub(super) fn has_lfs() -> bool {
    Sandbox::new().git_lfs_available()
}

impl Situation {
    /// Creates a directory outside of any repository.
    pub(super) fn outside() -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.path("model");
        fs::create_dir(&dir).unwrap();
        Self { sandbox, hub: None, cwd: dir.clone(), dir, environment: Vec::new() }
    }

    /// Creates a repository with Git LFS and its attributes.
    pub(super) fn new() -> Self {
        let situation = Self::outside().sh("git init -q && git lfs install --local >/dev/null");
        fs::write(situation.dir.join(".gitattributes"), ATTRIBUTES).unwrap();
        situation.sh("echo '# a model' > README.md && git add . && git commit -qm one")
    }

    /// Creates the same with its own remote.
    pub(super) fn with_remote() -> Self {
        Self::new().sh("git init -q --bare ../hub.git && git remote add origin \"file://$PWD/../hub.git\"")
    }

    /// Creates a home directory with a hub.
    pub(super) fn of(hub: Hub) -> Self {
        let mut situation = Self::outside();
        situation.environment.push(("HF_ENDPOINT".to_owned(), hub.endpoint()));
        situation.hub = Some(hub);
        situation.sh("git lfs install --skip-repo >/dev/null")
    }

    /// Adds a file with the bytes of a fixture.
    pub(super) fn put(self, name: &str, fixture: &str) -> Self {
        let content = fs::read(fixtures().join("checkpoints").join(fixture)).unwrap();
        self.write(name, content)
    }

    pub(super) fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Adds a committed checkpoint.
    pub(super) fn with(self, name: &str, fixture: &str) -> Self {
        self.put(name, fixture).sh("git add -A && git commit -qm checkpoint")
    }

    /// Runs a script in a shell, which must succeed.
    #[track_caller]
    pub(super) fn sh(self, script: &str) -> Self {
        let output = self.paste(script);
        assert_eq!(output.code, Some(0), "{script}: {output:#?}");
        self
    }

    /// Changes the user's current directory.
    pub(super) fn at(self, dir: &str) -> Self {
        Self { cwd: self.dir.join(dir), ..self }
    }

    /// Changes the directory of the working tree.
    pub(super) fn inside(self, dir: &str) -> Self {
        let dir = self.dir.join(dir);
        Self { cwd: dir.clone(), dir, ..self }
    }

    pub(super) fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Runs a command in a shell of a user who has the program.
    pub(super) fn paste(&self, command: &str) -> Output {
        let args = ["-c".as_ref(), command.as_ref()];
        let mut shell = self.sandbox.command("sh".as_ref(), &self.cwd, &args);
        shell.env("PATH", path()).env("GIT_EDITOR", "true");
        for (key, value) in &self.environment {
            shell.env(key, value);
        }
        shell.output().unwrap().into()
    }

    /// Returns every file of the user outside of a git directory, with its content.
    pub(super) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files(&self.sandbox.path(""), &|path| !is_git(path));
        files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    /// Returns those files whose content is gone: it is not at the same path, in no other file, no LFS object, no blob
    /// of git.
    pub(super) fn lost(&self, before: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<PathBuf> {
        let mut digests = None;
        let mut lost = Vec::new();
        for (path, content) in before {
            // Settings, attributes and ignore patterns may get more lines.
            let is_there = fs::read(path).is_ok_and(|now| now.starts_with(content));
            if is_there || content.is_empty() || path.ends_with("gitconfig") {
                continue;
            }
            let all = digests.get_or_insert_with(|| {
                let files = files(&self.sandbox.path(""), &|_| true);
                files.iter().filter_map(|path| Some(Oid::of(&fs::read(path).ok()?))).collect::<Vec<_>>()
            });
            if all.contains(&Oid::of(content)) {
                continue;
            }
            let copy = self.sandbox.path("copy");
            fs::write(&copy, content).unwrap();
            let is_blob =
                self.paste(&format!("git cat-file -e $(git hash-object --no-filters {})", copy.display()));
            fs::remove_file(copy).unwrap();
            if is_blob.code != Some(0) {
                lost.push(path.clone());
            }
        }
        lost
    }
}

fn is_git(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().as_encoded_bytes().ends_with(b".git"))
}

/// Returns the regular files below a directory.
fn files(dir: &Path, keeps: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap().filter_map(Result::ok) {
            let Ok(kind) = entry.file_type() else { continue };
            if !keeps(&entry.path()) {
                continue;
            }
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found
}
