//! [`CodeIn`] is code that a loader executes, or a name that it imports, outside of pickles.
//!
//! It is found in the names of the members of an archive, and in texts: configurations, YAML and templates. A verdict
//! other than clean means that the loader of the format executes it when it loads the file; all other code is only
//! named, because the loader needs an option, or another file, to execute it.

use std::io;
use std::sync::LazyLock;

use bstr::{ByteSlice as _, Finder};

use super::{Content, HEAD, Storages, Verdict, json, keras, names};
use crate::read_at::ReadAt;
use crate::size;

/// The name of the configuration of a model of Keras.
const CONFIG: &str = "config.json";
/// The key of the class of a layer, which is searched for in every member of an unknown format.
static LAYER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("class_name"));
/// The keys of a model's configuration whose values name Python files of the model.
const FILES: [&str; 2] = ["auto_map", "custom_pipelines"];
/// The key of a chat template.
const TEMPLATE: &str = "chat_template";
/// The names by which an expression of a template leaves it.
const ESCAPES: [&str; 5] = ["__globals__", "__subclasses__", "__builtins__", "__mro__", "__import__"];
/// The first bytes of an engine of `TensorRT`, of today and of old.
const ENGINES: [&[u8]; 2] = [b"ftrt", b"ptrt"];
/// The tag of an object that a loader of YAML creates or calls.
const TAG: &str = "!!python/";
/// A text up to this length is searched completely, a longer one only in its first [`HEAD`] bytes.
const TEXT: u64 = 1 << 20;
/// The length of an expression in a template.
const EXPRESSION: usize = 500;
/// The directory of an export that PyTorch compiles or links, in any case.
const COMPILED: &[u8] = b"aotinductor/";
/// How many bytes of an HDF5 file or of a model on a server are searched.
pub(super) const BEGINNING: u64 = 1 << 20;
/// The longest configuration of a model in an archive.
const CONFIGURATION: u64 = 64 << 20;
/// How many bytes of a GGUF file are searched: its metadata are at its beginning.
const METADATA: u64 = 16 << 20;

/// The kind of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// A layer of Keras with code, or an object of another module.
    Keras,
    /// Python code in an archive.
    Python,
    /// A native library in an archive, or a source of one, or compiled code.
    Native,
    /// A Python file or class that a configuration names.
    Import,
    /// A YAML tag that creates or calls a Python object.
    Yaml,
    /// A template that leaves its own variables.
    Template,
}

impl Code {
    /// Its name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keras => "keras",
            Self::Python => "python",
            Self::Native => "native",
            Self::Import => "import",
            Self::Yaml => "yaml",
            Self::Template => "template",
        }
    }
}

/// Code outside of pickles.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodeIn {
    /// The member of the archive that contains it; `None` for the file itself.
    pub member: Option<String>,
    /// Its kind.
    pub kind: Code,
    /// The name of the code, as far as it has one.
    pub name: Option<String>,
    /// Clean if the loader of the format does not execute it by itself.
    pub verdict: Verdict,
}

impl CodeIn {
    pub(super) fn new(kind: Code, name: Option<String>, verdict: Verdict) -> Self {
        Self { member: None, kind, name, verdict }
    }
}

/// Returns the members of an archive that are code, by their names.
pub(super) fn of_members<'a>(names: &[&'a str], content: Content) -> Vec<(&'a str, CodeIn)> {
    // The code of TorchScript is a language of its own, and its classes are globals of its pickles.
    if content == Content::TorchScript {
        return Vec::new();
    }
    // The reader of PyTorch ignores the case of a name.
    let is = |name: &str, end: &str| name.eq_ignore_ascii_case(end);
    let has = |end: &str| names.iter().any(|name| is(below_root(name), end) || is(name, end));
    // torch.package imports its modules under the names of any others, also of allowed globals.
    let imports = has(".data/extern_modules") || has("MAR-INF/MANIFEST.json");
    // PyTorch loads the libraries of an export, and compiles and links its sources first.
    let is_compiled =
        |name: &&str| name.as_bytes().windows(COMPILED.len()).any(|part| part.eq_ignore_ascii_case(COMPILED));
    let links = has("archive_format") || names.iter().any(is_compiled);
    let code = |name: &&str| {
        let end = name.rsplit(['/', '.']).next().unwrap_or_default();
        let is_one_of = |ends: &[&str]| ends.iter().any(|known| is(end, known));
        let (kind, runs) = if is_one_of(&["py", "pyc", "pyo"]) {
            (Code::Python, imports)
        // The number of a version can follow the extension.
        } else if is_one_of(&["so", "dll", "dylib", "pyd"]) || name.contains(".so.") {
            (Code::Native, imports || links)
        } else if links && is_one_of(&["cpp", "o", "cubin", "hsaco", "spv"]) {
            (Code::Native, true)
        } else {
            return None;
        };
        Some(CodeIn::new(kind, None, if runs { Verdict::Unknown } else { Verdict::Clean }))
    };
    names.iter().filter_map(|name| Some((*name, code(name)?))).collect()
}

