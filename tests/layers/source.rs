//! [`Source`] contains the declarations, the imports and the names of a file of `src/`, read from its words.
//!
//! The module builds no syntax tree: comments, strings and tests are removed, the rest is words, and a declaration
//! outside of all brackets is an item. This is enough for code in the layout of rustfmt; macros are read as any other
//! words.

use std::collections::{BTreeMap, BTreeSet};

/// A path as it is written, and its name in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Import {
    pub(super) path: Vec<String>,
    pub(super) name: String,
    pub(super) is_public: bool,
}

/// The kind of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Function,
    Type,
    /// A type that is only read from JSON.
    WireFormat,
    Constant,
}

/// An item at the top of a file.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) is_public: bool,
}

#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) modules: Vec<String>,
    pub(super) items: BTreeMap<String, Item>,
    pub(super) imports: Vec<Import>,
    /// The paths of two or more words outside of `use`.
    pub(super) paths: Vec<Vec<String>>,
    /// The names that are single words, or first in a path, outside of `use`.
    pub(super) names: BTreeSet<String>,
    /// The types with an inherent `impl` here, as they are written.
    pub(super) impls: Vec<Vec<String>>,
    /// The texts of `#[error("…")]`.
    pub(super) errors: Vec<String>,
}

/// Returns the words of a text: names, numbers, `::`, and every other character by itself; a string is one word that
/// begins with `"`.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut words) = (0, Vec::new());
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    while at < chars.len() {
        let next = chars.get(at + 1).copied();
        match chars[at] {
            c if c.is_whitespace() => at += 1,
            '/' if next == Some('/') => {
                at += chars[at..].iter().position(|c| *c == '\n').unwrap_or(chars.len() - at);
            }
            '"' => {
                let end = end_of_string(&chars, at + 1);
                words.push(chars[at..end].iter().collect());
                at = end + 1;
            }
            'b' if next == Some('r') && is_raw(&chars, at + 2) => at += 1,
            'r' if is_raw(&chars, at + 1) => {
                let marks = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', marks)).collect();
                let start = at + 2 + marks;
                let length = chars[start..].windows(marks + 1).position(|c| c == close).unwrap();
                words.push(format!("\"{}", chars[start..start + length].iter().collect::<String>()));
                at = start + length + marks + 1;
            }
            '\'' => at = end_of_quote(&chars, at),
            ':' if next == Some(':') => {
                words.push("::".to_owned());
                at += 2;
            }
            c if is_name(c) => {
                let length = chars[at..].iter().take_while(|c| is_name(**c)).count();
                words.push(chars[at..at + length].iter().collect());
                at += length;
            }
            c => {
                words.push(c.to_string());
                at += 1;
            }
        }
    }
    words
}

fn is_raw(chars: &[char], at: usize) -> bool {
    chars[at..].iter().find(|c| **c != '#') == Some(&'"')
}

/// Returns the position of the closing `"`.
fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at
}

