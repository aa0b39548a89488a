//! Tests ordinary files: numbers and words of every kind are not taken for something else, and hide nothing.

use std::io::Write as _;

use git_st_convert::scan::{Content, Verdict};

use super::{CALL, joined, look};
use crate::checkpoint::archive::{Record, write};

/// Returns pseudorandom bytes for a seed.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let next = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[6]
    });
    next.skip(8).take(len).collect()
}

/// Returns numbers around zero, as weights are.
fn floats(seed: u64) -> Vec<u8> {
    let pairs = noise(seed, 4096);
    let number = |pair: &[u8]| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0;
    pairs.chunks_exact(2).flat_map(|pair| number(pair).to_le_bytes()).collect()
}

#[test]
fn weights_of_any_numbers_are_weights_and_the_numbers_alone_are_clean() {
    for seed in 0..300 {
        for numbers in [floats(seed), noise(seed, 4096)] {
            let alone = look(&numbers);
            assert_eq!(alone.verdict, Verdict::Clean, "{seed}: {alone:#?}");
            let pickle = Record::stored("archive/data.pkl", b"\x80\x02}q\x00.");
            let archive = write(&[pickle, Record::stored("archive/data/0", &numbers)]);
            let report = look(&archive);
            assert_eq!(
                (report.verdict, report.reason.clone()),
                (Verdict::Weights, None),
                "{seed} {report:#?}"
            );
        }
    }
}

#[test]
fn words_of_every_script_are_text() {
    for words in
        ["权重是用火炬训练的。", "веса обучены ", "Gewichte für größere Modelle ", "重みは小さい", "😀 "]
    {
        for file in [words.repeat(200), format!("# {}", words.repeat(30)), words.repeat(7)] {
            let report = look(file.as_bytes());
            assert_eq!((report.verdict, report.content), (Verdict::Clean, Content::Text), "{words}");
        }
    }
}

#[test]
fn a_compressed_pickle_is_found_whatever_it_is_compressed_with() {
    for seed in 0..300 {
        // Bytes that are popped again, and then the call: because of the noise, the stream looks like no format.
        let pickle = joined(&[b"\x80\x03B\xd0\x07\0\0", &noise(seed, 2000), b"0", CALL, b"."]);
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&pickle).unwrap();
        let report = look(&encoder.finish().unwrap());
        assert_eq!((report.verdict, report.content), (Verdict::Dangerous, Content::Zlib), "{seed}");
    }
}

/// A script or a table in one line without an end is not a pickle, whatever opcode its first letter is.
#[test]
fn one_long_line_is_a_text() {
    for first in ' '..='~' {
        for line in ["content 94 ", "onsole.log(x=>({a:[1,2]}));", "word,", "nt a=1;"] {
            for repeated in [1, 40, 400, 70_000] {
                let text = format!("{first}{}", line.repeat(repeated));
                let report = look(text.as_bytes());
                assert_eq!(report.verdict, Verdict::Clean, "{first:?} {line:?} {repeated}: {report:#?}");
            }
        }
    }
}
