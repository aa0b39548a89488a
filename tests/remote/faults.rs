//! Tests every fault of the hub: the download succeeds after a retry, or ends with one clear error; an object is never
//! incomplete.

use std::fs;

use git_st_convert::remote::{BadAnswer, Error};
use serde_json::Value;

use super::{ID, TOKEN, World, everything, files};
use crate::hub::{Access, Expiry, Fault, Injection, Place, Right, Signing, To};

/// The expected result of a download.
enum Outcome {
    Whole,
    Error(Is),
}

/// Returns `true` for the expected error.
type Is = fn(&Error) -> bool;

use Outcome::{Error as Fails, Whole};

fn check(world: &World, name: &str, faults: &[Injection], outcome: &Outcome) {
    for way in ["stream", "store"] {
        world.reset();
        faults.iter().cloned().for_each(|fault| world.hub.inject(fault));
        let settings = world.settings(&[]);
        let got = match way {
            "stream" => world.stream(settings),
            _ => world.download(settings).map(|path| fs::read(path).unwrap()),
        };
        match (outcome, got) {
            (Whole, Ok(bytes)) => assert!(bytes == world.content, "{name} {way}: other bytes"),
            (Fails(is), Err(err)) => {
                assert!(is(&err), "{name} {way}: {}", everything(&err));
                assert!(!world.store().path_of(world.pointer.oid).exists(), "{name} {way}");
            }
            // A stream leaves the hash to its reader.
            (Fails(is), Ok(bytes)) if way == "stream" && is_digest(*is) => assert_ne!(bytes, world.content),
            (_, got) => panic!("{name} {way}: {:?}", got.map(|bytes| bytes.len())),
        }
        let met = world.hub.requests().iter().any(|seen| !seen.faults.is_empty());
        assert!(met || faults.is_empty(), "{name} {way}: the fault was not met");
    }
}

fn is_digest(is: Is) -> bool {
    let oid = git_st_convert::hash::Oid::of(b"");
    is(&Error::WrongDigest { oid, got: oid })
}

#[test]
fn what_passes_ends_in_the_object() {
    let world = World::new();
    let oid = world.oid();
    let content = |fault: Fault| fault.at(Place::content(&oid));
    let batch = |fault: Fault| fault.at(Place::batch(ID));
    let other = world.hub.open_origin();
    let cases: Vec<(&str, Vec<Injection>)> = vec![
        ("no fault", vec![]),
        ("dropped", vec![content(Fault::Drop).times(2)]),
        ("cut", vec![content(Fault::Cut(1000)).times(3)]),
        ("cut before the first byte", vec![content(Fault::Cut(0)).times(1)]),
        ("stalled", vec![content(Fault::Stall(100_000)).times(1)]),
        ("500", vec![content(Fault::Status(500)).times(3)]),
        ("503 and when", vec![content(Fault::RetryAfter(503, 0)).times(1)]),
        ("429 and when", vec![content(Fault::RetryAfter(429, 0)).times(1)]),
        ("no ranges", vec![content(Fault::NoRanges)]),
        ("no ranges and cut", vec![content(Fault::NoRanges), content(Fault::Cut(200_000)).times(2)]),
        ("another range", vec![content(Fault::ContentRange("bytes 5-299999/300000".to_owned()))]),
        ("no range at all", vec![content(Fault::ContentRange("nonsense".to_owned())).times(1)]),
        ("said too long", vec![content(Fault::Length(1000)).times(1)]),
        ("said too short", vec![content(Fault::Length(-1000)).times(1)]),
        ("half", vec![content(Fault::Truncated).times(3)]),
        ("in chunks", vec![content(Fault::Chunked)]),
        ("in chunks and cut", vec![content(Fault::Chunked), content(Fault::Cut(100_000)).times(2)]),
        (
            "in chunks, no ranges, cut",
            vec![content(Fault::Chunked), content(Fault::NoRanges), content(Fault::Cut(250_000)).times(1)],
        ),
        (
            "no ranges after the first",
            vec![content(Fault::NoRanges).after(1), content(Fault::Cut(100_000)).times(1)],
        ),
        ("another tag each time", vec![content(Fault::Header("ETag", "\"x\"".to_owned())).times(1)]),
        ("expired", vec![Fault::Expired.at(Place::object(&oid)).times(1)]),
        ("403 of the storage", vec![content(Fault::Status(403)).times(1)]),
        ("401 of the storage", vec![content(Fault::Status(401)).times(1)]),
        ("redirected away", vec![content(Fault::Redirect(302, To::Origin(other.clone()))).times(1)]),
        ("redirected often", vec![content(Fault::Redirect(307, To::Itself)).times(8)]),
        ("slow", vec![content(Fault::Slow(1_000_000))]),
        ("batch dropped", vec![batch(Fault::Drop).times(1)]),
        ("batch 502", vec![batch(Fault::Status(502)).times(2)]),
        ("another transfer", vec![batch(Fault::Json(|answer| answer["transfer"] = "tus".into()))]),
        ("no size", vec![Fault::Size(0).at(Place::object(&oid))]),
        ("batch 429", vec![batch(Fault::RetryAfter(429, 0)).times(1)]),
        ("batch redirected away", vec![batch(Fault::Redirect(307, To::Origin(other))).times(1)]),
        ("batch redirected thrice", vec![batch(Fault::Redirect(308, To::Itself)).times(3)]),
    ];
    for (name, faults) in cases {
        check(&world, name, &faults, &Whole);
    }
}

