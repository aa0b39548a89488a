//! Tests globals that pass on their arguments, and calls in unusual places.
//!
//! A form without an effect is converted, and each other form is dangerous: nothing is called here, but calls of stock
//! loaders must not count as weights.

use git_st_convert::scan;

use super::{Error, pickle, plan, refused};
use crate::checkpoint::zip_of;

/// Returns a checkpoint of a state dict and another value.
fn beside(value: &[u8]) -> Vec<u8> {
    zip_of(&pickle::named(&[("state_dict", pickle::named(&[("a", pickle::four())])), ("b", value.to_vec())]))
}

/// Returns the first global of a checkpoint that prevents its conversion.
fn stopped_by(value: &[u8]) -> Option<String> {
    let globals = plan(&beside(value)).unwrap().globals;
    scan::dangerous(&globals).map(|named| format!("{}.{}", named.module, named.name))
}

fn attribute(of: &[u8], name: &str) -> Vec<u8> {
    pickle::call(&pickle::global("__builtin__", "getattr"), &[of.to_vec(), pickle::text(name)])
}

fn partial(args: &[Vec<u8>]) -> Vec<u8> {
    pickle::call(&pickle::global("functools", "partial"), args)
}

fn class() -> Vec<u8> {
    pickle::global("my.pkg", "Outer")
}

/// Returns `BUILD` with the state that `partial.__reduce__` gives.
fn with_state(function: &[u8], rest: &[Vec<u8>]) -> Vec<u8> {
    let state = [&[function.to_vec()], rest].concat();
    pickle::built(&partial(&[function.to_vec()]), &pickle::tuple(&state))
}

#[test]
fn names_that_are_given_on_and_never_called() {
    let inner = attribute(&class(), "Inner");
    let of_type = |value: Vec<u8>| pickle::call(&pickle::global("builtins", "type"), &[value]);
    let own = || [pickle::tuple(&[]), pickle::named(&[("mode", pickle::int(1))]), pickle::none()];
    for inert in [
        inner.clone(),
        attribute(&inner, "RED"),
        attribute(&pickle::global("my.pkg", "_Hidden.Outer"), "_x"),
        of_type(pickle::none()),
        of_type(class()),
        partial(&[class()]),
        partial(&[pickle::global("my.pkg", "apply"), inner.clone(), pickle::int(1)]),
        with_state(&pickle::global("my.pkg", "apply"), &own()),
        // It is an argument of an unknown call, a key, in a list, or dropped.
        pickle::call(&pickle::global("my.pkg", "restore"), std::slice::from_ref(&inner)),
        pickle::dict(&[(inner.clone(), pickle::list(&[inner.clone(), inner.clone()]))]),
        [inner.clone(), b"0".to_vec(), pickle::none()].concat(),
    ] {
        assert_eq!(stopped_by(&inert), None, "{}", inert.escape_ascii());
    }
    let plan = plan(&beside(&attribute(&inner, "RED"))).unwrap();
    let ignored: Vec<_> = plan.ignored.iter().map(|item| item.reason.as_str()).collect();
    assert_eq!(ignored, ["my.pkg.Outer.Inner.RED"]);
}

#[test]
fn names_that_are_given_on_and_called() {
    let getattr = || pickle::global("__builtin__", "getattr");
    let inner = || attribute(&class(), "Inner");
    let new = |class: Vec<u8>| [class, pickle::tuple(&[]), vec![0x81]].concat();
    let reconstructed = [inner(), pickle::global("__builtin__", "object"), pickle::none()];
    let kept = |value: Vec<u8>, then: &[u8]| [value, b"q\x05".to_vec(), then.to_vec()].concat();
    for called in [
        // The result is called, is the class of an object, or gets a state.
        pickle::call(&inner(), &[]),
        new(inner()),
        pickle::call(&pickle::global("copy_reg", "_reconstructor"), &reconstructed),
        pickle::built(&inner(), &pickle::named(&[("a", pickle::int(1))])),
        [inner(), pickle::int(0), pickle::int(1), b"s".to_vec()].concat(),
        [inner(), pickle::int(1), b"a".to_vec()].concat(),
        // The same applies to a result from the memo.
        kept(inner(), &pickle::call(b"0h\x05", &[])),
        // The object is a module, a result, or not a global; the name is Python's own, has two parts, or is missing.
        attribute(&pickle::global("torch", "nn"), "Module"),
        attribute(&pickle::global("my.pkg", "Outer.inner"), "Module"),
        attribute(&pickle::call(&class(), &[]), "Inner"),
        attribute(&new(class()), "Inner"),
        attribute(&pickle::text("Outer"), "Inner"),
        attribute(&attribute(&pickle::global("torch", "nn"), "Module"), "forward"),
        attribute(&class(), "__init__"),
        attribute(&class(), "__globals__"),
        attribute(&class(), "Inner.RED"),
        attribute(&class(), ""),
        // With a default, with one argument, as a class, as its own argument, by itself, dropped.
        pickle::call(&getattr(), &[class(), pickle::text("a"), pickle::none()]),
        pickle::call(&getattr(), &[class()]),
        new(getattr()),
        pickle::list(&[getattr()]),
        attribute(&getattr(), "Inner"),
        getattr(),
        [getattr(), b"0".to_vec(), pickle::none()].concat(),
    ] {
        assert_eq!(stopped_by(&called).as_deref(), Some("__builtin__.getattr"), "{}", called.escape_ascii());
    }
}

