//! Chooses the hint for a rejected file.

use bstr::BStr;

use super::super::names;
use super::{Advice, GuardFinding, Ruling};
use crate::checkpoint::{self, Error, Options};
use crate::read_at::ReadAt;
use crate::scan::Report;

/// Returns the advice for a finding, by its content; `None` if the content is not local.
pub(super) fn of(finding: &GuardFinding, source: Option<&dyn ReadAt>) -> Advice {
    let path: &BStr = finding.path.as_ref();
    let holds_pickle = finding.report.as_ref().is_none_or(Report::holds_pickle);
    if finding.ruling != Ruling::Refused || finding.dangerous().is_some() {
        return Advice::Unstage;
    }
    if holds_pickle && names::is_training_state(path) {
        return Advice::KeepOut;
    }
    if !finding.is_convertible() {
        return Advice::Unstage;
    }
    // A missing file is most likely weights.
    let Some(source) = source else { return Advice::Replace };
    match checkpoint::plan(source, &Options::default()) {
        Ok(plan) if plan.ignored.is_empty() => Advice::Replace,
        // For several state dicts, the conversion lists the possible `--key`s.
        Ok(_) | Err(Error::Ambiguous { .. }) => Advice::ConvertAndKeepOut,
        Err(Error::TrainingState | Error::NoTensors) => Advice::KeepOut,
        Err(_) => Advice::Unstage,
    }
}
