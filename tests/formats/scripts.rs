//! Compares `TorchScript` archives with torch, for every entry of `tests/fixtures/scripts.json`.
//!
//! The entries are those of `torch.jit.load(file).state_dict()`, in its order; see `make_scripts.py`.

use std::collections::BTreeMap;

use git_st_convert::checkpoint::{self, Options};
use git_st_convert::hash::Oid;
use git_st_convert::read_at::Joined;
use git_st_convert::safetensors::{self, Layout};
use git_st_convert::scan;
use serde::Deserialize;

use super::{convert, fixtures};

/// The contents of an archive by torch, and the reference's result.
#[derive(Debug, Deserialize)]
pub(crate) struct Script {
    /// Name, dtype, shape, and SHA-256 of the bytes.
    #[serde(default)]
    tensors: Vec<(String, String, Vec<u64>, String)>,
    dropped: Option<BTreeMap<String, String>>,
    pub(crate) sha256: Option<String>,
    size: Option<u64>,
    /// The number of tensors of each module in it, by its dotted name.
    #[serde(default)]
    modules: BTreeMap<String, usize>,
    pub(crate) refused: Option<String>,
    note: String,
}

pub(crate) fn scripts() -> BTreeMap<String, Script> {
    serde_json::from_slice(&std::fs::read(fixtures().join("scripts.json")).unwrap()).unwrap()
}

pub(crate) fn archive(path: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("scripts").join(path)).unwrap()
}

/// Returns every tensor of the plan, including tied ones: its name, dtype, shape and the SHA-256 of its bytes.
fn tensors(bytes: &[u8], key: Option<&str>) -> Vec<(String, String, Vec<u64>, String)> {
    let source = bytes.to_vec();
    let plan = checkpoint::plan(&source, &Options::with_key(key)).unwrap();
    assert_eq!(plan.key, key.unwrap_or_default());
    let all: Vec<usize> = (0..plan.tensors.len()).collect();
    let layout = Layout::new(&plan, &all, &BTreeMap::new()).unwrap();
    let mut inflated = Vec::new();
    checkpoint::inflate(&source, &plan, &mut inflated).unwrap();
    let mut out = Vec::new();
    safetensors::write(&layout, &plan, &Joined::new(&source, &inflated), &mut out).unwrap();
    let read = ::safetensors::SafeTensors::deserialize(&out).unwrap();
    let tensor = |tensor: &checkpoint::Tensor| {
        let view = read.tensor(&tensor.name).unwrap();
        let dtype = format!("{:?}", view.dtype());
        let shape = view.shape().iter().map(|&size| size as u64).collect();
        (tensor.name.clone(), dtype, shape, Oid::of(view.data()).to_string())
    };
    plan.tensors.iter().map(tensor).collect()
}

/// Returns the safetensors name of a dtype of torch.
fn dtype(name: &str) -> String {
    let known = [
        ("bool", "BOOL"),
        ("complex64", "C64"),
        ("bfloat16", "BF16"),
        ("float8_e4m3fn", "F8_E4M3"),
        ("uint8", "U8"),
        ("int8", "I8"),
        ("float8_e8m0fnu", "F8_E8M0"),
    ];
    match known.iter().find(|(torch, _)| *torch == name) {
        Some((_, own)) => (*own).to_owned(),
        None if name.starts_with("float8") => name.to_uppercase().replace("FLOAT8", "F8"),
        None => name.to_uppercase().replace("UINT", "U").replace("INT", "I").replace("FLOAT", "F"),
    }
}

