//! Tests inexact opcodes, records and streams, which torch or another reader accepts and this one refuses.

use git_st_convert::pickle::Error as Bad;

use super::{Error, converted, pickle, pickle_refused, plan, refused};
use crate::checkpoint::archive::{self, Record};
use crate::checkpoint::{floats, legacy, records, zip_of};

/// Returns an archive with these bytes as its `data.pkl`.
fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut records = records(&pickle::none(), &[("0", &floats(4))]);
    records[0] = Record::stored("archive/data.pkl", bytes);
    archive::write(&records)
}

fn beside(value: &[u8]) -> Vec<u8> {
    zip_of(&pickle::named(&[("a", pickle::four()), ("b", value.to_vec())]))
}

#[test]
fn stacks_that_do_not_balance() {
    for (bytes, underflow) in [
        (b"\x80\x02.".as_slice(), true),
        (b"\x80\x020.", true),
        (b"\x80\x02(.", true),
        (b"\x80\x02N(\x85t.", true),
        (b"\x80\x02N(N\x86t.", true),
        (b"\x80\x02N(Rt.", true),
        (b"\x80\x02(N(0.", false),
        (b"\x80\x02t.", false),
        (b"\x80\x02Ne.", false),
        (b"\x80\x02NN.", false),
        (b"\x80\x02(N.", false),
    ] {
        let error = pickle_refused(&raw(bytes));
        assert_eq!(matches!(error, Bad::StackUnderflow { .. }), underflow, "{bytes:?}: {error:?}");
    }
}

#[test]
fn items_for_what_has_none() {
    for value in [
        b"NNa".as_slice(),
        b"N(Ne",
        b"}Na",
        b"](NNu",
        b"NNNs",
        b"](N\x90",
        b"N)R",
        b"N)\x81",
        b"K\x01}b",
        b"X\x01\0\0\0a}b",
    ] {
        assert!(matches!(pickle_refused(&beside(value)), Bad::WrongType { .. }), "{value:?}");
    }
    // A key without a value; arguments that are not a tuple; keywords that are not a dict.
    assert!(matches!(pickle_refused(&beside(b"}(NNNu")), Bad::Operand { .. }));
    assert!(matches!(pickle_refused(&beside(b"(NNNd")), Bad::Operand { .. }));
    assert!(matches!(pickle_refused(&beside(b"ca\nb\n]R")), Bad::WrongType { .. }));
    assert!(matches!(pickle_refused(&beside(b"ca\nb\n)N\x92")), Bad::WrongType { .. }));
}

#[test]
fn protocols_and_bytes_that_do_not_exist() {
    for version in [6, 7, 0x7f, 0xff] {
        let error = pickle_refused(&raw(&[&[0x80, version], &pickle::four()[..], b"."].concat()));
        assert!(matches!(error, Bad::Protocol { .. }), "{version}");
    }
    for byte in [0x00, b'\n', b' ', b'A', b'{', 0x7f, 0x99, 0xfe, 0xff] {
        assert!(matches!(pickle_refused(&beside(&[byte])), Bad::UnknownOpcode { .. }), "{byte:#x}");
    }
    // The pickle has no end.
    for bytes in [b"".as_slice(), b"\x80", b"\x80\x02", b"\x80\x02}"] {
        assert!(matches!(pickle_refused(&raw(bytes)), Bad::Truncated { .. }), "{bytes:?}");
    }
}

#[test]
fn text_that_is_no_text() {
    for value in [
        b"X\x02\0\0\0\xff\xfe".as_slice(),
        b"\x8c\x01\x80",
        b"S'a\n",
        b"Sa'\n",
        b"S'a\"\n",
        b"S'\\xZZ'\n",
        b"V\\uZZZZ\n",
        b"V\\ud800\n",
        b"c\xff\nname\n",
        b"cmodule\n\xff\n",
        b"F1_0\n",
        b"F0x1p3\n",
        b"F\n",
        b"Fone\n",
    ] {
        assert!(refused_or_bytes(value), "{value:?}");
    }
}

