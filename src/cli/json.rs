//! Formats `--json`: one object per line, each with a `type`, ended by one `{"type":"summary",…}`.
//!
//! Invariant: fields are only added, never renamed, removed or left out; an unknown value is `null`.

mod batch;
mod diff;
mod env;
mod guard;
mod publish;
mod status;
mod text;
mod verify;

use serde_json::{Map, Value, json};

use super::error::Report;
use super::sanitize;
use super::tally::{FileTally, ScanTally};
use crate::actions::clone::Cloned;
use crate::actions::inspect::{Inspection, Row};
use crate::actions::pull::{Listing, PullRequest, Pulled};
use crate::actions::scan::{About, Remark, Scanned};
use crate::actions::{Outcome, Status};
use crate::checkpoint::{Ignored, Note};
use crate::scan::{CodeIn, GlobalIn, PickleIn};
use text::{line, native, path};

pub(super) use batch::{batch, batch_item, batch_record};
pub(super) use diff::{diff, driver, file_diff};
pub(super) use env::env;
pub(super) use guard::{finding, guarded, hook, hooks};
pub(super) use publish::published;
pub(super) use status::{file_status, repository_status};
pub(super) use verify::{verification, verified};

/// Returns the line of one file.
pub(super) fn file(outcome: &Outcome) -> String {
    let known = outcome.conversion.as_ref();
    let dropped = known.map(|known| {
        let pairs = known.dropped.iter();
        pairs.map(|(name, kept)| json!({ "name": name, "kept": kept })).collect::<Vec<_>>()
    });
    let copies = known.map(|known| {
        let names = known.copies.iter();
        names.map(|(name, reason)| json!({ "name": name, "reason": reason })).collect::<Vec<_>>()
    });
    line(&json!({
        "type": "file",
        "source": path(&outcome.source),
        "output": outcome.output.as_ref().map(path),
        "status": outcome.status.name(),
        "oid": known.and_then(|known| known.oid).map(|oid| oid.to_string()),
        "size": known.map(|known| known.size),
        "source_oid": known.and_then(|known| known.source_oid).map(|oid| oid.to_string()),
        "format": known.map(|known| known.format),
        "tensors": known.map(|known| known.tensors),
        "dropped": dropped.unwrap_or_default(),
        "ignored": known.map(|known| ignored(&known.ignored)).unwrap_or_default(),
        "reason": outcome.reason.as_ref().map(|reason| reason.text(&|text| sanitize::text(text).into_owned())),
        "copies": copies.unwrap_or_default(),
        "notes": known.map(|known| notes(&known.notes)).unwrap_or_default(),
    }))
}

/// The end of a conversion.
pub(super) struct End<'a> {
    /// The commit that was created.
    pub(super) commit: Option<&'a str>,
    /// The error of the whole run.
    pub(super) failure: Option<&'a Report>,
    pub(super) exit_code: u8,
}

/// Returns the last line of a conversion, also after an error.
pub(super) fn summary(tally: &FileTally, end: &End<'_>) -> String {
    line(&json!({
        "type": "summary",
        "files": tally.statuses.len(),
        "converted": tally.count(Status::Converted),
        "up_to_date": tally.count(Status::UpToDate),
        "skipped": tally.count(Status::Skipped),
        "refused": tally.count(Status::Refused),
        "failed": tally.count(Status::Failed),
        "dry_run": tally.dry_run,
        "staged": tally.staged,
        "commit": end.commit,
        "reason": end.failure.map(Report::reason),
        "exit_code": end.exit_code,
        "adopted": tally.count(Status::Adopted),
        "updated": tally.count(Status::Updated),
        "unverified": tally.count(Status::Unverified),
    }))
}

/// Returns the line of a clone.
pub(super) fn cloned(cloned: &Cloned) -> String {
    line(&json!({
        "type": "clone",
        "dir": native(cloned.dir.as_os_str()),
        "url": native(&cloned.url),
        "branch": cloned.branch,
        "commit": cloned.commit,
    }))
}

/// Returns the line of a pull request that was taken.
pub(super) fn pulled(pulled: &Pulled) -> String {
    let Pulled { request, how } = pulled;
    line(&json!({
        "type": "pull",
        "number": request.number,
        "commit": request.commit.to_string(),
        "status": how,
        "files": files(request),
        "others": request.others.iter().map(path).collect::<Vec<_>>(),
        "cut": request.is_cut,
    }))
}

