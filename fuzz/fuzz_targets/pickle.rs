//! Any bytes as a pickle: every id of the arena is valid, and reading is repeatable.
#![no_main]

#[expect(dead_code, reason = "each target is one function of the seven")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read_pickle(bytes));
