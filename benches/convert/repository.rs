//! Creates a repository with one checkpoint behind a Git LFS pointer, as `git lfs fetch` leaves it, so that its object
//! ID is checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use git_st_convert::hash::Hasher;
use git_st_convert::lfs::Pointer;

use crate::checkpoint::{self, Shape};

pub(crate) struct Repository {
    dir: PathBuf,
    pointer: Pointer,
}

impl Repository {
    pub(crate) fn new(dir: &Path, shape: &Shape) -> Self {
        fs::create_dir_all(dir.join("work")).unwrap();
        let made = dir.join("made");
        checkpoint::write(shape, &made).unwrap();
        let repository = Self { dir: dir.to_owned(), pointer: pointer_of(&made) };
        let object = repository.object();
        repository.git(&["init", "-q"]);
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::rename(made, object).unwrap();
        let attributes =
            "*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n";
        fs::write(repository.work().join(".gitattributes"), attributes).unwrap();
        fs::write(repository.work().join("pytorch_model.bin"), repository.pointer.to_string()).unwrap();
        repository.git(&["add", "."]);
        repository.git(&[
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@example.com",
            "commit",
            "-qm",
            "checkpoint",
        ]);
        repository
    }

    fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    fn objects(&self) -> PathBuf {
        self.work().join(".git/lfs/objects")
    }

    /// Returns the path of the checkpoint in LFS storage.
    pub(crate) fn object(&self) -> PathBuf {
        let oid = self.pointer.oid.to_string();
        self.objects().join(&oid[..2]).join(&oid[2..4]).join(&oid)
    }

    /// Returns the path of a file next to the repository.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns a program in the working tree, without the configuration of the machine.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.work()).env("HOME", &self.dir).env("XDG_CONFIG_HOME", &self.dir);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    }

    /// Returns `git add` of the converted file, through git-lfs.
    pub(crate) fn add_with_lfs(&self) -> Command {
        let mut command = self.command(Path::new("git"));
        command.args(["-c", "filter.lfs.process=git-lfs filter-process", "-c", "filter.lfs.required=true"]);
        command.args(["add", "model.safetensors"]);
        command
    }

    fn git(&self, args: &[&str]) {
        let status = self.command(Path::new("git")).args(args).stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "git {args:?}");
    }

    /// Returns `true` if the program exists.
    pub(crate) fn has(&self, program: &str) -> bool {
        let mut probe = self.command(Path::new(program));
        let probe = probe.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok()
    }

    /// Removes the result of a conversion: the file, its object, its entry in the index.
    pub(crate) fn reset(&self) {
        fs::remove_file(self.work().join("model.safetensors")).unwrap();
        let source = self.object();
        for file in files(&self.objects()).into_iter().filter(|file| *file != source) {
            fs::remove_file(file).unwrap();
        }
        self.git(&["read-tree", "HEAD"]);
    }

    pub(crate) fn remove(self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn pointer_of(path: &Path) -> Pointer {
    let mut file = fs::File::open(path).unwrap();
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).unwrap();
        if read == 0 {
            let (oid, size) = hasher.finish();
            return Pointer { oid, size };
        }
        hasher.update(&buffer[..read]);
    }
}
