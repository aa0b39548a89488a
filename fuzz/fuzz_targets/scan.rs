//! Treats the bytes as a file to scan: the verdicts, the positions, and the verdict by the first bytes.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::look(bytes));
