//! Tests attacks by `TorchScript` archives: code and objects that do not match, and code that torch does not write.

mod code;

use git_st_convert::scan;

use super::{Error, converted, pickle, plan, refused};
use crate::checkpoint::archive::{self, Record};
use crate::checkpoint::script::{CODE, object, object_of, plain, script, script_records};
use crate::checkpoint::{floats, records};

/// Returns a class with the head of a module and these lines.
fn class(name: &str, parameters: &str, buffers: &str, lines: &[&str]) -> String {
    let lines = lines.iter().map(|line| format!("  {line}\n")).collect::<Vec<_>>().concat();
    format!("class {name}(Module):\n  __parameters__ = [{parameters}]\n  __buffers__ = [{buffers}]\n{lines}")
}

#[track_caller]
fn assert_module(object: &[u8], code: &str, what: &str) {
    match refused(&script(object, code)) {
        Error::ScriptModule { what: found, .. } => assert_eq!(found, what),
        other => panic!("{what}: {other:?}"),
    }
}

#[track_caller]
fn assert_archive(file: &[u8], what: &str) {
    match refused(file) {
        Error::TorchScript { what: found } => assert_eq!(found, what),
        other => panic!("{what}: {other:?}"),
    }
}

#[track_caller]
fn assert_limit(file: &[u8], limited: &str) {
    match refused(file) {
        Error::Limit { what, .. } => assert_eq!(what, limited),
        other => panic!("{limited}: {other:?}"),
    }
}

fn names(file: &[u8]) -> Vec<String> {
    plan(file).unwrap().tensors.into_iter().map(|tensor| tensor.name).collect()
}

#[test]
fn a_script_as_torch_saves_it() {
    let file = script(&plain(), CODE);
    assert_eq!(names(&file), ["a"]);
    assert!(converted(&file).is_ok());
    assert_eq!(plan(&file).unwrap().format.name(), "torchscript");
}

#[test]
fn objects_that_are_not_what_their_class_declares() {
    let yes = || vec![0x88];
    for (attributes, what) in [
        (vec![("training", yes())], "is missing a, which its class declares"),
        (vec![("a", pickle::four())], "is missing training, which its class declares"),
        (
            vec![("a", pickle::four()), ("training", yes()), ("b", pickle::four())],
            "contains b, which its class does not declare",
        ),
        (
            vec![("a", pickle::four()), ("training", yes()), ("b", yes())],
            "contains b, which its class does not declare",
        ),
        (vec![("a", pickle::int(1)), ("training", yes())], "lists a in its state, which is not a tensor"),
        (
            vec![("a", pickle::list(&[pickle::four()])), ("training", yes())],
            "lists a in its state, which is not a tensor",
        ),
        (vec![("a", pickle::four()), ("training", yes()), ("training", yes())], "twice"),
    ] {
        match refused(&script(&object("M", &attributes), CODE)) {
            Error::ScriptModule { what: found, path, class } => {
                assert_eq!((&*found, &*path, &*class), (what, ".", "__torch__.M"));
            }
            Error::DuplicateName { name } => assert_eq!((name.as_str(), what), ("training", "twice")),
            other => panic!("{what}: {other:?}"),
        }
    }
    let twice = object("M", &[("training", yes()), ("a", pickle::none()), ("a", pickle::none())]);
    assert_module(&twice, CODE, "contains a twice");
    let by_number = pickle::dict(&[(pickle::int(0), pickle::four())]);
    assert_module(&object_of("__torch__", "M", &by_number), CODE, "has an attribute with a non-string name");
    // A parameter that is None does not count.
    assert!(matches!(
        refused(&script(&object("M", &[("a", pickle::none()), ("training", yes())]), CODE)),
        Error::NoTensors
    ));
}

