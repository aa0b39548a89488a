//! Tests the known families of bypasses of scanners.
//!
//! A scanner decides whether a pickle is bad. Here nothing is called, so only this counts: such a file is never
//! converted without a message; it is refused, or the values other than weights are named.

use git_st_convert::checkpoint::Kind;
use git_st_convert::pickle::Error as Bad;
use git_st_convert::scan;

use super::{Error, converted, pickle, pickle_refused, plan, refused};
use crate::checkpoint::archive::{self, Record};
use crate::checkpoint::{floats, legacy, records, zip_of};

/// Callables of published bypasses, each of which was missing in some list of bad names.
const CALLABLES: [(&str, &str); 48] = [
    ("pip", "main"),
    ("timeit", "timeit"),
    ("numpy.testing._private.utils", "runstring"),
    ("torch._dynamo.guards", "GuardBuilder.get"),
    ("torch.utils.bottleneck.__main__", "run_cprofile"),
    ("torch.utils.bottleneck.__main__", "run_autograd_prof"),
    ("torch.utils.collect_env", "run"),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression"),
    ("torch.utils._config_module", "ConfigModule.load_config"),
    ("trace", "Trace.runctx"),
    ("idlelib.pyshell", "ModifiedInterpreter.runcode"),
    ("idlelib.textview", "SetText"),
    ("cProfile", "runctx"),
    ("profile", "run"),
    ("numpy.f2py.crackfortran", "myeval"),
    ("numpy.f2py.crackfortran", "getlincoef"),
    ("pydoc", "locate"),
    ("pydoc", "pipepager"),
    ("operator", "methodcaller"),
    ("_operator", "attrgetter"),
    ("pty", "spawn"),
    ("ctypes", "CDLL"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    ("distutils.file_util", "write_file"),
    ("io", "FileIO"),
    ("urllib.request", "urlopen"),
    ("cloudpickle.cloudpickle", "_make_function"),
    ("types", "CodeType"),
    ("logging", "FileHandler"),
    ("uuid", "_get_command_stdout"),
    ("imaplib", "IMAP4_stream"),
    ("_pyrepl.pager", "pipe_pager"),
    ("_osx_support", "_read_output"),
    ("_aix_support", "_read_cmd_output"),
    ("pkgutil", "resolve_name"),
    ("importlib", "import_module"),
    ("runpy", "run_path"),
    ("code", "InteractiveInterpreter.runcode"),
    ("doctest", "debug_script"),
    ("bdb", "Bdb.run"),
    ("lib2to3.pgen2.pgen", "ParserGenerator.make_label"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("__builtin__", "apply"),
    ("pickle", "loads"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.hub", "load"),
    ("subprocess", "Popen"),
];

/// Returns a checkpoint of a tensor and another value.
fn beside(value: Vec<u8>) -> Vec<u8> {
    zip_of(&pickle::named(&[("a", pickle::four()), ("b", value)]))
}

/// Returns the globals of the pickle, by the plan.
fn named(file: &[u8]) -> Vec<String> {
    let globals = plan(file).unwrap().globals;
    globals.iter().map(|named| format!("{}.{}", named.module, named.name)).collect()
}

#[test]
fn callables_that_no_list_has() {
    for (module, name) in CALLABLES {
        let callable = pickle::global(module, name);
        let text = pickle::call(&callable, &[pickle::text("id")]);
        // The call is outside of the weights: it is named, the program refuses it, and the weights do not change.
        let file = beside(text.clone());
        let full = format!("{module}.{name}");
        assert!(named(&file).contains(&full), "{full}");
        let planned = plan(&file).unwrap();
        assert!(planned.ignored.iter().any(|ignored| ignored.path == "b"), "{full}: {:?}", planned.ignored);
        let dangerous = scan::dangerous(&planned.globals);
        // A callable that is on none of our lists is also reported, and never clean.
        assert!(dangerous.is_some() || full.contains("_config_module"), "{full} is not known to execute");
        assert_eq!(converted(&file).unwrap(), converted(&beside(pickle::none())).unwrap());
        // If the call has a weight as argument, its result would be missing.
        let weight = beside(pickle::call(&callable, &[pickle::four()]));
        assert!(matches!(refused(&weight), Error::Opaque { .. }), "{full}");
        // The call is in place of the state dict.
        let whole = zip_of(&text);
        assert!(matches!(refused(&whole), Error::WholeObject { .. } | Error::NoTensors), "{full}");
    }
}

#[test]
fn memo_games() {
    let system = [pickle::text("os"), pickle::text("system")].concat();
    let call = |callable: &[u8]| pickle::call(callable, &[pickle::text("id")]);
    let fetched = |puts: &[u8], gets: &[u8]| [puts, gets, b"\x93"].concat();
    for (what, callable) in [
        // The names are stored in another order than they are fetched.
        (
            "order",
            fetched(
                &[pickle::text("system"), b"q\x010".to_vec(), pickle::text("os"), b"q\x000".to_vec()]
                    .concat(),
                b"h\x00h\x01",
            ),
        ),
        // An index is stored twice, and the last value counts.
        (
            "twice",
            fetched(
                &[pickle::kept(&pickle::text("math")), pickle::kept(&pickle::text("os"))].concat(),
                &[b"h\x00".to_vec(), pickle::text("system")].concat(),
            ),
        ),
        // MEMOIZE after BINGET uses the number of entries, not the fetched index.
        (
            "memoized",
            fetched(
                &[pickle::kept(&pickle::text("os")), b"h\x00\x940".to_vec()].concat(),
                &[b"h\x01".to_vec(), pickle::text("system")].concat(),
            ),
        ),
        // By text indices, and by indices of four bytes.
        (
            "spelling",
            fetched(
                &[
                    pickle::text("os"),
                    b"p700\n0".to_vec(),
                    pickle::text("system"),
                    b"r\x00\x01\x00\x000".to_vec(),
                ]
                .concat(),
                b"j\xbc\x02\x00\x00g256\n",
            ),
        ),
        // Values between the names are popped.
        ("between", [system, b"N0\x93".to_vec()].concat()),
    ] {
        let file = beside(call(&callable));
        assert!(named(&file).contains(&"os.system".to_owned()), "{what}: {:?}", named(&file));
        assert!(scan::dangerous(&plan(&file).unwrap().globals).is_some(), "{what}");
    }
    // An index that was never stored, and names that are not text.
    for value in [b"h\x07".to_vec(), b"g7\n".to_vec(), b"j\xff\xff\xff\xff".to_vec()] {
        assert!(matches!(pickle_refused(&beside(value)), Bad::MemoMiss { .. }));
    }
    for value in [b"K\x01K\x02\x93".to_vec(), [pickle::text("os"), b"N\x93".to_vec()].concat()] {
        assert!(matches!(pickle_refused(&beside(value)), Bad::Operand { .. }));
    }
    // STACK_GLOBAL is the first opcode, and the stack is empty.
    let mut first = records(&pickle::none(), &[]);
    first[0] = Record::stored("archive/data.pkl", b"\x93.");
    assert!(matches!(pickle_refused(&archive::write(&first)), Bad::StackUnderflow { .. }));
}

#[test]
fn a_stream_that_breaks_after_its_call() {
    let payload = pickle::call(&pickle::global("os", "system"), &[pickle::text("id")]);
    for garbage in [b"\xff\xff\xff".as_slice(), b"X\xff\xff\xff\x7f", b"", b"0000000000."] {
        let mut broken = records(&pickle::none(), &[("0", &floats(4))]);
        broken[0] = Record::stored("archive/data.pkl", &[b"\x80\x02", &payload[..], garbage].concat());
        assert!(matches!(refused(&archive::write(&broken)), Error::Pickle { .. }), "{garbage:?}");
        // The same bytes are outside of a container, and in place of the object of a legacy file.
        let plain = [b"\x80\x02", &payload[..], garbage].concat();
        assert!(matches!(refused(&plain), Error::Pickle { .. }));
        let stream = [crate::checkpoint::preamble(), plain].concat();
        assert!(matches!(refused(&stream), Error::Pickle { .. }), "{garbage:?}");
    }
}

#[test]
fn pickles_before_the_magic_number() {
    let object = pickle::named(&[("a", pickle::four())]);
    let stream = legacy(&object, &[("0", 4, &floats(4))]);
    // Six numbers, at which a reader of five stops, and a payload; padding that torch skips.
    let payload = pickle::whole(&pickle::call(&pickle::global("os", "system"), &[pickle::text("id")]));
    for before in [b"I0x10\n.".repeat(6), b"I1\n.".repeat(6), payload, b"N0".repeat(1000), b"\0".to_vec()] {
        let file = [before.clone(), stream.clone()].concat();
        assert!(matches!(refused(&file), Error::NotCheckpoint { .. }), "{before:?}");
    }
}

#[test]
fn pickles_under_other_names() {
    let object = pickle::named(&[("a", pickle::four())]);
    let payload = pickle::whole(&pickle::call(&pickle::global("os", "system"), &[pickle::text("id")]));
    let plain = converted(&zip_of(&object)).unwrap();
    // A loader could be led to other records: they are not part of the checkpoint, and not of the output.
    for name in ["config.p", "config.json", "data.pkl.bak", "extra/data.pkl", ".data/serialization_id"] {
        let mut more = records(&object, &[("0", &floats(4))]);
        more.push(Record::stored(&format!("archive/{name}"), &payload));
        assert_eq!(converted(&archive::write(&more)).unwrap(), plain, "{name}");
    }
    // A pickle without a container is detected by its bytes, whatever its name is, also after padding.
    assert!(matches!(refused(&payload), Error::NotCheckpoint { kind: Kind::Pickle }));
    for protocol in 0..=5_u8 {
        let file = [&[0x80, protocol], &payload[2..]].concat();
        assert!(matches!(refused(&file), Error::NotCheckpoint { kind: Kind::Pickle }), "{protocol}");
    }
    let padded = [b"N0".repeat(100), payload].concat();
    assert!(matches!(refused(&padded), Error::NotCheckpoint { .. }));
}

#[test]
fn containers_that_are_not_opened() {
    let inner = zip_of(&pickle::named(&[("a", pickle::four())]));
    for head in [
        b"7z\xbc\xaf\x27\x1c".as_slice(),
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"BZh91AY&SY",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"Rar!\x1a\x07\x01\0",
        b"\x78\x9c",
        b"\x93NUMPY\x01\0",
        b"\x89HDF\r\n\x1a\n",
        b"GGUF\x03\0\0\0",
        b"\x08\x07ONNX",
        b"<!DOCTYPE html>",
    ] {
        let file = [head, &inner].concat();
        assert!(matches!(refused(&file), Error::NotCheckpoint { .. }), "{head:?}: {:?}", refused(&file));
    }
    // An inner archive does not provide the `data.pkl` of the outer one.
    for name in ["archive/inner.zip", "archive/data/0"] {
        let nested = archive::write(&[Record::stored(name, &inner)]);
        assert!(matches!(refused(&nested), Error::MissingRecord { .. }), "{name}");
    }
}

#[test]
fn pickles_in_pickles() {
    // Bytes are never read as a pickle, whatever function gets them; and none of these functions counts as harmless.
    let tensor = pickle::whole(&pickle::named(&[("a", pickle::four())]));
    let bytes = [b"B".as_slice(), &u32::try_from(tensor.len()).unwrap().to_le_bytes(), &tensor].concat();
    for (module, name) in
        [("torch.storage", "_load_from_bytes"), ("pickle", "loads"), ("_pickle", "loads"), ("dill", "loads")]
    {
        let file = beside(pickle::call(&pickle::global(module, name), std::slice::from_ref(&bytes)));
        let planned = plan(&file).unwrap();
        assert!(scan::dangerous(&planned.globals).is_some(), "{module}.{name}");
        assert_eq!(planned.tensors.len(), 1);
        assert!(planned.ignored.iter().any(|ignored| ignored.path == "b"));
    }
    // The function is an argument of one of torch's own.
    let args = [pickle::global("os", "system"), pickle::global("torch", "Tensor")];
    let rebuilt = pickle::call(
        &pickle::global("torch._tensor", "_rebuild_from_type_v2"),
        &[args.to_vec(), vec![pickle::tuple(&[pickle::text("id")]), pickle::none()]].concat(),
    );
    assert!(matches!(refused(&beside(rebuilt)), Error::Unsupported { .. } | Error::Opaque { .. }));
}

#[test]
fn tensors_that_are_no_plain_storage() {
    let indices = pickle::four();
    for name in [
        "_rebuild_sparse_tensor",
        "_rebuild_sparse_csr_tensor",
        "_rebuild_qtensor",
        "_rebuild_nested_tensor",
        "_rebuild_meta_tensor_no_storage",
        "_rebuild_wrapper_subclass",
        "_rebuild_device_tensor_from_numpy",
        "_rebuild_device_tensor_from_cpu_tensor",
        "_rebuild_xla_tensor",
    ] {
        // With and without tensors in it: a weight would be missing in any case.
        for args in [vec![indices.clone()], vec![pickle::int(0)], vec![]] {
            let value = pickle::call(&pickle::global("torch._utils", name), &args);
            let error = refused(&beside(value));
            assert!(matches!(error, Error::Unsupported { .. } | Error::Opaque { .. }), "{name}: {error:?}");
        }
    }
    let script = pickle::call(&pickle::global("__torch__.model", "Model"), &[pickle::four()]);
    assert!(matches!(refused(&beside(script)), Error::Opaque { .. } | Error::Unsupported { .. }));
}
