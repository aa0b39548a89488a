//! Runs every hint of the program: its command is pasted in the situation that prints it.
//!
//! A row names a hint, and the required effect of its command: it does what was requested, it lets the failed command
//! succeed, or it prints a list. In no case may it lose content of the user. A test reads the hints from the source, so
//! that a new one needs a row.

mod checkpoints;
mod commands;
mod hub;
mod output;
mod repository;
mod situation;
mod source;
mod words;

use std::sync::Mutex;

use situation::Situation;
pub(crate) use situation::skipped;

use crate::sandbox::Output;

/// The required effect of a pasted command.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// It does what was requested.
    Does,
    /// It succeeds, and then the failed command also succeeds.
    Helps,
    /// It prints this text.
    Tells(&'static str),
    /// The hint has no command, and the user takes this one.
    Advice(&'static str),
    /// The hint needs something that this machine does not have, or that is the user's: only the situation is tested.
    Said,
}

/// A hint, its situation, and the required effect.
struct Row {
    /// The whole text; `{}` stands for parts that differ between runs.
    hint: &'static str,
    situation: fn() -> Situation,
    /// The command that prints it.
    command: &'static str,
    /// The user's values for the words in capitals.
    fill: &'static [(&'static str, &'static str)],
    then: Then,
}

const fn row(hint: &'static str, situation: fn() -> Situation, command: &'static str, then: Then) -> Row {
    Row { hint, situation, command, fill: &[], then }
}

impl Row {
    const fn with(self, fill: &'static [(&'static str, &'static str)]) -> Self {
        Self { fill, ..self }
    }

    /// Returns what is wrong with the hint, if anything.
    fn fault(&self) -> Option<String> {
        let situation = (self.situation)();
        let output = situation.paste(self.command);
        let Some(hint) = output.stderr.lines().chain(output.stdout.lines()).find_map(|line| {
            // The hint follows its label, or is at the end of a note.
            let ends =
                line.match_indices(": ").chain(line.match_indices("; ")).map(|(at, _)| &line[at + 2..]);
            std::iter::once(line.trim_start())
                .chain(ends)
                .find(|hint| matches(hint, self.hint))
                .map(str::to_owned)
        }) else {
            return Some(format!("not printed: {output:#?}"));
        };
        let command = match self.then {
            Then::Said => return None,
            Then::Advice(command) => command.to_owned(),
            _ => {
                let Some((_, rest)) = hint.split_once('`') else {
                    return Some("without a command".to_owned());
                };
                let rest = hint.split_once(": `").map_or(rest, |(_, rest)| rest);
                rest.split('`').next().unwrap_or_default().to_owned()
            }
        };
        let command = self.fill.iter().fold(command, |text, (word, value)| text.replace(word, value));
        let before = situation.contents();
        let pasted = situation.paste(&command);
        let lost = situation.lost(&before);
        let wrong = |what: &str, output: &Output| Some(format!("{what}: {command}: {output:#?}"));
        if !lost.is_empty() {
            return wrong(&format!("lost {lost:?}"), &pasted);
        }
        match self.then {
            Then::Does | Then::Advice(_) if pasted.code != Some(0) => wrong("does not do it", &pasted),
            Then::Tells(text) if !format!("{}{}", pasted.stdout, pasted.stderr).contains(text) => {
                wrong("does not tell it", &pasted)
            }
            Then::Helps if pasted.code != Some(0) => wrong("fails", &pasted),
            Then::Helps => {
                let again = situation.paste(self.command);
                if again.code == Some(0) { None } else { wrong("does not help", &again) }
            }
            _ => None,
        }
    }
}

/// Returns `true` if a hint has this form.
fn matches(hint: &str, form: &str) -> bool {
    let mut parts = form.split("{}");
    let Some(mut rest) = hint.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    for part in parts {
        let Some(at) = (if part.is_empty() { Some(rest.len()) } else { rest.find(part) }) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// Tests each row of a table, two at a time.
#[track_caller]
fn check(rows: &[Row]) {
    if !situation::has_lfs() {
        return skipped("git-lfs is not installed, so no hint was pasted");
    }
    let (next, faults) = (Mutex::new(rows.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(row) = next.lock().unwrap().next() else { return };
                    if let Some(fault) = row.fault() {
                        faults.lock().unwrap().push(format!("{} ({})\n    {fault}\n", row.hint, row.command));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} hints:\n{}", faults.len(), faults.concat());
}

#[test]
fn a_repository_of_another_user_is_trusted_by_its_hint() {
    let situation = Situation::new().with("a.bin", "tied-2.bin");
    if situation.paste("chown -R 12345 .").code != Some(0) {
        return skipped("not root, so no repository is another user's");
    }
    drop(situation);
    let other = || Situation::new().with("a.bin", "tied-2.bin").sh("chown -R 12345 .");
    check(&[row(
        "if you trust it: `git config --global --add safe.directory {}`",
        other,
        "git-st-convert a.bin",
        Then::Helps,
    )]);
}

#[test]
fn a_form_is_the_whole_hint() {
    assert!(matches("read it: `a 12 b`", "read it: `a {} b`"));
    assert!(!matches("read it: `a 12 b` or so", "read it: `a {} b`"));
    assert!(!matches("read it: `a 12 c`", "read it: `a {} b`"));
}
