//! Tests an LFS server of other authors: giftless, from its package, if a Python has it.
//!
//! `.ci/run` creates that Python and sets `GIFTLESS_PYTHON`; nothing is downloaded here.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use git_st_convert::remote::{Config, Error, Object, Settings};

use super::{World, bytes, stream};
use crate::sandbox::Sandbox;

/// A running server, which ends when this is dropped.
struct Giftless {
    process: Child,
    url: String,
}

impl Drop for Giftless {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Giftless {
    /// Starts it; without such a Python it reports that and returns `None`.
    #[expect(clippy::disallowed_methods, reason = "tests run the reference programs")]
    fn start(dir: &Path) -> Option<Self> {
        let skipped = |why: &str| {
            use std::io::Write as _;
            let _nobody_reads = std::io::stderr().write_all(format!("skipped: giftless: {why}\n").as_bytes());
        };
        let Some(python) = std::env::var_os("GIFTLESS_PYTHON") else {
            skipped("GIFTLESS_PYTHON names no Python that has it; .ci/run makes one");
            return None;
        };
        let config = "AUTH_PROVIDERS:\n  - giftless.auth.allow_anon:read_write\nTRANSFER_ADAPTERS:\n  basic:\n    \
             factory: giftless.transfer.basic_streaming:factory\n    options:\n      \
             storage_class: giftless.storage.local_storage:LocalStorage\n      storage_options:\n        path: objects\n";
        fs::write(dir.join("giftless.yaml"), config).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = format!("127.0.0.1:{port}");
        let process = Command::new(python)
            .args(["-m", "gunicorn", "--log-level", "error", "-b", &at, "giftless.wsgi_entrypoint:app"])
            .env("GIFTLESS_CONFIG_FILE", dir.join("giftless.yaml"))
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, url: format!("http://{at}/acme/bert.git/info/lfs") };
        for _ in 0..600 {
            if TcpStream::connect(&at).is_ok() {
                return Some(server);
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("giftless does not listen at {at}");
    }
}

/// Creates a repository with this file under LFS, which git-lfs pushes to the server.
fn push(sandbox: &Sandbox, url: &str, content: &[u8]) {
    let bare = sandbox.path("bare.git");
    sandbox.git(&sandbox.path("home"), &["init", "-q", "--bare", bare.to_str().unwrap()]);
    let dir = sandbox.path("pushed");
    sandbox.git(&sandbox.path("home"), &["init", "-q", dir.to_str().unwrap()]);
    sandbox.git(&dir, &["lfs", "install", "--local"]);
    sandbox.git(&dir, &["lfs", "track", "*.bin"]);
    sandbox.git(&dir, &["config", "lfs.url", url]);
    sandbox.git(&dir, &["remote", "add", "origin", bare.to_str().unwrap()]);
    fs::write(dir.join("m.bin"), content).unwrap();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-q", "-m", "one"]);
    sandbox.git(&dir, &["push", "-q", "origin", "main"]);
}

#[test]
fn giftless_gives_what_git_lfs_pushed() {
    // The content is longer than one chunk: the server does not support ranges, and responds by 200.
    let world = World::with_content(bytes(5_000_000));
    if !world.sandbox.git_lfs_available() {
        return;
    }
    let Some(server) = Giftless::start(world.sandbox.path("home").as_path()) else { return };
    push(&world.sandbox, &server.url, &world.content);
    let settings = || {
        let config = Config::new([
            ("lfs.url", server.url.as_str()),
            ("remote.origin.url", "https://unused.example/x"),
        ]);
        Settings { config, ..Settings::default() }
    };
    assert!(world.stream(settings()).unwrap() == world.content);
    assert!(fs::read(world.download(settings()).unwrap()).unwrap() == world.content);
    let ranged = world.ask(settings(), &[], |server, _| {
        Object::new(server, world.pointer).ranged().map(|ranged| ranged.is_some())
    });
    assert!(!ranged.unwrap().unwrap(), "giftless serves no ranges");
    let absent = git_st_convert::lfs::Pointer { oid: git_st_convert::hash::Oid::of(b"absent"), size: 6 };
    let err = world.ask(settings(), &[], |server, _| stream(&Object::new(server, absent)).unwrap_err());
    let err = err.unwrap();
    assert!(matches!(err, Error::Object { .. } | Error::NotFound { .. }), "{err}");
}
