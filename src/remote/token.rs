//! Finds the Hub's token.
//!
//! ```text
//! HF_OIDC_RESOURCE (see `oidc`), HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the file HF_TOKEN_PATH, the file `token` in HF_HOME,
//! in $XDG_CACHE_HOME/huggingface, in ~/.cache/huggingface
//! ```
//!
//! The file `stored_tokens` next to the file `token` contains the time of expiry of a token from a browser login:
//!
//! ```text
//! [NAME]
//! hf_token = TOKEN
//! refresh_token = …
//! expires_at = SECONDS since 1970
//! ```
//!
//! The program does not renew such a token, because that changes both files, and programs that renew it at the same
//! time can lose it: `hf auth token` renews it.
//!
//! Source: `utils/_auth.py` and `constants.py` of `huggingface_hub`. Invariant: a token that is invalid in a header is
//! an error and never sent in part. `login` decides which server receives it. The module reads no environment: `cli`
//! does.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::config::truth;
use super::secret::Secret;

/// A token is shorter; a longer file does not contain a token.
const MAX_LEN: u64 = 4096;

/// A file of stored tokens is not longer.
const MAX_STORED: u64 = 1 << 20;

/// The environment's settings about tokens: the values of variables, whose files are not read yet.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `HF_TOKEN`
    pub hf_token: Option<Secret>,
    /// `HUGGING_FACE_HUB_TOKEN`
    pub hugging_face_hub_token: Option<Secret>,
    /// `HF_TOKEN_PATH`
    pub hf_token_path: Option<PathBuf>,
    /// `HF_HOME`
    pub hf_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`
    pub xdg_cache_home: Option<PathBuf>,
    /// `HOME`, or that of Windows
    pub home: Option<PathBuf>,
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`
    pub disable_implicit: Option<String>,
    /// `HF_OIDC_RESOURCE`, which has priority over all of them.
    pub oidc: Option<Oidc>,
}

/// The variable that requests the exchange of an ID token of a CI service.
pub(super) const RESOURCE: &str = "HF_OIDC_RESOURCE";

/// How a job of a CI service gets its ID token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// `HF_OIDC_RESOURCE`: the model, or the user, that the token is for.
    pub resource: String,
    /// `HF_OIDC_ID_TOKEN`
    pub id_token: Option<Secret>,
    /// The URL and token with which GitHub Actions returns one: `ACTIONS_ID_TOKEN_REQUEST_URL` and `_TOKEN`.
    pub request: Option<(String, Secret)>,
}

