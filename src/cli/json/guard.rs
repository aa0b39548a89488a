//! Formats the JSON lines of a hook.

use serde_json::json;

use super::super::error::Report;
use super::text::{line, native, path};
use crate::actions::guard::install::{Hook, InstallReport, InstalledHook};
use crate::actions::guard::{GuardFinding, Guarded, Ruling};

/// Returns the line of a file with a finding.
pub(in crate::cli) fn finding(finding: &GuardFinding) -> String {
    let report = finding.report.as_ref();
    let (state, why) = match &finding.ruling {
        Ruling::Refused => ("refused", None),
        Ruling::Unchecked => ("unchecked", None),
        Ruling::Unseen => ("unseen", None),
        Ruling::Known => ("known", None),
        Ruling::Allowed { reason } => ("allowed", Some(reason)),
    };
    line(&json!({
        "type": "finding",
        "path": path(&finding.path),
        "status": state,
        "judged_by": if report.is_some() { "content" } else { "name" },
        "format": report.map(|report| report.content.name()),
        "verdict": report.map(|report| report.verdict.name()),
        "lfs": finding.is_lfs,
        "size": finding.size,
        "oid": finding.oid.map(|oid| oid.to_string()),
        "blob": finding.blob.map(|blob| blob.to_string()),
        "dangerous": finding.dangerous(),
        "reason": why.or(finding.reason.as_ref()),
        "checkout": finding.checkout,
        "commit": finding.commit.map(|commit| commit.to_string()),
        "attributes": finding.attributes.iter().map(path).collect::<Vec<_>>(),
    }))
}

/// Returns the last line of a hook, also after an error.
pub(in crate::cli) fn guarded(answer: Option<&Guarded>, failure: Option<&Report>, exit_code: u8) -> String {
    let count = |state: &Ruling| answer.map(|answer| answer.count(state));
    line(&json!({
        "type": "summary",
        "files": answer.map(|answer| answer.files),
        "judged_by_name": answer.map(|answer| answer.by_name),
        "refused": count(&Ruling::Refused),
        "unchecked": count(&Ruling::Unchecked),
        "unseen": count(&Ruling::Unseen),
        "known": count(&Ruling::Known),
        "allowed": count(&Ruling::Allowed { reason: String::new() }),
        "reason": failure.map(Report::reason),
        "exit_code": exit_code,
    }))
}

/// Returns the line of a hook that was installed, removed or found.
pub(in crate::cli) fn hook(place: &InstalledHook) -> String {
    line(&json!({
        "type": "hook",
        "name": place.hook.name(),
        "path": native(place.path.as_os_str()),
        "status": place.state,
        "previous": place.has_previous,
    }))
}

/// Returns the last line of `hook install`, `uninstall` and `status`.
pub(in crate::cli) fn hooks(report: &InstallReport) -> String {
    line(&json!({
        "type": "summary",
        "guarded": {
            "commits": report.is_guarded(Hook::PreCommit),
            "merges": report.is_guarded(Hook::PreMergeCommit),
            "pushes": report.is_guarded(Hook::PrePush),
            "received": report.is_guarded(Hook::PreReceive),
        },
        "reason": null,
        "exit_code": 0,
    }))
}
