//! Tests attacks with storages and views: their declarations do not match their bytes.

use super::{Error, converted, floats, pickle, plan, refused};
use crate::checkpoint::{legacy, zip, zip_of};

fn one(tensor: Vec<u8>) -> Vec<u8> {
    zip_of(&pickle::named(&[("a", tensor)]))
}

fn four(offset: i128, size: &[i128], stride: &[i128]) -> Vec<u8> {
    one(pickle::tensor(&pickle::storage("FloatStorage", "0", 4), offset, size, stride))
}

#[track_caller]
fn assert_geometry(file: &[u8]) {
    assert!(matches!(refused(file), Error::Geometry { .. }), "{:?}", refused(file));
}

#[test]
fn views_outside_their_storage() {
    for (offset, size, stride) in [
        (0, vec![5], vec![1]),
        (1, vec![4], vec![1]),
        (4, vec![1], vec![1]),
        (0, vec![2, 2], vec![3, 1]),
        (i128::from(i64::MAX), vec![1], vec![1]),
        (-1, vec![2], vec![1]),
        (3, vec![4], vec![-1]),
        (0, vec![-1], vec![1]),
        (1 << 64, vec![1], vec![1]),
        (0, vec![1 << 70], vec![0]),
    ] {
        assert_geometry(&four(offset, &size, &stride));
    }
}

#[test]
fn strides_and_sizes_that_overflow() {
    let max = i128::from(i64::MAX);
    for (size, stride) in [
        (vec![2], vec![max]),
        (vec![3], vec![1 << 62]),
        (vec![max, max], vec![0, 0]),
        (vec![1 << 32, 1 << 32], vec![0, 0]),
        (vec![2, 2, 2], vec![max, max, max]),
    ] {
        assert_geometry(&four(0, &size, &stride));
    }
}

#[test]
fn dimensions_that_do_not_match() {
    assert_geometry(&four(0, &[2, 2], &[1]));
    assert_geometry(&four(0, &[4], &[1, 1]));
    assert_geometry(&four(0, &[1; 65], &[1; 65]));
    assert!(converted(&four(0, &[1; 64], &[1; 64])).is_ok());
}

#[test]
fn no_elements_at_the_end_of_the_world() {
    // No byte is read for them, wherever they begin.
    let max = i128::from(i64::MAX);
    for (offset, size, stride) in [
        (max, vec![0], vec![max]),
        (max, vec![max, 0, max], vec![max, max, max]),
        (0, vec![0, 4], vec![1, 1]),
    ] {
        // The offset has no effect; the file is refused because it contains no elements.
        let error = refused(&four(offset, &size, &stride));
        assert!(matches!(error, Error::Empty { empty: 1, tensors: 1 }), "{error:?}");
    }
    // The strides have no effect, because the tensor has one element.
    assert!(converted(&four(3, &[1, 1], &[max, max])).is_ok());
}

#[test]
fn an_expanded_view_without_end() {
    for size in [vec![1 << 40], vec![1 << 20, 1 << 20], vec![1, 1 << 26]] {
        let stride = vec![0; size.len()];
        assert!(matches!(refused(&four(0, &size, &stride)), Error::Output { .. }));
    }
    // Many names share a view that is within the limit by itself.
    let views = (0..40).map(|n| {
        (
            pickle::text(&n.to_string()),
            pickle::tensor(&pickle::storage("FloatStorage", "0", 4), 0, &[1 << 20], &[0]),
        )
    });
    let file = zip_of(&pickle::dict(&views.collect::<Vec<_>>()));
    assert!(matches!(refused(&file), Error::Output { .. }));
}

