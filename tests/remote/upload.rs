//! Tests uploads: in one piece and in parts, with logins, redirects, refusals and faults.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;
use git_st_convert::remote::{Error, Settings, Uploaded};
use serde_json::json;

use super::{ID, World, bytes, everything};
use crate::hub::{Expiry, Fault, Place, Right, Signing, To};

/// The change that a test makes to the header of an action.
static CHANGE: Mutex<Option<fn(&mut serde_json::Value)>> = Mutex::new(None);

/// A world with an object that the hub does not have.
struct Sender {
    world: World,
    content: Vec<u8>,
    pointer: Pointer,
    file: PathBuf,
    /// The reported progress.
    told: Mutex<Vec<u64>>,
}

impl Sender {
    fn new() -> Self {
        Self::of(bytes(3_000_001))
    }

    fn of(content: Vec<u8>) -> Self {
        let world = World::with_content(bytes(1000));
        let file = world.sandbox.path("object");
        fs::write(&file, &content).unwrap();
        let pointer = Pointer { oid: Oid::of(&content), size: content.len() as u64 };
        Self { world, content, pointer, file, told: Mutex::default() }
    }

    fn oid(&self) -> String {
        self.pointer.oid.to_string()
    }

    fn send(&self, settings: Settings) -> Result<Uploaded, Error> {
        self.told.lock().unwrap().clear();
        let tell = |sent| self.told.lock().unwrap().push(sent);
        self.world.ask_for("refs/pr/1", settings, &[], |server, _| {
            let plan = server.plan_upload(&[self.pointer])?.pop().unwrap()?;
            server.upload(self.pointer, plan, &self.file, &tell)
        })?
    }

    /// Uploads it with the token, and checks that it arrives.
    #[track_caller]
    fn sent(&self) {
        assert_eq!(self.send(self.world.with_token(&[])).unwrap(), Uploaded::Sent);
        self.check();
    }

    #[track_caller]
    fn check(&self) {
        assert!(fs::read(self.world.hub.object(ID, &self.oid())).unwrap() == self.content);
        assert_eq!(self.told.lock().unwrap().last(), Some(&self.pointer.size));
    }

    /// Removes the object and all faults from the hub.
    fn again(&self) {
        self.world.reset();
        for entry in fs::read_dir(self.world.hub.object(ID, "x").parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with(&self.oid()) {
                fs::remove_file(path).unwrap();
            }
        }
    }

    fn puts(&self) -> usize {
        self.world.hub.requests().iter().filter(|seen| seen.method == "PUT").count()
    }

    #[track_caller]
    fn fails(&self) -> Error {
        let error = self.send(self.world.with_token(&[])).unwrap_err();
        assert!(!everything(&error).contains(super::TOKEN), "{error:?}");
        assert!(!self.world.hub.object(ID, &self.oid()).exists());
        error
    }
}

#[test]
fn an_object_is_sent_once_verified_and_then_known() {
    let sender = Sender::new();
    for (signing, expiry) in
        [(Signing::Query, Expiry::In), (Signing::Header, Expiry::At), (Signing::Query, Expiry::Unsaid)]
    {
        sender.again();
        sender.world.hub.sign(signing);
        sender.world.hub.say_expiry(expiry);
        sender.sent();
        let seen = sender.world.hub.requests();
        let [batch, put, verify] = seen.as_slice() else { panic!("{seen:#?}") };
        let asked: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
        let expected = json!({
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "ref": {"name": "refs/pr/1"},
            "objects": [{"oid": sender.oid(), "size": sender.pointer.size}],
            "hash_algo": "sha256",
        });
        assert_eq!(asked, expected);
        assert_eq!(
            (put.method.as_str(), put.header("Content-Type")),
            ("PUT", Some("application/octet-stream"))
        );
        assert_eq!(put.header("Content-Length"), Some("3000001"));
        assert_eq!((put.header("Transfer-Encoding"), put.header("Expect")), (None, Some("100-continue")));
        assert!(put.header("Authorization").is_none() && put.origin != batch.origin);
        assert_eq!(verify.method, "POST");
        let verified: serde_json::Value = serde_json::from_slice(&verify.body).unwrap();
        assert_eq!(verified, json!({"oid": sender.oid(), "size": sender.pointer.size}));
        assert_eq!(sender.send(sender.world.with_token(&[])).unwrap(), Uploaded::There);
        assert_eq!(sender.puts(), 1);
    }
    let small = Sender::of(b"abc".to_vec());
    small.sent();
    assert_eq!(small.world.hub.requests()[1].header("Expect"), None);
}

