//! Treats the bytes as a legacy PyTorch file after its preamble: the object, the list of keys, the storages.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::legacy(bytes));
