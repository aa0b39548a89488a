//! Tests attacks by numpy arrays: shapes, dtypes and bytes that do not fit each other.

use super::{Error, converted, pickle, plan, refused, zip_of};

/// Returns `numpy.dtype(code, False, True)` with its state.
fn dtype(code: &str, order: &str) -> Vec<u8> {
    let class = pickle::global("numpy", "dtype");
    let made = pickle::call(&class, &[pickle::text(code), vec![0x89], vec![0x88]]);
    let minus = || pickle::int(-1);
    let none = pickle::none;
    let state = pickle::tuple(&[
        pickle::int(3),
        pickle::text(order),
        none(),
        none(),
        none(),
        minus(),
        minus(),
        pickle::int(0),
    ]);
    pickle::built(&made, &state)
}

/// Returns a byte string in protocol 3.
fn bytes(bytes: &[u8]) -> Vec<u8> {
    [b"B".as_slice(), &u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
}

fn shape(sizes: &[i128]) -> Vec<u8> {
    pickle::tuple(&sizes.iter().map(|&size| pickle::int(size)).collect::<Vec<_>>())
}

fn array_of(class: &[u8], shape: &[u8], dtype: &[u8], is_fortran: &[u8], held: &[u8]) -> Vec<u8> {
    let reconstruct = pickle::global("numpy.core.multiarray", "_reconstruct");
    let made = pickle::call(&reconstruct, &[class.to_vec(), self::shape(&[0]), bytes(b"b")]);
    let parts = [pickle::int(1), shape.to_vec(), dtype.to_vec(), is_fortran.to_vec(), held.to_vec()];
    pickle::built(&made, &pickle::tuple(&parts))
}

fn array(shape: &[u8], dtype: &[u8], held: &[u8]) -> Vec<u8> {
    array_of(&pickle::global("numpy", "ndarray"), shape, dtype, &[0x89], held)
}

/// Returns a checkpoint of one tensor and this array.
fn file(array: &[u8]) -> Vec<u8> {
    zip_of(&pickle::named(&[("a", pickle::four()), ("x", array.to_vec())]))
}

#[test]
fn an_array_as_numpy_pickles_it() {
    let held: Vec<u8> = (0..12).collect();
    let out = converted(&file(&array(&shape(&[3]), &dtype("f4", "<"), &bytes(&held)))).unwrap();
    let read = ::safetensors::SafeTensors::deserialize(&out).unwrap();
    assert_eq!(read.tensor("x").unwrap().data(), held);
}

#[test]
fn arrays_whose_bytes_do_not_fit() {
    let wrong = |sizes: &[i128], len: usize| {
        let error = refused(&file(&array(&shape(sizes), &dtype("f4", "<"), &bytes(&vec![0; len]))));
        assert!(
            matches!(error, Error::Geometry { .. } | Error::Unsupported { .. }),
            "{sizes:?} {len}: {error:?}"
        );
    };
    wrong(&[3], 11);
    wrong(&[3], 13);
    wrong(&[3], 0);
    wrong(&[-3], 12);
    wrong(&[1 << 62, 4], 0);
    wrong(&[1 << 32, 1 << 32, 1 << 32], 0);
    wrong(&[1 << 70], 12);
    wrong(&[1; 65], 4);
}

#[test]
fn dtypes_that_lie() {
    let held = bytes(&[0; 16]);
    let class = pickle::global("numpy", "dtype");
    let code = |code: &str| pickle::call(&class, &[pickle::text(code), vec![0x89], vec![0x88]]);
    let none = pickle::none;
    let state = |parts: &[Vec<u8>]| pickle::built(&code("f4"), &pickle::tuple(parts));
    let plain = [
        pickle::int(3),
        pickle::text("<"),
        none(),
        none(),
        none(),
        pickle::int(-1),
        pickle::int(-1),
        pickle::int(0),
    ];
    let with = |place: usize, item: Vec<u8>| {
        let mut parts = plain.to_vec();
        parts[place] = item;
        state(&parts)
    };
    assert!(converted(&file(&array(&shape(&[4]), &state(&plain), &held))).is_ok());
    for dtype in [
        // Without a state, the byte order is that of the machine.
        code("f4"),
        with(0, pickle::int(2)),
        with(1, pickle::text("=")),
        with(1, pickle::text("|")),
        with(2, pickle::tuple(&[code("f4"), shape(&[2])])),
        with(3, pickle::tuple(&[pickle::text("a")])),
        with(4, pickle::named(&[])),
        with(5, pickle::int(8)),
        with(7, pickle::int(16)),
        state(&plain[..7]),
        dtype("O8", "|"),
        dtype("U4", "<"),
        dtype("V4", "|"),
        dtype("M8", "<"),
        dtype("c16", "<"),
        dtype("f16", "<"),
        dtype("<f4", "<"),
        pickle::text("f4"),
        pickle::global("numpy", "float32"),
        pickle::built(
            &pickle::call(&class, &[pickle::global("ml_dtypes", "bfloat16")]),
            &pickle::tuple(&plain),
        ),
        pickle::call(&pickle::global("evil", "dtype"), &[pickle::text("f4")]),
    ] {
        let error = refused(&file(&array(&shape(&[4]), &dtype, &held)));
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    }
}

#[test]
fn a_dtype_that_changes_after_the_array_is_made() {
    let class = pickle::global("numpy", "dtype");
    let made = pickle::call(&class, &[pickle::text("f4"), vec![0x89], vec![0x88]]);
    let none = pickle::none;
    let state = pickle::tuple(&[
        pickle::int(3),
        pickle::text(">"),
        none(),
        none(),
        none(),
        pickle::int(-1),
        pickle::int(-1),
        pickle::int(0),
    ]);
    let array = array(&shape(&[4]), b"h\x01", &bytes(&[0; 16]));
    // The dtype is in the memo, the array uses it, and then it gets its state.
    let late = [made, b"q\x010".to_vec(), array, b"h\x01".to_vec(), state, b"b0".to_vec()].concat();
    assert!(matches!(refused(&file(&late)), Error::Unsupported { .. }));
}

#[test]
fn arrays_of_other_forms() {
    let (sizes, kind, held) = (shape(&[4]), dtype("f4", "<"), bytes(&[0; 16]));
    let ndarray = pickle::global("numpy", "ndarray");
    for array in [
        array_of(&pickle::global("numpy", "matrix"), &sizes, &kind, &[0x89], &held),
        array_of(&pickle::text("ndarray"), &sizes, &kind, &[0x89], &held),
        array_of(&ndarray, &sizes, &kind, &pickle::int(1), &held),
        array_of(&ndarray, &sizes, &kind, &[0x89], &pickle::list(&[])),
        array_of(&ndarray, &sizes, &kind, &[0x89], &pickle::text("\u{e9}".repeat(16).as_str())),
        array_of(&ndarray, &pickle::list(&[pickle::int(4)]), &kind, &[0x89], &held),
        pickle::call(
            &pickle::global("numpy.core.multiarray", "_reconstruct"),
            &[ndarray, shape(&[0]), bytes(b"b")],
        ),
        pickle::call(&pickle::global("numpy.ma.core", "_mareconstruct"), &[]),
        [array(&sizes, &kind, &held), pickle::int(1), b"a".to_vec()].concat(),
    ] {
        let error = refused(&file(&array));
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    }
    let latin = |encoding: &str, text: &str| {
        let encoded =
            pickle::call(&pickle::global("_codecs", "encode"), &[pickle::text(text), pickle::text(encoding)]);
        file(&array(&sizes, &kind, &encoded))
    };
    let text = "\u{e9}".repeat(16);
    assert!(converted(&latin("latin1", &text)).is_ok());
    // Another encoding, and letters that latin1 does not have.
    assert!(refused(&latin("utf-16", &text)).to_string().contains("malformed"));
    assert!(refused(&latin("latin1", &"\u{100}".repeat(16))).to_string().contains("malformed"));
}

/// Returns the reason why the array at `x` is refused.
#[track_caller]
fn wrong(array: &[u8]) -> String {
    match refused(&file(array)) {
        Error::Unsupported { name, what } if name == "x" => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn buffers_that_are_no_arrays() {
    let malformed = "malformed numpy array";
    let (sizes, kind, held) = (|| shape(&[2, 2]), || dtype("f4", "<"), || bytes(&[0; 16]));
    let buffer = |args: &[Vec<u8>]| pickle::call(&pickle::global("numpy.core.numeric", "_frombuffer"), args);
    let ordered = |order: Vec<u8>| buffer(&[held(), kind(), sizes(), order]);
    for (order, strides) in [("C", [2, 1]), ("F", [1, 2])] {
        let found = plan(&file(&ordered(pickle::text(order)))).unwrap();
        let tensor = found.tensors.iter().find(|tensor| tensor.name == "x").unwrap();
        assert_eq!((&*tensor.shape, &*tensor.strides), ([2, 2].as_slice(), strides.as_slice()), "{order}");
    }
    // An order that numpy never writes, an order that is not text, a state, a missing part, no call.
    assert_eq!(wrong(&ordered(pickle::text("A"))), malformed);
    assert_eq!(wrong(&ordered(pickle::none())), malformed);
    assert_eq!(wrong(&pickle::built(&ordered(pickle::text("C")), &pickle::tuple(&[]))), malformed);
    assert_eq!(wrong(&buffer(&[held(), kind(), sizes()])), malformed);
    let new = |module: &str, name: &str, args: &[Vec<u8>]| {
        [pickle::global(module, name), pickle::tuple(args), vec![0x81]].concat()
    };
    let args = [held(), kind(), sizes(), pickle::text("C")];
    assert_eq!(wrong(&new("numpy.core.numeric", "_frombuffer", &args)), malformed);
    // The bytes come from another call: with a state, with items, with arguments, of another function, or from none.
    let codecs = || pickle::global("_codecs", "encode");
    let zeros = || pickle::text(&"\0".repeat(16));
    let encoded = || pickle::call(&codecs(), &[zeros(), pickle::text("latin1")]);
    let of = |held: Vec<u8>| array(&sizes(), &kind(), &held);
    assert!(converted(&file(&of(encoded()))).is_ok());
    assert!(converted(&file(&of(zeros()))).is_ok());
    assert_eq!(wrong(&of(pickle::built(&encoded(), &pickle::int(1)))), malformed);
    assert_eq!(wrong(&of([encoded(), pickle::int(1), b"a".to_vec()].concat())), malformed);
    assert_eq!(wrong(&of(pickle::call(&codecs(), &[zeros()]))), malformed);
    assert_eq!(wrong(&of(pickle::call(&pickle::global("builtins", "bytes"), &[held()]))), malformed);
    assert_eq!(wrong(&of(new("_codecs", "encode", &[zeros(), pickle::text("latin1")]))), malformed);
    // Protocol 2 writes `bytes()` for an empty byte string.
    let none = pickle::call(&pickle::global("__builtin__", "bytes"), &[]);
    assert!(converted(&file(&array(&shape(&[0]), &kind(), &none))).is_ok());
    // The state has another version, or another length.
    let made = || {
        let args = [pickle::global("numpy", "ndarray"), shape(&[0]), bytes(b"b")];
        pickle::call(&pickle::global("numpy.core.multiarray", "_reconstruct"), &args)
    };
    let state = |version| pickle::tuple(&[pickle::int(version), sizes(), kind(), vec![0x89], held()]);
    assert!(converted(&file(&pickle::built(&made(), &state(0)))).is_ok());
    assert_eq!(wrong(&pickle::built(&made(), &state(2))), malformed);
    assert_eq!(wrong(&pickle::built(&made(), &pickle::tuple(&[pickle::int(1), sizes()]))), malformed);
}

#[test]
fn elements_that_no_tensor_has() {
    let held = bytes(&[0; 16]);
    let of = |dtype: Vec<u8>| wrong(&array(&shape(&[4]), &dtype, &held));
    for (code, order, what) in [
        ("O8", "|", "numpy array of objects"),
        ("S4", "|", "numpy array of text"),
        ("U4", "<", "numpy array of text"),
        ("a4", "|", "numpy array of text"),
        ("V4", "|", "numpy array of records"),
        ("M8", "<", "numpy array of datetime"),
        ("m8", "<", "numpy array of datetime"),
        ("c16", "<", "numpy array of dtype c16"),
        ("", "<", "numpy array of dtype "),
        ("f4", "=", "malformed numpy array"),
        ("i2", "|", "malformed numpy array"),
    ] {
        assert_eq!(of(dtype(code, order)), what, "{code}");
    }
    // A dtype by its class, as in ml_dtypes; one that is created without a call; an array with a mask.
    let by = |class: Vec<u8>| pickle::call(&pickle::global("numpy", "dtype"), &[class]);
    assert_eq!(of(by(pickle::global("ml_dtypes", "bfloat16"))), "numpy array of class or function");
    let new = [pickle::global("numpy", "dtype"), pickle::tuple(&[pickle::text("f4")]), vec![0x81]].concat();
    assert_eq!(of(new), "malformed numpy array");
    let masked = pickle::call(&pickle::global("numpy.ma.core", "_mareconstruct"), &[]);
    assert_eq!(wrong(&masked), "masked numpy array");
    let matrix = pickle::global("numpy", "matrix");
    let matrix = array_of(&matrix, &shape(&[4]), &dtype("f4", "<"), &[0x89], &held);
    assert_eq!(wrong(&matrix), "numpy array of class numpy.matrix");
}

#[test]
fn one_byte_string_for_many_arrays() {
    // 2,000 arrays share 64 kB, which are in memory once; the output has a limit.
    let many = |count: usize| {
        let held = [bytes(&vec![7; 64 << 10]), b"q\x050".to_vec()].concat();
        let pairs: Vec<_> = (0..count)
            .map(|index| {
                (pickle::text(&format!("x{index}")), array(&shape(&[16384]), &dtype("f4", "<"), b"h\x05"))
            })
            .collect();
        let pairs: Vec<_> = pairs.into_iter().chain([(pickle::text("a"), pickle::four())]).collect();
        zip_of(&[held, pickle::dict(&pairs)].concat())
    };
    let found = plan(&many(100)).unwrap();
    assert_eq!(found.embedded.iter().map(|held| held.len()).sum::<usize>(), 64 << 10);
    assert_eq!(found.tensors.len(), 101);
    assert!(matches!(refused(&many(2_000)), Error::Output { .. }));
}

#[test]
fn arrays_in_objects_that_are_not_known() {
    let array = array(&shape(&[4]), &dtype("f4", "<"), &bytes(&[0; 16]));
    let hidden = pickle::call(&pickle::global("my.pkg", "restore"), std::slice::from_ref(&array));
    assert!(matches!(refused(&file(&hidden)), Error::Opaque { .. }));
    // Outside of the state dict it is listed.
    let object = pickle::named(&[("model", pickle::named(&[("a", pickle::four())])), ("x", hidden)]);
    let found = plan(&zip_of(&object)).unwrap();
    let ignored: Vec<_> = found.ignored.iter().map(|item| (&*item.path, &*item.reason)).collect();
    assert_eq!(ignored, [("x", "my.pkg.restore with 1 numpy array")]);
    // In the state of a dict it would be lost.
    let dict = pickle::built(&pickle::call(&pickle::global("collections", "OrderedDict"), &[]), &array);
    assert!(refused(&file(&dict)).to_string().contains("OrderedDict"));
}
