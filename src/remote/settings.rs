//! [`Settings`] contains every setting of the user about servers, as plain data, and computes what applies to a URL.
//!
//! Source of the names: git-config(1) (`http.*`), git-lfs-config(5) (`lfs.*`), curl(1) (the variables of proxies) and
//! `constants.py` of `huggingface_hub`. Invariants: an unscoped `http.extraHeader` applies only to the origin of the
//! user's own remote; a repository's own `.lfsconfig` is never part of the settings. The module reads no environment
//! and no file except the CA bundle and the netrc file, when they are needed.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::config::{Config, truth};
use super::learned::Learned;
use super::origin::{Origin, Scheme};
use super::secret::Secret;
use super::tls::{ClientFiles, Trust};
use super::token::Places;
use super::url::Url;

/// The URL of the public Hub.
pub const HUB: &str = "https://huggingface.co";

/// The default number of connections for one object.
const CONNECTIONS: usize = 4;

/// The user's settings about servers.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Settings {
    /// git's configuration, without `.lfsconfig`.
    pub config: Config,
    /// The possible sources of tokens.
    pub tokens: Places,
    /// `HF_ENDPOINT`; by default [`HUB`].
    pub hub: Option<String>,
    /// `--offline` or `HF_HUB_OFFLINE`: no server is contacted.
    pub offline: bool,
    /// `true` if the user is not prompted for a password.
    pub in_passing: bool,
    /// `true` if no user waits for a single response, as in a batch: a server that rejects a request without stating a
    /// time gets a pause of a minute or more.
    pub patient: bool,
    /// The proxies of the environment.
    pub proxies: Proxies,
    /// `GIT_SSL_CAINFO`: the certificates that replace the system's.
    pub ca_info: Option<PathBuf>,
    /// `GIT_SSL_CAPATH`: a directory of further certificates.
    pub ca_path: Option<PathBuf>,
    /// `GIT_SSL_CERT`: the certificate for a server that requests one.
    pub client_certificate: Option<PathBuf>,
    /// `GIT_SSL_KEY`: its key.
    pub client_key: Option<PathBuf>,
    /// `GIT_SSL_NO_VERIFY`
    pub no_verify: bool,
    /// The netrc file: by default `~/.netrc`.
    pub netrc: Option<PathBuf>,
    /// How long a server may be silent, and how long connecting may take; by default as in git-lfs.
    pub timeout: Option<Duration>,
    /// The facts that were learned about servers, shared by all users of these settings and their clones.
    pub learned: Learned,
}

/// The proxies of the environment.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// `http_proxy`; the upper-case name is not read, because a web server may have set it from a request.
    pub http: Option<Secret>,
    /// `https_proxy`, `HTTPS_PROXY`
    pub https: Option<Secret>,
    /// `all_proxy`, `ALL_PROXY`
    pub all: Option<Secret>,
    /// `no_proxy`, `NO_PROXY`
    pub none: Option<String>,
}

/// The retries and timeouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// The number of consecutive failures before an error.
    pub(super) retries: u32,
    /// The longest pause between attempts.
    pub(super) max_delay: Duration,
    /// How long a server may be silent.
    pub(super) timeout: Duration,
    /// How long connecting may take.
    pub(super) connect: Duration,
}

impl Settings {
    /// Reads the environment; `var` returns the value of a variable.
    pub fn from_environment(var: &dyn Fn(&str) -> Option<String>) -> Self {
        let some = |name: &str| var(name).filter(|value| !value.is_empty());
        let either = |lower: &str, upper: &str| some(lower).or_else(|| some(upper));
        let is_set = |name: &str| some(name).is_some_and(|value| truth(&value) != Some(false));
        Self {
            tokens: Places::from_environment(var),
            hub: some("HF_ENDPOINT"),
            offline: is_set("HF_HUB_OFFLINE"),
            proxies: Proxies {
                http: some("http_proxy").map(Secret::new),
                https: either("https_proxy", "HTTPS_PROXY").map(Secret::new),
                all: either("all_proxy", "ALL_PROXY").map(Secret::new),
                none: either("no_proxy", "NO_PROXY"),
            },
            ca_info: some("GIT_SSL_CAINFO").map(PathBuf::from),
            ca_path: some("GIT_SSL_CAPATH").map(PathBuf::from),
            client_certificate: some("GIT_SSL_CERT").map(PathBuf::from),
            client_key: some("GIT_SSL_KEY").map(PathBuf::from),
            no_verify: is_set("GIT_SSL_NO_VERIFY"),
            netrc: crate::git::home(&|name| var(name).map(Into::into)).map(|home| home.join(".netrc")),
            ..Self::default()
        }
    }

