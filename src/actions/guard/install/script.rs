//! Adds our lines to a hook, finds them, and removes them.
//!
//! ```text
//! #!/bin/sh                        theirs, or ours if there was no hook
//! # >>> git st-convert >>>
//! …                                a whole script except its first line (`hooks/` of the package)
//! # <<< git st-convert <<<
//! …                                theirs, untouched
//! ```
//!
//! Invariant: removing them restores the previous bytes. Our lines are first, because a script may end anywhere; a hook
//! that is not a suitable script is kept as it is, next to ours, which calls it.

use bstr::ByteSlice as _;

use super::shell;

const BEGIN: &[u8] = b"# >>> git st-convert >>>\n";
const END: &[u8] = b"# <<< git st-convert <<<\n";
/// Lines that earlier versions wrote outside the markers.
const EARLIER: [&[u8]; 5] = [
    b"# No pickle is committed.",
    b"# No merge brings a pickle.",
    b"# No pickle is pushed.",
    b"# No pickle is received.",
    b"# Git LFS adds no pre-push of its own where there is one, and without it pointers are pushed and objects are not.",
];
const SHELLS: [&[u8]; 7] = [b"sh", b"bash", b"dash", b"ash", b"ksh", b"zsh", b"busybox"];

/// An existing hook.
#[derive(Debug)]
pub(super) struct Existing {
    pub(super) bytes: Vec<u8>,
    /// `true` if git runs it.
    pub(super) is_executable: bool,
    pub(super) is_link: bool,
}

/// How to add our lines to a hook.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// The hook contains them already.
    Nothing,
    /// No hook exists.
    New,
    /// Replace it by these bytes.
    Into(Vec<u8>),
    /// Keep it under another name, and write ours.
    Beside,
}

/// How to restore a hook.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// It contains none of our lines.
    Nothing,
    /// It contains only our lines, or the hook that it calls takes its name.
    File,
    /// Replace it by these bytes.
    Back(Vec<u8>),
}

/// Plans how to add the lines of `script` to a hook.
pub(super) fn put(existing: Option<&Existing>, script: &[u8]) -> Put {
    let Some(existing) = existing else { return Put::New };
    let (_, ours, _) = parts(script);
    let (before, there, after) = parts(&existing.bytes);
    if !there.is_empty() {
        let is_same = there == ours && existing.is_executable;
        return if is_same { Put::Nothing } else { Put::Into([before, ours, after].concat()) };
    }
    match first_line(existing) {
        Some(first) => {
            let (first, rest) = existing.bytes.split_at(first);
            Put::Into([first, ours, rest].concat())
        }
        None => Put::Beside,
    }
}

/// Plans how to remove our lines from a hook.
pub(super) fn take(existing: &Existing, script: &[u8]) -> Take {
    let (before, there, after) = parts(&existing.bytes);
    if there.is_empty() {
        return Take::Nothing;
    }
    let (first, _, last) = parts(script);
    let is_earlier = before.lines().any(|line| EARLIER.contains(&line))
        && (bare(before), bare(after)) == (bare(first), bare(last));
    if (before, after) == (first, last) || is_earlier {
        Take::File
    } else {
        Take::Back([before, after].concat())
    }
}

/// Returns the lines of a text without comments.
fn bare(text: &[u8]) -> Vec<&[u8]> {
    text.lines().filter(|line| !line.starts_with(b"#") || line.starts_with(b"#!")).collect()
}

/// Returns `true` if the hook contains our lines.
pub(super) fn holds(bytes: &[u8]) -> bool {
    !parts(bytes).1.is_empty()
}

/// Returns the text before our lines, our lines, and the text after them. Markers in a text, or around lines without our
/// command, are the user's own.
fn parts(bytes: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (mut begin, mut has_call) = (None, false);
    for (at, line) in shell::lines(bytes) {
        if bytes[at..].starts_with(BEGIN) {
            (begin, has_call) = (Some(at), false);
        } else if bytes[at..].starts_with(END)
            && let Some(begin) = begin.take_if(|_| has_call)
        {
            let end = at + END.len();
            return (&bytes[..begin], &bytes[begin..end], &bytes[end..]);
        }
        has_call |= is_call(line);
    }
    (bytes, b"", b"")
}

/// Returns `true` for a line of a script that runs our check.
fn is_call(line: &[u8]) -> bool {
    line.contains_str("st-convert hook run ") && !line.trim_start().starts_with(b"#")
}

