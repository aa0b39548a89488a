//! What brings the person nearer to what they want whose file is refused.

use bstr::BStr;

use super::super::names;
use super::{Advice, GuardFinding, Ruling};
use crate::checkpoint::{self, Error, Options};
use crate::read_at::ReadAt;
use crate::scan::Report;

/// The advice for a finding, by its content, of which `None` is here.
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
    // Behind a file that is not here, weights are the rule.
    let Some(source) = source else { return Advice::Replace };
    match checkpoint::plan(source, &Options::default()) {
        Ok(plan) if plan.ignored.is_empty() => Advice::Replace,
        // Of several state dicts the conversion says which `--key` there is.
        Ok(_) | Err(Error::Ambiguous { .. }) => Advice::ConvertAndKeepOut,
        Err(Error::TrainingState | Error::NoTensors) => Advice::KeepOut,
        Err(_) => Advice::Unstage,
    }
}
