//! Writes SARIF 2.1.0, for tools that show findings next to the code.
//!
//! Invariant: every result has a rule, a level, a message and one location, whose URI is relative to the top of the
//! scanned files and percent-encoded. Source: OASIS's "Static Analysis Results Interchange Format Version 2.1.0", 3.13
//! to 3.52.

use std::fmt::Write as _;

use bstr::BStr;
use serde_json::{Value, json};

use super::error::Report;
use super::sanitize;
use crate::actions::scan::{Scanned, Standing};
use crate::remote::escape;
use crate::scan::Verdict;

/// How many globals a message names.
const NAMED: usize = 5;

/// ID, level, a description, and what to do.
const RULES: [(&str, &str, &str, &str); 6] = [
    (
        "pickle-weights",
        "warning",
        "Pickle checkpoint",
        "The file uses only allowed globals. Convert it with `git st-convert`.",
    ),
    (
        "pickle-unknown",
        "warning",
        "Pickle with unknown globals",
        "Loading the file runs code outside PyTorch's allowed globals. Convert its weights with `git st-convert`.",
    ),
    ("pickle-dangerous", "error", "Pickle with dangerous globals", "Do not load this file."),
    (
        "pickle-unreadable",
        "error",
        "Unreadable pickle",
        "Do not load this file: the pickle cannot be parsed to its end.",
    ),
    (
        "content-not-seen",
        "note",
        "File not scanned",
        "The content is not downloaded or not readable. Fetch it and scan again.",
    ),
    (
        "other-code",
        "note",
        "Code outside of pickles",
        "Read the code before an option or another program executes it.",
    ),
];

/// The results so far.
#[derive(Debug, Default)]
pub(super) struct Sarif {
    results: Vec<Value>,
    notifications: Vec<Value>,
}

impl Sarif {
    /// Adds a file, if it has a finding.
    pub(super) fn add(&mut self, scanned: &Scanned) {
        let (rule, message) = match &scanned.result {
            Ok(report) => {
                let rule = match report.verdict {
                    Verdict::Clean if report.code.is_empty() => return,
                    Verdict::Clean => 5,
                    Verdict::Weights => 0,
                    Verdict::Unknown => 1,
                    Verdict::Dangerous => 2,
                    Verdict::Unreadable if scanned.standing() == Standing::Noted => return,
                    Verdict::Unreadable => 3,
                };
                let mut message = format!("Found: {}; verdict: {}.", report.content, report.verdict.name());
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
                    let _ = write!(message, " Imports {module}.{name} at byte {at}{place}.");
                }
                for code in report.code.iter().take(NAMED) {
                    let place =
                        code.member.as_deref().map(|member| format!(" in {member}")).unwrap_or_default();
                    let name = code.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
                    let _ = write!(message, " Code ({}):{name}{place}.", code.kind.name());
                }
                if report.left_out.members > 0 {
                    let _ = write!(message, " Not read: {} storages.", report.left_out.members);
                }
                let reasons = report
                    .reason
                    .iter()
                    .chain(report.pickles.iter().filter_map(|pickle| pickle.reason.as_ref()));
                if let Some(reason) = reasons.into_iter().next() {
                    let _ = write!(message, " Not parsed to the end: {reason}.");
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

    /// Returns the whole log, in lines.
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

/// Returns a relative reference: every character except unreserved ones and `/` is percent-encoded.
fn uri(path: &BStr) -> String {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    escape(path, |byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte))
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
