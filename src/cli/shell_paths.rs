//! [`Here`] is the user's directory; it formats file names for commands that are pasted there.
//!
//! A hint is a command for a POSIX shell, or for the shells of Windows, in the directory where the program was called.
//! git calls a hook at the top of the working tree and sets `GIT_PREFIX` to the directory where git itself was called;
//! for `git -C DIR` that is DIR, as in all output of git.
//!
//! Invariant: a name means exactly one file, whatever bytes it has: no shell, no pathspec and no option parser
//! interprets it as anything else. Formatting a hint opens no file and runs no git.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bstr::{BStr, BString, ByteSlice as _};

use super::{args, sanitize};
use crate::repo::{Entry, Mode, Repo};

/// A file of an error.
#[derive(Debug, Clone, Copy)]
pub(super) enum File<'a> {
    /// A path from the top of the repository.
    OfTop(&'a BStr),
    /// A path as it was given, from the working directory of the command.
    Given(&'a BStr),
}

impl<'a> File<'a> {
    /// Returns its name for messages.
    pub(super) fn name(self) -> &'a BStr {
        match self {
            Self::OfTop(name) | Self::Given(name) => name,
        }
    }

    /// Returns another file that is named in the same way.
    pub(super) fn beside(self, name: &BStr) -> File<'_> {
        match self {
            Self::OfTop(_) => File::OfTop(name),
            Self::Given(_) => File::Given(name),
        }
    }
}

/// The given options and paths, which a repeated command must contain.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Each by its long name, and as quoted for a shell.
    options: Vec<(&'static str, String)>,
    paths: Vec<BString>,
}

impl Given {
    pub(super) fn of(paths: &[OsString]) -> Self {
        let paths = paths.iter().map(|path| path.as_encoded_bytes().into()).collect();
        Self { options: Vec::new(), paths }
    }

    /// Adds an option without a value, if it was given.
    pub(super) fn flag(&mut self, option: &'static str, is_given: bool) {
        if is_given {
            self.options.push((option, option.to_owned()));
        }
    }

    /// Adds an option with its value.
    pub(super) fn value(&mut self, option: &'static str, value: &BStr) {
        self.options.push((option, format!("{option} {}", shell(value))));
    }
}

/// A file outside of the repository: the directory in which a command finds it, and its path from there.
pub(super) struct Place {
    pub(super) dir: BString,
    pub(super) rest: BString,
    /// The directory is the top of a repository.
    pub(super) is_in_repository: bool,
}

/// The user's directory.
#[derive(Debug, Default)]
pub(super) struct Here {
    /// The working directory of the command; `None` if it is not known.
    cwd: Option<PathBuf>,
    /// The name of that directory for the user, unless it is the user's own.
    elsewhere: Option<PathBuf>,
    /// The command, as typed after `git st-convert`; empty if it is not known.
    command: String,
    /// The given options and paths.
    given: Given,
    /// That directory from the top of the repository: empty, or with a slash at its end.
    prefix: OnceLock<BString>,
}

impl Here {
    /// Creates it for a command that works in `cwd`.
    pub(super) fn new(cwd: &Path) -> Self {
        let process = std::env::current_dir().unwrap_or_default();
        let elsewhere = cwd.strip_prefix(&process).unwrap_or(cwd).to_owned();
        let elsewhere = Some(elsewhere).filter(|dir| !dir.as_os_str().is_empty());
        Self { cwd: Some(cwd.to_owned()), elsewhere, ..Self::default() }
    }

    /// Returns it with these options and paths.
    pub(super) fn with(self, given: Given) -> Self {
        Self { given, ..self }
    }

    /// Returns it with this command, as typed.
    pub(super) fn of(self, command: impl Into<String>) -> Self {
        Self { command: command.into(), ..self }
    }

    /// Returns the command, as typed after `git st-convert`.
    pub(super) fn command(&self) -> &str {
        &self.command
    }

    /// Returns the first given argument other than options, quoted for a shell.
    pub(super) fn first(&self) -> Option<String> {
        self.given.paths.first().map(|path| quoted(path.as_bstr()))
    }

