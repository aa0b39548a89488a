//! Finds the system's configuration file of the git in use.
//!
//! The library that opens repositories reads `/etc/gitconfig`, as the git of a distribution does. A git of another prefix
//! reads another file (`/usr/local/etc/gitconfig`), and so does one in a wrapper that sets `GIT_CONFIG_SYSTEM`.
//!
//! Invariant: git is asked at most once per process, and not if the answer is known.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bstr::ByteSlice as _;

use super::command::{Git, variable};
use super::error::Error;

/// Returns the system file of the git in use, if it may be another one than that of the library.
pub fn system_file() -> Option<&'static Path> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    FILE.get_or_init(|| {
        // The library reads no system file, as git, or finds those of Git for Windows.
        if cfg!(windows) || variable("GIT_CONFIG_NOSYSTEM").is_some_and(|value| is_true(&value)) {
            return None;
        }
        let git = Git::at("/").ok()?;
        if is_of_distribution(git.program()) { None } else { asked(&git) }
    })
    .as_deref()
}

/// Returns `true` if git reads a variable as true.
fn is_true(value: &OsStr) -> bool {
    let text = value.to_string_lossy().to_ascii_lowercase();
    match text.as_str() {
        "true" | "yes" | "on" => true,
        number => number.parse::<i64>().is_ok_and(|number| number != 0),
    }
}

/// Returns `true` for a program, and not a wrapper, that was built for the prefix `/usr`.
fn is_of_distribution(program: &Path) -> bool {
    let Ok(program) = program.canonicalize() else { return false };
    let is_usual = ["/usr/bin", "/usr/lib/git-core", "/usr/libexec/git-core"];
    let mut head = [0; 2];
    let read = File::open(&program).and_then(|mut file| file.read_exact(&mut head));
    program.parent().is_some_and(|dir| is_usual.iter().any(|usual| dir == Path::new(usual)))
        && read.is_ok()
        && head != *b"#!"
}

/// Asks git. Before version 2.41, only a list of its settings, or the error about a missing file, contains the path.
fn asked(git: &Git<'_>) -> Option<PathBuf> {
    if let Ok(answer) = git.command("var").args(["GIT_CONFIG_SYSTEM"]).run() {
        return Some(PathBuf::from(answer.text())).filter(|path| path.is_absolute());
    }
    let listed = git.command("config").args(["--system", "--show-origin", "-z", "--list"]).run();
    let path = match &listed {
        Ok(answer) => answer.stdout.split_str("\0").next()?.strip_prefix(b"file:")?,
        Err(Error::Failed { stderr, .. }) => stderr.0.split('\'').nth(1)?.as_bytes(),
        Err(_) => return None,
    };
    Some(path.to_path().ok()?.to_owned()).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_is_that_of_git() {
        for (text, expected) in [
            ("1", true),
            ("TRUE", true),
            ("yes", true),
            ("2", true),
            ("0", false),
            ("", false),
            ("no", false),
        ] {
            assert_eq!(is_true(text.as_ref()), expected, "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn git_is_asked_for_its_file() {
        let git = Git::at("/").unwrap();
        if variable("GIT_CONFIG_NOSYSTEM").is_none() {
            let path = asked(&git).unwrap();
            assert!(path.ends_with("gitconfig") || variable("GIT_CONFIG_SYSTEM").is_some(), "{path:?}");
        }
    }
}
