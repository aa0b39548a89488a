//! Tests the archives of Stable-Baselines3: `data` is JSON with pickles in base64, which `load` passes to
//! `cloudpickle`.

use git_st_convert::scan::{Content, Verdict};

use super::{CALL, joined, look};
use crate::checkpoint::archive::{Record, write};

/// Encodes base64 as Python does.
fn base64(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |six: u32| char::from(letters[usize::try_from(six & 63).unwrap()]);
    let group = |three: &[u8]| {
        let bits = three.iter().chain(&[0; 2]).take(3).fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let text: String = [18, 12, 6, 0].iter().map(|shift| letter(bits >> shift)).collect();
        format!("{}{}", &text[..=three.len()], &"==="[three.len()..])
    };
    bytes.chunks(3).map(group).collect()
}

/// Returns an archive as `save` writes it, with this text as its `data`.
fn archive(data: &str) -> Vec<u8> {
    write(&[
        Record::stored("data", data.as_bytes()),
        Record::deflated("_stable_baselines3_version", b"2.3.2"),
        Record::stored("policy.pth", &crate::checkpoint::zip_of(&crate::checkpoint::pickle::none())),
    ])
}

#[test]
fn what_its_data_serializes_is_looked_into() {
    let call = base64(&joined(&[CALL, b"."]));
    let long = "x".repeat(200_000);
    for data in [
        format!(r#"{{"policy_class": {{":type:": "a", ":serialized:": "{call}"}}}}"#),
        format!(r#"{{"a": 1, "b": {{"\u003aserialized\u003A":   "{call}" }} }}"#),
        format!("  {{\"b\":\n{{\":serialized:\"\t:\n\"{}\"}}}}", call.replace('T', "\\u0054")),
        format!(r#"{{"long": "{long}", "c": {{":serialized:": "{call}"}}}}"#),
        format!(r#"{{"twice": {{":serialized:": "gAJOLg==", ":serialized:": "-{call}"}}}}"#),
    ] {
        for file in [archive(&data), write(&[Record::deflated("data", data.as_bytes())])] {
            let report = look(&file);
            assert_eq!(report.verdict, Verdict::Dangerous, "{}: {report:#?}", &data[..60]);
            let member = report.globals()[0].0.member.clone().unwrap();
            assert!(member.starts_with("data!/(serialized "), "{member}");
        }
    }
}

#[test]
fn data_without_pickles_is_text() {
    let numbers =
        r#"{"gamma": 0.99, "n_steps": 2048, "note": "the key \":serialized:\" and more", "seed": null}"#;
    let report = look(&write(&[Record::deflated("data", numbers.as_bytes())]));
    assert_eq!((report.verdict, report.content), (Verdict::Clean, Content::Zip), "{report:#?}");
    let plain = format!(
        r#"{{"tuple": {{":serialized:": "{}"}}}}"#,
        base64(b"\x80\x04\x95\x07\0\0\0\0\0\0\0K\x01K\x02\x86\x94.")
    );
    let report = look(&archive(&plain));
    assert_eq!((report.verdict, report.reason.clone()), (Verdict::Weights, None), "{report:#?}");
}
