//! [`Origin`] is the scheme, host and port of a request, to which a secret belongs.
//!
//! Source: RFC 6454. Invariant: a host is ASCII letters, digits, `-`, `_`, `.` in lower case, or an IPv6 literal, and
//! the port is always present, so that two origins are the same exactly if they are equal.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Why a text is not a URL that may be requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The scheme is neither `http` nor `https`.
    #[error("unsupported scheme (expected http or https)")]
    Scheme,
    /// The host is empty, or contains a character that no host name has.
    #[error("invalid host")]
    Host,
    /// The port is not a number up to 65535.
    #[error("invalid port")]
    Port,
    /// It contains a line end or another control character, which could add lines to a request.
    #[error("control characters in the URL")]
    Control,
    /// It is longer than any server accepts.
    #[error("URL too long")]
    TooLong,
    /// A URL from a server contains a name and password.
    #[error("credentials in a server-provided URL")]
    Login,
    /// It leads from `https` to `http`.
    #[error("redirect from https to http")]
    Downgrade,
}

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In plain text.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port: they must be the same for a secret to be sent again.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// Parses `host[:port]`.
    ///
    /// # Errors
    /// [`NotAllowed::Host`], [`NotAllowed::Port`]
    pub(super) fn parse(scheme: Scheme, text: &str) -> Result<Self, NotAllowed> {
        let (host, port) = match text.rfind(']') {
            Some(end) => text.split_at(end.saturating_add(1)),
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => scheme.default_port(),
            Some("") => scheme.default_port(),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or(NotAllowed::Port)?
            }
            _ => return Err(NotAllowed::Port),
        };
        let host = host.to_ascii_lowercase();
        let is_name = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let is_literal = |host: &str| {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
        };
        if host.len() > 253 || !(is_name(&host) || is_literal(&host)) {
            return Err(NotAllowed::Host);
        }
        Ok(Self { scheme, host, port })
    }

    /// Returns `http` or `https`.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the host in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, even if the URL contains none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns `true` if it is on this machine.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Returns `true` if a secret may be sent there: encrypted, or only within this machine.
    pub fn is_private(&self) -> bool {
        self.scheme == Scheme::Https || self.is_loopback()
    }

    /// Returns `host`, with `:port` if it is not the default, as `git credential` expects it.
    pub fn host_and_port(&self) -> String {
        if self.has_usual_port() { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Returns `true` for the default port of the scheme.
    pub fn has_usual_port(&self) -> bool {
        self.port == self.scheme.default_port()
    }

    /// Returns the name of the scheme.
    pub fn protocol(&self) -> &'static str {
        self.scheme.name()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol(), self.host_and_port())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
