//! Tests objects behind a real sshd: `git-lfs-authenticate`, called by the program and by git-lfs.
#![expect(clippy::disallowed_methods, reason = "sshd, ssh-keygen and id are run")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;
use git_st_convert::remote::{Error, Settings, Uploaded};

use super::{ID, TOKEN, World, bytes};
use crate::hub::{Access, Right};

const READER: &str = "hf_OfSshThatReads";
const WRITER: &str = "hf_OfSshThatWrites";

/// A world whose remote is reached by ssh: each connection has its own sshd, which ssh itself starts.
pub(super) struct Desk {
    pub(super) world: World,
    /// The log of the server's arguments, one word per line.
    pub(super) log: PathBuf,
    content: Vec<u8>,
}

pub(super) fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

impl Desk {
    /// Creates it; `None` without sshd.
    pub(super) fn new() -> Option<Self> {
        let sshd = Path::new("/usr/sbin/sshd");
        // An sshd of root needs its directory; one of another user does not.
        if !sshd.exists() || is_root() && !Path::new("/run/sshd").exists() {
            // `.ci/run` reports a failed installation.
            return None;
        }
        let world = World::new();
        world.hub.set_access(ID, Access::Private);
        world.hub.add_token(READER, "reader", Right::Read);
        world.hub.add_token(WRITER, "writer", Right::Write);
        let dir = world.sandbox.path("sshd");
        fs::create_dir_all(dir.join("bin")).unwrap();
        for key in ["host", "user"] {
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.join(key))
                .status();
            assert!(made.unwrap().success());
        }
        let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        write(
            Path::new(&at("config")),
            &format!(
                "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\nSetEnv PATH={}:/usr/bin:/bin\n",
                at("host"),
                at("user.pub"),
                at("bin")
            ),
            0o600,
        );
        let desk = Self { log: dir.join("log"), content: bytes(70_001), world };
        desk.grants(READER, WRITER);
        let ssh = format!(
            "ssh -F none -i {} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o LogLevel=ERROR -o ProxyCommand='{} -i -f {}'",
            at("user"),
            sshd.display(),
            at("config")
        );
        desk.world.sandbox.git(&desk.world.repo, &["config", "core.sshCommand", &ssh]);
        desk.world.sandbox.git(&desk.world.repo, &["config", "lfs.sshtransfer", "never"]);
        Some(desk)
    }

    /// Lets the server grant these tokens for downloads and for uploads.
    fn grants(&self, download: &str, upload: &str) {
        let href = format!("{}.git/info/lfs", self.world.hub.url(ID));
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{}'\ncase $2 in download) token={download} ;; upload) token={upload} ;; esac\n\
             printf '{{\"href\": \"%s\", \"header\": {{\"Authorization\": \"Bearer %s\"}}}}' '{href}' \"$token\"\n",
            self.log.display()
        );
        write(&self.log.with_file_name("bin/git-lfs-authenticate"), &script, 0o755);
    }

    fn settings(&self, path: &str) -> Settings {
        self.settings_with(path, &[])
    }

    pub(super) fn settings_with(&self, path: &str, more: &[(&str, &str)]) -> Settings {
        let user = String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout);
        let url = format!("{}@localhost:{path}", user.unwrap().trim());
        let mut pairs = vec![("remote.origin.url", url.as_str())];
        pairs.extend(more);
        self.world.settings(&pairs)
    }

    fn pointer(&self) -> Pointer {
        Pointer { oid: Oid::of(&self.content), size: self.content.len() as u64 }
    }

    fn send(&self, settings: Settings) -> Result<Uploaded, Error> {
        let file = self.world.sandbox.path("object");
        fs::write(&file, &self.content).unwrap();
        self.world.ask_for("refs/heads/main", settings, &[], |server, _| {
            let plan = server.plan_upload(&[self.pointer()])?.pop().unwrap()?;
            server.upload(self.pointer(), plan, &file, &|_| ())
        })?
    }

    /// Returns the arguments of the server since the last call.
    pub(super) fn told(&self) -> String {
        let told = fs::read_to_string(&self.log).unwrap_or_default();
        drop(fs::remove_file(&self.log));
        told
    }
}

