//! [`Endpoint`] is the location of a remote's LFS objects.
//!
//! ```text
//! 1. lfs.url                          git's configuration, then .lfsconfig
//! 2. remote.<r>.lfsurl                likewise, for the remote and then for origin
//! 3. remote.<r>.url                   with .git/info/lfs appended (/info/lfs if it ends in .git)
//! 4. the first line of FETCH_HEAD     for origin
//! ```
//!
//! For uploads, `lfs.pushurl`, `remote.<r>.lfspushurl` and `remote.<r>.pushurl` precede each of the first three, and
//! `url.<base>.pushInsteadOf` applies to all of them before `insteadOf`.
//!
//! Source: `lfsapi/endpoint_finder.go`, `lfshttp/endpoint.go`, `config/git_fetcher.go` of Git LFS; git-clone(1) on
//! URLs; `url.<base>.insteadOf` in git-config(1). Invariants: `.lfsconfig` is a file of the repository, so only its
//! harmless keys are read, and [`Endpoint::moved`] reports another host than the remote's; settings of the user for the
//! remote's own origin (unscoped headers, logins without TLS) do not apply to that host.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::custom_agent::standalone;
use super::error::{Error, Result};
use super::origin::{NotAllowed, Origin};
use super::ssh::Ssh;
use super::url::{Login, Url, unescape};
use crate::git::{redacted, without_password};

/// The settings of a repository about its remotes.
#[derive(Debug, Clone, Copy)]
pub struct Remotes<'a> {
    /// git's configuration.
    pub config: &'a Config,
    /// The repository's `.lfsconfig`: of the working tree, else of the index, else of `HEAD`.
    pub lfsconfig: Option<&'a Config>,
    /// The current branch.
    pub branch: Option<&'a str>,
    /// The first line of `FETCH_HEAD`.
    pub fetch_head: Option<&'a str>,
    /// The base of relative paths.
    pub work_dir: &'a Path,
}

/// The location of a remote's LFS objects.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub(super) location: Location,
    /// The origin of the user's own remote.
    pub(super) home: Option<Origin>,
    /// The login in the URL.
    pub(super) login: Option<Login>,
    /// The path of the remote on the same origin, for credential helpers.
    pub(super) credential_path: Option<String>,
    /// The name of the remote; its URL if it has none.
    remote: String,
    moved: Option<Moved>,
}

/// How the objects are accessed.
#[derive(Debug, Clone)]
pub(super) enum Location {
    /// A server.
    Http(Url),
    /// The URL and login are requested by ssh; without a response, `guess` is used.
    Ssh { ssh: Ssh, guess: Url },
    /// Another repository on this machine.
    Local(PathBuf),
    /// An address that only a transfer agent knows.
    Agent(String),
}

/// A different host in `.lfsconfig` than the remote's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The host in `.lfsconfig`.
    pub to: String,
    /// The remote's host, if it has one.
    pub from: Option<String>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Http(url) | Location::Ssh { guess: url, .. } => url.fmt(f),
            Location::Local(path) => path.display().fmt(f),
            Location::Agent(address) => f.write_str(&without_login(address)),
        }
    }
}

impl Endpoint {
    /// Returns the default location of a remote's objects.
    fn of_remote(address: Address) -> Self {
        // As git itself states it for a remote, for `credential.useHttpPath`.
        let credential_path = Some(address.path.clone());
        Self { credential_path, ..Self::new(address, None, true) }
    }

    /// Returns `true` if the objects are where the remote is, because no setting names another place.
    pub(super) fn is_beside_remote(&self) -> bool {
        self.credential_path.is_some()
    }

    /// Returns the name of the remote.
    pub(super) fn remote(&self) -> &str {
        &self.remote
    }

    /// Returns its address, to which settings of git-lfs refer.
    pub(super) fn address(&self) -> String {
        match &self.location {
            Location::Local(path) => format!("file://{}", path.display()),
            _ => self.to_string(),
        }
    }

    fn new(address: Address, remote: Option<&Address>, is_ours: bool) -> Self {
        let origin = address.origin();
        let remote_origin = remote.and_then(Address::origin);
        let beside = remote.filter(|_| remote_origin.is_some() && remote_origin == origin);
        let hosts = (address.host(), remote.and_then(Address::host));
        let moved = match hosts {
            (Some(to), from) if !is_ours && Some(&to) != from.as_ref() => Some(Moved { to, from }),
            _ => None,
        };
        Self {
            home: if is_ours || beside.is_some() { origin.cloned() } else { None },
            credential_path: beside.map(|remote| remote.path.clone()),
            login: address.login.or_else(|| beside?.login.clone()),
            location: address.location,
            remote: String::new(),
            moved,
        }
    }

