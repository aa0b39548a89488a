//! [`Hub`] is the client of the Hub's own interface: it locates files of a model, describes models and lists them.
//!
//! ```text
//! GET <hub>/<model>/resolve/<revision>/<path>                      the file, by a redirect
//! GET <hub>/api/models/<model>[/revision/<revision>]               {"id", "sha", "private", "gated", "disabled"}
//! GET <hub>/api/models?sort=downloads&direction=-1&limit=N&filter=F…   [{"id"}], and `Link: <next page>; rel="next"`
//! ```
//!
//! Source: `hf_api.py` and `_pagination.py` of `huggingface_hub` and the Hub's documentation; RFC 8288 for `Link`.
//! Invariants: responses are bounded, in length and in pages; a next page is requested only from the Hub's own origin;
//! names of models are checked before they become part of a URL. Text in responses is foreign: escape it for a
//! terminal.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderValue, header};

use super::cause::BadAnswer;
use super::error::{Error, Result};
use super::login::Auth;
use super::redirect::Ask;
use super::refusal::refusal;
use super::retry::patiently;
use super::url::Url;

pub(super) const HUB: &str = "Hub";

/// The most bytes of one response.
pub(super) const MAX_PAGE: u64 = 16 << 20;

/// How many models a page contains; the Hub allows no more.
const PAGE: usize = 1000;

/// The most pages that are read, whatever their links state.
const MAX_PAGES: usize = 1000;

#[derive(Deserialize)]
struct Listed {
    id: String,
}

/// The Hub's description of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Model {
    /// Its full name, which may differ from the requested one.
    pub id: String,
    /// The commit of the revision.
    pub sha: Option<String>,
    /// `true` if it is private.
    #[serde(default)]
    pub private: bool,
    /// `true` if the Hub disabled it.
    #[serde(default)]
    pub disabled: bool,
    /// `false`, `"auto"` or `"manual"`.
    #[serde(default)]
    gated: serde_json::Value,
}

impl Model {
    /// Returns `true` if the model is gated.
    pub fn is_gated(&self) -> bool {
        !matches!(self.gated, serde_json::Value::Null | serde_json::Value::Bool(false))
    }
}

/// The name of a model: `name` or `owner/name`, as the Hub accepts it. It can be part of a URL unchanged: it contains
/// no escape, `?`, `#` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelName(String);

impl ModelName {
    /// Accepts letters, digits, `-`, `_` and `.`, at most 96 per part: neither `--` nor `..`, and no end in `-`, `.` or
    /// `.git`.
    pub fn parse(name: &str) -> Option<Self> {
        let is_part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.len() <= 96
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                && !["..", "--"].iter().any(|two| part.contains(two))
                && ![".", "-", ".git"].iter().any(|end| part.ends_with(end))
        };
        (name.split('/').count() <= 2 && name.split('/').all(is_part)).then(|| Self(name.to_owned()))
    }

    /// Parses the path of a repository, which git accepts with and without `.git`.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::parse(path.strip_suffix(".git").unwrap_or(path))
    }

    /// Returns `name` or `owner/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the model of a remote's URL, if it is on the Hub: by http, or by ssh at the Hub's host.
pub fn model_of(hub: &Url, remote: &str) -> Option<ModelName> {
    let path = match remote.split_once("://") {
        Some(("http" | "https", _)) => {
            let url = Url::parse(remote).ok().filter(|url| url.origin() == hub.origin())?;
            url.path().strip_prefix(hub.path().trim_end_matches('/'))?.to_owned()
        }
        Some(("ssh" | "git+ssh", rest)) => {
            let (authority, path) = rest.split_once('/')?;
            is_hub_host(hub, authority).then(|| path.to_owned())?
        }
        Some(_) => return None,
        None => {
            let (authority, path) = remote.split_once(':').filter(|(host, _)| !host.contains('/'))?;
            is_hub_host(hub, authority).then(|| path.to_owned())?
        }
    };
    let name = path.trim_matches('/');
    let is_other = matches!(name.split('/').next(), Some("api" | "datasets" | "spaces"));
    ModelName::of_path(name).filter(|_| !is_other)
}

/// Returns `true` for `user@host[:port]` of the Hub, which has a short name for ssh.
fn is_hub_host(hub: &Url, authority: &str) -> bool {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    host == hub.origin().host() || hub.origin().host() == "huggingface.co" && host == "hf.co"
}

/// The Hub, with the login for it.
pub struct Hub<'a> {
    pub(super) auth: Auth<'a>,
}

impl<'a> Hub<'a> {
    /// Creates a client with a login.
    pub fn new(auth: Auth<'a>) -> Self {
        Self { auth }
    }

