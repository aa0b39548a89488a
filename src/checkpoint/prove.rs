//! Reads a source once from start to end: computes its object ID, and checks every record against its checksum.

use std::io::{self, Write};
use std::iter::Peekable;
use std::slice;

use serde::{Deserialize, Serialize};

use super::{Error, Header, Mismatch, Plan, Record, zip};
use crate::hash::{Hasher, Oid};
use crate::read_at::ReadAt;

const BUFFER: usize = 256 << 10;

/// The checks while a source passes: the checksums of its records, and the headers that were not read.
#[derive(Debug)]
pub struct Proof<'a> {
    records: Peekable<slice::Iter<'a, Record>>,
    headers: Peekable<slice::Iter<'a, Header>>,
    crc: crc32fast::Hasher,
    /// The bytes of a header that have passed.
    head: Vec<u8>,
    at: u64,
}

/// The state of a [`Proof`], to be resumed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Standing {
    /// How many bytes have passed.
    pub at: u64,
    /// The CRC-32 of the bytes of the current record that have passed.
    crc32: u32,
}

impl<'a> Proof<'a> {
    /// Starts before the first byte of the source of `plan`.
    pub fn new(plan: &'a Plan) -> Self {
        let (records, headers) = (plan.records.iter().peekable(), plan.headers.iter().peekable());
        Self { records, headers, crc: crc32fast::Hasher::new(), head: Vec::new(), at: 0 }
    }

    /// Resumes the state of another proof of the same plan.
    pub fn resume(plan: &'a Plan, standing: Standing) -> Self {
        let mut proof = Self::new(plan);
        let Standing { at, crc32 } = standing;
        while proof.records.next_if(|record| record.at.saturating_add(record.len) <= at).is_some() {}
        while proof.headers.next_if(|header| header.at() < at).is_some() {}
        let begun = proof.records.peek().map_or(0, |record| at.saturating_sub(record.at));
        proof.crc = crc32fast::Hasher::new_with_initial_len(crc32, begun);
        proof.at = at;
        proof
    }

    /// Returns the state; `None` inside a header.
    pub fn standing(&self) -> Option<Standing> {
        let crc32 = self.crc.clone().finalize();
        self.head.is_empty().then_some(Standing { at: self.at, crc32 })
    }

    /// Returns how many bytes have passed.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`] at the end of a record whose checksum is wrong; [`Error::Ambiguity`] or [`Error::Unforeseen`]
    /// at the end of a header that does not match the directory.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let end = self.at.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        while let Some(header) = self.headers.peek() {
            let left = header.bytes().saturating_sub(self.head.len());
            let from = header.at().saturating_add(u64::try_from(self.head.len()).unwrap_or(0));
            let stop = from.saturating_add(u64::try_from(left).unwrap_or(0));
            self.head.extend_from_slice(overlap(bytes, self.at, from, stop));
            if stop > end {
                break;
            }
            header.check_foreseen(&self.head)?;
            self.head.clear();
            self.headers.next();
        }
        while let Some(record) = self.records.peek() {
            let stop = record.at.saturating_add(record.len);
            self.crc.update(overlap(bytes, self.at, record.at, stop));
            if stop > end {
                break;
            }
            let got = std::mem::take(&mut self.crc).finalize();
            if got != record.crc32 {
                let (name, expected) = (record.name.clone(), record.crc32);
                return Err(Error::Damaged(Mismatch { name, expected, got }));
            }
            self.records.next();
        }
        self.at = end;
        Ok(())
    }
}

/// Returns the part of `bytes`, which begin at the offset `at`, between two offsets.
fn overlap(bytes: &[u8], at: u64, from: u64, to: u64) -> &[u8] {
    let inside =
        |offset: u64| usize::try_from(offset.saturating_sub(at)).unwrap_or(bytes.len()).min(bytes.len());
    bytes.get(inside(from)..inside(to)).unwrap_or_default()
}

/// Reads `source` once: returns its object ID, and checks every record of `plan`.
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
        proof.pass(bytes)?;
    }
    Ok(hasher.finish().0)
}

/// Writes the bytes that the source does not contain in place: the deflated records of `plan`, inflated, one after the
/// other, then its embedded bytes. [`Joined`](crate::read_at::Joined) appends them to the source. Lengths and checksums
/// are checked.
///
/// # Errors
/// [`Error::Zip`] or [`Error::Io`] for data that cannot be inflated, [`Error::StorageLength`] for a record that
/// inflates to another length, [`Error::Damaged`] for a wrong checksum.
pub fn inflate(source: &dyn ReadAt, plan: &Plan, sink: &mut dyn Write) -> Result<(), Error> {
    if !plan.deflated.is_empty() {
        inflate_records(source, plan, sink)?;
    }
    plan.embedded.iter().try_for_each(|bytes| sink.write_all(bytes))?;
    Ok(())
}

fn inflate_records(source: &dyn ReadAt, plan: &Plan, sink: &mut dyn Write) -> Result<(), Error> {
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
            // Never further than declared: a few bytes can inflate to more than the disk has.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Format, Headers, Options, plan};

    fn records() -> Plan {
        let record = |name: &str, at, bytes: &[u8]| Record {
            name: name.to_owned(),
            at,
            len: u64::try_from(bytes.len()).unwrap(),
            crc32: crc32fast::hash(bytes),
        };
        Plan {
            format: Format::Zip,
            key: String::new(),
            tensors: Vec::new(),
            storages: Vec::new(),
            ignored: Vec::new(),
            globals: Vec::new(),
            records: vec![record("a", 2, b"abc"), record("b", 5, b""), record("c", 7, b"defgh")],
            headers: Vec::new(),
            deflated: Vec::new(),
            embedded: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_proof_that_is_laid_aside_goes_on_as_if_it_had_not_been() {
        let (plan, source) = (records(), b"--abc--defgh--");
        for stop in 0..=source.len() {
            let mut first = Proof::new(&plan);
            first.pass(&source[..stop]).unwrap();
            let mut second = Proof::resume(&plan, first.standing().unwrap());
            second.pass(&source[stop..]).unwrap();
            assert!(second.records.next().is_none(), "{stop}");
            let mut wrong = Proof::resume(&plan, first.standing().unwrap());
            let mut damaged = source.to_vec();
            damaged[11] ^= 1;
            assert_eq!(wrong.pass(&damaged[stop..]).is_err(), stop < 12, "{stop}");
        }
    }

    #[test]
    fn headers_that_are_foreseen_are_those_that_are_read() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
        let mut foreseen = 0;
        for file in std::fs::read_dir(dir).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let Ok(read) = plan(&bytes, &Options::default()) else { continue };
            if prove(&bytes, &read).is_err() {
                continue;
            }
            let options = Options { headers: Headers::Foresee, ..Options::default() };
            let mut ahead = plan(&bytes, &options).unwrap();
            assert_eq!(ahead.storages, read.storages);
            foreseen += ahead.headers.len();
            for piece in [1, 7, 64, bytes.len()] {
                let mut proof = Proof::new(&ahead);
                bytes.chunks(piece).for_each(|piece| proof.pass(piece).unwrap());
                assert!(proof.headers.next().is_none());
            }
            if let Some(header) = ahead.headers.first_mut() {
                let mut damaged = bytes.clone();
                damaged[usize::try_from(header.at()).unwrap() + 29] ^= 1;
                assert!(matches!(Proof::new(&ahead).pass(&damaged), Err(Error::Unforeseen { .. })));
            }
        }
        assert!(foreseen > 100, "{foreseen}");
    }
}
