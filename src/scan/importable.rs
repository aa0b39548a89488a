//! Decides if a global can be imported. In a list of words it rarely can: `cos`, `tan`, `sin` in lines are the global
//! `os.tan`, and the module has no such name.
//!
//! A reader imports the module and reads the name from it, and fails without having run anything if either does not
//! exist. If a walk over a text finds no other feature of a pickle (no call, no opcode that texts do not contain), this
//! module decides. A global then counts if its module is one that loaders have: a module of Python's standard library
//! or of the packages of model code. If the module and the opcode before it form a word (`cos`, `int`, `cast`), the
//! module must also have the name (`module_words.tsv`, made by `tests/fixtures/make_module_words.py`).
//!
//! Limit: modules next to the program are not known. A text whose first lines are the name of such a module and a word,
//! without a call, is clean.

use std::collections::HashMap;
use std::sync::LazyLock;

use bstr::ByteSlice as _;

use super::content::controls;

/// Packages that are usually installed where models are loaded, in addition to the standard library.
#[rustfmt::skip]
const PACKAGES: &[&str] = &[
    "accelerate", "aiohttp", "boto3", "botocore", "catboost", "cffi", "cloudpickle", "cupy", "cv2", "dask", "datasets",
    "detectron2", "diffusers", "dill", "einops", "fairseq", "fastai", "flax", "fsspec", "gensim", "google", "gym", "gymnasium",
    "huggingface_hub", "IPython", "ipykernel", "jax", "jaxlib", "joblib", "keras", "lightgbm", "lightning", "matplotlib",
    "mmcv", "mmengine", "monai", "nltk", "nose", "numba", "numexpr", "numpy", "omegaconf", "onnx", "onnxruntime", "pandas",
    "paramiko", "peft", "PIL", "pip", "pkg_resources", "psutil", "pydantic", "pytest", "pytorch_lightning", "regex",
    "requests", "safetensors", "scipy", "sentencepiece", "setuptools", "six", "skimage", "sklearn", "spacy", "speechbrain",
    "sympy", "tensorflow", "timm", "tokenizers", "torch", "torchaudio", "torchtext", "torchvision", "tqdm", "transformers",
    "triton", "ultralytics", "urllib3", "virtualenv", "wheel", "xgboost", "yaml",
];

/// The standard library: each module with the names that a list of words can spell; an empty list means all names.
static LIBRARY: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    include_str!("module_words.tsv").lines().filter_map(|line| line.split_once('\t')).collect()
});

/// No module of the library has a longer name. A longer one, such as a line of text, is not hashed.
const LONGEST: usize = 64;

/// How far a reader gets that looks up a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Importable {
    /// No module can have this name.
    Never,
    /// A module could have this name on some machine.
    Perhaps,
    /// The module exists, the name does not.
    Module,
    /// Both exist, or may exist.
    Name,
}

pub(super) fn importable(module: &str, name: &str) -> Importable {
    // The character that stands for damaged bytes; few texts have its first byte.
    let is_damaged = |text: &str| text.as_bytes().find_byte(0xef).is_some() && text.contains('\u{fffd}');
    let is_noise = |text: &str| controls(text.as_bytes()).next().is_some() || is_damaged(text);
    if module.is_empty() || is_noise(module) || is_noise(name) {
        return Importable::Never;
    }
    let top = module.split('.').next().unwrap_or_default();
    let listed = if top.len() <= LONGEST { LIBRARY.get(top) } else { None };
    match listed {
        Some(names) if top == module && !names.is_empty() => {
            let first = name.split('.').next().unwrap_or_default();
            if names.split(' ').any(|name| name == first) { Importable::Name } else { Importable::Module }
        }
        Some(_) => Importable::Name,
        None if PACKAGES.contains(&top) => Importable::Name,
        None => Importable::Perhaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_library_is_looked_up() {
        assert!(LIBRARY.keys().all(|module| module.len() <= LONGEST));
    }

    #[test]
    fn words_are_no_names_of_modules() {
        use Importable::{Module, Name, Never, Perhaps};
        for (module, name, expected) in [
            ("os", "system", Name),
            ("os", "tan", Module),
            ("os", "_exit", Name),
            ("os.path", "join", Name),
            ("os", "path.join", Name),
            ("os", "", Module),
            ("os", "a b", Module),
            ("os", "tan2", Module),
            ("math", "cmd", Module),
            ("subprocess", "Po pen", Name),
            ("posix", "system", Name),
            ("nt", "system", Name),
            ("__builtin__", "eval", Name),
            ("commands", "getoutput", Name),
            ("torch", "load", Name),
            ("at", "dog", Perhaps),
            ("", "x", Never),
            ("o\0s", "system", Never),
            ("os", "sys\u{1}tem", Never),
        ] {
            assert_eq!(importable(module, name), expected, "{module:?} {name:?}");
        }
    }
}
