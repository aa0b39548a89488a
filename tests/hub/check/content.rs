//! Tests curl as the client of links: ranges, and each fault of a body.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Check, ID, WRITER, bytes};
use crate::hub::{Builder, Fault, Place, Right, To, oid_of};
use crate::sandbox::Output;

/// Returns the response to a batch request.
fn batch(check: &Check, asked: &str, options: &[&str]) -> Option<Value> {
    let url = format!("{}.git/info/lfs/objects/batch", check.hub.url(ID));
    let args = ["-H", "Accept: application/vnd.git-lfs+json", "--data-binary", asked, &url];
    let args: Vec<_> = options.iter().copied().chain(args).collect();
    Some(serde_json::from_str(&check.curl(&args)?.ok()).unwrap())
}

/// Returns the link to the checkpoint, from a batch.
fn link(check: &Check) -> Option<String> {
    let oid = check.oid("pytorch_model.bin");
    let asked = format!(r#"{{"operation":"download","objects":[{{"oid":"{oid}","size":300000}}]}}"#);
    let answer = batch(check, &asked, &[])?;
    Some(answer["objects"][0]["actions"]["download"]["href"].as_str().unwrap().to_owned())
}

#[test]
fn curl_gets_ranges_and_416_behind_the_end() {
    let check = Check::new();
    let Some(link) = link(&check) else { return };
    let whole = bytes(300_000);
    let cases: [(&str, u16, &[u8]); 6] = [
        ("0-99", 206, &whole[..100]),
        ("299990-", 206, &whole[299_990..]),
        ("299990-999999", 206, &whole[299_990..]),
        ("-5", 206, &whole[299_995..]),
        ("300000-", 416, b""),
        ("5-1", 200, &whole),
    ];
    let to = check.sandbox.path("got");
    for (range, status, expected) in cases {
        let header = format!("Range: bytes={range}");
        let args = ["-H", &header, "-w", "%{http_code}", "-o", to.to_str().unwrap(), &link];
        assert_eq!(check.curl(&args).unwrap().ok(), status.to_string(), "{range}");
        assert_eq!(oid_of(&fs::read(&to).unwrap()), oid_of(expected), "{range}");
    }
    let sent = check.hub.fetched(&check.oid("pytorch_model.bin"));
    assert_eq!(sent, [0..100, 299_990..300_000, 299_990..300_000, 299_995..300_000, 0..300_000]);
    assert_eq!(check.hub.sent_twice(&check.oid("pytorch_model.bin")), 10 + 5 + 100 + 10);
}

/// Downloads the checkpoint with these options. Returns the output and the received bytes.
fn get(check: &Check, link: &str, options: &[&str]) -> (Output, Vec<u8>) {
    let to = check.sandbox.path("got");
    drop(fs::remove_file(&to));
    let args: Vec<_> = options.iter().copied().chain(["-o", to.to_str().unwrap(), link]).collect();
    let output = check.curl(&args).unwrap();
    (output, fs::read(&to).unwrap_or_default())
}

#[test]
fn curl_sees_the_faults_of_a_body() {
    const PARTIAL: i32 = 18;
    const EMPTY: i32 = 52;
    let check = Check::new();
    let Some(link) = link(&check) else { return };
    let (oid, whole) = (check.oid("pytorch_model.bin"), bytes(300_000));
    let mut spoiled = whole.clone();
    spoiled[70_000] = !spoiled[70_000];
    let cases: [(Fault, i32, &[u8]); 8] = [
        (Fault::Drop, EMPTY, b""),
        (Fault::Cut(0), PARTIAL, b""),
        (Fault::Cut(100_000), PARTIAL, &whole[..100_000]),
        (Fault::WrongByte(70_000), 0, &spoiled),
        (Fault::Length(1000), PARTIAL, &whole),
        (Fault::Length(-1000), 0, &whole[..299_000]),
        (Fault::Truncated, 0, &whole[..150_000]),
        (Fault::Html, 0, b"<!doctype html>\n<html><body><h1>We'll be back soon</h1></body></html>\n"),
    ];
    for (fault, code, expected) in cases {
        let name = format!("{fault:?}");
        check.hub.inject(fault.at(Place::content(&oid)).times(1));
        check.hub.forget_requests();
        let (output, got) = get(&check, &link, &[]);
        assert_eq!(output.code, Some(code), "{name}: {output:?}");
        assert_eq!(oid_of(&got), oid_of(expected), "{name}: {} bytes", got.len());
        assert_eq!(check.hub.requests()[0].faults, [name.as_str()]);
        let (output, got) = get(&check, &link, &[]);
        assert_eq!((output.code, oid_of(&got)), (Some(0), oid_of(&whole)), "after {name}");
    }
}

#[test]
fn curl_follows_a_chain_of_redirects_and_gives_a_loop_up() {
    const TOO_MANY: i32 = 47;
    let check = Check::new();
    let Some(link) = link(&check) else { return };
    let content = Place::content(&check.oid("pytorch_model.bin"));
    check.hub.inject(Fault::Redirect(302, To::Itself).at(content.clone()).times(7));
    check.hub.forget_requests();
    let (output, got) = get(&check, &link, &["-L", "-w", "%{num_redirects}"]);
    assert_eq!((output.ok().as_str(), got.len()), ("7", 300_000));
    assert_eq!(check.hub.requests().len(), 8);
    check.hub.inject(Fault::Redirect(302, To::Itself).at(content));
    assert_eq!(get(&check, &link, &["-L"]).0.code, Some(TOO_MANY));
}

#[test]
fn curl_sees_the_faults_of_a_range() {
    let check = Check::new();
    let Some(link) = link(&check) else { return };
    let (oid, whole) = (check.oid("pytorch_model.bin"), bytes(300_000));
    let options = ["-H", "Range: bytes=1000-1999", "-D", "-"];

    check.hub.inject(Fault::NoRanges.at(Place::content(&oid)).times(1));
    let (output, got) = get(&check, &link, &options);
    assert!(output.stdout.starts_with("HTTP/1.1 200 OK"), "{output:?}");
    assert_eq!(oid_of(&got), oid_of(&whole));

    check.hub.inject(Fault::ContentRange("bytes 0-999/300000".to_owned()).at(Place::content(&oid)).times(1));
    let (output, got) = get(&check, &link, &options);
    assert!(output.stdout.starts_with("HTTP/1.1 206"), "{output:?}");
    assert!(output.stdout.contains("Content-Range: bytes 0-999/300000\r\n"), "{output:?}");
    assert_eq!(got, whole[1000..2000]);

    // The offset of a wrong byte counts in the object.
    check.hub.inject(Fault::WrongByte(1500).at(Place::content(&oid)).times(1));
    let (_, got) = get(&check, &link, &options);
    assert_eq!(got[500], !whole[1500]);
    let (output, got) = get(&check, &link, &options);
    assert!(output.stdout.contains("Content-Range: bytes 1000-1999/300000\r\n"), "{output:?}");
    assert_eq!(got, whole[1000..2000]);
    assert_eq!(check.hub.fetched(&oid), [0..300_000, 1000..2000, 1000..2000, 1000..2000]);
}

#[test]
fn a_stalled_body_stays_open_until_curl_gives_up() {
    let check = Check::new();
    let Some(link) = link(&check) else { return };
    let oid = check.oid("pytorch_model.bin");
    check.hub.inject(Fault::Stall(5000).at(Place::content(&oid)).times(1));
    let began = Instant::now();
    let (output, got) = get(&check, &link, &["--max-time", "2"]);
    assert_eq!((output.code, got.len()), (Some(28), 5000), "{output:?}");
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(check.hub.fetched(&oid), [0..5000]);
}

#[test]
fn a_slow_body_and_a_throttled_hub_take_the_time_they_should() {
    let check = Check::new();
    let Some(link) = link(&check) else { return };
    let oid = check.oid("pytorch_model.bin");
    let timed = || {
        let began = Instant::now();
        let (output, got) = get(&check, &link, &[]);
        assert_eq!((output.code, got.len()), (Some(0), 300_000));
        began.elapsed().as_secs_f64()
    };
    check.hub.inject(Fault::Slow(600_000).at(Place::content(&oid)).times(1));
    let slow = timed();
    assert!((0.45..3.0).contains(&slow), "{slow} s");
    check.hub.throttle(Some(600_000));
    let throttled = timed();
    assert!((0.4..3.0).contains(&throttled), "{throttled} s");
    check.hub.throttle(None);
    let free = timed();
    assert!(free < slow, "{free} s");
}

#[test]
fn a_throttle_is_shared_and_holds_its_rate() {
    const SIZE: u32 = 24 << 20;
    const RATE: f64 = 40e6;
    let check = Check::new();
    let file = check.sandbox.path("large");
    fs::write(&file, vec![7; SIZE as usize]).unwrap();
    let mut model = Builder::new();
    model.lfs_file("large.bin", &file).commit("large");
    check.hub.add_model("acme/large", &model);
    let url = format!("{}/resolve/main/large.bin", check.hub.url("acme/large"));
    check.hub.throttle(Some(40_000_000));
    let began = Instant::now();
    let outputs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..2).map(|_| scope.spawn(|| check.curl(&["-L", "-o", "/dev/null", &url]))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let Some(outputs) = outputs.into_iter().collect::<Option<Vec<_>>>() else { return };
    let rate = f64::from(2 * SIZE) / began.elapsed().as_secs_f64();
    for output in outputs {
        output.ok();
    }
    // The rate is never higher, and lower only by the time that two curls need to start on a busy machine.
    assert!(rate < 1.02 * RATE && rate > 0.5 * RATE, "{rate} bytes a second");
}

#[test]
fn links_are_good_for_one_object_and_some_time_and_take_no_token_elsewhere() {
    let check = Check::new();
    let Some(link) = link(&check) else { return };
    let status = |url: &str, options: &[&str]| {
        let args: Vec<_> = ["-o", "/dev/null", "-w", "%{http_code}"].iter().chain(options).copied().collect();
        check.curl(&args.into_iter().chain([url]).collect::<Vec<_>>()).unwrap().ok()
    };
    assert_eq!(status(&link, &[]), "200");
    assert_eq!(status(link.split('?').next().unwrap(), &[]), "403");
    let other = link.replace(&check.oid("pytorch_model.bin"), &check.model.oid("model.safetensors"));
    assert_eq!(status(&other, &[]), "403");
    assert_eq!(status(&link, &["-X", "PUT", "-d", "x"]), "405");

    let cdn = check.hub.content_origin();
    assert!(link.starts_with(&cdn) && cdn != check.hub.endpoint());
    let here = link.replace(&cdn, &check.hub.endpoint());
    assert_eq!(status(&here, &["-H", "Authorization: Bearer hf_here"]), "200");
    assert_eq!(status(&link, &["-H", "Authorization: Bearer hf_secret"]), "400");
    let leaks: Vec<_> = check.hub.requests().into_iter().filter(|seen| seen.carries("hf_secret")).collect();
    assert_eq!(leaks.len(), 1);
    assert_eq!(leaks[0].origin, cdn);
    assert!(check.hub.open_origin_at("192.0.2.1").is_none(), "that is not this machine");
}

#[test]
fn an_upload_of_other_bytes_is_not_stored() {
    let check = Check::new();
    check.hub.add_token(WRITER, "owner", Right::Write);
    let oid = oid_of(b"promised");
    let (auth, asked) = (
        format!("Authorization: Bearer {WRITER}"),
        format!(r#"{{"operation":"upload","objects":[{{"oid":"{oid}","size":8}}]}}"#),
    );
    let Some(answer) = batch(&check, &asked, &["-H", &auth]) else { return };
    let actions = &answer["objects"][0]["actions"];
    let put = |body: &str| {
        let link = actions["upload"]["href"].as_str().unwrap();
        let args = ["-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "--data-binary", body, link];
        check.curl(&args).unwrap().ok()
    };
    assert_eq!(put("another!"), "400");
    assert!(!check.hub.object(ID, &oid).exists());
    assert_eq!(put("promised"), "200");
    assert_eq!(fs::read(check.hub.object(ID, &oid)).unwrap(), b"promised");
    let verify = |size: u64| {
        let body = format!(r#"{{"oid":"{oid}","size":{size}}}"#);
        let link = actions["verify"]["href"].as_str().unwrap();
        check.curl(&["-o", "/dev/null", "-w", "%{http_code}", "-d", &body, link]).unwrap().ok()
    };
    assert_eq!((verify(8).as_str(), verify(9).as_str()), ("200", "422"));
}

#[test]
fn a_batch_says_what_each_object_is_and_lies_when_it_is_told() {
    let check = Check::new();
    let oid = check.oid("pytorch_model.bin");
    check.hub.inject(Fault::Size(7).at(Place::object(&oid)).after(1));
    let none = oid_of(b"none");
    let asked = format!(
        r#"{{"operation":"download","objects":[{{"oid":"{oid}","size":300000}},{{"oid":"{oid}","size":300000}},
        {{"oid":"{none}","size":4}},{{"oid":"../../x","size":4}},{{"oid":"{oid}","size":5}}]}}"#
    );
    let Some(answer) = batch(&check, &asked, &[]) else { return };
    assert_eq!((&answer["transfer"], &answer["hash_algo"]), (&json!("basic"), &json!("sha256")));
    let objects = answer["objects"].as_array().unwrap();
    assert_eq!(
        objects.iter().map(|object| object["size"].as_u64()).collect::<Vec<_>>(),
        [Some(300_000), Some(7), Some(4), Some(4), Some(7)]
    );
    let codes: Vec<_> = objects.iter().map(|object| object["error"]["code"].as_u64()).collect();
    assert_eq!(codes, [None, None, Some(404), Some(422), Some(422)]);
    let unknown = r#"{"operation":"download","objects":[],"hash_algo":"sha512"}"#;
    assert_eq!(batch(&check, unknown, &[]).unwrap()["message"], "Unknown hash algorithm");
    // A request in progress is also listed, and ends.
    assert_eq!(check.hub.requests_now().len(), 2);
}

#[test]
fn curl_gets_chunks_and_other_headers_as_it_is_told() {
    let check = Check::new();
    let Some(link) = link(&check) else { return };
    let (oid, whole) = (check.oid("pytorch_model.bin"), bytes(300_000));
    for fault in [Fault::Chunked, Fault::Header("ETag", "\"other\"".to_owned())] {
        check.hub.inject(fault.at(Place::content(&oid)));
    }
    let (output, got) = get(&check, &link, &["-D", "-", "-H", "Range: bytes=5-"]);
    let head = output.ok();
    assert!(head.contains("Transfer-Encoding: chunked") && head.contains("ETag: \"other\""), "{head}");
    assert!(!head.contains("Content-Length"), "{head}");
    assert_eq!(oid_of(&got), oid_of(&whole[5..]));
    check.hub.inject(Fault::Cut(1000).at(Place::content(&oid)));
    let (output, got) = get(&check, &link, &[]);
    assert!(output.code != Some(0) && got == whole[..1000], "{output:?}");
    assert_eq!(check.hub.fetched(&oid), [5..300_000, 0..1000]);
}

#[test]
fn the_hub_answers_as_a_proxy_for_every_name() {
    let check = Check::new();
    let proxy = check.hub.open_origin();
    let args = ["--noproxy", "", "--proxy", &proxy, "http://hub.example/acme/bert/resolve/main/vocab.txt"];
    let Some(output) = check.curl(&args) else { return };
    assert_eq!(output.ok(), "a\nb\n");
    let seen = check.hub.requests().pop().unwrap();
    assert_eq!(seen.origin, proxy);
    assert_eq!(seen.target, "http://hub.example/acme/bert/resolve/main/vocab.txt");
    assert_eq!(seen.path(), "/acme/bert/resolve/main/vocab.txt");
}
