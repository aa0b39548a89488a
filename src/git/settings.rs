//! Reads settings of git's configuration, with the origin of each.
//!
//! Invariant: git itself reads its files; passwords in URLs are removed.

use std::ffi::OsString;

use bstr::{BString, ByteSlice as _};

use super::command::Git;
use super::error::Error;
use super::url::redacted;

/// A setting and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, in lower case except for the part between its dots.
    pub key: BString,
    /// Its value.
    pub value: BString,
    /// The scope: `system`, `global`, `local`, `worktree` or `command`.
    pub scope: String,
    /// `file:PATH`, or another origin that git reports.
    pub origin: BString,
}

/// Returns the settings whose keys match an expression, with the last value of each.
///
/// # Errors
/// As any command.
pub fn matching(git: &Git<'_>, keys: &str) -> Result<Vec<Setting>, Error> {
    let options = ["--show-scope", "--show-origin", "-z", "--get-regexp", keys];
    let Some(answer) = git.command("config").args(options).run_optional()? else { return Ok(Vec::new()) };
    let mut fields = answer.stdout.split_str("\0");
    let mut found: Vec<Setting> = Vec::new();
    while let (Some(scope), Some(origin), Some(entry)) = (fields.next(), fields.next(), fields.next()) {
        // A key without a value means `true`.
        let (key, value) = entry.split_once_str("\n").unwrap_or((entry, b"true"));
        let setting = Setting {
            key: key.into(),
            value: without_password(value),
            scope: scope.to_str_lossy().into_owned(),
            origin: origin.into(),
        };
        found.retain(|other| other.key != setting.key);
        found.push(setting);
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// Returns `true` if git has the filter of Git LFS; without it, git reports each file of Git LFS as modified.
///
/// # Errors
/// As any command.
pub fn has_lfs_filter(git: &Git<'_>) -> Result<bool, Error> {
    Ok(is_lfs_filter(&matching(git, r"^filter\.lfs\.(process|clean)$")?))
}

/// Returns `true` if the filter of Git LFS is among these settings.
pub fn is_lfs_filter(settings: &[Setting]) -> bool {
    let is_one = |setting: &Setting| {
        matches!(setting.key.as_bytes(), b"filter.lfs.process" | b"filter.lfs.clean")
            && !setting.value.is_empty()
    };
    settings.iter().any(is_one)
}

fn without_password(value: &[u8]) -> BString {
    match value.to_str() {
        Ok(text) => redacted(&OsString::from(text)).into_encoded_bytes().into(),
        Err(_) => value.into(),
    }
}

/// Returns the output of `git lfs version`; `None` if git-lfs is not installed.
pub fn lfs_version(git: &Git<'_>) -> Option<String> {
    git.command("lfs").args(["version"]).run().ok().map(|answer| answer.text().to_owned())
}

/// Returns `true` if output for `key` is colored, by `color.ui` if `key` is not set; `None` if git does not report it.
/// `is_shown` states whether a terminal or a pager shows the output.
pub fn has_colors(git: &Git<'_>, key: &str, is_shown: bool) -> Option<bool> {
    let answer =
        git.command("config").args(["--get-colorbool", key, if is_shown { "true" } else { "false" }]).run();
    match answer.as_ref().map(super::Output::text) {
        Ok("true") => Some(true),
        Ok("false") => Some(false),
        _ => None,
    }
}
