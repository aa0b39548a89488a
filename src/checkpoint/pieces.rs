//! [`Pieces`] computes the checksums of records whose bytes are read in any order, each at most once.
//!
//! The checksum of a run continues with the bytes after it, and two runs that meet are combined, so a record is checked as
//! soon as all of it was read. [`Pieces::missing`] names the bytes that no tensor needs.
//!
//! Invariant: every byte of a record with a compared checksum was counted once. The module reads nothing itself; the memory
//! is one run per piece that does not continue another.

use std::collections::BTreeMap;

use super::{Error, Mismatch, Plan, Record};

/// The state of the records of a plan.
#[derive(Debug)]
pub struct Pieces<'a> {
    records: &'a [Record],
    /// By their offsets. No two overlap, and none leaves its record.
    runs: BTreeMap<u64, Run>,
    /// The position of [`Pieces::missing`].
    seen: (usize, u64),
}

/// Bytes that were read.
#[derive(Debug)]
struct Run {
    end: u64,
    crc: crc32fast::Hasher,
}

impl<'a> Pieces<'a> {
    /// Starts with no bytes of the records of `plan` read.
    pub fn new(plan: &'a Plan) -> Self {
        Self { records: &plan.records, runs: BTreeMap::new(), seen: (0, 0) }
    }

    /// Adds bytes that were read at an offset. Bytes that were read before, or are in no record, do not count.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a record that is complete with them, and whose checksum is wrong.
    pub fn pass(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        let records = self.records;
        let stop = end_of(at, bytes);
        let first = records.partition_point(|record| end(record) <= at);
        for record in records.iter().skip(first).take_while(|record| record.at < stop) {
            let (from, to) = (record.at.max(at), end(record).min(stop));
            self.add(record, from, bytes.get(index(from, at)..index(to, at)).unwrap_or_default());
            if self.is_whole(record) {
                self.check(record)?;
            }
        }
        Ok(())
    }

    /// Returns the first run of a record that was not read, with its length. The caller repeats this, and adds each run,
    /// until none is left.
    pub fn missing(&mut self) -> Option<(u64, u64)> {
        while let Some(record) = self.records.get(self.seen.0) {
            let (mut at, end) = (self.seen.1.max(record.at), end(record));
            while let Some(known) = self.known(record, at).filter(|known| *known > at) {
                at = known;
            }
            self.seen.1 = at;
            if at < end {
                return Some((at, self.next(at, end).saturating_sub(at)));
            }
            self.seen.0 = self.seen.0.saturating_add(1);
        }
        None
    }

    /// Finishes when nothing is missing: an empty record has a checksum, too.
    ///
    /// # Errors
    /// [`Error::Damaged`]
    pub fn finish(self) -> Result<(), Error> {
        let records = self.records;
        records.iter().filter(|record| record.len == 0).try_for_each(|record| self.check(record))
    }

    /// Returns the end of the run in this record that begins at or before this offset, if it reaches the offset.
    fn known(&self, record: &Record, at: u64) -> Option<u64> {
        let (_, run) = self.runs.range(record.at..=at).next_back()?;
        (run.end >= at).then_some(run.end)
    }

    /// Returns the start of the next run; `end` if none begins before that.
    fn next(&self, at: u64, end: u64) -> u64 {
        self.runs
            .range(at.saturating_add(1)..end.max(at.saturating_add(1)))
            .next()
            .map_or(end, |(next, _)| *next)
    }

    /// Adds bytes of one record: to the run that ends there, or as a new one.
    fn add(&mut self, record: &Record, mut at: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let known = self.known(record, at);
            let to = match known {
                // These were counted.
                Some(known) if known > at => known,
                _ => self.next(at, end_of(at, bytes)),
            };
            let (now, later) = bytes.split_at_checked(index(to, at)).unwrap_or((bytes, &[]));
            if known.is_none() {
                self.runs.insert(at, Run { end: at, crc: crc32fast::Hasher::new() });
            }
            let run = self.runs.range_mut(record.at..=at).next_back().map(|(_, run)| run);
            if let Some(run) = run.filter(|run| run.end == at) {
                run.crc.update(now);
                run.end = to;
            }
            (at, bytes) = (to, later);
        }
    }

    /// Returns `true` if nothing of a record is missing. Joins runs that meet.
    fn is_whole(&mut self, record: &Record) -> bool {
        let Some(mut first) = self.runs.remove(&record.at) else { return false };
        while first.end < end(record) {
            let Some(next) = self.runs.remove(&first.end) else { break };
            first.crc.combine(&next.crc);
            first.end = next.end;
        }
        let is_whole = first.end == end(record);
        self.runs.insert(record.at, first);
        is_whole
    }

    /// Compares the checksum of a complete record.
    fn check(&self, record: &Record) -> Result<(), Error> {
        let run = self.runs.get(&record.at).filter(|_| record.len > 0);
        let got = run.map(|run| run.crc.clone()).unwrap_or_default().finalize();
        if got == record.crc32 {
            return Ok(());
        }
        let (name, expected) = (record.name.clone(), record.crc32);
        Err(Error::Damaged(Mismatch { name, expected, got }))
    }
}

