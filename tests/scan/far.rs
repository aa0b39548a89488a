//! Tests files on a server, whose storages are not read: the verdict is that of the whole file, and the report contains
//! what was not read. Everything that could be unpickled, or is in doubt, is read.

use git_st_convert::scan::{LeftOut, Limits, Report, Storages, Verdict, scan};

use super::{CALL, containers, fixtures, joined, look};
use crate::checkpoint::archive::{Record, end, parts, write};

const WEIGHTS: &[u8] = b"\x80\x02}q\x00.";

pub(super) fn look_from_afar(bytes: &[u8]) -> Report {
    let mut limits = Limits::default();
    limits.storages = Storages::LeftOut;
    scan(&bytes.to_vec(), &limits).unwrap()
}

/// Returns how many storages were left out; the rest of the report is that of the whole file.
#[track_caller]
fn left_out_of(what: &str, file: &[u8]) -> LeftOut {
    let mut far = look_from_afar(file);
    let left_out = std::mem::take(&mut far.left_out);
    assert_eq!(far, look(file), "{what}");
    left_out
}

#[test]
fn the_judgement_is_that_of_the_whole_file() {
    let mut with_storages = 0;
    for (path, bytes) in fixtures() {
        let left_out = left_out_of(&path.display().to_string(), &bytes);
        with_storages += usize::from(left_out.members > 0 && left_out.bytes > 0);
    }
    assert!(with_storages > 50, "{with_storages}");
    for pickle in [joined(&[CALL, b"."]), WEIGHTS.to_vec(), b"text".to_vec()] {
        for (what, file) in containers(&pickle) {
            assert_eq!(left_out_of(what, &file).members, 0, "{what}");
        }
    }
}

/// Returns a pickle that only a scanner would find in a storage.
fn hidden() -> Vec<u8> {
    joined(&[CALL, b".", &[0; 64]])
}

#[test]
fn a_storage_that_is_not_read_is_counted() {
    let hidden = hidden();
    let records = [
        Record::stored("archive/data.pkl", WEIGHTS),
        Record::stored("archive/byteorder", b"little"),
        Record::stored("archive/data/0", &hidden),
        Record::stored("archive/constants/17", b"1234"),
        Record::stored("archive/version", b"3\n"),
    ];
    let file = write(&records);
    let far = look_from_afar(&file);
    assert_eq!((far.verdict, far.reason.clone()), (Verdict::Weights, None), "{far:#?}");
    assert_eq!((far.left_out.members, far.left_out.bytes), (2, hidden.len() as u64 + 4));
    assert_eq!(look(&file).verdict, Verdict::Dangerous);
}

/// Returns archives in which a reader may take the storage for something else.
fn doubtful() -> Vec<(&'static str, Vec<u8>)> {
    let pickle = || Record::stored("archive/data.pkl", WEIGHTS);
    let storage = || Record::stored("archive/data/0", &hidden());
    let plain = |name: &str| Record::stored(name, &hidden());
    let good = write(&[pickle(), storage()]);
    let again = {
        let mut record = Record::stored("archive/data/1", &hidden());
        (record.data, record.at) = (Vec::new(), Some(u32::try_from(30 + 16 + WEIGHTS.len()).unwrap()));
        record
    };
    let shorter = |by: u32| {
        Record::stored("archive/data/0", &joined(&[&hidden(), &[0; 9000]])).in_directory(|header| {
            header.size -= by;
            header.compressed -= by;
        })
    };
    let outer = parts(&[pickle(), storage()], 0);
    vec![
        ("a name that is no number", write(&[pickle(), plain("archive/data/a")])),
        ("a name without a number", write(&[pickle(), plain("archive/data/")])),
        ("a name that only begins with one", write(&[pickle(), plain("archive/data/0.pkl")])),
        ("a directory more", write(&[pickle(), plain("archive/data/0/0")])),
        ("another root", write(&[pickle(), plain("other/data/0")])),
        ("no pickle", write(&[plain("archive/data/0")])),
        (
            "a pickle two directories deep",
            write(&[Record::stored("a/b/data.pkl", WEIGHTS), plain("a/b/data/0")]),
        ),
        ("two pickles", write(&[pickle(), Record::stored("other/data.pkl", WEIGHTS), storage()])),
        ("the pickle twice", write(&[pickle(), Record::stored("ARCHIVE/Data.pkl", WEIGHTS), storage()])),
        ("the storage twice", write(&[pickle(), storage(), plain("archive/DATA/0")])),
        ("deflated", write(&[pickle(), Record::deflated("archive/data/0", &hidden())])),
        ("a flag", write(&[pickle(), storage().both(|header| header.flags |= 1)])),
        ("two sizes", write(&[pickle(), storage().both(|header| header.size += 1)])),
        ("two at one place", write(&[pickle(), storage(), again])),
        ("room for more", write(&[pickle(), shorter(8000)])),
        (
            "the pickle has another local name",
            write(&[pickle().in_local(|header| header.name = b"archive/data.pk1".to_vec()), storage()]),
        ),
        (
            "the pickle has another local length",
            write(&[pickle().in_local(|header| header.compressed += 1), storage()]),
        ),
        ("bytes in front", joined(&[b"MZ", &good])),
        ("bytes behind", joined(&[&good, b"1"])),
        ("another archive behind", joined(&[&good, &write(&[Record::stored("a", b"text")])])),
        ("another archive in the comment", joined(&[&outer.body, &end(&outer, 0, &good)])),
        ("no directory", good[..good.len() - 30].to_vec()),
    ]
}

#[test]
fn where_there_is_a_doubt_everything_is_read() {
    for (what, file) in doubtful() {
        assert_eq!(left_out_of(what, &file), LeftOut::default(), "{what}");
        assert_eq!(look(&file).verdict, Verdict::Dangerous, "{what}");
    }
}

#[test]
fn what_is_unpacked_is_read_to_the_last_storage() {
    use std::io::Write as _;
    let inner =
        write(&[Record::stored("archive/data.pkl", WEIGHTS), Record::stored("archive/data/0", &hidden())]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&inner).unwrap();
    assert_eq!(left_out_of("gzip", &encoder.finish().unwrap()), LeftOut::default());
    assert_eq!(left_out_of("deflated", &write(&[Record::deflated("inner", &inner)])), LeftOut::default());
    // Without compression, the storage is left out.
    assert_eq!(look_from_afar(&write(&[Record::stored("inner", &inner)])).left_out.members, 1);
}
