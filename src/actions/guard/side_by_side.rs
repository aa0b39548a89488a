//! [`SideBySide`] checks staged pointers with local objects on several threads, before the other files.
//!
//! A pointer costs two small files in directories that no other file uses, so opening them is almost the whole cost.
//!
//! Invariant: its result is that of [`Judge::arrival`](super::judge::Judge::arrival); it returns none in an unusual
//! case (not a pointer, an object elsewhere, a report that a limit ended). All threads together stay within the limits
//! of one file.

use std::fs::Metadata;
use std::num::NonZero;
use std::thread;

use bstr::ByteSlice as _;

use super::super::Reporter;
use super::super::arrivals::Arrival;
use super::super::jobs::Jobs;
use super::changes::Change;
use super::judged::{Bytes, Judged, judged};
use crate::lfs::{Directory, Pointer, Store, pointer};
use crate::read_at::{FileSource, ReadAt as _};
use crate::repo::{Database, Mode, ShortBlobs};
use crate::scan::{self, Limits};

/// The most threads, and the files that one takes at a time, which are worth one more thread.
const THREADS: usize = 8;
const STEP: usize = 128;

pub(super) struct SideBySide<'a> {
    pub(super) database: &'a Database,
    pub(super) store: &'a Store,
    pub(super) limits: &'a Limits,
}

impl SideBySide<'_> {
    /// Returns the results, in the order of `changes`.
    pub(super) fn judge(&self, changes: &[Change], reporter: &dyn Reporter) -> Vec<Option<Judged>> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let jobs = Jobs::of(Some(cores.min(THREADS).min(changes.len() / STEP)));
        let mut limits = self.limits.clone();
        let share = u64::try_from(jobs.count()).unwrap_or(1);
        limits.inflated /= share;
        limits.pickle.bytes /= share;
        limits.pickle.memory /= jobs.count();
        let (objects, blobs) = (self.store.objects(), self.database.short_blobs());
        let work = |(blobs, changes): (ShortBlobs, &[Change])| {
            let mut one = One { blobs, objects: &objects, limits: &limits };
            let judge = |change: &Change| match change {
                Change::Arrival(arrival) if !reporter.is_interrupted() => one.judge(arrival),
                _ => None,
            };
            changes.iter().map(judge).collect::<Vec<_>>()
        };
        jobs.run(work, |pool| {
            changes.chunks(STEP).for_each(|step| pool.begin((blobs.another(), step)));
            std::iter::from_fn(|| pool.first()).flatten().collect()
        })
        // Without a thread, the caller checks all of them.
        .unwrap_or_else(|_| changes.iter().map(|_| None).collect())
    }
}

/// What is checked together.
struct One<'a> {
    blobs: ShortBlobs,
    objects: &'a Directory,
    limits: &'a Limits,
}

impl One<'_> {
    /// Checks an arrival that is a pointer to a local object.
    fn judge(&mut self, arrival: &Arrival) -> Option<Judged> {
        if arrival.before.is_some() || arrival.version.mode == Mode::Symlink {
            return None;
        }
        let text = self.blobs.find(arrival.version.id).filter(|text| text.len() < pointer::MAX_LEN)?;
        let pointer = Pointer::parse(text).ok()?;
        let file = self.objects.open_itself(&Store::name_of(pointer.oid)).ok()?;
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        let object = FileSource::known(file, &metadata);
        if object.len() != pointer.size {
            return None;
        }
        let report = scan::scan(&object, self.limits).ok()?;
        // A smaller limit may be the reason.
        if report.is_unreadable_in_part() {
            return None;
        }
        let (path, blob) = (arrival.path.as_bstr(), Some(arrival.version.id));
        let mut judged = judged(path, blob, pointer.size, report, Bytes::File(object));
        judged.finding.is_lfs = true;
        judged.finding.oid = Some(pointer.oid);
        judged.finding.commit = arrival.commit;
        judged.finding.attributes.clone_from(&arrival.by);
        if !judged.is_worth_a_word {
            // More of them may exist than a process may keep open.
            judged.content = Bytes::None;
        }
        Some(judged)
    }
}
