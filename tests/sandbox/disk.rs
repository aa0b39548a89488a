//! [`Disk`] is a small file system, for tests of a disk that is full.

use std::fs;
use std::path::{Path, PathBuf};

use super::Sandbox;

/// A small file system, which is unmounted when this is dropped.
pub(crate) struct Disk<'a> {
    sandbox: &'a Sandbox,
    pub(crate) dir: PathBuf,
}

impl<'a> Disk<'a> {
    /// Mounts one; `None` if this user cannot.
    pub(crate) fn new(sandbox: &'a Sandbox, size: &str) -> Option<Self> {
        let dir = sandbox.path("disk");
        fs::create_dir(&dir).unwrap();
        let mut mount = sandbox.command("mount".as_ref(), &dir, &[]);
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&dir);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self { sandbox, dir })
    }

    /// Copies a repository to this disk, and returns its new path.
    pub(crate) fn copy(&self, repo: &Path) -> PathBuf {
        let to = self.dir.join("model");
        let args = ["-a".as_ref(), repo.as_os_str(), to.as_os_str()];
        self.sandbox.run("cp".as_ref(), &self.dir, &args).ok();
        self.sandbox.git(&to, &["update-index", "-q", "--refresh"]);
        to
    }

    /// Fills the disk except for this many KiB.
    pub(crate) fn fill(&self, free: u64) {
        let args = ["--output=avail", "-k", "."].map(AsRef::as_ref);
        let df = self.sandbox.run("df".as_ref(), &self.dir, &args).ok();
        let available: u64 = df.lines().last().unwrap().trim().parse().unwrap();
        let filler = vec![1; usize::try_from(available.saturating_sub(free) * 1024).unwrap()];
        match fs::write(self.dir.join("filler"), filler) {
            // A program that writes at the same time took the rest.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => (),
            done => done.unwrap(),
        }
    }

    /// Frees what [`Disk::fill`] took.
    pub(crate) fn free(&self) {
        fs::remove_file(self.dir.join("filler")).unwrap();
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let args = ["-l".as_ref(), self.dir.as_os_str()];
        let _gone_with_its_namespace = self.sandbox.run("umount".as_ref(), Path::new("/"), &args);
    }
}
