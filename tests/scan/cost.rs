//! Tests the cost of a scan: of a long file, only the bytes that determine its kind are read.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use git_st_convert::read_at::ReadAt;
use git_st_convert::scan::{Limits, Verdict, scan};

use crate::checkpoint::archive::{Record, write};

/// Some bytes with zeros in their middle that use no memory, and the number of bytes that were read.
struct Stretched {
    bytes: Vec<u8>,
    cut: u64,
    zeros: u64,
    read: AtomicU64,
}

impl ReadAt for Stretched {
    fn len(&self) -> u64 {
        ReadAt::len(&self.bytes) + self.zeros
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        for (byte, at) in buf.iter_mut().zip(at..) {
            *byte = match at {
                at if at < self.cut => self.bytes[usize::try_from(at).unwrap()],
                at if at < self.cut + self.zeros => 0,
                at => self.bytes[usize::try_from(at - self.zeros).unwrap()],
            };
        }
        Ok(())
    }
}

#[test]
fn a_gibibyte_in_a_stored_member_costs_kilobytes() {
    let zeros = 1_u32 << 30;
    let pickle = b"\x80\x02}q\x00.";
    let mut long = Record::stored("archive/data/0", &[0; 16]);
    long = long.both(|header| {
        header.size += zeros;
        header.compressed += zeros;
    });
    let mut bytes = write(&[Record::stored("archive/data.pkl", pickle), long]);
    let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    let end = bytes.len() - 22;
    let moved = u32::try_from(directory).unwrap() + zeros;
    bytes[end + 16..end + 20].copy_from_slice(&moved.to_le_bytes());
    let cut = u64::try_from(directory).unwrap();
    let source = Stretched { bytes, cut, zeros: zeros.into(), read: AtomicU64::new(0) };
    let report = scan(&source, &Limits::default()).unwrap();
    assert_eq!((report.verdict, report.reason.clone()), (Verdict::Weights, None), "{report:#?}");
    let read = source.read.into_inner();
    assert!(read < 1 << 20, "{read} bytes were read");
}

/// Counts the reads of a source.
struct Counted {
    bytes: Vec<u8>,
    reads: AtomicU64,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        ReadAt::len(&self.bytes)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.read_exact_at(buf, at)
    }
}

#[test]
fn a_member_costs_one_read_and_one_at_the_end_of_the_archive_none() {
    let pickle = [b"\x80\x02}q\x00".as_slice(), &b"N0".repeat(4_000), b"."].concat();
    // Every first byte of a storage, also those that are opcodes.
    let storages: Vec<Vec<u8>> = (0..=255)
        .map(|first| (0..10_000).map(|at: u32| first ^ (at % 251).to_le_bytes()[0]).collect())
        .collect();
    let names: Vec<String> = (0..storages.len()).map(|number| format!("archive/data/{number}")).collect();
    let mut records = vec![Record::stored("archive/data.pkl", &pickle)];
    records.extend(names.iter().zip(&storages).map(|(name, storage)| Record::stored(name, storage)));
    let source = Counted { bytes: write(&records), reads: AtomicU64::new(0) };
    let report = scan(&source, &Limits::default()).unwrap();
    assert_eq!((report.verdict, report.reason.clone()), (Verdict::Weights, None), "{report:#?}");
    // The beginning of the file, its end, the rest of the pickle, and that again for its checksum and its other reader.
    let reads = source.reads.into_inner();
    assert!(reads < 257 + 16, "{reads} reads");
}
