//! Tests zip archives with the readers of loaders: Python's `zipfile`, which numpy uses, and miniz, which torch uses.

use git_st_convert::scan::{Report, Verdict};

use super::{CALL, joined, look};
use crate::checkpoint::archive::{Parts, Record, end, end64, parts, write};

/// Returns an archive of a pickle with a call, for a position after `base` bytes.
fn hostile(base: usize) -> Parts {
    parts(&[Record::stored("archive/data.pkl", &joined(&[CALL, b"."]))], base)
}

fn harmless() -> Parts {
    parts(&[Record::stored("a", b"some text")], 0)
}

fn is_found(what: &str, file: &[u8]) -> Report {
    let report = look(file);
    assert_eq!(report.verdict, Verdict::Dangerous, "{what}: {report:#?}");
    report
}

/// Returns an end record with these numbers.
fn plain_end(count: u16, len: u32, at: u32, comment: u16) -> Vec<u8> {
    let mut bytes = b"PK\x05\x06\0\0\0\0".to_vec();
    for number in [count, count] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [len, at] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(comment.to_le_bytes());
    bytes
}

#[test]
fn an_archive_in_the_comment_of_another_is_looked_into() {
    let outer = harmless();
    // Both readers use the last signature, whether or not its comment ends with the file.
    for (what, claimed, behind) in [
        ("its comment is longer than the file", 900_u16, 5_usize),
        ("its comment is shorter", 0, 5),
        ("it closes the file, too", 0, 0),
        ("it is long", 0, 60_000),
    ] {
        for absolute in [0, outer.body.len() + 22] {
            let inner = hostile(absolute);
            let len = u32::try_from(absolute + inner.body.len()).unwrap() - inner.directory;
            let comment =
                joined(&[&inner.body, &plain_end(1, len, inner.directory, claimed), &b"#".repeat(behind)]);
            is_found(what, &joined(&[&outer.body, &end(&outer, 0, &comment)]));
        }
    }
}

#[test]
fn two_directories_of_one_end_record_are_both_looked_into() {
    let bad = hostile(0);
    let len_of = |parts: &Parts| parts.body.len() - usize::try_from(parts.directory).unwrap();
    // Its directory is as long as the other one, and is farther from the beginning.
    let name = "b".repeat("archive/data.pkl".len());
    let good = parts(&[Record::stored(&name, &[b'.'; 100])], 0);
    let len = u32::try_from(len_of(&bad)).unwrap();
    assert!(len_of(&good) == len_of(&bad) && good.directory > bad.directory);
    // Python takes the bytes before the end record for the directory, and shifts its members by the difference.
    let mut record = Record::stored("archive/data.pkl", &joined(&[CALL, b"."]));
    record.at = Some(good.directory - bad.directory);
    let behind = parts(&[record], 0);
    is_found("Python's", &joined(&[&good.body, &behind.body, &plain_end(1, len, good.directory, 0)]));
    // torch uses the position in the record.
    is_found("torch's", &joined(&[&bad.body, &good.body, &plain_end(1, len, bad.directory, 0)]));
    let report = look(&joined(&[&good.body, &good.body, &plain_end(1, len, good.directory, 0)]));
    assert_eq!(report.verdict, Verdict::Unreadable, "{report:#?}");
}

#[test]
fn both_forms_of_a_zip64_end_record_are_looked_into() {
    let (good, bad) = (harmless(), hostile(0));
    let place = |parts: &Parts, base: usize| {
        let end = u64::try_from(base + parts.body.len()).unwrap();
        (u64::from(parts.directory), end - u64::from(parts.directory))
    };
    let behind = hostile(good.body.len());
    let (bad_at, bad_len) = place(&bad, 0);
    let (behind_at, _) = place(&behind, good.body.len());
    let (good_at, good_len) = place(&good, 0);
    let plain = |at: u64, len: u64| plain_end(1, u32::try_from(len).unwrap(), u32::try_from(at).unwrap(), 0);
    let record = |at, len| end64(0, at, len, 1)[..56].to_vec();
    let locator = |at: usize| end64(at, 0, 0, 1)[56..].to_vec();
    let full = plain_end(0xffff, u32::MAX, u32::MAX, 0);
    let (body, both) = (good.body.clone(), joined(&[&good.body, &behind.body]));
    // Older Pythons use the record before the locator; torch and newer Pythons use the one that the locator names.
    is_found(
        "the named one",
        &joined(&[
            &both,
            &record(behind_at, bad_len),
            &record(good_at, good_len),
            &locator(both.len()),
            &full,
        ]),
    );
    is_found(
        "the one before its locator",
        &joined(&[
            &body,
            &record(good_at, good_len),
            &behind_of(&body, 56),
            &record(0, bad_len),
            &locator(body.len()),
            &full,
        ]),
    );
    is_found(
        "the plain one",
        &joined(&[&both, &record(good_at, good_len), &locator(both.len()), &plain(behind_at, bad_len)]),
    );
    is_found(
        "a locator that names nothing",
        &joined(&[&bad.body, &record(bad_at, bad_len), &locator(9), &full]),
    );
}

