//! Tests plain pickles: byte strings that are not storages, loaders that are not called, and other values next to them.

use git_st_convert::checkpoint::{Error, Kind};
use git_st_convert::scan;

use super::{converted, floats, plan, refused, refused_when_cut};
use crate::checkpoint::pickle::{
    call, four, global, int, list, named, none, persistent, storage, tensor, text, tuple, whole,
};
use crate::checkpoint::{legacy, zip_of};
use crate::formats::fixtures;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("checkpoints").join(name)).unwrap()
}

fn bytes(held: &[u8]) -> Vec<u8> {
    [b"B".as_slice(), &u32::try_from(held.len()).unwrap().to_le_bytes(), held].concat()
}

fn loader() -> Vec<u8> {
    global("torch.storage", "_load_from_bytes")
}

fn loaded(held: &[u8]) -> Vec<u8> {
    call(&loader(), &[bytes(held)])
}

/// Returns the stream of a storage of four floats.
fn stream() -> Vec<u8> {
    legacy(&storage("FloatStorage", "0", 4), &[("0", 4, &floats(4))])
}

fn weights(storage: &[u8]) -> Vec<u8> {
    whole(&named(&[("a", tensor(storage, 0, &[4], &[1]))]))
}

#[test]
fn a_storage_in_a_byte_string() {
    let file = weights(&loaded(&stream()));
    let planned = plan(&file).unwrap();
    assert!(planned.is_in_place() && scan::dangerous(&planned.globals).is_none());
    assert!(converted(&file).unwrap().ends_with(&floats(4)));
    refused_when_cut(&file);
    // A view beyond the end, and a loader with the same name in another module.
    let long = whole(&named(&[("a", tensor(&loaded(&stream()), 1, &[4], &[1]))]));
    assert!(matches!(refused(&long), Error::Geometry { .. }));
    let other = call(&global("torch.serialization", "_load_from_bytes"), &[bytes(&stream())]);
    assert!(matches!(refused(&weights(&other)), Error::Unsupported { .. }));
}

#[test]
fn byte_strings_that_are_no_storage() {
    let object = |object: &[u8]| legacy(object, &[("0", 4, &floats(4))]);
    let system = call(&global("os", "system"), &[text("id")]);
    let held = [
        b"".to_vec(),
        b"abc".to_vec(),
        whole(&none()),
        whole(&system),
        system.clone(),
        zip_of(&four()),
        // A tensor, a call before the storage, two storages, bytes after it, a stream in a stream.
        object(&four()),
        object(&tuple(&[storage("FloatStorage", "0", 4), system.clone()])),
        object(&[system.clone(), b"0".to_vec(), storage("FloatStorage", "0", 4)].concat()),
        object(&loaded(&stream())),
        legacy(
            &list(&[storage("FloatStorage", "0", 4), storage("FloatStorage", "1", 4)]),
            &[("0", 4, &floats(4)), ("1", 4, &floats(4))],
        ),
        [stream(), vec![0]].concat(),
        // A call and an unused global before the magic number; a global before the storage.
        [&system[..], b"0", &stream()].concat(),
        [b"cos\nsystem\n0".as_slice(), &stream()].concat(),
        object(&[b"cos\nsystem\n0".to_vec(), storage("FloatStorage", "0", 4)].concat()),
        object(&[b"cmy.module\nrun\n0".to_vec(), storage("FloatStorage", "0", 4)].concat()),
        stream()[..stream().len() - 1].to_vec(),
    ];
    for (number, held) in held.iter().enumerate() {
        let error = refused(&weights(&loaded(held)));
        assert!(matches!(error, Error::Plain { .. }), "{number}: {error:?}");
    }
    let quantized = legacy(&storage("QInt8Storage", "0", 4), &[("0", 4, &[0; 4])]);
    assert!(matches!(refused(&weights(&loaded(&quantized))), Error::StorageType { .. }));
}

#[test]
fn loaders_of_bytes_in_other_places() {
    let good = loaded(&stream());
    let weight = || tensor(&good, 0, &[4], &[1]);
    for (number, beside) in [
        loader(),
        list(&[loader()]),
        call(&loader(), &[]),
        call(&loader(), &[text("path")]),
        call(&loader(), &[bytes(&stream()), none()]),
        call(&global("functools", "partial"), &[loader(), bytes(&stream())]),
        call(&global("builtins", "map"), &[loader(), list(&[bytes(&stream())])]),
        [good.clone(), named(&[("x", int(1))]), b"b".to_vec()].concat(),
    ]
    .into_iter()
    .enumerate()
    {
        let error = refused(&whole(&named(&[("a", weight()), ("b", beside)])));
        assert!(matches!(error, Error::Plain { .. }), "{number}: {error:?}");
    }
    // The loader is the root; or its result is called, and is not a tensor's storage.
    assert!(matches!(refused(&whole(&loader())), Error::Plain { .. }));
    let again = call(&good, &[int(1)]);
    assert!(matches!(refused(&weights(&again)), Error::Unsupported { .. }));
}