    /// Returns its origin, if it is a server.
    pub(super) fn origin(&self) -> Option<&Origin> {
        match &self.location {
            Location::Http(url) | Location::Ssh { guess: url, .. } => Some(url.origin()),
            Location::Local(_) | Location::Agent(_) => None,
        }
    }

    /// Returns where the repository's `.lfsconfig` moved it, if that is another host than the remote's.
    pub fn moved(&self) -> Option<&Moved> {
        self.moved.as_ref()
    }
}

impl Remotes<'_> {
    /// Returns the remote that git-lfs uses by default: of the branch, `remote.lfsdefault`, the only one, or `origin`.
    pub fn default_remote(&self) -> String {
        let of_branch = self.branch.and_then(|branch| self.config.get(&format!("branch.{branch}.remote")));
        // `.` means that the branch follows a branch of this repository.
        let of_branch = of_branch.filter(|name| !matches!(*name, "" | "."));
        if let Some(name) = of_branch.or_else(|| self.config.get("remote.lfsdefault")) {
            return name.to_owned();
        }
        let mut names: Vec<&str> = self.config.subsections("remote", "url").map(|(name, _)| name).collect();
        names.dedup();
        if let [only] = names.as_slice() { (*only).to_owned() } else { "origin".to_owned() }
    }

    /// Returns the location for downloads from a remote; by default of [`Remotes::default_remote`].
    ///
    /// # Errors
    /// [`Error::NoEndpoint`], [`Error::NotAllowed`], [`Error::EndpointScheme`], [`Error::Ssh`]
    pub fn endpoint(&self, remote: Option<&str>) -> Result<Endpoint> {
        self.endpoint_for(remote, false)
    }

    /// Returns the location for uploads.
    ///
    /// # Errors
    /// As [`Remotes::endpoint`].
    pub fn push_endpoint(&self, remote: Option<&str>) -> Result<Endpoint> {
        self.endpoint_for(remote, true)
    }

    fn endpoint_for(&self, remote: Option<&str>, pushes: bool) -> Result<Endpoint> {
        let remote = remote.map_or_else(|| self.default_remote(), str::to_owned);
        let found = match self.find(&remote, pushes) {
            // A standalone agent needs no address.
            Err(Error::NoEndpoint { .. }) if standalone(self.config, "").is_some() => {
                Endpoint::of_remote(Address::of_agent(""))
            }
            found => found?,
        };
        Ok(Endpoint { remote: without_login(&remote), ..found })
    }

    fn find(&self, remote: &str, pushes: bool) -> Result<Endpoint> {
        let url_of = |name: &str| {
            let push_url = if pushes { self.config.get(&format!("remote.{name}.pushurl")) } else { None };
            push_url.map(str::to_owned).or_else(|| self.remote_url(name))
        };
        let address =
            |url: &str, is_remote| self.address(&self.config.rewritten(url, pushes), is_remote, remote);
        let own = url_of(remote).and_then(|url| address(&url, true).ok());
        let settings = [
            (pushes, "lfs.pushurl".to_owned(), None),
            (true, "lfs.url".to_owned(), None),
            (pushes, format!("remote.{remote}.lfspushurl"), None),
            (true, format!("remote.{remote}.lfsurl"), Some(remote)),
            (true, "remote.origin.lfsurl".to_owned(), Some("origin")),
        ];
        for (_, key, name) in settings.into_iter().filter(|(counts, ..)| *counts) {
            if let Some((url, is_ours)) = self.setting(&key) {
                return Ok(Endpoint::new(address(url, false)?, own.as_ref(), is_ours));
            }
            if let Some(url) = name.and_then(url_of) {
                return Ok(Endpoint::of_remote(address(&url, true)?));
            }
        }
        match self.fetch_head.and_then(fetched_from) {
            Some(url) => Ok(Endpoint::of_remote(address(url, true)?)),
            None => Err(Error::NoEndpoint { remote: shown(remote) }),
        }
    }

    /// Returns the URL of a remote; a name that is not configured may itself be a URL.
    fn remote_url(&self, remote: &str) -> Option<String> {
        let configured = self.config.get(&format!("remote.{remote}.url")).map(str::to_owned);
        let is_address = |name: &&str| name.contains(':') || name.starts_with(['/', '.']);
        configured.or_else(|| Some(remote).filter(is_address).map(str::to_owned))
    }

    /// Returns a setting, and whether it is the user's own: `.lfsconfig` applies if git's configuration does not set
    /// it.
    fn setting(&self, key: &str) -> Option<(&str, bool)> {
        let theirs = || Some((self.lfsconfig?.get(key).filter(|_| is_harmless(key))?, false));
        self.config.get(key).map(|value| (value, true)).or_else(theirs)
    }

    /// Parses a URL; the path of LFS is appended to that of a remote.
    fn address(&self, url: &str, is_remote: bool, remote: &str) -> Result<Address> {
        let unknown = || match standalone(self.config, url) {
            Some(_) => Ok(Address::of_agent(url)),
            None => Err(Error::EndpointScheme { remote: shown(remote) }),
        };
        let Some((scheme, rest)) = url.split_once("://") else {
            let is_scp = url.find(':').is_some_and(|colon| !url[..colon].contains('/'));
            // As in git: an existing path is a path, whatever else it could mean.
            if !is_scp || is_drive(url, cfg!(windows)) || self.work_dir.join(url).exists() {
                return Ok(Address::local(self.work_dir.join(url)));
            }
            if url.contains("::") {
                return unknown();
            }
            return Address::ssh(Ssh::from_scp(url)?, is_remote);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Address::http(url, is_remote),
            "ssh" | "git+ssh" | "ssh+git" => Address::ssh(Ssh::from_rest(rest)?, is_remote),
            "git" => {
                let protocol = self.setting("lfs.gitprotocol").map_or("https", |(protocol, _)| protocol);
                Address::http(&format!("{protocol}://{rest}"), is_remote)
            }
            "file" => path_of_file(rest, cfg!(windows)).map_or_else(unknown, |path| Ok(Address::local(path))),
            _ => unknown(),
        }
    }
}