impl Oidc {
    fn from_environment(var: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let some = |name: &str| var(name).filter(|value| !value.is_empty());
        let is_github = some("GITHUB_ACTIONS").as_deref() == Some("true");
        let request =
            || Some((some("ACTIONS_ID_TOKEN_REQUEST_URL")?, some("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?));
        Some(Self {
            resource: some(RESOURCE)?,
            id_token: some("HF_OIDC_ID_TOKEN").map(Secret::new),
            request: request().filter(|_| is_github).map(|(url, token)| (url, Secret::new(token))),
        })
    }
}

/// The origin of a token, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In a variable of the environment.
    Variable(&'static str),
    /// In a file.
    File(PathBuf),
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

/// A token of the Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself.
    pub secret: Secret,
    /// Its origin.
    pub place: TokenSource,
    /// Its time of expiry, in seconds since 1970, if that is known.
    expires_at: Option<u64>,
}

impl Token {
    /// Parses a token; `None` for blank text.
    ///
    /// # Errors
    /// [`Error::Malformed`]
    pub(super) fn of(text: &str, place: TokenSource) -> Result<Option<Self>, Error> {
        check(text, place)
    }

    /// Returns `true` if it has expired.
    pub fn is_expired(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.expires_at.is_some_and(|end| end <= now.as_secs())
    }

    /// Returns the token for git, only for the origin of this URL; `None` if the URL has no origin.
    ///
    /// # Errors
    /// [`crate::git::Error::UnsafeCredential`]
    pub fn for_git(&self, endpoint: &str) -> Result<Option<crate::git::Token>, crate::git::Error> {
        crate::git::Token::new(endpoint, self.secret.expose())
    }
}

/// Why a text is not a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file exists, and cannot be read.
    #[error("cannot read the token from {place}")]
    Io {
        /// The origin of the token.
        place: TokenSource,
        /// The reason.
        source: io::Error,
    },
    /// It contains blanks, line ends or characters that no header has.
    #[error("no valid token in {place}")]
    Malformed {
        /// The origin of the token.
        place: TokenSource,
    },
}

impl Places {
    /// Reads the relevant variables of the environment.
    pub fn from_environment(var: &dyn Fn(&str) -> Option<String>) -> Self {
        let path = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            hf_token: var("HF_TOKEN").map(Secret::new),
            hugging_face_hub_token: var("HUGGING_FACE_HUB_TOKEN").map(Secret::new),
            hf_token_path: path("HF_TOKEN_PATH"),
            hf_home: path("HF_HOME"),
            xdg_cache_home: path("XDG_CACHE_HOME"),
            home: home(cfg!(windows), &path),
            disable_implicit: var("HF_HUB_DISABLE_IMPLICIT_TOKEN"),
            oidc: Oidc::from_environment(var),
        }
    }

    /// Returns the exchange, if one is configured. Then no other source is used.
    pub fn exchanged(&self) -> Option<&Oidc> {
        let is_off = self.disable_implicit.as_deref().and_then(truth) == Some(true);
        self.oidc.as_ref().filter(|_| !is_off)
    }

    /// Returns the origin of the token, if one exists.
    ///
    /// # Errors
    /// As [`Places::token`].
    pub fn source(&self) -> Result<Option<TokenSource>, Error> {
        match self.exchanged() {
            Some(_) => Ok(Some(TokenSource::Variable(RESOURCE))),
            None => Ok(self.token()?.map(|token| token.place)),
        }
    }

    /// Returns the first token of all sources; `None` if `HF_HUB_DISABLE_IMPLICIT_TOKEN` disables them.
    ///
    /// # Errors
    /// [`Error`]: a source with invalid content is not skipped, because the next token may be another user's.
    pub fn token(&self) -> Result<Option<Token>, Error> {
        if self.disable_implicit.as_deref().and_then(truth) == Some(true) {
            return Ok(None);
        }
        let variables =
            [("HF_TOKEN", &self.hf_token), ("HUGGING_FACE_HUB_TOKEN", &self.hugging_face_hub_token)];
        for (name, value) in variables {
            if let Some(token) =
                value.as_ref().map(|value| check(value.expose(), TokenSource::Variable(name)))
            {
                match token? {
                    None => {}
                    token => return Ok(token),
                }
            }
        }
        let Some(path) = self.file() else { return Ok(None) };
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_LEN).read_to_string(&mut text));
        match read {
            Ok(_) => {
                let stored = path.with_file_name("stored_tokens");
                let token = check(&text, TokenSource::File(path))?;
                Ok(token.map(|token| Token { expires_at: end_of(&stored, &token.secret), ..token }))
            }
            Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(err) if err.kind() == io::ErrorKind::InvalidData => {
                Err(Error::Malformed { place: TokenSource::File(path) })
            }
            Err(source) => Err(Error::Io { place: TokenSource::File(path), source }),
        }
    }

    fn file(&self) -> Option<PathBuf> {
        if let Some(path) = &self.hf_token_path {
            return Some(path.clone());
        }
        let cache = || {
            let cache = self.xdg_cache_home.clone().or_else(|| Some(self.home.as_ref()?.join(".cache")))?;
            Some(cache.join("huggingface"))
        };
        self.hf_home.clone().or_else(cache).map(|dir| dir.join("token"))
    }
}

/// Returns the directory that Python expands `~` to (`expanduser` of its posixpath.py and ntpath.py), which is not the one
/// of git on Windows.
fn home(is_windows: bool, path: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if !is_windows {
        return path("HOME");
    }
    path("USERPROFILE").or_else(|| {
        let mut home = path("HOMEDRIVE").unwrap_or_default().into_os_string();
        home.push(path("HOMEPATH")?);
        Some(home.into())
    })
}

/// Removes line ends and blanks around a token; otherwise only the characters of a bearer token are allowed.
fn check(text: &str, place: TokenSource) -> Result<Option<Token>, Error> {
    let token = text.trim_matches(['\r', '\n', ' ']);
    if token.is_empty() {
        return Ok(None);
    }
    let is_token = token.len() < 2048 && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token {
        Ok(Some(Token { secret: Secret::new(token), place, expires_at: None }))
    } else {
        Err(Error::Malformed { place })
    }
}

