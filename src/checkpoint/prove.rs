//! Reading a source once from front to back: its oid, and the checksum of every record.

use std::io::{self, Write};
use std::iter::Peekable;
use std::slice;

use super::{Error, Plan, Record, zip};
use crate::hash::{Hasher, Oid};
use crate::read_at::ReadAt;

const BUFFER: usize = 256 << 10;

/// A record whose bytes are not those that the archive's directory promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {name} has CRC-32 {got:08x} where the archive says {expected:08x}")]
pub struct Mismatch {
    /// The record.
    pub name: String,
    /// What the directory says.
    pub expected: u32,
    /// What the bytes give.
    pub got: u32,
}

/// The checksums of the records, taken while the source passes by.
#[derive(Debug)]
pub struct Proof<'a> {
    records: Peekable<slice::Iter<'a, Record>>,
    crc: crc32fast::Hasher,
    at: u64,
}

impl<'a> Proof<'a> {
    /// Starts before the first byte of the source of `plan`.
    pub fn new(plan: &'a Plan) -> Self {
        Self { records: plan.records.iter().peekable(), crc: crc32fast::Hasher::new(), at: 0 }
    }

    /// How many bytes have passed.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Mismatch`] at the end of a record whose checksum is wrong.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let (at, n) = (self.at, bytes.len());
        let end = at.saturating_add(u64::try_from(n).unwrap_or(0));
        self.at = end;
        while let Some(record) = self.records.peek() {
            let stop = record.at.saturating_add(record.len);
            let from = usize::try_from(record.at.saturating_sub(at)).unwrap_or(n).min(n);
            let to = usize::try_from(stop.saturating_sub(at)).unwrap_or(n).min(n);
            self.crc.update(bytes.get(from..to).unwrap_or_default());
            if stop > end {
                break;
            }
            let got = std::mem::take(&mut self.crc).finalize();
            if got != record.crc32 {
                return Err(Mismatch { name: record.name.clone(), expected: record.crc32, got });
            }
            self.records.next();
        }
        Ok(())
    }
}

/// Reads `source` once: returns its oid, and checks every record of `plan` on the way.
///
/// # Errors
/// [`Error::Io`], or [`Error::Damaged`] for a record whose checksum is wrong.
pub fn prove(source: &dyn ReadAt, plan: &Plan) -> Result<Oid, Error> {
    let (mut hasher, mut proof) = (Hasher::default(), Proof::new(plan));
    let mut buffer = vec![0; BUFFER];
    while proof.at() < source.len() {
        let left = source.len().saturating_sub(proof.at());
        let n = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let bytes = buffer.get_mut(..n).unwrap_or_default();
        source.read_exact_at(bytes, proof.at())?;
        hasher.update(bytes);
        proof.pass(bytes).map_err(Error::Damaged)?;
    }
    Ok(hasher.finish().0)
}

/// Inflates the deflated records of `plan` into `sink`, one after the other: what
/// [`Joined`](crate::read_at::Joined) then puts behind the source. Lengths and checksums are checked.
///
/// # Errors
/// [`Error::Zip`] or [`Error::Io`] for what cannot be inflated, [`Error::StorageLength`] for a record
/// that inflates to another length, [`Error::Damaged`] for a wrong checksum.
pub fn inflate(source: &dyn ReadAt, plan: &Plan, sink: &mut dyn Write) -> Result<(), Error> {
    if plan.deflated.is_empty() {
        return Ok(());
    }
    let mut archive = zip::directory(source)?;
    for record in &plan.deflated {
        let options = ::zip::read::ZipReadOptions::new().ignore_crc32(true);
        let mut file = archive.by_index_with_options(record.index, options).map_err(Error::Zip)?;
        let mut crc = crc32fast::Hasher::new();
        let mut buffer = vec![0; BUFFER];
        let mut got = 0_u64;
        loop {
            let n = io::Read::read(&mut file, &mut buffer).map_err(zip::broken)?;
            let bytes = buffer.get(..n).unwrap_or_default();
            got = got.saturating_add(u64::try_from(n).unwrap_or(0));
            // Never further than declared: a few bytes can inflate to a disk full.
            if n == 0 || got > record.len {
                break;
            }
            crc.update(bytes);
            sink.write_all(bytes)?;
        }
        if got != record.len {
            return Err(Error::StorageLength { key: record.name.clone(), expected: record.len, got });
        }
        let got = crc.finalize();
        if let Some(expected) = record.crc32.filter(|&expected| expected != got) {
            return Err(Error::Damaged(Mismatch { name: record.name.clone(), expected, got }));
        }
    }
    Ok(())
}