#[test]
fn modules_of_a_class_that_is_not_the_declared_one() {
    let code = |of: &str| {
        class("M", "", "", &[&format!("sub : {of}")]) + &class("N", "\"a\", ", "", &["a : Tensor"])
    };
    let inner = object("N", &[("a", pickle::four())]);
    let with = |value: Vec<u8>| object("M", &[("sub", value)]);
    assert_eq!(names(&script(&with(inner.clone()), &code("__torch__.N"))), ["sub.a"]);
    let other = "has sub of a class other than declared";
    let value = object_of("__torch__", "O", &pickle::named(&[("a", pickle::four())]));
    assert_module(&with(value), &code("__torch__.N"), other);
    assert_module(&with(pickle::four()), &code("__torch__.N"), other);
    assert_module(&with(pickle::none()), &code("__torch__.N"), other);
    let absent = "has sub of a class that is not in the code of the archive";
    assert_module(&with(inner.clone()), &code("__torch__.O"), absent);
    assert_module(&with(inner.clone()), &code("__torch__.a.b.O"), absent);
    // An interface may be any module, but must be a module.
    let interface =
        code("__torch__.I") + "class I(ModuleInterface):\n  def forward(self) -> Tensor:\n    pass\n";
    assert_eq!(names(&script(&with(inner.clone()), &interface)), ["sub.a"]);
    assert_module(&with(pickle::int(1)), &interface, "is not an nn.Module");
    assert_module(&with(pickle::four()), &interface, "is not a module according to the code of the archive");
    let value = object_of("__torch__", "I", &pickle::named(&[]));
    assert_module(&with(value), &interface, "is not a module according to the code of the archive");
    // Neither a value nor an optional module is part of the state, as in torch.
    for of in ["__torch__.V", "Optional[__torch__.N]"] {
        let code = code(of) + "class V:\n  a : Tensor\n" + &class("W", "\"w\", ", "", &["w : Tensor"]);
        let found = plan(&script(&with(inner.clone()), &code));
        assert!(matches!(found, Err(Error::NoTensors)), "{of}: {found:?}");
    }
}

#[test]
fn roots_that_are_no_module_of_the_code() {
    let state = pickle::named(&[("a", pickle::four()), ("training", vec![0x88])]);
    for (object, what) in [
        (pickle::named(&[("a", pickle::four())]), "is not an nn.Module"),
        (pickle::four(), "is not a module according to the code of the archive"),
        (pickle::int(1), "is not an nn.Module"),
        (object_of("__torch__", "N", &state), "is not a module according to the code of the archive"),
        (object_of("my.pkg", "M", &state), "is not a module according to the code of the archive"),
        (object_of("__torch__", "V", &state), "is not a module according to the code of the archive"),
    ] {
        let code = CODE.to_owned() + "class V:\n  a : Tensor\n";
        assert_module(&object, &code, what);
    }
    let class = [pickle::persistent(&[]), b")\x81".to_vec()].concat();
    assert!(plan(&script(&pickle::built(&class, &state), CODE)).is_err());
}

#[test]
fn scripted_objects_that_are_made_in_other_ways() {
    let state = pickle::named(&[("a", pickle::four()), ("training", vec![0x88])]);
    let class = pickle::global("__torch__", "M");
    let new = |args: &[Vec<u8>]| [class.clone(), pickle::tuple(args), vec![0x81]].concat();
    let other = "is not built as PyTorch builds modules";
    assert_module(
        &pickle::built(&pickle::call(&class, &[]), &state),
        CODE,
        "is not a module according to the code of the archive",
    );
    assert_module(&pickle::built(&new(&[pickle::int(1)]), &state), CODE, other);
    assert_module(&new(&[]), CODE, other);
    let item =
        [new(&[]), pickle::text("w"), pickle::four(), b"s".to_vec(), state.clone(), b"b".to_vec()].concat();
    assert_module(&item, CODE, other);
    let more = [new(&[]), pickle::four(), b"a".to_vec(), state.clone(), b"b".to_vec()].concat();
    assert_module(&more, CODE, other);
    let kwargs = [class.clone(), b")".to_vec(), pickle::named(&[]), vec![0x92], state.clone(), b"b".to_vec()];
    assert_module(&kwargs.concat(), CODE, other);
    assert_module(&pickle::built(&new(&[]), &pickle::tuple(&[pickle::four()])), CODE, "has a non-dict state");
    // The dict is in the memo, and changes after the object copied it.
    let late = [pickle::kept(&state), new(&[]), b"h\x00bq\x010h\x00".to_vec(), pickle::text("a")].concat();
    let late = [late, pickle::none(), b"s0h\x01".to_vec()].concat();
    assert_module(&late, CODE, "has a state modified after construction");
    for method in ["__getstate__", "__setstate__"] {
        let code = format!("{CODE}  def {method}(self: __torch__.M) -> Tensor:\n    return 1\n");
        let what = "builds its state by code (`__getstate__`)";
        assert_module(&plain(), &code, what);
        assert_module(&pickle::built(&new(&[]), &pickle::tuple(&[pickle::four()])), &code, what);
    }
}