    /// Returns the value of a given option, quoted for a shell.
    pub(super) fn value_of(&self, option: &str) -> Option<&str> {
        let (_, text) = self.given.options.iter().find(|(name, _)| *name == option)?;
        text.strip_prefix(option)?.strip_prefix(' ')
    }

    /// Returns `true` if the directory is in a repository.
    pub(super) fn is_in_repository(&self) -> bool {
        self.cwd.as_deref().is_some_and(|cwd| Repo::discover(cwd).is_ok_and(|found| found.is_some()))
    }

    /// Returns the entry of a file in git's index; `None` for a link and a submodule.
    pub(super) fn entry_of(&self, file: File<'_>) -> Option<Entry> {
        let cwd = self.cwd.as_deref()?;
        let repo = Repo::discover(cwd).ok()??;
        let path = match file {
            File::OfTop(name) => name.to_owned(),
            File::Given(name) => repo.path_of(cwd, name.to_os_str().ok()?).ok()?,
        };
        let is_it = |entry: &Entry| entry.path == path && matches!(entry.mode, Mode::File | Mode::Executable);
        repo.entries().ok()?.into_iter().find(is_it)
    }

    /// Returns the command that brings files outside of a sparse checkout into the working tree.
    pub(super) fn check_out(&self, files: &[File<'_>]) -> String {
        let all = |one: &dyn Fn(&File<'_>) -> String| files.iter().map(one).collect::<Vec<_>>().join(" ");
        let (arguments, pathspecs) = (all(&|file| self.argument(*file)), all(&|file| self.pathspec(*file)));
        let git = self.git();
        // `git restore --ignore-skip-worktree-bits` does not find files of a sparse index.
        format!("{git} update-index --no-skip-worktree {arguments} && {git} restore {pathspecs}")
    }

    /// Returns the location of a given file outside of the repository; `None` if it does not exist.
    pub(super) fn place_of(&self, given: &Path) -> Option<Place> {
        let full = self.cwd.as_deref()?.join(given);
        let is_dir = full.metadata().ok()?.is_dir();
        let dir = if is_dir { &*full } else { full.parent()? };
        let repo = Repo::discover_for_hook(dir).ok().flatten().filter(|repo| !repo.is_bare());
        let top = match &repo {
            Some(repo) => repo.work_dir().canonicalize().ok()?,
            None => dir.canonicalize().ok()?,
        };
        let below = dir.canonicalize().ok()?.strip_prefix(&top).ok()?.to_owned();
        let rest = if is_dir { below } else { below.join(full.file_name()?) };
        // The path stays as it was given, if it leads to the top.
        let steps = rest.components().count();
        let text = given.ancestors().nth(steps).filter(|text| !text.as_os_str().is_empty());
        let is_top = |text: &&Path| {
            self.cwd.as_deref().is_some_and(|cwd| cwd.join(text).canonicalize().is_ok_and(|real| real == top))
        };
        let dir = text.filter(is_top).unwrap_or(&top);
        let bytes = |path: &Path| BString::from(path.as_os_str().as_encoded_bytes());
        Some(Place { dir: bytes(dir), rest: bytes(&rest), is_in_repository: repo.is_some() })
    }

    /// Returns the given options, each after a space.
    pub(super) fn options(&self) -> String {
        self.options_but(&[])
    }

    /// Returns them without some, which the repeated command does not accept, or sets itself.
    pub(super) fn options_but(&self, left_out: &[&str]) -> String {
        self.options_where(|option| !left_out.contains(&option))
    }

    /// Returns those that another command also accepts.
    pub(super) fn options_of(&self, taken: &[&str]) -> String {
        self.options_where(|option| taken.contains(&option))
    }

    fn options_where(&self, keeps: impl Fn(&str) -> bool) -> String {
        let kept = self.given.options.iter().filter(|(option, _)| keeps(option));
        kept.fold(String::new(), |text, (_, option)| text + " " + option)
    }

    /// Returns the given paths, each after a space.
    pub(super) fn paths(&self) -> String {
        let paths = self.given.paths.iter().map(|path| self.argument(File::Given(path.as_bstr())));
        paths.fold(String::new(), |text, path| text + " " + &path)
    }

    /// Returns the given path, if it is the only one.
    pub(super) fn path_given(&self) -> Option<File<'_>> {
        match &*self.given.paths {
            [path] => Some(File::Given(path.as_bstr())),
            _ => None,
        }
    }

    /// Creates it for a hook that works in `cwd`, with the `GIT_PREFIX` that git set for it.
    pub(super) fn in_hook(cwd: &Path, prefix: Option<&OsStr>) -> Self {
        match prefix {
            Some(prefix) => {
                Self { prefix: BString::from(prefix.as_encoded_bytes()).into(), ..Self::default() }
            }
            None => Self::new(cwd),
        }
    }

    /// Returns `git`, with `-C` if it must run in another directory.
    pub(super) fn git(&self) -> String {
        match &self.elsewhere {
            Some(dir) => format!("git -C {}", quoted_path(dir)),
            None => "git".to_owned(),
        }
    }

    /// Returns an argument for `git st-convert`, and for other commands that accept a path of the working tree.
    pub(super) fn argument(&self, file: File<'_>) -> String {
        let name = self.relative(file);
        let is_command = name.to_str().is_ok_and(args::is_subcommand);
        if is_command { format!("./{}", quoted(name.as_bstr())) } else { quoted(name.as_bstr()) }
    }

    /// Returns a pathspec that matches only this file.
    pub(super) fn pathspec(&self, file: File<'_>) -> String {
        let name = self.relative(file);
        if name.starts_with(b":") || name.find_byteset(br"*?[\").is_some() {
            shell([b":(literal)", name.as_slice()].concat().as_bstr())
        } else {
            quoted(name.as_bstr())
        }
    }

    /// Returns an argument for any other program, or the target of a redirection.
    pub(super) fn path(&self, file: File<'_>) -> String {
        let name = self.relative(file);
        match &self.elsewhere {
            Some(dir) if !name.starts_with(b"/") => {
                let dir = dir.as_os_str().as_encoded_bytes();
                quoted([dir, b"/", name.as_slice()].concat().as_bstr())
            }
            _ => quoted(name.as_bstr()),
        }
    }

    /// Returns `false` outside any repository, bare ones included: there git-lfs downloads nothing.
    pub(super) fn has_lfs(&self) -> bool {
        !matches!(self.cwd.as_deref().map(Repo::discover_for_hook), Some(Ok(None)))
    }

    /// Returns the arguments with which git downloads objects: without a working tree, they are not checked out.
    pub(super) fn lfs_download(&self, patterns: &str) -> String {
        let found = self.cwd.as_deref().map(Repo::discover_for_hook);
        let is_bare = matches!(found, Some(Ok(Some(repo))) if repo.is_bare());
        format!("lfs {} --include {patterns}", if is_bare { "fetch" } else { "pull" })
    }

    /// Returns a pattern of `git lfs pull --include` for these files, which is always relative to the top.
    pub(super) fn lfs_pattern<'a>(&self, files: impl IntoIterator<Item = File<'a>>) -> String {
        let mut pattern = BString::default();
        for file in files {
            let name = match file {
                File::OfTop(name) => name.to_owned(),
                File::Given(name) => self.whole(name),
            };
            if !pattern.is_empty() {
                pattern.push(b',');
            }
            for &byte in name.as_slice() {
                match byte {
                    // A comma ends a pattern, and cannot be escaped.
                    b',' => pattern.push(b'?'),
                    b'*' | b'?' | b'[' | b']' | b'\\' => pattern.extend([b'\\', byte]),
                    byte => pattern.push(byte),
                }
            }
        }
        let pattern = shell(pattern.as_bstr());
        if pattern.starts_with(['\'', '"']) { pattern } else { format!("\"{pattern}\"") }
    }