fn below_root(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, rest)| rest)
}

/// The code in a file or a member, and how many of its bytes were searched.
pub(super) struct Searched {
    pub(super) code: Vec<CodeIn>,
    format: Content,
    bytes: u64,
}

impl Searched {
    /// Returns the note on a source of which only the first bytes were searched.
    pub(super) fn limit(&self, len: u64) -> Option<String> {
        (self.bytes < len).then(|| limit(&self.format.to_string(), self.bytes))
    }
}

/// Describes the limit of a search.
pub(super) fn limit(format: &str, bytes: u64) -> String {
    format!("{format} searched only in its first {}", size::bytes(bytes))
}

/// Returns the code in a file or a member, whose first bytes are `head`. `None` if it is too long.
pub(super) fn of_source(
    source: &dyn ReadAt,
    head: &[u8],
    content: Content,
    member: Option<&str>,
    storages: Storages,
) -> io::Result<Option<Searched>> {
    let is_here = storages == Storages::Scanned;
    let first = |len: u64| source.read_cow_at(0, usize::try_from(len.min(source.len())).unwrap_or(0));
    let searched = |code, format, bytes| Some(Searched { code, format, bytes });
    // The name by which Keras reads a text, in any encoding of JSON.
    if member.is_some_and(is_configuration) {
        if source.len() > CONFIGURATION {
            return Ok(None);
        }
        let code = of_text(&json::decoded(&first(source.len())?));
        return Ok(searched(code, Content::Text, u64::MAX));
    }
    // The first bytes of a text can be those of another format.
    let format = if begins_json(&json::decoded(head)) { Content::Text } else { content };
    let here = |len: u64| if is_here { len } else { BEGINNING };
    let (code, bytes) = match format {
        Content::Text => {
            let is_short = source.len() <= TEXT && is_here;
            let bytes = if is_short { TEXT } else { u64::try_from(HEAD).unwrap_or(0) };
            (of_text(&json::decoded(&first(bytes)?)), bytes)
        }
        Content::Hdf5 => (of_keras(keras::of_bytes(source, here(u64::MAX))?), here(u64::MAX)),
        Content::Other if is_engine(source, head)? => {
            let engine = Some("TensorRT engine".to_owned());
            (vec![CodeIn::new(Code::Native, engine, Verdict::Unknown)], u64::MAX)
        }
        // The metadata of a saved model of TensorFlow contain the configurations of layers.
        Content::Other if LAYER.find(head).is_some() => {
            (of_keras(keras::of_bytes(source, here(u64::MAX))?), here(u64::MAX))
        }
        Content::Gguf => (of_template(&first(here(METADATA))?).into_iter().collect(), here(METADATA)),
        _ => (Vec::new(), u64::MAX),
    };
    Ok(searched(code, format, bytes))
}

/// Returns `true` for a serialized engine of `TensorRT`, which contains compiled code and perhaps libraries. Ultralytics
/// writes the length of a JSON text, and the text, before it.
fn is_engine(source: &dyn ReadAt, head: &[u8]) -> io::Result<bool> {
    if ENGINES.iter().any(|magic| head.starts_with(magic)) {
        return Ok(true);
    }
    let Some((len, b"{")) =
        head.split_first_chunk().map(|(len, rest)| (len, rest.get(..1).unwrap_or_default()))
    else {
        return Ok(false);
    };
    let at = u64::from(u32::from_le_bytes(*len)).saturating_add(4);
    if at > TEXT || at.saturating_add(4) > source.len() {
        return Ok(false);
    }
    Ok(ENGINES.contains(&source.read_vec_at(at, 4)?.as_slice()))
}

fn is_configuration(member: &str) -> bool {
    // Python ends a name at its first NUL.
    let name = || member.rsplit("!/").next().and_then(|name| name.split('\0').next());
    (member.ends_with(CONFIG) || member.contains('\0')) && name() == Some(CONFIG)
}

