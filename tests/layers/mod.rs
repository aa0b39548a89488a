//! Checks the rules of `docs/architecture.md` that a compiler does not check, in the text of `src/` and `tests/`.
//!
//! The module reads lines, not syntax: comments are removed, and lines below `#[cfg(test)]` are tests. Known breaches
//! are in the `.txt` files of this directory. Each must list exactly the breaches that are found: a new one fails, and
//! so does a listed one that was corrected, so that a list only becomes shorter.

mod circles;
mod errors;
mod names;
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every Rust file below a directory of the package, by its relative path, with its text.
fn sources(dir: &str) -> BTreeMap<String, String> {
    let root = package().join(dir);
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.clone()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// Returns the lines before the tests of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]")
}

/// Returns the same without comments.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    code(text).map(|line| line.split("//").next().unwrap_or_default())
}

/// Returns the names that `mod` lines declare, in order.
fn modules(text: &str) -> Vec<&str> {
    let names = text.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.collect()
}

/// Returns the module of `src/lib.rs` that a file belongs to.
fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Returns the first names of all `crate::…` paths of a line; `crate::{a, b::c}` has several.
fn crate_paths(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        if line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap_or(list));
        let items: Vec<&str> = if rest.starts_with('{') { list.split(',').collect() } else { vec![list] };
        found.extend(items.into_iter().map(|item| {
            let item = item.trim();
            let end = item.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(item.len());
            &item[..end]
        }));
    }
    found
}

fn assert_none(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

/// Checks that a list of breaches in this directory has exactly the found lines.
#[track_caller]
fn assert_list(list: &str, mut found: Vec<String>, rule: &str) {
    found.sort();
    let text = fs::read_to_string(package().join("tests/layers").join(list)).unwrap();
    let listed: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let more: Vec<&String> = found.iter().filter(|line| !listed.contains(&line.as_str())).collect();
    let mended: Vec<&&str> = listed.iter().filter(|line| !found.contains(&(**line).to_owned())).collect();
    assert!(
        found == listed,
        "{rule}\nnot in tests/layers/{list}: {more:#?}\nthere, and mended: {mended:#?}\nall that is found:\n{}\n",
        found.join("\n")
    );
}

#[test]
fn a_module_uses_only_those_above_it() {
    let sources = sources("src");
    let order = modules(&sources["lib.rs"]);
    assert!(order.len() > 6, "{order:?}");
    let place = |name: &str| order.iter().position(|module| *module == name);
    let mut wrong = Vec::new();
    for (file, text) in sources.iter().filter(|(file, _)| !matches!(file.as_str(), "lib.rs" | "main.rs")) {
        let Some(own) = place(module_of(file)) else {
            wrong.push(format!("src/{file} belongs to no module of lib.rs"));
            continue;
        };
        for (index, line) in statements(text).enumerate() {
            for used in crate_paths(line) {
                if place(used).is_none_or(|used| used > own) {
                    wrong.push(format!("src/{file}:{}: crate::{used}", index + 1));
                }
            }
        }
    }
    assert_none(&wrong, "a module uses only those above it in src/lib.rs");
}

#[test]
fn crate_paths_of_every_form_are_seen() {
    assert_eq!(crate_paths("use crate::pickle::{Id, Value};"), ["pickle"]);
    assert_eq!(crate_paths("use crate::{hash, read_at::ReadAt};"), ["hash", "read_at"]);
    assert_eq!(crate_paths("    crate::lfs::store(crate::hash::Oid::of(b))"), ["lfs", "hash"]);
    assert!(crate_paths("use some_crate::thing; use git_st_convert::hash;").is_empty());
}

/// Returns the lines of `src/` that contain one of the words, except in the permitted files.
fn found_outside(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, text) in sources("src") {
        if allowed.iter().any(|place| file.starts_with(place)) {
            continue;
        }
        for (index, line) in statements(&text).enumerate() {
            if words.iter().any(|word| has_word(line, word)) {
                wrong.push(format!("src/{file}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    wrong
}

/// Returns `true` if `word` is in the line, and not as the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let inside = |before: char| before.is_alphanumeric() || before == '_';
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(inside))
}

#[test]
fn processes_are_started_in_git_alone() {
    let words = ["process::Command", "process::{", "Command::new"];
    assert_none(&found_outside(&words, &["git/"]), "std::process::Command is for src/git");
}

#[test]
fn sockets_are_opened_in_remote_alone() {
    let words = ["std::net", "TcpStream", "ureq::", "UnixStream"];
    assert_none(&found_outside(&words, &["remote/"]), "sockets and HTTP are for src/remote");
    let files = ["remote/agents.rs", "remote/connect.rs", "remote/message.rs", "remote/wire.rs"];
    let wrong = found_outside(&["ureq::", "TcpStream", "UnixStream"], &files).into_iter();
    let wrong: Vec<_> = wrong.filter(|line| !line.contains("ureq::http::")).collect();
    assert_none(
        &wrong,
        "connections are for agents, connect, message and wire; the others know the types of headers",
    );
}

#[test]
fn printing_is_for_the_command_line() {
    let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
    assert_none(&found_outside(&words, &["cli/", "main.rs"]), "printing is for src/cli and src/main.rs");
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let mut wrong = Vec::new();
    for dir in ["src", "tests", "fuzz", "benches"] {
        if !package().join(dir).is_dir() {
            continue;
        }
        for (file, text) in sources(dir).iter().filter(|(file, _)| !file.starts_with("target/")) {
            let lines = code(text).count();
            if lines > 400 {
                wrong.push(format!("{dir}/{file}: {lines}"));
            }
        }
    }
    assert_none(&wrong, "a file has at most 400 lines before its tests");
}

#[test]
fn every_file_says_what_it_holds() {
    let mut wrong = Vec::new();
    for dir in ["src", "tests"] {
        let silent = sources(dir).into_iter().filter(|(_, text)| !text.starts_with("//!"));
        wrong.extend(silent.map(|(file, _)| format!("{dir}/{file}")));
    }
    assert_none(&wrong, "every Rust file opens with `//!`");
}

#[test]
fn every_test_module_is_in_the_binary() {
    let main = fs::read_to_string(package().join("tests/main.rs")).unwrap();
    let named = modules(&main);
    let mut wrong = Vec::new();
    for entry in fs::read_dir(package().join("tests")).unwrap() {
        let path: &Path = &entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        let is_module = path.join("mod.rs").is_file() || is_rust && name != "main";
        if is_module && !named.contains(&name.as_str()) {
            wrong.push(format!("tests/{name}"));
        }
    }
    assert_none(&wrong, "every test module is named in tests/main.rs");
}

#[test]
fn every_test_that_a_document_names_exists() {
    let all: String = ["src", "tests"].iter().flat_map(|dir| sources(dir).into_values()).collect();
    let mut wrong = Vec::new();
    let formats = fs::read_dir(package().join("docs/formats")).unwrap().map(|entry| entry.unwrap().path());
    for path in formats.chain(["docs/attacks.md", "docs/fuzzing.md"].map(|path| package().join(path))) {
        let text = fs::read_to_string(&path).unwrap();
        // The last column of a table contains tests and fixtures; the names of tests have three words or more.
        for cell in text.lines().filter(|line| line.ends_with('|')).filter_map(|line| line.rsplit('|').nth(1))
        {
            let names = cell.split('`').skip(1).step_by(2);
            let is_test = |name: &&str| {
                name.matches('_').count() > 1
                    && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            };
            for name in names.filter(is_test).filter(|name| !all.contains(&format!("fn {name}("))) {
                wrong.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert_none(&wrong, "a test that a document names is there");
}
