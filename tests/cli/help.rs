//! Compares every help with `helps.txt`; `ST_CONVERT_WRITE=1 cargo test cli::help` writes it again.
//!
//! A test compares plain text: a library for snapshots would store the same text in its own format, and be one more
//! crate to build. `demo.txt` and the sessions of the README and the tutorial do the same for the main outputs.

use std::fmt::Write as _;
use std::fs;

use super::docs::package;
use crate::sandbox::Sandbox;

/// Returns the words of every command, the program itself first.
fn commands(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let listed = sandbox.bin(&sandbox.path(""), &["man", "pages"]).ok();
    let names = listed.lines().map(|line| line.rsplit('/').next().unwrap().trim_end_matches(".1"));
    let mut commands: Vec<Vec<String>> = names
        .map(|name| {
            let words = name.strip_prefix("git-st-convert").unwrap();
            words.split('-').skip(1).map(str::to_owned).collect()
        })
        .collect();
    commands.sort();
    commands
}

#[test]
fn every_help_is_as_it_was() {
    let sandbox = Sandbox::new();
    let mut got = String::new();
    for mut words in commands(&sandbox) {
        words.push("-h".to_owned());
        let help = sandbox.bin(&sandbox.path(""), &words).ok();
        write!(got, "$ git st-convert {}\n{help}\n", words.join(" ")).unwrap();
    }
    let path = package().join("tests/cli/helps.txt");
    if std::env::var_os("ST_CONVERT_WRITE").is_some() {
        fs::write(&path, &got).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap();
    let first = got.lines().zip(expected.lines()).find(|(got, expected)| got != expected);
    assert!(got == expected, "first difference (got, expected): {first:#?}");
}

#[test]
fn every_help_fits_a_terminal_and_begins_with_a_verb() {
    let sandbox = Sandbox::new();
    for words in commands(&sandbox) {
        for width in [80, 100, 200] {
            let args: Vec<_> = words.iter().map(AsRef::as_ref).chain(["-h".as_ref()]).collect();
            let mut command = sandbox.command(crate::sandbox::BIN.as_ref(), &sandbox.path(""), &args);
            let output = command.env("COLUMNS", width.to_string()).output().unwrap();
            let help = String::from_utf8(output.stdout).unwrap();
            let about = help.lines().next().unwrap();
            assert!(about.chars().count() <= 90 && !about.ends_with('.'), "{words:?}: {about}");
            assert!(about.starts_with(|letter: char| letter.is_ascii_uppercase()), "{words:?}: {about}");
            for line in help.lines() {
                assert!(line.chars().count() <= width.min(100), "{words:?} at {width}: {line}");
            }
        }
    }
}