fn end(record: &Record) -> u64 {
    record.at.saturating_add(record.len)
}

fn end_of(at: u64, bytes: &[u8]) -> u64 {
    at.saturating_add(u64::try_from(bytes.len()).unwrap_or(0))
}

/// Converts an offset to an index of bytes that begin at another offset.
fn index(offset: u64, at: u64) -> usize {
    usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checkpoint::Format;

    fn plan(source: &[u8], places: &[(usize, usize)]) -> Plan {
        let record = |&(at, len): &(usize, usize)| Record {
            name: format!("at {at}"),
            at: u64::try_from(at).unwrap(),
            len: u64::try_from(len).unwrap(),
            crc32: crc32fast::hash(&source[at..][..len]),
        };
        Plan {
            format: Format::Zip,
            key: String::new(),
            tensors: Vec::new(),
            storages: Vec::new(),
            ignored: Vec::new(),
            globals: Vec::new(),
            records: places.iter().map(record).collect(),
            headers: Vec::new(),
            deflated: Vec::new(),
            embedded: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Returns positions and lengths of records with these lengths, each after a gap and a header of at least one byte.
    fn places(lens: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let mut end: usize = 0;
        let place = |&(gap, len): &(usize, usize)| {
            let at = end.saturating_add(gap).saturating_add(1);
            end = at.saturating_add(len);
            (at, len)
        };
        lens.iter().map(place).collect()
    }

    /// Reads these pieces, and then the missing bytes. Returns the number of missing bytes.
    fn read(plan: &Plan, source: &[u8], pieces: &[(usize, usize)]) -> Result<usize, Error> {
        let mut known = Pieces::new(plan);
        for &(at, len) in pieces {
            known.pass(u64::try_from(at).unwrap(), &source[at..][..len])?;
        }
        let mut missed = 0_usize;
        while let Some((at, len)) = known.missing() {
            // One call takes at most a buffer.
            let (from, len) = (usize::try_from(at).unwrap(), usize::try_from(len).unwrap().min(7));
            known.pass(at, &source[from..][..len])?;
            missed = missed.saturating_add(len);
        }
        known.finish()?;
        Ok(missed)
    }

    #[test]
    fn what_nobody_read_is_missing_and_nothing_else() {
        let source: Vec<u8> = (0..60).collect();
        let plan = plan(&source, &[(2, 20), (22, 0), (22, 8), (40, 10)]);
        assert_eq!(read(&plan, &source, &[]).unwrap(), 38);
        assert_eq!(read(&plan, &source, &[(0, 60)]).unwrap(), 0);
        assert_eq!(read(&plan, &source, &[(10, 5), (4, 9), (2, 3), (45, 5), (45, 5)]).unwrap(), 20);
        assert_eq!(read(&plan, &source, &[(20, 25)]).unwrap(), 23);
    }

    proptest! {
        #[test]
        fn one_wrong_byte_is_found_in_whatever_order_they_are_read(
            lens in prop::collection::vec((0_usize..5, 0_usize..20), 1..6),
            pieces in prop::collection::vec((0_usize..150, 0_usize..60), 0..12),
            wrong in 0_usize..150,
        ) {
            let source: Vec<u8> = (0..210_u8).map(|i| i.wrapping_mul(37)).collect();
            let places = places(&lens);
            let plan = plan(&source, &places);
            prop_assert!(read(&plan, &source, &pieces).is_ok());
            let mut damaged = source;
            damaged[wrong] ^= 1;
            let is_in_one = places.iter().any(|&(at, len)| wrong.checked_sub(at).is_some_and(|at| at < len));
            prop_assert_eq!(read(&plan, &damaged, &pieces).is_err(), is_in_one);
        }
    }
}