/// Returns `true` if the value is refused, or kept as bytes, which do not name anything.
fn refused_or_bytes(value: &[u8]) -> bool {
    match plan(&beside(value)) {
        Err(Error::Pickle { source: Bad::Operand { .. }, .. }) => true,
        Err(error) => panic!("{error:?}"),
        Ok(_) => {
            // It cannot be the key of a tensor.
            let keyed =
                pickle::dict(&[(pickle::text("a"), pickle::four()), (value.to_vec(), pickle::four())]);
            matches!(refused(&zip_of(&keyed)), Error::Key { .. })
        }
    }
}

#[test]
fn keys_that_are_no_names() {
    for key in [
        pickle::none(),
        vec![0x88],
        b"G\x3f\xf0\0\0\0\0\0\0".to_vec(),
        pickle::tuple(&[pickle::text("a")]),
        b"C\x01a".to_vec(),
        pickle::global("torch", "float32"),
        pickle::call(&pickle::global("my.pkg", "Key"), &[]),
    ] {
        let object = pickle::dict(&[(pickle::text("a"), pickle::four()), (key.clone(), pickle::four())]);
        assert!(matches!(refused(&zip_of(&object)), Error::Key { .. }), "{key:?}");
    }
    let long = pickle::named(&[(&*"x".repeat((64 << 10) + 1), pickle::four())]);
    assert!(matches!(refused(&zip_of(&long)), Error::Limit { .. }));
}

#[test]
fn byte_orders_that_do_not_exist() {
    let object = pickle::named(&[("a", pickle::four())]);
    let with = |order: &[u8]| {
        let mut more = records(&object, &[("0", &floats(4))]);
        more.push(Record::stored("archive/byteorder", order));
        archive::write(&more)
    };
    assert!(converted(&with(b"little")).is_ok());
    for order in [b"".as_slice(), b"Big", b"big\n", b"middle", b"little\0"] {
        assert!(matches!(refused(&with(order)), Error::Ambiguity { .. }), "{order:?}");
    }
    assert!(matches!(refused(&with(&[b'l'; 17])), Error::Limit { .. }));
}

#[test]
fn checksums_of_zero() {
    let object = pickle::named(&[("a", pickle::four())]);
    // torch can be set to write no CRC at all; a single CRC of 0 is wrong.
    let all: Vec<_> = records(&object, &[("0", &floats(4))]);
    let without = |records: &[Record]| {
        let zero = records.iter().map(|record| record.clone().both(|header| header.crc = 0));
        archive::write(&zero.collect::<Vec<_>>())
    };
    assert_eq!(converted(&without(&all)).unwrap(), converted(&archive::write(&all)).unwrap());
    let mut one = all;
    one[1] = one[1].clone().both(|header| header.crc = 0);
    assert!(matches!(converted(&archive::write(&one)), Err(Error::Damaged(_))));
}

#[test]
fn archives_without_a_checkpoint() {
    let text = Record::stored("archive/readme", b"hello");
    assert!(matches!(refused(&archive::write(&[text])), Error::MissingRecord { .. }));
    assert!(plan(&archive::write(&[])).is_err());
    for pickled in [pickle::none(), pickle::list(&[]), pickle::named(&[]), pickle::text("a"), pickle::int(1)]
    {
        let error = plan(&zip_of(&pickled));
        assert!(
            error.as_ref().is_ok_and(|plan| plan.tensors.is_empty())
                || matches!(error, Err(Error::NoTensors)),
            "{error:?}"
        );
    }
}

