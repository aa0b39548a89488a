//! Formats the JSON lines of a comparison of two revisions or files.

use serde_json::{Value, json};

use super::super::error::Report;
use super::super::tally::DiffTally;
use super::text::{line, path};
use crate::actions::diff::{Change, DiffSide, DriverState, FileDiff, NotCompared, TensorFacts};
use crate::safetensors::Deviation;

/// Returns the lines of a file: one per changed tensor, and one for the file.
pub(in crate::cli) fn file_diff(file: &FileDiff) -> String {
    let mut lines = String::new();
    let name = path(&file.path().to_owned());
    let (changes, reason) = match &file.result {
        Ok(changes) => (Some(changes), None),
        Err(NotCompared::NotHere { .. }) => (None, Some("not in the LFS storage".to_owned())),
        Err(NotCompared::Unreadable { error, .. }) => (None, Some(Report::of(error).reason())),
    };
    for change in changes.iter().flat_map(|changes| &changes.list) {
        lines += &tensor(&name, change);
        lines.push('\n');
    }
    let mut tally = DiffTally::default();
    if let Some(changes) = changes {
        tally.changes(changes);
    }
    let status = match &file.result {
        Ok(_) => "compared",
        Err(NotCompared::NotHere { .. }) => "not-here",
        Err(NotCompared::Unreadable { .. }) => "unreadable",
    };
    lines
        + &line(&json!({
            "type": "file",
            "path": name,
            "status": status,
            "old": file.old.as_ref().map(side),
            "new": file.new.as_ref().map(side),
            "added": tally.added,
            "removed": tally.removed,
            "renamed": tally.renamed,
            "changed": tally.changed,
            "same": tally.same,
            "unread": tally.unread,
            "reason": reason,
        }))
}

fn side(side: &DiffSide) -> Value {
    json!({
        "path": path(&side.path),
        "oid": side.oid.map(|oid| oid.to_string()),
        "size": side.size,
        "format": side.format,
        "tensors": side.tensors,
    })
}

fn tensor(path: &str, change: &Change) -> String {
    let (kind, old, new, deviation) = match change {
        Change::Added(tensor) => ("added", None, Some(tensor), None),
        Change::Removed(tensor) => ("removed", Some(tensor), None, None),
        Change::Renamed { tensor, .. } => ("renamed", Some(tensor), Some(tensor), None),
        Change::Retyped { old, new, deviation } => {
            let kind = if old.dtype == new.dtype { "shape" } else { "dtype" };
            (kind, Some(old), Some(new), deviation.as_ref())
        }
        Change::Values { tensor, deviation } => ("values", Some(tensor), Some(tensor), deviation.as_ref()),
    };
    let from = match change {
        Change::Renamed { from, .. } => Some(from),
        _ => None,
    };
    line(&json!({
        "type": "tensor",
        "path": path,
        "name": change.name(),
        "change": kind,
        "from": from,
        "old": old.map(facts),
        "new": new.map(facts),
        "values": deviation.map(values),
    }))
}

fn facts(tensor: &TensorFacts) -> Value {
    let crc32 = tensor.crc32.map(|crc32| format!("{crc32:08x}"));
    json!({ "dtype": tensor.dtype.to_string(), "shape": tensor.shape, "bytes": tensor.bytes, "crc32": crc32 })
}

fn values(found: &Deviation) -> Value {
    // JSON has no infinity.
    let largest = match found.largest {
        Some(largest) if largest.is_finite() => json!(largest),
        Some(_) => json!("Infinity"),
        None => Value::Null,
    };
    json!({ "elements": found.elements, "differing": found.differing, "largest": largest, "first": found.first })
}

/// Returns the last line of the setup of git's own diff.
pub(in crate::cli) fn driver(
    state: Option<DriverState>,
    is_global: bool,
    failure: Option<&Report>,
) -> String {
    line(&json!({
        "type": "summary",
        "status": state,
        "scope": if is_global { "global" } else { "local" },
        "reason": failure.map(Report::reason),
        "exit_code": failure.map_or(0, Report::exit_code),
    }))
}

/// Returns the last line, also after an error.
pub(in crate::cli) fn diff(tally: &DiffTally, failure: Option<&Report>, exit_code: u8) -> String {
    line(&json!({
        "type": "summary",
        "files": tally.files,
        "added": tally.added,
        "removed": tally.removed,
        "renamed": tally.renamed,
        "changed": tally.changed,
        "same": tally.same,
        "unread": tally.unread,
        "not_here": tally.not_here,
        "unreadable": tally.unreadable,
        "reason": failure.map(Report::reason),
        "exit_code": exit_code,
    }))
}