#[test]
fn a_long_object_is_sent_in_the_parts_that_the_hub_wants() {
    let sender = Sender::new();
    sender.world.hub.take_parts(Some(1 << 20));
    sender.sent();
    let seen = sender.world.hub.requests();
    let puts: Vec<_> = seen.iter().filter(|seen| seen.method == "PUT").collect();
    let lengths: Vec<_> = puts.iter().map(|seen| seen.header("Content-Length").unwrap()).collect();
    assert_eq!(lengths, ["1048576", "1048576", "902849"]);
    // The URLs are signed, so nothing else is sent with them.
    for put in &puts {
        let names = ["Authorization", "X-Hub-Signature", "chunk_size", "00001"];
        assert!(names.iter().all(|name| put.header(name).is_none()), "{put:#?}");
    }
    let complete = seen.iter().find(|seen| seen.path().starts_with("/complete/")).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&complete.body).unwrap();
    let numbers: Vec<_> = body["parts"].as_array().unwrap().iter().map(|part| &part["partNumber"]).collect();
    assert_eq!(
        (body["oid"].as_str().unwrap(), numbers),
        (sender.oid().as_str(), vec![&json!(1), &json!(2), &json!(3)])
    );
    assert!(seen.last().unwrap().path().starts_with("/verify/"));

    // Only the failed part is sent again.
    sender.again();
    let second = format!("/upload-part/{ID}/{}.00002", sender.oid());
    sender.world.hub.inject(Fault::Status(503).at(Place::path(&second)).times(2));
    sender.sent();
    assert_eq!(sender.puts(), 5);
    // The completion is also sent again.
    sender.again();
    let complete = format!("/complete/{ID}");
    sender.world.hub.inject(Fault::Status(500).at(Place::path(&complete)).times(1));
    sender.sent();
}

#[test]
fn parts_that_make_up_no_object_are_not_sent() {
    let sender = Sender::new();
    sender.world.hub.take_parts(Some(1 << 20));
    let changes: [fn(&mut serde_json::Value); 6] = [
        |header| drop(header.as_object_mut().unwrap().remove("00002")),
        |header| drop(header.as_object_mut().unwrap().remove("00003")),
        |header| header["00004"] = header["00003"].clone(),
        |header| header["chunk_size"] = json!("0"),
        |header| header["chunk_size"] = json!("many"),
        |header| drop(header.as_object_mut().unwrap().remove("chunk_size")),
    ];
    for change in changes {
        sender.again();
        *CHANGE.lock().unwrap() = Some(change);
        let edit = |answer: &mut serde_json::Value| {
            let change = CHANGE.lock().unwrap().unwrap();
            change(&mut answer["objects"][0]["actions"]["upload"]["header"]);
        };
        sender.world.hub.inject(Fault::Json(edit).at(Place::batch(ID)));
        let error = sender.fails();
        assert!(everything(&error).contains("upload parts do not add up to LFS object"), "{error:?}");
        assert_eq!(sender.puts(), 0);
    }
    sender.again();
    let foreign = |answer: &mut serde_json::Value| {
        answer["objects"][0]["actions"]["upload"]["header"]["00002"] = json!("file:///etc/passwd");
    };
    sender.world.hub.inject(Fault::Json(foreign).at(Place::batch(ID)));
    assert!(matches!(sender.fails(), Error::NotAllowed { .. }));
    sender.again();
    let xet = |answer: &mut serde_json::Value| {
        answer["transfer"] = json!("xet");
        answer["objects"][0]["actions"]["upload"]["href"] = json!("xet://h/o");
    };
    sender.world.hub.inject(Fault::Json(xet).at(Place::batch(ID)));
    assert!(everything(&sender.fails()).contains("unrequested transfer adapter"));
}

#[test]
fn what_a_server_says_beside_the_rules_of_the_batch_is_no_obstacle() {
    let sender = Sender::new();
    let changes: [fn(&mut serde_json::Value); 2] =
        [|answer| answer["transfer"] = json!("tus"), |answer| answer["objects"][0]["size"] = json!(0)];
    for change in changes {
        sender.again();
        sender.world.hub.inject(Fault::Json(change).at(Place::batch(ID)));
        sender.sent();
    }
}

#[test]
fn a_server_that_does_not_know_the_question_before_the_body_gets_it_without() {
    let sender = Sender::new();
    sender.world.hub.inject(Fault::Status(417).at(Place::upload(&sender.oid())).times(1));
    sender.sent();
    let seen = sender.world.hub.requests();
    let expects: Vec<_> =
        seen.iter().filter(|seen| seen.method == "PUT").map(|seen| seen.header("Expect")).collect();
    assert_eq!(expects, [Some("100-continue"), None]);
    sender.again();
    sender.world.hub.inject(Fault::Status(417).at(Place::upload(&sender.oid())));
    assert!(matches!(sender.fails(), Error::Status { status: 417, .. }));
    assert_eq!(sender.puts(), 2);
}

#[test]
fn what_fails_for_a_moment_is_tried_again_and_after_is_obeyed() {
    let sender = Sender::new();
    let upload = || Place::upload(&sender.oid());
    for fault in [Fault::Drop, Fault::Status(500), Fault::Status(503)] {
        sender.again();
        sender.world.hub.inject(fault.at(upload()).times(2));
        sender.sent();
        assert_eq!(sender.puts(), 3);
    }
    // If only the response was lost, the server has the object.
    sender.again();
    sender.world.hub.inject(Fault::Lose.at(upload()).times(1));
    assert_eq!(sender.send(sender.world.with_token(&[])).unwrap(), Uploaded::There);
    sender.check();
    assert_eq!(sender.puts(), 1);
    sender.again();
    sender.world.hub.inject(Fault::RetryAfter(429, 1).at(upload()).times(1));
    let begun = Instant::now();
    sender.sent();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // A permanent fault becomes an error in the end.
    sender.again();
    sender.world.hub.inject(Fault::Status(503).at(upload()));
    assert!(matches!(sender.fails(), Error::Status { status: 503, .. }));
    assert_eq!(sender.puts(), 4);
}