#[test]
fn calls_beside_the_weights_of_a_plain_pickle() {
    let system = call(&global("os", "system"), &[text("id")]);
    let file = whole(&named(&[("a", tensor(&loaded(&stream()), 0, &[4], &[1])), ("b", system)]));
    let planned = plan(&file).unwrap();
    assert_eq!(scan::dangerous(&planned.globals).map(|named| &*named.name), Some("system"));
    // In any other container the loader is dangerous, whatever its bytes are.
    let zip = zip_of(&named(&[("a", four()), ("b", loaded(&stream()))]));
    let planned = plan(&zip).unwrap();
    assert_eq!(scan::dangerous(&planned.globals).map(|named| &*named.name), Some("_load_from_bytes"));
}

#[test]
fn plain_pickles_that_are_not_whole() {
    let file = weights(&loaded(&stream()));
    for behind in [vec![0], file.clone(), b"N.".to_vec()] {
        let error = refused(&[file.clone(), behind].concat());
        assert!(matches!(error, Error::Plain { what: "trailing bytes after its end", .. }), "{error:?}");
    }
    for without in [
        weights(&storage("FloatStorage", "0", 4)),
        whole(&named(&[("a", tensor(&loaded(&stream()), 0, &[4], &[1])), ("b", persistent(&[text("x")]))])),
    ] {
        assert!(matches!(refused(&without), Error::NotCheckpoint { kind: Kind::Pickle }));
    }
    // The byte string is longer than the file.
    let long = [b"\x80\x04\x8e".as_slice(), &u64::MAX.to_le_bytes(), b"."].concat();
    assert!(matches!(refused(&long), Error::Pickle { .. }));
}

#[test]
fn one_text_that_is_loaded_again_and_again() {
    // Each load of bytes in the form of protocol 2 would need memory of its own.
    let held = stream();
    let latin: String = held.iter().map(|byte| char::from(*byte)).collect();
    let encoded = call(&global("_codecs", "encode"), &[text(&latin), text("latin1")]);
    let once = [encoded, b"q\x000".to_vec()].concat();
    let storage = call(&loader(), &[b"h\x00".to_vec()]);
    let entries = |count: usize| {
        let tensors: Vec<_> =
            (0..count).map(|at| (format!("w{at}"), tensor(&storage, 0, &[4], &[1]))).collect();
        let entries: Vec<_> = tensors.iter().map(|(name, tensor)| (&**name, tensor.clone())).collect();
        [once.clone(), named(&entries)].concat()
    };
    assert_eq!(plan(&whole(&entries(1))).unwrap().tensors.len(), 1);
    assert!(matches!(refused(&whole(&entries(300))), Error::Plain { .. }));
}

/// A text can begin like a pickle of protocol 0 or 1: `c` and `(`, `d` and `]`.
#[test]
fn texts_are_no_pickles_of_protocol_0() {
    for text in [
        "config\nmodel\nname: a\n",
        "(see the notes)\n",
        "(dict of weights)",
        "(lorem ipsum",
        "(def main () 1)\n",
        "[1, 2]\n",
        "]]]\n",
        "}\n",
        "}q",
        "c",
        "c\n",
        "c\n\n.",
        "cos system\nrun\n.",
        // A complete pickle is followed by more text.
        "(dp0\n.\n",
        "}.}",
    ] {
        let error = refused(text.as_bytes());
        assert!(matches!(error, Error::NotCheckpoint { kind: Kind::Unknown }), "{text:?}: {error:?}");
    }
    for pickle in
        ["(dp0\n.", "(lp0\nI1\na.", "}q\0.", "]q\0K\u{1}a.", "(I1\ntp0\n.", "cos\nsystem\np0\n(Vid\ntR."]
    {
        let error = refused(pickle.as_bytes());
        assert!(matches!(error, Error::NotCheckpoint { kind: Kind::Pickle }), "{pickle:?}: {error:?}");
    }
}

#[test]
fn pickles_of_protocol_0_that_are_not_whole() {
    for name in
        ["pickled-protocol-0.pkl", "pickled-arrays-0.pkl", "pickled-protocol-1.pkl", "pickled-arrays-1.pkl"]
    {
        let file = fixture(name);
        assert!(plan(&file).is_ok(), "{name}");
        refused_when_cut(&file);
        // It names the globals of weights, so it is a broken pickle and not a text.
        assert!(matches!(refused(&file[..file.len() - 1]), Error::Pickle { .. }), "{name}");
        let error = refused(&[&file[..], b"\n"].concat());
        assert!(
            matches!(error, Error::Plain { what: "trailing bytes after its end", .. }),
            "{name}: {error:?}"
        );
    }
    let evil = [b"(dp0\nVa\n".as_slice(), &four(), b"sVb\ncposix\nsystem\n(Vid\ntRs."].concat();
    assert!(
        matches!(refused(&evil), Error::NotCheckpoint { kind: Kind::Pickle }),
        "its storage is elsewhere"
    );
    let array = fixture("pickled-arrays-0.pkl");
    let evil = [&array[..array.len() - 1], b"Vb\ncposix\nsystem\n(Vid\ntRs."].concat();
    assert_eq!(scan::dangerous(&plan(&evil).unwrap().globals).map(|named| &*named.name), Some("system"));
}
