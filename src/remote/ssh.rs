//! [`Ssh`] is a remote that is accessed by ssh; it requests the location of LFS objects from the server.
//!
//! ```text
//! ssh [-p PORT] [USER@]HOST "git-lfs-authenticate PATH download|upload"   →   {"href", "header", "expires_in", "expires_at"}
//! ```
//!
//! Source: `docs/api/server-discovery.md`, `lfshttp/ssh.go` and `ssh/ssh.go` of Git LFS; `sq_quote_buf` in `quote.c`
//! and `url_decode` in `connect.c` of git. Invariants: an address may come from `.lfsconfig`, so no part of it can be
//! an option of ssh or special to a shell: an unusual path is quoted as git quotes it, and one that no quoting protects
//! in every shell is refused; a login for one operation is not used for the other. `ssh_link` implements the pure ssh
//! protocol.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;

use super::cause::BadAnswer;
use super::config::Config;
use super::error::{Error, Result};
use super::known::{Expiry, Known};
use super::operation::Operation;
use super::secret::Secret;
use super::url::{Url, unescape};
use super::wire::Wire;
use crate::git::ssh::{Answer, Destination};
use crate::git::{self, Git};

/// A remote that is accessed by ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ssh {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
}

/// Whether objects are transferred over ssh itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pure {
    /// Yes, if the server supports it.
    Negotiate,
    /// Yes, or the operation fails.
    Always,
    /// No; ssh is used only to request the location.
    Never,
}

/// The logins from ssh, by address and operation, as long as they are valid.
pub(super) type Granted = Known<(Ssh, Operation), Option<Grant>>;

/// The location of the objects, and the headers for access.
#[derive(Clone)]
pub(super) struct Grant {
    /// `None` if the server uses the default location.
    pub(super) href: Option<String>,
    pub(super) header: Vec<(String, Secret)>,
    expiry: Expiry,
}

#[derive(Deserialize)]
struct Authentication {
    href: Option<String>,
    header: Option<BTreeMap<String, String>>,
    expires_in: Option<i64>,
    expires_at: Option<String>,
}

impl Ssh {
    /// Parses `[user@]host[:port]/path`, the part after `ssh://`, with the path's `%XX` decoded.
    ///
    /// # Errors
    /// [`Error::Ssh`]
    pub(super) fn from_rest(rest: &str) -> Result<Self> {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = split_user(authority);
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, Some(port)),
            _ => (host, None),
        };
        let path = unescape(path);
        // `/~user/…` is a path in that user's home, as in git.
        let path = path.strip_prefix('/').filter(|path| path.starts_with('~')).unwrap_or(&path);
        Self::new(user, host, port.filter(|port| !port.is_empty()), path)
    }

    /// Parses `[user@]host:path` or `[user@host:port]:path`, as in scp.
    ///
    /// # Errors
    /// [`Error::Ssh`]
    pub(super) fn from_scp(text: &str) -> Result<Self> {
        let bracketed = text.strip_prefix('[').and_then(|text| text.split_once("]:"));
        let (authority, path) =
            bracketed.or_else(|| text.split_once(':')).ok_or(Error::Ssh { part: "host" })?;
        let (user, host) = split_user(authority);
        let (host, port) = match (bracketed, host.split_once(':')) {
            (Some(_), Some((host, port))) if !port.contains(':') => (host, Some(port)),
            _ => (host, None),
        };
        Self::new(user, host, port, path)
    }

    fn new(user: Option<&str>, host: &str, port: Option<&str>, path: &str) -> Result<Self> {
        let plain = |text: &str, more: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if !(plain(host, ".-_") || literal.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok())) {
            return Err(Error::Ssh { part: "host" });
        }
        if user.is_some_and(|user| !plain(user, ".-_+")) {
            return Err(Error::Ssh { part: "user" });
        }
        // The shell of the server reads the path. In quotes only a backslash is special, in some shells.
        if path.is_empty() || path.starts_with('-') || path.contains(|c: char| c.is_control() || c == '\\') {
            return Err(Error::Ssh { part: "path" });
        }
        let port = port.map(str::parse::<u16>).transpose().map_err(|_| Error::Ssh { part: "port" })?;
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, path: path.to_owned() })
    }

    /// Returns the location if ssh does not return one: the same host and path by https.
    pub(super) fn guess(&self) -> String {
        let path = self.path.trim_start_matches('/');
        format!("https://{}/{}", self.host, path.replace('%', "%25").replace('?', "%3F").replace('#', "%23"))
    }

    /// Returns the destination for ssh.
    pub(super) fn destination(&self) -> Destination<'_> {
        Destination { user: self.user.as_deref(), host: &self.host, port: self.port }
    }

    /// Returns whether objects are transferred over ssh: `lfs.<url>.sshtransfer`.
    pub(super) fn pure(&self, config: &Config) -> Pure {
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        let path = self.path.trim_start_matches('/');
        let bare = format!("ssh://{}{port}/{path}", self.host);
        let full = self.user.as_ref().map(|user| format!("ssh://{user}@{}{port}/{path}", self.host));
        let forms: Vec<&str> = full.as_deref().into_iter().chain([bare.as_str()]).collect();
        match config.for_address("lfs", "sshtransfer", &forms).unwrap_or("negotiate") {
            "negotiate" => Pure::Negotiate,
            "always" => Pure::Always,
            // As git-lfs treats an unknown value.
            _ => Pure::Never,
        }
    }

    /// Returns the path for a shell: quoted if it is unusual.
    pub(super) fn quoted_path(&self) -> Cow<'_, str> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "./-_~+@,:%=".contains(c);
        if self.path.chars().all(is_plain) {
            return Cow::Borrowed(&self.path);
        }
        Cow::Owned(format!("'{}'", self.path.replace('\'', r"'\''").replace('!', r"'\!'")))
    }
}