/// Returns the line of a pull request in a list.
pub(super) fn pull_request(request: &PullRequest) -> String {
    line(&json!({
        "type": "pull_request",
        "number": request.number,
        "commit": request.commit.to_string(),
        "author": request.author,
        "state": request.state,
        "size": request.size(),
        "files": files(request),
        "others": request.others.iter().map(path).collect::<Vec<_>>(),
        "cut": request.is_cut,
    }))
}

fn files(request: &PullRequest) -> Vec<Value> {
    let facts = request.files.iter().map(|file| {
        json!({
            "path": path(&file.path),
            "oid": file.pointer.map(|pointer| pointer.oid.to_string()),
            "size": file.pointer.map(|pointer| pointer.size),
        })
    });
    facts.collect()
}

/// Returns the last line of a list of pull requests, also after an error.
pub(super) fn listing(listing: Option<&Listing>, failure: Option<&Report>) -> String {
    line(&json!({
        "type": "summary",
        "pull_requests": listing.map(|listing| listing.requests.len()),
        "seen": listing.map(|listing| listing.seen),
        "known": listing.map(|listing| listing.known),
        "reason": failure.map(Report::reason),
        "exit_code": failure.map_or(0, Report::exit_code),
    }))
}

/// Returns the last line of a command without counts.
pub(super) fn end(failure: Option<&Report>) -> String {
    line(&json!({
        "type": "summary",
        "reason": failure.map(Report::reason),
        "exit_code": failure.map_or(0, Report::exit_code),
    }))
}

/// Returns the last line for an invalid command line, and after a panic.
pub(super) fn misused(reason: &str, exit_code: u8) -> String {
    line(&json!({ "type": "summary", "reason": reason, "exit_code": exit_code }))
}

/// Returns the line of one tensor.
pub(super) fn tensor(row: &Row) -> String {
    line(&json!({
        "type": "tensor",
        "name": row.name,
        "dtype": row.dtype.to_string(),
        "shape": row.shape,
        "bytes": row.bytes,
        "tied_to": row.tied_to,
    }))
}

/// Returns the last line of an inspection: its result or its error.
pub(super) fn inspection(inspection: Option<&Inspection>, failure: Option<&Report>) -> String {
    let metadata = |found: &Inspection| -> Map<String, Value> {
        found.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
    };
    line(&json!({
        "type": "summary",
        "format": inspection.map(|found| found.format),
        "size": inspection.map(|found| found.size),
        "tensors": inspection.map(|found| found.tensors.len()),
        "bytes": inspection.map(Inspection::bytes),
        "parameters": inspection.map(Inspection::parameters),
        "metadata": inspection.map(metadata),
        "ignored": inspection.map(|found| ignored(&found.ignored)),
        "dangerous": inspection.and_then(|found| found.dangerous.as_ref()),
        "reason": failure.map(Report::reason),
        "exit_code": failure.map_or(0, Report::exit_code),
        "notes": inspection.map(|found| notes(&found.notes)),
    }))
}

/// Returns the line of a scanned file.
pub(super) fn scanned(scanned: &Scanned) -> String {
    let report = scanned.result.as_ref().ok();
    let global = |global: &GlobalIn| {
        let GlobalIn { module, name, at, verdict } = global;
        json!({ "module": module, "name": name, "at": at, "verdict": verdict.name() })
    };
    let pickle = |pickle: &PickleIn| {
        json!({
            "member": pickle.member,
            "at": pickle.at,
            "verdict": pickle.verdict.name(),
            "globals": pickle.globals.iter().map(global).collect::<Vec<_>>(),
            "reason": pickle.reason,
        })
    };
    let failure = || scanned.result.as_ref().err().map(|error| Report::of(error).reason());
    line(&json!({
        "type": "file",
        "path": path(&scanned.path),
        "blob": scanned.blob.map(|blob| blob.to_string()),
        "oid": scanned.pointer.map(|pointer| pointer.oid.to_string()),
        "size": scanned.size,
        "content": report.map(|report| report.content.name()),
        "verdict": report.map(|report| report.verdict.name()),
        "missing": scanned.is_missing(),
        "pickles": report.map(|report| report.pickles.iter().map(pickle).collect::<Vec<_>>()).unwrap_or_default(),
        "reason": report.and_then(|report| report.reason.clone()).or_else(failure),
        "code": report.map(|report| report.code.iter().map(code).collect::<Vec<_>>()).unwrap_or_default(),
        "checkout": scanned.checkout,
        "commit": scanned.commit.map(|commit| commit.to_string()),
        "model": scanned.far.as_ref().and_then(|far| far.model.as_ref()),
        "revision": scanned.far.as_ref().and_then(|far| far.revision.as_ref()),
        "read": scanned.far.as_ref().map(|far| far.read),
        "left_out": report.filter(|report| report.left_out.members > 0).map(|report| {
            json!({ "members": report.left_out.members, "bytes": report.left_out.bytes })
        }),
    }))
}