#[test]
fn modules_that_hold_themselves_by_the_memo() {
    let code = class("M", "\"a\", ", "", &["a : Tensor", "sub : __torch__.M"]);
    let state = [pickle::text("a"), pickle::four(), pickle::text("sub"), b"h\x00".to_vec()].concat();
    let own = [pickle::global("__torch__", "M"), b")\x81q\x00}(".to_vec(), state, b"ub".to_vec()].concat();
    assert_module(&own, &code, "contains itself");
}

#[test]
fn towers_of_scripted_modules() {
    let code = class("M", "", "", &["l : __torch__.M", "r : __torch__.M", "a : Tensor"])
        + &class("N", "\"a\", ", "", &["a : Tensor"]);
    let two = class("M", "", "", &["l : __torch__.N", "r : __torch__.N"])
        + &class("N", "\"a\", ", "", &["a : Tensor"]);
    let leaf = object("N", &[("a", pickle::four())]);
    let both = |value: &[u8]| {
        let state =
            [pickle::text("l"), value.to_vec(), b"q\x07".to_vec(), pickle::text("r"), b"h\x07".to_vec()];
        [pickle::global("__torch__", "M"), b")\x81}(".to_vec(), state.concat(), b"ub".to_vec()].concat()
    };
    assert_eq!(names(&script(&both(&leaf), &two)), ["l.a", "r.a"]);
    // Each level is a module that contains the one below twice: 2^60 names.
    let level = |below: u8| {
        let get = [b'h', below];
        let state =
            [pickle::text("l"), get.to_vec(), pickle::text("r"), get.to_vec(), pickle::text("a")].concat();
        let state = [state, pickle::none()].concat();
        let made = [pickle::global("__torch__", "M"), b")\x81}(".to_vec(), state, b"ub".to_vec()].concat();
        [made, vec![b'q', below + 1, b'0']].concat()
    };
    let bottom =
        pickle::kept(&object("M", &[("l", pickle::none()), ("r", pickle::none()), ("a", pickle::four())]));
    let tower = [bottom, (0..60).flat_map(level).collect(), vec![b'h', 60]].concat();
    let found = refused(&script(&tower, &code));
    assert!(matches!(found, Error::Limit { .. } | Error::ScriptModule { .. }), "{found:?}");
    // The class may be anything, so that the bottom is valid.
    let free = class("M", "", "", &["l : __torch__.I", "r : __torch__.I", "a : Tensor"])
        + "class I(ModuleInterface):\n  def forward(self) -> Tensor:\n    pass\n"
        + &class("N", "\"a\", ", "", &["a : Tensor"]);
    let tower = [pickle::kept(&leaf), (0..60).flat_map(level).collect(), vec![b'h', 60]].concat();
    assert_limit(&script(&tower, &free), "values visited");
    // This is deeper than any model.
    let deep = class("M", "", "", &["l : __torch__.I"])
        + "class I(ModuleInterface):\n  def forward(self) -> Tensor:\n    pass\n"
        + &class("N", "\"a\", ", "", &["a : Tensor"]);
    let nested = (0..2_000).fold(leaf, |below, _| object("M", &[("l", below)]));
    assert_limit(&script(&nested, &deep), "nested modules");
}

#[test]
fn weights_that_are_packed() {
    let code = |line: &str| class("M", "\"a\", ", "", &["a : Tensor", line]);
    let with = |name: &str, value: Vec<u8>| object("M", &[("a", pickle::four()), (name, value)]);
    let native =
        |module: &str| object_of(module, "LinearPackedParamsBase", &pickle::tuple(&[pickle::four()]));
    let packed = native("__torch__.torch.classes.quantized");
    let what = "has packed weights in p, not tensors";
    assert_module(
        &with("p", packed.clone()),
        &code("p : __torch__.torch.classes.quantized.LinearPackedParamsBase"),
        what,
    );
    assert_module(&with("p", pickle::list(std::slice::from_ref(&packed))), &code("p : List[int]"), what);
    assert_module(&with("p", pickle::named(&[("x", packed)])), &code("p : Dict[str, int]"), what);
    assert_module(&with("p", native("__torch__.torch.classes")), &code("p : Any"), what);
    let what = "has packed weights in _packed_params, not tensors";
    assert_module(&with("_packed_params", pickle::four()), &code("_packed_params : Tensor"), what);
    let what = "is optimized for mobile devices: its weights are packed";
    assert_module(&with("mobile_optimized", vec![0x88]), &code("mobile_optimized : bool"), what);
    // Without a tensor in it, such an object is a value like any other.
    let vocab = object_of("__torch__.torch.classes.torchtext", "Vocab", &pickle::tuple(&[pickle::int(1)]));
    assert_eq!(
        names(&script(&with("v", vocab), &code("v : __torch__.torch.classes.torchtext.Vocab"))),
        ["a"]
    );
}

