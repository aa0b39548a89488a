//! Resolves pathspecs to files by git itself.
//!
//! Invariant: git matches them, with the settings of its own options (`--literal-pathspecs`, `--icase-pathspecs`), from
//! the current directory of the user. Nothing is fetched.
#![expect(clippy::disallowed_methods, reason = "git hands these options on in the environment")]

use std::ffi::{OsStr, OsString};

use bstr::{BStr, BString, ByteSlice as _};

use super::command::Git;
use super::error::Error;

/// The most bytes of a list of files.
const MAX_LISTING: u64 = 1 << 30;

/// The sources of files in addition to the index and the working tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources {
    /// Files of `HEAD` that the index does not contain; `HEAD` must exist.
    pub head: bool,
    /// Ignored files.
    pub ignored: bool,
}

/// Returns `true` if an argument can match more, or fewer, files than the file of that name.
pub fn is_pathspec(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    // A backslash is a separator on Windows, for git too.
    let is_special = |byte: &u8| b"*?[".contains(byte) || *byte == b'\\' && !cfg!(windows);
    !is_literal() && (word.starts_with(b":") || word.iter().any(is_special))
}

/// Returns `true` if an argument excludes files from the matches of the others: `:!`, `:^`, `:(exclude)`.
pub fn is_exclusion(word: &OsStr) -> bool {
    if is_literal() {
        return false;
    }
    let Some(magic) = word.as_encoded_bytes().strip_prefix(b":") else { return false };
    if let Some(long) = magic.strip_prefix(b"(") {
        let end = long.iter().position(|byte| *byte == b')').unwrap_or(long.len());
        let mut names = long.get(..end).unwrap_or_default().split(|byte| *byte == b',');
        return names.any(|name| name == b"exclude");
    }
    let mut short = magic.iter().take_while(|byte| b"/!^".contains(byte));
    short.any(|byte| *byte != b'/')
}

/// Returns the pathspec for a path from the top and everything below it, whatever characters it has.
pub fn literal(path: &BStr) -> OsString {
    let mut spec = OsString::from(if path.is_empty() { ":(top)" } else { ":(top,literal)" });
    spec.push(path.to_path_lossy().as_os_str());
    spec
}

/// Returns the files of the index and the working tree that pathspecs match, by their paths from the top.
///
/// # Errors
/// As any command, also if a pathspec is invalid or outside the repository.
pub fn files<'a>(
    git: &Git<'_>,
    specs: impl IntoIterator<Item = &'a OsStr>,
    sources: Sources,
) -> Result<Vec<BString>, Error> {
    let mut command = git.command("ls-files").env("GIT_NO_LAZY_FETCH", "1");
    command = command.args(["-z", "--full-name", "--cached", "--others"]);
    if !sources.ignored {
        command = command.args(["--exclude-standard"]);
    }
    if sources.head {
        command = command.args(["--with-tree=HEAD"]);
    }
    let answer = command.args(["--"]).args(specs).limit(MAX_LISTING).run()?;
    let paths = answer.stdout.split(|byte| *byte == 0);
    Ok(paths.filter(|path| !path.is_empty() && !path.ends_with(b"/")).map(BString::from).collect())
}

/// Returns `true` if git treats every pathspec as a name.
fn is_literal() -> bool {
    let value = std::env::var_os("GIT_LITERAL_PATHSPECS").unwrap_or_default();
    !matches!(value.to_ascii_lowercase().as_encoded_bytes(), b"" | b"0" | b"false" | b"no" | b"off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_away_is_told_by_its_magic() {
        for word in [":!a", ":^a", ":/!a", ":!/a", ":(exclude)a", ":(top,exclude)a", ":(icase,exclude)", ":^"]
        {
            assert!(is_exclusion(word.as_ref()) && is_pathspec(word.as_ref()), "{word}");
        }
        for word in ["!a", "^a", "a:!b", ":a!", ":/a!", ":(top)!a", ":(excluded)a", ":", ""] {
            assert!(!is_exclusion(word.as_ref()), "{word}");
        }
    }

    #[test]
    fn a_plain_name_is_no_pathspec() {
        for word in ["a.bin", "a/b c", "./-n", "a:b", ""] {
            assert!(!is_pathspec(word.as_ref()), "{word}");
        }
        for word in ["*.bin", "a?", "a[1].bin", ":/", ":"] {
            assert!(is_pathspec(word.as_ref()), "{word}");
        }
        assert_eq!(is_pathspec("a\\b".as_ref()), !cfg!(windows));
    }
}