fn is_root() -> bool {
    String::from_utf8(std::process::Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim()
        == "0"
}

#[test]
fn what_is_sent_is_asked_for_as_an_upload_and_each_grant_is_kept_for_its_own() {
    let Some(desk) = Desk::new() else { return };
    assert_eq!(desk.world.stream(desk.settings("acme/bert.git")).unwrap(), desk.world.content);
    assert_eq!(desk.told(), "acme/bert.git\ndownload\n");
    assert_eq!(desk.send(desk.settings("acme/bert.git")).unwrap(), Uploaded::Sent);
    assert_eq!(desk.told(), "acme/bert.git\nupload\n");
    // Both happen in one run: the token for downloads is not used for an upload.
    desk.world.reset();
    let found = desk.world.ask_for("refs/heads/main", desk.settings("acme/bert.git"), &[], |server, _| {
        let read = server.locate(&[desk.world.pointer]).unwrap().pop().unwrap().is_ok();
        let there = server.plan_upload(&[desk.pointer()]).unwrap().pop().unwrap().is_ok();
        (read, there, server.locate(&[desk.world.pointer]).unwrap().len())
    });
    assert_eq!(found.unwrap(), (true, true, 1));
    assert_eq!(desk.told(), "acme/bert.git\ndownload\nacme/bert.git\nupload\n");
    let seen = desk.world.hub.requests();
    let carried: Vec<bool> = seen.iter().map(|seen| seen.carries(WRITER)).collect();
    assert_eq!(carried, [false, true, false]);
}

#[test]
fn a_path_reaches_the_server_as_it_is() {
    let Some(desk) = Desk::new() else { return };
    for path in ["acme/bert größe.git", "it's/$(id);x", "a|b&c !d"] {
        assert_eq!(desk.world.stream(desk.settings(path)).unwrap(), desk.world.content, "{path}");
        assert_eq!(desk.told(), format!("{path}\ndownload\n"));
    }
}

#[test]
fn a_grant_that_may_not_write_does_not_replace_a_token_that_may() {
    let Some(desk) = Desk::new() else { return };
    desk.grants(READER, READER);
    let error = desk.send(desk.settings("acme/bert.git")).unwrap_err();
    assert!(matches!(error, Error::MayNotWrite { .. }), "{error:?}");
    let mut settings = desk.settings("acme/bert.git");
    settings.tokens.hf_token = Some(git_st_convert::remote::Secret::new(TOKEN));
    assert_eq!(desk.send(settings).unwrap(), Uploaded::Sent);
    let lines = desk.world.lines.lock().unwrap().join("\n");
    assert!([READER, WRITER, TOKEN].iter().all(|secret| !lines.contains(secret)), "{lines}");
}

#[test]
fn git_lfs_tells_the_server_the_same() {
    let Some(desk) = Desk::new() else { return };
    let world = &desk.world;
    if !world.sandbox.git_lfs_available() {
        return;
    }
    desk.send(desk.settings("acme/bert.git")).unwrap();
    let ours = desk.told();
    let settings = desk.settings("acme/bert.git");
    world.sandbox.git(
        &world.repo,
        &["config", "remote.origin.url", settings.config.get("remote.origin.url").unwrap()],
    );
    let store = world.repo.join(".git/lfs/objects");
    let oid = Oid::of(b"other").to_string();
    let dir = store.join(&oid[..2]).join(&oid[2..4]);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(&oid), "other").unwrap();
    world.sandbox.git(&world.repo, &["lfs", "push", "--object-id", "origin", &oid]);
    assert_eq!(desk.told(), ours);
}
