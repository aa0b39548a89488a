//! Finds the first word that is not an option: the name of a subcommand, or a path of the form without one.
//!
//! Invariant: the word is found whatever options are before it, and the value of an option is not taken for it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap::builder::{OsStringValueParser, PathBufValueParser, TypedValueParser};

use super::Args;

/// Returns the parser of a word that names something. An empty word is usually an unset variable; as a path it would
/// mean everything.
pub(super) fn word() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new()
        .try_map(|word| if word.is_empty() { Err("expected a name") } else { Ok(slashed(word)) })
}

/// Reads a path that is written to.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|path| slashed(path.into()).into())
}

/// On Windows, where a name contains no backslash: writes a path with `/`, as git does, so that every later step knows one
/// separator. A path after `\\?\` is passed to the system as it is.
fn slashed(word: OsString) -> OsString {
    match word.to_str() {
        Some(text) if cfg!(windows) && !text.starts_with(r"\\?\") => text.replace('\\', "/").into(),
        _ => word,
    }
}

/// Moves the subcommand directly after the program's name, so that options may be before it.
pub(super) fn subcommand_first(mut line: Vec<OsString>, command: &clap::Command) -> Vec<OsString> {
    let known = |word: &OsStr| command.get_subcommands().any(|sub| sub.get_name() == word);
    let Some(at) = first_positional(&line, &Valued::of(command)) else { return line };
    if line.get(at).is_some_and(|word| word == "help") {
        let about = line.get(at + 1).filter(|word| known(word)).cloned();
        line.drain(1..);
        line.extend(about.into_iter().chain(["-h".into()]));
    } else if line.get(at).is_some_and(|word| known(word)) {
        let name = line.remove(at);
        line.insert(1, name);
    }
    line
}

/// Returns the command of a line, however wrong the rest of the line is: `git st-convert`, `git st-convert hook run`.
pub(in crate::cli) fn command_of(line: Vec<OsString>) -> String {
    let command = Args::command();
    let (mut name, mut at) = ("git st-convert".to_owned(), &command);
    for word in subcommand_first(line, &command).iter().skip(1) {
        let Some(sub) = at.get_subcommands().find(|sub| sub.get_name() == word) else { break };
        name = format!("{name} {}", sub.get_name());
        at = sub;
    }
    name
}

/// Returns `true` if a word could be a command, rather than a path, a pattern or an address.
pub(in crate::cli) fn is_bare(word: &OsStr) -> bool {
    word.to_str().is_some_and(|word| !word.contains(['.', '/', '\\', ':', '*', '?', '[']))
}

/// Returns the subcommand that a word was probably meant for: at most two letters away, and at most half of the word.
pub(in crate::cli) fn meant(word: &OsStr) -> Option<String> {
    let text = word.to_str()?;
    let command = Args::command();
    let shown = command.get_subcommands().filter(|known| !known.is_hide_set());
    let near = shown.map(|known| (distance(text, known.get_name()), known.get_name()));
    let (steps, name) = near.min()?;
    (steps <= 2.min(text.len() / 2)).then(|| name.to_owned())
}

/// Returns the number of letters to add, remove or change (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (at, other) in to.bytes().enumerate() {
            let changed = before + usize::from(letter != other);
            before = row[at + 1];
            row[at + 1] = changed.min(before + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

/// Returns `true` if a command line requests JSON Lines, whatever is wrong with the rest of it. A `--json` that is the
/// value of another option does not count. An invalid command line has no result in another format either, so `--format
/// sarif` changes nothing.
pub(in crate::cli) fn wants_json(line: &[OsString]) -> bool {
    // The options of all commands are set up only if the answer depends on them: that takes a third of the start.
    let is_meant = |word: &OsString| word == "--json" || word.as_encoded_bytes().starts_with(b"--format");
    if !line.iter().any(is_meant) {
        return false;
    }
    let valued = Valued::of(&Args::command());
    let mut words = line.iter().skip(1).take_while(|word| *word != "--");
    let (mut is_json, mut format) = (false, None);
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        is_json |= text == "--json";
        if let Some(value) = text.strip_prefix("--format=") {
            format = Some(value);
        } else if text.starts_with('-') && valued.wants_next(text.as_bytes()) {
            let value = words.next().and_then(|value| value.to_str());
            format = value.filter(|_| text == "--format").or(format);
        }
    }
    is_json || format == Some("json")
}

/// The options of all commands that take a value.
struct Valued {
    long: BTreeSet<String>,
    short: BTreeSet<char>,
}

impl Valued {
    fn of(command: &clap::Command) -> Self {
        let commands = std::iter::once(command).chain(command.get_subcommands());
        let args: Vec<_> = commands
            .flat_map(clap::Command::get_arguments)
            .filter(|arg| !arg.is_positional() && arg.get_action().takes_values())
            .collect();
        Self {
            long: args.iter().filter_map(|arg| arg.get_long()).map(str::to_owned).collect(),
            short: args.iter().filter_map(|arg| arg.get_short()).collect(),
        }
    }

    /// Returns `true` if the next word is this option's value.
    fn wants_next(&self, option: &[u8]) -> bool {
        if let Some(long) = option.strip_prefix(b"--") {
            return std::str::from_utf8(long).is_ok_and(|long| self.long.contains(long));
        }
        let letters = option.get(1..).unwrap_or_default();
        let first = letters.iter().position(|&letter| self.short.contains(&char::from(letter)));
        first.is_some_and(|at| at + 1 == letters.len())
    }
}

fn first_positional(line: &[OsString], valued: &Valued) -> Option<usize> {
    let mut words = line.iter().enumerate().skip(1);
    while let Some((at, word)) = words.next() {
        match word.as_encoded_bytes() {
            b"--" => return None,
            option @ [b'-', _, ..] => {
                if valued.wants_next(option) {
                    words.next();
                }
            }
            _ => return Some(at),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_windows_has_one_separator() {
        let of = |word: &str| slashed(word.into()).into_string().unwrap();
        let windows = |to: &'static str, word: &'static str| if cfg!(windows) { to } else { word };
        assert_eq!(of(r"a\b/c"), windows("a/b/c", r"a\b/c"));
        assert_eq!(of(r"C:\a\"), windows("C:/a/", r"C:\a\"));
        assert_eq!(of(r"\\server\share"), windows("//server/share", r"\\server\share"));
        assert_eq!(of(r"\\?\C:\a"), r"\\?\C:\a");
    }
}