#[test]
fn a_count_of_elements_that_lies() {
    for numel in [0, 3, 5, 1 << 40] {
        let object = pickle::tensor(&pickle::storage("FloatStorage", "0", numel), 0, &[0], &[1]);
        assert!(matches!(refused(&one(object)), Error::StorageLength { .. }), "{numel}");
    }
    for numel in [-1, 1 << 62, 1 << 63, i128::MAX] {
        let object = pickle::tensor(&pickle::storage("FloatStorage", "0", numel), 0, &[0], &[1]);
        assert!(
            matches!(refused(&one(object)), Error::Storage { .. } | Error::StorageLength { .. }),
            "{numel}"
        );
    }
    // In 64 bits, the product of the count wraps to the right size.
    let object = pickle::tensor(&pickle::storage("FloatStorage", "0", (1 << 62) + 4), 0, &[4], &[1]);
    assert!(matches!(refused(&one(object)), Error::Storage { .. }));
}

#[test]
fn one_storage_of_two_dtypes() {
    let float = pickle::tensor(&pickle::storage("FloatStorage", "0", 4), 0, &[4], &[1]);
    for other in [
        pickle::storage("IntStorage", "0", 4),
        pickle::storage("FloatStorage", "0", 3),
        pickle::storage("HalfStorage", "0", 8),
    ] {
        let other = pickle::tensor(&other, 0, &[1], &[1]);
        let file = zip_of(&pickle::named(&[("a", float.clone()), ("b", other)]));
        assert!(matches!(refused(&file), Error::Storage { what, .. } if what.contains("twice")));
    }
}

#[test]
fn persistent_ids_that_are_malformed() {
    let good = [
        pickle::text("storage"),
        pickle::global("torch", "FloatStorage"),
        pickle::text("0"),
        pickle::text("cpu"),
        pickle::int(4),
    ];
    let with = |place: usize, item: Vec<u8>| {
        let mut items = good.to_vec();
        items[place] = item;
        pickle::persistent(&items)
    };
    let more = |item: Vec<u8>| pickle::persistent(&[good.to_vec(), vec![item]].concat());
    let outside = pickle::tuple(&[pickle::text("v"), pickle::int(2), pickle::int(3)]);
    let inside = pickle::tuple(&[pickle::text("v"), pickle::int(2), pickle::int(2)]);
    for id in [
        [pickle::text("0"), b"Q".to_vec()].concat(),
        [pickle::none(), b"Q".to_vec()].concat(),
        pickle::persistent(&[]),
        pickle::persistent(&good[..4]),
        with(0, pickle::text("module")),
        with(0, pickle::text("Storage")),
        with(1, pickle::text("FloatStorage")),
        with(1, pickle::global("torch", "ComplexDoubleStorage")),
        with(1, pickle::global("torch", "QInt8Storage")),
        with(2, pickle::int(0)),
        with(2, pickle::text("")),
        with(2, pickle::text("../0")),
        with(2, pickle::text("a/0")),
        with(2, pickle::text(".data")),
        with(2, pickle::text(&"0".repeat(129))),
        with(4, pickle::text("4")),
        with(4, vec![0x88]),
        more(outside),
        more(inside),
        more(pickle::int(1)),
    ] {
        let file = one(pickle::tensor(&id, 0, &[1], &[1]));
        assert!(
            matches!(refused(&file), Error::Storage { .. } | Error::StorageType { .. }),
            "{id:?}: {:?}",
            refused(&file)
        );
    }
}

#[test]
fn a_view_of_a_storage_that_leaves_it() {
    let id = |offset, size| {
        let view = pickle::tuple(&[pickle::text("v"), pickle::int(offset), pickle::int(size)]);
        pickle::persistent(&[
            pickle::text("storage"),
            pickle::global("torch", "FloatStorage"),
            pickle::text("0"),
            pickle::text("cpu"),
            pickle::int(4),
            view,
        ])
    };
    let file = |offset, size, shape| {
        let object = pickle::named(&[("a", pickle::tensor(&id(offset, size), 0, &[shape], &[1]))]);
        legacy(&object, &[("0", 4, &floats(4))])
    };
    assert!(converted(&file(1, 3, 3)).is_ok());
    assert_geometry(&file(1, 3, 4));
    for (offset, size) in [(1, 4), (5, 0), (-1, 2), (i128::from(i64::MAX), 2), (0, i128::from(i64::MAX))] {
        assert!(matches!(refused(&file(offset, size, 0)), Error::Storage { .. }), "{offset} {size}");
    }
}

