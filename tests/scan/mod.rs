//! Tests `scan/`: the kind of a file, whether it contains a pickle, and which globals the pickle calls.
//!
//! The names are picklescan's own (`listed.json`, by `tests/fixtures/compare_scanners.py`); frames are read as
//! `CPython` with and without python/cpython#154848 reads them.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

#[cfg(feature = "cli")]
mod command;
mod cost;
#[cfg(feature = "cli")]
mod links;
mod archives;
mod code;
mod far;
#[cfg(all(unix, feature = "cli"))]
mod hub;
mod joblib;
mod msgpack;
mod ordinary;
mod packed;
mod readers;
mod serialized;
mod tars;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use git_st_convert::checkpoint::{self, Options};
use git_st_convert::scan::{Content, HEAD, Limits, Report, Verdict, scan, scan_head};

use crate::checkpoint::archive::{Record, write};
use crate::checkpoint::pickle::{call, global, none, text, whole};
use crate::checkpoint::{legacy, zip_of};

/// `os.system("true")`, which no test ever loads.
const CALL: &[u8] = b"cos\nsystem\n(Vtrue\ntR";

fn look(bytes: &[u8]) -> Report {
    scan(&bytes.to_vec(), &Limits::default()).unwrap()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Returns every container for records of one pickle whose name does not show that.
fn containers(pickle: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(pickle).unwrap();
        encoder.finish().unwrap()
    };
    let header = format!("{:<117}\n", "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }");
    let npy = joined(&[b"\x93NUMPY\x01\0\x76\0", header.as_bytes(), pickle]);
    let stored = write(&[Record::stored("a/config.json", pickle)]);
    // The last two bytes are the length of the comment.
    let commented = joined(&[&stored[..stored.len() - 2], b"\x07\0comment"]);
    vec![
        ("as it is", pickle.to_vec()),
        ("torch's archive", write(&[Record::stored("archive/data.pkl", pickle)])),
        ("config.json in an archive", stored.clone()),
        ("deflated", write(&[Record::deflated("archive/weights", pickle)])),
        ("an archive in an archive", write(&[Record::stored("inner", &stored)])),
        ("gzip", gzip(pickle)),
        ("an archive in gzip", gzip(&stored)),
        ("joblib", zlib),
        ("npy", npy.clone()),
        ("npz", write(&[Record::deflated("a.npy", &npy)])),
        ("behind padding", joined(&[&b"N0".repeat(5_000), pickle])),
        ("behind another pickle", joined(&[b"\x80\x02N.", pickle])),
        ("behind six with odd numbers", joined(&[&b"I0x10\n.".repeat(6), pickle])),
        ("behind a script", joined(&[b"#!/bin/sh\nexit\n", &stored])),
        ("behind a script, with a comment", joined(&[b"#!/bin/sh\nexit\n", &commented])),
        ("between other bytes", joined(&[b"#!/bin/sh\nexit\n", &stored, &[b'#'; 60_000]])),
        ("in a legacy stream", joined(&[&legacy(b"N", &[])[..legacy(b"N", &[]).len() - 10], pickle])),
    ]
}

#[test]
fn nothing_that_executes_is_called_weights_in_any_container() {
    let listed: Vec<(String, String)> = serde_json::from_str(include_str!("listed.json")).unwrap();
    assert!(listed.len() > 80, "{}", listed.len());
    for (module, name) in &listed {
        let named = if name.contains('.') {
            joined(&[&text(module), &text(name), b"\x93"])
        } else {
            global(module, name)
        };
        for (what, file) in containers(&whole(&call(&named, &[text("true")]))) {
            let report = look(&file);
            assert_eq!(report.verdict, Verdict::Dangerous, "{module}.{name}, {what}: {report:#?}");
            assert!(report.holds_pickle(), "{module}.{name}, {what}");
            let found =
                report.globals().iter().any(|(_, found)| found.module == *module && found.name == *name);
            assert!(found, "{module}.{name}, {what}: {report:#?}");
        }
    }
}

