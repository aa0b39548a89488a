//! Any bytes as a zip archive: planned with its local headers and without, which gives the same or is found out.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::zip(bytes));
