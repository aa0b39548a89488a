//! Replays the fuzz targets: the findings in `fuzz/artifacts`, and mutations of every fixture, the same in each run.
//!
//! `docs/fuzzing.md` describes the targets under libFuzzer. A finding stays as a file of `fuzz/artifacts/TARGET`.

#[path = "inputs.rs"]
mod inputs;
mod seeds;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use inputs::TARGETS;
use seeds::{Random, artifacts, cuts, flips, splices};

/// The time for the mutations of one target; in their order, the last ones are only more of the same.
const BUDGET: Duration = Duration::from_secs(6);
/// An input that takes longer is also a finding.
const ONE: Duration = Duration::from_secs(2);

/// Runs a target on one input; a panic or a long run becomes a message that contains the input.
fn check(name: &str, run: fn(&[u8]), input: &[u8], what: &str) {
    let start = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| run(input)));
    let took = start.elapsed();
    if ended.is_err() || took > ONE {
        let path = std::env::temp_dir().join(format!("{name}-{:x}", crc32fast::hash(input)));
        std::fs::write(&path, input).unwrap();
        panic!("{name}: {what} panics or takes {took:?}: {}", path.display());
    }
}

#[test]
fn findings_stay_fixed() {
    for target in &TARGETS {
        for (path, bytes) in artifacts(target.name) {
            check(target.name, target.run, &bytes, &path);
        }
    }
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds::of(name);
    assert!(!seeds.is_empty(), "no seeds for {name}");
    let start = Instant::now();
    let mut random = Random::new(name);
    let mut count = 0;
    for (path, bytes) in &seeds {
        check(name, target.run, bytes, path);
    }
    // First the files are cut at every position, the small ones first; then bytes are changed and parts moved, in
    // rounds.
    for (path, bytes) in &seeds {
        for input in cuts(bytes) {
            check(name, target.run, &input, path);
            count += 1;
        }
        if start.elapsed() > BUDGET / 2 {
            break;
        }
    }
    while start.elapsed() < BUDGET && count < 60_000 {
        for (index, (path, bytes)) in seeds.iter().enumerate() {
            let other = &seeds[(index + 1 + count % 7) % seeds.len()].1;
            for input in flips(bytes, &mut random).into_iter().chain(splices(bytes, other, &mut random)) {
                check(name, target.run, &input, path);
                count += 1;
            }
        }
    }
    assert!(count > 1_000, "only {count} mutations of {name}");
}

#[test]
fn mutations_of_checkpoints() {
    replay("plan");
}

#[test]
fn mutations_of_archives() {
    replay("zip");
}

#[test]
fn mutations_of_legacy_streams() {
    replay("legacy");
}

#[test]
fn mutations_of_files_to_scan() {
    replay("scan");
}

#[test]
fn mutations_of_pickles() {
    replay("pickle");
}

#[test]
fn mutations_of_texts() {
    for name in ["header", "pointer", "attributes", "shard_index"] {
        replay(name);
    }
}

#[test]
fn headers_that_lie() {
    let tensor = |shape: &str, begin: u64, end: u64| {
        format!(r#"{{"dtype":"U64","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    };
    // Eight tensors have the maximum length, and a ninth ends at the largest number: with the header it overflows.
    let eighth = (1_u64 << 61) - 8;
    let ends = (0..=8).map(|n| n * eighth).chain([u64::MAX - 7]).collect::<Vec<_>>();
    let names = ends.windows(2).map(|ends| {
        let units = (ends[1] - ends[0]) / 8;
        format!(r#""t{}":{}"#, ends[0], tensor(&format!("[{units}]"), ends[0], ends[1]))
    });
    let overflow = format!("{{{}}}", names.collect::<Vec<_>>().join(","));
    for json in [
        overflow,
        format!(r#"{{"a":{}}}"#, tensor("[18446744073709551615,18446744073709551615]", 0, 8)),
        format!(r#"{{"a":{}}}"#, tensor("[1]", 8, 0)),
        format!(r#"{{"a":{},"b":{}}}"#, tensor("[1]", 0, 8), tensor("[1]", 4, 12)),
        format!(r#"{{"a":{},"b":{}}}"#, tensor("[1]", 0, 8), tensor("[1]", 16, 24)),
        format!(r#"{{"a":{}}}"#, tensor("[2]", 0, 8)),
        "[".repeat(100_000),
    ] {
        let file = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 8]].concat();
        assert!(git_st_convert::safetensors::read(&file).is_err(), "{json}");
    }
    for len in [u64::MAX, 1 << 63, 100_000_001, 100_000_000] {
        let file = [&len.to_le_bytes()[..], b"{}"].concat();
        assert!(git_st_convert::safetensors::read(&file).is_err(), "{len}");
    }
}
