//! Treats the bytes as a zip archive: the plan without local headers is the same, or the check finds the difference.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::zip(bytes));
