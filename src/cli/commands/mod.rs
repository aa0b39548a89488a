//! One file a command: it resolves the arguments, calls the library, and prints the outcome.

pub(super) mod batch;
pub(super) mod clone;
pub(super) mod completions;
pub(super) mod convert;
pub(super) mod demo;
pub(super) mod hook;
pub(super) mod inspect;
pub(super) mod man;
pub(super) mod publish;
pub(super) mod pull;
pub(super) mod scan;
pub(in crate::cli) mod verify;

use super::error::Report;
use super::ui::Ui;
use crate::actions::Error;

/// What ended a command, told as the last line of `--json`, too.
fn failed(error: &Error, ui: &Ui, last: impl FnOnce(Option<&Report>) -> String) -> Report {
    let report = Report::of(error);
    if ui.json {
        ui.data(&last(Some(&report)));
    }
    report
}
