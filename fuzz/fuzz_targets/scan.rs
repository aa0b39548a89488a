//! Any bytes as a file to be scanned: verdicts, places, and the judgement by the first bytes.
#![no_main]

#[expect(dead_code, reason = "each target is one function of all")]
#[path = "../../tests/fuzzed/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::look(bytes));