#[test]
fn a_server_is_left_alone_for_as_long_as_it_says() {
    let world = World::new();
    for place in [Place::batch(ID), Place::content(&world.oid())] {
        world.reset();
        world.hub.inject(Fault::RetryAfter(429, 1).at(place).times(1));
        assert_eq!(world.stream(world.settings(&[])).unwrap(), world.content);
        let seen = world.hub.requests();
        let refused = seen.iter().position(|seen| seen.status == 429).unwrap();
        let pause = seen[refused + 1].at.saturating_sub(seen[refused].at);
        assert!(pause >= std::time::Duration::from_millis(950), "{pause:?}");
    }
}

/// Tests permanent faults, each with its expected error.
fn hopeless(world: &World, cases: Vec<(&str, Injection, Is)>) {
    for (name, fault, is) in cases {
        check(world, name, &[fault], &Fails(is));
        assert!(files(&world.sandbox.path("lfs/objects")).is_empty(), "{name}");
    }
}

#[test]
fn content_that_never_comes_is_one_clear_error() {
    let world = World::new();
    let oid = world.oid();
    let content = |fault: Fault| fault.at(Place::content(&oid));
    let to = |url: &str| Fault::Redirect(302, To::Url(url.to_owned()));
    hopeless(
        &world,
        vec![
            ("wrong byte", content(Fault::WrongByte(1000)), |e| matches!(e, Error::WrongDigest { .. })),
            ("cut", content(Fault::Cut(10)), |e| matches!(e, Error::Cut { .. })),
            ("dropped", content(Fault::Drop), |e| matches!(e, Error::Cut { .. })),
            ("500", content(Fault::Status(500)), |e| matches!(e, Error::Status { status: 500, .. })),
            ("429", content(Fault::RetryAfter(429, 0)), |e| matches!(e, Error::RateLimited { .. })),
            (
                "429 for an hour",
                content(Fault::RetryAfter(429, 3600)),
                |e| matches!(e, Error::RateLimited { after: Some(after), .. } if after.as_secs() == 3600),
            ),
            ("403", content(Fault::Status(403)), |e| matches!(e, Error::Forbidden { .. })),
            ("401", content(Fault::Status(401)), |e| matches!(e, Error::Unauthorized { .. })),
            ("404", content(Fault::Status(404)), |e| matches!(e, Error::NotFound { .. })),
            ("a page", content(Fault::Html), |e| matches!(e, Error::WrongSize { .. })),
            ("compressed", content(Fault::Header("Content-Encoding", "gzip".to_owned())), |e| {
                is_bad(e, |bad| matches!(bad, BadAnswer::Encoded))
            }),
            ("another size", content(Fault::ContentRange("bytes 0-299999/300001".to_owned())), |e| {
                matches!(e, Error::WrongSize { expected: 300_000, got: 300_001, .. })
            }),
            ("redirected for ever", content(Fault::Redirect(302, To::Itself)), |e| {
                matches!(e, Error::TooManyRedirects { limit: 8, .. })
            }),
            ("redirected to a file", content(to("file:///etc/passwd")), |e| {
                matches!(e, Error::NotAllowed { .. })
            }),
            ("redirected to a login", content(to("http://u:p@127.0.0.1/")), |e| {
                matches!(e, Error::NotAllowed { .. })
            }),
        ],
    );
}

