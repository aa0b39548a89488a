//! Reads and writes the lines of a record, and skips lines of other versions.

use bstr::{BStr, BString, ByteSlice as _};
use serde_json::{Value, json};

use super::{Derived, Records};
use crate::hash::Oid;
use crate::repo::FileStat;

pub(super) fn write(records: &Records) -> Vec<u8> {
    let mut text = String::new();
    let mut push = |value: &Value| {
        text.push_str(&value.to_string());
        text.push('\n');
    };
    for one in &records.derived {
        push(&json!({
            "type": "derived",
            "output": of_path(one.output.as_bstr()),
            "output_oid": one.output_oid.to_string(),
            "source": of_path(one.source.as_bstr()),
            "source_oid": one.source_oid.to_string(),
            "source_size": one.source_size,
            "key": one.key,
            "keep": one.keep,
            "how": one.how,
            "version": one.version,
        }));
    }
    for ((tree, path), (oid, stat)) in &records.seen {
        push(&json!({
            "type": "seen",
            "tree": tree,
            "path": of_path(path.as_bstr()),
            "oid": oid.to_string(),
            "stat": stat.numbers(),
        }));
    }
    text.into_bytes()
}

pub(super) fn read(text: &[u8]) -> Records {
    let mut records = Records::default();
    for line in text.lines() {
        let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
        match value.get("type").and_then(Value::as_str) {
            Some("derived") => records.derived.extend(derived(&value)),
            Some("seen") => {
                let _is_known = seen(&value).map(|(key, known)| records.seen.insert(key, known));
            }
            _ => {}
        }
    }
    records
}

fn derived(value: &Value) -> Option<Derived> {
    let texts = value.get("keep")?.as_array()?.iter().map(|name| Some(name.as_str()?.to_owned()));
    let key = value.get("key")?;
    Some(Derived {
        source: path(value.get("source")?)?,
        source_oid: oid(value.get("source_oid")?)?,
        source_size: value.get("source_size")?.as_u64()?,
        output: path(value.get("output")?)?,
        output_oid: oid(value.get("output_oid")?)?,
        key: if key.is_null() { None } else { Some(key.as_str()?.to_owned()) },
        keep: texts.collect::<Option<_>>()?,
        how: value.get("how")?.as_str()?.to_owned(),
        version: value.get("version")?.as_str()?.to_owned(),
    })
}

type SeenLine = ((String, BString), (Oid, FileStat));

fn seen(value: &Value) -> Option<SeenLine> {
    let tree = value.get("tree")?.as_str()?.to_owned();
    let numbers = value.get("stat")?.as_array()?.iter();
    let numbers = numbers.map(|number| number.as_u64().and_then(|number| u32::try_from(number).ok()));
    let numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
    let stat = FileStat::from_numbers(numbers.try_into().ok()?);
    Some(((tree, path(value.get("path")?)?), (oid(value.get("oid")?)?, stat)))
}

fn oid(value: &Value) -> Option<Oid> {
    value.as_str()?.parse().ok()
}

/// Returns a path as text, or as its bytes if it is not UTF-8.
fn of_path(path: &BStr) -> Value {
    path.to_str().map_or_else(|_| json!(path.as_bytes()), |text| json!(text))
}

fn path(value: &Value) -> Option<BString> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Array(bytes) => {
            let byte = |byte: &Value| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
            bytes.iter().map(byte).collect::<Option<Vec<u8>>>().map(BString::from)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Records {
        let derived = Derived {
            source: "a\nb.bin".into(),
            source_oid: Oid::of(b"source"),
            source_size: 6,
            output: BString::from(b"\xff.safetensors".to_vec()),
            output_oid: Oid::of(b"output"),
            key: Some("model".to_owned()),
            keep: vec!["a".to_owned()],
            how: "converted".to_owned(),
            version: "0.1.0".to_owned(),
        };
        let mut records = Records { derived: vec![derived], ..Records::default() };
        let key = ("tree".to_owned(), "a".into());
        records.seen.insert(key, (Oid::of(b"a"), FileStat::from_numbers([1, 2, 3, 4, 5, 6, 7, 8, 9])));
        records
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&write(&records())), records());
    }

    #[test]
    fn what_is_no_line_says_nothing() {
        let text = write(&records());
        for at in 0..text.len() {
            for byte in [0, b'"', b'}', b'\n', 0xff] {
                let mut text = text.clone();
                text[at] = byte;
                let _no_panic = read(&text);
            }
        }
        assert_eq!(
            read(b"\0\xff{}\n[]\nnull\n{\"type\":\"derived\"}\n{\"type\":\"seen\"}\n"),
            Records::default()
        );
        let other = String::from_utf8(text).unwrap().replace("\"derived\"", "\"derived-2\"");
        assert_eq!(read(other.as_bytes()).derived, []);
    }
}
