//! Finds git's hooks, and reads and writes their settings in git's configuration.
//!
//! Invariant: git itself writes one configuration file at a time, and only settings that the caller names.

use std::path::{Path, PathBuf};

use super::command::{Git, variable};
use super::error::Error;
use super::home::home;

/// The first git version that runs a command of `hook.<name>.command`.
const HOOK_COMMANDS: (u32, u32) = (2, 54);

/// A configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The one of the repository.
    Local,
    /// The one of the user.
    Global,
}

impl Scope {
    fn option(self) -> &'static str {
        match self {
            Self::Local => "--local",
            Self::Global => "--global",
        }
    }
}

/// Returns `true` if this version of git, as `git version` prints it, runs hooks from the configuration.
pub fn runs_configured_hooks(version: &str) -> bool {
    let numbers = version.strip_prefix("git version ").unwrap_or_default();
    let mut numbers = numbers.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= HOOK_COMMANDS,
        _ => false,
    }
}

/// Returns the output of `git version`.
///
/// # Errors
/// As any command.
pub fn version(git: &Git<'_>) -> Result<String, Error> {
    Ok(git.command("version").run()?.text().to_owned())
}

/// Returns the directory of the hooks: that of the repository, which linked working trees share, or `core.hooksPath`.
///
/// # Errors
/// As any command.
pub fn directory(git: &Git<'_>) -> Result<PathBuf, Error> {
    let answer = git.command("rev-parse").args(["--git-path", "hooks"]).run()?;
    Ok(git.dir().join(answer.text()))
}

/// Returns the value of a setting, with `~/` expanded if `kind` is `path`; `None` if it is not set.
///
/// # Errors
/// As any command.
pub fn setting(git: &Git<'_>, scope: Option<Scope>, kind: &str, key: &str) -> Result<Option<String>, Error> {
    let scope = scope.map(Scope::option);
    let command = git.command("config").args(scope).args([format!("--type={kind}").as_str(), "--get", key]);
    match command.run() {
        Ok(answer) => Ok(Some(answer.text().to_owned())),
        Err(Error::Failed { status: Some(1), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a setting.
///
/// # Errors
/// As any command.
pub fn set(git: &Git<'_>, scope: Scope, key: &str, value: &str) -> Result<(), Error> {
    git.command("config").args([scope.option(), "--replace-all", key, value]).run().map(drop)
}

/// Removes the header of a section without settings and comments: git leaves one if a comment precedes it.
///
/// # Errors
/// As any command.
pub fn remove_empty_section(git: &Git<'_>, scope: Scope, section: &str, file: &Path) -> Result<(), Error> {
    let name = section.split_once('.').map(|(name, rest)| format!("[{name} \"{rest}\"]"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_name = |line: &str| Some(line) == name.as_deref();
    let mut named = lines.iter().enumerate().filter(|(_, line)| is_name(line)).peekable();
    let is_there = named.peek().is_some();
    if is_there && named.all(|(at, _)| lines.get(at + 1).is_none_or(|next| next.starts_with('['))) {
        return remove_section(git, scope, section);
    }
    Ok(())
}

/// Returns the file of a setting; `None` if it is not set, or git does not report it.
pub fn file_of(git: &Git<'_>, scope: Scope, key: &str) -> Option<PathBuf> {
    let answer =
        git.command("config").args([scope.option(), "-z", "--show-origin", "--get", key]).run().ok()?;
    let origin = answer.text().split('\0').next()?.strip_prefix("file:")?.to_owned();
    let top = git.command("rev-parse").args(["--show-toplevel"]).run();
    Some(top.map_or_else(|_| git.dir().to_owned(), |top| top.text().into()).join(origin))
}

/// Removes a section, if it exists.
///
/// # Errors
/// As any command.
pub fn remove_section(git: &Git<'_>, scope: Scope, section: &str) -> Result<(), Error> {
    match git.command("config").args([scope.option(), "--remove-section", section]).run() {
        Ok(_) | Err(Error::Failed { status: Some(1 | 128), .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a setting, if it exists.
///
/// # Errors
/// As any command.
pub fn unset(git: &Git<'_>, scope: Scope, key: &str) -> Result<(), Error> {
    match git.command("config").args([scope.option(), "--unset", key]).run() {
        Ok(_) | Err(Error::Failed { status: Some(1 | 5), .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns the directory of a user's git files: `$XDG_CONFIG_HOME/git`, or `~/.config/git`.
pub fn person_directory() -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(home(&variable)?.join(".config")))?;
    Some(config.join("git")).filter(|dir: &PathBuf| Path::is_absolute(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_of_the_configuration_are_run_from_2_54_on() {
        for (version, runs) in [
            ("git version 2.47.3", false),
            ("git version 2.53.0.windows.1", false),
            ("git version 2.54.0", true),
            ("git version 2.55.1 (Apple Git-200)", true),
            ("git version 3.0.0-rc1", true),
            ("git version 1.99.0", false),
            ("something else", false),
        ] {
            assert_eq!(runs_configured_hooks(version), runs, "{version}");
        }
    }
}
