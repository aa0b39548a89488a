//! Finds the layers of Keras with code in the configuration of a model: `config.json` of a Keras archive, or a text in
//! an HDF5 file.
//!
//! Sources: `deserialize_keras_object` of `keras.saving` (a class of any module is imported by its name; Keras 3.0 to
//! 3.8 call it), `Lambda`, `TorchModuleWrapper`, `JaxLayer`, `FlaxLayer`, `TFSMLayer`.

use std::io;

use bstr::ByteSlice as _;

use super::{Verdict, json, names};
use crate::read_at::ReadAt;

/// Classes whose configuration contains marshalled Python code or a pickle.
const CODE: [&str; 3] = ["Lambda", "__lambda__", "TorchModuleWrapper"];
/// Classes whose configuration names functions or another model.
const NAMED: [&str; 5] = ["TFOpLambda", "SlicingOpLambda", "JaxLayer", "FlaxLayer", "TFSMLayer"];
/// The packages of Keras.
const PACKAGES: [&str; 5] =
    ["keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras", "keras_core"];
/// Their modules of things that a configuration contains.
#[rustfmt::skip]
const MODULES: &[&str] = &[
    "", "activations", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "models", "ops",
    "optimizers", "random", "regularizers", "engine", "applications",
];
/// The most characters of a name in a report.
const NAME: usize = 200;
/// How often an object may repeat a key.
const REPEATED: usize = 8;
/// How many bytes of a file are searched at once, and how many of the next ones a configuration may continue in.
const WINDOW: u64 = 8 << 20;
const LONGEST: u64 = 16 << 20;

/// The name of a class or function, if it has one, and the verdict on it.
pub(super) type KerasCode = (Option<String>, Verdict);

/// Returns the code of an object of a configuration: those for which Keras imports a class have both keys.
pub(super) fn of_object(object: &json::Object) -> Vec<KerasCode> {
    if !object.has("config") {
        return Vec::new();
    }
    let mut found = Vec::new();
    if object.texts("class_name").count().max(object.texts("module").count()) > REPEATED {
        return vec![(None, Verdict::Unknown)];
    }
    for class in object.texts("class_name") {
        if CODE.contains(&class) || NAMED.contains(&class) {
            let verdict = if CODE.contains(&class) { Verdict::Dangerous } else { Verdict::Unknown };
            found.push((Some(class.to_owned()), verdict));
        }
        // A function is named by its configuration.
        let functions = object.texts("config").filter(|_| class == "function");
        for name in functions.chain((class != "function").then_some(class)) {
            for module in object.texts("module").filter(|module| !is_of_keras(module)) {
                let verdict = names::judge(module, name).max(Verdict::Unknown);
                // Keras writes functions of the user as those of `builtins`, and looks them up by their names.
                if module == "builtins" && verdict < Verdict::Dangerous {
                    continue;
                }
                let name = shortened(&format!("{module}.{name}"));
                found.push((Some(name), verdict));
            }
        }
    }
    found
}

/// Returns `true` for a module of Keras that contains only layers and their parts.
fn is_of_keras(module: &str) -> bool {
    if ["keras_hub.", "keras_nlp.", "keras_cv."].iter().any(|package| module.starts_with(package)) {
        return true;
    }
    let below = PACKAGES.iter().find_map(|package| {
        let rest = module.strip_prefix(package)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }
    });
    let below = below.map(|below| below.strip_prefix("src.").unwrap_or(below));
    below.is_some_and(|below| {
        let mut parts = below.split('.');
        // The optimizers of a backend are below it.
        let first = parts.next().filter(|first| *first != "backend").or_else(|| parts.nth(1));
        first.is_some_and(|first| MODULES.contains(&first))
    })
}

/// Returns the code in the configurations that the first `len` bytes of a file contain somewhere.
pub(super) fn of_bytes(source: &dyn ReadAt, len: u64) -> io::Result<Vec<KerasCode>> {
    let mut found = Vec::new();
    let len = source.len().min(len);
    let mut at = 0;
    while at < len {
        let end = at.saturating_add(WINDOW).min(len);
        let window = source.read_vec_at(at, usize::try_from(end.saturating_sub(at)).unwrap_or(0))?;
        let mut begin = 0;
        while let Some(brace) = window.get(begin..).and_then(|rest| rest.find_byte(b'{')) {
            let here = begin.saturating_add(brace);
            let text = window.get(here..).unwrap_or_default();
            let walked = match text.get(1..).unwrap_or_default().trim_ascii_start().first() {
                // What the window cuts off is read with what follows it.
                None | Some(b'"') => {
                    let offset = at.saturating_add(u64::try_from(here).unwrap_or(u64::MAX));
                    walk(text, &mut found).map_or_else(|| walk_on(source, offset, &mut found), Ok)?
                }
                Some(_) => 1,
            };
            begin = here.saturating_add(walked.max(1));
        }
        at = at.saturating_add(u64::try_from(begin.max(window.len())).unwrap_or(u64::MAX));
    }
    found.dedup();
    Ok(found)
}

/// Adds the code in a text. `None` if the text is truncated.
fn walk(text: &[u8], found: &mut Vec<KerasCode>) -> Option<usize> {
    let mut here = Vec::new();
    let walked = json::walk(text, &mut |event| {
        if let json::Event::Object(object) = event {
            here.extend(of_object(object));
        }
    });
    let is_cut = walked == text.len() || text.get(walked) == Some(&b'"');
    if is_cut {
        return None;
    }
    found.extend(here);
    Some(walked)
}

/// The same for a text that continues after a window.
fn walk_on(source: &dyn ReadAt, at: u64, found: &mut Vec<KerasCode>) -> io::Result<usize> {
    let len = source.len().saturating_sub(at).min(LONGEST);
    let text = source.read_vec_at(at, usize::try_from(len).unwrap_or(0))?;
    Ok(json::walk(&text, &mut |event| {
        if let json::Event::Object(object) = event {
            found.extend(of_object(object));
        }
    }))
}

/// Returns a name for a report.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(NAME).collect()
}