#[test]
fn archives_of_scripts() {
    let whole = || script_records(&plain(), &[("__torch__.py", CODE)]);
    let without = |name: &str| -> Vec<Record> {
        whole().into_iter().filter(|record| record.local.name != name.as_bytes()).collect()
    };
    let ambiguous = "has no constants.pkl, so readers disagree on its format";
    assert_archive(&archive::write(&without("archive/constants.pkl")), ambiguous);
    assert_module(&plain(), "", "is not a module according to the code of the archive");
    let found = refused(&archive::write(&without("archive/code/__torch__.py")));
    assert!(matches!(found, Error::ScriptModule { .. }), "{found:?}");
    let with = |name: &str, bytes: &[u8]| {
        let mut more = whole();
        more.push(Record::stored(name, bytes));
        archive::write(&more)
    };
    assert_archive(&with("archive/model.json", b"{}"), "is of torch 1.3 or earlier (model.json)");
    let old = [Record::stored("archive/model.json", b"{}"), Record::stored("archive/tensors/0", b"0123")];
    assert_archive(&archive::write(&old), "is of torch 1.3 or earlier (model.json)");
    let order = "is marked as big-endian, which torch.jit.load ignores";
    assert_archive(&with("archive/byteorder", b"big"), order);
    assert!(matches!(refused(&with("archive/Model.json", b"{}")), Error::Ambiguity { .. }));
    // A record that torch.load would also read has no effect.
    assert_eq!(names(&with("archive/extra/labels.txt", b"a")), ["a"]);
    // A zip file with constants is not a plain checkpoint: torch.load passes it to torch.jit.load.
    let mut checkpoint = records(&pickle::named(&[("a", pickle::four())]), &[("0", &floats(4))]);
    checkpoint.push(Record::stored("archive/constants.pkl", b"\x80\x02)."));
    assert!(matches!(refused(&archive::write(&checkpoint)), Error::ScriptModule { .. }));
}

#[test]
fn pickles_beside_the_objects_of_a_script() {
    let call = pickle::whole(&pickle::call(&pickle::global("os", "system"), &[pickle::text("id")]));
    for name in
        ["constants.pkl", "code/__torch__.py.debug_pkl", "traced_inputs.pkl", "bytecode.pkl", "extra/x.pkl"]
    {
        let with = |bytes: &[u8]| {
            let name = format!("archive/{name}");
            let mut records = script_records(&plain(), &[("__torch__.py", CODE)]);
            records.retain(|record| record.local.name != name.as_bytes());
            records.push(Record::stored(&name, bytes));
            archive::write(&records)
        };
        let plan = plan(&with(&call)).unwrap();
        let found = scan::dangerous(&plan.globals).unwrap();
        assert_eq!((&*found.name, &*found.record), ("system", &*format!("archive/{name}")));
        let broken = refused(&with(b"\x80\x02cos\nsystem\n"));
        assert!(matches!(broken, Error::Pickle { ref record, .. } if record.ends_with(name)), "{broken:?}");
    }
}

#[test]
fn a_frozen_script() {
    let code = class("M", "", "", &[]);
    let constants = pickle::whole(&pickle::tuple(&[pickle::four()]));
    let file = |object: &[u8], code: &str| {
        let mut records = script_records(object, &[("__torch__.py", code)]);
        records.retain(|record| record.local.name != b"archive/constants.pkl");
        records.push(Record::stored("archive/constants.pkl", &constants));
        archive::write(&records)
    };
    let what = "is frozen: its tensors are constants of the code (constants.pkl), not state";
    assert_archive(&file(&object("M", &[]), &code), what);
    let plan = plan(&file(&plain(), CODE)).unwrap();
    let ignored: Vec<_> = plan.ignored.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(ignored, ["constants.pkl", "."]);
}
