//! The first word that is no option: the name of a subcommand, or a path of the bare form.
//!
//! Invariant: it is found whatever options stand before it, and no value of an option is taken for it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::CommandFactory as _;

use super::Args;

/// Puts the subcommand right behind the program, so that options may stand before it.
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

/// The subcommand that a word was meant for, by clap's measure.
pub(in crate::cli) fn meant(word: &OsStr) -> Option<String> {
    // Whoever writes a dot or a slash means a file.
    let text = word.to_str().filter(|word| word.chars().all(char::is_alphabetic))?;
    let command = Args::command();
    let guess = clap::Command::default().no_binary_name(true).subcommand_required(true);
    let error = guess.subcommands(command.get_subcommands()).try_get_matches_from([text]).err()?;
    match error.get(clap::error::ContextKind::SuggestedSubcommand)? {
        clap::error::ContextValue::Strings(names) => names.last().cloned(),
        _ => None,
    }
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

    /// Is the next word this option's value?
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
