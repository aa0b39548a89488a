//! Tests tar archives that Python's `tarfile` accepts, which is more than writers write.

use git_st_convert::scan::{Content, Verdict};

use super::{CALL, joined, look};
use crate::checkpoint::archive::{Record, write};

/// Returns a header that Python's `tarfile` accepts; without `magic`, the checksum is that of signed bytes.
fn tar_header(name: &[u8], len: usize, kind: u8, magic: bool) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[124..135].copy_from_slice(format!("{len:011o}").as_bytes());
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    if magic {
        block[257..265].copy_from_slice(b"ustar\x0000");
    }
    let signed = |sum: i64, byte: &u8| sum + i64::from(*byte) - if !magic && *byte > 127 { 256 } else { 0 };
    let sum = block.iter().fold(0, signed);
    let sum = if magic { format!("{sum:06o}\0 ") } else { format!("{sum:06o}\0x") };
    block[148..156].copy_from_slice(sum.as_bytes());
    block
}

/// Returns a header with its checksum written in another way.
fn with_sum(mut header: Vec<u8>, written: impl Fn(i64) -> Vec<u8>) -> Vec<u8> {
    header[148..156].copy_from_slice(b"        ");
    let sum = written(header.iter().map(|byte| i64::from(*byte)).sum());
    header[148..148 + sum.len()].copy_from_slice(&sum);
    header
}

#[test]
fn a_tar_that_python_reads_otherwise_hides_no_pickle() {
    let pickle = joined(&[CALL, b"."]);
    let padded = |bytes: &[u8]| joined(&[bytes, &vec![0; bytes.len().next_multiple_of(512) - bytes.len()]]);
    let member = |kind, magic| {
        joined(&[&tar_header(b"\xff\xfex", pickle.len(), kind, magic), &padded(&pickle), &[0; 1024]])
    };
    let inner = member(b'0', true);
    let extended = |records: &[u8]| joined(&[&tar_header(b"p", records.len(), b'x', true), &padded(records)]);
    let sparse = joined(&[b"1\n0\n14\n", &[0; 505], &pickle]);
    let long = joined(&[b"1048593 comment=", &vec![b'a'; 1 << 20], b"\n", b"12 size=600\n"]);
    for (what, file, verdict) in [
        ("a type that nobody knows", member(b'Z', true), Verdict::Dangerous),
        ("no magic, and a sum of signed bytes", member(0, false), Verdict::Dangerous),
        (
            "a directory with a length",
            joined(&[&tar_header(b"d/", inner.len(), b'5', true), &inner]),
            Verdict::Dangerous,
        ),
        (
            "a sparse member by an extended header",
            joined(&[
                &extended(b"22 GNU.sparse.major=1\n"),
                &tar_header(b"x", sparse.len(), b'0', true),
                &padded(&sparse),
                &[0; 1024],
            ]),
            Verdict::Unreadable,
        ),
        (
            "a long extended header",
            joined(&[&extended(&long), &tar_header(b"x", 0, b'0', true), &[0; 1024]]),
            Verdict::Unreadable,
        ),
    ] {
        let report = look(&file);
        assert_eq!((report.verdict, report.content), (verdict, Content::Tar), "{what}: {report:#?}");
    }
}

#[test]
fn an_archive_in_a_tar_is_its_member_and_one_beside_its_members_is_not() {
    let padded = |bytes: &[u8]| joined(&[bytes, &vec![0; bytes.len().next_multiple_of(512) - bytes.len()]]);
    let tar = |content: &[u8]| {
        joined(&[&tar_header(b"a", content.len(), b'0', true), &padded(content), &[0; 1024]])
    };
    let archive = |bytes: &[u8]| write(&[Record::stored("member", bytes)]);
    let report = look(&tar(&archive(b"some text")));
    assert_eq!((report.verdict, report.content), (Verdict::Clean, Content::Tar), "{report:#?}");
    let pickle = joined(&[CALL, b"."]);
    for hidden in [
        tar(&archive(&pickle)),
        tar(&joined(&[b"MZ", &archive(&pickle)])),
        joined(&[&tar(b"a"), &archive(&pickle)]),
    ] {
        let report = look(&hidden);
        assert_eq!(report.verdict, Verdict::Dangerous, "{report:#?}");
    }
}

#[test]
fn a_tar_is_one_whatever_its_first_bytes_and_however_its_sum_is_written() {
    let pickle = joined(&[CALL, b"."]);
    let archive = |header: Vec<u8>| joined(&[&header, &pickle, &vec![0; 2048 - pickle.len()]]);
    let plain = |name: &[u8]| tar_header(name, pickle.len(), b'0', false);
    for (what, header) in [
        ("the name of a GGUF file", plain(b"GGUF\x03\0\0\0")),
        ("that of a PNG", plain(b"\x89PNG\r\n\x1a\n")),
        ("that of an array", plain(b"\x93NUMPY\x01\0")),
        ("no name", plain(b"")),
        ("that of text", plain(b"version https://git-lfs.github.com/spec/v1\n")),
        ("a sum in base 256", with_sum(plain(b"a"), |sum| [&[0x80][..], &sum.to_be_bytes()[1..]].concat())),
        ("one of Python's octal numbers", with_sum(plain(b"a"), |sum| format!("+0o{sum:o}\0").into_bytes())),
    ] {
        let report = look(&archive(header));
        assert_eq!(report.verdict, Verdict::Dangerous, "{what}: {report:#?}");
    }
}