/// A parsed URL, path or ssh address.
struct Address {
    location: Location,
    login: Option<Login>,
    /// Its path, without the path of LFS.
    path: String,
}

impl Address {
    fn http(text: &str, is_remote: bool) -> Result<Self> {
        let url = Url::parse(text).map_err(not_allowed)?;
        let login = url.login().cloned();
        let path = url.path().to_owned();
        let url = url.without_login();
        Ok(Self { location: Location::Http(if is_remote { with_info(&url) } else { url }), login, path })
    }

    fn ssh(ssh: Ssh, is_remote: bool) -> Result<Self> {
        let guess = Url::parse(&ssh.guess()).map_err(not_allowed)?;
        let path = guess.path().to_owned();
        let guess = if is_remote { with_info(&guess) } else { guess };
        Ok(Self { location: Location::Ssh { ssh, guess }, login: None, path })
    }

    fn local(path: PathBuf) -> Self {
        Self { location: Location::Local(path), login: None, path: String::new() }
    }

    fn of_agent(address: &str) -> Self {
        Self { location: Location::Agent(address.to_owned()), login: None, path: String::new() }
    }

    fn origin(&self) -> Option<&Origin> {
        match &self.location {
            Location::Http(url) | Location::Ssh { guess: url, .. } => Some(url.origin()),
            Location::Local(_) | Location::Agent(_) => None,
        }
    }

    fn host(&self) -> Option<String> {
        Some(self.origin()?.host().to_owned())
    }
}

/// Returns `true` for a path of Windows that begins with its drive.
fn is_drive(path: &str, is_windows: bool) -> bool {
    is_windows && matches!(path.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic())
}

/// Returns the path of a `file://` URL without percent escapes, as git does; `None` if it is on another host. On Windows
/// the drive follows two slashes, which git accepts, or three.
fn path_of_file(rest: &str, is_windows: bool) -> Option<PathBuf> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let after_slash = path.strip_prefix('/').filter(|path| is_drive(path, is_windows));
    let path = after_slash.unwrap_or(path);
    (path.starts_with('/') || is_drive(path, is_windows)).then(|| unescape(path).into())
}

/// Returns a URL without the login before its host.
fn without_login(address: &str) -> String {
    without_password(OsStr::new(address)).to_string_lossy().into_owned()
}

/// Returns the name of a remote, which can be a URL, for a message.
fn shown(remote: &str) -> String {
    redacted(OsStr::new(remote)).to_string_lossy().into_owned()
}

