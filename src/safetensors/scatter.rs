//! [`Scatter`] determines where the bytes of a source go when it passes once, from start to end.
//!
//! Tensors whose bytes are used unchanged go to their final offset in the file at once, in any order. For others
//! (strided, big-endian, conjugated), the whole storage goes to a spool, from which [`Scatter::finish`] writes them
//! after all bytes have passed.
//!
//! Invariant: when all bytes of the source have passed and [`Scatter::finish`] has returned, every byte of the file
//! after the header was written exactly once. The module keeps no bytes; the memory is a few numbers per tensor.

use std::collections::BTreeMap;
use std::io;

use super::layout::{Layout, Slot};
use super::write::{Fix, Output, Sink, tensor};
use super::{Error, gather};
use crate::buffer::Buffer;
use crate::checkpoint::Plan;
use crate::read_at::{ReadAt, usize_of};

/// The destination of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The safetensors file.
    File,
    /// The spool.
    Spool,
}

/// Receives the bytes.
pub trait Put {
    /// Writes bytes at an offset of a target.
    ///
    /// # Errors
    /// The error of the write.
    fn put(&mut self, target: Target, at: u64, bytes: &[u8]) -> io::Result<()>;
}

impl<F: FnMut(Target, u64, &[u8]) -> io::Result<()>> Put for F {
    fn put(&mut self, target: Target, at: u64, bytes: &[u8]) -> io::Result<()> {
        self(target, at, bytes)
    }
}

/// A run of the source and its destination.
#[derive(Debug)]
struct Run {
    from: u64,
    end: u64,
    target: Target,
    to: u64,
}

/// The plan of one pass.
#[derive(Debug)]
pub struct Scatter {
    /// Sorted by their offset in the source; no run is empty.
    runs: Vec<Run>,
    /// The first run that has not begun, and those that have begun and not ended.
    next: usize,
    open: Vec<usize>,
    /// The runs that go to the file, by their offset there, those that have ended, and the first that has not.
    by_place: Vec<usize>,
    is_over: Vec<bool>,
    first: usize,
    /// The tensors that are written at the end, and the offsets of their storages in the spool.
    late: Vec<Slot>,
    spooled: BTreeMap<usize, u64>,
    spool: u64,
    header: u64,
    size: u64,
}

impl Scatter {
    /// Plans the pass over the source of `plan`, which contains all of its bytes in place.
    pub fn new(layout: &Layout, plan: &Plan) -> Self {
        let header = layout.header().len() as u64;
        let (mut runs, mut late, mut spooled, mut spool) = (Vec::new(), Vec::new(), BTreeMap::new(), 0);
        for place in layout.places() {
            let Some(tensor) = plan.tensors.get(place.tensor) else { continue };
            let Some(storage) = plan.storages.get(tensor.storage) else { continue };
            if tensor.bytes() == 0 {
                continue;
            }
            if gather::is_contiguous(tensor) && Fix::of(tensor, storage.big_endian).is_none() {
                let from = storage.at + tensor.offset * tensor.width;
                let (end, to) = (from + tensor.bytes(), header + place.at);
                runs.push(Run { from, end, target: Target::File, to });
                continue;
            }
            late.push(place.clone());
            spooled.entry(tensor.storage).or_insert_with(|| {
                let (from, end) = (storage.at, storage.at + storage.len);
                runs.push(Run { from, end, target: Target::Spool, to: spool });
                spool += storage.len;
                spool - storage.len
            });
        }
        runs.sort_by_key(|run| run.from);
        let mut by_place: Vec<usize> =
            (0..runs.len()).filter(|&run| runs[run].target == Target::File).collect();
        by_place.sort_by_key(|&run| runs[run].to);
        let (is_over, size) = (vec![false; runs.len()], layout.size());
        Self {
            runs,
            next: 0,
            open: Vec::new(),
            by_place,
            is_over,
            first: 0,
            late,
            spooled,
            spool,
            header,
            size,
        }
    }

    /// Returns `true` if anything goes to the spool.
    pub fn needs_spool(&self) -> bool {
        !self.late.is_empty()
    }

    /// Returns the final length of the spool.
    pub fn spool_len(&self) -> u64 {
        self.spool
    }

    /// Marks the bytes before `at` as written, by an earlier pass.
    pub fn skip(&mut self, at: u64) {
        while self.runs.get(self.next).is_some_and(|run| run.from < at) {
            let is_over = self.runs[self.next].end <= at;
            self.is_over[self.next] = is_over;
            self.open.extend((!is_over).then_some(self.next));
            self.next += 1;
        }
        self.count();
    }

