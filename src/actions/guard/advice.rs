//! [`Advice`]: what brings the person nearer to what they want whose file is refused.

use bstr::BStr;

use super::super::names;
use super::{GuardFinding, Ruling};
use crate::checkpoint::{self, Error, Options};
use crate::read_at::ReadAt;
use crate::scan::Report;

/// What to do about a file that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Convert it, and let the conversion take its place.
    Replace,
    /// Convert it, and keep it: it has more than weights, which the conversion leaves out.
    ConvertAndKeepOut,
    /// Keep it out of git: it is training state, or has no weights.
    KeepOut,
    /// Take it out of the index: nothing is known that could be made of it.
    Unstage,
}

impl Advice {
    /// Of a finding, by its content, of which `None` is here.
    pub(super) fn of(finding: &GuardFinding, source: Option<&dyn ReadAt>) -> Self {
        let path: &BStr = finding.path.as_ref();
        let holds_pickle = finding.report.as_ref().is_none_or(Report::holds_pickle);
        if finding.ruling != Ruling::Refused || finding.dangerous().is_some() {
            return Self::Unstage;
        }
        if holds_pickle && names::is_training_state(path) {
            return Self::KeepOut;
        }
        if !finding.is_convertible() {
            return Self::Unstage;
        }
        // Behind a file that is not here, weights are the rule.
        let Some(source) = source else { return Self::Replace };
        match checkpoint::plan(source, &Options::default()) {
            Ok(plan) if plan.ignored.is_empty() => Self::Replace,
            // Of several state dicts the conversion says which `--key` there is.
            Ok(_) | Err(Error::Ambiguous { .. }) => Self::ConvertAndKeepOut,
            Err(Error::TrainingState | Error::NoTensors) => Self::KeepOut,
            Err(_) => Self::Unstage,
        }
    }
}