    /// Returns the same settings with git's configuration.
    #[must_use]
    pub fn with_config(self, config: Config) -> Self {
        Self { config, ..self }
    }

    /// Returns the number of connections for one object: `lfs.concurrenttransfers`, which is git-lfs's limit for all
    /// objects, but at most eight.
    pub(super) fn connections(&self) -> usize {
        let allowed = self.config.number("lfs.concurrenttransfers");
        allowed.and_then(|number| usize::try_from(number).ok()).unwrap_or(CONNECTIONS).clamp(1, 8)
    }

    /// Reads `lfs.transfer.maxretries`, `.maxretrydelay`, `lfs.dialtimeout`, `lfs.activitytimeout`, with the defaults
    /// of git-lfs.
    pub(super) fn patience(&self) -> Patience {
        let number = |key: &str| self.config.number(key);
        let seconds = |key: &str| match (self.timeout, number(key)) {
            (Some(timeout), _) => timeout,
            (None, Some(seconds)) if seconds > 0 => Duration::from_secs(seconds.min(3600)),
            (None, _) => Duration::from_secs(30),
        };
        let retries = number("lfs.transfer.maxretries").unwrap_or(8).min(100);
        Patience {
            retries: u32::try_from(retries).unwrap_or(100),
            max_delay: Duration::from_secs(number("lfs.transfer.maxretrydelay").unwrap_or(10).min(3600)),
            timeout: seconds("lfs.activitytimeout"),
            connect: seconds("lfs.dialtimeout"),
        }
    }

    /// Reads `lfs.transfer.batchsize`: the number of objects per request.
    pub(super) fn batch_size(&self) -> usize {
        let size = self.config.number("lfs.transfer.batchsize").unwrap_or(100);
        usize::try_from(size).unwrap_or(100).clamp(1, 1000)
    }

    /// Returns the headers that `http.extraHeader` adds for a URL. An empty value removes those before it.
    pub(super) fn extra_headers(&self, url: &Url, home: Option<&Origin>) -> Vec<(String, Secret)> {
        let scoped = self.config.scoped("http", "extraHeader", url);
        let values = if scoped.is_empty() && home == Some(url.origin()) {
            self.config.unscoped("http", "extraHeader").collect()
        } else {
            scoped
        };
        let start = values.iter().rposition(|value| value.is_empty()).map_or(0, |empty| empty + 1);
        let lines = values.into_iter().skip(start);
        lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), Secret::new(value.trim())))
            .collect()
    }

    /// Returns the file of `http.cookieFile` for a URL.
    pub(super) fn cookie_file(&self, url: &Url) -> Option<PathBuf> {
        self.path(self.config.for_url("http", "cookieFile", url)?)
    }

    /// Returns `true` if a login is sent with the first request (`lfs.<url>.access = basic`).
    pub(super) fn is_basic(&self, url: &Url) -> bool {
        let access = self.config.for_url("lfs", "access", url).unwrap_or_default();
        access.eq_ignore_ascii_case("basic") || access.eq_ignore_ascii_case("private")
    }

    /// Returns `true` if certificates are checked.
    pub(super) fn verifies(&self, url: &Url) -> bool {
        let config = self.config.for_url("http", "sslVerify", url).and_then(truth);
        !self.no_verify && config.unwrap_or(true)
    }

    /// Returns the certificate settings for a URL. Settings without a URL apply to the user's own hosts.
    pub(super) fn trust(&self, url: &Url, home: Option<&Origin>) -> Trust {
        let config = |name| self.config.for_url("http", name, url).and_then(|path| self.path(path));
        Trust {
            bundle: self.ca_info.clone().or_else(|| config("sslCAInfo")),
            dir: self.ca_path.clone().or_else(|| config("sslCAPath")),
            is_blind: !self.verifies(url),
            client: self.client(url, home),
        }
    }

    /// Returns the certificate for a server that requests one.
    fn client(&self, url: &Url, home: Option<&Origin>) -> Option<ClientFiles> {
        let host = url.origin().host();
        let is_hub = || {
            let hub = self.hub.as_deref().and_then(|hub| Url::parse(hub).ok());
            hub.is_some_and(|hub| hub.origin().host() == host)
        };
        let is_own = home.is_some_and(|home| home.host() == host) || is_hub();
        let file = |own: &Option<PathBuf>, name| {
            let scoped = self.config.scoped("http", name, url).last().copied();
            let value = scoped.or_else(|| self.config.unscoped("http", name).last().filter(|_| is_own));
            own.clone().filter(|_| is_own).or_else(|| self.path(value?))
        };
        let certificate = file(&self.client_certificate, "sslCert")?;
        Some(ClientFiles { certificate, key: file(&self.client_key, "sslKey") })
    }

    /// Expands a path as git does.
    fn path(&self, value: &str) -> Option<PathBuf> {
        let home = || Some(self.tokens.home.as_ref()?.join(value.strip_prefix("~/")?));
        Some(value).filter(|value| !value.is_empty()).map(|value| home().unwrap_or_else(|| value.into()))
    }

    /// Returns the proxy for a URL; `None` if an empty setting or `no_proxy` disables it.
    pub(super) fn proxy(&self, url: &Url) -> Option<Secret> {
        if self.proxies.none.as_deref().is_some_and(|list| is_listed(list, url.origin())) {
            return None;
        }
        if let Some(proxy) = self.config.for_url("http", "proxy", url) {
            return Some(Secret::new(proxy)).filter(|_| !proxy.is_empty());
        }
        let own = match url.origin().scheme() {
            Scheme::Http => &self.proxies.http,
            Scheme::Https => &self.proxies.https,
        };
        own.clone().or_else(|| self.proxies.all.clone())
    }
}

