//! Tests transfers over ssh itself (`git-lfs-transfer`): with a server of another author behind a real sshd, compared
//! with git-lfs, and with servers that violate the protocol.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;
use git_st_convert::remote::{Error, Object, Settings, Uploaded, to_store};

use super::peers::peer;
use super::ssh::{Desk, write};
use super::{World, bytes, everything, stream};

/// A repository that an sshd serves, with the server of the `scutiger-lfs` crate.
struct Server {
    desk: Desk,
    bare: PathBuf,
}

impl Server {
    /// Creates it; without sshd or the server it reports that and returns `None`.
    fn new() -> Option<Self> {
        Self::at("srv größe.git")
    }

    fn at(name: &str) -> Option<Self> {
        let (desk, program) = (Desk::new()?, peer("git-lfs-transfer")?);
        let bare = desk.world.sandbox.path(name);
        desk.world.sandbox.git(&desk.world.repo, &["init", "-q", "--bare", bare.to_str().unwrap()]);
        desk.world.sandbox.git(&desk.world.repo, &["config", "--unset", "lfs.sshtransfer"]);
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' transfer \"$@\" >>'{}'\nexec '{}' \"$@\"\n",
            desk.log.display(),
            program.display()
        );
        write(&desk.log.with_file_name("bin/git-lfs-transfer"), &script, 0o755);
        Some(Self { desk, bare })
    }

    fn settings(&self, more: &[(&str, &str)]) -> Settings {
        // A busy machine is slow.
        let timeout = Some(Duration::from_secs(20));
        Settings { timeout, ..self.desk.settings_with(self.bare.to_str().unwrap(), more) }
    }

    fn send(&self, content: &[u8], more: &[(&str, &str)]) -> Result<Uploaded, Error> {
        let file = self.desk.world.sandbox.path("object");
        fs::write(&file, content).unwrap();
        let pointer = pointer(content);
        self.desk.world.ask(self.settings(more), &[], |server, _| {
            let plan = server.plan_upload(&[pointer])?.pop().unwrap()?;
            server.upload(pointer, plan, &file, &|_| ())
        })?
    }

    fn object(&self, content: &[u8]) -> PathBuf {
        let oid = Oid::of(content).to_string();
        self.bare.join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid)
    }

    /// Returns the commands that sshd ran since the last call.
    fn told(&self) -> String {
        self.desk.told().replace(self.bare.to_str().unwrap(), "PATH")
    }
}

fn pointer(content: &[u8]) -> Pointer {
    Pointer { oid: Oid::of(content), size: content.len() as u64 }
}

#[test]
fn objects_go_over_ssh_both_ways() {
    let Some(server) = Server::new() else { return };
    let world = &server.desk.world;
    // This is more than a packet, a pipe and the buffers contain.
    let (content, other) = (bytes(5_000_001), bytes(3));
    assert_eq!(server.send(&content, &[]).unwrap(), Uploaded::Sent);
    assert_eq!(server.told(), "transfer\nPATH\nupload\n");
    assert!(fs::read(server.object(&content)).unwrap() == content);
    assert_eq!(server.send(&content, &[]).unwrap(), Uploaded::There);
    server.told();
    assert_eq!(server.send(&other, &[]).unwrap(), Uploaded::Sent);
    server.told();
    // All downloads use one connection.
    let got = world.ask(server.settings(&[]), &[], |lfs, _| {
        assert_eq!(lfs.locate(&[pointer(&content), pointer(&other)]).unwrap().len(), 2);
        assert!(Object::new(lfs, pointer(&content)).ranged().unwrap().is_none());
        let all = stream(&Object::new(lfs, pointer(&content)))?;
        let store = world.store();
        let path = to_store(&Object::new(lfs, pointer(&other)), &store, &|_| {})?;
        Ok::<_, Error>((all, fs::read(path).unwrap()))
    });
    assert!(got.unwrap().unwrap() == (content, other));
    assert_eq!(server.told(), "transfer\nPATH\ndownload\n");
    let absent = world
        .ask(server.settings(&[]), &[], |lfs, _| stream(&Object::new(lfs, pointer(b"absent"))).unwrap_err());
    assert!(matches!(absent.unwrap(), Error::Object { code: 404, .. }));
    assert_eq!(world.hub.requests().len(), 0, "nothing goes by http");
}

