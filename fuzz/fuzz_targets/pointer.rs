//! Treats the bytes as a Git LFS pointer: its canonical text is read as the same pointer.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::read_pointer(bytes));
