//! Decides which uses of `getattr`, `type` and `functools.partial` only name an object, so that they have no effect.
//!
//! ```text
//! getattr(CLASS, "name")      a name in a class, below protocol 4; CLASS is spelled as a class, or is such a name itself
//! type(value)                 the class of a value: the spelling of NoneType
//! partial(FUNCTION, …)        a function with arguments; BUILD sets (function, arguments, keywords, attributes)
//! ```
//!
//! They are inert as long as their result is not called, and nothing but the state of a `partial` is set on it. Source:
//! `CPython`'s `save_global`, `save_type` and `partial.__reduce__`. The scanner applies the same rule in its walk.

use std::collections::HashSet;

use super::symbol::{is_class_name, is_plain_attribute};
use super::value::{Arena, Call, Global, Id, Object, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Attribute,
    Type,
    Partial,
}

impl Carrier {
    fn of(global: &Global) -> Option<Self> {
        match (&*global.module, &*global.name) {
            ("builtins" | "__builtin__", "getattr") => Some(Self::Attribute),
            ("builtins" | "__builtin__", "type") => Some(Self::Type),
            ("functools" | "_functools", "partial") => Some(Self::Partial),
            _ => None,
        }
    }
}

/// Returns the globals of a pickle that are one of these and are used only in their inert form; `root` is the result of
/// the pickle.
pub(crate) fn inert(values: &Arena, root: Id) -> HashSet<Id> {
    let carriers: HashSet<Id> =
        values.iter().filter(|(_, value)| carrier(value).is_some()).map(|(id, _)| id).collect();
    if carriers.is_empty() {
        return carriers;
    }
    let called = called(values);
    let (mut used, mut misused) = (HashSet::new(), HashSet::from([root]));
    // The arguments of a call were made before it, so of two nested calls the inner one comes first.
    let mut symbols = HashSet::new();
    for (id, value) in values.iter() {
        let by = match value {
            Value::Object(object) if carriers.contains(&object.callable) => Some(object),
            _ => None,
        };
        if let Some(object) = by {
            let is_inert = !called.contains(&id) && is_inert(values, object, &symbols);
            if is_inert && carrier(values.get(object.callable)) == Some(Carrier::Attribute) {
                symbols.insert(id);
            }
            if is_inert { &mut used } else { &mut misused }.insert(object.callable);
        }
        let mut calls = by.map(|object| object.callable);
        values.children(id, |child| {
            // As a callable it was checked above; anywhere else it is passed on.
            if calls.take_if(|callable| *callable == child).is_none() && carriers.contains(&child) {
                misused.insert(child);
            }
        });
    }
    used.retain(|id| !misused.contains(id));
    used
}

/// Returns the name in a class that the value at `id` represents.
pub(crate) fn symbol(values: &Arena, id: Id) -> Option<Global> {
    let mut names = Vec::new();
    let mut inner = id;
    // Classes are nested a few levels deep.
    for _ in 0..16 {
        match values.get(inner) {
            Value::Global(global) if !names.is_empty() && is_class_name(&global.name) => {
                names.push(&*global.name);
                names.reverse();
                return Some(Global { module: global.module.clone(), name: names.join(".").into() });
            }
            Value::Object(object) if carrier(values.get(object.callable)) == Some(Carrier::Attribute) => {
                let &[of, name] = values.tuple(object.args)? else { return None };
                names.push(values.text(name).filter(|name| is_plain_attribute(name))?);
                inner = of;
            }
            _ => return None,
        }
    }
    None
}

fn carrier(value: &Value) -> Option<Carrier> {
    match value {
        Value::Global(global) => Carrier::of(global),
        _ => None,
    }
}

/// Returns the results of calls that are themselves called, as a function, as a class, or by a function that creates
/// objects of classes.
fn called(values: &Arena) -> HashSet<Id> {
    let mut called = HashSet::new();
    for (_, value) in values.iter() {
        let Value::Object(object) = value else { continue };
        called.insert(object.callable);
        let makes_objects = values.global(object.callable).is_some_and(|global| {
            matches!(&*global.module, "copyreg" | "copy_reg") && global.name.starts_with('_')
        });
        if makes_objects {
            called.extend(values.tuple(object.args).unwrap_or_default());
        }
    }
    called
}

/// Returns `true` if the call has one of the forms that do nothing.
fn is_inert(values: &Arena, object: &Object, symbols: &HashSet<Id>) -> bool {
    let plain = object.call == Call::Function && object.has_only_args_and_state();
    let (Some(carrier), Some(args)) = (carrier(values.get(object.callable)), values.tuple(object.args))
    else {
        return false;
    };
    let is_function = |id: Id| values.global(id).is_some_and(|global| Carrier::of(global).is_none());
    let by_form = match (carrier, args) {
        (Carrier::Attribute, &[of, name]) => {
            let is_class = values.global(of).is_some_and(|class| is_class_name(&class.name));
            (is_class || symbols.contains(&of)) && values.text(name).is_some_and(is_plain_attribute)
        }
        (Carrier::Type, [_]) => true,
        (Carrier::Partial, &[function, ..]) => is_function(function),
        _ => false,
    };
    let state = match (carrier, object.state) {
        (_, None) => true,
        (Carrier::Partial, Some(state)) => match values.tuple(state) {
            Some(&[function, args, keywords, attributes]) => {
                let is_dict = |id| matches!(values.get(id), Value::None | Value::Dict(_));
                is_function(function)
                    && values.tuple(args).is_some()
                    && is_dict(keywords)
                    && is_dict(attributes)
            }
            _ => false,
        },
        (_, Some(_)) => false,
    };
    plain && by_form && state
}
