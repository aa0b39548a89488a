//! [`Builder`] describes the history of a model's repository step by step, as a stream for `git fast-import`.
//!
//! Invariant: the same calls give the same commits, on every machine. LFS files become pointers, and their contents are
//! kept next to the stream.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::content::{copy_hashed, oid_of};

/// The names in the `.gitattributes` of a new model of the Hub, in their order.
const LFS_PATTERNS: &str = "*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack \
     *.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/* *.tar.* *.tar \
     *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*";

/// The time of the first commit; the following ones are a minute apart.
const FIRST_COMMIT: u64 = 1_577_934_245;

/// The source of the bytes of an LFS object.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// A model's history.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    stream: Vec<u8>,
    /// The last commit of each ref.
    tips: BTreeMap<String, String>,
    /// The ref of the next commits.
    on: String,
    /// The changes of the next commit.
    changes: Vec<u8>,
    author: String,
    commits: u64,
    /// The object ID that each path had last.
    oids: BTreeMap<String, String>,
    contents: Vec<Content>,
    /// The title and the author of each pull request, from its first commit.
    pull_requests: BTreeMap<u64, (String, String)>,
}

impl Builder {
    /// Starts on `main`, with the `.gitattributes` of a new model in the first commit.
    pub(crate) fn new() -> Self {
        let mut builder = Self::without_attributes();
        builder.file(".gitattributes", hub_attributes());
        builder
    }

    /// Starts on an empty `main`.
    pub(crate) fn without_attributes() -> Self {
        Self {
            stream: Vec::new(),
            tips: BTreeMap::new(),
            on: "refs/heads/main".to_owned(),
            changes: Vec::new(),
            author: "A U Thor <author@example.com>".to_owned(),
            commits: 0,
            oids: BTreeMap::new(),
            contents: Vec::new(),
            pull_requests: BTreeMap::new(),
        }
    }

    /// Continues a model of the hub: the commits follow its `main`.
    pub(crate) fn more() -> Self {
        let mut builder = Self::without_attributes();
        builder.tips.insert(builder.on.clone(), "refs/heads/main^0".to_owned());
        // The commits are later than the existing ones.
        builder.commits = 1 << 20;
        builder
    }

    /// Adds a file to the next commit as it is.
    pub(crate) fn file(&mut self, path: &str, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.entry(path, "100644", bytes.as_ref())
    }

    /// Adds a symbolic link to the next commit.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.entry(path, "120000", target.as_bytes())
    }

    /// Adds a file to the next commit as a pointer, and its content to the model's LFS objects.
    pub(crate) fn lfs(&mut self, path: &str, bytes: impl Into<Vec<u8>>) -> &mut Self {
        let bytes = bytes.into();
        let (oid, size) = (oid_of(&bytes), bytes.len() as u64);
        self.contents.push(Content::Bytes(bytes));
        self.pointer(path, &oid, size)
    }

    /// Does the same with a file of this machine, which may be large.
    pub(crate) fn lfs_file(&mut self, path: &str, from: &Path) -> &mut Self {
        let (oid, size) = copy_hashed(&mut File::open(from).unwrap(), &mut io::sink()).unwrap();
        self.contents.push(Content::File(from.to_owned()));
        self.pointer(path, &oid, size)
    }

    /// Adds a pointer to the next commit whose content is not on the hub.
    pub(crate) fn pointer(&mut self, path: &str, oid: &str, size: u64) -> &mut Self {
        self.oids.insert(path.to_owned(), oid.to_owned());
        self.file(path, pointer(oid, size))
    }

    /// Removes a file in the next commit.
    pub(crate) fn remove(&mut self, path: &str) -> &mut Self {
        self.changes.extend_from_slice(format!("D {}\n", quoted(path)).as_bytes());
        self
    }

    /// Sets the author of the next commits: `Name <mail>`.
    pub(crate) fn author(&mut self, author: &str) -> &mut Self {
        author.clone_into(&mut self.author);
        self
    }

    /// Commits the changes to the current ref.
    pub(crate) fn commit(&mut self, message: &str) -> &mut Self {
        self.commits += 1;
        let mark = format!(":{}", self.commits);
        let time = FIRST_COMMIT + 60 * self.commits;
        let mut text = format!("commit {}\nmark {mark}\ncommitter {} {time} +0000\n", self.on, self.author);
        write!(text, "data {}\n{message}\n", message.len()).unwrap();
        if let Some(parent) = self.tips.get(&self.on) {
            writeln!(text, "from {parent}").unwrap();
        }
        self.stream.extend_from_slice(text.as_bytes());
        self.stream.append(&mut self.changes);
        self.stream.push(b'\n');
        self.tips.insert(self.on.clone(), mark);
        if let Some(number) = self.on.strip_prefix("refs/pr/").and_then(|number| number.parse().ok()) {
            let title = message.lines().next().unwrap_or_default().to_owned();
            let author = self.author.split(" <").next().unwrap_or_default().to_owned();
            self.pull_requests.entry(number).or_insert((title, author));
        }
        self
    }

    /// Switches to a ref, or to a branch by its short name. A new one begins at `main`.
    pub(crate) fn on(&mut self, name: &str) -> &mut Self {
        let main = self.tips.get("refs/heads/main").cloned();
        self.on = full(name, "refs/heads/");
        if let (false, Some(main)) = (self.tips.contains_key(&self.on), main) {
            self.stream.extend_from_slice(format!("reset {}\nfrom {main}\n\n", self.on).as_bytes());
            self.tips.insert(self.on.clone(), main);
        }
        self
    }

    /// Switches to `refs/pr/N`, which begins at `main`.
    pub(crate) fn pull_request(&mut self, number: u64) -> &mut Self {
        self.on(&format!("refs/pr/{number}"))
    }

    /// Creates a tag at the current commit.
    pub(crate) fn tag(&mut self, name: &str) -> &mut Self {
        let text = format!("reset {}\nfrom {}\n\n", full(name, "refs/tags/"), self.tips[&self.on]);
        self.stream.extend_from_slice(text.as_bytes());
        self
    }

    /// Returns the object ID of the LFS file that was last added at this path, on any ref.
    #[track_caller]
    pub(crate) fn oid(&self, path: &str) -> String {
        self.oids[path].clone()
    }

    pub(super) fn stream(&self) -> Vec<u8> {
        assert!(self.changes.is_empty(), "something was put and not committed");
        self.stream.clone()
    }

    pub(super) fn contents(&self) -> &[Content] {
        &self.contents
    }

    pub(super) fn pull_requests(&self) -> &BTreeMap<u64, (String, String)> {
        &self.pull_requests
    }

    fn entry(&mut self, path: &str, mode: &str, bytes: &[u8]) -> &mut Self {
        self.changes.extend_from_slice(format!("M {mode} inline {}\n", quoted(path)).as_bytes());
        self.changes.extend_from_slice(format!("data {}\n", bytes.len()).as_bytes());
        self.changes.extend_from_slice(bytes);
        self.changes.push(b'\n');
        self
    }
}

/// Returns the text of a pointer.
pub(crate) fn pointer(oid: &str, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
}

fn hub_attributes() -> String {
    let mut text = String::new();
    for name in LFS_PATTERNS.split_whitespace() {
        writeln!(text, "{name} filter=lfs diff=lfs merge=lfs -text").unwrap();
    }
    text
}

fn full(name: &str, prefix: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("{prefix}{name}") }
}

fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
