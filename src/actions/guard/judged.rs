//! [`Judged`] is the result for one file, before exceptions apply, with its bytes if they are local.

use bstr::{BStr, ByteSlice as _};

use super::super::checkouts::Converted;
use super::super::{Error, content, names};
use super::{GuardFinding, Ruling};
use crate::git::{self, Git};
use crate::hash::Oid;
use crate::lfs::Pointer;
use crate::read_at::{FileSource, ReadAt};
use crate::repo::ObjectId;
use crate::scan::Report;

/// The result for a file, before exceptions apply.
pub(super) struct Judged {
    pub(super) finding: GuardFinding,
    /// `true` if it is not clean.
    pub(super) is_worth_a_word: bool,
    pub(super) is_by_name: bool,
    /// `true` if it need not be reported when `HEAD` has the blob.
    pub(super) may_be_known: bool,
    pub(super) content: Bytes,
}

/// The bytes of a file.
pub(super) enum Bytes {
    Memory(Vec<u8>),
    File(FileSource),
    /// None: those of a pointer need not be read, those of a missing file cannot be read.
    None,
}

impl Judged {
    /// Returns the bytes, if they are local.
    pub(super) fn source(&self) -> Option<&dyn ReadAt> {
        match &self.content {
            Bytes::Memory(bytes) => Some(bytes),
            Bytes::File(file) => Some(file),
            Bytes::None => None,
        }
    }

    /// Returns the SHA-256 of the content, and reads it if needed; `None` if that is not possible.
    pub(super) fn oid(&self, git: &Git<'_>) -> Result<Option<Oid>, Error> {
        if self.finding.oid.is_some() {
            return Ok(self.finding.oid);
        }
        Ok(match &self.content {
            Bytes::Memory(bytes) => Some(Oid::of(bytes)),
            Bytes::File(file) => {
                let path = self.finding.path.to_str_lossy();
                Some(content::oid(file, &()).map_err(Error::io("read", path.as_ref()))?)
            }
            // Only its first bytes were checked.
            Bytes::None if self.finding.can_be_allowed() && self.finding.report.is_some() => {
                self.finding.blob.and_then(|blob| git::incoming::sha256_of(git, blob))
            }
            Bytes::None => None,
        })
    }
}

pub(super) fn judged(
    path: &BStr,
    blob: Option<ObjectId>,
    size: u64,
    report: Report,
    content: Bytes,
) -> Judged {
    let is_refused =
        report.holds_pickle() || report.executes() || report.is_opaque() && names::is_pickle_like(path);
    let is_worth_a_word = is_refused || report.is_opaque();
    let oid = match &content {
        Bytes::Memory(bytes) if is_worth_a_word => Some(Oid::of(bytes)),
        _ => None,
    };
    let finding = GuardFinding {
        ruling: match is_refused {
            true => Ruling::Refused,
            false if names::is_of_another_kind(path) => Ruling::Unseen,
            false => Ruling::Unchecked,
        },
        size: Some(size),
        oid,
        reason: report.reason.clone().filter(|_| !report.holds_pickle() && !report.executes()),
        report: Some(report),
        path: path.to_owned(),
        blob,
        ..GuardFinding::default()
    };
    Judged { finding, is_worth_a_word, is_by_name: false, may_be_known: true, content }
}

/// Returns the result for what a checkout makes of a blob, which is worse than the blob. Its name has no effect.
pub(super) fn converted(path: &BStr, blob: ObjectId, converted: Converted) -> Judged {
    let Converted { by, report, size, oid } = converted;
    let mut judged = judged(path, Some(blob), size.unwrap_or_default(), report, Bytes::None);
    if judged.finding.ruling == Ruling::Unseen {
        judged.finding.ruling = Ruling::Unchecked;
    }
    (judged.finding.size, judged.finding.oid) = (size, oid);
    judged.finding.checkout = Some(by);
    // `HEAD` may have the blob, without a checkout that makes this of it.
    judged.may_be_known = false;
    judged
}

pub(super) fn by_name(path: &BStr, blob: Option<ObjectId>, pointer: Option<Pointer>, reason: &str) -> Judged {
    let finding = GuardFinding {
        is_lfs: pointer.is_some(),
        size: pointer.map(|pointer| pointer.size),
        oid: pointer.map(|pointer| pointer.oid),
        reason: Some(reason.to_owned()),
        path: path.to_owned(),
        blob,
        ..GuardFinding::default()
    };
    let is_worth_a_word = names::is_pickle_like(path);
    Judged { finding, is_worth_a_word, is_by_name: true, may_be_known: true, content: Bytes::None }
}
