//! Where the Hub's token comes from.
//!
//! ```text
//! HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the file HF_TOKEN_PATH, the file `token` in HF_HOME,
//! in $XDG_CACHE_HOME/huggingface, in ~/.cache/huggingface
//! ```
//!
//! Source: `utils/_auth.py` and `constants.py` of `huggingface_hub`. Invariant: a token that could not stand in a header is
//! an error and never sent in part. Who may see it is decided in `login`. It reads no environment: `cli` does.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use super::config::truth;
use super::secret::Secret;

/// No token is as long as this; a file that is, holds something else.
const MAX_LEN: u64 = 4096;

/// What the environment says about tokens. The values of variables, not yet read files.
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
    /// `HOME`
    pub home: Option<PathBuf>,
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`
    pub disable_implicit: Option<String>,
}

/// Where a token was found, to name it in a message.
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
    /// Itself.
    pub secret: Secret,
    /// Where it was found.
    pub place: TokenSource,
}

impl Token {
    /// The same for git, which is given it for the origin of this address alone; `None` if it has no origin.
    ///
    /// # Errors
    /// [`crate::git::Error::UnsafeCredential`]
    pub fn for_git(&self, endpoint: &str) -> Result<Option<crate::git::Token>, crate::git::Error> {
        crate::git::Token::new(endpoint, self.secret.expose())
    }
}

/// What was found is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there, and cannot be read.
    #[error("cannot read the token from {place}")]
    Io {
        /// Where.
        place: TokenSource,
        /// Why.
        source: io::Error,
    },
    /// Blanks, line ends or characters that no header holds.
    #[error("no valid token in {place}")]
    Malformed {
        /// Where.
        place: TokenSource,
    },
}

impl Places {
    /// Reads a variable of the environment, if it is one that says something about tokens.
    pub fn from_environment(var: &dyn Fn(&str) -> Option<String>) -> Self {
        let path = |name| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            hf_token: var("HF_TOKEN").map(Secret::new),
            hugging_face_hub_token: var("HUGGING_FACE_HUB_TOKEN").map(Secret::new),
            hf_token_path: path("HF_TOKEN_PATH"),
            hf_home: path("HF_HOME"),
            xdg_cache_home: path("XDG_CACHE_HOME"),
            home: path("HOME"),
            disable_implicit: var("HF_HUB_DISABLE_IMPLICIT_TOKEN"),
        }
    }

    /// The first token of all places. None where `HF_HUB_DISABLE_IMPLICIT_TOKEN` says so.
    ///
    /// # Errors
    /// [`Error`]: a place that holds something else is not passed over, since the next one may be another person's.
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
            Ok(_) => check(&text, TokenSource::File(path)),
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

/// Line ends and blanks around a token are not part of it; nothing else is allowed but what a bearer token holds.
fn check(text: &str, place: TokenSource) -> Result<Option<Token>, Error> {
    let token = text.trim_matches(['\r', '\n', ' ']);
    if token.is_empty() {
        return Ok(None);
    }
    let is_token = token.len() < 2048 && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token {
        Ok(Some(Token { secret: Secret::new(token), place }))
    } else {
        Err(Error::Malformed { place })
    }
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
        let name = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let mut pairs = vec![("HOME", name(&dir.path().join("home")))];
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
