//! Tests custom transfer agents: a program of the user transfers objects, as for git-lfs; its allowed messages and
//! files; and the facts that it must not get.
#![expect(clippy::disallowed_methods, reason = "looks for the interpreter of the agent")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use git_st_convert::hash::Oid;
use git_st_convert::lfs::{Pointer, Sharing, Store};
use git_st_convert::remote::{AgentFault, Error, Object, Settings, Uploaded, to_store};
use serde_json::{Value, json};

use super::{ID, World, bytes, everything, stream};
use crate::hub::Right;

/// The header of an action that a server gives to an agent.
const SECRET: &str = "pw-for-the-agent-alone";

/// A world with an agent whose server is a directory.
pub(super) struct Desk {
    pub(super) world: World,
    /// The directory of its server.
    pub(super) at: PathBuf,
    pub(super) content: Vec<u8>,
}

type Pairs = Vec<(String, String)>;
type IsRight = fn(&AgentFault) -> bool;

impl Desk {
    /// Creates it; without Python it reports that and returns `None`.
    pub(super) fn new() -> Option<Self> {
        let python = std::process::Command::new("python3").arg("-c").arg("pass").status();
        if !python.is_ok_and(|status| status.success()) {
            crate::clone::skipped("the transfer agent of the tests needs python3");
            return None;
        }
        let world = World::with_content(bytes(1000));
        let (at, content) = (world.sandbox.path("agent's store"), bytes(450_001));
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join(Oid::of(&content).to_string()), &content).unwrap();
        Some(Self { world, at, content })
    }

    pub(super) fn pointer(&self) -> Pointer {
        Pointer { oid: Oid::of(&self.content), size: self.content.len() as u64 }
    }

    /// Returns the settings for an agent of this name, in a mode.
    pub(super) fn agent(&self, name: &str, mode: &str) -> Pairs {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/remote/agent.py");
        let quoted = |path: &Path| format!("'{}'", path.to_str().unwrap().replace('\'', r"'\''"));
        vec![
            (format!("lfs.customtransfer.{name}.path"), "python3".to_owned()),
            (
                format!("lfs.customtransfer.{name}.args"),
                format!("{} {} {mode}", quoted(&script), quoted(&self.at)),
            ),
        ]
    }

    /// Returns the settings for an agent that needs no server.
    pub(super) fn alone(&self, mode: &str) -> Pairs {
        let mut pairs = self.agent("dir", mode);
        pairs.push(("lfs.standalonetransferagent".to_owned(), "dir".to_owned()));
        pairs
    }

    pub(super) fn settings(&self, pairs: &Pairs) -> Settings {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.world.with_token(&pairs)
    }

    pub(super) fn download(&self, settings: Settings, tell: &dyn Fn(u64)) -> Result<PathBuf, Error> {
        let store = self.store();
        self.world
            .ask(settings, &[], |server, _| to_store(&Object::new(server, self.pointer()), &store, tell))?
    }

    pub(super) fn store(&self) -> Store {
        Store::new(self.world.repo.join(".git/lfs"), Sharing::Umask, Vec::new())
    }

    pub(super) fn send(&self, settings: Settings, content: &[u8]) -> Result<Uploaded, Error> {
        let file = self.world.sandbox.path("object");
        fs::write(&file, content).unwrap();
        let pointer = Pointer { oid: Oid::of(content), size: content.len() as u64 };
        self.world.ask(settings, &[], |server, _| {
            let plan = server.plan_upload(&[pointer])?.pop().unwrap()?;
            server.upload(pointer, plan, &file, &|_| ())
        })?
    }

    /// Returns the messages to the agent since the last call, without the values that change from run to run.
    pub(super) fn told(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.at.join("log")).unwrap_or_default();
        drop(fs::remove_file(self.at.join("log")));
        let lines = log.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            if let Some(path) = line.get_mut("path") {
                assert!(Path::new(path.as_str().unwrap()).is_absolute(), "{path}");
                *path = json!("PATH");
            }
            line
        });
        lines.collect()
    }

    /// Checks that every started agent has ended.
    #[track_caller]
    fn all_ended(&self) {
        let pids = fs::read_to_string(self.at.join("pids")).unwrap_or_default();
        for pid in pids.lines() {
            let line = || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let since = Instant::now();
            // The agent gets a signal, but the program waits only for its shell.
            while line().contains("agent.py") {
                assert!(since.elapsed() < Duration::from_secs(20), "{pid} runs: {}", line());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Returns the files in LFS storage and in the agent's directory of files.
    fn left(&self) -> Vec<PathBuf> {
        let mut left = super::files(self.store().dir());
        left.extend(super::files(&self.at.join("tmp")));
        left
    }
}

fn agent_fault(error: &Error) -> &AgentFault {
    match error {
        Error::Agent { name, source } => {
            assert!(["dir", "peer"].contains(&name.as_str()), "{name}");
            source
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn an_agent_of_its_own_brings_and_sends_without_a_server() {
    let Some(desk) = Desk::new() else { return };
    let told = Mutex::new(Vec::new());
    let settings = || desk.settings(&desk.alone(""));
    let path = desk.download(settings(), &|here| told.lock().unwrap().push(here)).unwrap();
    assert!(fs::read(&path).unwrap() == desk.content);
    assert_eq!(*told.lock().unwrap(), [0, 100_000, 200_000, 300_000, 400_000, 450_001, 450_001]);
    let oid = desk.pointer().oid.to_string();
    let init = |operation: &str| json!({"event": "init", "operation": operation, "remote": "origin", "concurrent": true, "concurrenttransfers": 8});
    let asked = json!({"event": "download", "oid": oid, "size": 450_001, "action": null});
    assert_eq!(desk.told(), [init("download"), asked, json!({"event": "terminate"})]);
    // The file of the agent is moved, as by git-lfs.
    assert_eq!(desk.left(), [path]);
    // A stream needs no LFS storage.
    let got = desk.world.ask(settings(), &[], |server, _| {
        assert!(Object::new(server, desk.pointer()).ranged().unwrap().is_none());
        stream(&Object::new(server, desk.pointer()))
    });
    assert!(got.unwrap().unwrap() == desk.content);
    desk.told();
    let more = bytes(250_000);
    assert_eq!(desk.send(settings(), &more).unwrap(), Uploaded::Sent);
    let sent = json!({"event": "upload", "oid": Oid::of(&more).to_string(), "size": 250_000, "path": "PATH", "action": null});
    assert_eq!(desk.told(), [init("upload"), sent, json!({"event": "terminate"})]);
    assert!(fs::read(desk.at.join(Oid::of(&more).to_string())).unwrap() == more);
    assert_eq!(desk.world.hub.requests().len(), 0, "no server is asked");
    let environment = fs::read_to_string(desk.at.join("environment")).unwrap();
    assert!(!environment.contains(super::TOKEN), "nor does the agent get its token: {environment}");
    desk.all_ended();
}

#[test]
fn an_agent_may_write_where_the_object_belongs() {
    let Some(desk) = Desk::new() else { return };
    let path = desk.download(desk.settings(&desk.alone("place")), &|_| ()).unwrap();
    assert!(fs::read(&path).unwrap() == desk.content);
    assert_eq!(desk.left(), [path]);
}

#[test]
fn what_an_agent_may_not_bring() {
    let Some(desk) = Desk::new() else { return };
    for mode in ["nowhere", "absent", "link", "pipe", "directory", "wrong", "short"] {
        drop(fs::remove_dir_all(desk.at.join("tmp")));
        let error = desk.download(desk.settings(&desk.alone(mode)), &|_| ()).unwrap_err();
        let is_right = match (mode, &error) {
            ("wrong", Error::WrongDigest { .. })
            | ("short", Error::WrongSize { expected: 450_001, got: 450_000, .. }) => true,
            ("nowhere", error) => matches!(agent_fault(error), AgentFault::NoFile),
            (_, error) => matches!(agent_fault(error), AgentFault::File(_)),
        };
        assert!(is_right, "{mode}: {error:?}");
        let parts = super::files(desk.store().dir());
        assert!(parts.iter().all(|path| fs::metadata(path).unwrap().len() == 0), "{mode}: {parts:?}");
        desk.all_ended();
    }
    // The object still exists, although a link led to it.
    assert!(desk.at.join(desk.pointer().oid.to_string()).exists());
}

#[test]
fn what_an_agent_may_not_say() {
    let Some(desk) = Desk::new() else { return };
    let fault = |mode: &str| {
        let mut settings = desk.settings(&desk.alone(mode));
        // An agent may be silent twenty times as long as a server.
        settings.timeout = Some(Duration::from_millis(75));
        let since = Instant::now();
        let error = desk.download(settings, &|_| ()).unwrap_err();
        assert!(since.elapsed() < Duration::from_secs(60), "{mode}");
        desk.all_ended();
        (everything(&error), error)
    };
    let cases: [(&str, IsRight); 11] = [
        ("long", |fault| matches!(fault, AgentFault::LongLine(65_536))),
        ("garbage", |fault| matches!(fault, AgentFault::Json(_))),
        ("unknown", |fault| matches!(fault, AgentFault::Event(event) if event == "dance")),
        ("other", |fault| matches!(fault, AgentFault::OtherObject)),
        ("silent", |fault| matches!(fault, AgentFault::Silent(_))),
        ("busy", |fault| matches!(fault, AgentFault::Silent(_))),
        ("error", |fault| matches!(fault, AgentFault::Said { code: 404, said: Some(_) })),
        ("exit", |fault| matches!(fault, AgentFault::Ended(Some(said)) if said.0 == "the last words:")),
        ("panic", |fault| matches!(fault, AgentFault::Ended(Some(said)) if said.0 == "no key")),
        ("killed", |fault| matches!(fault, AgentFault::Ended(Some(said)) if said.0.starts_with("signal: 9"))),
        (
            "refuse",
            |fault| matches!(fault, AgentFault::Said { code: 32, said: Some(said) } if said.0 == "not today"),
        ),
    ];
    for (mode, is_right) in cases {
        let (text, error) = fault(mode);
        assert!(is_right(agent_fault(&error)), "{mode}: {text}");
    }
    // Python is slow for a million messages, so either limit may apply first.
    let (text, error) = fault("flood");
    assert!(matches!(agent_fault(&error), AgentFault::TooMany(_) | AgentFault::Silent(_)), "{text}");
}

#[test]
fn one_that_is_not_there_or_does_something_else() {
    let Some(desk) = Desk::new() else { return };
    let error = |pairs: Pairs| desk.download(desk.settings(&pairs), &|_| ()).unwrap_err();
    let one = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let none = error(vec![one("lfs.standalonetransferagent", "nobody")]);
    assert!(matches!(&none, Error::NoAgent { name, .. } if name == "nobody"), "{none:?}");
    let mut pairs = desk.alone("");
    pairs.push(one("lfs.customtransfer.dir.direction", "upload"));
    let upload = error(pairs.clone());
    assert!(matches!(&upload, Error::NoAgent { operation, .. } if operation == "download"), "{upload:?}");
    assert_eq!(desk.send(desk.settings(&pairs), b"abc").unwrap(), Uploaded::Sent);
    let mut pairs = desk.alone("");
    pairs.push(one("lfs.customtransfer.dir.path", "/nowhere/at all"));
    let missing = error(pairs);
    assert!(matches!(agent_fault(&missing), AgentFault::Ended(Some(_))), "{missing:?}");
    let mut settings = desk.settings(&desk.alone(""));
    settings.offline = true;
    let offline = desk.download(settings, &|_| ()).unwrap_err();
    assert!(matches!(agent_fault(&offline), AgentFault::Offline), "{offline:?}");
}

#[test]
fn an_address_that_nobody_else_knows_is_for_its_agent() {
    let Some(desk) = Desk::new() else { return };
    let one = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    for address in ["s3://bucket/path", "dir"] {
        let mut pairs = desk.alone("");
        pairs.push(one("lfs.url", address));
        assert!(desk.download(desk.settings(&pairs), &|_| ()).is_ok(), "{address}");
        drop(fs::remove_dir_all(desk.store().dir()));
    }
    // The agent is set for one URL only.
    let mut pairs = desk.agent("dir", "");
    pairs.push(one("lfs.url", "s3://bucket/path"));
    pairs.push(one("lfs.s3://bucket.standalonetransferagent", "dir"));
    assert!(desk.download(desk.settings(&pairs), &|_| ()).is_ok());
    pairs.push(one("lfs.url", "s3://other/path"));
    drop(fs::remove_dir_all(desk.store().dir()));
    let error = desk.download(desk.settings(&pairs), &|_| ()).unwrap_err();
    assert!(matches!(error, Error::EndpointScheme { .. }), "{error:?}");
}

#[test]
fn a_repository_starts_no_agent() {
    let Some(desk) = Desk::new() else { return };
    let pairs = desk.alone("");
    let theirs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let got = desk.world.ask(desk.settings(&Pairs::new()), &theirs, |server, _| {
        stream(&Object::new(server, desk.world.pointer)).unwrap() == desk.world.content
    });
    assert!(got.unwrap());
    assert_eq!(desk.told(), Vec::<Value>::new());
}

#[test]
fn a_server_chooses_among_the_agents_that_are_set_up() {
    let Some(mut desk) = Desk::new() else { return };
    // The agent and the hub share one storage, so the hub has what the agent received.
    desk.at = desk.world.hub.object(ID, "x").parent().unwrap().to_owned();
    let world = &desk.world;
    let names = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["transfers"].clone();
    // For a transfer that the program does itself, an agent of the same name is not used.
    let mut pairs = desk.agent("peer", "");
    pairs.extend(desk.agent("multipart", "garbage"));
    world.hub.prefer_transfer(Some("peer"), SECRET);
    let sent = bytes(3000);
    assert_eq!(desk.send(desk.settings(&pairs), &sent).unwrap(), Uploaded::Sent);
    let seen = world.hub.requests();
    assert_eq!(names(&seen[0].body), json!(["basic", "multipart", "peer"]));
    // The upload is verified at the server, as any upload.
    assert_eq!(seen.iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["POST", "POST"]);
    let told = desk.told();
    assert_eq!(told[1]["action"]["header"]["X-Secret"], SECRET);
    assert!(told[1]["action"]["href"].as_str().unwrap().starts_with("peer://"), "{told:#?}");
    // This agent only downloads.
    pairs.retain(|(key, _)| !key.contains("multipart"));
    world.reset();
    assert!(world.stream(desk.settings(&pairs)).unwrap() == world.content);
    assert_eq!(names(&world.hub.requests()[0].body), json!(["basic", "peer"]));
    pairs.push(("lfs.customtransfer.peer.direction".to_owned(), "upload".to_owned()));
    world.reset();
    assert!(world.stream(desk.settings(&pairs)).unwrap() == world.content);
    assert_eq!(names(&world.hub.requests()[0].body), json!(["basic"]));
    desk.all_ended();
}

#[test]
fn what_an_agent_is_not_told_and_what_nobody_is_told_of_it() {
    let Some(desk) = Desk::new() else { return };
    let world = &desk.world;
    world.hub.add_token("hf_x", "owner", Right::Write);
    world.hub.prefer_transfer(Some("peer"), SECRET);
    for mode in ["error", "exit"] {
        let mut pairs = desk.agent("peer", mode);
        let args = pairs.pop().unwrap();
        pairs.push((args.0, format!("{} pw-in-the-arguments", args.1)));
        let error = desk.send(desk.settings(&pairs), b"something else").unwrap_err();
        let text = everything(&error);
        let said = text.contains("[redacted]") && (mode == "exit" || text.contains("no such object"));
        assert!(said && !text.contains(SECRET), "{text}");
        let shown = format!("{:?}{:?}", world.events.lock().unwrap(), world.lines.lock().unwrap());
        assert!(shown.contains("python3"), "{shown}");
        for secret in [SECRET, super::TOKEN, "pw-in-the-arguments"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
}