#[test]
fn an_object_that_is_not_given_is_one_clear_error() {
    let world = World::new();
    let oid = world.oid();
    let object = |fault: Fault| fault.at(Place::object(&oid));
    let action = |change: fn(&mut Value)| Fault::Json(change).at(Place::batch(ID));
    hopeless(
        &world,
        vec![
            ("expired", object(Fault::Expired), |e| matches!(e, Error::Forbidden { .. })),
            ("lying size", object(Fault::Size(7)), |e| matches!(e, Error::WrongSize { got: 7, .. })),
            ("404", object(Fault::ObjectError(404)), |e| matches!(e, Error::Object { code: 404, .. })),
            ("410", object(Fault::ObjectError(410)), |e| matches!(e, Error::Object { code: 410, .. })),
            ("422", object(Fault::ObjectError(422)), |e| matches!(e, Error::Object { code: 422, .. })),
            ("no server", action(|v| href(v, "ftp://127.0.0.1/x")), |e| {
                matches!(e, Error::NotAllowed { .. })
            }),
            ("nobody", action(|v| href(v, "http://127.0.0.1:1/x")), |e| matches!(e, Error::Connect { .. })),
            ("no host", action(|v| href(v, "http://nobody.invalid/x")), |e| {
                matches!(e, Error::Resolve { .. })
            }),
        ],
    );
}

#[test]
fn a_batch_that_is_no_answer_is_one_clear_error() {
    let world = World::new();
    let batch = |fault: Fault| fault.at(Place::batch(ID));
    let json = |change: fn(&mut Value)| batch(Fault::Json(change));
    hopeless(
        &world,
        vec![
            ("404", batch(Fault::Status(404)), |e| matches!(e, Error::NotFound { .. })),
            ("403", batch(Fault::Status(403)), |e| matches!(e, Error::Forbidden { .. })),
            ("401", batch(Fault::Status(401)), |e| matches!(e, Error::Unauthorized { rejected: None, .. })),
            ("422", batch(Fault::Status(422)), |e| matches!(e, Error::Status { status: 422, .. })),
            ("500", batch(Fault::Status(500)), |e| matches!(e, Error::Status { status: 500, .. })),
            ("redirected for ever", batch(Fault::Redirect(307, To::Itself)), |e| {
                matches!(e, Error::TooManyRedirects { limit: 3, .. })
            }),
            ("a page", batch(Fault::Html), |e| is_bad(e, |bad| matches!(bad, BadAnswer::Json(_)))),
            ("half", batch(Fault::Truncated), |e| is_bad(e, |bad| matches!(bad, BadAnswer::Json(_)))),
            ("another hash", json(|v| v["hash_algo"] = "sha512".into()), |e| {
                is_bad(e, |bad| matches!(bad, BadAnswer::HashAlgo))
            }),
            ("another transfer", json(|v| another_transfer(v, "tus://h/o")), |e| {
                is_bad(e, |bad| matches!(bad, BadAnswer::Transfer))
            }),
            ("no objects", json(|v| v["objects"] = serde_json::json!([])), |e| {
                is_bad(e, |bad| matches!(bad, BadAnswer::Missing(_)))
            }),
            ("another object", json(|v| v["objects"][0]["oid"] = "0".repeat(64).into()), |e| {
                is_bad(e, |bad| matches!(bad, BadAnswer::Missing(_)))
            }),
            ("no action", json(|v| v["objects"][0]["actions"] = serde_json::json!({})), |e| {
                is_bad(e, |bad| matches!(bad, BadAnswer::NoAction(_)))
            }),
        ],
    );
}

