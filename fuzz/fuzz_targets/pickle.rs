//! Treats the bytes as a pickle: every id of the arena is valid, and a second read gives the same.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read_pickle(bytes));
