//! Compares the headers of safetensors files that this program and the `safetensors` crate, which the library of Python
//! consists of, accept. `tests/fixtures/judge_headers.py` asks the library itself about these and thousands more.

use git_st_convert::checkpoint::Kind;
use git_st_convert::safetensors;

/// A header of one tensor of eight bytes.
const HEADER: &str =
    r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// Checks that both give the same answer, and returns it.
#[track_caller]
fn accepts(bytes: &[u8]) -> bool {
    let theirs = ::safetensors::SafeTensors::deserialize(bytes).is_ok();
    let ours =
        Kind::of(&bytes.to_vec()).unwrap() == Kind::Safetensors && safetensors::read(&bytes.to_vec()).is_ok();
    let head = String::from_utf8_lossy(bytes.get(8..bytes.len().min(200)).unwrap_or_default());
    assert_eq!(ours, theirs, "{} bytes: {head}", bytes.len());
    ours
}

#[test]
fn blanks_are_accepted_where_readers_accept_them() {
    let blanks = [" ", "\t", "\n", "\r", "\r\n", "\x0c", "\x0b", "\0", "\u{feff}", "\u{a0}", "\u{2028}"];
    let long = [" ".repeat(503), " ".repeat(504), " ".repeat(505), " ".repeat(100_000)];
    for (number, blank) in blanks.into_iter().chain(long.iter().map(String::as_str)).enumerate() {
        let is_json = !(5..11).contains(&number);
        for (header, data) in [(HEADER, 8), ("{}", 0)] {
            assert_eq!(accepts(&file(&format!("{blank}{header}"), data)), is_json, "{blank:?}");
            assert_eq!(accepts(&file(&format!("{header}{blank}"), data)), is_json, "{blank:?}");
            assert_eq!(accepts(&file(&format!("{blank}{header}{blank}"), data)), is_json, "{blank:?}");
        }
        assert!(!accepts(&file(blank, 0)), "{blank:?}");
    }
}

#[test]
fn the_length_has_the_bounds_of_readers() {
    for (len, header, data) in
        [(0, "", 0), (1, "{", 0), (2, "{}", 0), (3, "{}", 0), (3, "{} ", 0), (2, "{}", 1)]
            .into_iter()
            .chain([99_999_999, 100_000_000, 100_000_001, u64::MAX, u64::MAX - 7].map(|len| (len, "{}", 0)))
    {
        let mut bytes = file(header, data);
        bytes[..8].copy_from_slice(&u64::to_le_bytes(len));
        accepts(&bytes);
    }
    for len in 0..10 {
        accepts(&file("{}", 0)[..len]);
    }
    for (len, is_accepted) in [(100_000_000, true), (100_000_001, false)] {
        let padded = |header: String| accepts(&file(&header, 8));
        let blanks = " ".repeat(len - HEADER.len());
        assert_eq!(padded(format!("{HEADER}{blanks}")), is_accepted);
        assert_eq!(padded(format!("{blanks}{HEADER}")), is_accepted);
    }
}

#[test]
fn one_changed_place_of_a_header_has_the_same_effect() {
    let pieces = [
        " ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "0",
        "1",
        "-",
        "8",
        ".0",
        "e0",
        "null",
        "true",
        "[]",
        "{}",
        "\"a\"",
        "\\u0061",
        "\\ud800",
        "\u{feff}",
        "é",
        "\0",
        "\"x\":1,",
        "\"__metadata__\":null,",
        "\"__metadata__\":{},",
        "\"dtype\":\"F32\",",
        "\"shape\":[2],",
        "\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},",
        "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[8,8]},",
        "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]},",
    ];
    let (mut accepted, mut all) = (0, 0);
    for at in 0..=HEADER.len() {
        for piece in pieces {
            for removed in [0, 1, 4] {
                let Some(rest) = HEADER.get(at + removed..) else { continue };
                all += 1;
                accepted += usize::from(accepts(&file(&format!("{}{piece}{rest}", &HEADER[..at]), 8)));
            }
        }
    }
    assert!(accepted > 500 && all > 5_000, "{accepted} of {all}");
}