#[test]
fn a_damaged_object_is_not_taken() {
    let Some(server) = Server::new() else { return };
    let content = bytes(70_000);
    server.send(&content, &[]).unwrap();
    let object = server.object(&content);
    fs::remove_file(&object).unwrap();
    fs::write(&object, vec![0; content.len()]).unwrap();
    let world = &server.desk.world;
    let get = || {
        let store = world.store();
        let got = world.ask(server.settings(&[]), &[], |lfs, _| {
            to_store(&Object::new(lfs, pointer(&content)), &store, &|_| {})
        });
        got.unwrap()
    };
    assert!(matches!(get().unwrap_err(), Error::WrongDigest { .. }));
    fs::write(&object, vec![0; 69_999]).unwrap();
    assert!(matches!(get().unwrap_err(), Error::WrongSize { expected: 70_000, got: 69_999, .. }));
}

#[test]
fn what_is_configured_decides_as_for_git_lfs() {
    let Some(server) = Server::new() else { return };
    let content = bytes(1000);
    server.send(&content, &[]).unwrap();
    server.told();
    // With `never`, the objects are located by ssh and downloaded by http.
    server.desk.world.stream(server.settings(&[("lfs.sshtransfer", "never")])).unwrap();
    assert_eq!(server.told(), "PATH\ndownload\n");
    let url = format!("lfs.ssh://localhost{}.sshtransfer", server.bare.to_str().unwrap());
    server.desk.world.stream(server.settings(&[(&url, "never")])).unwrap();
    assert_eq!(server.told(), "PATH\ndownload\n");
    // A server without the program leads to the same, unless the setting excludes it.
    fs::remove_file(server.desk.log.with_file_name("bin/git-lfs-transfer")).unwrap();
    server.desk.world.stream(server.settings(&[])).unwrap();
    assert_eq!(server.told(), "PATH\ndownload\n");
    let error = server.desk.world.stream(server.settings(&[("lfs.sshtransfer", "always")])).unwrap_err();
    let text = everything(&error);
    assert!(text.contains("git-lfs-transfer") && text.contains("not found"), "{text}");
    assert_eq!(server.told(), "");
}

#[test]
fn git_lfs_asks_for_the_same() {
    // git-lfs 3.3 does not quote a path.
    let Some(server) = Server::at("srv.git") else { return };
    let world = &server.desk.world;
    if !world.sandbox.git_lfs_available() {
        return;
    }
    let (ours, theirs) = (bytes(2000), bytes(3000));
    server.send(&ours, &[]).unwrap();
    let told = server.told();
    let url = server.settings(&[]).config.get("remote.origin.url").unwrap().to_owned();
    world.sandbox.git(&world.repo, &["config", "remote.origin.url", &url]);
    let oid = Oid::of(&theirs).to_string();
    let dir = world.repo.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(&oid), &theirs).unwrap();
    world.sandbox.git(&world.repo, &["lfs", "push", "--object-id", "origin", &oid]);
    let by_git_lfs = server.told();
    assert!(by_git_lfs.starts_with(&told), "{by_git_lfs}");
    // Each downloads what the other uploaded.
    assert!(fs::read(server.object(&theirs)).unwrap() == theirs);
    let got = world.ask(server.settings(&[]), &[], |lfs, _| stream(&Object::new(lfs, pointer(&theirs))));
    assert!(got.unwrap().unwrap() == theirs);
}

/// A server that is a script in place of ssh.
struct Script {
    world: World,
    script: PathBuf,
}

/// Returns a packet for each line.
fn lines(lines: &[&str]) -> String {
    let line = |line: &&str| match *line {
        "" => "0000".to_owned(),
        "|" => "0001".to_owned(),
        line => format!("{:04x}{line}\\n", line.len() + 5),
    };
    lines.iter().map(line).collect()
}

impl Script {
    fn new() -> Self {
        let world = World::with_content(bytes(9));
        let script = world.sandbox.path("ssh");
        world.sandbox.git(&world.repo, &["config", "core.sshCommand", script.to_str().unwrap()]);
        world.sandbox.git(&world.repo, &["config", "ssh.variant", "simple"]);
        Self { world, script }
    }

    /// Starts correctly, knows the object, and continues with `rest`.
    fn serves(&self, rest: &str) {
        let oid = self.world.oid();
        let begin =
            lines(&["version=1", "", "status 200", "", "status 200", "|", &format!("{oid} 9 download"), ""]);
        self.says(&format!("printf '{begin}'; {rest}"));
    }

    fn says(&self, what: &str) {
        write_script(&self.script, &format!("#!/bin/sh\ncase $* in *transfer*) {what} ;; esac\n"));
    }

