//! Any bytes as a shard index: what was read and written is read as the same.
#![no_main]

#[expect(dead_code, reason = "each target is one function of the seven")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::shard_index(bytes));
