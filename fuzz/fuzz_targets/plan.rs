//! Any bytes as a checkpoint: plan, prove, inflate, ties, layout, write; the reference crate reads what comes out.
#![no_main]

#[expect(dead_code, reason = "each target is one function of the seven")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::plan(bytes));