    fn get(&self, mode: &str) -> Result<Vec<u8>, Error> {
        self.get_within(mode, Duration::from_secs(5))
    }

    fn get_within(&self, mode: &str, timeout: Duration) -> Result<Vec<u8>, Error> {
        let pairs = [("remote.origin.url", "ssh://git@h.example/x.git"), ("lfs.sshtransfer", mode)];
        self.world.stream(Settings { timeout: Some(timeout), ..self.world.settings(&pairs) })
    }
}

fn write_script(path: &Path, text: &str) {
    write(path, text, 0o755);
}

#[test]
fn what_a_server_may_not_say() {
    let script = Script::new();
    let data = |bytes: &str| format!("printf '{:04x}{bytes}'", bytes.len() + 4);
    let whole =
        format!("printf '{}'; {}; printf 0000", lines(&["status 200", "size=9", "|"]), data("123456789"));
    script.serves(&whole);
    assert_eq!(script.get("always").unwrap(), b"123456789");
    for (what, rest) in [
        ("another size", format!("printf '{}'", lines(&["status 200", "size=8", "|"]))),
        ("more", format!("printf '{}'; {}", lines(&["status 200", "size=9", "|"]), data("1234567890"))),
        (
            "less",
            format!("printf '{}'; {}; printf 0000", lines(&["status 200", "size=9", "|"]), data("12345678")),
        ),
    ] {
        script.serves(&rest);
        let error = script.get("always").unwrap_err();
        assert!(matches!(error, Error::WrongSize { expected: 9, .. }), "{what}: {error:?}");
    }
    for (what, rest) in [
        ("no status", format!("printf '{}'", lines(&["size=9", "|"]))),
        ("no packet", "echo hello".to_owned()),
        (
            "two ends of the arguments",
            format!("printf '{}'; printf 0001", lines(&["status 200", "size=9", "|"])),
        ),
        ("lines without end", "while :; do printf '000fstatus 200\\n'; done".to_owned()),
    ] {
        script.serves(&rest);
        let since = Instant::now();
        let error = script.get("always").unwrap_err();
        assert!(matches!(error, Error::BadAnswer { .. }), "{what}: {error:?}");
        assert!(since.elapsed() < Duration::from_secs(20), "{what}");
    }
    // It ends before the request, so its last message counts.
    script
        .says(&format!("exec <&-; printf '{}'", lines(&["version=1", "", "status 403", "|", "not you", ""])));
    let error = script.get("always").unwrap_err();
    assert!(matches!(&error, Error::Forbidden { said: Some(said), .. } if said.0 == "not you"), "{error:?}");
    script.serves(&format!("printf '{}'", lines(&["status 500", "|", "on fire", ""])));
    let error = script.get("always").unwrap_err();
    let Error::Object { code: 500, said: Some(said), .. } = &error else { panic!("{error:?}") };
    assert_eq!(said.0, "on fire");
    // The response is about another object, or has another size.
    for (objects, is_right) in [
        (format!("{} 9 download", "0".repeat(64)), false),
        (format!("{} 8 download", script.world.oid()), true),
    ] {
        let begin = lines(&["version=1", "", "status 200", "", "status 200", "|", &objects, ""]);
        script.says(&format!("printf '{begin}'; sleep 1"));
        let error = script.get("always").unwrap_err();
        assert_eq!(matches!(error, Error::WrongSize { .. }), is_right, "{error:?}");
    }
}

#[test]
fn a_link_that_breaks_is_made_again_and_one_that_is_silent_is_not_waited_for() {
    let script = Script::new();
    let head = lines(&["status 200", "size=9", "|"]);
    let mark = script.world.sandbox.path("second");
    let open = lines(&["version=1", "", "status 200", ""]);
    let batch = lines(&["status 200", "|", &format!("{} 9 download", script.world.oid()), ""]);
    // The second connection does not locate the object. Each connection may end before the requests arrive.
    script.says(&format!(
        "if [ -e '{0}' ]; then printf '{open}{head}000d1234567890000'; else : >'{0}'; printf '{open}{batch}{head}000612'; fi",
        mark.display()
    ));
    assert_eq!(script.get("negotiate").unwrap(), b"123456789");
    assert!(mark.exists());
    let since = Instant::now();
    script.says("sleep 600");
    let error = script.get_within("always", Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert!(since.elapsed() < Duration::from_secs(60));
}
