//! Tests the readers of Python: every name that one of them looks up is in the report, whatever the bytes turn out to
//! be.
//!
//! `tests/fixtures/judge_pickles.py` runs the readers themselves to find out which accepts what.

use git_st_convert::scan::{Limits, Verdict, scan};

use super::{CALL, containers, joined, look};

/// Returns the verdict and the worst name of a file.
fn worst(file: &[u8]) -> (Verdict, Option<String>) {
    let report = look(file);
    let name = report.globals().first().map(|(_, global)| format!("{}.{}", global.module, global.name));
    (report.verdict, name)
}

fn dangerous(what: &str, file: &[u8]) {
    assert_eq!(worst(file), (Verdict::Dangerous, Some("os.system".to_owned())), "{what}");
}

fn framed(len: u64, rest: &[u8]) -> Vec<u8> {
    joined(&[b"\x80\x04\x95", &len.to_le_bytes(), rest])
}

#[test]
fn a_frame_that_is_longer_than_the_file_is_one_to_the_reader_in_python() {
    let call = joined(&[CALL, b"."]);
    dangerous("longer", &framed(255, &call));
    dangerous("much longer", &framed(1 << 62, &call));
    dangerous("without PROTO", &joined(&[b"\x95\xff\0\0\0\0\0\0\0", &call]));
    dangerous("behind another", &joined(&[b"\x80\x04N.", &framed(255, &call)]));
    // Half of a download proves nothing yet, and is still a pickle.
    let names = b"\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x85R.";
    for len in 0..8 {
        let file = framed(names.len() as u64, &names[..len]);
        assert_eq!(look(&file).verdict, Verdict::Unreadable, "{len}");
    }
}

#[test]
fn frames_are_what_each_reader_makes_of_them() {
    let call = joined(&[CALL, b"."]);
    dangerous("of no bytes", &framed(0, &call));
    dangerous("in a frame that is at its end", &framed(9, &joined(&[b"\x95", &[0; 8], &call])));
    // A frame in a frame: if the buffer contains all of it, the frame does not change; otherwise the outer one ends.
    let inner = joined(&[b"\x95\x03\0\0\0\0\0\0\0N0N0", &call]);
    dangerous("in a frame", &framed(inner.len() as u64, &inner));
    // For a line across the end, a file without peek returns the bytes after the frame.
    dangerous("a line across", &framed(2, b"Vxos\nVsystem\n\x93(Vtrue\ntR."));
}

#[test]
fn what_is_left_of_a_frame_is_the_next_pickle_or_is_lost() {
    let call = joined(&[CALL, b"."]);
    // After STOP in a frame, the next pickle begins there, or after the frame.
    dangerous("in the frame", &framed(2 + call.len() as u64, &joined(&[b"N.", &call])));
    dangerous("behind the frame", &framed(5, &joined(&[b"N.\xff\xff\xff", &call])));
    // For a line, one reader continues with the rest of the frame, another with the bytes after it.
    dangerous("a line across", &framed(4, b"N.Vxos\nVsystem\n\x93(Vtrue\ntR."));
}

#[test]
fn a_line_of_any_length_hides_nothing() {
    let long = |digits: usize| format!("V{}\n0", "0".repeat(digits)).into_bytes();
    for digits in [70_000, 200_000, 3_000_000] {
        let pickle = joined(&[&long(digits), CALL, b"."]);
        for (what, file) in containers(&pickle) {
            let report = look(&file);
            assert_eq!(report.verdict, Verdict::Dangerous, "{digits}, {what}: {report:#?}");
        }
    }
    let string = joined(&[b"S'", &b"a".repeat(100_000), b"'\n0", CALL, b"."]);
    dangerous("a quoted string", &string);
    let number = joined(&[b"I", &b" ".repeat(100_000), b"1\n0", CALL, b"."]);
    dangerous("blanks before a number", &number);
    let index = joined(&[b"Np", &b"0".repeat(100_000), b"7\n0g7\n0", CALL, b"."]);
    dangerous("zeros before an index", &index);
    // The line is longer than any writer makes it, so the following bytes are not known.
    let index = joined(&[b"Np", &b" ".repeat(2 << 20), b"7\n0g7\n0", CALL, b"."]);
    assert_eq!(look(&index).verdict, Verdict::Unreadable);
    let persistent = joined(&[b"P", &b"a".repeat(100_000), b"\n0", CALL, b"."]);
    dangerous("persistent ID", &persistent);
}

