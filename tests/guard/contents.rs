//! Tests by content, under any name, what may be committed.

use std::io::{Cursor, Write as _};

use zip::write::{SimpleFileOptions, ZipWriter};

use super::{Place, checkpoint};

/// `{"weight": 1}` in protocol 0 of pickle: text without a magic number.
const PROTOCOL_0: &[u8] = b"(dp0\nVweight\np1\nI1\ns.";
/// `{"weight": 1}` in protocol 2.
const PROTOCOL_2: &[u8] = b"\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01K\x01s.";

fn zip(members: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn stored(members: &[(&str, &[u8])]) -> Vec<u8> {
    zip(members, zip::CompressionMethod::Stored)
}

/// Returns an array of objects, whose content is a pickle, as `numpy.save` writes it.
fn npy_of_objects() -> Vec<u8> {
    let mut header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".to_vec();
    header.resize(118 - 1, b' ');
    header.push(b'\n');
    let len = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &len[..], &header, PROTOCOL_2].concat()
}

/// Returns a 7z archive of one stored file, by 7-Zip's description of the format (7zFormat.txt).
fn seven_zip(name: &str, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).ok().filter(|len| *len < 0x80).unwrap();
    let names: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let names_len = u8::try_from(names.len() + 1).unwrap();
    let crc = |bytes: &[u8]| crc32fast::hash(bytes).to_le_bytes();
    let packed = [6, 0, 1, 9, len, 0];
    let folders = [7, 11, 1, 0, 1, 1, 0, 12, len, 0];
    let digests = [&[8, 10, 1][..], &crc(content), &[0]].concat();
    let files = [&[5, 1, 17, names_len, 0][..], &names, &[0]].concat();
    let header = [&[1, 4][..], &packed, &folders, &digests, &[0], &files, &[0]].concat();
    let lens = [content.len(), header.len()].map(|len| (len as u64).to_le_bytes()).concat();
    let start = [&lens[..], &crc(&header)].concat();
    [b"7z\xbc\xaf\x27\x1c\x00\x04", &crc(&start)[..], &start, content, &header].concat()
}

#[test]
fn a_pickle_is_refused_in_every_wrapping_and_under_every_name() {
    let place = Place::guarded();
    let legacy = std::fs::read(crate::formats::fixtures().join("checkpoints/legacy-dtype-bool.bin")).unwrap();
    let padded = [&[0; 64][..], &checkpoint()].concat();
    let deflated = zip(&[("archive/data.pkl", PROTOCOL_2)], zip::CompressionMethod::Deflated);
    for (case, name, content) in [
        ("raw", "pytorch_model.bin", checkpoint()),
        ("renamed", "weights.dat", checkpoint()),
        ("legacy", "pytorch_model.bin", legacy),
        ("protocol 0", "pytorch_model.bin", PROTOCOL_0.to_vec()),
        ("protocol 0 under a harmless name", "notes.txt", PROTOCOL_0.to_vec()),
        ("config.json is the pickle", "pytorch_model.bin", stored(&[("config.json", PROTOCOL_2)])),
        ("deflated", "pytorch_model.bin", deflated),
        ("padded", "pytorch_model.bin", padded),
        ("7z", "pytorch_model.bin", seven_zip("data.pkl", PROTOCOL_2)),
        ("npz with objects", "pytorch_model.bin", stored(&[("a.npy", &npy_of_objects())])),
        ("npz with objects, by its name", "arrays.npz", stored(&[("a.npy", &npy_of_objects())])),
    ] {
        place.add(name, &content);
        let said = place.refused(&[&format!("error: {name}: "), "bypass: `git commit --no-verify`"]);
        assert!(said.contains(": `git ") && said.contains("allow it: `"), "{case}: {said}");
        place.git(&["rm", "-q", "--cached", "--", name]).ok();
    }
}

#[test]
fn a_script_is_weights_that_can_be_converted() {
    let place = Place::guarded();
    place.add("model.pt", &crate::formats::scripts::archive("2.9/nested.pt"));
    place.refused(&["model.pt: pickle checkpoint (torchscript, ", "convert it: `git st-convert model.pt`"]);
}

#[test]
fn a_pointer_is_judged_by_its_object_and_without_it_by_its_name() {
    let place = Place::guarded();
    place.add_pointer("weights.dat", &checkpoint(), true);
    place.refused(&["weights.dat: pickle checkpoint (zip, 1.6 KiB, Git LFS)"]);
    place.git(&["rm", "-q", "--cached", "weights.dat"]).ok();

    // The content is only in the working tree.
    place.add_pointer("b.dat", &checkpoint(), false);
    place.write("b.dat", &checkpoint());
    place.refused(&["b.dat: pickle checkpoint"]);
    place.git(&["rm", "-q", "-f", "--cached", "b.dat"]).ok();

    place.add_pointer("pytorch_model.bin", b"never seen", false);
    let said = place.refused(&["pytorch_model.bin: pickle by name", "its content is not here"]);
    assert!(said.contains("git st-convert --replace pytorch_model.bin"), "{said}");
    place.git(&["rm", "-q", "--cached", "pytorch_model.bin"]).ok();

    place.add_pointer("model.safetensors", b"never seen", false);
    place.add_pointer("x.pt", b"no pickle at all", true);
    assert_eq!(place.git(&["commit", "-q", "-m", "fine"]).ok(), "");
}

#[test]
fn what_is_no_pickle_passes_without_a_word() {
    let place = Place::guarded();
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let safetensors = [&(header.len() as u64).to_le_bytes()[..], header, &[0, 0, 128, 63]].concat();
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82";
    let floats: Vec<u8> = (0..4096_u16).flat_map(|i| (f32::from(i) * 0.37 - 700.0).to_le_bytes()).collect();
    let gguf = [b"GGUF\x03\0\0\0".as_slice(), &[0; 16]].concat();
    let onnx = b"\x08\x07\x12\x07pytorch\x1a\x031.0:\x04\x12\x02ab";
    for (name, content) in [
        ("model.safetensors", safetensors.as_slice()),
        ("a.png", png),
        ("style.css", b".a { color: red }\n.b > .c { margin: 0 }\n"),
        ("raw.bin", &floats),
        ("model.gguf", &gguf),
        ("model.onnx", onnx),
        ("empty.bin", b""),
        ("script.py", b"import os\n"),
    ] {
        place.add(name, content);
    }
    let output = place.git(&["commit", "-q", "-m", "fine"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_archive_that_nobody_can_look_into_is_not_called_clean() {
    let place = Place::guarded();
    let rar = [b"Rar!\x1a\x07\x01\x00".as_slice(), &[7; 200]].concat();
    place.add("data", &rar);
    let said = place.refused(&["data: unreadable container", "1 file that cannot be checked for pickles"]);
    assert!(said.contains("allow it"), "{said}");
    let alone = place.git(&["st-convert", "hook", "run", "pre-commit"]);
    assert_eq!(alone.code, Some(2), "{alone:#?}");
    // A file whose name states its format is only in the report.
    place.git(&["mv", "data", "data.rar"]).ok();
    let alone = place.git(&["st-convert", "--json", "hook", "run", "pre-commit"]);
    assert_eq!((alone.code, alone.stderr.as_str()), (Some(0), ""));
    assert!(alone.stdout.contains("\"status\":\"unseen\""), "{alone:#?}");
}