fn split_user(authority: &str) -> (Option<&str>, &str) {
    match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    }
}

/// Requests the location of the objects by ssh. `None` if the server does not know the command.
///
/// # Errors
/// [`Error::Git`] if ssh fails, [`Error::BadAnswer`] for an invalid response.
pub(super) fn grant(
    wire: &Wire<'_>,
    git: Option<&Git<'_>>,
    granted: &Granted,
    (ssh, operation): (&Ssh, Operation),
    guess: &Url,
) -> Result<Option<Grant>> {
    granted.retain(|_, grant| grant.as_ref().is_none_or(|grant| !grant.expiry.is_over()));
    granted.get_or_learn((ssh.clone(), operation), || ask(wire, git, (ssh, operation), guess))
}

fn ask(
    wire: &Wire<'_>,
    git: Option<&Git<'_>>,
    (ssh, operation): (&Ssh, Operation),
    guess: &Url,
) -> Result<Option<Grant>> {
    if wire.settings.offline {
        return Err(Error::Offline { origin: guess.origin().clone() });
    }
    let asked = Instant::now();
    let git = git.ok_or(git::Error::NotInstalled)?;
    let to = ssh.destination();
    let command = format!("git-lfs-authenticate {} {operation}", ssh.quoted_path());
    let answer = match git::ssh::run(git, &to, &command)? {
        Answer::Said(answer) => answer,
        Answer::NoSuchCommand => return Ok(None),
    };
    let bad = |source| Error::BadAnswer { url: guess.clone(), interface: "Git LFS server", source };
    let answer: Authentication = serde_json::from_slice(&answer).map_err(|err| bad(BadAnswer::Json(err)))?;
    let header: Vec<_> = answer
        .header
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)))
        .collect();
    for (_, value) in &header {
        wire.remember_line(value);
    }
    let expiry = Expiry::new(asked, answer.expires_in, answer.expires_at.as_deref());
    Ok(Some(Grant { href: answer.href.filter(|href| !href.is_empty()), header, expiry }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_both_ways() {
        let ssh = |user: Option<&str>, host: &str, port, path: &str| Ssh {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        };
        let of = |rest: &str| Ssh::from_rest(rest).unwrap();
        assert_eq!(of("git@h.example/a/b.git"), ssh(Some("git"), "h.example", None, "/a/b.git"));
        assert_eq!(of("h:2222/a"), ssh(None, "h", Some(2222), "/a"));
        assert_eq!(of("[::1]:22/a"), ssh(None, "[::1]", Some(22), "/a"));
        assert_eq!(of("[::1]/a"), ssh(None, "[::1]", None, "/a"));
        let scp = |text: &str| Ssh::from_scp(text).unwrap();
        assert_eq!(scp("git@h:a/b"), ssh(Some("git"), "h", None, "a/b"));
        assert_eq!(scp("[git@h:2222]:a/b"), ssh(Some("git"), "h", Some(2222), "a/b"));
        assert_eq!(scp("git@h:a/b").guess(), "https://h/a/b");
    }

    #[test]
    fn whether_all_goes_over_ssh_is_set_for_an_address() {
        let of = |rest: &str, pairs: &[(&str, &str)]| {
            Ssh::from_rest(rest).unwrap().pure(&Config::new(pairs.iter().copied()))
        };
        assert_eq!(of("git@h/a/b.git", &[]), Pure::Negotiate);
        let pairs = [
            ("lfs.sshtransfer", "never"),
            ("lfs.ssh://git@h/a.sshtransfer", "always"),
            ("lfs.ssh://h/b/.sshtransfer", "negotiate"),
            ("lfs.ssh://h:22/b.sshtransfer", "odd"),
        ];
        assert_eq!(of("git@h/a/b.git", &pairs), Pure::Always);
        assert_eq!(of("h/a/b.git", &pairs), Pure::Never);
        assert_eq!(of("git@h/b/c.git", &pairs), Pure::Negotiate);
        assert_eq!(of("git@h:22/b/c.git", &pairs), Pure::Never);
        assert_eq!(of("git@h/bc.git", &pairs), Pure::Never);
    }

    /// `git rev-parse --sq-quote` returned these texts.
    #[test]
    fn a_path_that_is_not_plain_is_quoted_as_git_does() {
        for (path, quoted) in [
            ("a b/Größe.git", "'a b/Größe.git'"),
            ("a'b", r"'a'\''b'"),
            ("!x!", r"''\!'x'\!''"),
            ("$(id)", "'$(id)'"),
            ("x;id", "'x;id'"),
            ("~x/y", "~x/y"),
            ("a%b", "a%b"),
        ] {
            assert_eq!(Ssh::from_scp(&format!("h:{path}")).unwrap().quoted_path(), quoted);
        }
        let of = |rest: &str| Ssh::from_rest(rest).unwrap();
        assert_eq!(of("h/a%20b/%C3%A9.git").path, "/a b/é.git");
        assert_eq!(of("h/~me/x").path, "~me/x");
        assert_eq!(of("h/a%20b/100%25.git").guess(), "https://h/a b/100%25.git");
    }

    #[test]
    fn nothing_can_be_an_option_or_reach_a_shell() {
        for (rest, part) in [
            ("-oProxyCommand=sh/x", "host"),
            ("git@-oProxyCommand=sh/x", "host"),
            ("-l@h/x", "user"),
            ("a b@h/x", "user"),
            ("h;id/x", "host"),
            ("h/x\n", "path"),
            ("h/x%0ay", "path"),
            ("h/x\\", "path"),
            ("h/x%5C", "path"),
            ("h:22x/x", "port"),
            ("h:-1/x", "port"),
            ("/x", "host"),
            ("h", "path"),
        ] {
            let err = Ssh::from_rest(rest).unwrap_err();
            assert!(matches!(err, Error::Ssh { part: found } if found == part), "{rest}: {err}");
        }
        for scp in ["-oProxyCommand=x:a", "h:-x", "h:a\tb", "[h:2x]:a", ":a", "h:"] {
            assert!(matches!(Ssh::from_scp(scp), Err(Error::Ssh { .. })), "{scp}");
        }
    }
}
