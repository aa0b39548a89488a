//! Treats the bytes as a path and an attributes file: an appended entry keeps every byte, and is added once.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::append(bytes));
