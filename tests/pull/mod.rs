//! Acceptance tests of `git st-convert pull` and of `--pr`: the program itself, in clones of a model on the hub.

mod auto;
mod errors;
mod killed;
mod list;
mod shallow;
mod take;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::clone::{ID, World, noise};
use crate::hub::{Builder, oid_of, pointer};
use crate::sandbox::Output;

/// Returns a valid safetensors file with one tensor of this many bytes.
fn weights(seed: u32, count: usize) -> Vec<u8> {
    let mut header = format!(r#"{{"w":{{"dtype":"U8","shape":[{count}],"data_offsets":[0,{count}]}}}}"#);
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &noise(seed, count)].concat()
}

/// Returns a model with a checkpoint behind a pointer, and pull request 42, which adds a safetensors file.
fn model() -> Builder {
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs("pytorch_model.bin", noise(1, 300_000)).commit("first");
    model.file("vocab.txt", noise(2, 100_000)).commit("vocabulary");
    model.author("SFconvertbot <bot@example.com>").pull_request(42);
    model.lfs("model.safetensors", weights(42, 200_000)).commit("Adding `safetensors` variant of this model");
    model.author("A U Thor <author@example.com>").on("main");
    model
}

/// A clone of a model with a counting filter.
struct Clone {
    world: World,
    dir: PathBuf,
}

impl Clone {
    #[track_caller]
    fn of(model: &Builder) -> Self {
        let world = World::with(model);
        let dir = world.clone(&[]);
        world.sandbox.count_filter_runs(&dir);
        // git does not trust files as recent as its index, and would run the filter for these pointers again.
        for path in world.git(&dir, &["ls-files", "-z"]).split_terminator('\0') {
            let time = SystemTime::now() - Duration::from_secs(10);
            fs::File::options().write(true).open(dir.join(path)).unwrap().set_modified(time).unwrap();
        }
        world.git(&dir, &["status", "--porcelain"]);
        fs::write(world.sandbox.path("filter.log"), "").unwrap();
        world.hub.forget_requests();
        Self { world, dir }
    }

    fn new() -> Self {
        Self::of(&model())
    }

    fn run(&self, args: &[&str]) -> Output {
        self.world.run(&self.dir, args)
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert_eq!(output.code, Some(0), "{output:#?}");
        output
    }

    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        self.world.git(&self.dir, args)
    }

    fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn rev(&self, name: &str) -> String {
        self.world.hub.rev(ID, name).unwrap()
    }

    fn status(&self) -> String {
        self.git(&["status", "--porcelain", "--untracked-files=all"])
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.dir.join(path)).unwrap()
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::write(self.dir.join(path), content).unwrap();
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// Checks the file in the working tree, its pointer in the index and its object in LFS storage. No filter may have
    /// run.
    #[track_caller]
    fn check(&self, path: &str, content: &[u8]) {
        self.check_bytes(path, content);
        self.git(&["diff", "--exit-code", "--stat"]);
        assert_eq!(self.world.sandbox.filter_runs(), [""; 0], "the filter ran");
    }

    #[track_caller]
    fn check_bytes(&self, path: &str, content: &[u8]) {
        assert!(self.read(path) == content, "{path}: the work tree");
        let oid = oid_of(content);
        assert_eq!(self.git(&["cat-file", "blob", &format!(":{path}")]), pointer(&oid, content.len() as u64));
        assert!(fs::read(self.object(&oid)).unwrap() == content, "{path}: the object");
        let refs = self.git(&["for-each-ref"]);
        assert!(!refs.contains("st-convert"), "{refs}");
    }

    fn object(&self, oid: &str) -> PathBuf {
        self.dir.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid)
    }

    /// Returns everything that must stay unchanged if nothing is taken: working tree, index, branches. (Objects may be
    /// added.)
    fn state(&self) -> String {
        let files = self.git(&["ls-files", "-s", "-o"]);
        let contents: Vec<_> = files
            .lines()
            .map(|line| line.rsplit('\t').next().unwrap_or_default())
            .map(|path| {
                format!(
                    "{path} {}\n",
                    fs::read(self.dir.join(path)).map_or("-".into(), |bytes| oid_of(&bytes))
                )
            })
            .collect();
        let refs = self.git(&["for-each-ref", "--format=%(objectname) %(refname)"]);
        format!("{files}{}{refs}{}", contents.concat(), self.status())
    }
}

/// Returns the output without the messages of git and of servers, which differ between releases.
fn shown(output: &Output) -> String {
    let lines =
        output.stderr.lines().filter(|line| !line.starts_with("  caused") && !line.starts_with("      "));
    lines.fold(String::new(), |shown, line| shown + line + "\n")
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}
