//! [`Url`] is the target of a request.
//!
//! ```text
//! http[s]://[user[:password]@]host[:port]/path[?query][#fragment, dropped]
//! ```
//!
//! Source: RFC 3986, less than all of it. Invariants: the URL for the HTTP library is composed from the parsed parts,
//! so that no two parsers can find two hosts in one text; `Display` and `Debug` show neither the login nor the query,
//! which may be a signature.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::origin::{NotAllowed, Origin, Scheme};
use super::secret::Secret;

/// The longest URL: longer than any signed URL that was seen.
const MAX_LEN: usize = 16 << 10;

/// The user name in a URL, and its password if it contains one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Option<Secret>,
}

/// A valid URL; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Arc<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    origin: Origin,
    path: String,
    query: Option<Secret>,
    login: Option<Login>,
}

impl Url {
    fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Parses a URL.
    ///
    /// # Errors
    /// [`NotAllowed`]
    pub fn parse(text: &str) -> Result<Self, NotAllowed> {
        check_text(text)?;
        let (scheme, rest) = text.split_once("://").ok_or(NotAllowed::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(NotAllowed::Scheme),
        };
        // Some parsers treat a backslash as a slash: whatever ends the authority for one of them ends it here.
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(parse_login(login)?), host),
            None => (None, authority),
        };
        let origin = Origin::parse(scheme, host)?;
        let (path, query) = split_path(rest);
        Ok(Self::new(Parts { origin, path, query, login }))
    }

    /// Parses a URL from a server, and refuses one with a login.
    ///
    /// # Errors
    /// [`NotAllowed`]
    pub fn parse_foreign(text: &str) -> Result<Self, NotAllowed> {
        let url = Self::parse(text)?;
        if url.login().is_some() { Err(NotAllowed::Login) } else { Ok(url) }
    }

    /// Resolves a `Location` relative to this URL.
    ///
    /// # Errors
    /// [`NotAllowed`], and [`NotAllowed::Downgrade`] from `https` to `http`.
    pub fn join(&self, location: &str) -> Result<Self, NotAllowed> {
        check_text(location)?;
        let scheme_end = location.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
        let has_scheme =
            scheme_end.is_some_and(|end| end > 0 && location.get(end..end.saturating_add(1)) == Some(":"));
        let url = if has_scheme {
            Self::parse_foreign(location)?
        } else if location.starts_with("//") || location.starts_with("\\\\") || location.starts_with("/\\") {
            let rest = location.get(2..).unwrap_or_default();
            Self::parse_foreign(&format!("{}://{rest}", self.origin().protocol()))?
        } else {
            let (path, query) = split_path(location);
            let path = match location.chars().next() {
                Some('/' | '\\') => path,
                Some('?') | None => self.0.path.clone(),
                _ => {
                    let (dir, _) = self.0.path.rsplit_once('/').unwrap_or_default();
                    format!("{dir}{path}")
                }
            };
            Self::new(Parts { origin: self.origin().clone(), path: without_dots(&path), query, login: None })
        };
        match (self.origin().scheme(), url.origin().scheme()) {
            (Scheme::Https, Scheme::Http) => Err(NotAllowed::Downgrade),
            _ => Ok(url),
        }
    }

    /// Returns the same origin with another path, whose segments are escaped if needed.
    #[must_use]
    pub fn with_segments<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Self {
        let mut path = self.0.path.trim_end_matches('/').to_owned();
        for segment in segments {
            path.push('/');
            path += &escape(segment.as_bytes(), is_unreserved);
        }
        Self::new(Parts { origin: self.origin().clone(), path, query: None, login: None })
    }

    /// Returns the URL with this text, which starts with `/`, appended to its path.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let path = format!("{}{suffix}", self.0.path.trim_end_matches('/'));
        Self::new(Parts { path, query: None, ..Parts::clone(&self.0) })
    }

    /// Returns the URL with a query of names and values.
    #[must_use]
    pub fn with_query(&self, pairs: &[(&str, &str)]) -> Self {
        let pair =
            |(name, value): &(&str, &str)| format!("{name}={}", escape(value.as_bytes(), is_unreserved));
        let query = pairs.iter().map(pair).collect::<Vec<_>>().join("&");
        Self::new(Parts { query: Some(Secret::new(query)), ..Parts::clone(&self.0) })
    }

    /// Returns the URL with one more name and value in its query.
    #[must_use]
    pub(super) fn with_parameter(&self, name: &str, value: &str) -> Self {
        let more = self.with_query(&[(name, value)]);
        match (self.query(), more.query()) {
            (Some(query), Some(more)) => {
                let query = Some(Secret::new(format!("{}&{}", query.expose(), more.expose())));
                Self::new(Parts { query, ..Parts::clone(&self.0) })
            }
            _ => more,
        }
    }

    /// Returns the URL with this login.
    #[must_use]
    pub(super) fn with_login(&self, login: &Login) -> Self {
        Self::new(Parts { login: Some(login.clone()), ..Parts::clone(&self.0) })
    }

    /// Returns the URL without its login.
    #[must_use]
    pub fn without_login(&self) -> Self {
        Self::new(Parts { login: None, ..Parts::clone(&self.0) })
    }

    /// Returns its origin.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Returns its path, which starts with `/`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Returns its user name and password.
    pub fn login(&self) -> Option<&Login> {
        self.0.login.as_ref()
    }

    /// Returns the query, to search for a token in it.
    pub(super) fn query(&self) -> Option<&Secret> {
        self.0.query.as_ref()
    }

    /// Returns it without the login, for a request.
    pub(super) fn target(&self) -> String {
        let mut target = format!("{}{}", self.0.origin, self.0.path);
        if let Some(query) = &self.0.query {
            target.push('?');
            target.push_str(query.expose());
        }
        target
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.origin, self.0.path)?;
        if self.0.query.is_some() { f.write_str("?…") } else { Ok(()) }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn check_text(text: &str) -> Result<(), NotAllowed> {
    if text.len() > MAX_LEN {
        return Err(NotAllowed::TooLong);
    }
    if text.chars().any(char::is_control) { Err(NotAllowed::Control) } else { Ok(()) }
}

