//! Tests the pages of `docs/` and the README: the tutorial works, commands have only existing options, links have a
//! target, and every page is in the summary.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sandbox::{BIN, Sandbox};

pub(super) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every page, the README first.
fn pages() -> Vec<PathBuf> {
    let below = |dir: &str| fs::read_dir(package().join(dir)).unwrap().map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let mut pages: Vec<_> = below("docs").chain(below("docs/formats")).filter(is_page).collect();
    pages.sort();
    pages.insert(0, package().join("README.md"));
    pages
}

/// Returns the commands of the `console` blocks of a page, each with the lines that follow it.
pub(super) fn session(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for block in text.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => commands.push((command, Vec::new())),
                None => commands.last_mut().unwrap().1.push(line),
            }
        }
    }
    commands
}

/// Returns `true` if a line matches the page; `…` stands for any text.
fn line_fits(expected: &str, got: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = got.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

/// Returns `true` if several lines match; a line `…` stands for any number of them.
pub(super) fn fits(expected: &[&str], got: &[&str]) -> bool {
    match expected.split_first() {
        None => got.is_empty(),
        Some((&"…", rest)) => (0..=got.len()).any(|at| fits(rest, &got[at..])),
        Some((line, rest)) => {
            got.split_first().is_some_and(|(first, more)| line_fits(line, first) && fits(rest, more))
        }
    }
}

#[test]
fn lines_fit_by_their_parts() {
    assert!(fits(&["a…c", "…", "z"], &["abc", "x", "y", "z"]));
    assert!(fits(&["a…"], &["a"]));
    assert!(!fits(&["a"], &["ab"]));
    assert!(!fits(&["a…c"], &["abd"]));
    assert!(!fits(&["a"], &["a", "b"]));
}

#[test]
fn the_tutorial_is_what_happens() {
    let sandbox = Sandbox::new();
    let text = fs::read_to_string(package().join("docs/tutorial.md")).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let ours = Path::new(BIN).parent().unwrap().to_path_buf();
    let path = std::env::join_paths(std::iter::once(ours).chain(std::env::split_paths(&path))).unwrap();
    let mut cwd = sandbox.path("");
    let commands = session(&text);
    assert!(commands.len() > 10, "{commands:?}");
    for (command, expected) in commands {
        if let Some(dir) = command.strip_prefix("cd ") {
            cwd.push(dir);
            continue;
        }
        let script = format!("{{ {command}; }} 2>&1");
        let mut shell = sandbox.command("sh".as_ref(), &cwd, &["-c".as_ref(), script.as_ref()]);
        let output = shell.env("PATH", &path).output().unwrap();
        let got = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = got.lines().collect();
        // The last line contains the duration.
        let without_last = &lines[..lines.len().saturating_sub(1)];
        assert!(fits(&expected, &lines) || fits(&expected, without_last), "$ {command}\n{got}");
    }
}

/// Returns our commands in a text, as far as a shell would pass them to one program.
fn commands(text: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("git st-convert ") {
        // In prose, the words are not a command.
        if !["`", "\n", "$ ", "&& ", "run: "].iter().any(|before| text[..at].ends_with(before)) {
            continue;
        }
        let line = text[at..].lines().next().unwrap_or_default();
        let end = [" | ", " && ", "; ", " # ", "  ", " > ", " < ", "`", ")"]
            .iter()
            .filter_map(|stop| line.find(stop))
            .min();
        let line = &line[..end.unwrap_or(line.len())];
        // A form of the usage is not a command.
        if !line.contains(['[', '…', '<', '|', '\\', '{']) {
            found.extend(shell_words(line.strip_prefix("git st-convert ").unwrap_or_default()));
        }
    }
    found
}

/// Splits words as a shell does; `None` if the shell would do more than that.
fn shell_words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in line.trim().chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (None, '$') => return None,
            _ => word.push(letter),
        }
    }
    words.push(word);
    // Several blanks do not separate empty words.
    words.retain(|word| !word.is_empty());
    quote.is_none().then_some(words)
}

#[test]
fn every_command_has_only_options_that_exist() {
    let sandbox = Sandbox::new();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        for mut command in commands(&fs::read_to_string(&page).unwrap()) {
            count += 1;
            command.push("-h".to_owned());
            let output = sandbox.bin(&sandbox.path(""), &command);
            if output.code != Some(0) {
                wrong.push(format!("{}: {command:?}: {}", page.display(), output.stderr));
            }
        }
    }
    assert!(count > 70, "only {count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the anchors of a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let letters = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = letters.chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.contains([' ', '`'])) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let leads = target.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !leads {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_summary_once() {
    let summary = fs::read_to_string(package().join("docs/SUMMARY.md")).unwrap();
    for page in pages().iter().skip(1).filter(|page| !page.ends_with("SUMMARY.md")) {
        let name = page.strip_prefix(package().join("docs")).unwrap().to_str().unwrap();
        assert_eq!(summary.matches(&format!("]({name})")).count(), 1, "{name}");
    }
}

/// Returns a page without its code: the fenced blocks, and the spans between backticks.
fn prose(text: &str) -> String {
    let outside = text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
    outside.split('`').step_by(2).collect()
}

#[test]
fn a_name_in_angle_brackets_is_code() {
    let is_tag =
        |rest: &&str| rest.starts_with(|first: char| first.is_ascii_alphabetic() || "/!".contains(first));
    assert_eq!(prose("a `<b>` c <d>\n```\n<e>\n```\nf").split('<').skip(1).filter(is_tag).count(), 1);
    for page in pages() {
        let text = prose(&fs::read_to_string(&page).unwrap());
        let tags: Vec<_> = text.split('<').skip(1).filter(is_tag).collect();
        // A reader of the rendered page would not see it.
        assert!(tags.is_empty(), "{}: <{}", page.display(), tags[0].lines().next().unwrap_or_default());
    }
}

#[test]
fn every_state_of_status_is_documented() {
    let read = |path: &str| fs::read_to_string(package().join(path)).unwrap();
    let source = read("src/actions/status/file_state.rs");
    let states: Vec<_> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \"")?.1.strip_suffix("\","))
        .collect();
    assert!(states.len() > 9, "{states:?}");
    let (json, page, manual) = (read("docs/json.md"), read("docs/status.md"), read("src/cli/args/status.rs"));
    for state in states {
        assert!(json.contains(&format!("`{state}`")), "docs/json.md: {state}");
        let words = match state {
            "unconverted" => ("| not converted |", "has no safetensors file"),
            "not-here" => ("| not downloaded, not compared |", ""),
            "training-state" => ("| training state |", ""),
            "untracked" => ("| untracked |", ""),
            "alone" => ("(`alone` in `--json`)", ""),
            "up-to-date" => ("| up to date |", "up to date"),
            _ => (state, state),
        };
        assert!(page.contains(words.0), "docs/status.md: {state}");
        assert!(manual.contains(words.1), "--help of status: {state}");
    }
}