#[test]
fn a_stream_of_modules() {
    // torch before 1.6 wrote the source code of a class into a persistent id for pickled modules: the class is a global
    // like any other, and its text is not read.
    let source = [pickle::text("model.py"), pickle::text("class M: pass")].concat();
    let id = pickle::persistent(&[pickle::text("module"), pickle::global("my", "M"), source]);
    let storages = [("0", 4, floats(4))];
    let stream = |object: &[u8]| legacy(object, &[(storages[0].0, storages[0].1, &storages[0].2)]);
    let error = refused(&stream(&id));
    assert!(matches!(error, Error::Storage { .. } | Error::NoTensors | Error::Legacy { .. }), "{error:?}");
    let beside = plan(&stream(&pickle::named(&[("a", pickle::four()), ("b", id.clone())]))).unwrap();
    assert_eq!(beside.ignored.iter().map(|ignored| ignored.path.as_str()).collect::<Vec<_>>(), ["b"]);
    // Its effect on a tensor is unknown.
    let made = [id, pickle::tuple(&[pickle::four()]), b"R".to_vec()].concat();
    let error = refused(&stream(&pickle::named(&[("a", pickle::four()), ("b", made)])));
    assert!(matches!(error, Error::Opaque { .. }), "{error:?}");
}

#[test]
fn a_stream_that_claims_another_byte_order() {
    // torch always writes the elements of a legacy file in little-endian order, and ignores this value.
    let with = |claim: Vec<u8>| {
        let sizes = [("short", pickle::int(2)), ("int", pickle::int(4)), ("long", pickle::int(4))];
        let info = [("little_endian", claim), ("type_sizes", pickle::named(&sizes))];
        let rest = crate::checkpoint::legacy_storages(&[("0", 4, &floats(4))]);
        let object = pickle::whole(&pickle::named(&[("a", pickle::four())]));
        let head = [crate::checkpoint::MAGIC.to_vec(), pickle::whole(&pickle::int(1001))].concat();
        [head, pickle::whole(&pickle::named(&info)), object, rest].concat()
    };
    let plain = converted(&with(vec![0x88])).unwrap();
    for claim in [vec![0x89], pickle::none(), pickle::int(2), pickle::text("big")] {
        assert_eq!(converted(&with(claim)).unwrap(), plain);
    }
}

#[test]
fn tensors_that_are_made_in_a_way_that_torch_does_not() {
    let refused_as_tensor = |tensor: Vec<u8>| {
        let error = refused(&zip_of(&pickle::named(&[("a", pickle::four()), ("b", tensor)])));
        assert!(matches!(error, Error::Unsupported { .. } | Error::Opaque { .. }), "{error:?}");
    };
    let torch = |name: &str, args: &[Vec<u8>]| pickle::call(&pickle::global("torch._utils", name), args);
    let storage = pickle::storage("FloatStorage", "0", 4);
    // Too few arguments, a wrapper around nothing, a subclass of a subclass.
    refused_as_tensor(torch("_rebuild_tensor_v2", std::slice::from_ref(&storage)));
    refused_as_tensor(torch("_rebuild_tensor_v3", std::slice::from_ref(&storage)));
    refused_as_tensor(torch("_rebuild_parameter", &[pickle::none(), vec![0x88], storage.clone()]));
    let typed = |inner: Vec<u8>| {
        let args =
            [pickle::global("torch._utils", "_rebuild_tensor_v2"), pickle::global("torch", "Tensor"), inner];
        pickle::call(&pickle::global("torch._tensor", "_rebuild_from_type_v2"), &args)
    };
    refused_as_tensor(typed(storage.clone()));
    refused_as_tensor(typed(pickle::tuple(&[typed(pickle::tuple(std::slice::from_ref(&storage)))])));
    // A storage is in place of a tensor.
    refused_as_tensor(storage);
}

#[test]
fn text_in_the_spellings_of_python_2() {
    // Every escape is read as Python reads it, and a broken one is refused.
    let key = b"S'\\\\a\\'b\\\"\\r\\t\\a\\b\\f\\v\\n\\x41'\n".to_vec();
    let planned = plan(&zip_of(&pickle::dict(&[(key, pickle::four())]))).unwrap();
    assert_eq!(planned.tensors[0].name, "\\a'b\"\r\t\u{7}\u{8}\u{c}\u{b}\nA");
    for broken in [b"S'\\x4'\n".as_slice(), b"S'\\8'\n", b"S'a\\'\n"] {
        assert!(plan(&beside(broken)).is_err(), "{broken:?}");
    }
}
