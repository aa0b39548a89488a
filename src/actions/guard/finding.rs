//! [`GuardFinding`] is a file to report, with the known facts about it.

use bstr::BString;

use crate::hash::Oid;
use crate::repo::ObjectId;
use crate::scan::{Report, Verdict};

/// The result for a file to report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ruling {
    /// A pickle, or the name of one whose content is not local.
    #[default]
    Refused,
    /// The content could not be scanned.
    Unchecked,
    /// The content could not be scanned, and the name indicates a format other than weights.
    Unseen,
    /// A pickle that `HEAD` already contains, under this name or another.
    Known,
    /// A pickle that an exception allows.
    Allowed {
        /// The reason of the exception.
        reason: String,
    },
}

/// A file to report.
#[derive(Debug, Default)]
pub struct GuardFinding {
    /// Its path from the top of the repository.
    pub path: BString,
    /// The result.
    pub ruling: Ruling,
    /// `true` if it is a Git LFS pointer.
    pub is_lfs: bool,
    /// The length of its content; not known for a missing blob.
    pub size: Option<u64>,
    /// The SHA-256 of its content, if it is known without a long read.
    pub oid: Option<Oid>,
    /// The blob.
    pub blob: Option<ObjectId>,
    /// The report on its content; `None` if only its name was checked.
    pub report: Option<Report>,
    /// Why the content could not be scanned.
    pub reason: Option<String>,
    /// The conversion by a checkout, if its result was checked and not the blob.
    pub checkout: Option<String>,
    /// The commit that adds it to a push.
    pub commit: Option<ObjectId>,
    /// The position of that commit.
    pub position: Position,
    /// Its state in git.
    pub tracking: Tracking,
    /// The attributes files whose change adds it.
    pub attributes: Vec<BString>,
    /// The advice about it.
    pub advice: Advice,
    /// `true` if `HEAD` contains the file that a conversion writes, unchanged.
    pub has_output: bool,
    /// `true` if `HEAD` has the path.
    pub is_in_head: bool,
}

/// The state of a checked file in git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tracking {
    /// New: the index has it, and `HEAD` does not, or a pushed commit adds it.
    #[default]
    Arriving,
    /// The index and `HEAD` have the same version. The user named it.
    Committed,
    /// Untracked. The user named it.
    Untracked,
}

/// The position of the commit that adds a file to a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// Not on the current branch, or not known.
    #[default]
    Unknown,
    /// The current commit, so that `git commit --amend` fixes it; on a server, the pushed one.
    Tip,
    /// An ancestor of it.
    Below,
    /// An ancestor of it, and the root commit.
    Root,
}

impl GuardFinding {
    /// Returns `true` if it can be converted: it contains PyTorch weights, and nothing else.
    pub fn is_convertible(&self) -> bool {
        use crate::scan::Content::{Legacy, TorchScript, TorchZip};
        self.report.as_ref().is_none_or(|report| {
            matches!(report.content, TorchZip | TorchScript | Legacy) && report.verdict != Verdict::Dangerous
        })
    }

    /// Returns `true` if an exception can name it. Only the first bytes of what a checkout makes of a long blob are
    /// known, so that cannot be allowed.
    pub fn can_be_allowed(&self) -> bool {
        self.oid.is_some() || self.checkout.is_none() || self.size.is_some()
    }

    /// Returns the globals that its pickle imports and that are known to execute code.
    pub fn dangerous(&self) -> Option<String> {
        let report = self.report.as_ref()?;
        let globals = report.globals();
        let (_, worst) = globals.first().filter(|(_, global)| global.verdict == Verdict::Dangerous)?;
        Some(format!("{}.{}", worst.module, worst.name))
    }
}

/// The advice about a rejected file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Advice {
    /// Convert it, and replace it by the result.
    Replace,
    /// Convert it, and keep it out of git: it contains more than weights, which the conversion leaves out.
    ConvertAndKeepOut,
    /// Keep it out of git: it is training state, or has no weights.
    KeepOut,
    /// Unstage it: it cannot be converted.
    #[default]
    Unstage,
}
