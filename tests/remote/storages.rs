//! Tests storages and proxies with unusual responses: the program uses what it can, and reports their messages.

use git_st_convert::remote::{BadAnswer, Error, Object, Settings};

use super::raw::{Raw, http, value};
use super::{ID, TOKEN, World, bytes, everything, hub_of, model_id, stream};
use crate::hub::{Fault, Place};

#[test]
fn who_refuses_a_range_is_asked_for_the_whole_once() {
    let world = World::new();
    let content = || Place::content(&world.oid());
    for status in [400, 401, 403, 404, 405, 406, 411, 412, 413, 422, 501] {
        for way in ["stream", "store"] {
            world.reset();
            world.hub.inject(Fault::RefuseRanges(status).at(content()));
            let got = match way {
                "stream" => world.stream(world.settings(&[])),
                _ => world.download(world.settings(&[])).map(|path| std::fs::read(path).unwrap()),
            };
            assert!(got.unwrap() == world.content, "{status} {way}");
            let seen = world.hub.requests();
            let content = seen.iter().filter(|seen| seen.path().starts_with("/content/"));
            let (with, without): (Vec<_>, Vec<_>) = content.partition(|seen| seen.header("Range").is_some());
            assert!(
                with.len() <= 2 && without.len() == 1,
                "{status} {way}: {} {}",
                with.len(),
                without.len()
            );
        }
    }
}

#[test]
fn a_range_that_is_refused_as_if_it_passed_is_tried_some_times_and_then_the_whole_once() {
    let world = World::new();
    let asked = || {
        let seen = world.hub.requests();
        let content = seen.iter().filter(|seen| seen.path().starts_with("/content/"));
        let (with, without): (Vec<_>, Vec<_>) = content.partition(|seen| seen.header("Range").is_some());
        (with.len(), without.len())
    };
    for status in [500, 502, 503] {
        world.reset();
        world.hub.inject(Fault::RefuseRanges(status).at(Place::content(&world.oid())));
        assert!(world.stream(world.settings(&[])).unwrap() == world.content, "{status}");
        assert_eq!(asked(), (4, 1), "{status}");
    }
    let many = [("lfs.transfer.maxretries", "6")];
    world.reset();
    world.hub.inject(Fault::Status(500).at(Place::content(&world.oid())));
    assert!(matches!(world.stream(world.settings(&many)), Err(Error::Status { status: 500, .. })));
    assert_eq!(asked(), (7, 1));
    // A server that wants fewer requests gets no further one.
    for fault in [Fault::RetryAfter(503, 0), Fault::RetryAfter(429, 0)] {
        world.reset();
        world.hub.inject(fault.at(Place::content(&world.oid())));
        world.stream(world.settings(&[])).unwrap_err();
        assert_eq!(asked(), (4, 0));
    }
    // An object that is absent costs one more request.
    world.reset();
    world.hub.inject(Fault::Status(404).at(Place::content(&world.oid())));
    assert!(matches!(world.stream(world.settings(&[])), Err(Error::NotFound { .. })));
    assert_eq!(asked(), (1, 1));
    // A server that sent ranges before is not asked for the whole.
    let long = World::with_content(bytes(20 << 20));
    long.hub.inject(Fault::RefuseRanges(404).at(Place::content(&long.oid())).after(2));
    assert!(matches!(long.stream(long.settings(&[])), Err(Error::NotFound { .. })));
}

#[test]
fn a_success_is_200_or_203() {
    let world = World::new();
    let content = world.content.clone();
    let server = super::raw::serve(move |_| {
        let head = http("203 Non-Authoritative Information", "", "").replace("Length: 0", "Length: 300000");
        [head.as_bytes(), &content].concat()
    });
    world.hub.serve_content_from(&server.origin);
    assert!(world.stream(world.settings(&[])).unwrap() == world.content);
    for status in ["202 Accepted", "204 No Content", "207 Multi-Status"] {
        let server = Raw::start(move |_| http(status, "", ""));
        world.hub.serve_content_from(&server.origin);
        let error = world.stream(world.settings(&[])).unwrap_err();
        let is_said = matches!(&error, Error::BadAnswer { source: BadAnswer::Status(number), .. } if status.starts_with(&number.to_string()));
        assert!(is_said, "{}", everything(&error));
    }
}

#[test]
fn a_redirect_may_contain_any_bytes() {
    let world = World::new();
    for (sent, asked) in [("/hop/ü?b=ü".as_bytes(), "%C3%BC"), (b"/hop/\xfc?b=\xfc", "%FC")] {
        let content = world.content.clone();
        let server = super::raw::serve(move |head| {
            if head.starts_with("GET /hop") {
                let head = http("200 OK", "", "").replace("Length: 0", "Length: 300000");
                return [head.as_bytes(), &content].concat();
            }
            let (before, after) = ("HTTP/1.1 307 Go\r\nLocation: ", "\r\nContent-Length: 0\r\n");
            [before.as_bytes(), sent, after.as_bytes(), b"Connection: close\r\n\r\n"].concat()
        });
        world.hub.serve_content_from(&server.origin);
        assert!(world.stream(world.settings(&[])).unwrap() == world.content);
        let line = format!("GET /hop/{asked}?b={asked} HTTP/1.1\r\n");
        assert!(server.heads().iter().any(|head| head.starts_with(&line)), "{:?}", server.heads());
    }
}

