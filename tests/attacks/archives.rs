//! Tests attacks on the container: archives that two readers read differently, or that inflate without end.

use super::{Error, converted, pickle, refused, refused_when_cut};
use crate::checkpoint::archive::{self, Header, Record};
use crate::checkpoint::{floats, records, zip_of};

/// Returns the records of a plain checkpoint: `data.pkl`, `data/0`, `version`.
fn plain() -> Vec<Record> {
    records(&pickle::named(&[("a", pickle::four())]), &[("0", &floats(4))])
}

/// Returns the archive of a plain checkpoint whose storage record is changed.
fn with_storage(change: impl FnOnce(Record) -> Record) -> Vec<u8> {
    let mut records = plain();
    let storage = records.remove(1);
    records.insert(1, change(storage));
    archive::write(&records)
}

#[track_caller]
fn assert_ambiguous(file: &[u8], part: &str) {
    match refused(file) {
        Error::Ambiguity { what } => assert!(what.contains(part), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_records_of_one_name() {
    let other = Record::stored("archive/data/0", &floats(4));
    assert_ambiguous(&archive::write(&[plain(), vec![other]].concat()), "duplicate record");
    let other = Record::stored("archive/data.pkl", &pickle::whole(&pickle::none()));
    assert_ambiguous(&archive::write(&[vec![other], plain()].concat()), "duplicate record");
}

#[test]
fn names_that_differ_in_case() {
    for name in ["archive/DATA.pkl", "archive/data/0", "ARCHIVE/data/0"] {
        let other = Record::stored(&name.to_uppercase(), &floats(4));
        assert_ambiguous(&archive::write(&[plain(), vec![other]].concat()), "duplicate record");
    }
}

#[test]
fn names_misspelt_in_their_case() {
    // torch looks records up without case, so it would find each of these, and an exact reader would not.
    let renamed = |at: usize, name: &str| {
        let mut records = plain();
        records[at] = Record::stored(name, &records[at].data.clone());
        archive::write(&records)
    };
    for (at, name) in [
        (0, "archive/Data.pkl"),
        (0, "archive/data.PKL"),
        (1, "archive/DATA/0"),
        (1, "archive/dAta/0"),
        (2, "archive/Version"),
        (2, "archive/ByteOrder"),
        (2, "archive/CONSTANTS.pkl"),
        (2, "archive/Code/model.py"),
    ] {
        assert_ambiguous(&renamed(at, name), "as a different record");
    }
    // The case of records that torch does not use has no effect.
    assert!(converted(&renamed(2, "archive/README.md")).is_ok());
}

#[test]
fn two_roots() {
    let other = Record::stored("other/data.pkl", &pickle::whole(&pickle::none()));
    assert_ambiguous(&archive::write(&[plain(), vec![other.clone()]].concat()), "two root directories");
    assert_ambiguous(&archive::write(&[vec![other], plain()].concat()), "two root directories");
    let bare = Record::stored("data.pkl", &pickle::whole(&pickle::none()));
    assert_ambiguous(
        &archive::write(&[plain(), vec![bare]].concat()),
        "outside the archive's root directory",
    );
}

#[test]
fn a_local_header_that_disagrees() {
    type Change = fn(&mut Header);
    let changes: [(&str, Change); 7] = [
        ("name", |local| local.name = b"archive/data/1".to_vec()),
        ("name", |local| local.name = b"archive/data/00".to_vec()),
        ("flags", |local| local.flags ^= 1),
        ("flags", |local| local.flags |= 1 << 3),
        ("method", |local| local.method = 8),
        ("CRC-32", |local| local.crc ^= 1),
        ("length", |local| local.size -= 1),
    ];
    for (what, change) in changes {
        assert_ambiguous(&with_storage(|record| record.in_local(change)), what);
    }
    assert_ambiguous(&with_storage(|record| record.in_local(|local| local.compressed += 1)), "length");
}

#[test]
fn records_that_overlap() {
    // The directory places `version` into the storage, whose bytes contain a local header for it.
    let mut inner = Record::stored("archive/version", b"3\n");
    let header = archive::parts(std::slice::from_ref(&inner), 0);
    let quoted = [header.body[..header.directory as usize].to_vec(), vec![0; 64]].concat();
    let object = pickle::named(&[("a", pickle::storage_of_bytes("0", quoted.len()))]);
    let mut all = records(&object, &[("0", &quoted)]);
    let storage = archive::parts(&all[..1], 0).directory as usize;
    inner.at = Some(u32::try_from(storage + 30 + "archive/data/0".len()).unwrap());
    all[2] = inner;
    let file = archive::write(&all);
    assert_ambiguous(&file, "overlaps");
}

#[test]
fn records_for_directories_are_no_attack() {
    let directories = ["archive/", "archive/data/"].map(|name| Record::stored(name, b""));
    assert!(converted(&archive::write(&[directories.to_vec(), plain()].concat())).is_ok());
}

#[test]
fn a_record_that_reaches_into_the_directory() {
    let longer = |record: Record| {
        record.both(|header| {
            header.compressed += 100;
            header.size += 100;
        })
    };
    let mut records = plain();
    let last = records.pop().unwrap();
    records.push(longer(last));
    assert_ambiguous(&archive::write(&records), "overlaps");
    assert_ambiguous(&with_storage(longer), "overlaps");
}

#[test]
fn bytes_before_the_archive() {
    let plain = archive::write(&plain());
    let shell = [b"#!/bin/sh\nexit\n".to_vec(), plain.clone()].concat();
    assert!(matches!(refused(&shell), Error::NotCheckpoint { .. }));
    // The archive follows bytes that look like a record.
    let parts = archive::parts(&self::plain(), 7);
    let end = archive::end(&parts, 7, b"");
    let behind = [b"PK\x03\x04abc".to_vec(), parts.body, end].concat();
    assert!(matches!(refused(&behind), Error::Ambiguity { .. }), "{:?}", refused(&behind));
    let shifted = [b"PK\x03\x04abc".to_vec(), plain].concat();
    assert!(matches!(refused(&shifted), Error::Ambiguity { .. } | Error::Zip(_)));
}

#[test]
fn flags_of_encryption_and_patches() {
    for bit in [0, 5, 6, 13] {
        let file = with_storage(|record| record.both(|header| header.flags |= 1 << bit));
        assert_ambiguous(&file, "encrypted or patch data");
        let file = with_storage(|record| record.in_directory(|header| header.flags |= 1 << bit));
        assert!(matches!(refused(&file), Error::Ambiguity { .. } | Error::Zip(_)), "bit {bit}");
    }
}

#[test]
fn a_method_torch_does_not_know() {
    for method in [1, 9, 12, 14, 93, 95, 99] {
        let file = with_storage(|record| record.both(|header| header.method = method));
        assert_ambiguous(&file, "archive/data/0 uses an unsupported compression method");
    }
}

#[test]
fn a_second_end_record() {
    // A complete archive with other weights is in the comment of the first.
    let first = archive::parts(&plain(), 0);
    let other = records(&pickle::named(&[("b", pickle::four())]), &[("0", &floats(4))]);
    let base = first.body.len() + 22;
    let second = archive::parts(&other, base);
    let mut second_end = archive::end(&second, base, b"");
    let comment = [second.body.clone(), second_end.clone()].concat();
    let file = [first.body.clone(), archive::end(&first, 0, &comment), comment].concat();
    let file = file[..file.len() - second.body.len() - second_end.len()].to_vec();
    assert_ambiguous(&file, "leading bytes");
    // The second one has a wrong comment length: some readers take it, others the first.
    *second_end.last_mut().unwrap() = 1;
    let comment = [second.body, second_end].concat();
    let file = [first.body.clone(), archive::end(&first, 0, &comment)].concat();
    assert_ambiguous(&file, "end");
    // Bytes follow the archive.
    let file = [archive::write(&plain()), b"junk".to_vec()].concat();
    assert_ambiguous(&file, "end");
}

#[test]
fn zip64_values_that_lie() {
    // The plain end record and the zip64 one name different directories, both complete.
    let first = archive::parts(&plain(), 0);
    let other = records(&pickle::named(&[("b", pickle::four())]), &[("0", &floats(4))]);
    let second = archive::parts(&other, first.body.len());
    let both = [first.body.clone(), second.body.clone()].concat();
    let len = both.len() as u64 - u64::from(second.directory);
    let lying = archive::end64(both.len(), u64::from(second.directory), len, 3);
    let file = [both.clone(), lying, archive::end(&first, 0, b"")].concat();
    assert_ambiguous(&file, "end");
    // No file has these counts and positions.
    for (directory, len, count) in
        [(u64::MAX, len, 3), (0, u64::MAX, 3), (0, len, u64::MAX), (1 << 63, 1 << 63, 1 << 63)]
    {
        let lying = archive::end64(first.body.len(), directory, len, count);
        let mut end = archive::end(&first, 0, b"");
        end[8..20].fill(0xff);
        let file = [first.body.clone(), lying, end].concat();
        assert!(matches!(refused(&file), Error::Ambiguity { .. } | Error::Zip(_)));
    }
}

#[test]
fn zip64_lengths_that_lie() {
    let extra = |len: u64| [b"\x01\0\x10\0".as_slice(), &len.to_le_bytes(), &len.to_le_bytes()].concat();
    for len in [1 << 40, u64::MAX, 1 << 63] {
        let file = with_storage(|record| {
            record.both(|header| {
                header.compressed = u32::MAX;
                header.size = u32::MAX;
                header.extra = extra(len);
            })
        });
        assert!(matches!(refused(&file), Error::Ambiguity { .. } | Error::Zip(_)), "{len}");
    }
    // The zip64 field occurs twice, with different values.
    let file = with_storage(|record| {
        record.in_directory(|header| {
            header.compressed = u32::MAX;
            header.size = u32::MAX;
            header.extra = [extra(16), extra(8)].concat();
        })
    });
    assert!(matches!(refused(&file), Error::Ambiguity { .. } | Error::Zip(_)), "{:?}", refused(&file));
}

#[test]
fn a_name_in_an_extra_field() {
    // Readers that know Info-ZIP's unicode path see `data/0`, torch sees `data/1`.
    let file = with_storage(|record| {
        let record = record.in_directory(|header| {
            header.name = b"archive/data/1".to_vec();
            let crc = crc32fast::hash(&header.name);
            let body = [b"\x01".as_slice(), &crc.to_le_bytes(), b"archive/data/0"].concat();
            header.extra = [b"\x75\x70".as_slice(), &[u8::try_from(body.len()).unwrap(), 0], &body].concat();
        });
        record.in_local(|header| header.name = b"archive/data/0".to_vec())
    });
    assert_ambiguous(&file, "overrides a record's name");
}

#[test]
fn names_that_are_no_plain_paths() {
    for name in
        ["archive/../data/0", "/archive/data/0", "archive\\data\\0", "archive/data/0\0", "../data/0", ""]
    {
        let other = Record::stored(name, b"x");
        assert!(
            matches!(refused(&archive::write(&[plain(), vec![other]].concat())), Error::Ambiguity { .. }),
            "{name}"
        );
    }
    let other = Record::stored("x", b"x").both(|header| header.name = b"archive/data/\xff".to_vec());
    assert_ambiguous(&archive::write(&[plain(), vec![other]].concat()), "UTF-8");
}

#[test]
fn a_record_of_another_length() {
    for count in [0, 3, 5] {
        let file =
            archive::write(&records(&pickle::named(&[("a", pickle::four())]), &[("0", &floats(count))]));
        assert!(matches!(refused(&file), Error::StorageLength { expected: 16, .. }), "{count}");
    }
    let file = with_storage(|record| record.both(|header| header.size = 8));
    assert_ambiguous(&file, "two sizes");
}

#[test]
fn a_record_that_inflates_to_another_length() {
    for size in [1 << 20, 0] {
        let bomb = vec![0; size];
        let file = with_storage(|record| {
            let crc = record.local.crc;
            let deflated = Record::deflated("archive/data/0", &bomb);
            deflated.both(|header| {
                header.size = 16;
                header.crc = crc;
            })
        });
        let error = converted(&file).unwrap_err();
        assert!(matches!(error, Error::StorageLength { expected: 16, .. } | Error::Zip(_)), "{error:?}");
        assert!(!error.is_io());
    }
    // The pickle is the bomb.
    let mut records = plain();
    let bomb = [pickle::whole(&pickle::named(&[("a", pickle::four())])), vec![0; 1 << 20]].concat();
    let size = u32::try_from(bomb.len() - (1 << 20)).unwrap();
    records[0] = Record::deflated("archive/data.pkl", &bomb).both(|header| header.size = size);
    assert!(matches!(refused(&archive::write(&records)), Error::Ambiguity { .. } | Error::Zip(_)));
}

#[test]
fn a_record_with_a_wrong_checksum() {
    for record in [1, 0] {
        let mut records = plain();
        records[record] = records[record].clone().both(|header| header.crc ^= 1);
        assert!(matches!(converted(&archive::write(&records)), Err(Error::Damaged(_))));
    }
    let file =
        with_storage(|_| Record::deflated("archive/data/0", &floats(4)).both(|header| header.crc ^= 1));
    assert!(matches!(converted(&file), Err(Error::Damaged(_))));
}

#[test]
fn a_second_pickle_after_the_first() {
    let mut records = plain();
    let two = [pickle::whole(&pickle::named(&[("a", pickle::four())])), b"\x80\x02cos\nsystem\n.".to_vec()]
        .concat();
    records[0] = Record::stored("archive/data.pkl", &two);
    assert_ambiguous(&archive::write(&records), "trailing bytes after its pickle");
}

#[test]
fn an_archive_that_is_cut_anywhere() {
    refused_when_cut(&zip_of(&pickle::named(&[("a", pickle::four())])));
}