    /// Passes the bytes of the source at `at`. Each call continues where the last one, or [`Scatter::skip`], ended.
    ///
    /// # Errors
    /// An error of `put`.
    pub fn pass(&mut self, at: u64, bytes: &[u8], put: &mut dyn Put) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        while self.runs.get(self.next).is_some_and(|run| run.from < end) {
            self.open.push(self.next);
            self.next += 1;
        }
        for &index in &self.open {
            let run = &self.runs[index];
            let (from, to) = (run.from.max(at), run.end.min(end));
            if from < to {
                let part = &bytes[usize_of(from - at)..usize_of(to - at)];
                put.put(run.target, run.to + (from - run.from), part)?;
            }
            self.is_over[index] = run.end <= end;
        }
        self.open.retain(|&index| !self.is_over[index]);
        self.count();
        Ok(())
    }

    /// Removes the runs that have ended.
    fn count(&mut self) {
        while self.by_place.get(self.first).is_some_and(|&run| self.is_over[run]) {
            self.first += 1;
        }
    }

    /// Returns the length up to which the file is complete, if its header is written.
    pub fn complete(&self) -> u64 {
        let waiting = self.by_place.get(self.first).map(|&run| self.runs[run].to);
        let late = self.late.first().map(|place| self.header + place.at);
        waiting.into_iter().chain(late).min().unwrap_or(self.size)
    }

    /// Writes the tensors that waited for the end. `source` is the spool.
    ///
    /// # Errors
    /// [`Error::Io`] from the spool or `put`.
    pub fn finish(&mut self, plan: &Plan, spool: &dyn ReadAt, put: &mut dyn Put) -> Result<(), Error> {
        let (mut gather, mut buffer) = (gather::Gather::default(), Buffer::new());
        for place in std::mem::take(&mut self.late) {
            let Some(one) = plan.tensors.get(place.tensor) else { continue };
            let Some(mut storage) = plan.storages.get(one.storage).cloned() else { continue };
            storage.at = self.spooled.get(&one.storage).copied().unwrap_or(0);
            let mut seat = Seat { put, at: self.header + place.at };
            let mut out = Output::new(&mut seat, buffer);
            // The spool is a part of the output.
            tensor(&mut out, &mut gather, one, &storage, spool).map_err(Error::into_output)?;
            buffer = out.finish()?;
        }
        Ok(())
    }
}

/// A sink at an offset of the file.
struct Seat<'a> {
    put: &'a mut dyn Put,
    at: u64,
}

impl Sink for Seat<'_> {
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.put.put(Target::File, self.at, &bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::checkpoint::{self, ties};

    #[test]
    fn a_file_scattered_in_pieces_is_the_file_written_in_order() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
        let (mut files, mut with_spool) = (0, 0);
        for file in std::fs::read_dir(dir).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let Ok(plan) = checkpoint::plan(&bytes, &checkpoint::Options::default()) else { continue };
            let Ok(ties) = ties::resolve(&plan, &ties::Policy::default()) else { continue };
            let Ok(layout) = Layout::new(&plan, &ties.kept, &BTreeMap::new()) else { continue };
            if !plan.is_in_place() || bytes.len() > 4 << 20 {
                continue;
            }
            let mut expected = Vec::new();
            super::super::write(&layout, &plan, &bytes, &mut expected).unwrap();
            for piece in [bytes.len(), 64, 1000] {
                let mut scatter = Scatter::new(&layout, &plan);
                let mut got = vec![0xaa; expected.len()];
                got[..layout.header().len()].copy_from_slice(layout.header());
                let mut spool = Vec::new();
                let (mut at, half) = (0, bytes.len() as u64 / 2);
                for piece in bytes.chunks(piece) {
                    if at >= half && at - half < piece.len() as u64 {
                        // The work stops here, and resumes with a new value.
                        scatter = Scatter::new(&layout, &plan);
                        scatter.skip(at);
                    }
                    let put = &mut |target, at: u64, bytes: &[u8]| {
                        let at = usize_of(at);
                        let file = if target == Target::File { &mut got } else { &mut spool };
                        file.resize(file.len().max(at + bytes.len()), 0);
                        file[at..at + bytes.len()].copy_from_slice(bytes);
                        Ok(())
                    };
                    scatter.pass(at, piece, put).unwrap();
                    at += piece.len() as u64;
                    let complete = usize_of(scatter.complete());
                    assert!(got[..complete] == expected[..complete]);
                }
                with_spool += usize::from(scatter.needs_spool());
                let put = &mut |_, at: u64, bytes: &[u8]| {
                    got[usize_of(at)..][..bytes.len()].copy_from_slice(bytes);
                    Ok(())
                };
                scatter.finish(&plan, &spool, put).unwrap();
                assert_eq!(scatter.complete(), layout.size());
                assert!(got == expected);
            }
            files += 1;
        }
        assert!(files > 80 && with_spool > 20, "{files} {with_spool}");
    }
}
