//! [`GuardFinding`]: a file that is worth a word, and what is known of it.

use bstr::BString;

use crate::hash::Oid;
use crate::repo::ObjectId;
use crate::scan::{Report, Verdict};

/// What became of a file that is worth a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// A pickle, or a name of one whose content is not here.
    Refused,
    /// Nobody could look into it.
    Unchecked,
    /// Nobody could, and its name says that it is something else than weights.
    Unseen,
    /// A pickle that `HEAD` has already, under this name or another.
    Known,
    /// A pickle that an exception names.
    Allowed {
        /// Why it is wanted.
        reason: String,
    },
}

/// A file that is worth a word.
#[derive(Debug)]
pub struct GuardFinding {
    /// From the top of the repository.
    pub path: BString,
    /// What became of it.
    pub ruling: Ruling,
    /// `true` if it is a Git LFS pointer.
    pub is_lfs: bool,
    /// The length of its content; of a blob that is not here nobody knows it.
    pub size: Option<u64>,
    /// The SHA-256 of its content, where that is known without reading much.
    pub oid: Option<Oid>,
    /// The blob.
    pub blob: Option<ObjectId>,
    /// What its content is; `None` if it was judged by its name.
    pub report: Option<Report>,
    /// Why nobody could look into it.
    pub reason: Option<String>,
    /// What is done to the blob in a checkout, where that is what was judged, and not the blob.
    pub checkout: Option<String>,
    /// The commit that brings it to a push.
    pub commit: Option<ObjectId>,
    /// Where that commit stands.
    pub position: Position,
    /// What git has of it.
    pub tracking: Tracking,
    /// The attributes files whose change brings it.
    pub attributes: Vec<BString>,
    /// What to do about it.
    pub advice: Advice,
    /// Returns `true` if the file that a conversion writes exists, as `HEAD` has it.
    pub has_output: bool,
    /// Returns `true` if `HEAD` has the path.
    pub is_in_head: bool,
}

/// What git has of a file that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tracking {
    /// It comes: the index has it, and `HEAD` has not, or a pushed commit brings it.
    #[default]
    Arriving,
    /// The index has it as `HEAD` has it. Somebody named it.
    Committed,
    /// Nothing. Somebody named it.
    Untracked,
}

/// Where the commit stands that brings a file to a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// It is not of the branch that is checked out, or nothing is known of it.
    #[default]
    Unknown,
    /// It is what is checked out, so that `git commit --amend` mends it; on a server, what is pushed.
    Tip,
    /// It is below.
    Below,
    /// It is below, and the first of all.
    Root,
}

impl GuardFinding {
    /// Returns `true` if it can be converted: torch weights, and nothing else.
    pub fn is_convertible(&self) -> bool {
        use crate::scan::Content::{Legacy, TorchScript, TorchZip};
        self.report.as_ref().is_none_or(|report| {
            matches!(report.content, TorchZip | TorchScript | Legacy) && report.verdict != Verdict::Dangerous
        })
    }

    /// Returns `true` if an exception can name it. What a checkout makes of a long blob is seen in its first bytes, and
    /// nobody has all of them.
    pub fn can_be_allowed(&self) -> bool {
        self.oid.is_some() || self.checkout.is_none() || self.size.is_some()
    }

    /// What its pickle is known to execute.
    pub fn dangerous(&self) -> Option<String> {
        let report = self.report.as_ref()?;
        let globals = report.globals();
        let (_, worst) = globals.first().filter(|(_, global)| global.verdict == Verdict::Dangerous)?;
        Some(format!("{}.{}", worst.module, worst.name))
    }
}

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
