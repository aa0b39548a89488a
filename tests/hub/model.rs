//! Stores a model of the hub: its bare repository, its LFS objects, and who may read it.
//!
//! Invariant: everything is in files below the hub's directory, so that a test may read it with git.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::access::Access;
use super::builder::{Builder, Content};
use super::content::copy_hashed;
use super::discussions::{Discussion, Discussions, Status};
use super::git::git;

/// The configuration of a hub's repositories; as on the Hub, a client may request any object.
const CONFIG: [(&str, &str); 5] = [
    ("http.receivepack", "true"),
    ("uploadpack.allowFilter", "true"),
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("receive.advertisePushOptions", "true"),
    ("gc.auto", "0"),
];

#[derive(Debug)]
pub(super) struct Model {
    pub(super) git_dir: PathBuf,
    pub(super) objects: PathBuf,
    home: PathBuf,
    access: Mutex<Access>,
    /// The number of downloads, and the tags.
    popularity: Mutex<(u64, Vec<String>)>,
    /// `true` if discussions are disabled.
    pub(super) is_closed: AtomicBool,
    pub(super) discussions: Discussions,
}

impl Model {
    /// Creates an empty model. `id` names its directories below `home`.
    pub(super) fn create(home: &Path, id: &str) -> Self {
        let model = Self {
            git_dir: home.join("repositories").join(format!("{id}.git")),
            objects: home.join("objects").join(id),
            home: home.to_owned(),
            access: Mutex::new(Access::Public),
            popularity: Mutex::default(),
            is_closed: AtomicBool::new(false),
            discussions: Discussions::default(),
        };
        fs::create_dir_all(&model.git_dir).unwrap();
        fs::create_dir_all(&model.objects).unwrap();
        model.git(&["init", "--quiet", "--bare", "--initial-branch=main"], b"");
        for (key, value) in CONFIG {
            model.git(&["config", key, value], b"");
        }
        let hook = model.git_dir.join("hooks/pre-receive");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, include_str!("pre-receive.sh")).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
        model
    }

    /// Runs git in the repository with an input; it must succeed.
    pub(super) fn git(&self, args: &[&str], input: &[u8]) -> String {
        let mut git = git(&self.home);
        git.arg("--git-dir").arg(&self.git_dir).args(args);
        let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the object id of a revision, if it exists.
    pub(super) fn rev(&self, name: &str) -> Option<String> {
        let mut git = git(&self.home);
        git.arg("--git-dir").arg(&self.git_dir).args([
            "rev-parse",
            "--quiet",
            "--verify",
            "--end-of-options",
        ]);
        let output = git.arg(name).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Adds the commits and objects of a builder.
    pub(super) fn take(&self, builder: &Builder) {
        self.git(&["fast-import", "--quiet"], &builder.stream());
        for content in builder.contents() {
            self.put(content);
        }
        for (number, (title, author)) in builder.pull_requests() {
            self.discussions.add(Discussion {
                number: *number,
                title: title.clone(),
                description: String::new(),
                author: author.clone(),
                status: Status::Open,
                is_pull_request: true,
            });
        }
    }

    /// Adds the refs of a repository on this machine, and the objects of its LFS storage.
    pub(super) fn import(&self, git_dir: &Path) {
        let from = git_dir.to_str().unwrap();
        self.git(&["fetch", "--quiet", "--update-head-ok", from, "+refs/*:refs/*"], b"");
        let mut waiting = vec![git_dir.join("lfs/objects")];
        while let Some(dir) = waiting.pop() {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    self.put(&Content::File(path));
                }
            }
        }
    }

    /// Stores an object. Returns its object ID.
    pub(super) fn put(&self, content: &Content) -> String {
        let mut file = tempfile::NamedTempFile::new_in(&self.objects).unwrap();
        let (oid, _) = match content {
            Content::Bytes(bytes) => copy_hashed(&mut bytes.as_slice(), file.as_file_mut()).unwrap(),
            Content::File(path) => copy_hashed(&mut File::open(path).unwrap(), file.as_file_mut()).unwrap(),
        };
        file.persist(self.object(&oid)).unwrap();
        oid
    }

    /// Returns the path of an object, which need not exist.
    pub(super) fn object(&self, oid: &str) -> PathBuf {
        self.objects.join(oid)
    }

    pub(super) fn access(&self) -> Access {
        *self.access.lock().unwrap()
    }

    pub(super) fn set_access(&self, access: Access) {
        *self.access.lock().unwrap() = access;
    }

    pub(super) fn popularity(&self) -> (u64, Vec<String>) {
        self.popularity.lock().unwrap().clone()
    }

    pub(super) fn set_popularity(&self, downloads: u64, tags: &[&str]) {
        *self.popularity.lock().unwrap() = (downloads, tags.iter().map(|&tag| tag.to_owned()).collect());
    }

    /// Returns the content of a file, named as `REVISION:PATH`; `None` if it is not a file.
    pub(super) fn blob(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut git = git(&self.home);
        git.arg("--git-dir").arg(&self.git_dir).args(["cat-file", "blob", "--end-of-options"]);
        git.arg(name).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = git.spawn()?;
        let mut bytes = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut bytes)?;
        Ok(child.wait()?.success().then_some(bytes))
    }
}