/// Returns the hostile archive after a body and some more bytes.
fn behind_of(body: &[u8], more: usize) -> Vec<u8> {
    hostile(body.len() + more).body
}

#[test]
fn a_signature_in_the_last_record_hides_no_archive() {
    // Python reads the last 22 bytes first, so the signature in them does not count; torch sees an incomplete record.
    let bad = hostile(0);
    let number = u32::from_le_bytes(*b"PK\x05\x06");
    let len = u32::try_from(bad.body.len()).unwrap() - bad.directory;
    is_found("in its place", &joined(&[&bad.body, &plain_end(1, len, number, 0)]));
    // Python finds the last signature in a comment, and torch does not.
    is_found("in its comment", &joined(&[&bad.body, &end(&bad, 0, b"PK\x05\x06 and more")]));
}

#[test]
fn an_end_record_farther_away_than_a_comment_is_long_is_found_as_torch_finds_it() {
    let bad = hostile(0);
    let len = u32::try_from(bad.body.len()).unwrap() - bad.directory;
    for behind in [65_535, 65_536, 69_000, 69_584 - 22] {
        let file = joined(&[&bad.body, &plain_end(1, len, bad.directory, 0), &vec![b'#'; behind]]);
        is_found(&behind.to_string(), &file);
    }
}

#[test]
fn what_is_stored_in_clear_is_looked_at_whatever_its_flags_say() {
    let pickle = joined(&[CALL, b"."]);
    for bit in [0, 5, 6, 13] {
        for record in [Record::stored("a.npy", &pickle), Record::deflated("archive/data.pkl", &pickle)] {
            let set = |header: &mut crate::checkpoint::archive::Header| header.flags |= 1 << bit;
            is_found("in both", &write(&[record.clone().both(set)]));
            is_found("in the local header", &write(&[record.clone().in_local(set)]));
            is_found("in the directory", &write(&[record.in_directory(set)]));
        }
    }
}

#[test]
fn a_member_that_python_places_before_its_archive_is_found() {
    // The directory states a later start than it has, so that its members seem to be later, too.
    let bad = hostile(100);
    let len = u32::try_from(100 + bad.body.len()).unwrap() - bad.directory;
    is_found("100 bytes too late", &joined(&[&bad.body, &plain_end(1, len, bad.directory, 0)]));
}

#[test]
fn the_last_record_of_a_directory_may_be_cut() {
    // Python reads as much of the name as exists, and compares that with the local header.
    let long = |header: &mut crate::checkpoint::archive::Header| header.extra = vec![0; 30];
    let bad = parts(&[Record::stored("archive/data.pkl", &joined(&[CALL, b"."])).in_directory(long)], 0);
    let len = u32::try_from(bad.body.len()).unwrap() - bad.directory - 30;
    let cut = bad.body.len() - 30;
    is_found("its extra field", &joined(&[&bad.body[..cut], &plain_end(1, len, bad.directory, 0)]));
}

#[test]
fn an_archive_is_no_pickle_by_its_first_bytes() {
    // The name of the class begins with P or J, at which a walk from the first byte arrives: `P` reads the line before.
    for pickle in [
        b"\x80\x02c__main__\nPModel\n)\x81}X\x01\0\0\0aNsb.".as_slice(),
        b"\x80\x02c__main__\nJudge\n)\x81}X\x01\0\0\0aNsb.",
    ] {
        let report = look(&write(&[Record::stored("archive/data.pkl", pickle)]));
        assert_eq!(
            (report.verdict, report.pickles.len(), report.reason.clone()),
            (Verdict::Unknown, 1, None),
            "{report:#?}"
        );
    }
    let nested = write(&[Record::stored("a", b"some text")]);
    let report = look(&write(&[Record::stored("first", b"text"), Record::stored("inner.zip", &nested)]));
    assert_eq!((report.verdict, report.reason.clone()), (Verdict::Clean, None), "{report:#?}");
}
