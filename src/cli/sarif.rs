//! SARIF 2.1.0: what was found, for tools that show findings beside the code.
//!
//! Invariant: every result has a rule, a level, a message and one place, whose URI is relative to the top of what was
//! scanned and percent-encoded. Source: OASIS's "Static Analysis Results Interchange Format Version 2.1.0", 3.13 to 3.52.

use std::fmt::Write as _;

use bstr::BStr;
use serde_json::{Value, json};

use super::error::Report;
use super::sanitize;
use crate::actions::scan::{Scanned, Standing};
use crate::scan::Verdict;

/// How many globals a message names.
const NAMED: usize = 5;

/// Id, level, a line about it, and what to do.
const RULES: [(&str, &str, &str, &str); 5] = [
    (
        "pickle-weights",
        "warning",
        "Weights in a pickle",
        "The pickle names only what checkpoints of weights are made of. Convert it with `git st-convert`.",
    ),
    (
        "pickle-unknown",
        "warning",
        "A pickle that names code outside of weights",
        "Loading it would call what it names. Convert the weights in it with `git st-convert`.",
    ),
    (
        "pickle-dangerous",
        "error",
        "A pickle that names what is known to execute",
        "Do not load this file. Find out where it came from.",
    ),
    (
        "pickle-unreadable",
        "error",
        "A file that may hold a pickle and cannot be read to its end",
        "Do not load this file unless you know why it is not well-formed.",
    ),
    (
        "content-not-seen",
        "note",
        "A file that could not be looked at",
        "Its content is not on this machine, or could not be read. Fetch it and scan again.",
    ),
];

/// The results so far.
#[derive(Debug, Default)]
pub(super) struct Sarif {
    results: Vec<Value>,
    notifications: Vec<Value>,
}

impl Sarif {
    /// Adds a file, if there is something to say of it.
    pub(super) fn add(&mut self, scanned: &Scanned) {
        let (rule, message) = match &scanned.result {
            Ok(report) => {
                let rule = match report.verdict {
                    Verdict::Clean => return,
                    Verdict::Weights => 0,
                    Verdict::Unknown => 1,
                    Verdict::Dangerous => 2,
                    Verdict::Unreadable if scanned.standing() == Standing::Noted => return,
                    Verdict::Unreadable => 3,
                };
                let mut message = format!("This is {}; verdict: {}.", report.content, report.verdict.name());
                if let Some(checkout) = &scanned.checkout {
                    let _ = write!(message, " So a checkout writes it: {checkout}.");
                }
                let globals = report.globals();
                let named =
                    globals.iter().filter(|(_, global)| global.verdict > Verdict::Weights).take(NAMED);
                for (pickle, global) in named {
                    let place =
                        pickle.member.as_deref().map(|member| format!(" of {member}")).unwrap_or_default();
                    let (module, name, at) = (&global.module, &global.name, global.at);
                    let _ = write!(message, " It names {module}.{name} at byte {at}{place}.");
                }
                if report.left_out.members > 0 {
                    let _ = write!(message, " Not read: {} storages.", report.left_out.members);
                }
                let reasons = report
                    .reason
                    .iter()
                    .chain(report.pickles.iter().filter_map(|pickle| pickle.reason.as_ref()));
                if let Some(reason) = reasons.into_iter().next() {
                    let _ = write!(message, " Not read to its end: {reason}.");
                }
                (rule, message)
            }
            Err(_) if scanned.standing() == Standing::Noted => return,
            Err(error) => (4, Report::of(error).reason()),
        };
        let (id, level, ..) = RULES[rule];
        self.results.push(json!({
            "ruleId": id,
            "ruleIndex": rule,
            "level": level,
            "message": { "text": sanitize::text(&message) },
            "locations": [{
                "physicalLocation": {
                    "artifactLocation": { "uri": uri(scanned.path.as_ref()) },
                    "region": { "startLine": 1 },
                },
            }],
        }));
    }

    /// The whole log, in lines.
    pub(super) fn finish(mut self, failure: Option<&Report>, exit_code: u8) -> String {
        if let Some(failure) = failure {
            self.notifications.push(json!({ "level": "error", "message": { "text": failure.reason() } }));
        }
        let rules = RULES.iter().map(|(id, level, short, help)| {
            json!({
                "id": id,
                "shortDescription": { "text": short },
                "help": { "text": help },
                "defaultConfiguration": { "level": level },
            })
        });
        let log = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {
                    "driver": {
                        "name": "git-st-convert",
                        "version": env!("CARGO_PKG_VERSION"),
                        "rules": rules.collect::<Vec<_>>(),
                    },
                },
                "invocations": [{
                    "executionSuccessful": failure.is_none(),
                    "exitCode": exit_code,
                    "toolExecutionNotifications": self.notifications,
                }],
                "columnKind": "unicodeCodePoints",
                "results": self.results,
            }],
        });
        serde_json::to_string_pretty(&log).unwrap_or_default()
    }
}

/// A relative reference: what is not unreserved, or `/`, is percent-encoded.
fn uri(path: &BStr) -> String {
    let mut out = String::with_capacity(path.len());
    for &byte in path.strip_prefix(b"./").unwrap_or(path) {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_relative_reference() {
        assert_eq!(uri("a b/ü#1:?.bin".into()), "a%20b/%C3%BC%231%3A%3F.bin");
        assert_eq!(uri(b"\xff%".as_slice().into()), "%FF%25");
    }
}