#[test]
fn tricks_of_the_machine_hide_no_name() {
    let stop = |body: &[u8]| joined(&[body, b"."]);
    // The frame ends two bytes into the first text. If the text is read on, the second text contains the call; a Python
    // with the bug reads the eight bytes after the frame as the first text, so that the call follows.
    let hidden = joined(&[CALL, b"."]);
    let second = [b"U".as_slice(), &[u8::try_from(hidden.len()).unwrap()], &hidden, b"0."].concat();
    let frame = joined(&[b"\x80\x04\x95\x04\0\0\0\0\0\0\0", b"\x8c\x08NN", b"0.NNNN", &second]);
    for (what, file) in [
        ("protocol 0", stop(CALL)),
        ("no STOP", joined(&[b"\x80\x02", CALL])),
        ("garbage behind the call", joined(&[CALL, b"\xff\xff\xff"])),
        ("INST", b"(Vtrue\nios\nsystem\n.".to_vec()),
        ("OBJ, and its result popped", b"(cos\nsystem\nVtrue\no0N.".to_vec()),
        ("a number in hexadecimal", joined(&[b"I0x10\n0", &stop(CALL)])),
        ("a long in hexadecimal", joined(&[b"L0x10L\n0", &stop(CALL)])),
        ("a second PROTO", joined(&[b"\x80\x02N0\x80\x04", &stop(CALL)])),
        ("escapes of bytes", b"S'\\x6fs'\nS'\\163ystem'\n\x93(Vtrue\ntR.".to_vec()),
        ("escapes of text", b"V\\u006fs\nVsystem\n\x93)R.".to_vec()),
        (
            "a memo out of order",
            joined(&[&text("os"), b"q\x07", &text("system"), b"q\x0300h\x07h\x03\x93)R."]),
        ),
        (
            "MEMOIZE of a BINGET",
            b"\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\0\x94h\x01\x94\x93)R.".to_vec(),
        ),
        ("persistent ID in front", joined(&[b"Pid\n0", &stop(CALL)])),
        ("text across its frame", frame),
    ] {
        let report = look(&file);
        let names: Vec<_> = report.globals().iter().map(|(_, global)| global.name.clone()).collect();
        assert_eq!(
            (report.verdict, names.first().map(String::as_str)),
            (Verdict::Dangerous, Some("system")),
            "{what}"
        );
    }
    let computed = joined(&[&text("os"), b"c_codecs\ndecode\n(C\x06systemtR\x93)R."]);
    assert_eq!(look(&computed).verdict, Verdict::Dangerous);
    let extension = look(b"\x80\x02\x82\x01)R.");
    assert_eq!(extension.verdict, Verdict::Unknown, "{extension:#?}");
}