/// Returns the position after a character, or after the `'` of a lifetime.
fn end_of_quote(chars: &[char], at: usize) -> usize {
    if chars[at + 1] == '\\' {
        return at + 4 + chars[at + 3..].iter().position(|c| *c == '\'').unwrap();
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at + 1 }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Returns the path that starts at `at`, and the position of its end.
fn path_at(words: &[String], mut at: usize) -> (Vec<String>, usize) {
    let mut path = vec![words[at].clone()];
    while words.get(at + 1).is_some_and(|word| word == "::")
        && words.get(at + 2).is_some_and(|word| is_name(word))
    {
        path.push(words[at + 2].clone());
        at += 2;
    }
    (path, at + 1)
}

/// Collects the paths of a `use`, from the word after it to the `;` or the end of its braces.
fn import_tree(words: &[String], mut at: usize, before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match words[at].as_str() {
            "{" => {
                at += 1;
                while words[at] != "}" {
                    at = import_tree(words, at, &path, found);
                    if words[at] == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "::" => at += 1,
            "as" => {
                path.push(format!("as {}", words[at + 1]));
                at += 2;
            }
            ";" | "," | "}" => {
                found.push(path);
                return at;
            }
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
    }
}

fn import_of(mut path: Vec<String>, is_public: bool) -> Import {
    let alias = path.last().and_then(|last| last.strip_prefix("as ")).map(str::to_owned);
    if alias.is_some() {
        path.pop();
    }
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.unwrap_or_else(|| path.last().unwrap().clone());
    Import { path, name, is_public }
}

/// Returns the position after the brackets that open at `at`, if any do.
fn skip_generics(words: &[String], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match words[at].as_str() {
            "<" => depth += 1,
            ">" if words[at - 1] != "-" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if words[at] == ">" { at + 1 } else { at };
        }
        at += 1;
    }
}

/// Returns `true` if an item starts here, and not the type of an argument.
fn starts_item(words: &[String], at: usize) -> bool {
    at == 0 || matches!(words[at - 1].as_str(), "}" | "]" | ";")
}

/// Returns the type of an `impl` without a trait.
fn inherent(words: &[String], at: usize) -> Option<Vec<String>> {
    let start = skip_generics(words, at + 1);
    let open = words[start..].iter().position(|word| word == "{")? + start;
    let has_trait = words[start..open].windows(2).any(|two| two[0] == "for" && two[1] != "<");
    (!has_trait && is_name(&words[start])).then(|| path_at(words, start).0)
}

impl Source {
    /// Reads the lines of a file before its tests.
    pub(super) fn read(text: &str) -> Self {
        let words = words(&super::code(text).collect::<Vec<_>>().join("\n"));
        let mut source = Self::default();
        let (mut at, mut depth) = (0, 0_usize);
        let (mut is_public, mut derives) = (false, Vec::new());
        while at < words.len() {
            let next = |by: usize| words.get(at + by).map_or("", String::as_str);
            match words[at].as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            match words[at].as_str() {
                "pub" => {
                    is_public = true;
                    let is_bounded =
                        next(1) == "(" && matches!(next(2), "crate" | "super" | "self") && next(3) == ")";
                    at += if is_bounded { 4 } else { 1 };
                    continue;
                }
                "derive" if depth == 1 => {
                    derives = words[at + 2..].iter().take_while(|word| *word != ")").cloned().collect();
                    derives.retain(|word| word != ",");
                }
                "error" if next(1) == "(" && next(2).starts_with('"') => source.errors.push(text_of(next(2))),
                "use" if next(1) != "<" => {
                    let mut found = Vec::new();
                    at = import_tree(&words, at + 1, &[], &mut found);
                    source.imports.extend(found.into_iter().map(|path| import_of(path, is_public)));
                    is_public = false;
                    continue;
                }
                "impl" if depth == 0 && starts_item(&words, at) => source.impls.extend(inherent(&words, at)),
                "mod" if depth == 0 && next(2) == ";" => source.modules.push(next(1).to_owned()),
                word if depth == 0 && is_name(next(1)) => {
                    if let Some(kind) = kind_of(word, next(1), &derives) {
                        source.items.insert(next(1).to_owned(), Item { kind, is_public });
                        derives.clear();
                    }
                }
                _ => {}
            }
            if is_name(&words[at]) {
                is_public =
                    is_public && matches!(words[at].as_str(), "const" | "unsafe" | "async" | "extern");
                let (path, end) = path_at(&words, at);
                source.names.insert(path[0].clone());
                if path.len() > 1 {
                    source.paths.push(path);
                }
                at = end;
            } else {
                at += 1;
            }
        }
        source
    }
}

/// Returns the kind of item that a word before a name declares.
fn kind_of(word: &str, name: &str, derives: &[String]) -> Option<Kind> {
    match word {
        "fn" => Some(Kind::Function),
        "struct" | "enum" | "trait" | "type" | "union" => {
            let is_read = derives.iter().any(|name| name == "Deserialize");
            let is_plain =
                derives.iter().all(|name| matches!(name.as_str(), "Deserialize" | "Debug" | "Default"));
            Some(if is_read && is_plain { Kind::WireFormat } else { Kind::Type })
        }
        "const" | "static" if name != "fn" => Some(Kind::Constant),
        _ => None,
    }
}

/// Returns the text of a string, with its continued lines joined.
fn text_of(word: &str) -> String {
    let mut text = String::new();
    for part in word.trim_start_matches('"').split("\\\n") {
        text.push_str(if text.is_empty() { part } else { part.trim_start() });
    }
    text
}

const FILE: &str = r##"//! use crate::no;
pub(crate) use a::{b::{self, C as D}, e};
mod child;

#[derive(Deserialize)]
struct Wire {
    x: super::X<'static>,
}

pub enum Kind {
    #[error("is a \
             thing")]
    A(crate::q::R),
}

impl<'a, T: Fn() -> u8> Kind<T> {
    fn no(&self) -> impl Fn() + use<'_, T> {
        let s = "crate::s \" { \\";
        let (c, d) = ('{', b'\'');
        child::go::<u8>(br#"\" {"#)
    }
}

impl Display for Wire {}
pub const fn go() -> impl Copy {}
const N: u8 = 1;
#[cfg(test)]
mod tests;
"##;

#[test]
fn every_part_of_a_file_is_seen() {
    let source = Source::read(FILE);
    let import = |path: &[&str], name: &str| Import {
        path: path.iter().map(|&word| word.to_owned()).collect(),
        name: name.to_owned(),
        is_public: true,
    };
    let expected = [import(&["a", "b"], "b"), import(&["a", "b", "C"], "D"), import(&["a", "e"], "e")];
    assert_eq!(source.imports, expected);
    assert_eq!(source.modules, ["child"]);
    let kinds: Vec<_> =
        source.items.iter().map(|(name, item)| (name.as_str(), item.kind, item.is_public)).collect();
    let expected = [
        ("Kind", Kind::Type, true),
        ("N", Kind::Constant, false),
        ("Wire", Kind::WireFormat, false),
        ("go", Kind::Function, true),
    ];
    assert_eq!(kinds, expected);
    let paths: Vec<String> = source.paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["super::X", "crate::q::R", "child::go"]);
    assert!(source.names.contains("child") && !source.names.contains("D"));
    assert_eq!(source.impls, [["Kind"]]);
    assert_eq!(source.errors, ["is a thing"]);
}
