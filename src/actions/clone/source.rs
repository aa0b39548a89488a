//! [`Source`]: what a person means by MODEL.
//!
//! ```text
//! owner/name, name, datasets/owner/name     a repository of the Hub
//! scheme://…, helper::…, host:path          a URL, as git takes it
//! /path, ./path, ../path, anything else     a path
//! ```
//!
//! Invariant: a name of the Hub becomes a URL without `..`, `?`, `#` or an escape in it, so it leads to the endpoint and
//! to nothing but a repository there. URLs and paths are git's to judge.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The longest part of a name.
const MAX_PART: usize = 96;

/// Where a clone comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::actions) struct Source {
    /// What git is told.
    pub(in crate::actions) url: OsString,
    /// A directory of this machine, which git copies as a whole.
    pub(in crate::actions) is_path: bool,
    /// The directory that it goes to unless another is named, if its name says one.
    pub(super) dir: Option<PathBuf>,
    /// The same with its owner in front: the whole name at the Hub, the last two parts of anything else.
    pub(in crate::actions) owned: Option<PathBuf>,
}

impl Source {
    /// Of a MODEL, with the Hub at `endpoint`.
    pub(in crate::actions) fn of(model: &OsStr, endpoint: &str) -> Self {
        let text = model.to_str().unwrap_or_default();
        if is_hub_name(text) {
            let name = text.strip_suffix(".git").unwrap_or(text);
            let url = format!("{}/{name}", endpoint.trim_end_matches('/'));
            return Self { url: url.into(), is_path: false, dir: last_part(name), owned: Some(name.into()) };
        }
        let (dir, owned) = (last_part(text), last_parts(text));
        Self { url: model.to_owned(), is_path: !is_url(text), dir, owned }
    }
}

fn is_url(text: &str) -> bool {
    let before_slash = text.split('/').next().unwrap_or_default();
    let is_drive = cfg!(windows) && text.as_bytes().get(1) == Some(&b':');
    text.contains("://") || before_slash.contains(':') && !is_drive
}

/// One or two parts, or three with the kind of repository in front.
pub(in crate::actions) fn is_hub_name(text: &str) -> bool {
    let parts: Vec<_> = text.split('/').collect();
    let counted = match parts.as_slice() {
        ["datasets" | "spaces" | "models", _, _] => true,
        parts => parts.len() <= 2,
    };
    let is_part = |part: &&str| {
        let bytes = part.bytes();
        let plain = bytes.clone().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let begins = bytes.clone().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        plain && begins && part.len() <= MAX_PART && !part.contains("..") && !part.contains("--")
    };
    counted && parts.iter().all(is_part)
}

/// The last part of a path or URL, as git names the directory of a clone.
fn last_part(text: &str) -> Option<PathBuf> {
    let (_, name) = split_last(path_of(text));
    let name = name.strip_suffix(".git").or_else(|| name.strip_suffix(".bundle")).unwrap_or(name);
    is_name(name).then(|| name.into())
}

/// The last part with the one in front of it, if that is a name.
fn last_parts(text: &str) -> Option<PathBuf> {
    let name = last_part(text)?;
    // What a colon ends is a host.
    let (before, _) = split_last(path_of(text).rsplit(':').next().unwrap_or_default());
    let (_, owner) = split_last(before);
    Some(if is_name(owner) { PathBuf::from(owner).join(name) } else { name })
}

/// What stands behind the host of a URL, or all of it, without what git ignores at its end.
fn path_of(text: &str) -> &str {
    let text =
        text.split_once("://").map_or(text, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let text = text.trim_end_matches('/');
    text.strip_suffix("/.git").unwrap_or(text).trim_end_matches('/')
}

fn split_last(path: &str) -> (&str, &str) {
    match path.rsplit_once(['/', ':']) {
        Some((before, name)) => (before, name),
        None => ("", path),
    }
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | ".." | ".git") && !name.contains(['\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(model: &str) -> (String, bool, String) {
        let source = Source::of(model.as_ref(), "https://hub.example/");
        let dir = source.dir.unwrap_or_default();
        (source.url.into_string().unwrap(), source.is_path, dir.to_str().unwrap().to_owned())
    }

    #[test]
    fn names_are_of_the_hub_and_the_rest_is_git_s() {
        for (model, url, is_path, dir) in [
            ("acme/bert-base_v1.5", "https://hub.example/acme/bert-base_v1.5", false, "bert-base_v1.5"),
            ("gpt2", "https://hub.example/gpt2", false, "gpt2"),
            ("acme/m.git", "https://hub.example/acme/m", false, "m"),
            ("datasets/acme/d", "https://hub.example/datasets/acme/d", false, "d"),
            ("https://h/acme/m.git/", "https://h/acme/m.git/", false, "m"),
            ("https://h", "https://h", false, ""),
            ("git@hf.co:acme/m", "git@hf.co:acme/m", false, "m"),
            ("h:m.git", "h:m.git", false, "m"),
            ("file:///srv/m/.git", "file:///srv/m/.git", false, "m"),
            ("ext::sh", "ext::sh", false, "sh"),
            ("/srv/models/m.git", "/srv/models/m.git", true, "m"),
            ("./acme/m", "./acme/m", true, "m"),
            ("..", "..", true, ""),
            ("a/b/c", "a/b/c", true, "c"),
            ("./m.bundle", "./m.bundle", true, "m"),
        ] {
            assert_eq!(of(model), (url.to_owned(), is_path, dir.to_owned()), "{model}");
        }
    }

    #[test]
    fn the_owner_stands_in_front() {
        for (model, owned) in [
            ("acme/bert.git", "acme/bert"),
            ("gpt2", "gpt2"),
            ("datasets/acme/d", "datasets/acme/d"),
            ("https://h/x/acme/m.git/", "acme/m"),
            ("https://h/m", "m"),
            ("git@hf.co:acme/m", "acme/m"),
            ("h:m.git", "m"),
            ("/srv/models/m.git", "models/m"),
            ("/srv/acme/m/.git", "acme/m"),
            ("../m", "m"),
            ("./acme//m", "m"),
            ("/m", "m"),
            ("https://h/../m", "m"),
            ("https://h", ""),
            ("..", ""),
            ("a\\b/c", "c"),
        ] {
            let owned_is = Source::of(model.as_ref(), "https://hub.example").owned.unwrap_or_default();
            assert_eq!(owned_is.to_str().unwrap(), owned, "{model}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_name() {
        for model in [
            "acme/..",
            "acme/m?x",
            "acme/m#x",
            "acme/%2e%2e",
            "-o/m",
            "acme/-m",
            "a b/c",
            ".hidden",
            "a--b/c",
            "",
        ] {
            assert!(!is_hub_name(model), "{model}");
        }
    }
}