    /// Returns its login.
    pub fn auth(&self) -> &Auth<'a> {
        &self.auth
    }

    /// Returns its URL.
    pub fn url(&self) -> &Url {
        self.auth.hub()
    }

    /// Returns the URL of a model on the Hub for `git clone`.
    pub fn clone_url(&self, model: &ModelName) -> Url {
        self.url().with_segments(model.parts())
    }

    /// Returns the URL of a model's file.
    pub fn resolve_url(&self, model: &ModelName, revision: &str, path: &str) -> Url {
        let file = ["resolve", revision].into_iter().chain(path.split('/'));
        self.url().with_segments(model.parts().chain(file))
    }

    /// Returns the Hub's description of a model, at a revision if one is given.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`], [`Error::RevisionNotFound`], [`Error::Gated`], …
    pub fn model(&self, model: &ModelName, revision: Option<&str>) -> Result<Model> {
        let mut segments = vec!["api", "models"];
        segments.extend(model.parts());
        segments.extend(revision.into_iter().flat_map(|revision| ["revision", revision]));
        self.auth.wire.watched(|| self.json(&self.url().with_segments(segments.iter().copied())))
    }

    /// Returns `true` if a model's files are in Xet storage, which stores only the parts of a file that no other file
    /// has.
    ///
    /// # Errors
    /// As [`Hub::model`].
    pub fn is_xet(&self, model: &ModelName) -> Result<bool> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Storage {
            xet_enabled: Option<bool>,
        }
        let url = self.url().with_segments(["api", "models"].into_iter().chain(model.parts()));
        let storage: Storage =
            self.auth.wire.watched(|| self.json(&url.with_query(&[("expand", "xetEnabled")])))?;
        Ok(storage.xet_enabled == Some(true))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, url: &Url) -> Result<T> {
        self.linked(url).map(|(value, _)| value)
    }

    /// The same, with the values of its `Link` headers.
    pub(super) fn linked<T: DeserializeOwned>(&self, url: &Url) -> Result<(T, Vec<String>)> {
        let ask = Ask { may_log_in: true, ..Ask::get(url.clone()) };
        let ask = ask.plain(header::ACCEPT, HeaderValue::from_static("application/json"));
        let (links, bytes) = patiently(&self.auth.wire, || {
            let response = self.auth.send(&ask)?;
            if response.status != 200 {
                return Err(refusal(&self.auth.wire, response, None));
            }
            let links: Vec<_> = response.headers(header::LINK).map(str::to_owned).collect();
            Ok((links, response.bytes(MAX_PAGE, HUB)?))
        })?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|err| Error::bad_answer(url, HUB, BadAnswer::Json(err)))?;
        Ok((value, links))
    }

    /// Returns the names of the most downloaded models, of those that have all of these tags: a library, a task, a
    /// language. At most `count`, fewer if no more exist.
    ///
    /// # Errors
    /// [`Error::BadAnswer`], [`Error::Status`], …
    pub fn top_models(&self, count: usize, filters: &[String]) -> Result<Vec<ModelName>> {
        let limit = count.min(PAGE).to_string();
        let mut query = vec![("sort", "downloads"), ("direction", "-1"), ("limit", limit.as_str())];
        query.extend(filters.iter().map(|filter| ("filter", filter.as_str())));
        let first = self.url().with_segments(["api", "models"]).with_query(&query);
        self.auth.wire.watched(|| self.pages(first, count))
    }

    fn pages(&self, first: Url, count: usize) -> Result<Vec<ModelName>> {
        let (mut found, mut known) = (Vec::new(), HashSet::new());
        let mut next = Some(first);
        for _ in 0..MAX_PAGES {
            let Some(url) = next.filter(|_| found.len() < count) else { break };
            let bad = |source| Error::BadAnswer { url: url.clone(), interface: HUB, source };
            let (page, links): (Vec<Listed>, _) = self.linked(&url)?;
            let before = found.len();
            for Listed { id } in page {
                let name = ModelName::parse(&id).ok_or_else(|| bad(BadAnswer::Name))?;
                if known.insert(id) {
                    found.push(name);
                }
            }
            // A page without new models is the last one that is read.
            next = if found.len() > before { next_page(&url, &links)? } else { None };
        }
        found.truncate(count);
        Ok(found)
    }
}

/// Returns the next page, from the `Link` headers of this one.
pub(super) fn next_page(url: &Url, links: &[String]) -> Result<Option<Url>> {
    let Some(next) = links.iter().find_map(|link| next_of(link)) else { return Ok(None) };
    let joined = url.join(next).ok().filter(|next| next.origin() == url.origin());
    let bad = || Error::BadAnswer { url: url.clone(), interface: HUB, source: BadAnswer::Page };
    joined.map(Some).ok_or_else(bad)
}

