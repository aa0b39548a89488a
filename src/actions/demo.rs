//! Creates a small model repository and converts it, without a network.
//!
//! It is like a repository on a model hub, in small: a GPT-2 with tied tensors, an encoder in two shards with their
//! shard index, under Git LFS, and a pull request `refs/pr/1` that adds a safetensors file.
//! `tests/fixtures/make_demo.py` made the files.
//!
//! Invariants: the directory is new or empty before, and no other repository is changed; git's hooks, signing and
//! identity have no effect; and the working tree is clean with and without Git LFS, because every entry of the index
//! has the stat data of its file.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bstr::{BStr, BString};

use super::convert::{self, Summary};
use super::{Error, Reporter};
use crate::git::{self, Git, Identity, commit};
use crate::hash::Oid;
use crate::lfs::{self, NewObject, Pointer, Store, Target};
use crate::repo::{Change, Repo};

const ATTRIBUTES: &[u8] = b"*.bin filter=lfs diff=lfs merge=lfs -text\n";

/// The files of the working tree, and whether they are under Git LFS.
const FILES: [(&str, &[u8], bool); 6] = [
    (".gitattributes", ATTRIBUTES, false),
    ("config.json", include_bytes!("demo/config.json"), false),
    ("pytorch_model.bin", include_bytes!("demo/pytorch_model.bin"), true),
    (
        "encoder/pytorch_model-00001-of-00002.bin",
        include_bytes!("demo/encoder/pytorch_model-00001-of-00002.bin"),
        true,
    ),
    (
        "encoder/pytorch_model-00002-of-00002.bin",
        include_bytes!("demo/encoder/pytorch_model-00002-of-00002.bin"),
        true,
    ),
    (
        "encoder/pytorch_model.bin.index.json",
        include_bytes!("demo/encoder/pytorch_model.bin.index.json"),
        false,
    ),
];

/// The file that the pull request adds.
const SAFETENSORS: &[u8] = include_bytes!("demo/model.safetensors");
const PULL_REQUEST: &str = "refs/pr/1";
const AUTHOR: Identity<'static> = Identity { name: "A Model Author", email: "author@example.com" };
const BOT: Identity<'static> = Identity { name: "A Conversion Bot", email: "bot@example.com" };

/// A step of the demo, for the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The repository is created.
    Making {
        /// Its directory.
        dir: PathBuf,
    },
    /// A file of the first commit.
    File {
        /// Its path.
        path: BString,
        /// Its size in bytes.
        size: u64,
        /// `true` if it is under Git LFS.
        is_lfs: bool,
    },
    /// A pull request that adds a file.
    PullRequest {
        /// Its reference.
        name: &'static str,
        /// The file.
        path: BString,
    },
    /// The conversion begins.
    Converting,
}

/// The result of the demo.
#[derive(Debug)]
pub struct Demo {
    /// The directory of the repository.
    pub dir: PathBuf,
    /// The reference of the pull request.
    pub pull_request: &'static str,
    /// The result of the conversion.
    pub summary: Summary,
}

/// Creates the repository in `dir`, or in a new temporary directory, and converts it.
///
/// # Errors
/// [`Error::NotEmpty`], or an error of git, the system or the conversion.
pub fn demo(dir: Option<&Path>, tell: &dyn Fn(&Step), reporter: &dyn Reporter) -> Result<Demo, Error> {
    let dir = match dir {
        Some(dir) => empty(dir)?,
        None => temporary()?,
    };
    tell(&Step::Making { dir: dir.clone() });
    let git = Git::at(&dir)?;
    commit::init(&git)?;
    let repo = Repo::at(&dir)?;
    let head = first_commit(&git, &repo, tell)?;
    pull_request(&git, &repo, &head)?;
    tell(&Step::PullRequest { name: PULL_REQUEST, path: "model.safetensors".into() });
    tell(&Step::Converting);
    let options = convert::Options { cwd: dir.clone(), ..convert::Options::default() };
    let summary = convert::convert(&options, reporter)?;
    Ok(Demo { dir, pull_request: PULL_REQUEST, summary })
}

/// Returns the directory without links, and creates it if it does not exist.
fn empty(dir: &Path) -> Result<PathBuf, Error> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Error::NotEmpty { dir: dir.to_owned() });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotEmpty { dir: dir.to_owned() });
        }
        Err(error) => return Err(Error::io("read", dir)(error)),
    }
    dir.canonicalize().map_err(Error::io("find", dir))
}

fn temporary() -> Result<PathBuf, Error> {
    let made = tempfile::Builder::new().prefix("git-st-convert-demo-").tempdir();
    let made = made.and_then(|dir| dir.keep().canonicalize());
    made.map_err(Error::io("make a directory in", &std::env::temp_dir()))
}

fn first_commit(git: &Git<'_>, repo: &Repo, tell: &dyn Fn(&Step)) -> Result<String, Error> {
    let mut changes = Vec::new();
    for (path, content, is_lfs) in FILES {
        let path = BString::from(path);
        let target = repo.target(path.as_ref())?;
        let stat_of = target.path();
        let blob = if is_lfs { place(repo, target, content)? } else { write(repo, path.as_ref(), content)? };
        tell(&Step::File { path: path.clone(), size: content.len() as u64, is_lfs });
        changes.push(Change::Add { path, blob, stat_of: Some(stat_of), executable: false });
    }
    repo.stage(&changes)?;
    let tree = commit::write_tree(git)?;
    let head = commit::commit_tree(git, &tree, &[], "Add a GPT-2 and an encoder\n", AUTHOR)?;
    commit::update_ref(git, "refs/heads/main", &head)?;
    Ok(head)
}

fn write(repo: &Repo, path: &BStr, content: &[u8]) -> Result<Vec<u8>, Error> {
    repo.write_file(path, content, false)?;
    Ok(content.to_vec())
}

/// Writes a file to LFS storage and the working tree; returns the text of the pointer.
fn place(repo: &Repo, target: Target, content: &[u8]) -> Result<Vec<u8>, Error> {
    let store = repo.store();
    let (pointer, object) = keep(&store, content)?;
    lfs::worktree_file::place(&store, &object, target, false)?;
    Ok(pointer.into_bytes())
}

/// Writes a file to LFS storage; returns the text of the pointer, and the path of the object.
fn keep(store: &Store, content: &[u8]) -> Result<(String, PathBuf), Error> {
    let pointer = Pointer { oid: Oid::of(content), size: content.len() as u64 };
    let mut object = NewObject::create(store)?;
    object.write_all(content).map_err(Error::io("write", &store.path_of(pointer.oid)))?;
    Ok((pointer.to_string(), object.commit(pointer.oid, pointer.size)?))
}

/// Creates a commit on top of `head` that the working tree does not contain.
fn pull_request(git: &Git<'_>, repo: &Repo, head: &str) -> Result<(), Error> {
    let (pointer, _) = keep(&repo.store(), SAFETENSORS)?;
    let blob = text(&git.command("hash-object").args(["-w", "--stdin"]).input(pointer).run()?);
    let tree = git.command("ls-tree").args(["-z", "--end-of-options", head]).run()?;
    let entry = format!("100644 blob {blob}\tmodel.safetensors\0");
    let tree = git.command("mktree").args(["-z"]).input([tree.stdout, entry.into_bytes()].concat());
    let tree = text(&tree.run()?);
    let message = "Add a safetensors version of the weights\n";
    let commit = commit::commit_tree(git, &tree, &[head], message, BOT)?;
    Ok(commit::update_ref(git, PULL_REQUEST, &commit)?)
}

fn text(output: &git::Output) -> String {
    output.text().to_owned()
}
