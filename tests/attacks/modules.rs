//! Tests attacks by pickled modules: structures that `state_dict()` would read differently.

use super::{Error, converted, pickle, plan, refused, zip_of};

fn empty() -> Vec<u8> {
    pickle::dict(&[])
}

/// Returns a module with these attributes: `NEWOBJ` and `BUILD`.
fn made(attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let new = [pickle::global("my.pkg", "Net"), pickle::tuple(&[]), vec![0x81]].concat();
    pickle::built(&new, &pickle::named(attributes))
}

fn parts(parameters: Vec<u8>, buffers: Vec<u8>, modules: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    vec![("_parameters", parameters), ("_buffers", buffers), ("_modules", modules)]
}

fn weight() -> Vec<u8> {
    pickle::named(&[("weight", pickle::four())])
}

fn names(file: &[u8]) -> Vec<String> {
    let mut names: Vec<_> = plan(file).unwrap().tensors.into_iter().map(|tensor| tensor.name).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_module(object: &[u8], what: &str) {
    match refused(&zip_of(object)) {
        Error::Module { what: found, .. } => assert_eq!(found, what),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn a_module_as_torch_saves_it() {
    let inner = made(&parts(weight(), empty(), empty()));
    let modules = pickle::named(&[("a", inner), ("none", pickle::none())]);
    let outer = made(&parts(pickle::named(&[("bias", pickle::none())]), weight(), modules));
    assert_eq!(names(&zip_of(&outer)), ["a.weight", "weight"]);
    assert!(converted(&zip_of(&outer)).is_ok());
}

#[test]
fn modules_that_are_made_in_other_ways() {
    let state = pickle::named(&parts(weight(), empty(), empty()));
    let class = pickle::global("my.pkg", "Net");
    let by = |made: Vec<u8>| pickle::built(&made, &state);
    let new = |args: &[Vec<u8>]| [class.clone(), pickle::tuple(args), vec![0x81]].concat();
    let reconstructor = |args: &[Vec<u8>]| pickle::call(&pickle::global("copy_reg", "_reconstructor"), args);
    let object = pickle::global("__builtin__", "object");
    assert!(converted(&zip_of(&by(reconstructor(&[class.clone(), object.clone(), pickle::none()])))).is_ok());
    assert_module(&by(pickle::call(&class, &[])), "is built by a function call");
    assert_module(&by(new(&[pickle::int(1)])), "is built with constructor arguments");
    assert_module(
        &by(reconstructor(&[class.clone(), object.clone(), pickle::int(1)])),
        "is built by a function call",
    );
    let dict = pickle::global("__builtin__", "dict");
    assert_module(&by(reconstructor(&[class.clone(), dict, pickle::none()])), "is built by a function call");
    let with_item = [new(&[]), pickle::text("w"), pickle::four(), b"s".to_vec()].concat();
    assert_module(&by(with_item), "has state besides its attributes");
    for (module, what) in [
        ("torch.jit._script", "is TorchScript"),
        ("__torch__.net", "is TorchScript"),
        ("torch.fx.graph_module", "is a traced graph"),
        ("torch.ao.nn.quantized.modules.linear", "is of a quantized or pruned model"),
        ("torch.nn.quantized.modules.linear", "is quantized"),
        ("torch.distributed.nn.api.remote_module", "is distributed (RPC)"),
    ] {
        let made = [pickle::global(module, "Linear"), pickle::tuple(&[]), vec![0x81]].concat();
        assert_module(&by(made), what);
    }
    // A package with a similar name is a different one.
    let made = [pickle::global("torch.jitter", "Net"), pickle::tuple(&[]), vec![0x81]].concat();
    assert!(converted(&zip_of(&by(made))).is_ok());
}

#[test]
fn attributes_of_a_module_that_are_not_torch_s() {
    let ordered = |state: Vec<u8>| {
        pickle::built(&pickle::call(&pickle::global("collections", "OrderedDict"), &[]), &state)
    };
    let hook = pickle::dict(&[(pickle::int(0), pickle::global("my.pkg", "hook"))]);
    let plus = |name: &'static str, value: Vec<u8>| {
        let mut all = parts(weight(), empty(), empty());
        all.push((name, value));
        made(&all)
    };
    let module = |parameters, buffers, modules| made(&parts(parameters, buffers, modules));
    assert_module(&plus("_state_dict_hooks", hook.clone()), "has hooks that change its state dict");
    assert_module(&plus("_state_dict_pre_hooks", hook.clone()), "has hooks that change its state dict");
    assert_module(&plus("_state_dict_hooks", pickle::none()), "has hooks that change its state dict");
    assert!(converted(&zip_of(&plus("_backward_hooks", hook))).is_ok());
    assert_module(&plus("_packed_params", pickle::int(1)), "is quantized");
    let left_out = "has an invalid set of non-persistent buffers";
    assert_module(&plus("_non_persistent_buffers_set", pickle::int(1)), left_out);
    assert_module(&plus("_non_persistent_buffers_set", pickle::list(&[pickle::text("a")])), left_out);
    assert_module(&module(pickle::list(&[pickle::four()]), empty(), empty()), "has non-dict parameters");
    assert_module(&module(weight(), pickle::none(), empty()), "has non-dict buffers");
    assert_module(&module(weight(), empty(), pickle::tuple(&[])), "has non-dict modules");
    assert_module(&made(&[("_parameters", weight()), ("_modules", empty())]), "has non-dict buffers");
    let number = pickle::named(&[("w", pickle::four()), ("n", pickle::int(1))]);
    assert_module(&module(number.clone(), empty(), empty()), "has a parameter that is not a tensor");
    assert_module(&module(empty(), number, empty()), "has a buffer that is not a tensor");
    let keys = pickle::dict(&[(pickle::int(0), pickle::four())]);
    assert_module(&module(keys, empty(), empty()), "has a submodule with a non-string name");
    // A tensor is in the state of a dict, which `state_dict()` does not read.
    assert_module(&module(ordered(pickle::four()), empty(), empty()), "has non-dict parameters");
}

#[test]
fn modules_in_a_module_that_are_none() {
    let holds = |module: Vec<u8>| made(&parts(weight(), empty(), pickle::named(&[("a", module)])));
    assert_module(&holds(pickle::int(1)), "is not an nn.Module");
    assert_module(&holds(pickle::four()), "is built by a function call");
    assert_module(&holds(weight()), "is not an nn.Module");
    assert_module(&holds(made(&[("weight", pickle::four())])), "has a state that is not an nn.Module state");
    let new = [pickle::global("my.pkg", "Net"), pickle::tuple(&[]), vec![0x81]].concat();
    assert_module(&holds(new.clone()), "has a state that is not an nn.Module state");
    let slots = pickle::tuple(&[pickle::named(&parts(weight(), empty(), empty())), pickle::dict(&[])]);
    assert_module(&holds(pickle::built(&new, &slots)), "has a state that is not an nn.Module state");
}

#[test]
fn names_that_are_there_twice() {
    let twice = pickle::named(&[("w", pickle::four()), ("w", pickle::four())]);
    let object = made(&parts(twice.clone(), empty(), empty()));
    assert!(matches!(refused(&zip_of(&object)), Error::DuplicateName { .. }));
    // A parameter has the name of a buffer, or of a parameter in a submodule.
    let object = made(&parts(weight(), weight(), empty()));
    assert!(matches!(refused(&zip_of(&object)), Error::DuplicateName { .. }));
    let inner = made(&parts(weight(), empty(), empty()));
    let dotted = pickle::named(&[("a.weight", pickle::four())]);
    let object = made(&parts(dotted, empty(), pickle::named(&[("a", inner)])));
    assert!(matches!(refused(&zip_of(&object)), Error::DuplicateName { .. }));
    let mut all = parts(weight(), empty(), empty());
    all.extend(parts(empty(), empty(), empty()));
    assert!(matches!(refused(&zip_of(&made(&all))), Error::DuplicateName { .. }));
}

#[test]
fn modules_that_hold_each_other() {
    // NEWOBJ is in the memo, and the module is one of its own submodules.
    let new = [pickle::global("my.pkg", "Net"), pickle::tuple(&[]), vec![0x81], b"q\x01".to_vec()].concat();
    let own = pickle::named(&parts(weight(), empty(), pickle::named(&[("me", b"h\x01".to_vec())])));
    assert_module(&pickle::built(&new, &own), "contains itself");
    let between = made(&parts(empty(), empty(), pickle::named(&[("up", b"h\x01".to_vec())])));
    let own = pickle::named(&parts(weight(), empty(), pickle::named(&[("down", between)])));
    assert_module(&pickle::built(&new, &own), "contains itself");
}

#[test]
fn sets_of_names_in_other_forms() {
    let left_out = |set: Vec<u8>| {
        let mut all = parts(weight(), pickle::named(&[("cache", pickle::four())]), empty());
        all.push(("_non_persistent_buffers_set", set));
        made(&all)
    };
    let set = |args: &[Vec<u8>]| pickle::call(&pickle::global("builtins", "set"), args);
    let names_of = |items: &[Vec<u8>], end: u8| [b"(".to_vec(), items.concat(), vec![end]].concat();
    let cache = || [pickle::text("cache")];
    for plain in [
        names_of(&cache(), 0x91),
        [b"\x8f".to_vec(), names_of(&cache(), 0x90)].concat(),
        set(&[pickle::list(&cache())]),
        set(&[pickle::tuple(&cache())]),
    ] {
        assert_eq!(names(&zip_of(&left_out(plain))), ["weight"]);
    }
    assert_eq!(names(&zip_of(&left_out(set(&[])))), ["cache", "weight"]);
    let what = "has an invalid set of non-persistent buffers";
    assert_module(&left_out(set(&[pickle::text("cache")])), what);
    assert_module(&left_out(set(&[pickle::list(&cache()), pickle::none()])), what);
    assert_module(&left_out(set(&[pickle::list(&[pickle::int(1)])])), what);
    assert_module(&left_out(pickle::call(&pickle::global("my.pkg", "set"), &[])), what);
}

#[test]
fn modules_of_which_one_cannot_be_read() {
    let good = || made(&parts(weight(), empty(), empty()));
    let bad =
        || made(&parts(pickle::named(&[("w", pickle::four()), ("n", pickle::int(1))]), empty(), empty()));
    // Each is a candidate; its fault is reported when it is chosen.
    let two = zip_of(&pickle::named(&[("good", good()), ("bad", bad())]));
    match refused(&two) {
        Error::Ambiguous { candidates, .. } => {
            let found: Vec<_> = candidates.iter().map(|one| (&*one.key, one.tensors, one.bytes)).collect();
            assert_eq!(found, [("good", 1, 16), ("bad", 1, 16)]);
        }
        other => panic!("{other:?}"),
    }
    let inner = made(&parts(weight(), empty(), pickle::named(&[("a", bad())])));
    match refused(&zip_of(&pickle::named(&[("model", inner)]))) {
        Error::Module { path, class, what } => {
            let found = (path.as_str(), class.as_str(), what);
            assert_eq!(found, ("model.a", "my.pkg.Net", "has a parameter that is not a tensor"));
        }
        other => panic!("{other:?}"),
    }
    let new = [pickle::global("my.pkg", "Net"), pickle::tuple(&[]), vec![0x81]].concat();
    let state =
        [pickle::named(&parts(weight(), empty(), empty())), pickle::int(1), pickle::none(), b"s".to_vec()];
    assert_module(&pickle::built(&new, &state.concat()), "has an attribute with a non-string name");
    // An object without a weight is still a module.
    let none = made(&parts(pickle::named(&[("bias", pickle::none())]), empty(), empty()));
    assert!(matches!(refused(&zip_of(&none)), Error::NoTensors));
}

#[test]
fn towers_of_modules() {
    // Each level contains the one below twice: 2^40 names.
    let mut tower = pickle::kept(&made(&parts(weight(), empty(), empty())));
    for level in 0..40_u8 {
        let pair = pickle::named(&[("a", vec![b'h', level]), ("b", vec![b'h', level])]);
        tower.extend(made(&parts(empty(), empty(), pair)));
        tower.extend([b'q', level + 1, b'0']);
    }
    tower.extend([b'h', 40]);
    assert!(matches!(refused(&zip_of(&tower)), Error::Limit { .. }));
    // 3,000 levels of one module each.
    let deep = (0..3_000).fold(made(&parts(weight(), empty(), empty())), |below, _| {
        let modules = [b"}".to_vec(), pickle::text("a"), b"h\0s".to_vec()].concat();
        [below, b"q\x000".to_vec(), made(&parts(empty(), empty(), modules))].concat()
    });
    assert!(matches!(refused(&zip_of(&deep)), Error::Limit { what: "nesting levels", .. }));
    let beside = pickle::named(&[("deep", deep), ("b", made(&parts(weight(), empty(), empty())))]);
    assert!(matches!(refused(&zip_of(&beside)), Error::Limit { what: "nesting levels", .. }));
}

#[test]
fn a_state_that_changes_after_it_was_taken() {
    let new = [pickle::global("my.pkg", "Net"), pickle::tuple(&[]), vec![0x81]].concat();
    let state = [pickle::named(&parts(weight(), empty(), empty())), b"q\x01".to_vec()].concat();
    let built = pickle::built(&new, &state);
    assert!(converted(&zip_of(&built)).is_ok());
    // The module has the contents of its state at that time; the dict gets other buffers later.
    let other = pickle::named(&[("other", pickle::four())]);
    let late = [built, b"h\x01".to_vec(), pickle::text("more"), other.clone(), b"s0".to_vec()].concat();
    assert_module(&late, "has a state modified after construction");
    // The same applies to the argument from which a dict was created.
    let dict = pickle::call(&pickle::global("collections", "OrderedDict"), &[b"h\x01".to_vec()]);
    let given = [weight(), b"q\x010".to_vec()].concat();
    let late =
        [given.clone(), dict.clone(), b"h\x01".to_vec(), pickle::text("b"), pickle::four(), b"s0".to_vec()];
    assert!(converted(&zip_of(&[given, dict].concat())).is_ok());
    assert!(matches!(refused(&zip_of(&late.concat())), Error::WholeObject { .. }));
    // The same applies to the flags of a tensor.
    let number = |number| pickle::tuple(&[pickle::int(number)]);
    let flags = [pickle::named(&[("neg", vec![0x89])]), b"q\x010".to_vec()].concat();
    let hooks = pickle::none();
    let args = [
        pickle::storage("FloatStorage", "0", 4),
        pickle::int(0),
        number(4),
        number(1),
        vec![0x89],
        hooks,
        b"h\x01".to_vec(),
    ];
    let tensor = pickle::call(&pickle::global("torch._utils", "_rebuild_tensor_v2"), &args);
    let dict = |value: Vec<u8>| [b"}".to_vec(), pickle::text("a"), value, b"s".to_vec()].concat();
    assert!(converted(&zip_of(&[flags.clone(), dict(tensor.clone())].concat())).is_ok());
    let change = [b"h\x01".to_vec(), pickle::text("conj"), vec![0x89], b"s0".to_vec()].concat();
    let late = [flags, dict([tensor, change].concat())].concat();
    assert!(matches!(refused(&zip_of(&late)), Error::Geometry { .. }));
}
