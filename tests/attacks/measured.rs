//! Measures the cost of every hostile input: the program reads each in its own process, whose resources are limited.
//!
//! The attacks run once more with [`INTO`] set, so that each test writes its inputs into files, which are then
//! measured. The module also compares `docs/attacks.md` with the tests.
#![expect(clippy::disallowed_methods, reason = "the tests are run again, and the program beside them")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The variable with the directory for the inputs.
const INTO: &str = "ST_CONVERT_ATTACKS_INTO";
/// The minimum number of inputs.
const INPUTS: usize = 500;

/// Writes an input into a file, under the name of its test.
pub(super) fn record(file: &[u8]) {
    let Some(dir) = std::env::var_os(INTO) else { return };
    let test = std::thread::current().name().unwrap_or("main").replace("::", ".");
    let name = format!("{}-{:08x}", test.trim_start_matches("attacks."), crc32fast::hash(file));
    fs::write(Path::new(&dir).join(name), file).unwrap();
}

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path, all: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Returns the names of the tests in a source text.
fn tests(text: &str) -> BTreeSet<&str> {
    let after = text.split("#[test]\n").skip(1);
    after.filter_map(|rest| rest.trim_start().strip_prefix("fn ")?.split('(').next()).collect()
}

#[test]
fn the_table_names_every_attack_and_nothing_else() {
    let table = fs::read_to_string(package().join("docs/attacks.md")).unwrap();
    let mut own = String::new();
    sources(&package().join("tests/attacks"), &mut own);
    let measured = fs::read_to_string(package().join("tests/attacks/measured.rs")).unwrap();
    let mut no_attacks = tests(&measured);
    no_attacks.extend(["benign", "what_real_checkpoints_hold_is_within_the_limits"]);
    no_attacks.extend([
        "a_module_as_torch_saves_it",
        "a_script_as_torch_saves_it",
        "an_archive_as_torch_wrote_it",
        "an_array_as_numpy_pickles_it",
    ]);
    let missing: Vec<_> = tests(&own)
        .into_iter()
        .filter(|test| !no_attacks.contains(test) && !table.contains(&format!("`{test}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/attacks.md: {missing:?}");
    let mut all = own.clone();
    sources(&package().join("tests"), &mut all);
    sources(&package().join("src"), &mut all);
    let known = tests(&all);
    let rows = table.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let named = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let named = named.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let unknown: Vec<_> = named.filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "docs/attacks.md names no tests: {unknown:?}");
}

#[cfg(all(target_os = "linux", feature = "cli"))]
mod costs {
    use std::process::Command;

    use super::{INPUTS, INTO, fs};
    use crate::sandbox::{BIN, Sandbox};

    /// The memory of a process in KiB: its allocations, and the stacks of its threads.
    const MEMORY: u32 = 64 << 10;
    /// The processor time of a process in seconds; the program is built without optimization.
    const SECONDS: u32 = 2;

    #[test]
    fn every_input_is_read_and_converted_or_refused_within_64_mib_and_2_seconds() {
        let sandbox = Sandbox::new();
        let inputs = sandbox.path("inputs");
        fs::create_dir(&inputs).unwrap();
        let again = Command::new(std::env::current_exe().unwrap())
            .args(["attacks::", "--skip", "attacks::measured", "--test-threads", "2"])
            .env(INTO, &inputs)
            .output()
            .unwrap();
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
        let mut paths: Vec<_> = fs::read_dir(&inputs).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(paths.len() >= INPUTS, "only {} inputs", paths.len());
        let mut wrong = Vec::new();
        let limits = format!("ulimit -d {MEMORY} && ulimit -t {SECONDS}");
        for command in ["inspect --summary", "-f -o converted.safetensors"] {
            let script = format!("{limits} && exec \"$0\" {command} \"$1\"");
            for path in &paths {
                let args = ["-c".as_ref(), script.as_ref(), BIN.as_ref(), path.as_os_str()];
                let run = sandbox.command("sh".as_ref(), &inputs, &args).output().unwrap();
                let stderr = String::from_utf8_lossy(&run.stderr);
                if !matches!(run.status.code(), Some(0 | 1)) || stderr.contains("panicked") {
                    wrong.push(format!("{command} {}: {:?}: {stderr}", path.display(), run.status));
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), paths.len(), wrong.join("\n"));
    }
}