#[test]
fn a_tensor_without_a_storage() {
    for storage in [pickle::none(), pickle::text("0"), pickle::four()] {
        assert!(matches!(refused(&one(pickle::tensor(&storage, 0, &[4], &[1]))), Error::Unsupported { .. }));
    }
    let missing = pickle::tensor(&pickle::storage("FloatStorage", "1", 4), 0, &[4], &[1]);
    assert!(matches!(refused(&one(missing)), Error::MissingRecord { .. }));
}

#[test]
fn flags_that_are_unknown() {
    let flagged = |flags: Vec<u8>| {
        let hooks = pickle::none();
        let args = [
            pickle::storage("FloatStorage", "0", 4),
            pickle::int(0),
            pickle::tuple(&[pickle::int(4)]),
            pickle::tuple(&[pickle::int(1)]),
            vec![0x89],
            hooks,
            flags,
        ];
        one(pickle::call(&pickle::global("torch._utils", "_rebuild_tensor_v2"), &args))
    };
    assert!(converted(&flagged(pickle::named(&[("neg", vec![0x88])]))).is_ok());
    for flags in [
        pickle::named(&[("conj", vec![0x88])]),
        pickle::named(&[("other", vec![0x88])]),
        pickle::named(&[("neg", pickle::int(1))]),
        pickle::int(1),
        pickle::dict(&[(pickle::int(1), vec![0x88])]),
    ] {
        assert_geometry(&flagged(flags));
    }
}

/// Returns `_rebuild_tensor_v3` on a storage of a class, with its own dtype.
fn v3(class: &str, numel: i128, dtype: Vec<u8>, size: i128) -> Vec<u8> {
    let args = [
        pickle::storage(class, "0", numel),
        pickle::int(0),
        pickle::tuple(&[pickle::int(size)]),
        pickle::tuple(&[pickle::int(1)]),
        vec![0x89],
        pickle::none(),
        dtype,
    ];
    one(pickle::call(&pickle::global("torch._utils", "_rebuild_tensor_v3"), &args))
}

#[test]
fn a_dtype_of_its_own_on_a_typed_storage() {
    let dtype = |name| pickle::global("torch", name);
    // The same dtype is accepted, and any dtype on a storage of bytes.
    assert!(converted(&v3("FloatStorage", 4, dtype("float32"), 4)).is_ok());
    assert!(converted(&v3("UntypedStorage", 16, dtype("uint16"), 8)).is_ok());
    for name in ["int32", "float64", "uint16", "uint8", "complex64"] {
        let refused = refused(&v3("FloatStorage", 4, dtype(name), 1));
        assert!(
            matches!(&refused, Error::Unsupported { what, .. } if what == "view of a storage with a different dtype"),
            "{name}: {refused:?}"
        );
    }
    for other in [dtype("complex128"), dtype("qint8"), dtype("evil"), pickle::text("float32"), pickle::none()]
    {
        assert!(matches!(refused(&v3("FloatStorage", 4, other, 4)), Error::Unsupported { .. }));
    }
    // With this dtype, the tensor does not fit.
    assert_geometry(&v3("UntypedStorage", 16, dtype("uint16"), 9));
}

