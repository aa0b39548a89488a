//! Tests other forms in which torch and Python write the contents of a checkpoint: each is read as Python reads it.

use git_st_convert::checkpoint::{self, DType, Error, Held, Kind, Options, Plan};

use crate::checkpoint::pickle::{call, dict, four, global, int, list, named, none, storage, text, tuple};
use crate::checkpoint::{floats, legacy, tar, zip, zip_of};

fn plan(file: &[u8]) -> Result<Plan, Error> {
    checkpoint::plan(&file.to_vec(), &Options::default())
}

/// Returns the names of a plan, in its order.
#[track_caller]
fn names(object: &[u8]) -> Vec<String> {
    plan(&zip_of(object)).unwrap().tensors.into_iter().map(|tensor| tensor.name).collect()
}

#[track_caller]
fn message(file: &[u8]) -> String {
    plan(file).unwrap_err().to_string()
}

#[test]
fn dicts_by_other_names() {
    let ordered = |args: &[Vec<u8>]| call(&global("collections", "OrderedDict"), args);
    let default = |args: &[Vec<u8>]| call(&global("collections", "defaultdict"), args);
    let builtin = |args: &[Vec<u8>]| call(&global("builtins", "dict"), args);
    let pair = || [text("a"), four()];
    let given = || named(&[("a", four())]);
    for object in [
        ordered(&[list(&[list(&pair())])]),
        ordered(&[list(&[tuple(&pair())])]),
        ordered(&[tuple(&[tuple(&pair())])]),
        ordered(&[given()]),
        builtin(&[given()]),
        builtin(&[tuple(&[list(&pair())])]),
        default(&[none(), given()]),
        default(&[global("builtins", "list"), list(&[tuple(&pair())])]),
        call(&global("collections", "Counter"), &[given()]),
        [default(&[global("builtins", "list")]), text("a"), four(), b"s".to_vec()].concat(),
    ] {
        assert_eq!(names(&object), ["a"], "{object:?}");
    }
    // Python would not create a dict from these, or another one.
    for (object, class) in [
        (ordered(&[given(), given()]), "collections.OrderedDict"),
        (ordered(&[four()]), "collections.OrderedDict"),
        (ordered(&[list(&[tuple(&[text("a"), four(), none()])])]), "collections.OrderedDict"),
        (ordered(&[list(&[given()])]), "collections.OrderedDict"),
        (default(&[given()]), "collections.defaultdict"),
        (default(&[int(1), given()]), "collections.defaultdict"),
    ] {
        let expected = format!("the checkpoint is a pickled `{class}` object, not a state dict");
        assert_eq!(message(&zip_of(&object)), expected);
    }
}

#[test]
fn lists_by_other_names() {
    let by = |name: &str, args: &[Vec<u8>]| call(&global("builtins", name), args);
    let beside = |value: Vec<u8>| named(&[("a", four()), ("b", value)]);
    for value in [
        by("list", &[list(&[four(), four()])]),
        by("tuple", &[list(&[four(), four()])]),
        by("list", &[tuple(&[four(), four()])]),
        [by("list", &[list(&[four()])]), four(), b"a".to_vec()].concat(),
        [by("list", &[]), b"(".to_vec(), four(), four(), b"e".to_vec()].concat(),
    ] {
        assert_eq!(names(&beside(value)), ["a", "b.0", "b.1"]);
    }
    for (value, class) in [
        (by("list", &[four()]), "builtins.list"),
        (by("list", &[list(&[four()]), none()]), "builtins.list"),
        ([by("tuple", &[list(&[four()])]), int(0), four(), b"s".to_vec()].concat(), "builtins.tuple"),
    ] {
        assert_eq!(
            message(&zip_of(&beside(value))),
            format!("the pickle calls `{class}` on the tensor at b")
        );
    }
}

#[test]
fn keys_that_are_large_numbers() {
    let large = |number: i128| (int(number), four());
    let twice = dict(&[large(1 << 70), large(1 << 70)]);
    assert_eq!(message(&zip_of(&twice)), "two tensors are named int");
    let two = dict(&[large(1 << 70), large(1 << 71)]);
    assert_eq!(message(&zip_of(&two)), "a tensor key in the top level is int, not a string");
}

