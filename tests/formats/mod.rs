//! Compares the reader and the writer with the reference, for every fixture of `tests/fixtures/expected.json`.
//!
//! torch and `safetensors.torch.save_file` wrote the files with the expected SHA-256; see `make_checkpoints.py`.

mod agreement;
mod forms;
mod headers;
mod options;
mod pickled;
mod plain;
pub(crate) mod scripts;
mod second_opinion;
mod trainers;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::PathBuf;

use git_st_convert::hash::Oid;
use git_st_convert::{convert_file, recipe};
use serde::Deserialize;

/// The reference's result for a fixture.
#[derive(Debug, Deserialize)]
pub(crate) struct Expected {
    pub(crate) note: String,
    pub(crate) format: Option<String>,
    #[serde(default)]
    pub(crate) generated: bool,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    pub(crate) config: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) dropped: Option<BTreeMap<String, String>>,
    pub(crate) refused: Option<String>,
}

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Returns the table of fixtures.
pub(crate) fn expected() -> BTreeMap<String, Expected> {
    let text = std::fs::read(fixtures().join("expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Converts bytes in memory.
fn convert(
    bytes: &[u8],
    key: Option<&str>,
    class: Option<&str>,
    format: Option<&str>,
) -> Result<(Vec<u8>, BTreeMap<String, String>), String> {
    let mut options = recipe::Options::default();
    options.checkpoint.key = key.map(str::to_owned);
    options.class = class.map(str::to_owned);
    let mut out = Vec::new();
    let report = convert_file(&bytes.to_vec(), &mut out, &options).map_err(|error| match &error {
        recipe::Error::Dangerous { global, .. } => format!("dangerous {global}"),
        error => format!("{error}{}", error.source().map(|cause| format!(": {cause}")).unwrap_or_default()),
    })?;
    if let Some(format) = format {
        assert_eq!(report.format, format);
    }
    assert_eq!((report.oid, report.size), (Oid::of(&out), out.len() as u64));
    assert_eq!(report.source_oid, Oid::of(bytes));
    Ok((out, report.dropped))
}

fn key_of(args: &[String]) -> Option<&str> {
    args.iter().position(|arg| arg == "--key").map(|at| args[at + 1].as_str())
}

#[test]
fn every_fixture_converts_to_the_reference_s_bytes() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (file, expected) in
        expected().iter().filter(|(_, expected)| expected.sha256.is_some() && !expected.generated)
    {
        count += 1;
        let bytes = std::fs::read(fixtures().join("checkpoints").join(file)).unwrap();
        match convert(&bytes, key_of(&expected.args), expected.config.as_deref(), expected.format.as_deref())
        {
            Err(error) => wrong.push(format!("{file}: refused: {error} ({})", expected.note)),
            Ok((out, dropped)) => {
                let oid = Oid::of(&out).to_string();
                if Some(&oid) != expected.sha256.as_ref() || Some(out.len() as u64) != expected.size {
                    wrong.push(format!(
                        "{file}: {} bytes, expected {:?} ({})",
                        out.len(),
                        expected.size,
                        expected.note
                    ));
                }
                if Some(&dropped) != expected.dropped.as_ref() {
                    wrong.push(format!("{file}: dropped {dropped:?}, expected {:?}", expected.dropped));
                }
                ::safetensors::SafeTensors::deserialize(&out).expect("the reference crate reads it");
            }
        }
    }
    assert!(count > 100, "only {count} fixtures");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_hostile_fixture_is_refused_with_its_reason() {
    /// A part of the message for each kind of refusal.
    const REASONS: &[(&str, &[&str])] = &[
        ("sparse", &["sparse"]),
        ("quantized", &["quantized"]),
        ("dtype", &["complex128", "complex32"]),
        ("meta", &["meta tensor"]),
        ("nested", &["nested"]),
        ("torchscript", &["TorchScript"]),
        ("module-hooks", &["hooks that change its state dict"]),
        ("module-parameter", &["a parameter that is not a tensor"]),
        ("module-parameters", &["non-dict parameters"]),
        ("module-state", &["a state that is not an nn.Module state"]),
        ("module-cycle", &["contains itself"]),
        ("module-quantized", &["of a quantized or pruned model"]),
        ("ambiguous", &["2 state dicts", "20 state dicts"]),
        ("beside", &["outside of the state dict"]),
        ("state", &["only training state"]),
        ("name", &["__metadata__", "a tensor key in"]),
        ("unknown-call", &["pickle calls", "the checkpoint is a pickled"]),
        ("dangerous-call", &["dangerous"]),
        (
            "truncated",
            &[
                "is truncated",
                "ends at byte",
                "cannot read the zip archive",
                "truncated zip archive",
                "ambiguous",
            ],
        ),
        ("crc", &["CRC-32"]),
        ("short-record", &["; the pickle declares"]),
        ("missing-record", &["the archive has no record"]),
        ("view-outside", &["past the end of its storage"]),
        ("storage-dtype", &["declared twice"]),
        ("zip-layout", &["ambiguous", "is missing", "duplicate"]),
        ("empty", &["empty file"]),
        ("html", &["web page"]),
        ("lfs-pointer", &["LFS pointer"]),
        ("not-a-checkpoint", &["found: unknown format", "found: pickle without tensors"]),
        ("all-empty", &["tensors are empty"]),
        ("foreign", &["not a PyTorch checkpoint (found: "]),
        ("wrapped", &["is an object of class `"]),
        ("numpy", &["numpy array"]),
        ("device", &["device tensor of another dtype"]),
        ("tensor-state", &["changed by a state that torch does not give"]),
        ("tar", &["tar archive"]),
    ];
    let mut wrong = Vec::new();
    for (file, expected) in expected() {
        let Some(kind) = expected.refused else { continue };
        let bytes = std::fs::read(fixtures().join("checkpoints").join(&file)).unwrap();
        let (_, reasons) = REASONS.iter().find(|(name, _)| *name == kind).unwrap_or_else(|| panic!("{kind}"));
        match convert(&bytes, key_of(&expected.args), None, None) {
            Ok(_) => wrong.push(format!("{file}: converted ({})", expected.note)),
            Err(error) if reasons.iter().any(|reason| error.contains(reason)) => {}
            Err(error) => wrong.push(format!("{file}: {kind}: {error} ({})", expected.note)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