    fn prefix(&self) -> &BStr {
        let found = || {
            let cwd = self.cwd.as_deref()?.canonicalize().ok()?;
            let below = Repo::discover(&cwd).ok()??.path_of(&cwd, OsStr::new(".")).ok()?;
            Some(below).filter(|below| !below.is_empty()).map(|below| [&below[..], b"/"].concat().into())
        };
        self.prefix.get_or_init(|| found().unwrap_or_default()).as_bstr()
    }

    fn relative(&self, file: File<'_>) -> BString {
        let name = match file {
            File::Given(name) => return name.to_owned(),
            File::OfTop(name) => name,
        };
        let (mut dir, mut rest) = (self.prefix(), name);
        while let Some((first, below)) = dir.split_once_str("/")
            && let Some(inside) = rest.strip_prefix(first).and_then(|rest| rest.strip_prefix(b"/"))
        {
            (dir, rest) = (below.as_bstr(), inside.as_bstr());
        }
        [&b"../".repeat(dir.find_iter("/").count()), rest.as_bytes()].concat().into()
    }

    /// Returns the given path from the top, or only its last part if the directory is not known.
    fn whole(&self, given: &BStr) -> BString {
        let mut parts: Vec<&[u8]> = self.prefix().split_str("/").filter(|part| !part.is_empty()).collect();
        for part in given.split_str("/") {
            match part {
                b"" | b"." => {}
                b".." if parts.pop().is_some() => {}
                part => parts.push(part),
            }
        }
        let is_known = !given.starts_with(b"/") && !parts.contains(&b"..".as_slice());
        let parts = if is_known { &parts[..] } else { &parts[parts.len().saturating_sub(1)..] };
        bstr::join("/", parts).into()
    }
}