/// Returns `(storage, 0, (4,), (1,), …)`.
fn four_and(size: Vec<u8>, rest: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let plain = [storage("FloatStorage", "0", 4), int(0), size, tuple(&[int(1)])];
    [plain.to_vec(), rest.to_vec()].concat()
}

/// Returns `_rebuild_from_type_v2(function, torch.Tensor, args, {})`.
fn typed(function: &str, args: &[Vec<u8>]) -> Vec<u8> {
    let parts = [global("torch._utils", function), global("torch", "Tensor"), tuple(args), dict(&[])];
    call(&global("torch._tensor", "_rebuild_from_type_v2"), &parts)
}

#[test]
fn tensors_by_other_functions() {
    let sizes = || tuple(&[int(4)]);
    let torch_size = || call(&global("torch", "Size"), &[sizes()]);
    let hooks = || [vec![0x89], none()];
    let v3 = [hooks().to_vec(), vec![global("torch", "float32")]].concat();
    let parameter = [four(), vec![0x88], none()];
    for tensor in [
        four(),
        call(&global("torch._utils", "_rebuild_tensor"), &four_and(sizes(), &[])),
        call(&global("torch._utils", "_rebuild_tensor_v2"), &four_and(torch_size(), &hooks())),
        call(&global("torch._utils", "_rebuild_tensor_v3"), &four_and(sizes(), &v3)),
        call(&global("torch._utils", "_rebuild_parameter"), &parameter),
        typed("_rebuild_tensor_v2", &four_and(sizes(), &hooks())),
        typed("_rebuild_tensor_v3", &four_and(sizes(), &v3)),
        typed("_rebuild_parameter", &parameter),
    ] {
        let found = plan(&zip_of(&named(&[("a", tensor)]))).unwrap();
        let [tensor] = found.tensors.as_slice() else { panic!("{:?}", found.tensors) };
        assert_eq!((tensor.dtype, &*tensor.shape, &*tensor.strides), (DType::F32, &[4][..], &[1][..]));
        assert_eq!((tensor.offset, found.storages[tensor.storage].len), (0, 16));
    }
    let wrong = |tensor: Vec<u8>| message(&zip_of(&named(&[("a", tensor), ("b", four())])));
    let malformed = "tensor a cannot be converted: malformed";
    let subclass = typed("_rebuild_tensor_v2", &four_and(sizes(), &hooks()));
    assert_eq!(wrong(typed("_rebuild_parameter", &[subclass, vec![0x88], none()])), malformed);
    assert_eq!(wrong(typed("_rebuild_parameter", &[])), malformed);
    assert_eq!(
        wrong(typed("_rebuild_evil", &[four()])),
        "the pickle calls `torch._utils._rebuild_evil` on the tensor at a"
    );
    let unknown = call(&global("my.pkg", "restore"), &[four()]);
    let parameter = call(&global("torch._utils", "_rebuild_parameter"), &[unknown, vec![0x88], none()]);
    assert_eq!(wrong(parameter), "the pickle calls `my.pkg.restore` on the tensor at a");
    let evil = call(&global("torch", "Shape"), &[sizes()]);
    let tensor = call(&global("torch._utils", "_rebuild_tensor"), &four_and(evil, &[]));
    assert_eq!(wrong(tensor), "tensor a has malformed sizes");
}