/// Returns `true` if a `no_proxy` list contains this host: `*`, a host, a domain with or without a dot before it, or
/// `host:port`; for an IP address also a network (`10.0.0.0/8`).
fn is_listed(list: &str, origin: &Origin) -> bool {
    let host = bare(origin.host());
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        if let Some((network, bits)) = entry.split_once('/') {
            return is_in(network, bits, host) == Some(true);
        }
        let (entry, port) = match entry.rsplit_once(':') {
            Some((name, port))
                if !port.is_empty()
                    && port.bytes().all(|byte| byte.is_ascii_digit())
                    && (!name.contains(':') || name.ends_with(']')) =>
            {
                (name, port.parse::<u16>().ok())
            }
            _ => (entry.as_str(), Some(origin.port())),
        };
        let entry = bare(entry.trim_start_matches("*.").trim_start_matches('.'));
        let is_address = || Some(entry.parse::<IpAddr>().ok()? == host.parse::<IpAddr>().ok()?);
        let is_host = host == entry
            || host.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.'))
            || is_address() == Some(true);
        entry == "*" || is_host && port == Some(origin.port())
    })
}

/// Returns an address without the brackets of IPv6.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Returns whether an address is in a network; `None` if one of them is none.
fn is_in(network: &str, bits: &str, host: &str) -> Option<bool> {
    let (network, host) = (bare(network).parse::<IpAddr>().ok()?, host.parse::<IpAddr>().ok()?);
    let (network, host, width) = match (network, host) {
        (IpAddr::V4(network), IpAddr::V4(host)) => {
            (u128::from(u32::from(network)), u128::from(u32::from(host)), u32::BITS)
        }
        (IpAddr::V6(network), IpAddr::V6(host)) => (network.into(), host.into(), u128::BITS),
        _ => return None,
    };
    let rest = width.checked_sub(bits.parse().ok()?)?;
    Some((network ^ host).checked_shr(rest).unwrap_or(0) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn environment(pairs: &'static [(&str, &str)]) -> Settings {
        Settings::from_environment(&|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_proxy_is_chosen_as_curl_and_git_do() {
        let settings = environment(&[
            ("http_proxy", "http://p:1"),
            ("HTTP_PROXY", "http://evil:1"),
            ("HTTPS_PROXY", "http://s:2"),
            ("NO_PROXY", "localhost, .corp.example,10.0.0.1:8080 *.dev.example"),
        ]);
        let proxy =
            |settings: &Settings, text: &str| settings.proxy(&url(text)).map(|p| p.expose().to_owned());
        assert_eq!(proxy(&settings, "http://h/").as_deref(), Some("http://p:1"));
        assert_eq!(proxy(&settings, "https://h/").as_deref(), Some("http://s:2"));
        for direct in [
            "http://localhost:9/",
            "https://a.corp.example",
            "https://corp.example",
            "http://10.0.0.1:8080",
            "http://x.dev.example",
        ] {
            assert_eq!(proxy(&settings, direct), None, "{direct}");
        }
        for proxied in ["http://10.0.0.1/", "http://notcorp.example", "http://localhost.evil"] {
            assert!(proxy(&settings, proxied).is_some(), "{proxied}");
        }
        let networks = environment(&[
            ("http_proxy", "http://p:1"),
            ("no_proxy", "10.0.0.0/8,192.168.4.0/23, fd00::/8,[::1] [2001:db8::1]:8080,1.2.3.4/33,::/x"),
        ]);
        for direct in [
            "http://10.9.8.7/",
            "http://192.168.5.1:9/",
            "http://[fd12::1]/",
            "http://[::1]:9/",
            "http://[2001:db8:0::1]:8080/",
        ] {
            assert_eq!(proxy(&networks, direct), None, "{direct}");
        }
        for proxied in [
            "http://11.0.0.1/",
            "http://192.168.6.1/",
            "http://[fe80::1]/",
            "http://[2001:db8::1]/",
            "http://10.example/",
            "http://1.2.3.4/",
        ] {
            assert!(proxy(&networks, proxied).is_some(), "{proxied}");
        }
        let everything = environment(&[("http_proxy", "http://p:1"), ("no_proxy", "0.0.0.0/0,::/0")]);
        assert_eq!(proxy(&everything, "http://127.0.0.1/"), None);
        assert_eq!(proxy(&everything, "http://[fe80::1]/"), None);
        assert_eq!(environment(&[("HTTP_PROXY", "http://evil:1")]).proxy(&url("http://h")), None);
        let config = Config::new([("http.proxy", "http://c:3"), ("http.https://direct.example.proxy", "")]);
        let settings = settings.with_config(config);
        assert_eq!(proxy(&settings, "http://h/").as_deref(), Some("http://c:3"));
        assert_eq!(proxy(&settings, "https://direct.example/"), None);
    }

    #[test]
    fn an_unscoped_header_is_for_home_alone() {
        let config = Config::new([
            ("http.extraHeader", "X-Dropped: a"),
            ("http.extraHeader", ""),
            ("http.extraHeader", "Authorization: Basic c2VjcmV0"),
            ("http.https://other.example/team.extraHeader", "X-Team: 1"),
        ]);
        let settings = Settings::default().with_config(config);
        let headers = |text: &str, home: &str| {
            let headers = settings.extra_headers(&url(text), Some(url(home).origin()));
            headers.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(headers("https://home.example/x", "https://home.example"), ["Authorization"]);
        assert!(headers("https://home.example/x", "https://away.example").is_empty());
        assert!(headers("http://home.example/x", "https://home.example").is_empty());
        assert!(headers("https://home.example:444/x", "https://home.example").is_empty());
        assert_eq!(headers("https://other.example/team/x", "https://home.example"), ["X-Team"]);
        assert!(headers("https://other.example/x", "https://home.example").is_empty());
    }

    #[test]
    fn what_git_and_git_lfs_configure() {
        let config = Config::new([
            ("http.sslVerify", "false"),
            ("http.https://h/.sslVerify", "true"),
            ("lfs.https://h/a/b.git/info/lfs.access", "Basic"),
            ("lfs.transfer.maxretries", "2"),
            ("lfs.activitytimeout", "7"),
            ("lfs.concurrenttransfers", "2"),
        ]);
        let settings = Settings::default().with_config(config);
        assert!(settings.verifies(&url("https://h/x")) && !settings.verifies(&url("https://i/x")));
        assert!(settings.is_basic(&url("https://h/a/b.git/info/lfs/objects/batch")));
        assert!(!settings.is_basic(&url("https://h/a/c.git/info/lfs/objects/batch")));
        assert_eq!((settings.connections(), Settings::default().connections()), (2, 4));
        let many = Config::new([("lfs.concurrenttransfers", "99")]);
        assert_eq!(Settings::default().with_config(many).connections(), 8);
        let patience = settings.patience();
        assert_eq!((patience.retries, patience.timeout.as_secs(), patience.connect.as_secs()), (2, 7, 30));
    }
}