pub(super) fn quoted_path(path: &Path) -> String {
    quoted(path.as_os_str().as_encoded_bytes().as_bstr())
}

/// Quotes a name for a POSIX shell, so that no program reads it as an option.
pub(super) fn quoted(name: &BStr) -> String {
    if name.starts_with(b"-") { shell([b"./", name.as_bytes()].concat().as_bstr()) } else { shell(name) }
}

/// Quotes a name for the shells of this system: unchanged, in quotes, or by `printf` if it is unsafe on a terminal.
pub(super) fn shell(name: &BStr) -> String {
    let quoted = |text: &str| if cfg!(windows) { for_windows(text) } else { for_posix(text) };
    match name.to_str() {
        Ok(text) if !text.chars().any(sanitize::is_unsafe) => quoted(text),
        _ => {
            let mut printed = String::new();
            for &byte in name.as_bytes() {
                let _infallible = match byte {
                    b'%' => printed.write_str("%%"),
                    b'\\' | b'\'' => write!(printed, "\\{byte:03o}"),
                    b' '..=b'~' => printed.write_char(char::from(byte)),
                    _ => write!(printed, "\\{byte:03o}"),
                };
            }
            format!("\"$(printf '{printed}')\"")
        }
    }
}

fn for_posix(text: &str) -> String {
    if is_plain(text, b"_-./+=:@%,") { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Quotes for `cmd`, PowerShell and the `sh` of Git for Windows, as far as one text has the same meaning in all three: `cmd`
/// knows no single quotes, and the others expand `$` within double quotes. A word with such a letter is for PowerShell.
fn for_windows(text: &str) -> String {
    if is_plain(text, b"_-./+=:") {
        text.to_owned()
    } else if text.contains(['"', '$', '`', '%', '!', '\\']) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{text}\"")
    }
}

