//! Any bytes as a path and a file of attributes: appending keeps every byte, and is done once.
#![no_main]

#[expect(dead_code, reason = "each target is one function of the seven")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::append(bytes));
