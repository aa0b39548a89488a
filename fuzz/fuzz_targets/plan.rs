//! Treats the bytes as a checkpoint: plan, check, inflate, ties, layout, write; the reference crate reads the output.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::plan(bytes));