#[test]
fn numbers_are_read_as_python_and_c_read_them() {
    let behind = |number: &[u8]| joined(&[number, b"\n0", CALL, b"."]);
    for number in [
        b"I\x0b1".as_slice(),
        b"I 1",
        b"I\t1\x0c",
        b"I+1",
        b"I-0",
        b"I0x1f",
        b"I0o17",
        b"I0b1",
        b"I010",
        b"I01",
        b"I1_0",
        b"I0x_1",
        b"I1\0junk",
        b"I\0",
        b"I99999999999999999999999999",
        b"L\x0b1L",
        b"L1",
        b"L0x1L",
        b"L1_0L",
        b"L1\0junk",
        b"F 1",
        b"F1_0.5",
        b"F1\0junk",
        b"Finfinity",
        b"F1e999",
    ] {
        dangerous(&String::from_utf8_lossy(number), &behind(number));
    }
    // The memo contains the names, and only a reader that accepts the number gets them.
    for (put, get) in [
        (b"0".as_slice(), b"0".as_slice()),
        (b" 7", b"\x0b7"),
        (b"007", b"+7"),
        (b"-0", b"0"),
        (b"1_0", b"10"),
        (b"3\0x", b"3"),
        (b"99999999999999999999", b"99999999999999999999"),
    ] {
        let file = joined(&[b"Vos\np", put, b"\n0g", get, b"\nVsystem\n\x93(Vtrue\ntR."]);
        dangerous(&format!("{put:?}"), &file);
    }
}

#[test]
fn text_is_read_as_python_reads_it() {
    for text in [br"S'\563ystem'".as_slice(), br"S'\163\x79stem'", br"V\u0073ystem", br"V\U00000073ystem"] {
        dangerous(&String::from_utf8_lossy(text), &joined(&[b"Vos\n", text, b"\n\x93)R."]));
    }
    // With another backslash before it, it is not an escape.
    let (_, name) = worst(b"Vos\nV\\\\u0073ystem\n\x93)R.");
    assert_eq!(name.as_deref(), Some(r"os.\\u0073ystem"));
    // A text can also be an attribute of a module, or the result of a function.
    for module in [b"cos\nname\n".as_slice(), b"ccollections\nOrderedDict\n)R"] {
        assert_eq!(look(&joined(&[module, b"Vx\n\x93)R."])).verdict, Verdict::Dangerous);
    }
}

#[test]
fn what_only_the_reader_in_python_looks_up_is_found() {
    // INST before its mark, and a line at the end of the file, without its last byte.
    dangerous("INST without a mark", b"ios\nsystem\n.");
    dangerous("a line at the end of the file", b"cos\nsystem!");
    dangerous("the same in protocol 2", b"\x80\x02cos\nsystem!");
    dangerous("behind what C does not take", b"F 1\n0cos\nsystem\n)R.");
}

#[test]
fn more_pickles_than_are_looked_at_are_never_clean() {
    let limits = Limits::default();
    let many = joined(&[&b"N.".repeat(limits.stream + 1), CALL, b"."]);
    assert_eq!(scan(&many, &limits).unwrap().verdict, Verdict::Unreadable);
    let few = joined(&[&b"N.".repeat(limits.stream - 1), CALL, b"."]);
    dangerous("as many as are looked at", &few);
}