/// Returns the URL of a `Link` whose relation is `next`.
fn next_of(link: &str) -> Option<&str> {
    link.split('<').skip(1).find_map(|one| {
        let (address, parameters) = one.split_once('>')?;
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && value.split_whitespace().any(|word| word == "next")
        };
        parameters.split(';').any(is_next).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::super::wire::Wire;
    use super::*;

    #[test]
    fn names_of_models() {
        let long = format!("a/{}", "x".repeat(97));
        for name in ["gpt2", "openai/whisper-tiny", "acme/bert-base_v1.5", "a/b.c_d-1", "_x/Y", &long[..98]] {
            assert_eq!(ModelName::parse(name).unwrap().as_str(), name);
        }
        for name in [
            "", "/", "a/", "/a", "a/b/c", "../a", "a/..", "-a/b", "a/-b", "a b", "a b/c", "a/b?x", "a/b#x",
            "a%2f", "a/%2e%2e", "a/b\n", ".hidden", "a/.git", "a/b.git", "a--b/c", "a/b--c", "a/b-", "a-/b",
            "a/b.", "a..b/c", &long,
        ] {
            assert_eq!(ModelName::parse(name), None, "{name}");
        }
        assert_eq!(ModelName::of_path("a/b.git"), ModelName::parse("a/b"));
    }

    #[test]
    fn models_of_the_hub_by_their_urls() {
        let hub = Url::parse("https://hub.example/").unwrap();
        for (url, model) in [
            ("https://hub.example/acme/bert", Some("acme/bert")),
            ("https://u:p@HUB.example:443/acme/bert.git/", Some("acme/bert")),
            ("https://hub.example/gpt2", Some("gpt2")),
            ("git@hub.example:acme/bert", Some("acme/bert")),
            ("ssh://git@hub.example:22/acme/bert.git", Some("acme/bert")),
            ("http://hub.example/acme/bert", None),
            ("https://hub.example.org/acme/bert", None),
            ("https://hub.example/datasets/acme/d", None),
            ("https://hub.example/datasets/d", None),
            ("git@other.example:acme/bert", None),
            ("/srv/hub.example:acme/bert", None),
            ("file:///acme/bert", None),
        ] {
            assert_eq!(model_of(&hub, url).as_ref().map(ModelName::as_str), model, "{url}");
        }
        let public = Url::parse("https://huggingface.co").unwrap();
        assert_eq!(model_of(&public, "git@hf.co:acme/bert"), ModelName::parse("acme/bert"));
        let below = Url::parse("https://mirror.example/hub").unwrap();
        assert_eq!(model_of(&below, "https://mirror.example/hub/a/b"), ModelName::parse("a/b"));
        assert_eq!(model_of(&below, "https://mirror.example/a/b"), None);
    }

    #[test]
    fn the_address_of_a_file() {
        let settings = Settings { hub: Some("https://mirror.example/hub".to_owned()), ..Settings::default() };
        let hub = Hub::new(Auth::new(Wire::new(settings), None).unwrap());
        let model = ModelName::parse("a/b").unwrap();
        let url = hub.resolve_url(&model, "refs/pr/3", "dir/m\u{f6} del?.bin");
        assert_eq!(
            url.target(),
            "https://mirror.example/hub/a/b/resolve/refs%2Fpr%2F3/dir/m%C3%B6%20del%3F.bin"
        );
        assert_eq!(hub.clone_url(&model).target(), "https://mirror.example/hub/a/b");
    }

    #[test]
    fn what_the_hub_says() {
        let gated = |json: &str| serde_json::from_str::<Model>(json).unwrap().is_gated();
        assert!(!gated(r#"{"id":"a/b","gated":false}"#) && !gated(r#"{"id":"a/b","sha":"0"}"#));
        assert!(gated(r#"{"id":"a/b","gated":"manual"}"#));
    }

    #[test]
    fn the_next_page_by_its_link() {
        for (link, next) in [
            ("<https://h/api/models?cursor=a%3D>; rel=\"next\"", Some("https://h/api/models?cursor=a%3D")),
            (
                "<https://h/1>; rel=\"prev\", <https://h/3?a,b;c>; title=x; rel=next",
                Some("https://h/3?a,b;c"),
            ),
            ("</2>; rel=\"last next\"", Some("/2")),
            ("<https://h/1>; rel=\"prev\"", None),
            ("<https://h/1>; rel=\"nextish\"", None),
            ("https://h/2; rel=next", None),
            ("<https://h/2; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_of(link), next, "{link}");
        }
    }
}