/// Returns `true` for a word of letters, digits and these signs, which needs no quotes.
fn is_plain(text: &str, signs: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || signs.contains(byte) || !byte.is_ascii();
    !text.is_empty() && text.as_bytes().iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(prefix: &str) -> Here {
        Here::in_hook(Path::new(""), Some(prefix.as_ref()))
    }

    #[test]
    fn names_are_quoted_for_the_shells_of_windows() {
        for (name, expected) in [
            ("a/b-1.bin", "a/b-1.bin"),
            ("C:/models/a.bin", "C:/models/a.bin"),
            ("模型.bin", "模型.bin"),
            ("a b", "\"a b\""),
            ("it's", "\"it's\""),
            ("*.bin", "\"*.bin\""),
            ("a&b|c^d(e)", "\"a&b|c^d(e)\""),
            ("a,b", "\"a,b\""),
            ("@a", "\"@a\""),
            ("", "\"\""),
            ("$HOME", "'$HOME'"),
            ("100%", "'100%'"),
            ("it's $5", "'it''s $5'"),
            (r"\\?\C:\a", r"'\\?\C:\a'"),
        ] {
            assert_eq!(for_windows(name), expected, "{name}");
        }
    }

    /// Returns a text in the quotes of this system.
    fn in_quotes(text: &str) -> String {
        if cfg!(windows) { format!("\"{text}\"") } else { format!("'{text}'") }
    }

    #[cfg(not(windows))]
    #[test]
    fn names_are_quoted_for_a_shell() {
        for (name, expected) in [
            ("a/b-1.bin", "a/b-1.bin"),
            ("模型.bin", "模型.bin"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$(rm)", "'$(rm)'"),
            ("-n", "./-n"),
            ("", "''"),
            ("-a\n%b", "\"$(printf './-a\\012%%b')\""),
        ] {
            assert_eq!(quoted(name.into()), expected);
        }
        assert_eq!(quoted(b"\xff'\\".into()), "\"$(printf '\\377\\047\\134')\"");
    }

    #[test]
    fn a_file_is_named_from_where_a_person_stands() {
        for (prefix, name, expected) in [
            ("", "a/b.bin", "a/b.bin"),
            ("a/", "a/b.bin", "b.bin"),
            ("a/", "ab.bin", "../ab.bin"),
            ("a/b/", "a/c/d.bin", "../c/d.bin"),
            ("a/b/", "d.bin", "../../d.bin"),
            ("a/", "-n", "../-n"),
            ("a/", "a/-n", "./-n"),
            ("", "scan", "./scan"),
            ("", "help", "./help"),
            ("a/", "scan", "../scan"),
        ] {
            assert_eq!(standing(prefix).argument(File::OfTop(name.into())), expected);
        }
        assert_eq!(standing("a/").argument(File::Given("b.bin".into())), "b.bin");
    }

    #[test]
    fn a_pathspec_is_literal_where_it_has_to_be() {
        for (name, expected) in [
            ("a.bin", "a.bin".to_owned()),
            ("a[1].bin", in_quotes(":(literal)a[1].bin")),
            (":a", in_quotes(":(literal):a")),
            ("a b*", in_quotes(":(literal)a b*")),
        ] {
            assert_eq!(standing("").pathspec(File::OfTop(name.into())), expected);
        }
        assert_eq!(standing("a/").pathspec(File::OfTop(":a".into())), "../:a");
    }

    #[test]
    fn a_pattern_of_git_lfs_counts_from_the_top() {
        let pattern = |file| standing("a/").lfs_pattern([file]);
        assert_eq!(pattern(File::OfTop("a.bin".into())), "\"a.bin\"");
        assert_eq!(pattern(File::OfTop("a b,c[1].bin".into())), "'a b?c\\[1\\].bin'");
        assert_eq!(pattern(File::Given("./b.bin".into())), "\"a/b.bin\"");
        assert_eq!(pattern(File::Given("../b.bin".into())), "\"b.bin\"");
        assert_eq!(pattern(File::Given("../../c/b.bin".into())), "\"b.bin\"");
        let two = standing("").lfs_pattern(["a", "b"].map(|name| File::OfTop(name.into())));
        assert_eq!(two, "\"a,b\"");
    }

    #[test]
    fn what_was_given_is_repeated_but_for_what_is_left_out() {
        let mut given = Given::of(&["a b".into(), "-n".into()]);
        given.flag("--replace", true);
        given.flag("--force", false);
        given.value("--key", "a's b".into());
        let here = standing("").with(given);
        let key = if cfg!(windows) { "\"a's b\"" } else { r"'a'\''s b'" };
        assert_eq!(
            (here.options(), here.paths()),
            (format!(" --replace --key {key}"), format!(" {} ./-n", in_quotes("a b")))
        );
        assert_eq!(here.options_but(&["--key"]), " --replace");
        assert_eq!(here.options_of(&["--key", "--keep"]), format!(" --key {key}"));
        assert!(here.path_given().is_none());
        assert_eq!(standing("").options(), "");
    }

    #[test]
    fn a_command_that_works_elsewhere_is_sent_there() {
        let here = Here { elsewhere: Some("my model".into()), ..standing("a/") };
        let file = File::OfTop("a/b.bin".into());
        assert_eq!(here.git(), format!("git -C {}", in_quotes("my model")));
        assert_eq!((here.argument(file), here.path(file)), ("b.bin".into(), in_quotes("my model/b.bin")));
    }
}
