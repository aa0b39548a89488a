//! Tests which files may be plain pickles by their first bytes, and which weights one can contain by its globals.

use git_st_convert::checkpoint::{Held, Kind, held, may_be_pickle};

use super::{expected, fixtures};

fn may_be(bytes: &[u8]) -> bool {
    let kind = Kind::of_head(&bytes[..bytes.len().min(512)]);
    may_be_pickle(&bytes.to_vec(), kind).unwrap()
}

#[test]
fn what_python_pickled_may_be_a_pickle_and_holds_what_it_names() {
    let mut count = 0;
    for file in expected().keys().filter(|file| file.starts_with("pickled-")) {
        let bytes = std::fs::read(fixtures().join("checkpoints").join(file)).unwrap();
        assert!(may_be(&bytes), "{file}");
        let wanted = match file.split(['-', '.']).nth(1) {
            Some("nothing") => Held::Nothing,
            Some("arrays" | "objects") => Held::Arrays,
            _ => Held::Storages,
        };
        assert_eq!(held(&bytes, Kind::of_head(&bytes)), Some(wanted), "{file}");
        // A truncated pickle is not read as a pickle.
        assert_eq!(held(&bytes[..bytes.len() - 1].to_vec(), Kind::of_head(&bytes)), None, "{file}");
        count += 1;
    }
    assert!(count >= 20, "only {count} pickles");
}

/// Python writes these bytes for `pickle.dumps(value, protocol)`.
#[test]
fn containers_of_protocols_0_and_1_may_be_pickles() {
    for pickle in [
        // {}, [], (), {"a": 1}, [1], (1, 2) and OrderedDict() in protocol 0, then in protocol 1.
        &b"(dp0\n."[..],
        b"(lp0\n.",
        b"(t.",
        b"(dp0\nVa\np1\nI1\ns.",
        b"(lp0\nI1\na.",
        b"(I1\nI2\ntp0\n.",
        b"ccollections\nOrderedDict\np0\n(tRp1\n.",
        b"}q\x00.",
        b"]q\x00.",
        b").",
        b"}q\x00X\x01\x00\x00\x00aq\x01K\x01s.",
        b"]q\x00K\x01a.",
        b"(K\x01K\x02tq\x00.",
        b"ccollections\nOrderedDict\nq\x00)Rq\x01.",
    ] {
        assert_eq!(may_be(pickle), pickle != b").", "{}", pickle.escape_ascii());
        assert_eq!(held(&pickle.to_vec(), Kind::Unknown), Some(Held::Nothing), "{}", pickle.escape_ascii());
    }
}

#[test]
fn texts_and_files_of_other_kinds_are_no_pickles() {
    for other in [
        &b"hello"[..],
        b"{\"a\": 1}",
        b"[1]",
        b"(a note)",
        b"class A:\n",
        b"city of London\n3\n4\n",
        b"c",
        b"c\n\n\n",
        b"conda\npip",
        b"(",
        b"}",
        b"",
        b"\x80\x06N.",
        b"PK\x03\x04",
        b"\x10\0\0\0\0\0\0\0{}",
        b"version https://git-lfs.github.com/spec/v1\n",
    ] {
        assert!(!may_be(other), "{}", other.escape_ascii());
    }
    // A list of names begins as a pickle does, and is not one.
    let names = b"conda\npip\nwheel\n".to_vec();
    assert!(may_be(&names));
    assert_eq!(held(&names, Kind::Unknown), None);
}
