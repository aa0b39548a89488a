//! Any bytes as a Git LFS pointer: the canonical text of what was read is read as the same.
#![no_main]

#[expect(dead_code, reason = "each target is one function of the seven")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read_pointer(bytes));