/// Returns when a renewable token expires, from the file of stored tokens; `None` if the file cannot be read.
fn end_of(stored: &Path, token: &Secret) -> Option<u64> {
    let mut text = String::new();
    File::open(stored).ok()?.take(MAX_STORED).read_to_string(&mut text).ok()?;
    text.split("\n[").find_map(|section| {
        let value = |wanted: &str| {
            let mut lines = section.lines().filter_map(|line| line.split_once(['=', ':']));
            lines.find_map(|(name, value)| name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim()))
        };
        let is_it = value("hf_token") == Some(token.expose()) && value("refresh_token").is_some();
        is_it.then(|| value("expires_at")?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Result<Option<(String, TokenSource)>, Error> {
        let var =
            |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let token = Places::from_environment(&var).token()?;
        Ok(token.map(|token| (token.secret.expose().to_owned(), token.place)))
    }

    #[test]
    fn python_has_another_home_on_windows() {
        let find = |is_windows, pairs: &[(&str, &str)]| {
            home(is_windows, &|name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        let set = [("HOME", "home"), ("USERPROFILE", "profile"), ("HOMEDRIVE", "C:"), ("HOMEPATH", "\\me")];
        assert_eq!(find(false, &set), Some("home".into()));
        assert_eq!(find(true, &set), Some("profile".into()));
        assert_eq!(find(true, &set[2..]), Some("C:\\me".into()));
        assert_eq!(find(true, &set[..1]), None);
    }

    #[test]
    fn places_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let place = |relative: &str, text: &str| {
            let path = dir.path().join(relative);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let in_home = place("home/.cache/huggingface/token", "hf_home_dir\r\n");
        let in_cache = place("cache/huggingface/token", "hf_cache");
        let in_hf_home = place("hf/token", " hf_hf_home ");
        let named = place("named", "hf_named");
        let name = |path: &Path| path.to_str().unwrap().to_owned();
        let variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        let mut pairs = vec![(variable, name(&dir.path().join("home")))];
        let mut expect = |pair: Option<(&'static str, String)>, token: &str, place: TokenSource| {
            pairs.extend(pair);
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(found(&pairs).unwrap(), Some((token.to_owned(), place)));
        };
        expect(None, "hf_home_dir", TokenSource::File(in_home));
        expect(
            Some(("XDG_CACHE_HOME", name(&dir.path().join("cache")))),
            "hf_cache",
            TokenSource::File(in_cache),
        );
        expect(Some(("HF_HOME", name(&dir.path().join("hf")))), "hf_hf_home", TokenSource::File(in_hf_home));
        expect(Some(("HF_TOKEN_PATH", name(&named))), "hf_named", TokenSource::File(named));
        expect(
            Some(("HUGGING_FACE_HUB_TOKEN", "hf_old".into())),
            "hf_old",
            TokenSource::Variable("HUGGING_FACE_HUB_TOKEN"),
        );
        expect(Some(("HF_TOKEN", "hf_new\n".into())), "hf_new", TokenSource::Variable("HF_TOKEN"));
    }

    /// As `_save_stored_tokens_full` of `huggingface_hub` 2.4.0 writes it.
    #[test]
    fn a_token_of_a_browser_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let home = dir.path().to_str().unwrap();
        let token = || {
            let var = |name: &str| (name == "HF_HOME").then(|| home.to_owned());
            Places::from_environment(&var).token().unwrap().unwrap()
        };
        let stored = "[ci]\nhf_token = hf_ci\n\n[old]\nhf_token = hf_old\nrefresh_token = hf_r1\nexpires_at = 1700000000\n\n\
            [new]\nhf_token = hf_new\nrefresh_token = hf_r2\nexpires_at = 9000000000\n\n\
            [odd]\nhf_token = hf_odd\nrefresh_token = hf_r3\nexpires_at = soon\n\n[bare]\nhf_token = hf_bare\nexpires_at = 1\n";
        write("stored_tokens", stored);
        for (name, is_expired) in
            [("hf_old\n", true), ("hf_new", false), ("hf_ci", false), ("hf_odd", false), ("hf_bare", false)]
        {
            write("token", name);
            assert_eq!(token().is_expired(), is_expired, "{name}");
        }
        write("token", "hf_old");
        std::fs::write(dir.path().join("stored_tokens"), b"\xff[old]\nhf_token = hf_old\n").unwrap();
        assert!(!token().is_expired());
    }

    #[test]
    fn no_token_is_no_error() {
        assert_eq!(found(&[]).unwrap(), None);
        assert_eq!(found(&[("HF_TOKEN", " \n"), ("HOME", "/nonexistent")]).unwrap(), None);
        assert_eq!(found(&[("HF_TOKEN", "hf_x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "YES")]).unwrap(), None);
        assert!(found(&[("HF_TOKEN", "hf_x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "0")]).unwrap().is_some());
    }

    #[test]
    fn what_is_no_token_is_an_error_that_does_not_show_it() {
        for bad in ["hf_x\r\nHost: evil", "hf x", "hf_\u{e9}", "hf_\0"] {
            let err = found(&[("HF_TOKEN", bad)]).unwrap_err();
            assert_eq!(err.to_string(), "no valid token in HF_TOKEN");
            assert!(!format!("{err:?}").contains("hf_"));
        }
    }
}
