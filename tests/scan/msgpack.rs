//! Tests that a `MessagePack` file with arrays of objects is a pickle, and no other file is one.

use std::io::Write as _;

use git_st_convert::scan::{HEAD, Limits, Verdict, scan, scan_head};

use super::{joined, look};
use crate::checkpoint::archive::{Record, write};

#[test]
fn an_array_of_objects_in_messagepack_is_a_pickle() {
    let evil = b"\x80\x02cposix\nsystem\n(X\x04\0\0\0truetR.".as_slice();
    let objects = b"\x80\x02cnumpy\ndtype\nX\x02\0\0\0O8\x88\x89\x87R.".as_slice();
    let array = |kind: &[u8], data: &[u8]| {
        let len = u8::try_from(data.len()).unwrap();
        joined(&[b"\x83\xc4\x02nd\xc3", kind, b"\xc4\x04data\xc4", &[len], data])
    };
    let made = |shape: &[u8], data: &[u8]| {
        joined(&[b"\xc4\x04kind\x84\xc4\x02nd", shape, b"\xc4\x04type\xa2S1\xc4\x04data", data])
    };
    let large =
        joined(&[b"\xc6\0\x10\0\0", &vec![0x82; 1 << 20], b"\xc7\x02\x01ab\xcb12345678\xdc\0\x01\xc0"]);
    for kind in [
        b"\xc4\x04kind\xc4\x01O".as_slice(),
        b"\xa4kind\xa1O",
        b"\xda\0\x04kind\xd9\x01O",
        // The hook makes the value of another array.
        &made(b"\xc2\xa1x\0", b"\xc4\x01O"),
        &made(b"\xc3\xc4\x05shape\x91\x01", b"\xa2Ox"),
    ] {
        for file in [
            array(kind, evil),
            joined(&[b"\x82\xa1w", &large[..5 + (1 << 20)], b"\xa1o", &array(kind, evil)]),
            joined(&[b"\xdf\0\0\0\x01\xa1w\x94", &large, &array(kind, evil)]),
            joined(&[b"\x90\x90", &array(kind, evil)]),
            // A stream of values that are not in containers.
            joined(&[b"\x01", &array(kind, evil)]),
            joined(&[b"\xcb12345678\xa3abc\xc0", &vec![0; 60_000], b"\x81\xa1a\x02\xff", &array(kind, evil)]),
            joined(&[b"\x07\x82\xa1w", &large[..5 + (1 << 20)], b"\xa1o", &array(kind, evil)]),
            // A loader refuses the keys, but not before it has read their values.
            joined(&[b"\x01\x82\x01\x81\x02\x92\xc0", &array(kind, evil)]),
        ] {
            let report = look(&file);
            assert_eq!(report.verdict, Verdict::Dangerous, "{kind:?}");
            assert_eq!(report.globals()[0].1.name, "system");
        }
        assert_eq!(look(&array(kind, objects)).verdict, Verdict::Unknown, "{kind:?}");
        // A compressed file is read as a file, a member of an archive is not.
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&array(kind, evil)).unwrap();
        assert_eq!(look(&gzip.finish().unwrap()).verdict, Verdict::Dangerous, "{kind:?}");
        assert_eq!(look(&write(&[Record::stored("a", &array(kind, evil))])).verdict, Verdict::Clean);
    }
    for plain in [
        array(b"\xc4\x04kind\xc4\x01V", evil),
        array(b"\xc4\x04kine\xc4\x01O", evil),
        joined(&[b"\x81\xa1a\x01", evil]),
        joined(&[b"\x01\x82\x01\x02\xa1a", &array(b"\xa4kind\xa1O", evil)]),
        joined(&[b"\x01\xdd\xff\xff\xff\xff", &vec![0; 20_000_001], &array(b"\xa4kind\xa1O", evil)]),
        joined(&[&b"\x91".repeat(5_000), b"\xc4\x04kind\xc4\x01O"]),
        b"\x81\xc4".to_vec(),
        b"\x81\xc6\xff\xff\xff\xffkind".to_vec(),
    ] {
        assert_eq!(look(&plain).verdict, Verdict::Clean, "{plain:?}");
    }
}

#[test]
fn the_first_bytes_decide_that_other_files_are_not_messagepack() {
    let decided = (0..1000).filter(|seed| {
        let head = super::ordinary::noise(*seed, HEAD);
        scan_head(&head, 1 << 30, &Limits::default()).is_some_and(|report| report.verdict == Verdict::Clean)
    });
    let decided = decided.count();
    assert!(decided >= 900, "{decided} of 1000");
    assert!(scan_head(&vec![0; HEAD], 1 << 30, &Limits::default()).is_some());
}

#[test]
fn a_value_across_the_end_of_the_first_bytes_is_read() {
    let mut limits = Limits::default();
    limits.inflated = 100_000;
    for zeros in (1_015..1_030).chain(4_085..4_100) {
        let mut bytes = [vec![0; zeros], b"\xda\x00\x04".to_vec()].concat();
        bytes.resize(1 << 20, 0);
        let decided = scan_head(&bytes[..HEAD], 1 << 30, &limits);
        assert!(decided.is_some_and(|report| report.verdict == Verdict::Clean), "{zeros}");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        let report = scan(&gzip.finish().unwrap(), &limits).unwrap();
        assert_eq!(report.verdict, Verdict::Clean, "{zeros}: {report:?}");
    }
}
