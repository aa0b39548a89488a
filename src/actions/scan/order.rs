//! [`Scan`] scans files of this machine on several threads, and reports each result in its turn.
//!
//! Invariant: everything is reported in the order in which it was passed on. The files that are scanned at once stay
//! within the limits of one file; a file that these limits cut is scanned again, by itself, with all of them.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use bstr::BString;

use super::super::content::LocalFile;
use super::super::jobs::{Jobs, Pool};
use super::super::{Error, Reporter};
use super::{About, Remark, ScanEvent, Scanned, Seen};
use crate::lfs::Pointer;
use crate::read_at::ReadAt;
use crate::repo::ObjectId;
use crate::scan::{Limits, Report, scan as scan_content};

/// How many files may be open per thread: one in work, the others waiting for it or for their turn.
const OPEN: usize = 4;

/// A file and its result.
type Looked = (LocalFile, io::Result<Report>);

/// The state of a scan.
pub(super) struct Scan<'a> {
    pub(super) limits: Limits,
    pub(super) reporter: &'a dyn Reporter,
    tell: &'a mut dyn FnMut(&ScanEvent<'_>),
    pool: &'a mut Pool<LocalFile, Looked>,
    /// How many files may be open.
    open: usize,
    waiting: VecDeque<Waiting>,
}

/// A report that waits for those before it.
enum Waiting {
    /// A result.
    File(Box<Scanned>),
    /// A note.
    Remark(Remark),
    /// A file with this path, which is the next in the pool.
    Begun(BString),
}

/// Runs `body`, which passes on files and notes, and reports them in this order.
pub(super) fn in_order(
    jobs: Jobs,
    reporter: &dyn Reporter,
    tell: &mut dyn FnMut(&ScanEvent<'_>),
    body: impl FnOnce(&mut Scan<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let limits = Limits::default();
    let shared = share(limits.clone(), jobs.count());
    let look = |source: LocalFile| {
        let report = scan_content(&source.file, &shared);
        (source, report)
    };
    jobs.run(look, |pool| {
        let (open, waiting) = (OPEN.saturating_mul(jobs.count()), VecDeque::new());
        let mut scan = Scan { limits, reporter, tell, pool, open, waiting };
        match body(&mut scan) {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            // What ended the scan came after the files that wait.
            done => scan.report(0).and(done),
        }
    })
    .map_err(Error::io("start", "a thread"))?
}

/// Returns the limits of one of several files that are scanned at once: together they stay within the limits of one.
pub(super) fn share(mut limits: Limits, count: usize) -> Limits {
    limits.inflated /= count as u64;
    limits.pickle.bytes /= count as u64;
    limits.pickle.memory /= count;
    limits
}

impl Scan<'_> {
    /// Passes on the result of a file.
    pub(super) fn told(
        &mut self,
        path: BString,
        ids: (Option<ObjectId>, Option<ObjectId>),
        seen: Result<Seen, Error>,
    ) -> Result<(), Error> {
        self.wait(Waiting::File(Box::new(scanned(path, ids, seen))))
    }

    /// Passes on a file, which is scanned while others are found.
    pub(super) fn begin(&mut self, path: BString, source: LocalFile) -> Result<(), Error> {
        self.pool.begin(source);
        self.wait(Waiting::Begun(path))
    }

    /// Passes on a note about a path; `file` is its file.
    pub(super) fn remark(&mut self, path: BString, file: &Path, about: About) -> Result<(), Error> {
        let target = std::fs::read_link(file).ok();
        self.wait(Waiting::Remark(Remark { path, target, about }))
    }

    fn wait(&mut self, next: Waiting) -> Result<(), Error> {
        self.waiting.push_back(next);
        self.report(self.open)
    }

    /// Reports what does not wait for a file, and waits for files until at most `open` are open.
    fn report(&mut self, open: usize) -> Result<(), Error> {
        loop {
            let is_due = |next: &Waiting| !matches!(next, Waiting::Begun(_));
            if self.pool.pending() <= open && !self.waiting.front().is_some_and(is_due) {
                return Ok(());
            }
            let Some(next) = self.waiting.pop_front() else { return Ok(()) };
            self.reporter.check_interrupted()?;
            match next {
                Waiting::File(scanned) => (self.tell)(&ScanEvent::File(&scanned)),
                Waiting::Remark(remark) => (self.tell)(&ScanEvent::Remark(&remark)),
                Waiting::Begun(path) => {
                    let Some((source, report)) = self.pool.first() else { return Ok(()) };
                    let seen = match report {
                        // The smaller limits of this file may be the cause.
                        Ok(report) if report.is_unreadable_in_part() => self.source(&source),
                        Ok(report) => Ok(seen(&source, report)),
                        Err(error) => Err(Error::io("read", &source.path)(error)),
                    };
                    (self.tell)(&ScanEvent::File(&scanned(path, (None, None), seen)));
                }
            }
        }
    }

    pub(super) fn source(&self, source: &LocalFile) -> Result<Seen, Error> {
        Ok(seen(source, self.content(&source.file, &source.path)?))
    }

    pub(super) fn content(&self, source: &dyn ReadAt, path: &Path) -> Result<Report, Error> {
        scan_content(source, &self.limits).map_err(Error::io("read", path))
    }
}

fn seen(source: &LocalFile, report: Report) -> Seen {
    let (pointer, size) = (source.pointer, Some(source.file.len()));
    Seen { pointer, size, report, ..Seen::default() }
}

fn scanned(
    path: BString,
    (blob, commit): (Option<ObjectId>, Option<ObjectId>),
    seen: Result<Seen, Error>,
) -> Scanned {
    match seen {
        Ok(Seen { pointer, size, report, checkout, far }) => {
            Scanned { path, blob, pointer, size, result: Ok(report), checkout, commit, far }
        }
        Err(error) => {
            let (pointer, size) = match &error {
                &Error::NoObject { oid, size } => (Some(Pointer { oid, size }), Some(size)),
                _ => (None, None),
            };
            Scanned { path, blob, pointer, size, result: Err(error), checkout: None, commit, far: None }
        }
    }
}