#[test]
fn a_range_that_is_refused_in_the_middle_leads_to_the_whole() {
    let world = World::with_content(bytes(20 << 20));
    world.hub.inject(Fault::RefuseRanges(403).at(Place::content(&world.oid())).after(3));
    assert!(world.stream(world.settings(&[])).unwrap() == world.content);
}

#[test]
fn what_a_storage_says_is_in_the_error() {
    let world = World::new();
    for status in ["400 Bad Request", "403 Forbidden", "501 Not Implemented"] {
        let long = "x".repeat(5000);
        let said = format!("<Error><Message>no \x1b[31m{long} tell</Message></Error>");
        let storage = Raw::start(move |_| http(status, "Content-Type: application/xml\r\n", &said));
        world.reset();
        world.hub.serve_content_from(&storage.origin);
        let error = world.stream(world.settings(&[])).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with("no ") && source.chars().count() <= 501, "{source}");
        assert!(!everything(&error).contains("hf_"));
        let with_range = storage.heads().iter().filter(|head| !value(head, "range").is_empty()).count();
        assert_eq!(storage.heads().len() - with_range, 1, "{status}");
    }
}

#[test]
fn the_token_is_not_told_by_what_a_storage_repeats() {
    let world = World::new();
    let storage = Raw::start(|head| {
        let said = format!("<Error><Message>for {} no</Message></Error>", value(head, "x-sent"));
        http("400 Bad Request", "Content-Type: application/xml\r\n", &said)
    });
    world.hub.serve_content_from(&storage.origin);
    let config = [(format!("http.{}.extraHeader", storage.origin), format!("X-Sent: {TOKEN}"))];
    let config: Vec<_> = config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let error = world.stream(world.settings(&config)).unwrap_err();
    assert!(everything(&error).contains("for [redacted] no"), "{}", everything(&error));
}

#[test]
fn what_comes_by_gzip_unasked_is_decoded() {
    let world = World::new();
    for place in [Place::content(&world.oid()), Place::batch(ID)] {
        for also in [vec![], vec![Fault::NoRanges], vec![Fault::Chunked]] {
            world.reset();
            world.hub.inject(Fault::Gzip.at(place.clone()));
            for fault in also {
                world.hub.inject(fault.at(place.clone()));
            }
            assert!(world.stream(world.settings(&[])).unwrap() == world.content);
            assert!(world.download(world.settings(&[])).is_ok());
        }
    }
    // Half of the content arrives, again and again.
    world.reset();
    world.hub.inject(Fault::Gzip.at(Place::content(&world.oid())));
    world.hub.inject(Fault::Cut(1000).at(Place::content(&world.oid())).after(1));
    let error = world.stream(world.settings(&[])).unwrap_err();
    assert!(matches!(error, Error::Cut { .. }), "{}", everything(&error));
}

#[test]
fn what_no_end_of_gzip_gives_is_not_taken() {
    let bomb = || {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::copy(&mut std::io::Read::take(std::io::repeat(b' '), 64 << 20), &mut encoder).unwrap();
        encoder.finish().unwrap()
    };
    let body = bomb();
    assert!(body.len() < 1 << 20);
    let server = super::raw::serve(move |_| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), &body].concat()
    });
    let hub = hub_of(super::raw::at(&server.origin));
    let error = hub.model(&model_id(), None).unwrap_err();
    let is_long = matches!(error, Error::BadAnswer { source: BadAnswer::TooLong(_), .. });
    assert!(is_long, "{}", everything(&error));
    // No more bytes than the size of the object are read.
    let world = World::new();
    world.hub.serve_content_from(&server.origin);
    let error = world.stream(world.settings(&[])).unwrap_err();
    assert!(matches!(error, Error::WrongSize { got, .. } if got < 1 << 20), "{}", everything(&error));
}

#[test]
fn an_encoding_that_is_not_known_is_said() {
    let world = World::new();
    for none in ["aws-chunked", "utf-8", "binary", "none", "application/octet-stream", "identity, identity"] {
        world.reset();
        let header = Fault::Header("Content-Encoding", none.to_owned());
        world.hub.inject(header.clone().at(Place::content(&world.oid())));
        world.hub.inject(header.at(Place::batch(ID)));
        assert!(world.stream(world.settings(&[])).unwrap() == world.content, "{none}");
    }
    world.reset();
    world.hub.inject(Fault::Header("Content-Encoding", "br".to_owned()).at(Place::content(&world.oid())));
    let error = world.stream(world.settings(&[])).unwrap_err();
    assert!(matches!(error, Error::BadAnswer { source: BadAnswer::Encoded, .. }), "{}", everything(&error));
}

#[test]
fn an_object_that_the_hub_does_not_give_whole_is_said_so() {
    let (world, size) = (World::new(), 400_000_000_001_u64);
    let server = Raw::start(move |head| {
        let host = value(head, "host");
        if head.starts_with("POST") {
            let oid = git_st_convert::hash::Oid::of(b"");
            let json = "Content-Type: application/json\r\n";
            let body = format!(
                r#"{{"objects":[{{"oid":"{oid}","size":{size},"actions":{{"download":{{"href":"http://{host}/o"}}}}}}]}}"#
            );
            return http("200 OK", json, &body);
        }
        http("400 Bad Request", "", "")
    });
    let pointer = git_st_convert::lfs::Pointer { oid: git_st_convert::hash::Oid::of(b""), size };
    let url = ("lfs.url", server.origin.as_str());
    let settings: Settings = world.settings(&[url]);
    let error = world.ask(settings, &[], |server, _| stream(&Object::new(server, pointer))).unwrap();
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Huge { .. }), "{}", everything(&error));
}