/// Returns the length of the first line of a shell script to which lines can be added; 0 for one without a `#!`.
fn first_line(existing: &Existing) -> Option<usize> {
    let bytes = &existing.bytes;
    if !existing.is_executable || existing.is_link || bytes.contains(&0) || bytes.contains_str("\r\n") {
        return None;
    }
    // git runs a text without `#!` in a shell.
    let Some(line) = bytes.strip_prefix(b"#!") else { return (!bytes.is_empty()).then_some(0) };
    let end = line.find_byte(b'\n')?;
    let words: Vec<_> = line[..end].fields().collect();
    let name = |word: &&[u8]| word.rfind_byte(b'/').map_or(0, |slash| slash + 1);
    let program = words.first().map(|word| &word[name(word)..])?;
    let program = if program == b"env" { words.get(1).copied()? } else { program };
    SHELLS.contains(&program).then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &[u8] =
        b"#!/bin/sh\n# ours\n# >>> git st-convert >>>\ngit st-convert hook run x || exit\n# <<< git st-convert <<<\nlast\n";

    fn hook(bytes: &[u8]) -> Existing {
        Existing { bytes: bytes.to_vec(), is_executable: true, is_link: false }
    }

    #[test]
    fn a_hook_of_an_earlier_version_is_taken_away_whole() {
        let earlier = SCRIPT
            .replace("# ours", EARLIER[0])
            .replace("git st-convert hook run x || exit", "git st-convert hook run y || exit");
        assert_eq!(take(&hook(&earlier), SCRIPT), Take::File);
        let theirs = SCRIPT.replace("# ours", "# mine");
        assert_eq!(take(&hook(&theirs), SCRIPT), Take::Back(b"#!/bin/sh\n# mine\nlast\n".to_vec()));
    }

    #[test]
    fn what_is_put_in_is_taken_out_byte_for_byte() {
        for text in [
            &b"#!/bin/sh\necho one\n"[..],
            b"#!/usr/bin/env bash\nexit 0",
            b"#! /bin/dash -e\n",
            b"#!/bin/sh\n",
            b"echo no program\n",
            b"#!/bin/sh\n# ours\n",
        ] {
            let Put::Into(with) = put(Some(&hook(text)), SCRIPT) else { panic!("{}", text.as_bstr()) };
            assert!(holds(&with) && with.contains_str("git st-convert hook run x || exit\n"));
            assert_eq!(put(Some(&hook(&with)), SCRIPT), Put::Nothing, "it was put in twice");
            assert_eq!(take(&hook(&with), SCRIPT), Take::Back(text.to_vec()));
        }
    }

    #[test]
    fn markers_in_a_text_of_the_user_are_not_our_lines() {
        let ours = &SCRIPT[SCRIPT.find(BEGIN).unwrap()..SCRIPT.len() - b"last\n".len()];
        let commented = ours.replace("git st", "# git st");
        let in_document = [b"#!/bin/sh\ncat <<'EOF'\n", ours, b"EOF\n"].concat();
        let in_quotes = [b"#!/bin/sh\necho '\n", ours, b"'\n"].concat();
        let in_comments = [b"#!/bin/sh\n", &*commented].concat();
        let in_words = [b"#!/bin/sh\necho ", ours].concat();
        for text in [in_document, in_quotes, in_comments, in_words] {
            assert!(!holds(&text), "{}", text.as_bstr());
            assert_eq!(take(&hook(&text), SCRIPT), Take::Nothing);
            let Put::Into(with) = put(Some(&hook(&text)), SCRIPT) else { panic!("{}", text.as_bstr()) };
            assert_eq!(put(Some(&hook(&with)), SCRIPT), Put::Nothing);
            assert_eq!(take(&hook(&with), SCRIPT), Take::Back(text));
        }
        // The first markers are those of a comment.
        let both = [b"#!/bin/sh\n", &*commented, BEGIN, ours].concat();
        assert_eq!(take(&hook(&both), SCRIPT), Take::Back([b"#!/bin/sh\n", &*commented, BEGIN].concat()));
    }

    #[test]
    fn what_is_no_shell_script_is_kept_beside() {
        for text in [
            &b"#!/usr/bin/env python3\nprint(1)\n"[..],
            b"\x7fELF\0\0",
            b"#!/bin/sh",
            b"#!/bin/sh\r\necho\r\n",
            b"#!/usr/bin/env -S bash\n",
            b"",
        ] {
            assert_eq!(put(Some(&hook(text)), SCRIPT), Put::Beside, "{}", text.as_bstr());
        }
        let link = Existing { is_link: true, ..hook(b"#!/bin/sh\n") };
        assert_eq!(put(Some(&link), SCRIPT), Put::Beside);
        let sleeping = Existing { is_executable: false, ..hook(b"#!/bin/sh\n") };
        assert_eq!(put(Some(&sleeping), SCRIPT), Put::Beside);
    }

    #[test]
    fn lines_of_another_version_are_replaced_and_a_hook_of_ours_is_known() {
        let old = SCRIPT.replace("hook run x", "hook run y");
        assert_eq!(put(Some(&hook(&old)), SCRIPT), Put::Into(SCRIPT.to_vec()));
        assert_eq!(put(None, SCRIPT), Put::New);
        assert_eq!(take(&hook(&old), SCRIPT), Take::File);
        assert_eq!(take(&hook(b"#!/bin/sh\n"), SCRIPT), Take::Nothing);
        let more = [SCRIPT, b"echo more\n"].concat();
        assert_eq!(take(&hook(&more), SCRIPT), Take::Back(b"#!/bin/sh\n# ours\nlast\necho more\n".to_vec()));
    }
}
