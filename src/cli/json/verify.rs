//! Formats the JSON lines of a verification.

use serde_json::{Value, json};

use super::super::error::Report;
use super::super::wording;
use super::text::{line, path};
use crate::actions::verify::{Finding, IndexFinding, MadeBy, Verdict, Verified};
use crate::safetensors::compare::Difference;

/// Returns the line of one verified file.
pub(in crate::cli) fn verified(verified: &Verified) -> String {
    let ties = verified.ties.iter().map(|(name, kept)| json!({ "name": name, "kept": kept }));
    line(&json!({
        "type": "verify",
        "path": path(&verified.path),
        "checkpoint": verified.checkpoint.as_ref().map(path),
        "verdict": verified.verdict,
        "conversion": verified.conversion.map(|conversion| conversion.to_string()),
        "variations": verified.variations,
        "oid": verified.oid.map(|oid| oid.to_string()),
        "size": verified.size,
        "checkpoint_oid": verified.checkpoint_oid.map(|oid| oid.to_string()),
        "compared": verified.compared,
        "downloaded": verified.downloaded,
        "tied": ties.collect::<Vec<_>>(),
        "differences": verified.findings.iter().map(finding).collect::<Vec<_>>(),
        "more": verified.more,
        "stopped": verified.stopped,
        "reason": verified.error.as_ref().map(|error| Report::of(error).reason()),
        "made_by": verified.made_by.map(|by| match by {
            MadeBy::Record => "record",
            MadeBy::Trailer(_) => "trailer",
            MadeBy::Commit(_) => "commit",
        }),
        "checkpoint_commit": verified.made_by.and_then(|by| match by {
            MadeBy::Record => None,
            MadeBy::Trailer(id) | MadeBy::Commit(id) => Some(id.to_string()),
        }),
    }))
}

fn finding(finding: &Finding) -> Value {
    let value = |value: &crate::safetensors::Value| json!({ "number": value.number(), "bits": value.bits() });
    let (kind, name, index, checkpoint, file) = match finding {
        Finding::Invalid(_) => ("invalid", None, None, Value::Null, Value::Null),
        Finding::Tensor(Difference::Missing { name }) => {
            ("missing", Some(name), None, Value::Null, Value::Null)
        }
        Finding::Tensor(Difference::Extra { name }) => ("extra", Some(name), None, Value::Null, Value::Null),
        Finding::Tensor(Difference::Alias { name, keeper }) => {
            ("alias", Some(name), None, Value::Null, json!(keeper))
        }
        Finding::Tensor(Difference::DType { name, checkpoint, file }) => {
            ("dtype", Some(name), None, json!(checkpoint.to_string()), json!(file.to_string()))
        }
        Finding::Tensor(Difference::Shape { name, checkpoint, file }) => {
            ("shape", Some(name), None, json!(checkpoint), json!(file))
        }
        Finding::Tensor(Difference::Element { name, index, checkpoint, file }) => {
            ("element", Some(name), Some(index), value(checkpoint), value(file))
        }
        Finding::Index(
            IndexFinding::NoShard { shard }
            | IndexFinding::NotSafetensors { shard }
            | IndexFinding::LeftOut { shard },
        ) => ("shard", None, None, Value::Null, json!(path(shard))),
        Finding::Index(IndexFinding::NotInShard { name, shard }) => {
            ("missing", Some(name), None, Value::Null, json!(shard))
        }
        Finding::Index(IndexFinding::NotInIndex { name, shard }) => {
            ("extra", Some(name), None, Value::Null, json!(shard))
        }
        Finding::Index(IndexFinding::TotalSize { said, held }) => {
            ("total_size", None, None, json!(held), json!(said))
        }
    };
    let text = wording::finding(finding);
    json!({ "kind": kind, "name": name, "index": index, "checkpoint": checkpoint, "file": file, "text": text })
}

/// Returns the last line of a verification, also after an error.
pub(in crate::cli) fn verification(done: &[Verified], failure: Option<&Report>, exit_code: u8) -> String {
    let count = |wanted| done.iter().filter(|verified| verified.verdict == Some(wanted)).count();
    line(&json!({
        "type": "summary",
        "files": done.len(),
        "identical": count(Verdict::Identical),
        "equal": count(Verdict::Equal),
        "differs": count(Verdict::Differs),
        "stale": count(Verdict::Stale),
        "failed": done.iter().filter(|verified| verified.error.is_some()).count(),
        "reason": failure.map(Report::reason),
        "exit_code": exit_code,
    }))
}
