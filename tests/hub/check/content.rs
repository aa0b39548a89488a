//! curl as the client: ranges.

use std::fs;

use super::{Check, bytes};
use crate::hub::oid_of;

/// The link to the checkpoint, from a batch.
fn link(check: &Check) -> Option<String> {
    let asked = format!(
        r#"{{"operation":"download","objects":[{{"oid":"{}","size":300000}}]}}"#,
        check.oid("pytorch_model.bin")
    );
    let url = format!("{}.git/info/lfs/objects/batch", check.hub.url(super::ID));
    let accept = "Accept: application/vnd.git-lfs+json";
    let answer = check.curl(&["-H", accept, "--data-binary", &asked, &url])?.ok();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
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
