//! Tests attacks with the end of an archive and with its directory, field by field.

use super::{Error, converted, pickle, refused};
use crate::checkpoint::archive::{self, Parts, Record};
use crate::checkpoint::{floats, records};

fn plain() -> Parts {
    archive::parts(&records(&pickle::named(&[("a", pickle::four())]), &[("0", &floats(4))]), 0)
}

/// Returns a plain archive whose end record is changed.
fn with_end(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let parts = plain();
    let mut end = archive::end(&parts, 0, b"");
    change(&mut end);
    [parts.body, end].concat()
}

/// Returns a plain archive with a zip64 end record and its locator, which are changed.
fn with_end64(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let parts = plain();
    let len = parts.body.len();
    let directory = u64::from(parts.directory);
    let mut end64 = archive::end64(len, directory, len as u64 - directory, parts.count.into());
    change(&mut end64);
    let mut end = archive::end(&parts, 0, b"");
    end[8..20].fill(0xff);
    [parts.body, end64, end].concat()
}

/// Returns the point on which readers could disagree.
#[track_caller]
fn ambiguity(file: &[u8]) -> String {
    match refused(file) {
        Error::Ambiguity { what } => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn end_records_of_another_form() {
    assert!(converted(&with_end(|_| {})).is_ok());
    let disks = "multi-disk archive";
    // The number of its disk, that of the directory's disk, and the number of records on its disk.
    for at in [4, 6, 8] {
        assert_eq!(ambiguity(&with_end(|end| end[at] ^= 1)), disks, "{at}");
    }
    let place = "the central directory is not directly before the end record";
    for at in [12, 16] {
        assert_eq!(ambiguity(&with_end(|end| end[at] ^= 1)), place, "{at}");
    }
    assert_eq!(ambiguity(&with_end(|end| end[20] = 1)), "trailing bytes after the end record");
    let cut = refused(&with_end(|end| end.truncate(21)));
    assert!(matches!(cut, Error::NoEndRecord), "{cut:?}");
}

#[test]
fn zip64_end_records_of_another_form() {
    assert!(converted(&with_end64(|_| {})).is_ok());
    let lost = "the zip64 end record is not where its locator points";
    // Its signature, its length, the records on its disk; and its position in the locator, which is after it or after
    // the file.
    for at in [0, 4, 24, 64, 65, 71] {
        assert_eq!(ambiguity(&with_end64(|end| end[at] ^= 0x80)), lost, "{at}");
    }
    let full = |end: &mut Vec<u8>| end[64..72].fill(0xff);
    assert_eq!(ambiguity(&with_end64(full)), lost);
    let mut file = with_end64(|_| {});
    let end = file.len() - 22;
    file[end + 8..end + 12].copy_from_slice(&[4, 0, 4, 0]);
    assert_eq!(ambiguity(&file), "the zip and zip64 end records differ");
}

#[test]
fn bytes_in_a_directory_that_are_no_record() {
    let parts = plain();
    let mut end = archive::end(&parts, 0, b"");
    end[12] += 1;
    let file = [parts.body, b"x".to_vec(), end].concat();
    assert_eq!(ambiguity(&file), "trailing bytes in the central directory");
}

#[test]
fn a_record_that_does_not_begin_where_the_directory_says() {
    let mut all = records(&pickle::named(&[("a", pickle::four())]), &[("0", &floats(4))]);
    let at = archive::parts(&all[..1], 0).directory;
    for (at, what) in [(at + 1, "signature"), (u32::MAX - 1, "place")] {
        all[1].at = Some(at);
        let expected = format!("the {what} of archive/data/0 differs in its local header");
        assert_eq!(ambiguity(&archive::write(&all)), expected);
    }
}

#[test]
fn extra_fields_that_are_no_fields() {
    let with = |extra: &[u8]| {
        let mut all = records(&pickle::named(&[("a", pickle::four())]), &[("0", &floats(4))]);
        let storage = Record::stored("archive/data/0", &floats(4));
        all[1] = storage.in_directory(|header| header.extra = extra.to_vec());
        archive::write(&all)
    };
    assert!(converted(&with(b"FB\x02\0zz")).is_ok());
    // An incomplete field, a length beyond the others, two zip64 fields.
    for extra in [b"F".as_slice(), b"FB\x02", b"FB\x03\0zz", b"\x01\0\0\0\x01\0\0\0"] {
        let error = refused(&with(extra));
        assert!(matches!(error, Error::Ambiguity { .. } | Error::Zip(_)), "{extra:?}: {error:?}");
    }
}