#[test]
fn an_action_that_is_over_or_refused_is_asked_for_once_more() {
    let sender = Sender::new();
    let batches = |sender: &Sender| {
        sender.world.hub.requests().iter().filter(|seen| seen.path().ends_with("batch")).count()
    };
    sender.world.hub.inject(Fault::Expired.at(Place::object(&sender.oid())).times(1));
    sender.sent();
    assert_eq!((batches(&sender), sender.puts()), (2, 1));
    sender.again();
    sender.world.hub.inject(Fault::Status(403).at(Place::upload(&sender.oid())).times(1));
    sender.sent();
    assert_eq!((batches(&sender), sender.puts()), (2, 2));
    sender.again();
    sender.world.hub.inject(Fault::Status(403).at(Place::upload(&sender.oid())));
    assert!(matches!(sender.fails(), Error::MayNotWrite { .. }));
    assert_eq!(sender.puts(), 2);
}

#[test]
fn every_refusal_is_an_error_that_says_which() {
    let sender = Sender::new();
    for (status, words) in [
        (404, "not found"),
        (409, "conflicting object"),
        (413, "too large"),
        (422, "rejected by the server"),
        (507, "no space left on the server"),
    ] {
        for place in [Place::upload(&sender.oid()), Place::batch(ID)] {
            sender.again();
            sender.world.hub.inject(Fault::Status(status).at(place));
            let text = everything(&sender.fails());
            assert!(text.contains(words) || status == 404 && text.contains("not found"), "{text}");
        }
        sender.again();
        sender.world.hub.inject(Fault::ObjectError(status).at(Place::object(&sender.oid())));
        assert!(matches!(sender.fails(), Error::NotTaken { code, .. } if code == i64::from(status)));
        assert_eq!(sender.puts(), 0);
    }
    sender.again();
    let alone = sender.send(sender.world.settings(&[])).unwrap_err();
    assert!(matches!(alone, Error::Unauthorized { rejected: None, .. }), "{alone:?}");
    sender.world.hub.add_token("hf_reader", "reader", Right::Read);
    let mut settings = sender.world.settings(&[]);
    settings.tokens.hf_token = Some(git_st_convert::remote::Secret::new("hf_reader"));
    let reader = sender.send(settings).unwrap_err();
    assert!(matches!(reader, Error::MayNotWrite { .. }), "{reader:?}");
    // The hub got other content than announced, and reports that.
    sender.again();
    let verify = format!("/verify/{ID}");
    sender.world.hub.inject(Fault::Status(422).at(Place::path(&verify)));
    let error = sender.send(sender.world.with_token(&[])).unwrap_err();
    assert!(matches!(error, Error::NotTaken { code: 422, .. }), "{error:?}");
}

#[test]
fn a_redirect_takes_the_body_along_and_no_login() {
    let sender = Sender::new();
    let other = sender.world.hub.open_origin();
    sender.world.hub.serve_content_from(&sender.world.hub.endpoint());
    for status in [301, 302, 307, 308] {
        sender.again();
        let to = To::Origin(other.clone());
        sender.world.hub.inject(Fault::Redirect(status, to).at(Place::upload(&sender.oid())).times(1));
        sender.sent();
        let seen = sender.world.hub.requests();
        assert!(seen.iter().any(|seen| seen.method == "PUT" && seen.origin == other), "{seen:#?}");
        assert!(seen.iter().all(|seen| seen.origin != other || !seen.carries(super::TOKEN)));
    }
}

#[test]
fn a_file_that_is_shorter_or_gone_is_not_sent() {
    let sender = Sender::new();
    fs::write(&sender.file, &sender.content[..2_000_000]).unwrap();
    assert!(matches!(sender.fails(), Error::Io { action: "read the object that is sent", .. }));
    fs::remove_file(&sender.file).unwrap();
    sender.again();
    assert!(matches!(sender.fails(), Error::Io { .. }));
}

#[test]
fn a_pull_request_whose_reference_is_refused_is_asked_for_without_it_once() {
    let sender = Sender::new();
    let place = || Place::batch(ID);
    sender.world.hub.inject(Fault::Status(403).at(place()).times(1));
    sender.sent();
    let seen = sender.world.hub.requests();
    let asked = seen.iter().rfind(|seen| seen.path().ends_with("/objects/batch")).unwrap();
    let asked: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    assert!(asked["ref"].is_null(), "{asked}");
    sender.world.hub.forget_requests();
    sender.world.hub.inject(Fault::Status(403).at(place()));
    let error = sender.send(sender.world.with_token(&[])).unwrap_err();
    assert!(matches!(error, Error::MayNotWrite { .. }), "{}", everything(&error));
    assert_eq!(sender.world.hub.requests().len(), 2);
}