fn is_bad(error: &Error, is: fn(&BadAnswer) -> bool) -> bool {
    matches!(error, Error::BadAnswer { source, .. } if is(source))
}

fn href(answer: &mut Value, href: &str) {
    answer["objects"][0]["actions"]["download"]["href"] = href.into();
}

fn another_transfer(answer: &mut Value, to: &str) {
    answer["transfer"] = "tus".into();
    href(answer, to);
}

#[test]
fn wrong_bytes_of_an_earlier_run_are_thrown_away_and_wrong_bytes_of_the_server_too() {
    let world = World::new();
    let part = world.sandbox.path(format!("lfs/incomplete/{}.part", world.oid()));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    for earlier in [b"wrong".to_vec(), vec![0; 400_000]] {
        fs::write(&part, earlier).unwrap();
        let path = world.download(world.settings(&[])).unwrap();
        assert!(fs::read(&path).unwrap() == world.content && !part.exists());
        fs::remove_file(path).unwrap();
    }
    world.hub.inject(Fault::WrongByte(5).at(Place::content(&world.oid())));
    let err = world.download(world.settings(&[])).unwrap_err();
    assert!(matches!(err, Error::WrongDigest { .. }), "{err}");
    assert!(!part.exists(), "what is wrong is not gone on with");
}

#[test]
fn a_size_of_another_length_without_ranges_is_an_error() {
    let world = World::new();
    let oid = world.oid();
    fs::write(world.hub.object(ID, &oid), &world.content[..1000]).unwrap();
    let lies = Fault::Json(|answer| {
        let object = &mut answer["objects"][0];
        object["size"] = 300_000.into();
    });
    world.hub.inject(lies.at(Place::batch(ID)));
    let err = world.stream(world.settings(&[])).unwrap_err();
    // The hub detects this itself, in the batch.
    assert!(matches!(err, Error::Object { code: 422, .. } | Error::WrongSize { .. }), "{err}");
}

#[test]
fn actions_say_their_end_and_their_signature_in_every_way() {
    let world = World::new();
    for signing in [Signing::Query, Signing::Header] {
        for expiry in [Expiry::Unsaid, Expiry::In, Expiry::At] {
            world.hub.sign(signing);
            world.hub.say_expiry(expiry);
            check(&world, &format!("{signing:?} {expiry:?}"), &[], &Whole);
            let expired = Fault::Expired.at(Place::object(&world.oid())).times(1);
            check(&world, &format!("expired {signing:?} {expiry:?}"), &[expired], &Whole);
        }
    }
}

#[test]
fn who_may_not_read_is_told_why() {
    let world = World::new();
    let with_token = |token: &str| {
        let mut settings = world.settings(&[]);
        settings.tokens.hf_token = Some(git_st_convert::remote::Secret::new(token));
        settings
    };
    world.hub.add_token("hf_stranger", "stranger", Right::Public);
    world.hub.add_expired_token("hf_expired", "owner");
    let err = |settings| world.stream(settings).unwrap_err();
    world.hub.set_access(ID, Access::Private);
    assert!(matches!(err(world.settings(&[])), Error::Unauthorized { rejected: None, .. }));
    assert!(matches!(err(with_token("hf_stranger")), Error::RepositoryNotFound { .. }));
    assert!(matches!(err(with_token("hf_wrong")), Error::Unauthorized { rejected: Some(_), .. }));
    assert_eq!(world.stream(with_token(TOKEN)).unwrap(), world.content);
    world.hub.set_access(ID, Access::Gated);
    assert!(matches!(err(world.settings(&[])), Error::Gated { .. }));
    assert!(matches!(err(with_token("hf_stranger")), Error::Gated { .. }));
    assert_eq!(world.stream(with_token(TOKEN)).unwrap(), world.content);
    let expired = err(with_token("hf_expired"));
    assert!(matches!(expired, Error::Unauthorized { .. } | Error::TokenExpired { .. }), "{expired}");
}

#[test]
fn offline_asks_nobody() {
    let world = World::new();
    let mut settings = world.with_token(&[]);
    settings.offline = true;
    assert!(matches!(world.stream(settings), Err(Error::Offline { .. })));
    assert!(world.hub.requests().is_empty());
}
