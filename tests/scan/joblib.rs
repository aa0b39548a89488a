//! Tests joblib files: arrays are between the opcodes, and each array of objects has its own pickle.
//!
//! `tests/fixtures/make_joblib.py` wrote `joblib.tsv` with two versions of joblib.

use git_st_convert::scan::{Report, Verdict};

use super::{CALL, joined, look};
use crate::checkpoint::archive::{Record, write};
use crate::checkpoint::legacy;

/// Returns the description of each file, whether it contains a call, and its bytes.
fn files() -> Vec<(&'static str, bool, Vec<u8>)> {
    let lines = include_str!("../fixtures/joblib.tsv").lines().filter(|line| !line.starts_with('#'));
    let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    let files = lines.map(|line| {
        let [what, kind, digits] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        (what, kind == "calls", digits.as_bytes().chunks(2).map(byte).collect())
    });
    files.collect()
}

fn named(report: &Report, name: &str) -> bool {
    report.globals().iter().any(|(_, global)| global.name == name)
}

#[test]
fn what_stands_behind_an_array_or_in_one_is_seen() {
    let all: Vec<_> = files().into_iter().filter(|(_, calls, _)| *calls).collect();
    assert!(all.len() >= 20, "{}", all.len());
    for (what, _, bytes) in all {
        let report = look(&bytes);
        assert_eq!(report.verdict, Verdict::Dangerous, "{what}: {report:#?}");
        assert!(named(&report, "system"), "{what}: {report:#?}");
        assert_eq!(report.pickles[0].reason, None, "{what}: {report:#?}");
    }
}

#[test]
fn a_file_that_joblib_writes_is_read_to_its_end() {
    for (what, _, bytes) in files().into_iter().filter(|(_, calls, _)| !*calls) {
        let report = look(&bytes);
        assert_eq!(report.verdict, Verdict::Unknown, "{what}: {report:#?}");
        assert!(report.pickles.iter().all(|pickle| pickle.reason.is_none()), "{what}: {report:#?}");
        assert_eq!(named(&report, "NumpyArrayWrapper"), !what.contains("a scalar"), "{what}");
    }
}

#[test]
fn an_array_whose_end_nobody_knows_is_unreadable() {
    let (_, _, bytes) = files().into_iter().find(|(what, ..)| *what == "joblib 1.6.0, floats").unwrap();
    let at = |word: &[u8]| bytes.windows(word.len()).position(|part| part == word).unwrap();
    // The bytes have the same length, with another name for the shape, and for the size of an element.
    for (word, other) in
        [(b"shape".as_slice(), b"shade".as_slice()), (b"f8", b"g8"), (b"dtype\x94", b"dtypo\x94")]
    {
        let mut changed = bytes.clone();
        let place = at(word);
        changed[place..place + other.len()].copy_from_slice(other);
        let report = look(&changed);
        assert_eq!(report.verdict, Verdict::Unreadable, "{report:#?}");
    }
    let cut = look(&bytes[..bytes.len() - 20]);
    assert_eq!(cut.verdict, Verdict::Unreadable, "{cut:#?}");
}

#[test]
fn two_files_in_a_row_are_read_as_two() {
    let of = |name: &str| {
        files()
            .into_iter()
            .find(|(what, ..)| what.starts_with("joblib 1.6") && what.ends_with(name))
            .unwrap()
            .2
    };
    let report = look(&joined(&[&of("floats"), &of("behind an array")]));
    assert_eq!((report.verdict, named(&report, "system")), (Verdict::Dangerous, true), "{report:#?}");
}

/// Returns `_load_from_bytes` of these bytes, with bytes as protocol 3 and as protocol 2 write them.
fn loads(bytes: &[u8]) -> [Vec<u8>; 2] {
    let len = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let name = b"ctorch.storage\n_load_from_bytes\n";
    [
        joined(&[b"\x80\x03", name, b"B", &len(bytes.len()), bytes, b"\x85R."]),
        joined(&[
            b"\x80\x02",
            name,
            b"c_codecs\nencode\nX",
            &len(text.len()),
            text.as_bytes(),
            b"X\x06\0\0\0latin1\x86R\x85R.",
        ]),
    ]
}

#[test]
fn bytes_that_torch_loads_are_looked_into_as_a_file_is() {
    let padded = |bytes: &[u8]| joined(&[&b"N0".repeat(200), bytes]);
    for file in loads(&legacy(&padded(b"}q\x00"), &[])) {
        let report = look(&file);
        assert_eq!(report.verdict, Verdict::Unknown, "{report:#?}");
    }
    let call = joined(&[CALL, b"."]);
    for bytes in [padded(&call), write(&[Record::stored("archive/data.pkl", &padded(&call))])] {
        for file in loads(&bytes) {
            let report = look(&file);
            assert!(report.verdict == Verdict::Dangerous && named(&report, "system"), "{report:#?}");
        }
    }
    // Computed bytes are not known.
    let computed = look(b"\x80\x03ctorch.storage\n_load_from_bytes\nccollections\nOrderedDict\n)R\x85R.");
    assert_eq!(computed.verdict, Verdict::Dangerous, "{computed:#?}");
}

/// Returns a wrapper, its state with this many bytes of elements, and an opcode for `BUILD`.
fn array(wrapper: &[u8], len: u8, dtype: &[u8], is_aligned: bool) -> Vec<u8> {
    let text =
        |text: &str| joined(&[b"X", &u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()]);
    let shape = joined(&[&text("shape"), b"(K", &[len], b"t"]);
    let alignment =
        if is_aligned { joined(&[&text("numpy_array_alignment_bytes"), b"N"]) } else { Vec::new() };
    joined(&[wrapper, b"}(", &shape, &text("dtype"), dtype, &alignment, b"ub"])
}

#[test]
fn what_other_readers_call_in_an_array_is_seen() {
    let wrapper = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81";
    let bytes = b"cnumpy\ndtype\n(X\x02\0\0\0u1K\0K\x01tR";
    // joblib reads these bytes as elements, `pickle` as opcodes.
    let call = b"cbuiltins\nstr\n(Vos\ntRcbuiltins\nstr\n(Vsystem\ntR\x93Vid\n\x85R";
    let elements = joined(&[&array(wrapper, u8::try_from(call.len()).unwrap(), bytes, true), call, b"."]);
    let report = look(&elements);
    assert_eq!(report.verdict, Verdict::Dangerous, "{report:#?}");
    // The position at which joblib continues is not known: because of arguments, a copy, or a size that numpy refuses.
    let sized = b"cnumpy\ndtype\n(X\x02\0\0\0u1K\0K\x01tR(K\x03X\x01\0\0\0|NNNK\x09J\xff\xff\xff\xffK\0tb";
    for odd in [
        array(b"(cjoblib.numpy_pickle\nNumpyArrayWrapper\nNo", 4, bytes, false),
        array(&joined(&[b"ccopy\ncopy\n", wrapper, b"\x85R"]), 4, bytes, true),
        array(wrapper, 4, sized, true),
    ] {
        let report = look(&joined(&[&odd, b"aaaa."]));
        assert!(report.verdict >= Verdict::Unreadable, "{report:#?}");
    }
}

#[test]
fn bytes_that_can_be_filled_are_no_file() {
    let file = joined(&[b"\x80\x05ctorch.storage\n_load_from_bytes\n\x96", &[0; 8], b"(K\x80K\x04K.e\x85R."]);
    let report = look(&file);
    assert_eq!(report.verdict, Verdict::Dangerous, "{report:#?}");
}
