//! [`HubFile`] is a file on a server, of a model on the Hub or at a URL, which is read by ranges.

use std::ffi::OsStr;

use super::Error;
use super::content::class;
use crate::remote::{self, Hub, ModelName, Ranged, Url};

/// The default revision of a model.
const MAIN: &str = "main";

/// Parses `OWNER/NAME[@REV]` or `NAME@REV` into the model, and the revision, if one is given.
pub(super) fn model_at(text: &str) -> Option<(ModelName, Option<&str>)> {
    let (name, revision) = match text.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (text, None),
    };
    let is_name = revision.map_or(name.contains('/'), |revision| !revision.is_empty());
    Some((ModelName::parse(name).filter(|_| is_name)?, revision))
}

/// A file on a server.
pub(super) enum HubFile {
    /// A file at a URL.
    Url(String),
    /// A file of a model on the Hub.
    Hub {
        /// The model.
        model: ModelName,
        /// A branch, a tag, a commit or a reference.
        revision: String,
        /// Its path from the top of the repository.
        path: String,
    },
}

impl HubFile {
    /// Returns the target, if it is a URL.
    pub(super) fn address(target: &OsStr) -> Option<Self> {
        let target = target.to_str()?;
        let is_address = ["https://", "http://"].iter().any(|scheme| target.starts_with(scheme));
        is_address.then(|| Self::Url(target.to_owned()))
    }

    /// Parses the two parts of `OWNER/NAME[@REV]:PATH` or `NAME@REV:PATH`. A plain word is a revision of git, however
    /// it is written.
    pub(super) fn of_the_hub(model: &str, path: &[u8]) -> Option<Self> {
        let path = std::str::from_utf8(path).ok().filter(|path| !path.is_empty())?;
        let (model, revision) = model_at(model)?;
        let revision = revision.unwrap_or(MAIN).to_owned();
        Some(Self::Hub { model, revision, path: path.to_owned() })
    }

    /// Opens its bytes.
    pub(super) fn open<'h>(&self, hub: &'h Hub<'h>) -> Result<Ranged<'h>, Error> {
        Ranged::open(hub.auth(), &self.url(hub)?)?.ok_or(Error::NoRanges)
    }

    pub(super) fn url(&self, hub: &Hub<'_>) -> Result<Url, Error> {
        match self {
            Self::Url(text) => Url::parse(text).map_err(|source| {
                let what = "the target".to_owned();
                remote::Error::NotAllowed { what, source }.into()
            }),
            Self::Hub { model, revision, path } => Ok(hub.resolve_url(model, revision, path)),
        }
    }

    /// Returns the model, if it belongs to one.
    pub(super) fn model(&self) -> Option<String> {
        match self {
            Self::Url(_) => None,
            Self::Hub { model, .. } => Some(model.to_string()),
        }
    }

    /// Returns the model's class, from the `config.json` next to the file.
    pub(super) fn class(&self, hub: &Hub<'_>) -> Option<String> {
        let Self::Hub { model, revision, path } = self else { return None };
        let config = match path.rsplit_once('/') {
            Some((dir, _)) => format!("{dir}/config.json"),
            None => "config.json".to_owned(),
        };
        let url = hub.resolve_url(model, revision, &config);
        class(&Ranged::open(hub.auth(), &url).ok()??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_file_of_the_hub() {
        let of = |model: &str, path: &str| match HubFile::of_the_hub(model, path.as_bytes()) {
            Some(HubFile::Hub { model, revision, path }) => Some(format!("{model} {revision} {path}")),
            _ => None,
        };
        assert_eq!(of("a/b", "c/d.bin").as_deref(), Some("a/b main c/d.bin"));
        assert_eq!(of("gpt2@refs/pr/3", "m.bin").as_deref(), Some("gpt2 refs/pr/3 m.bin"));
        for (model, path) in [
            ("HEAD~1", "a"),
            ("a/b", ""),
            ("a/b@", "c"),
            ("", "a"),
            ("a/b/c", "d"),
            ("HEAD", "a"),
            ("gpt2", "a"),
        ] {
            assert_eq!(of(model, path), None, "{model}:{path}");
        }
        assert!(
            HubFile::address(OsStr::new("https://h/a")).is_some()
                && HubFile::address(OsStr::new("ftp://h/a")).is_none()
        );
    }
}
