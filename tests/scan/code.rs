//! Tests code outside of pickles: what Keras, torch.package, TorchServe, PyTorch's export and PyTables execute when they
//! load a file is never clean, and other code is named. `tests/fixtures/judge_code.py` lets the loaders themselves load
//! such files.

use git_st_convert::scan::{Code, Content, Limits, Verdict, scan};

use super::{joined, look};
use crate::checkpoint::archive::{Record, write};

/// The signature of an HDF5 file, then other bytes: its structure has no effect.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0\x10\0";

/// Returns the kinds, names and verdicts of the code in a file, and the verdict on the file.
fn code(file: &[u8]) -> (Vec<(Code, String, Verdict)>, Verdict) {
    let report = look(file);
    let found = report.code.iter().map(|code| {
        let place = code.member.iter().map(String::as_str);
        let text: Vec<_> = place.chain(code.name.as_deref()).collect();
        (code.kind, text.join(" "), code.verdict)
    });
    (found.collect(), report.verdict)
}

fn keras(config: &str) -> Vec<u8> {
    write(&[
        Record::stored("metadata.json", b"{\"keras_version\": \"3.8.0\"}"),
        Record::deflated("config.json", config.as_bytes()),
        Record::stored("model.weights.h5", HDF5),
    ])
}

/// Returns a configuration of Keras with these layers.
fn model(layers: &str) -> String {
    format!(
        "{{\"module\": \"keras\", \"class_name\": \"Sequential\", \"config\": {{\"name\": \"s\", \"layers\": [{{\"module\": \
         \"keras.layers\", \"class_name\": \"Dense\", \"config\": {{\"units\": 2, \"x\": NaN}}}}{layers}]}}, \"registered_name\": null}}"
    )
}

#[test]
fn a_configuration_of_keras_may_be_an_array() {
    let lambda = r#"{"class_name": "Lambda", "config": {"function": ["4wEA", null, null]}}"#;
    let expected =
        (vec![(Code::Keras, "config.json Lambda".to_owned(), Verdict::Dangerous)], Verdict::Dangerous);
    for config in [format!("[{lambda}]"), format!("  [[1, []], [{lambda}"), format!("[{lambda}, {{")] {
        assert_eq!(code(&keras(&config)), expected, "{config}");
    }
}