/// Returns the code in a text, which may be the beginning of a longer one.
pub(super) fn of_text(text: &[u8]) -> Vec<CodeIn> {
    let mut found = Vec::new();
    if begins_json(text) && may_have_key(text) {
        of_json(text, &mut found);
    }
    // Most texts contain none of these bytes, of which every other search needs one.
    if text.find_byteset(b"!_{").is_none() {
        return found;
    }
    for at in text.find_iter(TAG).take(1) {
        let rest = text.get(at..).unwrap_or_default();
        let end = rest.find_byteset(b" \t\r\n\"'[]{},").unwrap_or(rest.len());
        let tag = keras::shortened(&rest.get(..end).unwrap_or_default().to_str_lossy());
        found.push(CodeIn::new(Code::Yaml, Some(tag), Verdict::Clean));
    }
    for target in values(text, "_target_") {
        if let Some((module, name)) = target.rsplit_once('.')
            && names::is_dangerous(module, name)
        {
            found.push(CodeIn::new(Code::Import, Some(target), Verdict::Clean));
        }
    }
    // MLflow imports the module that loads a model.
    for module in values(text, "loader_module").filter(|module| !module.starts_with("mlflow.")) {
        found.push(CodeIn::new(Code::Import, Some(module), Verdict::Clean));
    }
    found.extend(of_template(text));
    found
}

/// Returns the values of a key of YAML or JSON, each with characters of a dotted name only.
fn values(text: &[u8], key: &str) -> impl Iterator<Item = String> {
    let lines =
        text.find_iter(key).filter_map(move |at| text.get(at.checked_add(key.len())?..)?.lines().next());
    lines.filter_map(|line| {
        let value = line.trim_start_with(|letter| "'\" \t".contains(letter)).strip_prefix(b":")?;
        let value = value.trim_with(|letter| " \t'\",}".contains(letter));
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.".contains(byte);
        (!value.is_empty() && value.iter().all(is_name)).then(|| keras::shortened(&value.to_str_lossy()))
    })
}

/// Returns `true` for the beginning of an object or of an array, of which Keras reads each element as an object.
fn begins_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Returns `true` if a text has a key of interest, or hides one by an escape.
fn may_have_key(text: &[u8]) -> bool {
    ["class_name", TEMPLATE, "\\u00", "__module__"].iter().chain(&FILES).any(|key| text.contains_str(key))
}

/// Returns the code in a template, as far as its text shows it.
pub(super) fn of_template(text: &[u8]) -> Option<CodeIn> {
    let blocks = text.find_iter("{{").chain(text.find_iter("{%"));
    // A string in an expression can contain its end, so an expression has a length and no end.
    let mut blocks = blocks.filter_map(|at| text.get(at..at.saturating_add(EXPRESSION).min(text.len())));
    let escape_in = |block: &[u8]| ESCAPES.iter().find(|escape| block.contains_str(escape));
    let escape = blocks.find_map(escape_in)?;
    Some(CodeIn::new(Code::Template, Some((*escape).to_owned()), Verdict::Clean))
}

fn of_json(text: &[u8], found: &mut Vec<CodeIn>) {
    let (mut objects, mut imports) = (Vec::new(), Vec::new());
    json::walk(text, &mut |event| match event {
        json::Event::Text { keys, value } => {
            let is_below = |key: &str| keys.iter().any(|above| above.as_deref() == Some(key));
            if FILES.iter().any(|key| is_below(key)) {
                found.push(CodeIn::new(Code::Import, Some(keras::shortened(value)), Verdict::Clean));
            } else if is_below(TEMPLATE) {
                found.extend(of_template(value.as_bytes()));
            }
        }
        json::Event::Object(object) => {
            objects.extend(keras::of_object(object));
            imports.extend(of_skops(object));
        }
    });
    found.extend(of_keras(objects));
    found.extend(imports);
}

/// Returns the class of an object in a schema of skops, which loads only trusted ones.
fn of_skops(object: &json::Object) -> Option<CodeIn> {
    let (module, class) = (object.texts("__module__").last()?, object.texts("__class__").last()?);
    let name = keras::shortened(&format!("{module}.{class}"));
    names::is_dangerous(module, class).then(|| CodeIn::new(Code::Import, Some(name), Verdict::Clean))
}

fn of_keras(found: Vec<keras::KerasCode>) -> Vec<CodeIn> {
    found.into_iter().map(|(name, verdict)| CodeIn::new(Code::Keras, name, verdict)).collect()
}