#[test]
fn what_is_no_pickle_is_clean() {
    let floats: Vec<u8> = (0..1_000_u16).flat_map(|n| (f32::from(n) / 7.0).to_le_bytes()).collect();
    let header = format!("{:<384}", r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#);
    // The length of the header is 0x0180, whose bytes are also those of PROTO.
    let safetensors = joined(&[&384_u64.to_le_bytes(), header.as_bytes(), &[1, 2, 3, 4]]);
    for (what, file, content) in [
        ("CSS", b".a { color: red }\n(b) {}\n".to_vec(), Content::Text),
        ("JSON", b"{\"a\": 1}".to_vec(), Content::Text),
        ("a list of words", b"cab\ncable\ncabin\n".to_vec(), Content::Text),
        ("a PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0".to_vec(), Content::Image),
        ("raw floats", floats, Content::Other),
        ("zeros", vec![0; 100_000], Content::Other),
        ("GGUF", joined(&[b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0", &[0; 64]]), Content::Gguf),
        ("ONNX", joined(&[b"\x08\x08\x12\x07pytorch\x1a\x052.0.0", &[0; 64]]), Content::Onnx),
        ("safetensors", safetensors, Content::Safetensors),
        ("nothing", Vec::new(), Content::Empty),
        (
            "an archive of texts",
            write(&[Record::deflated("a.txt", b"some text"), Record::stored("b", b"c\n")]),
            Content::Zip,
        ),
    ] {
        let report = look(&file);
        assert_eq!((report.verdict, report.content), (Verdict::Clean, content), "{what}: {report:#?}");
        assert_eq!(
            scan_head(&file[..file.len().min(HEAD)], file.len() as u64, &Limits::default()),
            Some(report),
            "{what}"
        );
    }
}

#[test]
fn first_bytes_of_something_else_hide_no_pickle() {
    // `G` of `GIF89a` is the opcode BINFLOAT.
    let gif = joined(&[b"GIF89a\x01\0\x01", b"0", CALL, b"."]);
    let report = look(&gif);
    assert_eq!((report.verdict, report.content), (Verdict::Dangerous, Content::Image));
    // A valid safetensors file. The length of its header begins with the byte of BINBYTES, which leads into a text of
    // the metadata; there, SHORT_BINBYTES of 125 bytes lead on and on, and over the end of the header into the bytes of
    // the tensor.
    let (len, first) = (0x2042_usize, 5 + 0x20_usize);
    let (before, after) =
        (r#"{"__metadata__":{"p":""#, r#""},"a":{"dtype":"U8","shape":[900],"data_offsets":[0,900]}}"#);
    let mut header =
        format!("{before}{:x<width$}{after}", "", width = len - before.len() - after.len()).into_bytes();
    let mut at = first - 8;
    while at + 2 < len - after.len() {
        header[at..at + 2].copy_from_slice(b"C}");
        at += 127;
    }
    let data = joined(&[&[b'N'; 900 - CALL.len() - 1], CALL, b"."]);
    let file = joined(&[&(len as u64).to_le_bytes(), &header, &data]);
    assert!(git_st_convert::safetensors::read(&file).is_ok());
    assert!((len..len + 800).contains(&at), "{at}");
    let report = look(&file);
    assert_eq!((report.verdict, report.content), (Verdict::Dangerous, Content::Safetensors), "{report:#?}");
}

#[test]
fn an_archive_that_readers_disagree_on_is_never_clean() {
    let plain = |name: &str| Record::stored(name, b"some text");
    let good = write(&[plain("a")]);
    for (what, file) in [
        ("a name twice", write(&[plain("a"), plain("A")])),
        ("encrypted", write(&[plain("a").both(|header| header.flags |= 1)])),
        ("another local name", write(&[plain("a").in_local(|header| header.name = b"b".to_vec())])),
        ("bytes in front", joined(&[b"MZ", &good])),
        ("no directory", good[..good.len() - 30].to_vec()),
        ("two ends", joined(&[&good, b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"])),
    ] {
        let report = look(&file);
        assert_eq!(report.verdict, Verdict::Unreadable, "{what}: {report:#?}");
        assert!(report.is_opaque() && report.reason.is_some(), "{what}");
    }
    assert_eq!(look(&good).verdict, Verdict::Clean);
    for magic in [b"7z\xbc\xaf\x27\x1c".as_slice(), b"\x28\xb5\x2f\xfd", b"Rar!\x1a\x07"] {
        let report = look(&joined(&[magic, &[0; 64]]));
        assert!(report.is_opaque() && report.content.is_sealed(), "{report:#?}");
    }
}

#[test]
fn members_that_lie_in_one_another_are_not_looked_at_without_end() {
    let pickle = joined(&[&b"N0".repeat(5_000), CALL, b"."]);
    let first = Record::stored("first", &pickle);
    for shorter in [0, 1] {
        let again = |number: u32| {
            let mut record = Record::stored(&format!("again-{number}"), &pickle);
            (record.data, record.at) = (Vec::new(), Some(0));
            record.directory.size -= number * shorter;
            record.directory.compressed -= number * shorter;
            record
        };
        let file = write(&std::iter::once(first.clone()).chain((0..1000).map(again)).collect::<Vec<_>>());
        let report = look(&file);
        assert_eq!(report.verdict, Verdict::Dangerous, "{report:#?}");
        assert!(report.pickles.len() < 50, "{}", report.pickles.len());
    }
}

#[test]
fn headers_that_python_is_lenient_with_hide_no_pickle() {
    let pickle = joined(&[CALL, b"."]);
    // numpy evaluates the header, and accepts more than `|O` for objects.
    let rest = "'fortran_order': False, 'shape': (1,)";
    for header in [
        format!("{{'descr': '\\x7cO', {rest}, }}"),
        format!("{{'descr': 'i4,O', {rest}, }}"),
        format!("{{'descr': '3O', {rest}, }}"),
        format!("{{'descr': 'ob' 'ject', {rest}, }}"),
        format!("{{'descr': 'object_', {rest}, }}"),
        format!(" {{'descr': '|O', {rest}}}"),
        format!("\t{{'descr': '|O', {rest}}}"),
        format!("\n{{'descr': '|O', {rest}}} # a comment"),
        format!("{{'descr': '<f8', {rest}, 'descr': '|O'}}"),
        format!("{{'d\\x65scr': u'|O', {rest}}}"),
        format!("{{'descr': [('a', '<f4'), ('b', [('c', '|O', (2,))])], {rest}}}"),
        format!("{{'descr': '<f8', {rest}}} (not a dict"),
        "{'descr': '|O', 'fortran_order': False, 'shape': (1L,), }".to_owned(),
    ] {
        let padded = format!("{header:<117}\n");
        let long = u32::try_from(padded.len()).unwrap().to_le_bytes();
        for version in [
            joined(&[b"\x93NUMPY\x01\0", &long[..2]]),
            joined(&[b"\x93NUMPY\x02\0", &long]),
            joined(&[b"\x93NUMPY\x03\0", &long]),
        ] {
            let npy = joined(&[&version, padded.as_bytes(), &pickle]);
            let report = look(&npy);
            let (found, content) = (report.verdict, report.content);
            assert_eq!((found, content), (Verdict::Dangerous, Content::Npy), "{header}: {report:#?}");
            let report = look(&write(&[Record::deflated("a.npy", &npy)]));
            assert_eq!(report.verdict, Verdict::Dangerous, "{header}: {report:#?}");
        }
    }
    let cut = look(b"\x93NUMPY\x01\0\xff\xff{'descr'");
    assert!(cut.is_opaque(), "{cut:#?}");
    // A field may have this name.
    let header = format!(
        "{:<117}\n",
        "{'descr': [('O', '<f2'), ('LO', '<f2')], 'fortran_order': False, 'shape': (2,), }"
    );
    let report = look(&joined(&[b"\x93NUMPY\x01\0\x76\0", header.as_bytes(), &[0, 0, 128, 63, 0, 0, 0, 64]]));
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
    // joblib opens both: gzip with a reserved flag, and LZMA with a dictionary of 4 KiB.
    for (head, content) in [
        (b"\x1f\x8b\x08\x20\0\0\0\0\x02\xff".as_slice(), Content::Gzip),
        (b"\x5d\x00\x10\0\0\xff\xff\xff\xff\xff\xff\xff\xff", Content::Xz),
    ] {
        let report = look(&joined(&[head, &[7; 64]]));
        assert!(report.is_opaque() && report.content == content, "{report:#?}");
    }
}

#[test]
fn what_the_converter_reads_holds_a_pickle_and_no_dangerous_name() {
    let mut weights = 0;
    for (path, bytes) in fixtures() {
        let report = look(&bytes);
        let plan = checkpoint::plan(&bytes, &Options::default());
        if let Ok(plan) = plan {
            assert!(report.holds_pickle(), "{}", path.display());
            let dangerous = git_st_convert::scan::dangerous(&plan.globals).is_some();
            assert_eq!(dangerous, report.verdict == Verdict::Dangerous, "{}: {report:#?}", path.display());
            weights += usize::from(report.verdict == Verdict::Weights);
        }
        // The first bytes give the same verdict, if they give any.
        if let Some(judged) =
            scan_head(&bytes[..bytes.len().min(600)], bytes.len() as u64, &Limits::default())
        {
            assert_eq!(judged, report, "{}", path.display());
        }
    }
    assert!(weights > 80, "{weights}");
}

#[test]
fn what_is_weights_names_nothing_else() {
    let report = look(&zip_of(&none()));
    assert_eq!((report.verdict, report.content), (Verdict::Weights, Content::TorchZip), "{report:#?}");
    let report = look(&zip_of(&call(&global("my.pkg", "f"), &[])));
    assert_eq!(report.verdict, Verdict::Unknown);
    // A file that loaders read differently never gets the verdict `weights`.
    let odd = look(b"I0x10\n0ccollections\nOrderedDict\n)R.");
    assert_eq!(odd.verdict, Verdict::Unreadable, "{odd:#?}");
}
