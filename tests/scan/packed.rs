//! Tests the contents of compressed streams, as joblib and Python's `zipfile` unpack them.
//!
//! `tests/fixtures/make_packed.py` wrote `packed.tsv` with the libraries that they use.

use git_st_convert::scan::{Content, Limits, Verdict, scan};

use super::{CALL, joined, look};
use crate::checkpoint::archive::{Record, write};

/// Returns the description of each compression, and the bytes.
fn packed() -> Vec<(&'static str, Vec<u8>)> {
    let lines = include_str!("../fixtures/packed.tsv").lines().filter(|line| !line.starts_with('#'));
    let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    let streams = lines.map(|line| {
        let (what, digits) = line.split_once('\t').unwrap();
        (what, digits.as_bytes().chunks(2).map(byte).collect())
    });
    streams.collect()
}

#[test]
fn whatever_joblib_unpacks_is_looked_into() {
    let all = packed();
    assert!(all.len() > 70, "{}", all.len());
    for (what, bytes) in all {
        let report = look(&bytes);
        assert_eq!(report.verdict, Verdict::Dangerous, "{what}: {report:#?}");
        let content = match what.split([' ', ',']).next().unwrap() {
            "zlib" | "joblib" => Content::Zlib,
            "gzip" => Content::Gzip,
            "bzip2" => Content::Bzip2,
            "LZ4" => Content::Lz4,
            _ => Content::Xz,
        };
        assert_eq!(report.content, content, "{what}");
    }
}

#[test]
fn a_stream_that_breaks_behind_a_call_has_let_it_run() {
    for (what, bytes) in packed().into_iter().filter(|(what, _)| !what.ends_with("behind")) {
        // If a block has a check before its data, a stream without its last byte loses that block.
        let cut = look(&bytes[..bytes.len() - 1]);
        assert_eq!(cut.verdict, Verdict::Dangerous, "{what}, cut: {cut:#?}");
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        let changed = look(&changed);
        assert_eq!(changed.verdict, Verdict::Dangerous, "{what}, changed: {changed:#?}");
    }
}

#[test]
fn a_stream_of_nothing_is_clean_and_one_that_is_broken_is_not() {
    for magic in [b"\xfd7zXZ\0".as_slice(), b"BZh9", b"\x1f\x8b\x08", b"\x04\x22\x4d\x18"] {
        let report = look(&joined(&[magic, &[0; 64]]));
        assert!(report.is_opaque() && !report.content.is_sealed(), "{report:#?}");
    }
    for text in
        ["BZhello, this is text", "ZF is the name of a firm in Friedrichshafen", "]\0 and more", "xylophone"]
    {
        let report = look(text.as_bytes());
        assert_eq!((report.verdict, report.reason.clone()), (Verdict::Clean, None), "{text}: {report:#?}");
    }
}

#[test]
fn members_in_every_method_of_python_are_looked_into() {
    let pickle = joined(&[CALL, b"."]);
    let of = |what: &str| packed().into_iter().find(|(name, _)| *name == what).unwrap().1;
    let member = |method: u16, data: Vec<u8>| {
        let mut record = Record::stored("a.npy", &pickle).both(|header| {
            (header.method, header.compressed) = (method, u32::try_from(data.len()).unwrap());
            header.crc = 0;
        });
        record.data = data.clone();
        write(&[record])
    };
    let alone = of("LZMA, 3 0 2, dictionary 65536");
    // In zip, the header has a version and its own length, and no length of the content.
    let lzma = joined(&[b"\x09\x04\x05\0", &alone[..5], &alone[13..]]);
    for (what, file) in [
        ("bzip2", member(12, of("bzip2, level 9"))),
        ("LZMA", member(14, lzma)),
        ("xz", member(95, of("xz, check 4"))),
    ] {
        let report = look(&file);
        assert_eq!((report.verdict, report.pickles.len()), (Verdict::Dangerous, 1), "{what}: {report:#?}");
    }
    for method in [1, 9, 93, 99] {
        let report = look(&member(method, vec![7; 40]));
        assert!(report.is_opaque(), "{method}: {report:#?}");
    }
}

#[test]
fn what_is_unpacked_is_bounded() {
    let mut limits = Limits::default();
    limits.inflated = 100_000;
    for what in ["zlib, level 9", "bzip2, level 1", "xz, check 0", "LZMA, its length known"] {
        let (_, bytes) = packed().into_iter().find(|(name, _)| *name == what).unwrap();
        let report = scan(&bytes, &limits).unwrap();
        assert_eq!(report.verdict, Verdict::Dangerous, "{what}");
    }
    // The pickle pops strings, and its end is beyond the limit.
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &joined(&[&b"N0".repeat(100_000), CALL, b"."])).unwrap();
    let report = scan(&encoder.finish().unwrap(), &limits).unwrap();
    assert_eq!(report.verdict, Verdict::Unreadable, "{report:#?}");
}