#[test]
fn types_and_partials_in_other_forms() {
    let r#type = |args: &[Vec<u8>]| pickle::call(&pickle::global("builtins", "type"), args);
    let three = [pickle::text("A"), pickle::tuple(&[]), pickle::named(&[])];
    for called in [r#type(&three), r#type(&[]), pickle::call(&r#type(&[pickle::none()]), &[])] {
        assert_eq!(stopped_by(&called).as_deref(), Some("builtins.type"), "{}", called.escape_ascii());
    }
    let apply = || pickle::global("my.pkg", "apply");
    let state = |function: Vec<u8>| {
        [vec![function], vec![pickle::tuple(&[]), pickle::none(), pickle::none()]].concat()
    };
    for called in [
        pickle::call(&partial(&[apply()]), &[]),
        partial(&[]),
        partial(&[partial(&[apply()])]),
        partial(&[pickle::global("__builtin__", "getattr"), pickle::global("my.pkg", "Outer")]),
        partial(&[pickle::call(&apply(), &[])]),
        pickle::built(&partial(&[apply()]), &pickle::tuple(&state(pickle::call(&apply(), &[])))),
        pickle::built(&partial(&[apply()]), &pickle::tuple(&[apply(), pickle::tuple(&[])])),
        pickle::built(&partial(&[apply()]), &pickle::named(&[("func", apply())])),
    ] {
        assert_eq!(stopped_by(&called).as_deref(), Some("functools.partial"), "{}", called.escape_ascii());
    }
    // A passed global counts as any other.
    let system = pickle::global("os", "system");
    assert_eq!(stopped_by(&partial(std::slice::from_ref(&system))).as_deref(), Some("os.system"));
    assert_eq!(
        stopped_by(&with_state(&apply(), &[pickle::tuple(&[system]), pickle::none(), pickle::none()]))
            .as_deref(),
        Some("os.system")
    );
}

#[test]
fn calls_in_front_of_the_weights() {
    for (module, name) in [
        ("builtins", "print"),
        ("__builtin__", "print"),
        ("operator", "itemgetter"),
        ("collections", "namedtuple"),
        ("functools", "partialmethod"),
        ("os", "system"),
    ] {
        let text = format!("{module}.{name}");
        let called = pickle::call(&pickle::global(module, name), &[pickle::text("x")]);
        for dropped in [
            [called.clone(), b"0".to_vec()].concat(),
            [b"(".to_vec(), called.clone(), b"1".to_vec()].concat(),
        ] {
            let object = [dropped, pickle::named(&[("a", pickle::four())])].concat();
            let globals = plan(&zip_of(&object)).unwrap().globals;
            let found = scan::dangerous(&globals).map(|named| format!("{}.{}", named.module, named.name));
            assert_eq!(found.as_ref(), Some(&text));
        }
        // A global that is only named counts as well.
        assert_eq!(stopped_by(&pickle::global(module, name)), Some(text));
    }
}

#[test]
fn states_that_tensors_are_given() {
    let parameter = |data: Vec<u8>| pickle::call(&pickle::global("torch.nn.parameter", "Parameter"), &[data]);
    let bits = |hooks: Vec<u8>| pickle::tuple(&[vec![0x88], vec![0x89], hooks]);
    let hooks = || pickle::call(&pickle::global("collections", "OrderedDict"), &[]);
    // torch before 0.4 writes this.
    for state in [bits(hooks()), bits(pickle::none())] {
        for tensor in [parameter(pickle::four()), pickle::four()] {
            assert_eq!(stopped_by(&pickle::built(&tensor, &state)), None);
        }
    }
    let set =
        [pickle::storage("FloatStorage", "0", 4), pickle::int(0), pickle::tuple(&[]), pickle::tuple(&[])];
    for state in [
        pickle::named(&[("a", pickle::none())]),
        pickle::none(),
        pickle::tuple(&[]),
        pickle::tuple(&set),
        pickle::tuple(&[pickle::int(1), vec![0x89], hooks()]),
        bits(pickle::text("hooks")),
        bits(pickle::call(&pickle::global("my.pkg", "Hooks"), &[])),
        pickle::tuple(&[pickle::four(), pickle::none(), hooks(), vec![0x88], vec![0x89]]),
    ] {
        for tensor in [parameter(pickle::four()), pickle::four()] {
            let built = pickle::built(&tensor, &state);
            // It may be outside of the weights, or dropped.
            for object in [built.clone(), [built, b"0".to_vec(), pickle::none()].concat()] {
                match refused(&beside(&object)) {
                    Error::Unsupported { what, .. } => {
                        assert_eq!(what, "changed by a state that torch does not give");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