#[test]
fn tensors_in_hooks() {
    // The attachments of a tensor are not weights; a tensor in them is reported.
    let hooks = pickle::dict(&[(pickle::int(0), pickle::four()), (pickle::int(1), pickle::four())]);
    let args = |hooks: Vec<u8>| {
        let (size, stride) = (pickle::tuple(&[pickle::int(4)]), pickle::tuple(&[pickle::int(1)]));
        [pickle::storage("FloatStorage", "0", 4), pickle::int(0), size, stride, vec![0x89], hooks]
    };
    let v2 = |hooks| pickle::call(&pickle::global("torch._utils", "_rebuild_tensor_v2"), &args(hooks));
    let v3 = |hooks| {
        let args = [args(hooks).to_vec(), vec![pickle::global("torch", "float32")]].concat();
        pickle::call(&pickle::global("torch._utils", "_rebuild_tensor_v3"), &args)
    };
    let parameter = |hooks| {
        let args = [pickle::four(), vec![0x88], hooks];
        pickle::call(&pickle::global("torch._utils", "_rebuild_parameter"), &args)
    };
    for tensor in [&v2 as &dyn Fn(Vec<u8>) -> Vec<u8>, &v3, &parameter] {
        let plan = plan(&one(tensor(hooks.clone()))).unwrap();
        let ignored: Vec<_> = plan.ignored.iter().map(|item| (&*item.path, &*item.reason)).collect();
        assert_eq!(ignored, [("a (attributes)", "dict of 2 tensors")]);
        assert_eq!(plan.tensors.len(), 1);
        assert!(super::plan(&one(tensor(pickle::dict(&[])))).unwrap().ignored.is_empty());
    }
}

#[test]
fn a_wrapper_around_a_wrapper() {
    let parameter = |inner: Vec<u8>| {
        pickle::call(
            &pickle::global("torch._utils", "_rebuild_parameter"),
            &[inner, vec![0x88], pickle::none()],
        )
    };
    let deep = (0..2_000).fold(pickle::four(), |inner, _| parameter(inner));
    assert!(matches!(refused(&one(deep)), Error::Unsupported { .. }));
    // It wraps itself.
    let own = [
        b"(".as_slice(),
        &pickle::global("torch._utils", "_rebuild_parameter"),
        b"]q\x000(h\x00tR".as_slice(),
    ]
    .concat();
    let own = zip(
        &pickle::named(&[("b", pickle::four()), ("a", [own, b"1N".to_vec()].concat())]),
        &[("0", &floats(4))],
    );
    drop(converted(&own));
}

#[test]
fn tensors_that_are_no_plain_storage() {
    let storage = pickle::storage("FloatStorage", "0", 4);
    for (module, name, expected) in [
        ("torch._utils", "_rebuild_sparse_tensor", "sparse"),
        ("torch._utils", "_rebuild_sparse_csr_tensor", "sparse"),
        ("torch._utils", "_rebuild_qtensor", "quantized"),
        ("torch._utils", "_rebuild_nested_tensor", "nested"),
        ("torch._utils", "_rebuild_meta_tensor_no_storage", "meta tensor without data"),
        (
            "torch._utils",
            "_rebuild_device_tensor_from_numpy",
            "device tensor of another dtype than its numpy array",
        ),
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", "malformed"),
        ("torch._utils", "_rebuild_xla_tensor", "device tensor of another dtype than its numpy array"),
        ("torch._tensor", "_rebuild_from_type", "of an old subclass form"),
        ("torch.tensor", "_rebuild_from_type", "of an old subclass form"),
    ] {
        // With a storage, with a tensor, with neither; in a deeper dict, and as a subclass.
        let function = pickle::global(module, name);
        for args in [vec![storage.clone()], vec![pickle::four()], vec![]] {
            let layer = pickle::named(&[("weight", pickle::call(&function, &args))]);
            let weights = pickle::named(&[("b", pickle::four()), ("layer", layer)]);
            let file = zip_of(&pickle::named(&[("state_dict", weights)]));
            match refused(&file) {
                Error::Unsupported { name, what } => {
                    assert_eq!((name.as_str(), what.as_str()), ("layer.weight", expected));
                }
                other => panic!("{module} {name}: {other:?}"),
            }
        }
        let class = pickle::global("my.pkg", "Tagged");
        let args = [function, class, pickle::tuple(std::slice::from_ref(&storage)), pickle::dict(&[])];
        let tagged = pickle::call(&pickle::global("torch._tensor", "_rebuild_from_type_v2"), &args);
        let is_of_device = name.contains("device") || name.contains("xla");
        let expected = if is_of_device { "device tensor of a custom class" } else { expected };
        assert!(matches!(refused(&one(tagged)), Error::Unsupported { what, .. } if what == expected));
    }
}
