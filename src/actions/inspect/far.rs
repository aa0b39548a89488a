//! [`Far`]: a target that is no file of this machine: at an address, or of a model of the Hub.

use std::ffi::OsStr;

use super::super::content::class;
use super::super::servers::Session;
use super::super::{Error, Reporter};
use super::{Inspection, Options, read};
use crate::checkpoint::Headers;
use crate::remote::hub::is_model;
use crate::remote::{self, Hub, Ranged, Url};

/// The revision of a model that is named none.
const MAIN: &str = "main";

/// A file far away.
pub(super) enum Far {
    /// At an address.
    Url(String),
    /// Of a model of the Hub.
    Hub {
        /// `owner/name`, or `name`.
        model: String,
        /// A branch, a tag, a commit or a reference.
        revision: String,
        /// From the top of the repository.
        path: String,
    },
}

impl Far {
    /// The target, if it is an address.
    pub(super) fn address(target: &OsStr) -> Option<Self> {
        let target = target.to_str()?;
        let is_address = ["https://", "http://"].iter().any(|scheme| target.starts_with(scheme));
        is_address.then(|| Self::Url(target.to_owned()))
    }

    /// The file of the Hub that `MODEL[@REV]:PATH` names, by its two parts.
    pub(super) fn of_the_hub(model: &str, path: &[u8]) -> Option<Self> {
        let (model, revision) = model.split_once('@').unwrap_or((model, MAIN));
        let path = std::str::from_utf8(path).ok().filter(|path| !path.is_empty())?;
        (is_model(model) && !revision.is_empty()).then(|| Self::Hub {
            model: model.to_owned(),
            revision: revision.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Reads its headers by ranges.
    pub(super) fn inspect(&self, options: &Options, reporter: &dyn Reporter) -> Result<Inspection, Error> {
        let session = Session::new(&options.servers, reporter);
        let hub = session.hub(&options.cwd)?;
        let bytes = Ranged::open(hub.auth(), &self.url(&hub)?)?.ok_or(Error::NoRanges)?;
        read(&bytes, Headers::Foresee, options, || self.class(&hub))
    }

    fn url(&self, hub: &Hub<'_>) -> Result<Url, Error> {
        match self {
            Self::Url(text) => Url::parse(text).map_err(|source| {
                let what = "the target".to_owned();
                remote::Error::NotAllowed { what, source }.into()
            }),
            Self::Hub { model, revision, path } => Ok(hub.resolve_url(model, revision, path)?),
        }
    }

    /// The model's class, by the `config.json` beside the file.
    fn class(&self, hub: &Hub<'_>) -> Option<String> {
        let Self::Hub { model, revision, path } = self else { return None };
        let config = match path.rsplit_once('/') {
            Some((dir, _)) => format!("{dir}/config.json"),
            None => "config.json".to_owned(),
        };
        let url = hub.resolve_url(model, revision, &config).ok()?;
        class(&Ranged::open(hub.auth(), &url).ok()??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_file_of_the_hub() {
        let of = |model: &str, path: &str| match Far::of_the_hub(model, path.as_bytes()) {
            Some(Far::Hub { model, revision, path }) => Some(format!("{model} {revision} {path}")),
            _ => None,
        };
        assert_eq!(of("a/b", "c/d.bin").as_deref(), Some("a/b main c/d.bin"));
        assert_eq!(of("gpt2@refs/pr/3", "m.bin").as_deref(), Some("gpt2 refs/pr/3 m.bin"));
        for (model, path) in [("HEAD~1", "a"), ("a/b", ""), ("a/b@", "c"), ("", "a"), ("a/b/c", "d")] {
            assert_eq!(of(model, path), None, "{model}:{path}");
        }
        assert!(
            Far::address(OsStr::new("https://h/a")).is_some()
                && Far::address(OsStr::new("ftp://h/a")).is_none()
        );
    }
}
