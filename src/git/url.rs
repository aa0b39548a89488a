//! Formats URLs as git does: hides passwords, and finds origins.
//!
//! It validates nothing and resolves nothing: git does.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};

/// The replacement of a password.
const HIDDEN: &str = "***";

/// Returns an argument for a message: with the password of a URL in it hidden, as [`without_password`] does, and its
/// query, which can be a token: `https://host/path?…`.
pub fn redacted(word: &OsStr) -> OsString {
    let mut shown = without_password(word);
    let query = shown.to_str().and_then(|text| {
        let url = text.find("://")?;
        Some(url + text.get(url..)?.find('?')?)
    });
    if let Some(query) = query {
        let text = shown.to_string_lossy();
        shown = format!("{}?…", text.get(..query).unwrap_or_default()).into();
    }
    shown
}

/// Returns an argument with the password of a URL in it hidden, `https://user:secret@host` as `https://user:***@host`; a
/// user without a password is also hidden, because it can be a token.
pub fn without_password(word: &OsStr) -> OsString {
    let Some(text) = word.to_str() else { return word.to_owned() };
    let Some((before, rest)) = text.split_once("://") else { return word.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((userinfo, host)) = authority.rsplit_once('@') else { return word.to_owned() };
    let is_ssh = before.ends_with("ssh");
    let shown = match userinfo.split_once(':') {
        Some((user, _)) => format!("{user}:{HIDDEN}"),
        None if is_ssh => userinfo.to_owned(),
        None => HIDDEN.to_owned(),
    };
    format!("{before}://{shown}@{host}{path}").into()
}

/// Returns a text, such as a message of git, with the query of each URL in it hidden: `https://host/path?…`.
pub(super) fn without_queries(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let url = rest.get(at..).unwrap_or_default();
        let end = url.find(|letter: char| letter.is_whitespace() || "'\"<>".contains(letter));
        let end = at + end.unwrap_or(url.len());
        let (before, after) = rest.split_at(end);
        match before.get(at..).and_then(|url| url.find('?')) {
            Some(query) => {
                shown.push_str(before.get(..at + query).unwrap_or_default());
                shown.push_str("?…");
            }
            None => shown.push_str(before),
        }
        rest = after;
    }
    if shown.is_empty() {
        return text.into();
    }
    shown.push_str(rest);
    shown.into()
}

/// Returns a URL or path without the endings that git also accepts: `/`, `.git`.
pub fn without_suffix(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix(".git").filter(|url| !url.ends_with('/')).unwrap_or(url)
}

/// Returns the transport of a URL that starts a program, or uses open files of this process: `ext::`, `fd::`.
pub fn unsafe_transport(url: &str) -> Option<&'static str> {
    let (name, _) = url.split_once("::")?;
    ["ext", "fd"].into_iter().find(|known| name.eq_ignore_ascii_case(known))
}

/// Returns the scheme, host and port of a URL, without user, path and the scheme's default port: `https://host:8443`.
/// `None` for anything that is not `scheme://host…`.
pub fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let scheme = scheme.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let host = if usual.is_empty() { host } else { host.strip_suffix(usual).unwrap_or(host) };
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]_+".contains(&b))
    };
    (is_plain(&scheme) && is_plain(host)).then(|| format!("{scheme}://{}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (word, shown) in [
            ("https://u:secret@h/p@q", "https://u:***@h/p@q"),
            ("https://hf_secret@h:1/p", "https://***@h:1/p"),
            ("remote.origin.url=http://u:s@h", "remote.origin.url=http://u:***@h"),
            ("https://u:a@b@h/", "https://u:***@h/"),
            ("ssh://git@h/p", "ssh://git@h/p"),
            ("https://h/p?u=a:b@c", "https://h/p?…"),
            ("https://u:secret@h/p?token=secret#x", "https://u:***@h/p?…"),
            ("http.https://h/?a=b.extraHeader=X", "http.https://h/?…"),
            ("https://h/p?token=a'b c", "https://h/p?…"),
            ("/path?x", "/path?x"),
            ("git@h:p", "git@h:p"),
            ("--depth", "--depth"),
        ] {
            assert_eq!(redacted(word.as_ref()), shown);
        }
    }

    /// The query can select a repository: two of them are not the same.
    #[test]
    fn without_a_password_a_url_is_still_one_of_a_kind() {
        let shown = |url: &str| without_password(url.as_ref()).into_string().unwrap();
        assert_eq!(shown("https://u:secret@h/git.cgi?p=a.git"), "https://u:***@h/git.cgi?p=a.git");
        assert_ne!(shown("https://h/git.cgi?p=a.git"), shown("https://h/git.cgi?p=b.git"));
    }

    #[test]
    fn the_queries_in_a_message_are_not_shown() {
        let said =
            "fatal: unable to access 'https://h/m.git?private_token=s/': x? (see https://a/b or ftp://c?d)";
        let shown = "fatal: unable to access 'https://h/m.git?…': x? (see https://a/b or ftp://c?…";
        assert_eq!(without_queries(said), shown);
        assert_eq!(without_queries("a? b"), "a? b");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (url, expected) in [
            ("https://Example.org/a/b", Some("https://example.org")),
            ("HTTPS://u:p@example.org:443?x", Some("https://example.org")),
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080")),
            ("http://[::1]:80/x", Some("http://[::1]")),
            ("https://good.org\\@evil.org/", Some("https://evil.org")),
            ("https://evil.org\\.good.org/", None),
            ("https://a b/", None),
            ("https:///x", None),
            ("git@host:path", None),
            ("/path", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }
}