#[test]
fn a_name_in_a_class_is_unknown_until_it_is_called() {
    let attribute = b"c__builtin__\ngetattr\n(cmy.models\nSegment\nVInner\ntR".as_slice();
    let nested = b"c__builtin__\ngetattr\n(c__builtin__\ngetattr\n(cmy\nA\nVB\ntRVC\ntR".as_slice();
    for (what, file, verdict) in [
        ("an attribute of a class", joined(&[attribute, b"."]), Verdict::Unknown),
        ("in protocol 2", joined(&[b"\x80\x02", attribute, b"."]), Verdict::Unknown),
        ("an attribute of an attribute", joined(&[nested, b"."]), Verdict::Unknown),
        ("in a dict", joined(&[b"}Vk\n", attribute, b"s."]), Verdict::Unknown),
        ("called", joined(&[attribute, b")R."]), Verdict::Dangerous),
        ("made an object of", joined(&[attribute, b")\x81."]), Verdict::Dangerous),
        ("called by OBJ", joined(&[b"(", attribute, b"o."]), Verdict::Dangerous),
        ("given a state", joined(&[attribute, b"}b."]), Verdict::Dangerous),
        ("a text of another name", joined(&[attribute, b"Vx\n\x93."]), Verdict::Dangerous),
        ("one called, one not", joined(&[attribute, b"0", attribute, b")R."]), Verdict::Dangerous),
        ("not used at all", b"c__builtin__\ngetattr\n.".to_vec(), Verdict::Dangerous),
        ("handed on", b"cmy\nf\n(c__builtin__\ngetattr\ntR.".to_vec(), Verdict::Dangerous),
        ("from a module", b"c__builtin__\ngetattr\n(ctorch\nos\nVsystem\ntR.".to_vec(), Verdict::Dangerous),
        (
            "a name of Python's",
            b"c__builtin__\ngetattr\n(cmy\nA\nV__globals__\ntR.".to_vec(),
            Verdict::Dangerous,
        ),
        ("a dotted name", b"c__builtin__\ngetattr\n(cmy\nA\nVb.c\ntR.".to_vec(), Verdict::Dangerous),
        ("with a default", b"c__builtin__\ngetattr\n(cmy\nA\nVb\nNtR.".to_vec(), Verdict::Dangerous),
        ("of what is made", b"c__builtin__\ngetattr\n(cmy\nA\n)RVb\ntR.".to_vec(), Verdict::Dangerous),
        ("the type of a value", b"c__builtin__\ntype\n(NtR.".to_vec(), Verdict::Unknown),
        ("a new type", b"c__builtin__\ntype\n(VA\n)}tR.".to_vec(), Verdict::Dangerous),
        ("a type that is called", b"c__builtin__\ntype\n(NtR)R.".to_vec(), Verdict::Dangerous),
        ("a partial call", b"cfunctools\npartial\n(cmy\nf\ntR(cmy\nf\n)}NtR.".to_vec(), Verdict::Dangerous),
        (
            "a partial with its state",
            b"cfunctools\npartial\n(cmy\nf\ntR(cmy\nf\n)}Ntb.".to_vec(),
            Verdict::Unknown,
        ),
        ("a partial of what runs", b"cfunctools\npartial\n(cos\nsystem\ntR.".to_vec(), Verdict::Dangerous),
        ("a printed text", b"c__builtin__\nprint\n(Vx\ntR0N.".to_vec(), Verdict::Dangerous),
    ] {
        let report = look(&file);
        assert_eq!(report.verdict, verdict, "{what}: {report:#?}");
    }
}

#[test]
fn lists_of_words_are_texts() {
    for words in [
        "cos tan sin",
        "int float double",
        "ios macos windows",
        "cast crew director",
        "ctypes curses cmd",
        "cat dog cow hen bull Volvo",
        "config.json config.yaml",
        "class_a class_b class_c",
        "clocale cmath csignal cstring ctime",
        "image index item",
    ] {
        let file = format!("{}\n", words.replace(' ', "\n"));
        let report = look(file.as_bytes());
        assert_eq!(report.verdict, Verdict::Clean, "{words}: {report:#?}");
        assert_eq!(look(file.trim_end().as_bytes()).verdict, Verdict::Clean, "{words}");
    }
    // Text in an old encoding is not noise.
    let old = b"cach\xe9.absolue = position d\xe9mand\xe9e\ncach\xe9.relative = \xe9galement la position pr\xe9c\xe9dente\n";
    let plain: Vec<u8> = old.iter().map(|byte| if *byte == 0xe9 { b'e' } else { *byte }).collect();
    let first_lines = joined(&[b"cache.absolue = position\ncache.relative = position\n", old]);
    for file in [old.to_vec(), plain, first_lines] {
        assert_eq!(look(&file).verdict, Verdict::Clean);
    }
    // An existing name is looked up.
    assert_eq!(look(b"cos\nsystem\nsin\n").verdict, Verdict::Dangerous);
    assert_eq!(look(b"csubprocess\nPopen\nsin\n").verdict, Verdict::Dangerous);
}

#[test]
fn a_reader_that_reads_again_has_the_memo_of_the_pickle_before() {
    let call = joined(&[CALL, b"."]);
    for (what, file) in [
        ("an index of the first pickle", joined(&[b"\x80\x02}q\0.\x80\x02h\x000", &call])),
        ("without a protocol", joined(&[b"\x80\x02}q\0.h\x000", &call])),
        ("a line", joined(&[b"(dp0\n.g0\n0", &call])),
        (
            "the names",
            joined(&[
                b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x86.",
                b"\x80\x04h\0h\x01\x93\x8c\x04true\x85R.",
            ]),
        ),
        (
            "numbers that continue",
            joined(&[
                b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x86.",
                b"\x80\x04\x8c\x04math\x94\x8c\x03sin\x94h\0h\x01\x93\x8c\x04true\x85R.",
            ]),
        ),
        ("the third pickle", joined(&[b"\x80\x02}q\0.\x80\x02N.\x80\x02h\x000", &call])),
    ] {
        dangerous(what, &file);
    }
    // Pickles of several writers, one after the other.
    let dict = b"\x80\x04}\x94(\x8c\x01a\x94h\x01\x8c\x01b\x94h\x02u.";
    for count in 1..6 {
        assert_eq!(worst(&dict.repeat(count)), (Verdict::Weights, None), "{count}");
    }
}