#[test]
fn an_object_of_keras_with_code_is_found() {
    let long = format!(", {{\"text\": \"{}\"}}", "x".repeat(3 << 20));
    let deep = format!(", {}", "[".repeat(5_000));
    for (layers, name, verdict) in [
        (
            r#", {"class_name": "Lambda", "config": {"function": ["4wEA", null, null]}}"#,
            "Lambda",
            Verdict::Dangerous,
        ),
        (r#", {"cl\u0061ss_name": "\u004cambda", "config": {}}"#, "Lambda", Verdict::Dangerous),
        (r#", {"config": {}, "class_name": "Dense", "class_name": "Lambda"}"#, "Lambda", Verdict::Dangerous),
        (r#", {"config": {"code": "4wEA"}, "class_name": "__lambda__"}"#, "__lambda__", Verdict::Dangerous),
        (r#", {"class_name": "TorchModuleWrapper", "config": {}}"#, "TorchModuleWrapper", Verdict::Dangerous),
        (r#", {"module": "os", "class_name": "system", "config": "true"}"#, "os.system", Verdict::Dangerous),
        (
            r#", {"module": "os", "class_name": "function", "config": "system"}"#,
            "os.system",
            Verdict::Dangerous,
        ),
        (
            r#", {"module": "builtins", "class_name": "function", "config": "eval"}"#,
            "builtins.eval",
            Verdict::Dangerous,
        ),
        (r#", {"module": "my.pkg", "class_name": "Net", "config": {}}"#, "my.pkg.Net", Verdict::Unknown),
        (
            r#", {"module": "keras.utils", "class_name": "get_file", "config": {}}"#,
            "keras.utils.get_file",
            Verdict::Unknown,
        ),
        (r#", {"class_name": "TFSMLayer", "config": {"filepath": "x"}}"#, "TFSMLayer", Verdict::Unknown),
    ] {
        for hidden in [String::new(), long.clone(), deep.clone()] {
            let config = model(&format!("{hidden}{layers}"));
            let (found, worst) = code(&keras(&config));
            let expected = (Code::Keras, format!("config.json {name}"), verdict);
            assert!(found.contains(&expected), "{layers}: {found:?}");
            assert_eq!(worst, verdict, "{layers}");
            let (found, worst) = code(&joined(&[HDF5, &[0x7b; 300], config.as_bytes(), &[0; 9]]));
            assert!(found.contains(&(Code::Keras, name.to_owned(), verdict)), "{layers}: {found:?}");
            assert_eq!(worst, verdict, "{layers}");
        }
    }
}

#[test]
fn a_configuration_is_read_in_each_encoding_that_python_detects() {
    let config = model(r#", {"class_name": "Lambda", "config": {"\u0123\ud800": "é∢"}}"#);
    let utf16: Vec<u16> = config.encode_utf16().collect();
    let wide = |convert: fn(u32) -> [u8; 4]| {
        config.chars().flat_map(|char| convert(char.into())).collect::<Vec<u8>>()
    };
    let little: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    let (wide_little, wide_big) = (wide(u32::to_le_bytes), wide(u32::to_be_bytes));
    for (what, text) in [
        ("a mark", joined(&[b"\xef\xbb\xbf", config.as_bytes()])),
        ("utf-16-le", little.clone()),
        ("utf-16-be", big.clone()),
        ("utf-16-le with a mark", joined(&[b"\xff\xfe", &little])),
        ("utf-16-be with a mark", joined(&[b"\xfe\xff", &big])),
        ("utf-32-le", wide_little.clone()),
        ("utf-32-be", wide_big.clone()),
        ("utf-32-le with a mark", joined(&[b"\xff\xfe\0\0", &wide_little])),
        ("utf-32-be with a mark", joined(&[b"\0\0\xfe\xff", &wide_big])),
        ("the first bytes of another format", config.replacen('{', "{  \"ET12\": 1,", 1).into_bytes()),
        ("a control character", config.replacen("\"s\"", "\"\x7f\"", 1).into_bytes()),
    ] {
        for name in ["config.json", "config.json\0x"] {
            let file = write(&[Record::deflated(name, &text), Record::stored("model.weights.h5", HDF5)]);
            assert_eq!(code(&file).1, Verdict::Dangerous, "{what}, {name:?}");
        }
        assert_eq!(code(&text).1, Verdict::Dangerous, "{what}");
    }
}

#[test]
fn plain_layers_are_clean() {
    for layers in [
        "",
        r#", {"module": "keras.layers", "class_name": "Activation", "config": {"activation": {"module": "builtins", "class_name": "function", "config": "mine"}}}"#,
        r#", {"module": "keras.src.backend.torch.optimizers.torch_adamw", "class_name": "AdamW", "config": {}}"#,
        r#", {"module": "tensorflow.keras.initializers", "class_name": "Zeros", "config": {}}"#,
        r#", {"module": "os", "class_name": "system"}"#,
        r#", {"note": "the class Lambda of the module os, with a config"}"#,
    ] {
        assert_eq!(code(&keras(&model(layers))), (vec![], Verdict::Clean), "{layers}");
        assert_eq!(code(model(layers).as_bytes()), (vec![], Verdict::Clean), "{layers}");
        assert_eq!(code(&joined(&[HDF5, model(layers).as_bytes()])), (vec![], Verdict::Clean), "{layers}");
    }
    assert_eq!(look(&keras(&model(""))).content, Content::Keras);
}

#[test]
fn a_pickle_in_an_attribute_of_hdf5_is_found() {
    for pickle in [
        b"cposix\nsystem\np0\n(Vtrue\np1\ntp2\nRp3\n.".as_slice(),
        b"(Vtrue\niposix\nsystem\n.",
        b"\x80\x02cposix\nsystem\n(X\x04\0\0\0truetR.",
        b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    ] {
        for before in [100, (8 << 20) - 5, (8 << 20) + 1] {
            let file = joined(&[HDF5, &vec![b'7'; before], &b"\0\0"[..], pickle, &[0; 64]]);
            let report = look(&file);
            assert_eq!((report.verdict, report.content), (Verdict::Dangerous, Content::Hdf5), "{pickle:?}");
            let (found, global) = report.globals()[0];
            assert_eq!((found.member.as_deref(), global.module.as_str()), (None, "posix"), "{report:#?}");
        }
    }
    let plain = joined(&[
        HDF5,
        b"\0(lp0\nI1\na.\0\x80\x02]q\0.\0classic\nvalues\n".as_slice(),
        &super::ordinary::noise(7, 3 << 20),
    ]);
    assert_eq!(look(&plain).verdict, Verdict::Clean);
}

#[test]
fn code_in_an_archive_counts_where_its_loader_imports_it() {
    let python = Record::stored("a/collections.py", b"import os\n");
    let native = Record::stored("a/lib/x.so", b"\x7fELF\x02\x01\x01\0");
    let pickle = Record::stored("a/p/p.pkl", b"\x80\x02ccollections\nOrderedDict\n)R.");
    for (marker, python_verdict, native_verdict) in [
        ("a/.data/extern_modules", Verdict::Unknown, Verdict::Unknown),
        ("MAR-INF/MANIFEST.json", Verdict::Unknown, Verdict::Unknown),
        ("a/archive_format", Verdict::Clean, Verdict::Unknown),
        ("a/data/AOTInductor/x.json", Verdict::Clean, Verdict::Unknown),
        ("a/.DATA/extern_MODULES", Verdict::Unknown, Verdict::Unknown),
        ("a/other", Verdict::Clean, Verdict::Clean),
    ] {
        let file = write(&[Record::stored(marker, b"x"), python.clone(), native.clone(), pickle.clone()]);
        let (found, verdict) = code(&file);
        let expected = vec![
            (Code::Python, "a/collections.py".to_owned(), python_verdict),
            (Code::Native, "a/lib/x.so".to_owned(), native_verdict),
        ];
        assert_eq!(found, expected, "{marker}");
        assert_eq!(verdict, python_verdict.max(native_verdict).max(Verdict::Weights), "{marker}");
    }
}

#[test]
fn names_of_code_in_texts_are_reported_and_clean() {
    let template = r#"{"chat_template": [{"name": "x", "template": "{{ ''.__class__.__mro__ }}"}]}"#;
    let gguf =
        joined(&[b"GGUF\x03\0\0\0".as_slice(), &[0; 40], b"{% set x = cycler.__init__.__globals__ %}"]);
    for (text, kind, name) in [
        (
            br#"{"auto_map": {"AutoModel": "modeling_x.XModel"}}"#.as_slice(),
            Code::Import,
            "modeling_x.XModel",
        ),
        (br#"{"auto_map": {"AutoTokenizer": [null, "o/n--tok.T"]}}"#, Code::Import, "o/n--tok.T"),
        (br#"{"custom_pipelines": {"x": {"impl": "pipe.Pipe"}}}"#, Code::Import, "pipe.Pipe"),
        (b"a:\n  _target_: os.system\n  command: x\n", Code::Import, "os.system"),
        (b"flavors:\n  python_function:\n    loader_module: my.loader\n", Code::Import, "my.loader"),
        (
            br#"{"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}"#,
            Code::Import,
            "os.system",
        ),
        (b"- !!python/object/apply:os.system [x]\n", Code::Yaml, "!!python/object/apply:os.system"),
        (template.as_bytes(), Code::Template, "__mro__"),
        (gguf.as_slice(), Code::Template, "__globals__"),
    ] {
        assert_eq!(code(text), (vec![(kind, name.to_owned(), Verdict::Clean)], Verdict::Clean));
    }
    for text in [
        "{\"model_type\": \"bert\"}",
        "_target_: torch.nn.Linear\n",
        "{{ messages[0]['content'] }}",
        "loader_module: mlflow.sklearn\n",
        &format!("{{{{ messages }}}}{:600}the name __globals__", ""),
        "!!str a\n",
    ] {
        assert_eq!(code(text.as_bytes()), (vec![], Verdict::Clean), "{text}");
    }
}

#[test]
fn a_configuration_costs_no_more_than_its_length() {
    let repeated = "\"class_name\": \"a\", \"module\": \"b\", ".repeat(100_000);
    let config = model(&format!(", {{{repeated}\"config\": {{}}}}"));
    let report = scan(&keras(&config), &Limits::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Unknown, "{:?}", report.code.len());
    let braces = joined(&[HDF5, &b"{\"".repeat(1 << 20)]);
    assert_eq!(look(&braces).verdict, Verdict::Clean);
}

#[test]
fn what_is_searched_only_at_its_beginning_is_said() {
    let code = br#"{"class_name": "Lambda", "config": {}}"#.as_slice();
    let long = |len: usize| joined(&[b"[\"", &vec![b'x'; len], b"\", ", code]);
    let gguf = joined(&[b"GGUF\x03\0\0\0".as_slice(), &vec![0; 17 << 20]]);
    let hdf5 = joined(&[HDF5, &vec![0; 2 << 20], code]);
    let metadata = joined(&[b"\n\x05\0\0{\"class_name\":", &vec![1; 2 << 20]]);
    let flax = joined(&[b"\x82\xa1w\xc6\x00\x20\0\0", &vec![0x81; 2 << 20], b"\xa1v\xc0"]);
    let text = "text searched only in its first 64.0 KiB";
    let in_archive = write(&[Record::deflated("a.json", &long(2 << 20))]);
    let at_its_beginning =
        write(&[Record::deflated("a.json", &joined(&[b"[", code, &b" ".repeat(1 << 17), b"]"]))]);
    for (file, here, afar) in [
        (long(1 << 19), None, Some(text)),
        (long(2 << 20), Some(text), Some(text)),
        (b"word ".repeat(1 << 19), Some(text), Some(text)),
        (
            gguf,
            Some("GGUF file searched only in its first 16.0 MiB"),
            Some("GGUF file searched only in its first 1.0 MiB"),
        ),
        (hdf5, None, Some("HDF5 file searched only in its first 1.0 MiB")),
        (metadata, None, Some("unknown format searched only in its first 1.0 MiB")),
        (flax, None, Some("MessagePack searched only in its first 1.0 MiB")),
        (
            in_archive,
            Some("a.json: text searched only in its first 64.0 KiB"),
            Some("a.json: text searched only in its first 64.0 KiB"),
        ),
        (
            at_its_beginning,
            Some("a.json: text searched only in its first 64.0 KiB"),
            Some("a.json: text searched only in its first 64.0 KiB"),
        ),
    ] {
        let begin = String::from_utf8_lossy(&file[..40]).into_owned();
        let (near, far) = (look(&file), super::far::look_from_afar(&file));
        assert_eq!((near.reason.as_deref(), far.reason.as_deref()), (here, afar), "{begin:?}");
        assert!(near.verdict != Verdict::Unreadable && far.verdict != Verdict::Unreadable, "{begin:?}");
    }
    // What was found before the limit counts.
    let found =
        look(&write(&[Record::deflated("a.json", &joined(&[b"[", code, &b" ".repeat(1 << 17), b"]"]))]));
    assert_eq!(found.verdict, Verdict::Dangerous, "{found:#?}");
}

#[test]
fn what_pytorch_compiles_and_links_is_native_code() {
    let pickle = Record::stored("a/data.p", b"\x80\x02ccollections\nOrderedDict\n)R.");
    for name in ["x.wrapper.cpp", "x.kernel.o", "x.cubin", "X.CPP", "x.so"] {
        for (format, dir, is_native) in [
            ("a/archive_format", "a/data/aotinductor/model", true),
            ("a/archive_format", "a/extra", true),
            ("a/version", "a/data/aotinductor/model", true),
            ("a/version", "a/extra", false),
        ] {
            let path = format!("{dir}/{name}");
            let records =
                [Record::stored(format, b"pt2"), pickle.clone(), Record::stored(&path, b"int x;\n")];
            let (found, verdict) = code(&write(&records));
            let is_named = is_native || name == "x.so";
            let expected = if is_native { Verdict::Unknown } else { Verdict::Clean };
            let listed: Vec<_> = is_named.then_some((Code::Native, path, expected)).into_iter().collect();
            assert_eq!((found, verdict), (listed, expected.max(Verdict::Weights)), "{name} {format} {dir}");
        }
    }
}

#[test]
fn an_engine_of_tensorrt_is_native_code() {
    let engine = (vec![(Code::Native, "TensorRT engine".to_owned(), Verdict::Unknown)], Verdict::Unknown);
    let plan = joined(&[b"ftrt\0\0\0\0\xf0\0\0\0", &[7; 1000]]);
    let names = "\"a\", ".repeat(1000);
    let text = format!("{{\"task\": \"detect\", \"class_name\": [{names}\"z\"]}}");
    let len = u32::try_from(text.len()).unwrap().to_le_bytes();
    assert_eq!(code(&plan), engine);
    assert_eq!(code(&joined(&[b"ptrt\0\0\0\0\xf0\0\0\0", &[7; 1000]])), engine);
    assert_eq!(code(&joined(&[&len, text.as_bytes(), &plan])), engine);
    for other in
        [joined(&[&len, text.as_bytes(), b"frtt", &[7; 100]]), joined(&[&len, text.as_bytes(), b"ft"])]
    {
        assert_eq!(code(&other), (vec![], Verdict::Clean));
    }
}

#[test]
fn more_values_than_the_limit_are_not_clean() {
    let many = |count: u32| joined(&[b"\xdd", &count.to_be_bytes(), &vec![0; count as usize]]);
    assert_eq!(look(&many(1 << 20)).verdict, Verdict::Clean);
    let report = look(&many(20_000_001));
    assert_eq!(report.verdict, Verdict::Unreadable);
    assert_eq!(report.reason.as_deref(), Some("more values than the limit"));
}