fn not_allowed(source: NotAllowed) -> Error {
    Error::NotAllowed { what: "the LFS endpoint".to_owned(), source }
}

fn with_info(url: &Url) -> Url {
    let is_git = url.path().trim_end_matches('/').strip_suffix(".git").is_some();
    url.with_suffix(if is_git { "/info/lfs" } else { ".git/info/lfs" })
}

/// Returns `true` for the keys of `.lfsconfig` that are read here, a subset of those that git-lfs reads.
fn is_harmless(key: &str) -> bool {
    matches!(key, "lfs.url" | "lfs.pushurl" | "lfs.gitprotocol")
        || key.starts_with("remote.") && key.ends_with(".lfsurl")
}

/// Parses `<id> TAB [not-for-merge] TAB branch 'x' of <address>`.
fn fetched_from(line: &str) -> Option<&str> {
    let (_, url) = line.lines().next()?.rsplit_once("' of ")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/.-:_".contains(c);
    (!url.is_empty() && url.chars().all(is_plain)).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(config: &[(&str, &str)], lfsconfig: &[(&str, &str)]) -> Result<Endpoint> {
        let (config, theirs) = (Config::new(config.to_vec()), Config::new(lfsconfig.to_vec()));
        let remotes = Remotes {
            config: &config,
            lfsconfig: Some(&theirs),
            branch: Some("main"),
            fetch_head: Some("0123\tnot-for-merge\tbranch 'main' of https://fetched.example/a"),
            work_dir: Path::new("/nonexistent"),
        };
        remotes.endpoint(None)
    }

    fn of(config: &[(&str, &str)]) -> String {
        endpoint(config, &[]).unwrap().to_string()
    }

    #[test]
    fn the_order_of_git_lfs() {
        let mut config = vec![];
        let mut step = |key: &'static str, value: &'static str, expected: &str| {
            config.push((key, value));
            assert_eq!(of(&config), expected, "{key}");
        };
        step("a.b", "", "https://fetched.example/a.git/info/lfs");
        step("remote.origin.url", "https://o.example/m/", "https://o.example/m.git/info/lfs");
        step("remote.other.url", "https://u.example/m.git", "https://o.example/m.git/info/lfs");
        step("branch.main.remote", "other", "https://u.example/m.git/info/lfs");
        step("remote.origin.lfsurl", "https://ol.example/x", "https://u.example/m.git/info/lfs");
        step("branch.main.remote", ".", "https://ol.example/x");
        step("branch.main.remote", "other", "https://u.example/m.git/info/lfs");
        step("remote.other.lfsurl", "https://ul.example/y/", "https://ul.example/y/");
        step("lfs.url", "https://all.example/z", "https://all.example/z");
    }

    #[test]
    fn a_repository_s_own_file_comes_second_and_is_told_when_it_moves() {
        let remote = ("remote.origin.url", "https://home.example/m");
        let theirs = [
            ("lfs.url", "https://away.example/lfs"),
            ("http.proxy", "http://evil"),
            ("remote.origin.url", "x"),
        ];
        let moved = endpoint(&[remote], &theirs).unwrap();
        assert_eq!(moved.to_string(), "https://away.example/lfs");
        assert_eq!(moved.home, None);
        let from = Some("home.example".to_owned());
        assert_eq!(moved.moved(), Some(&Moved { to: "away.example".to_owned(), from }));
        let same = endpoint(&[remote], &[("lfs.url", "https://home.example/lfs")]).unwrap();
        assert_eq!((same.moved(), same.credential_path.as_deref()), (None, Some("/m")));
        assert_eq!(same.home.unwrap().to_string(), "https://home.example");
        let ours = endpoint(&[remote, ("lfs.url", "https://ours.example/")], &theirs).unwrap();
        assert_eq!(ours.moved(), None);
        assert_eq!(ours.home.unwrap().to_string(), "https://ours.example");
        // The scheme and the port belong to an origin as much as the host does.
        let clear = endpoint(&[remote], &[("lfs.url", "http://home.example/lfs")]).unwrap();
        assert_eq!(clear.home, None);
    }

    #[test]
    fn a_drive_of_windows_is_a_path_and_no_host() {
        for url in ["C:/m.git", "/C:/m.git", "localhost/C:/m.git"] {
            assert_eq!(path_of_file(url, true), Some("C:/m.git".into()), "{url}");
        }
        assert_eq!(path_of_file("/C:/m.git", false), Some("/C:/m.git".into()));
        for (url, path) in [
            ("/a%20b/%6d.git", "/a b/m.git"),
            ("/a%2fb%25.git", "/a/b%.git"),
            ("/a%zz", "/a%zz"),
            ("/a%+f", "/a%+f"),
        ] {
            assert_eq!(path_of_file(url, false), Some(path.into()), "{url}");
        }
        assert_eq!(path_of_file("C:/m.git", false), None);
        assert_eq!(path_of_file("host/m.git", true), None);
        for (path, is) in [("c:m", true), ("C:/m", true), ("host:m", false), ("/C:/m", false), ("1:m", false)]
        {
            assert_eq!((is_drive(path, true), is_drive(path, false)), (is, false), "{path}");
        }
    }

    #[test]
    fn every_kind_of_remote() {
        let remote = |url: &str| endpoint(&[("remote.origin.url", url)], &[]);
        let shown = |url: &str| remote(url).unwrap().to_string();
        assert_eq!(shown("https://us:pw@h.example/a/b?x#y"), "https://h.example/a/b.git/info/lfs");
        assert_eq!(shown("git@hub.example:acme/model"), "https://hub.example/acme/model.git/info/lfs");
        assert_eq!(shown("ssh://git@hub.example:2222/acme/m.git"), "https://hub.example/acme/m.git/info/lfs");
        assert_eq!(shown("git://h.example/a"), "https://h.example/a.git/info/lfs");
        for local in ["/srv/models/a.git", "file:///srv/models/a.git", "file://localhost/srv/models/a.git"] {
            assert_eq!(remote(local).unwrap().to_string(), "/srv/models/a.git");
        }
        let beside = Path::new("/nonexistent").join("../a");
        assert_eq!(remote("../a").unwrap().to_string(), beside.to_str().unwrap());
        for unknown in ["s3://bucket/x", "ext::sh -c true", "file://other.example/x"] {
            assert!(matches!(remote(unknown), Err(Error::EndpointScheme { .. })), "{unknown}");
        }
        assert_eq!(endpoint(&[], &[]).unwrap().to_string(), "https://fetched.example/a.git/info/lfs");
    }

    #[test]
    fn what_is_sent_may_have_a_place_of_its_own() {
        let mut config = vec![("remote.origin.url", "https://o.example/m")];
        let mut step = |key: &'static str, value: &'static str, expected: &str| {
            config.push((key, value));
            let pairs = Config::new(config.clone());
            let work_dir = Path::new("/nonexistent");
            let remotes =
                Remotes { config: &pairs, lfsconfig: None, branch: None, fetch_head: None, work_dir };
            assert_eq!(remotes.push_endpoint(None).unwrap().to_string(), expected, "{key}");
        };
        step("remote.origin.fetch", "x", "https://o.example/m.git/info/lfs");
        step(
            "url.https://p.example/.pushInsteadOf",
            "https://o.example/",
            "https://p.example/m.git/info/lfs",
        );
        step("remote.origin.pushurl", "https://q.example/m.git", "https://q.example/m.git/info/lfs");
        step("remote.origin.lfsurl", "https://l.example/x", "https://l.example/x");
        step("remote.origin.lfspushurl", "https://lp.example/x", "https://lp.example/x");
        step("lfs.url", "https://all.example/z", "https://all.example/z");
        step("lfs.pushurl", "https://push.example/z", "https://push.example/z");
        step("url.https://r.example/.insteadOf", "https://push.example/", "https://r.example/z");
        step("url.ssh://git@p.example/.pushInsteadOf", "https://push.example/", "https://p.example/z");
        assert_eq!(of(&config), "https://all.example/z");
        config.retain(|(key, _)| *key != "lfs.pushurl");
        config.push(("url.https://w.example/.pushInsteadOf", "https://all.example/"));
        let pairs = Config::new(config.clone());
        let work_dir = Path::new("/nonexistent");
        let remotes = Remotes { config: &pairs, lfsconfig: None, branch: None, fetch_head: None, work_dir };
        assert_eq!(remotes.push_endpoint(None).unwrap().to_string(), "https://w.example/z");
        assert_eq!(of(&config), "https://all.example/z");
    }

    #[test]
    fn the_longest_alias_counts() {
        let config = [
            ("remote.origin.url", "h:team/m"),
            ("url.https://short.example/.insteadOf", "h:"),
            ("url.https://long.example/t/.insteadOf", "h:team/"),
        ];
        assert_eq!(of(&config), "https://long.example/t/m.git/info/lfs");
    }
}
