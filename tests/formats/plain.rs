//! Compares plain values with `serde-pickle`: we read what it writes as the same value, and both read the same from
//! other files.
//!
//! It knows no classes and no persistent ids, so the tests are about opcodes, numbers, text and containers; other tests
//! compare the rest with torch.

use std::collections::BTreeSet;

use git_st_convert::pickle::{self, Arena, Id, Limits, Value as Ours};
use proptest::prelude::*;
use serde_pickle::{DeOptions, HashableValue, SerOptions, Value};

use super::fixtures;
use crate::checkpoint::pickle as write;

/// Converts a value of ours to one of theirs; `None` if it is not one of Python's plain values.
fn plain(values: &Arena, id: Id) -> Option<Value> {
    let all = |items: &[Id]| items.iter().map(|&item| plain(values, item)).collect::<Option<Vec<_>>>();
    let set = |items: &[Id]| -> Option<BTreeSet<HashableValue>> {
        all(items)?.into_iter().map(|item| item.into_hashable().ok()).collect()
    };
    Some(match values.get(id) {
        Ours::None => Value::None,
        Ours::Bool(value) => Value::Bool(*value),
        Ours::Int(value) => Value::I64(*value),
        Ours::Big(value) => Value::Int(value.to_string().parse().unwrap()),
        Ours::Float(value) => Value::F64(*value),
        Ours::Str(text) => Value::String(text.to_string()),
        Ours::Bytes(bytes) | Ours::ByteArray(bytes) => Value::Bytes(bytes.to_vec()),
        Ours::List(items) => Value::List(all(items)?),
        Ours::Tuple(items) => Value::Tuple(all(items)?),
        Ours::Set(items) => Value::Set(set(items)?),
        Ours::FrozenSet(items) => Value::FrozenSet(set(items)?),
        Ours::Dict(pairs) => {
            let pair =
                |&(key, value)| Some((plain(values, key)?.into_hashable().ok()?, plain(values, value)?));
            Value::Dict(pairs.iter().map(pair).collect::<Option<_>>()?)
        }
        // Protocols below 4 write `set([..])` and `frozenset([..])` in this way.
        Ours::Object(object) => {
            let global = values.global(object.callable)?;
            let [items] = values.tuple(object.args)? else { return None };
            let (Ours::List(items) | Ours::Set(items)) = values.get(*items) else { return None };
            match (&*global.module, &*global.name) {
                ("builtins" | "__builtin__", "set") => Value::Set(set(items)?),
                ("builtins" | "__builtin__", "frozenset") => Value::FrozenSet(set(items)?),
                _ => return None,
            }
        }
        Ours::Huge | Ours::Outside { .. } | Ours::Global(_) | Ours::Persistent(_) => return None,
    })
}

fn ours(bytes: &[u8]) -> Value {
    let read = pickle::read(&bytes.to_vec(), 0, &Limits::default()).unwrap();
    assert_eq!(read.end, bytes.len() as u64);
    plain(&read.values, read.root).expect("is a plain value")
}

fn theirs(bytes: &[u8]) -> serde_pickle::Result<Value> {
    serde_pickle::value_from_slice(bytes, DeOptions::new().decode_strings())
}

/// Returns values that can be keys. Floats and long integers have no stable order among the others, so they are left
/// out.
fn hashable() -> impl Strategy<Value = HashableValue> {
    let leaf = prop_oneof![
        Just(HashableValue::None),
        any::<bool>().prop_map(HashableValue::Bool),
        any::<i64>().prop_map(HashableValue::I64),
        (-300_i64..300).prop_map(HashableValue::I64),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(HashableValue::Bytes),
        any::<String>().prop_map(HashableValue::String),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(HashableValue::Tuple),
            proptest::collection::btree_set(inner, 0..5).prop_map(HashableValue::FrozenSet),
        ]
    })
}

/// Returns any plain value.
fn value() -> impl Strategy<Value = Value> {
    // NaN is left out, because it does not equal itself.
    let leaf = prop_oneof![
        4 => hashable().prop_map(HashableValue::into_value),
        1 => any::<f64>().prop_filter("a number", |number| !number.is_nan()).prop_map(Value::F64),
        1 => any::<i128>()
            .prop_filter("a long one", |number| i64::try_from(*number).is_err())
            .prop_map(|number| Value::Int(number.to_string().parse().unwrap())),
    ];
    leaf.prop_recursive(4, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::Tuple),
            proptest::collection::btree_map(hashable(), inner, 0..8).prop_map(Value::Dict),
            proptest::collection::btree_set(hashable(), 0..8).prop_map(Value::Set),
        ]
    })
}

/// Writes a value in the opcodes of our own builder. The other builders write bytes.
fn written(value: &Value) -> Vec<u8> {
    let all = |items: &[Value]| items.iter().map(written).collect::<Vec<_>>();
    match value {
        Value::Bool(true) => vec![0x88],
        Value::Bool(false) => vec![0x89],
        Value::I64(number) => write::int((*number).into()),
        Value::Int(number) => write::int(number.to_string().parse().unwrap()),
        Value::F64(number) => [b"G".as_slice(), &number.to_be_bytes()].concat(),
        Value::String(text) => write::text(text),
        Value::List(items) => write::list(&all(items)),
        Value::Tuple(items) => write::tuple(&all(items)),
        Value::Dict(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (written(&key.clone().into_value()), written(value)));
            write::dict(&pairs.collect::<Vec<_>>())
        }
        _ => write::none(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_serde_pickle_writes_is_read_as_the_same(value in value()) {
        let bytes = serde_pickle::value_to_vec(&value, SerOptions::new()).unwrap();
        prop_assert_eq!(ours(&bytes), value);
    }

    #[test]
    fn what_is_written_here_is_read_by_both_as_the_same(value in value()) {
        let bytes = write::whole(&written(&value));
        prop_assert_eq!(ours(&bytes), theirs(&bytes).unwrap());
    }
}

#[test]
fn what_python_wrote_in_every_protocol_is_read_by_both_as_the_same() {
    let table = std::fs::read_to_string(fixtures().join("plain.tsv")).unwrap();
    let mut count = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let (what, hex) = line.split_once('\t').unwrap();
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        match theirs(&bytes) {
            Ok(theirs) => assert_eq!(ours(&bytes), theirs, "{what}"),
            // It takes a list that is fetched from the memo while it is still open for one that contains itself.
            Err(error) => assert!(what.starts_with("shared"), "{what}: {error}"),
        }
        count += 1;
    }
    assert!(count >= 60, "{count}");
}