/// Returns code outside of pickles.
fn code(code: &CodeIn) -> Value {
    json!({
        "member": code.member,
        "kind": code.kind.name(),
        "name": code.name,
        "verdict": code.verdict.name(),
    })
}

/// Returns the line of a path with a note.
pub(super) fn remark(remark: &Remark) -> String {
    let (note, same_as) = match &remark.about {
        About::Dangling => ("dangling", None),
        About::Directory => ("directory", None),
        About::NoFile => ("not-a-file", None),
        About::Scanned(other) => ("scanned", Some(path(other))),
        About::Outside => ("outside", None),
        About::Untracked => ("untracked", None),
    };
    line(&json!({
        "type": "note",
        "path": path(&remark.path),
        "note": note,
        "target": remark.target.as_ref().map(|target| native(target.as_os_str())),
        "same_as": same_as,
    }))
}

/// Returns the last line of a scan, also after an error.
pub(super) fn scan_summary(tally: &ScanTally, failure: Option<&Report>, exit_code: u8) -> String {
    line(&json!({
        "type": "summary",
        "files": tally.files,
        "clean": tally.clean,
        "weights": tally.weights,
        "unknown": tally.unknown,
        "unreadable": tally.unreadable,
        "dangerous": tally.dangerous,
        "missing": tally.missing,
        "failed": tally.failed,
        "reason": failure.map(Report::reason),
        "exit_code": exit_code,
        "read": tally.read,
        "code": tally.code,
    }))
}

fn notes(notes: &[Note]) -> Vec<Value> {
    notes.iter().map(note).collect()
}

fn ignored(ignored: &[Ignored]) -> Vec<Value> {
    ignored.iter().map(|item| json!({ "path": item.path, "reason": item.reason })).collect()
}

fn note(note: &Note) -> Value {
    match note {
        Note::Unnamed { name } => json!({ "kind": "unnamed", "name": name }),
        Note::Module { path, classes } => json!({ "kind": "module", "path": path, "classes": classes }),
        Note::Tied { kept, dropped, class, more } => {
            json!({ "kind": "tied", "kept": kept, "dropped": dropped, "class": class, "more": more })
        }
        Note::Twin { key } => json!({ "kind": "twin", "key": key }),
        Note::Prefix { prefix, names, of } => {
            json!({ "kind": "prefix", "prefix": prefix, "names": names, "of": of })
        }
        Note::Wrapped { wrapper, names, of } => {
            json!({ "kind": "wrapped", "wrapper": wrapper, "names": names, "of": of })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::{Error, Reason};

    #[test]
    fn a_file_has_every_field_of_the_contract_in_its_order() {
        let outcome = Outcome {
            source: "a.bin".into(),
            output: None,
            status: Status::Refused,
            conversion: None,
            reason: Some(Reason::Error(Error::SourceChanged)),
        };
        assert_eq!(
            file(&outcome),
            "{\"type\":\"file\",\"source\":\"a.bin\",\"output\":null,\"status\":\"refused\",\"oid\":null,\
             \"size\":null,\"source_oid\":null,\"format\":null,\"tensors\":null,\"dropped\":[],\"ignored\":[],\
             \"reason\":\"the file changed while it was read\",\"copies\":[],\"notes\":[]}"
        );
    }
}