fn parse_login(text: &str) -> Result<Login, NotAllowed> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, word)| (user, Some(word)));
    let (user, password) = (unescape(user), password.map(unescape));
    // Escaped or not: git's credential protocol would read a line end as the end of a field.
    let is_control = |text: &str| text.chars().any(char::is_control);
    if is_control(&user) || password.as_deref().is_some_and(is_control) {
        return Err(NotAllowed::Control);
    }
    Ok(Login { user, password: password.map(Secret::new) })
}

/// Splits the part after the authority into path and query, without the fragment.
fn split_path(rest: &str) -> (String, Option<Secret>) {
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#?".contains(&byte);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let query = query.map(|query| escape(query.as_bytes(), |byte| allowed(byte) || byte == b'?'));
    (slash.to_owned() + &escape(path.as_bytes(), allowed), query.map(Secret::new))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Returns the bytes as text, with a percent escape for each that is not `plain`, which only ASCII can be.
pub(crate) fn escape(bytes: &[u8], plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Decodes percent escapes; an invalid escape stays, and invalid UTF-8 is replaced.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|two| *first == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|two| std::str::from_utf8(two).ok());
        if let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Removes dot segments: RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let ends_with_dots = path.ends_with("/.") || path.ends_with("/..");
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let end = if ends_with_dots && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_parts_of_an_address() {
        let all = url("HTTPS://us%40er:p%3Aw@Example.COM:8443/a b/ü?x=1#frag");
        assert_eq!(all.target(), "https://example.com:8443/a%20b/%C3%BC?x=1");
        assert_eq!(all.to_string(), "https://example.com:8443/a%20b/%C3%BC?…");
        let login = all.login().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_ref().unwrap().expose()), ("us@er", "p:w"));
        assert_eq!(url("http://h").target(), "http://h/");
        assert_eq!(url("http://[::1]:80/x").target(), "http://[::1]/x");
        assert_eq!(url("https://h:443").origin(), url("https://H/x").origin());
        assert_ne!(url("https://h:444").origin(), url("https://h").origin());
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused_or_has_one_host() {
        for (text, why) in [
            ("ftp://h/", NotAllowed::Scheme),
            ("//h/", NotAllowed::Scheme),
            ("javascript:alert(1)", NotAllowed::Scheme),
            ("http:///x", NotAllowed::Host),
            ("http://a b/", NotAllowed::Host),
            ("http://ex\u{e4}mple/", NotAllowed::Host),
            ("http://h%2eevil/", NotAllowed::Host),
            ("http://[::1/", NotAllowed::Port),
            ("http://[evil]/", NotAllowed::Host),
            ("http://h:99999/", NotAllowed::Port),
            ("http://h:+80/", NotAllowed::Port),
            ("http://h:0/", NotAllowed::Port),
            ("http://h/\r\nX: y", NotAllowed::Control),
            ("http://h/\0", NotAllowed::Control),
            ("http://u%0Ahost=evil@h/", NotAllowed::Control),
            ("http://u:p%0d%0A@h/", NotAllowed::Control),
            ("http://u%00@h/", NotAllowed::Control),
        ] {
            assert_eq!(Url::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(Url::parse(&format!("http://h/{}", "x".repeat(MAX_LEN))), Err(NotAllowed::TooLong));
        assert_eq!(url("http://good.example\\@evil.example/").origin().host(), "good.example");
        assert_eq!(url("http://a@b@c/").origin().host(), "c");
        assert_eq!(Url::parse_foreign("http://u@h/"), Err(NotAllowed::Login));
    }

    #[test]
    fn a_location_is_seen_from_where_it_was_given() {
        let base = url("https://u:p@h:8443/a/b?q=1");
        for (location, target) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "https://other/x"),
            ("\\\\other/x", "https://other/x"),
            ("/x?y#z", "https://h:8443/x?y"),
            ("c/../d", "https://h:8443/a/d"),
            ("../../../d/.", "https://h:8443/d/"),
            ("?y=2", "https://h:8443/a/b?y=2"),
        ] {
            let joined = base.join(location).unwrap();
            assert_eq!(joined.target(), target, "{location}");
            assert!(joined.login().is_none());
        }
        assert_eq!(base.join("http://h:8443/x"), Err(NotAllowed::Downgrade));
        assert_eq!(base.join("file:///etc/passwd"), Err(NotAllowed::Scheme));
        assert_eq!(base.join("javascript:x"), Err(NotAllowed::Scheme));
        assert_eq!(url("http://h/").join("https://h/").unwrap().target(), "https://h/");
    }

    #[test]
    fn only_loopback_is_private_without_tls() {
        for private in ["https://h", "http://localhost:1", "http://127.9.9.9", "http://[::1]:8"] {
            assert!(url(private).origin().is_private(), "{private}");
        }
        for open in
            ["http://h", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://[::2]"]
        {
            assert!(!url(open).origin().is_private(), "{open}");
        }
    }

    proptest::proptest! {
        /// The HTTP library must see the host that this module sees, in any text.
        #[test]
        fn the_library_sees_the_same_host(text in "(https?://|http:/|//)?[a-zA-Z0-9:@/\\\\?#%.\\[\\] _é\t-]{0,40}") {
            let base = Url::parse("https://base.example:8443/dir/file").unwrap();
            for url in [Url::parse(&text), base.join(&text)].into_iter().flatten() {
                let uri: ureq::http::Uri = url.target().parse().unwrap();
                assert_eq!(uri.host(), Some(url.origin().host()), "{text}");
                assert_eq!(uri.scheme_str(), Some(url.origin().protocol()), "{text}");
                let port = if url.origin().has_usual_port() { None } else { Some(url.origin().port()) };
                assert_eq!(uri.port_u16(), port, "{text}");
                assert_eq!(uri.path(), url.path(), "{text}");
                // A URL is unchanged if it is written and parsed again.
                assert_eq!(Url::parse(&url.target()).unwrap(), url.without_login(), "{text}");
            }
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let url = url("https://user:password@h/p?X-Signature=abc");
        for text in [format!("{url}"), format!("{url:?}"), format!("{:?}", url.login())] {
            assert!(
                !text.contains("password\"") && !text.contains(":password") && !text.contains("abc"),
                "{text}"
            );
        }
    }
}
