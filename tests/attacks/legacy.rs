//! Tests attacks on the legacy PyTorch file: the parts around the pickle of the object.

use super::{Error, converted, floats, pickle, refused, refused_when_cut};
use crate::checkpoint::{MAGIC, legacy, legacy_storages, preamble};

fn object() -> Vec<u8> {
    pickle::named(&[("a", pickle::four())])
}

fn plain() -> Vec<u8> {
    legacy(&object(), &[("0", 4, &floats(4))])
}

/// Returns a plain file with another preamble.
fn after(preamble: &[u8]) -> Vec<u8> {
    [preamble.to_vec(), pickle::whole(&object()), legacy_storages(&[("0", 4, &floats(4))])].concat()
}

/// Returns a plain file with other bytes in place of the list of keys.
fn with_keys(keys: &[u8]) -> Vec<u8> {
    let storage = [4_i64.to_le_bytes().to_vec(), floats(4)].concat();
    [preamble(), pickle::whole(&object()), pickle::whole(keys), storage].concat()
}

#[test]
fn a_magic_number_made_by_a_call() {
    let digits = pickle::text("119547037146038801333356");
    let made = pickle::whole(&pickle::call(&pickle::global("builtins", "int"), &[digits]));
    let rest = preamble()[MAGIC.len()..].to_vec();
    assert!(matches!(refused(&after(&[made, rest.clone()].concat())), Error::NotCheckpoint { .. }));
    let other = pickle::whole(&pickle::int(0x1950_a86a_20f9_469c_fc6d));
    assert!(matches!(refused(&after(&[other, rest.clone()].concat())), Error::NotCheckpoint { .. }));
    assert!(converted(&after(&[MAGIC.to_vec(), rest].concat())).is_ok());
}

#[test]
fn preamble_that_is_not_torch_s() {
    let info = |short: i128| {
        let sizes = [("short", pickle::int(short)), ("int", pickle::int(4)), ("long", pickle::int(4))];
        pickle::whole(&pickle::named(&[("type_sizes", pickle::named(&sizes))]))
    };
    let version = |number: i128| pickle::whole(&pickle::int(number));
    assert!(converted(&after(&[MAGIC.to_vec(), version(1001), info(2)].concat())).is_ok());
    for (version, info) in [
        (version(1000), info(2)),
        (version(1 << 70), info(2)),
        (version(1001), info(4)),
        (version(1001), pickle::whole(&pickle::named(&[]))),
        (version(1001), pickle::whole(&pickle::int(1))),
        (pickle::whole(&pickle::text("1001")), info(2)),
        (pickle::whole(&pickle::call(&pickle::global("builtins", "int"), &[pickle::int(1001)])), info(2)),
    ] {
        let error = refused(&after(&[MAGIC.to_vec(), version, info].concat()));
        assert!(matches!(error, Error::Legacy { .. } | Error::LegacyPart { .. }), "{error:?}");
    }
}

#[test]
fn plain_pickles_that_are_bombs() {
    let deep = [b"]".repeat(500_000), b"a".repeat(499_999)].concat();
    let long = pickle::kept(&pickle::text(&"x".repeat(1 << 20)));
    let keys = pickle::list(&[pickle::text("0")]);
    let bombs = [
        pickle::tower(&pickle::text("0"), 60),
        [pickle::text("0"), b"2\x86".repeat(500)].concat(),
        deep.clone(),
        // The value is popped, so nothing of it is left, but a reader that builds trees has built it.
        [deep, b"0".to_vec(), keys.clone()].concat(),
        [pickle::tower(&pickle::text("0"), 60), b"0".to_vec(), keys.clone()].concat(),
        // A megabyte is named 400,000 times, or copied and dropped as often.
        [long.clone(), b"(".to_vec(), b"K\x01".repeat(400_000), b"h\x00".repeat(400_000), b"l".to_vec()]
            .concat(),
        [long, b"h\x00".to_vec(), b"20".repeat(400_000), b"0".to_vec(), keys.clone()].concat(),
        [pickle::list(&vec![pickle::text("0"); 50_000]), b"20".repeat(200_000), b"0".to_vec(), keys].concat(),
    ];
    for bomb in bombs {
        for file in [with_keys(&bomb), after(&[MAGIC.to_vec(), pickle::whole(&bomb), preamble()].concat())] {
            let error = refused(&file);
            assert!(!matches!(error, Error::Io(_)), "{error:?}");
        }
        let info = [MAGIC.to_vec(), pickle::whole(&pickle::int(1001)), pickle::whole(&bomb)].concat();
        refused(&after(&info));
    }
}

#[test]
fn keys_repeated_missing_and_extra() {
    let tensor = |key: &str| pickle::tensor(&pickle::storage("FloatStorage", key, 4), 0, &[4], &[1]);
    let object = pickle::named(&[("a", tensor("0")), ("b", tensor("1"))]);
    let four = floats(4);
    let storage = |key: &'static str| (key, 4, four.as_slice());
    assert!(converted(&legacy(&object, &[storage("1"), storage("0")])).is_ok());
    for (storages, what) in [
        (vec![storage("0")], "missing from the storage key list"),
        (vec![], "missing from the storage key list"),
        (vec![storage("0"), storage("0")], "twice"),
        (vec![storage("0"), storage("1"), storage("0")], "twice"),
        (vec![storage("0"), storage("1"), storage("2")], "not used by any tensor"),
    ] {
        match refused(&legacy(&object, &storages)) {
            Error::Storage { what: got, .. } => assert!(got.contains(what), "{got}"),
            other => panic!("{other:?}"),
        }
    }
    for keys in [pickle::none(), pickle::named(&[("0", pickle::int(1))]), pickle::list(&[pickle::int(0)])] {
        let error = refused(&with_keys(&keys));
        assert!(matches!(error, Error::Legacy { .. } | Error::LegacyPart { .. }), "{error:?}");
    }
}

#[test]
fn a_count_that_lies() {
    for count in [0, 3, 5, -1, i64::MIN, i64::MAX, 1 << 62, (1 << 62) + 4] {
        let error = refused(&legacy(&object(), &[("0", count, &floats(4))]));
        assert!(matches!(error, Error::StorageLength { .. } | Error::Storage { .. }), "{count}: {error:?}");
    }
}

#[test]
fn bytes_after_the_last_storage() {
    for more in [b"\n".to_vec(), floats(4), plain(), b"PK\x03\x04".to_vec()] {
        let error = refused(&[plain(), more].concat());
        assert!(
            matches!(error, Error::Legacy { what: "trailing bytes after the last storage", .. }),
            "{error:?}"
        );
    }
    // A complete zip archive follows the file; readers that search for its end would take it.
    let zip = crate::checkpoint::zip_of(&pickle::named(&[("b", pickle::four())]));
    assert!(matches!(refused(&[plain(), zip].concat()), Error::Legacy { .. }));
}

#[test]
fn a_stream_that_is_cut_anywhere() {
    refused_when_cut(&plain());
}
