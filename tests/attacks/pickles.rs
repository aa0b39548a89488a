//! Tests attacks in the language of pickles: calls, imitations, and bytes that readers read differently.

use git_st_convert::pickle::Error as Bad;

use super::{Error, converted, pickle, pickle_refused, plan, refused};
use crate::checkpoint::{floats, zip, zip_of};

#[test]
fn opcodes_that_are_refused() {
    for (name, opcodes) in [
        ("INST", b"(ios\nsystem\n".as_slice()),
        ("OBJ", b"(cos\nsystem\nX\x02\0\0\0ido"),
        ("PERSID", b"Pstorage\n"),
        ("EXT1", b"\x82\x01"),
        ("EXT2", b"\x83\x01\x00"),
        ("EXT4", b"\x84\x01\x00\x00\x00"),
        ("NEXT_BUFFER", b"\x97"),
        ("READONLY_BUFFER", b"N\x98"),
    ] {
        let object = pickle::named(&[("a", pickle::four()), ("b", opcodes.to_vec())]);
        match pickle_refused(&zip_of(&object)) {
            Bad::RefusedOpcode { opcode, .. } => assert_eq!(opcode, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn numbers_in_a_spelling_of_one_reader() {
    for number in [b"I0x10\n".as_slice(), b"L0x10L\n", b"I1_0\n", b"I 4\n", b"I+4\n", b"L4LL\n", b"I\n"] {
        let storage = [
            pickle::text("storage"),
            pickle::global("torch", "FloatStorage"),
            pickle::text("0"),
            pickle::text("cpu"),
            number.to_vec(),
        ];
        let object = pickle::named(&[("a", pickle::tensor(&pickle::persistent(&storage), 0, &[4], &[1]))]);
        assert!(matches!(pickle_refused(&zip_of(&object)), Bad::Operand { .. }), "{number:?}");
    }
}

#[test]
fn an_opcode_across_its_frame() {
    // A string begins in a frame and ends after it; its bytes are opcodes to other readers.
    let hidden = pickle::text("cos\nsystem\n(X\x02\0\0\0idtR0");
    let inner = u64::try_from(hidden.len() - 5).unwrap();
    let framed =
        [b"\x80\x04\x95".as_slice(), &inner.to_le_bytes(), &hidden, b"0", &pickle::four(), b"."].concat();
    assert!(matches!(pickle_refused(&raw(&framed)), Bad::Frame { .. }));
    let nested = [b"\x80\x04\x95\x0c\0\0\0\0\0\0\0\x95\x01\0\0\0\0\0\0\0NN0.".as_slice()].concat();
    assert!(matches!(pickle_refused(&raw(&nested)), Bad::Frame { .. }));
    let open = [b"\x80\x04\x95\x20\0\0\0\0\0\0\0N.".as_slice(), &[0; 40]].concat();
    assert!(matches!(pickle_refused(&raw(&open)), Bad::Frame { .. }));
}

/// Returns a checkpoint with these bytes as its `data.pkl`.
fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut records = crate::checkpoint::records(b"N", &[("0", &floats(4))]);
    records[0] = crate::checkpoint::archive::Record::stored("archive/data.pkl", bytes);
    crate::checkpoint::archive::write(&records)
}

#[test]
fn padding_before_the_protocol() {
    let padded = [b"N0".repeat(2000), pickle::whole(&pickle::named(&[("a", pickle::four())]))].concat();
    assert!(matches!(pickle_refused(&raw(&padded)), Bad::Protocol { .. }));
    let late =
        [b"\x80\x02N0\x80\x02".to_vec(), pickle::named(&[("a", pickle::four())]), b".".to_vec()].concat();
    assert!(matches!(pickle_refused(&raw(&late)), Bad::Protocol { .. }));
}

#[test]
fn a_dotted_global() {
    // A name with a dot is not the module and the name that it looks like.
    let dotted =
        |module: &str, name: &str| [pickle::text(module), pickle::text(name), b"\x93".to_vec()].concat();
    let call = |callable: &[u8]| {
        let args = [pickle::storage("FloatStorage", "0", 4), pickle::int(0)];
        pickle::call(callable, &[args.to_vec(), vec![pickle::tuple(&[]), pickle::tuple(&[])]].concat())
    };
    for callable in
        [dotted("torch", "_utils._rebuild_tensor_v2"), dotted("torch._utils", "_rebuild_tensor_v2.x")]
    {
        let object = pickle::named(&[("a", pickle::four()), ("b", call(&callable))]);
        assert!(matches!(refused(&zip_of(&object)), Error::Opaque { .. }));
    }
    let ordered =
        pickle::call(&dotted("collections", "OrderedDict.fromkeys"), &[pickle::list(&[pickle::four()])]);
    assert!(matches!(
        refused(&zip_of(&pickle::named(&[("a", ordered)]))),
        Error::NoTensors | Error::Opaque { .. } | Error::WholeObject { .. }
    ));
}

#[test]
fn a_look_alike_of_a_storage_class() {
    for (module, name) in [
        ("evil", "FloatStorage"),
        ("torch.evil", "FloatStorage"),
        ("torch", "EvilStorage"),
        ("torch.storage", "FloatStorage"),
    ] {
        let items = [
            pickle::text("storage"),
            pickle::global(module, name),
            pickle::text("0"),
            pickle::text("cpu"),
            pickle::int(4),
        ];
        let object = pickle::named(&[("a", pickle::tensor(&pickle::persistent(&items), 0, &[4], &[1]))]);
        assert!(
            matches!(refused(&zip_of(&object)), Error::Storage { what, .. } if what.contains("unknown class"))
        );
    }
}

#[test]
fn a_look_alike_of_a_rebuild_function() {
    for (module, name) in [
        ("torch", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_tensor_v9"),
        ("os", "system"),
        ("builtins", "getattr"),
    ] {
        let object = pickle::named(&[
            ("a", pickle::four()),
            ("b", pickle::call(&pickle::global(module, name), &[pickle::four()])),
        ]);
        assert!(matches!(refused(&zip_of(&object)), Error::Opaque { .. }), "{module}.{name}");
    }
}

#[test]
fn build_on_a_module() {
    for target in [
        pickle::global("torch._utils", "_rebuild_tensor_v2"),
        pickle::global("sys", "modules"),
        pickle::named(&[]),
    ] {
        let built = pickle::built(&target, &pickle::named(&[("a", pickle::none())]));
        let object = pickle::named(&[("a", pickle::four()), ("b", built)]);
        assert!(matches!(pickle_refused(&zip_of(&object)), Bad::WrongType { opcode: "BUILD", .. }));
    }
}

#[test]
fn build_that_changes_a_tensor() {
    // `Tensor.__setstate__` accepts another storage, offset and shape.
    let other = [
        pickle::storage("FloatStorage", "1", 4),
        pickle::int(0),
        pickle::tuple(&[pickle::int(4)]),
        pickle::tuple(&[pickle::int(1)]),
    ];
    let built = pickle::built(&pickle::four(), &pickle::tuple(&other));
    let file = zip(&pickle::named(&[("a", built)]), &[("0", &floats(4)), ("1", &floats(4))]);
    assert!(matches!(refused(&file), Error::Unsupported { .. }));
    let twice = pickle::built(
        &pickle::built(&pickle::call(&pickle::global("collections", "OrderedDict"), &[]), &pickle::none()),
        &pickle::none(),
    );
    assert!(matches!(
        pickle_refused(&zip_of(&pickle::named(&[("a", pickle::four()), ("b", twice)]))),
        Bad::Operand { .. }
    ));
}

#[test]
fn items_set_on_a_tensor() {
    let changed = [pickle::four(), pickle::int(0), pickle::int(7), b"s".to_vec()].concat();
    assert!(matches!(refused(&zip_of(&pickle::named(&[("a", changed)]))), Error::Unsupported { .. }));
    let grown = [pickle::four(), pickle::int(0), b"a".to_vec()].concat();
    assert!(matches!(refused(&zip_of(&pickle::named(&[("a", grown)]))), Error::Unsupported { .. }));
}

#[test]
fn a_call_whose_result_is_dropped() {
    let dropped =
        [pickle::call(&pickle::global("os", "system"), &[pickle::text("id")]), b"0".to_vec(), pickle::none()]
            .concat();
    let plan = plan(&zip_of(&pickle::named(&[("a", pickle::four()), ("b", dropped)]))).unwrap();
    assert!(
        plan.globals.iter().any(|named| (named.module.as_str(), named.name.as_str()) == ("os", "system"))
    );
    assert!(git_st_convert::scan::dangerous(&plan.globals).is_some());
}

#[test]
fn a_key_that_is_set_twice() {
    // Python keeps the last value, so torch does not have the first one.
    for second in [pickle::four(), pickle::none(), pickle::int(3)] {
        let object = pickle::named(&[("a", pickle::four()), ("b", pickle::four()), ("a", second)]);
        assert!(matches!(refused(&zip_of(&object)), Error::DuplicateName { name } if name == "a"));
    }
    // The values are dicts, and the choice of the state dict depends on them.
    let inner = |name: &str| pickle::named(&[(name, pickle::four())]);
    for name in ["state_dict", "model"] {
        let object = pickle::named(&[(name, inner("a")), (name, inner("b"))]);
        assert!(matches!(refused(&zip_of(&object)), Error::DuplicateName { .. }), "{name}");
        let object = pickle::named(&[(name, inner("a")), (name, pickle::none())]);
        assert!(matches!(refused(&zip_of(&object)), Error::DuplicateName { .. }), "{name}");
    }
}

#[test]
fn keys_that_are_one_to_python() {
    // `True == 1`, so the second value replaces the first.
    let object = pickle::dict(&[(pickle::int(1), pickle::four()), (vec![0x88], pickle::none())]);
    assert!(converted(&zip_of(&object)).is_err());
}

/// The file does not contain the effect of such a class when an item is set or read: it can rename, skip or create
/// tensors.
#[test]
fn dicts_of_classes_that_are_not_known() {
    let class = || pickle::global("my.pkg", "Config");
    let item = |value: Vec<u8>| [pickle::text("a"), value, b"s".to_vec()].concat();
    let forms = |value: Vec<u8>| {
        let (object, dict) = (pickle::global("__builtin__", "dict"), pickle::named(&[("a", value.clone())]));
        let reconstructor = pickle::global("copy_reg", "_reconstructor");
        [
            // With protocol 2, with its own `__reduce__`, with protocols 0 and 1.
            [class(), pickle::tuple(&[]), vec![0x81], item(value.clone())].concat(),
            [pickle::call(&class(), &[]), item(value)].concat(),
            pickle::call(&reconstructor, &[class(), object, dict]),
        ]
    };
    for weights in forms(pickle::four()) {
        match refused(&zip_of(&weights)) {
            Error::WholeObject { global } => {
                assert!(["my.pkg.Config", "copy_reg._reconstructor"].contains(&&*global));
            }
            other => panic!("{other:?}"),
        }
        for key in ["model", "state_dict"] {
            assert!(converted(&zip_of(&pickle::named(&[(key, weights.clone())]))).is_err(), "{key}");
        }
        // Outside of the chosen dict it is listed, and nothing of it is used.
        let beside =
            pickle::named(&[("state_dict", pickle::named(&[("w", pickle::four())])), ("ema", weights)]);
        let plan = plan(&zip_of(&beside)).unwrap();
        assert_eq!((plan.tensors.len(), &*plan.ignored[0].path), (1, "ema"));
    }
    for settings in forms(pickle::int(1)) {
        let beside = pickle::named(&[("w", pickle::four()), ("config", settings)]);
        assert!(converted(&zip_of(&beside)).is_ok());
    }
}

#[test]
fn names_that_clash() {
    let inner = pickle::named(&[("b", pickle::four())]);
    let clash = pickle::named(&[("x", pickle::four()), ("a", inner), ("a.b", pickle::four())]);
    let object = pickle::named(&[("state_dict", clash.clone())]);
    assert!(matches!(refused(&zip_of(&object)), Error::DuplicateName { name } if name == "a.b"));
    // The whole object is not offered, because it is refused.
    match refused(&zip_of(&clash)) {
        Error::Ambiguous { candidates, total: 1, beside } => {
            assert_eq!((&*candidates[0].key, candidates.len(), beside.as_deref()), ("a", 1, Some("x")));
        }
        other => panic!("{other:?}"),
    }
    let object = pickle::dict(&[(pickle::int(0), pickle::four()), (pickle::text("0"), pickle::four())]);
    assert!(matches!(refused(&zip_of(&object)), Error::DuplicateName { name } if name == "0"));
    let object = pickle::named(&[("__metadata__", pickle::four())]);
    assert!(matches!(refused(&zip_of(&object)), Error::ReservedName { .. }));
}

#[test]
fn containers_that_count() {
    // A Counter of pairs counts the pairs; it is not a dict of them.
    let pairs = pickle::list(&[pickle::tuple(&[pickle::text("a"), pickle::four()])]);
    let counter = pickle::call(&pickle::global("collections", "Counter"), &[pairs]);
    assert!(refused(&zip_of(&counter)).to_string().contains("Counter"));
    // `list.__new__` ignores its arguments, so the list is empty.
    let new = [
        pickle::global("builtins", "list"),
        pickle::tuple(&[pickle::list(&[pickle::four()])]),
        b"\x81".to_vec(),
    ]
    .concat();
    assert!(converted(&zip_of(&pickle::named(&[("a", pickle::four()), ("b", new)]))).is_err());
}
