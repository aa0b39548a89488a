//! Tests the memory for a hostile pickle: the program runs with little address space, and refuses the file.

use std::fs;

use super::Model;
use crate::checkpoint::{pickle, zip_of};
use crate::sandbox::BIN;

/// The bound that `docs/attacks.md` states, in KiB.
const BOUND: u32 = 1 << 20;

/// Returns the reason for which a process with this limit refuses a file.
#[track_caller]
fn refused(value: Vec<u8>) -> String {
    let model = Model::new();
    let object = pickle::named(&[("a", pickle::four()), ("b", value)]);
    fs::write(model.at("hostile.bin"), zip_of(&object)).unwrap();
    let script = format!("ulimit -v {BOUND} && exec '{BIN}' inspect --summary hostile.bin");
    let run = super::finish(model.command("sh", &model.dir).args(["-c", &script]));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("exceeds the limit of "), "{run:?}");
    run.stderr
}

#[test]
fn eight_million_values_and_what_they_hold() {
    // Each opcode creates a value with memory of its own.
    let tuples = refused([b"N".to_vec(), b"\x85".repeat(19_000_000)].concat());
    assert!(tuples.contains("bytes of memory"), "{tuples}");
    let objects = refused([pickle::global("my.pkg", "Box"), b")R".repeat(9_000_000)].concat());
    assert!(objects.contains("bytes of memory"), "{objects}");
    let numbers = refused([b"K\x010".repeat(9_000_000), b"N".to_vec()].concat());
    assert!(numbers.contains("8000000 values"), "{numbers}");
}

#[test]
fn a_memo_of_millions() {
    let puts = (0..10_000_000_u32).flat_map(|n| {
        let [a, b, c, d] = (2 * n + 5).to_le_bytes();
        [b'r', a, b, c, d]
    });
    let memo = refused([b"N".to_vec(), puts.collect()].concat());
    assert!(memo.contains("bytes of memory"), "{memo}");
}

#[test]
fn a_dict_of_millions_beside_them() {
    // Every key of a dict with a tensor is compared, named and listed.
    let mut object = [b"N".to_vec(), b"\x85".repeat(5_000_000), b"0".to_vec(), pickle::kept(b"N")].concat();
    object.extend(b"}(");
    object.extend([pickle::text("t"), pickle::four(), b"u".to_vec()].concat());
    for first in (0..2_000_000).step_by(400_000) {
        object.push(b'(');
        for key in first..first + 400_000 {
            object.extend([pickle::int(key), b"h\x00".to_vec()].concat());
        }
        object.push(b'u');
    }
    let early = refused(object);
    assert!(early.contains("bytes of memory"), "{early}");
}
