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
