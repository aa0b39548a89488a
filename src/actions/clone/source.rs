//! [`CloneSource`] interprets the argument MODEL.
//!
//! ```text
//! name.git, name.bundle that exist here     a path, as for git
//! owner/name, name, datasets/owner/name     a repository on the Hub
//! scheme://…, helper::…, host:path          a URL, as git accepts it
//! /path, ./path, ../path, anything else     a path
//! ```
//!
//! Invariant: a name on the Hub becomes a URL without `..`, `?`, `#` or an escape in it, so it leads only to a
//! repository at the endpoint. git interprets URLs and paths, but `ext::` and `fd::` are always refused.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::git;
use crate::remote::ModelName;

/// The source of a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::actions) struct CloneSource {
    /// The URL or path for git.
    pub(in crate::actions) url: OsString,
    /// `true` for a directory of this machine, which git copies as a whole.
    pub(in crate::actions) is_path: bool,
    /// The model on the Hub, if it is there.
    pub(in crate::actions) model: Option<ModelName>,
    /// The default directory of the clone, if the name determines one.
    pub(super) dir: Option<PathBuf>,
    /// The same with its owner: the whole name on the Hub, the last two parts of any other source.
    pub(in crate::actions) owned: Option<PathBuf>,
}

impl CloneSource {
    /// Interprets a MODEL in the directory `cwd`, with the Hub at `endpoint`.
    pub(in crate::actions) fn of(model: &OsStr, endpoint: &str, cwd: &Path) -> Self {
        let text = model.to_str().unwrap_or_default();
        let (dir, owned) = (last_part(text), last_parts(text));
        match at_hub(text) {
            // No model of the Hub has such a name.
            Some(_) if is_repository_name(text) && cwd.join(model).exists() => {
                let url = Path::new(".").join(model).into_os_string();
                Self { url, is_path: true, model: None, dir, owned }
            }
            Some((path, model)) => {
                let url = format!("{}/{path}", endpoint.trim_end_matches('/')).into();
                Self { url, is_path: false, model, dir: last_part(&path), owned: Some(path.into()) }
            }
            None => Self { url: model.to_owned(), is_path: !is_url(text), model: None, dir, owned },
        }
    }
}

/// Refuses a source that starts a program when it is cloned.
///
/// # Errors
/// [`git::Error::Transport`]
pub(super) fn check(source: &CloneSource) -> Result<(), git::Error> {
    match git::unsafe_transport(&source.url.to_string_lossy()) {
        Some(name) => Err(git::Error::Transport { name }),
        None => Ok(()),
    }
}

/// Returns `true` for the name of a bare repository or a bundle.
fn is_repository_name(text: &str) -> bool {
    [".git", ".bundle"].iter().any(|suffix| text.strip_suffix(suffix).is_some())
}

fn is_url(text: &str) -> bool {
    let before_slash = text.split('/').next().unwrap_or_default();
    let is_drive = cfg!(windows) && text.as_bytes().get(1) == Some(&b':');
    text.contains("://") || before_slash.contains(':') && !is_drive
}

/// Returns what MODEL names on the Hub, and its path there: a model, or a repository with its kind as a prefix.
pub(in crate::actions) fn at_hub(text: &str) -> Option<(String, Option<ModelName>)> {
    match text.split_once('/') {
        Some((kind @ ("datasets" | "spaces" | "models"), name)) if name.contains('/') => {
            Some((format!("{kind}/{}", ModelName::of_path(name)?), None))
        }
        _ => ModelName::of_path(text).map(|name| (name.to_string(), Some(name))),
    }
}

/// Returns the last part of a path or URL, as git names the directory of a clone.
fn last_part(text: &str) -> Option<PathBuf> {
    let (_, name) = split_last(path_of(text));
    let name = name.strip_suffix(".git").or_else(|| name.strip_suffix(".bundle")).unwrap_or(name);
    is_name(name).then(|| name.into())
}

/// Returns the last part with the part before it, if that is a name.
fn last_parts(text: &str) -> Option<PathBuf> {
    let name = last_part(text)?;
    // A part with a colon at its end is a host.
    let (before, _) = split_last(path_of(text).rsplit(':').next().unwrap_or_default());
    let (_, owner) = split_last(before);
    Some(if is_name(owner) { PathBuf::from(owner).join(name) } else { name })
}

/// Returns the part of a URL after the host, or a whole path, without the endings that git ignores.
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
        let source = CloneSource::of(model.as_ref(), "https://hub.example/", Path::new("/nowhere"));
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
            ("datasets/acme/..", "datasets/acme/..", true, ""),
            ("acme/m-", "acme/m-", true, "m-"),
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
            let source = CloneSource::of(model.as_ref(), "https://hub.example", Path::new("/nowhere"));
            let owned_is = source.owned.unwrap_or_default();
            assert_eq!(owned_is.to_str().unwrap(), owned, "{model}");
        }
    }
}