#[test]
fn storages_of_bytes() {
    let untyped = |len: i128| storage("UntypedStorage", "0", len);
    let v2 = |size: i128| {
        let args = [untyped(16), int(0), tuple(&[int(size)]), tuple(&[int(1)]), vec![0x89], none()];
        named(&[("a", call(&global("torch._utils", "_rebuild_tensor_v2"), &args))])
    };
    // Without a dtype, the elements are bytes.
    let found = plan(&zip_of(&v2(16))).unwrap();
    assert_eq!((found.tensors[0].dtype, found.tensors[0].bytes()), (DType::U8, 16));
    assert_eq!(message(&zip_of(&v2(17))), "tensor a extends past the end of its storage");
    // Two 4-bit numbers are one byte, so a tensor without dimensions has half a byte.
    let sizes = || tuple(&[]);
    let dtype = global("torch", "float4_e2m1fn_x2");
    let args = [untyped(16), int(0), sizes(), sizes(), vec![0x89], none(), dtype];
    let half = named(&[("a", call(&global("torch._utils", "_rebuild_tensor_v3"), &args))]);
    assert_eq!(message(&zip_of(&half)), "tensor a is a 4-bit scalar");
    // torch does not know the width of the elements that it must swap.
    let mut records = crate::checkpoint::records(&v2(16), &[("0", &floats(4))]);
    records.push(crate::checkpoint::archive::Record::stored("archive/byteorder", b"big"));
    let expected = "storage 0 is big-endian and untyped (PyTorch misreads its byte order)";
    assert_eq!(message(&crate::checkpoint::archive::write(&records)), expected);
    // A persistent id with a seventh item; an unexpected view; the key of a view among those of the storages.
    let id = |rest: &[Vec<u8>]| {
        let plain = [text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), int(4)];
        let id = crate::checkpoint::pickle::persistent(&[plain.to_vec(), rest.to_vec()].concat());
        named(&[("a", crate::checkpoint::pickle::tensor(&id, 0, &[2], &[1]))])
    };
    let seven = plan(&zip_of(&id(&[none(), none()]))).unwrap_err();
    assert!(matches!(seven, Error::Storage { what: "has a malformed persistent id", .. }), "{seven:?}");
    assert!(plan(&zip_of(&id(&[none()]))).is_ok());
    let view = id(&[tuple(&[text("v"), int(2), int(2)])]);
    assert_eq!(message(&zip(&view, &[("0", &floats(4))])), "storage 0/v has an unexpected view");
    let four = floats(4);
    assert!(plan(&legacy(&view, &[("0", 4, &four)])).is_ok());
    let listed = legacy(&view, &[("0", 4, &four), ("0/v", 2, &four[8..])]);
    assert_eq!(message(&listed), "storage 0/v is listed but not used by any tensor");
}

#[test]
fn numbers_of_the_tar_archive_beyond_64_bits() {
    let large = 1_i128 << 70;
    let storages = tar::storages(&[tar::storage(large, "FloatStorage", 4, &floats(4))], &[]);
    let tensors = tar::tensors(&[tar::tensor(1, large, "FloatTensor", (&[4], &[1], 0))]);
    let object = named(&[("a", tar::number("1"))]);
    let found = plan(&tar::archive(&tar::members(&storages, &tensors, &object))).unwrap();
    assert_eq!(found.storages[0].key, large.to_string());
    assert_eq!(found.tensors[0].name, "a");
}

#[test]
fn what_is_asked_of_a_file_before_it_is_planned() {
    use crate::checkpoint::pickle::whole;
    let held = |object: Vec<u8>| checkpoint::held(&whole(&object), Kind::Pickle).unwrap();
    let array = || global("numpy.core.multiarray", "_reconstruct");
    let loader = || global("torch.storage", "_load_from_bytes");
    for nothing in [
        int(1),
        global("torch", "float32"),
        global("numpy", "ndarray"),
        global("torchlike", "_load_from_bytes"),
    ] {
        assert_eq!(held(list(&[nothing])), Held::Nothing);
    }
    assert_eq!(held(list(&[array()])), Held::Arrays);
    assert_eq!(held(list(&[array(), loader()])), Held::Storages);
    assert_eq!(checkpoint::held(&b"\x80\x02N".to_vec(), Kind::Pickle), None);
    let archive = |name: &str| {
        let record = crate::checkpoint::archive::Record::stored(name, b"\x80\x02N.");
        checkpoint::is_torch_zip(&crate::checkpoint::archive::write(&[record]))
    };
    assert!(archive("model/data.pkl") && archive("model/DATA.PKL"));
    assert!(!archive("data.pkl") && !archive("model/data.json"));
    assert!(!checkpoint::is_torch_zip(&b"PK\x03\x04".to_vec()));
    let first = |name: &str| checkpoint::is_torch_tar(&tar::archive(&[tar::Member::new(name, b"x")]));
    assert!(["sys_info", "storages", "tensors", "pickle"].into_iter().all(first));
    assert!(!first("weights") && !checkpoint::is_torch_tar(&vec![0; 1024]));
}
