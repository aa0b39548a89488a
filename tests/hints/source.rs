//! Reads the hints from the source: each must have a row of these tables, or a test of its own that is named here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The beginnings of hints that another test prints and pastes, with that test.
const ELSEWHERE: &str = include_str!("elsewhere.txt");

pub(super) fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Rust files below a directory.
pub(super) fn sources(dir: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path.clone(), fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// Returns the string literals of code, without its comments and unit tests.
pub(super) fn literals(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut chars = lines.flat_map(|line| line.chars().chain(['\n'])).peekable();
    let mut found = Vec::new();
    while let Some(c) = chars.next() {
        match c {
            // A character, which may be a quote, or a lifetime.
            '\'' => {
                let first = chars.next();
                if first == Some('\\') {
                    chars.next();
                }
                chars.next_if_eq(&'\'');
            }
            '"' => {
                let mut literal = String::new();
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    if c != '\\' {
                        literal.push(c);
                    } else if chars.peek() == Some(&'\n') {
                        while chars.next_if(|c| c.is_whitespace()).is_some() {}
                    } else {
                        literal.extend(chars.next());
                    }
                }
                found.push(literal);
            }
            _ => {}
        }
    }
    found
}

/// Returns the beginning of a hint: a verb and its object, before its command.
fn beginning(literal: &str) -> Option<&str> {
    let (words, command) = literal.split_once(": `")?;
    let words = words.rsplit("; ").next()?.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    // A single option is not a command.
    let is_one = words.contains(' ') && !words.contains(['{', '`', '\n', ':']) && !command.starts_with('-');
    is_one.then_some(words)
}

#[test]
fn every_hint_is_tried() {
    let tests = sources(&package().join("tests"));
    let rows: String = tests
        .iter()
        .filter(|(path, _)| path.starts_with(package().join("tests/hints")))
        .map(|(_, text)| &**text)
        .collect();
    let program = sources(&package().join("src/cli"));
    let all: String = tests.values().chain(program.values()).map(String::as_str).collect();
    let elsewhere: BTreeMap<&str, &str> =
        ELSEWHERE.lines().map(|line| line.split_once(" | ").unwrap_or((line, ""))).collect();
    let mut found = BTreeSet::new();
    for text in program.values() {
        found.extend(literals(text).iter().filter_map(|literal| beginning(literal)).map(str::to_owned));
    }
    assert!(found.len() > 60, "the hints are not found any more: {found:?}");
    let untried = found.iter().filter(|hint| {
        let has_row = rows.contains(&format!("\"{hint}: `")) || rows.contains(&format!("; {hint}: `"));
        let test = elsewhere.get(hint.as_str());
        !has_row && test.is_none_or(|test| !all.contains(&format!("fn {test}(")))
    });
    let untried: Vec<_> = untried.collect();
    assert!(untried.is_empty(), "hints without a row: {untried:#?}");
    let stale: Vec<_> = elsewhere.keys().filter(|hint| !found.contains(**hint)).collect();
    assert!(stale.is_empty(), "no hints any more: {stale:#?}");
}

#[test]
fn hints_are_told_from_other_literals() {
    let text = "// \"no: `a`\"\nlet a = 'x'; f(\"stage the \\\n   changes: `{git} add`\"); g('\"', \"b\\\"c\");\n\
                #[cfg(test)]\nmod tests { \"d\" }";
    assert_eq!(literals(text), ["stage the changes: `{git} add`", "b\"c"]);
    assert_eq!(beginning("stage the changes: `{git} add`"), Some("stage the changes"));
    assert_eq!(beginning("{path}: skipped; stage them: `{git} add`"), Some("stage them"));
    assert_eq!(beginning("{path}: `{git} add`"), None);
}
