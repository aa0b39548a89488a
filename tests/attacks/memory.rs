//! Tests attacks on memory and time: a few bytes that expand to many.

use git_st_convert::checkpoint::{self, Options};
use git_st_convert::pickle::Error as Bad;

use super::{Error, converted, pickle, pickle_refused, plan, refused};
use crate::checkpoint::zip_of;

/// Returns a checkpoint of a tensor and another value.
fn beside(value: Vec<u8>) -> Vec<u8> {
    zip_of(&pickle::named(&[("a", pickle::four()), ("b", value)]))
}

#[track_caller]
fn assert_limit(file: &[u8], limited: &str) {
    match refused(file) {
        Error::Limit { what, .. } => assert_eq!(what, limited),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_ambiguous(file: &[u8], dicts: usize) {
    match refused(file) {
        Error::Ambiguous { candidates, total, .. } => {
            assert_eq!(total, dicts);
            assert!(candidates.len() <= 12);
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_pickle_limit(file: &[u8], limited: &str) {
    match pickle_refused(file) {
        Bad::Limit { what, .. } => assert_eq!(what, limited),
        other => panic!("{other:?}"),
    }
}

#[test]
fn memo_bomb() {
    assert!(converted(&beside(pickle::tower(&pickle::list(&[]), 200))).is_ok());
    // With a tensor at the bottom, every level would have names, 2^200 of them.
    assert_limit(&beside(pickle::tower(&pickle::four(), 200)), "values visited");
}

#[test]
fn dup_bomb() {
    let tower = |bottom: Vec<u8>| [bottom, b"2\x86".repeat(500)].concat();
    assert!(converted(&beside(tower(pickle::text("x")))).is_ok());
    assert_limit(&beside(tower(pickle::four())), "values visited");
}

#[test]
fn a_list_that_holds_itself() {
    let own = |more: Vec<u8>| [b"]q\x00h\x00a".to_vec(), more].concat();
    assert!(converted(&beside(own(Vec::new()))).is_ok());
    let limit = refused(&beside(own([pickle::four(), b"a".to_vec()].concat())));
    assert!(matches!(limit, Error::Limit { .. }), "{limit:?}");
    // The dict contains itself, under a key that is searched for a state dict.
    let own = [b"}q\x00".to_vec(), pickle::text("state_dict"), b"h\x00s".to_vec()].concat();
    assert!(matches!(refused(&zip_of(&own)), Error::NoTensors));
    let own = [b"}q\x00".to_vec(), pickle::text("x"), b"h\x00s".to_vec(), pickle::text("y")].concat();
    let own = [own, pickle::four(), b"s".to_vec()].concat();
    assert!(matches!(refused(&zip_of(&own)), Error::Limit { .. }));
}

#[test]
fn nested_500_000_deep() {
    // A dict takes two stack entries per level.
    let lists = |inner: &[u8], depth| [&b"]".repeat(depth), inner, &b"a".repeat(depth)].concat();
    let tuples = |inner: &[u8], depth| [inner, &b"\x85".repeat(depth)].concat();
    let class = pickle::kept(&pickle::global("my.pkg", "Box"));
    let calls =
        |inner: &[u8], depth| [&class, &b"h\x00".repeat(depth)[..], inner, &b"\x85R".repeat(depth)].concat();
    let dicts = |inner: &[u8], depth| [&b"}N".repeat(depth), inner, &b"s".repeat(depth)].concat();
    for nest in [&lists as &dyn Fn(&[u8], usize) -> Vec<u8>, &tuples, &calls, &dicts] {
        converted(&beside(nest(b"N", 100_000))).unwrap();
        for depth in [100_000, 499_990] {
            let error = refused(&beside(nest(&pickle::four(), depth)));
            let limited = |error: &Bad| matches!(error, Bad::Limit { what: "bytes of memory", .. });
            let known = matches!(error, Error::Limit { .. } | Error::Opaque { .. } | Error::Key { .. })
                || matches!(&error, Error::Pickle { source, .. } if limited(source));
            assert!(known, "{error:?}");
        }
    }
}

#[test]
fn a_million_marks() {
    assert_pickle_limit(&beside(b"(".repeat(1_000_000)), "open marks");
}

#[test]
fn a_million_values_on_the_stack() {
    assert_pickle_limit(&beside(b"N".repeat(1_000_001)), "values on the stack");
}

#[test]
fn declared_lengths_of_2_to_the_63() {
    let max = u64::MAX.to_le_bytes();
    let half = (1_u64 << 63).to_le_bytes();
    for opcode in [0x8d, 0x8e, 0x96, 0x95] {
        for len in [max, half] {
            let value = [&[opcode], len.as_slice(), b"abc"].concat();
            let error = pickle_refused(&beside(value));
            assert!(
                matches!(error, Bad::Limit { .. } | Bad::Truncated { .. } | Bad::Frame { .. }),
                "{error:?}"
            );
        }
    }
    for opcode in [b'X', b'B', b'T', 0x8b] {
        for len in [u32::MAX, 1 << 31, i32::MAX.unsigned_abs()] {
            let value = [&[opcode], len.to_le_bytes().as_slice(), b"abc"].concat();
            let error = pickle_refused(&beside(value));
            assert!(
                matches!(error, Bad::Limit { .. } | Bad::Truncated { .. } | Bad::Operand { .. }),
                "{error:?}"
            );
        }
    }
}

#[test]
fn numbers_of_two_million_digits() {
    for (start, end) in [(b'I', "\n"), (b'L', "L\n"), (b'F', "\n"), (b'p', "\n"), (b'g', "\n")] {
        let number = [vec![start], b"1".repeat(2_000_000), end.as_bytes().to_vec()].concat();
        assert_pickle_limit(&beside(number), "bytes in a line");
        let number = [vec![start], b"1".repeat(50), end.as_bytes().to_vec()].concat();
        if start != b'F' {
            assert!(matches!(pickle_refused(&beside(number)), Bad::Operand { .. }));
        }
    }
    let long = [b"\x8b".as_slice(), &1_000_000_u32.to_le_bytes(), &vec![1; 1_000_000]].concat();
    assert_pickle_limit(&beside(long), "bytes in an integer");
}

#[test]
fn the_highest_memo_index() {
    assert!(converted(&beside(b"Nr\xff\xff\xff\xff".to_vec())).is_ok());
    assert!(converted(&beside(b"Np99999999999999999\n".to_vec())).is_ok());
}

/// Returns a dict of `count` entries, each with the value in memo 0.
fn many(count: i128) -> Vec<u8> {
    let entries: Vec<_> = (0..count).map(|n| (pickle::int(n), b"h\x00".to_vec())).collect();
    pickle::dict(&entries)
}

#[test]
fn a_long_key_above_many_tensors() {
    // Half a megabyte would need 6 GB of names.
    let long = pickle::text(&"x".repeat(60_000));
    let state = pickle::dict(&[(pickle::text("w"), pickle::four()), (long, many(100_000))]);
    let object = [pickle::kept(&pickle::four()), pickle::named(&[("state_dict", state)])].concat();
    assert_limit(&zip_of(&object), "bytes of tensor names");
}

#[test]
fn a_long_class_name_of_many_objects() {
    let class = pickle::global("my.pkg", &"X".repeat(60_000));
    let objects = b"h\x00)R".repeat(100_000);
    let object = [pickle::kept(&class), b"(".to_vec(), objects, b"l".to_vec()].concat();
    let state = pickle::dict(&[(pickle::text("a"), pickle::four()), (pickle::text("b"), object)]);
    assert!(plan(&zip_of(&state)).is_ok());
    // In a dict of tensors, each is listed by its class.
    let entries = (0..100_000_i128).flat_map(|n| [pickle::int(n), b"h\x00)R".to_vec()].concat());
    let entries: Vec<u8> = entries.collect();
    let state =
        [pickle::kept(&class), b"(".to_vec(), pickle::text("a"), pickle::four(), entries, b"d".to_vec()]
            .concat();
    assert_limit(&zip_of(&state), "bytes of tensor names");
}

#[test]
fn one_dict_under_many_keys() {
    // A check of the inner dict must not be repeated for each of its 40,000 names.
    let inner = [pickle::kept(&pickle::four()), many(40_000), b"q\x000".to_vec()].concat();
    let object =
        [inner, b"(".to_vec(), pickle::text("a"), pickle::four(), many(40_000)[1..].to_vec()].concat();
    assert_ambiguous(&zip_of(&object), 40_000);
}

#[test]
fn one_dict_of_dicts_under_many_keys() {
    let inner = [pickle::kept(&pickle::four()), many(40_000)].concat();
    let with_another = [
        inner,
        b"(".to_vec(),
        pickle::text("b"),
        pickle::named(&[("c", pickle::four())]),
        b"uq\x000".to_vec(),
    ]
    .concat();
    let object =
        [with_another, b"(".to_vec(), pickle::text("a"), pickle::four(), many(40_000)[1..].to_vec()].concat();
    assert_limit(&zip_of(&object), "bytes of tensor names");
}

#[test]
fn one_dict_in_many_lists() {
    let inner = [pickle::kept(&pickle::four()), many(30_000), b"q\x000".to_vec()].concat();
    let model = pickle::named(&[("w", pickle::four())]);
    let lists: Vec<u8> =
        (0..30_000_i128).flat_map(|n| [pickle::int(n), b"]h\x00a".to_vec()].concat()).collect();
    let object = [inner, b"(".to_vec(), pickle::text("model"), model, lists, b"d".to_vec()].concat();
    assert_ambiguous(&zip_of(&object), 30_001);
}

/// Returns parameters as torch writes them: equal parts are in the memo.
fn parameters(count: u32) -> Vec<u8> {
    let shared = [
        pickle::global("torch._utils", "_rebuild_parameter"),
        pickle::global("torch._utils", "_rebuild_tensor_v2"),
        pickle::global("torch", "FloatStorage"),
        pickle::global("collections", "OrderedDict"),
        pickle::text("storage"),
        pickle::text("cpu"),
        pickle::text("0"),
    ];
    let mut object = Vec::new();
    for (at, value) in (0_u8..).zip(shared) {
        object.extend([value, vec![b'q', at, b'0']].concat());
    }
    object.extend(b"}");
    for first in (0..count).step_by(1000) {
        object.extend(b"(");
        for n in first..(first + 1000).min(count) {
            object
                .extend(pickle::text(&format!("model.layers.{n}.mlp.experts.{}.down_proj.weight", n % 128)));
            // Each has its own string as a key, and its own tuples.
            let storage = b"((h\x04h\x02X\x01\0\0\x000h\x05K\x04tQ";
            object.extend(
                [b"h\x00(h\x01", storage.as_slice(), b"K\0K\x02K\x02\x86K\x02K\x01\x86\x89"].concat(),
            );
            object.extend(b"h\x03)RtR\x89h\x03)RtR");
        }
        object.extend(b"u");
    }
    zip_of(&object)
}

#[test]
fn what_real_checkpoints_hold_is_within_the_limits() {
    let planned = |count| checkpoint::plan(&parameters(count), &Options::default());
    assert_eq!(planned(20_000).unwrap().tensors.len(), 20_000);
    assert_eq!(planned(200_000).unwrap().tensors.len(), 200_000);
    // Twice as many would not fit.
    match planned(400_000) {
        Err(Error::Pickle { source: Bad::Limit { what, .. }, .. }) => assert_eq!(what, "bytes of memory"),
        other => panic!("{other:?}"),
    }
}