#[test]
fn every_script_has_the_state_dict_that_torch_loads() {
    let mut wrong = Vec::new();
    let (mut count, mut refused) = (0, 0);
    for (path, expected) in scripts() {
        let bytes = archive(&path);
        let converted = convert(&bytes, None, None, Some("torchscript"));
        if let Some(reason) = expected.refused {
            refused += 1;
            match converted {
                Err(error) if error.contains(&reason) => {}
                Err(error) => wrong.push(format!("{path}: {error}, expected {reason}")),
                Ok(_) => wrong.push(format!("{path}: converted, expected {reason}")),
            }
            continue;
        }
        count += 1;
        match converted {
            Err(error) => wrong.push(format!("{path}: refused: {error} ({})", expected.note)),
            Ok((out, dropped)) => {
                let made = (Some(Oid::of(&out).to_string()), Some(out.len() as u64), Some(dropped));
                if made != (expected.sha256, expected.size, expected.dropped.clone()) {
                    wrong.push(format!(
                        "{path}: {made:?}, expected {:?} ({})",
                        expected.dropped, expected.note
                    ));
                }
                let named = expected
                    .tensors
                    .into_iter()
                    .map(|(name, of, shape, sha256)| (name, dtype(&of), shape, sha256));
                let (named, found) = (named.collect::<Vec<_>>(), tensors(&bytes, None));
                if found != named {
                    wrong.push(format!("{path}: {found:?}, expected {named:?} ({})", expected.note));
                }
            }
        }
    }
    assert!(count >= 60 && refused >= 25, "only {count} archives, and {refused} that are refused");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Keys that are not valid: no module, a tensor, an attribute that is not a module, a module with another name.
const NO_MODULES: &[(&str, &[&str])] = &[
    (
        "2.9/nested.pt",
        &["head", "mean", "first.scale", "first.inner.weight", "fir", "first.", ".first", "first..inner", ""],
    ),
    ("2.9/attributes.pt", &["plain", "list", "list.0", "by_name", "nothing"]),
];

#[test]
fn every_module_of_a_script_is_taken_by_its_key() {
    let mut count = 0;
    for (path, expected) in scripts() {
        let bytes = archive(&path);
        for (key, &own) in &expected.modules {
            count += 1;
            let below = format!("{key}.");
            let named: Vec<_> = expected
                .tensors
                .iter()
                .filter_map(|(name, of, shape, sha256)| {
                    let name = name.strip_prefix(&below)?.to_owned();
                    Some((name, dtype(of), shape.clone(), sha256.clone()))
                })
                .collect();
            assert_eq!(named.len(), own, "{path}: {key}");
            assert_eq!(tensors(&bytes, Some(key)), named, "{path}: {key} ({})", expected.note);
        }
    }
    assert!(count >= 200, "only {count} modules");
    for (path, keys) in NO_MODULES {
        for key in *keys {
            match checkpoint::plan(&archive(path), &Options::with_key(Some(key))) {
                Err(checkpoint::Error::NoSuchKey { key: found }) => assert_eq!(found, *key),
                other => panic!("{path}: {key}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_beside_the_module_of_a_key_is_listed() {
    let plan =
        checkpoint::plan(&archive("2.9/nested.pt"), &Options::with_key(Some("by_name.right.0"))).unwrap();
    let ignored: Vec<_> = plan.ignored.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(ignored, ["head", "mean", "first", "blocks", "by_name.left", "."]);
}

/// torch's own `_is_torchscript_zip` decides by the record `constants.pkl`.
#[test]
fn archives_of_code_are_told_from_those_of_tensors() {
    for (path, _) in scripts() {
        assert!(checkpoint::is_torch_script(&archive(&path)), "{path}");
    }
    let mut zips = 0;
    for (file, expected) in super::expected() {
        let path = fixtures().join("checkpoints").join(&file);
        if expected.format.as_deref() == Some("zip") && path.exists() {
            zips += 1;
            assert!(!checkpoint::is_torch_script(&std::fs::read(path).unwrap()), "{file}");
        }
    }
    assert!(zips >= 50, "only {zips} archives of tensors");
    for other in [&b""[..], b"PK\x03\x04", b"\x80\x02}q\0."] {
        assert!(!checkpoint::is_torch_script(&other.to_vec()));
    }
}

#[test]
fn every_script_is_unknown_to_scan_and_nothing_worse() {
    for (path, _) in scripts().iter().filter(|(_, expected)| expected.refused.is_none()) {
        let report = scan::scan(&archive(path), &scan::Limits::default()).unwrap();
        assert_eq!(report.verdict, scan::Verdict::Unknown, "{path}: {report:?}");
        assert_eq!(report.content, scan::Content::TorchScript, "{path}");
    }
}
