//! Reads the cookie file of `http.cookieFile`, by which some servers know a user.
//!
//! ```text
//! HOST  also subdomains (TRUE, FALSE)  PATH  only https (TRUE, FALSE)  SECONDS of its end or 0  NAME  VALUE
//! ```
//!
//! A tab is between two fields, and `#` begins a comment, but for `#HttpOnly_` before a host. Source: curl's
//! `docs/HTTP-COOKIES.md` and git-config(1). Invariant: a cookie is sent only to its host and below its path, and by
//! plain http only to this machine or to the user's own remote. No cookie of a response is kept.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fs::File;
use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::origin::{Origin, Scheme};
use super::secret::Secret;
use super::settings::Settings;
use super::url::Url;

/// A longer cookie file is read only up to here.
const MAX: u64 = 1 << 20;

/// Returns the value of `Cookie` for a URL, from the file of the user; `None` without a cookie.
pub(super) fn value(settings: &Settings, url: &Url, home: Option<&Origin>) -> Option<Secret> {
    if !url.origin().is_private() && home != Some(url.origin()) {
        return None;
    }
    let mut text = Vec::new();
    // git and curl do not report a file that cannot be read either.
    File::open(settings.cookie_file(url)?).and_then(|file| file.take(MAX).read_to_end(&mut text)).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let found = find(&String::from_utf8_lossy(&text), url, now);
    (!found.is_empty()).then(|| Secret::new(found.join("; ")))
}

/// Returns the cookies for a URL, each as `NAME=VALUE`. `now` is the time in seconds since 1970.
fn find(text: &str, url: &Url, now: u64) -> Vec<String> {
    let host = url.origin().host();
    let is_here = |line: &str| {
        let line = line.strip_prefix("#HttpOnly_").unwrap_or(line);
        let fields: Vec<&str> = line.split('\t').collect();
        let [domain, below, path, secure, end, name, value] = fields.as_slice() else { return None };
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        let is_below = || host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'));
        let is_host =
            host == domain || below.eq_ignore_ascii_case("TRUE") && !domain.is_empty() && is_below();
        let is_sent = !secure.eq_ignore_ascii_case("TRUE") || url.origin().scheme() == Scheme::Https;
        let is_left = end.parse().is_ok_and(|end: u64| end == 0 || end > now);
        (is_host && is_sent && is_left && is_in(url.path(), path)).then(|| format!("{name}={value}"))
    };
    text.lines().filter_map(is_here).collect()
}

/// Returns `true` for a path that is this one or below it.
fn is_in(path: &str, dir: &str) -> bool {
    let rest = path.strip_prefix(dir);
    dir == "/" || rest.is_some_and(|rest| rest.is_empty() || dir.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, url: &str) -> String {
        find(text, &Url::parse(url).unwrap(), 1000).join("; ")
    }

    #[test]
    fn a_cookie_is_for_its_host_its_path_and_its_time() {
        let text = "# Netscape HTTP Cookie File\n\n\
                    h.example\tFALSE\t/\tFALSE\t0\ta\t1\n\
                    .h.example\tTRUE\t/team\tFALSE\t1001\tb\t2\n\
                    #HttpOnly_h.example\tFALSE\t/\tTRUE\t2000\tc\tx=y z\n\
                    h.example\tFALSE\t/\tFALSE\t1000\told\t0\n\
                    #h.example\tFALSE\t/\tFALSE\t0\tcomment\t0\n\
                    h.example\tFALSE\t/\tFALSE\t0\tshort\n\
                    h.example\tFALSE\t/\tFALSE\tsoon\tbad\t0\n\
                    \tTRUE\t/\tFALSE\t0\tnobody\t0\n\
                    example\tFALSE\t/\tFALSE\t0\tparent\t0\n";
        for (url, cookies) in [
            ("http://h.example/x", "a=1"),
            ("http://H.EXAMPLE:8080/team/x", "a=1; b=2"),
            ("https://h.example/team", "a=1; b=2; c=x=y z"),
            ("https://h.example/teams", "a=1; c=x=y z"),
            ("https://sub.h.example/team/x", "b=2"),
            ("https://eh.example/team/x", ""),
            ("https://example/x", "parent=0"),
        ] {
            assert_eq!(of(text, url), cookies, "{url}");
        }
    }

    #[test]
    fn plain_http_gets_cookies_only_on_this_machine_and_at_home() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let line = |host: &str| format!("{host}\tFALSE\t/\tFALSE\t0\ta\t1\r\n");
        std::io::Write::write_all(&mut file, (line("h.example") + &line("127.0.0.1")).as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let config = super::super::config::Config::new([("http.cookieFile", path)]);
        let settings = Settings::default().with_config(config);
        let home = Url::parse("http://h.example").unwrap();
        let sent = |url: &str, home: Option<&Url>| {
            let value = value(&settings, &Url::parse(url).unwrap(), home.map(Url::origin));
            value.map(|value| value.expose().to_owned())
        };
        assert_eq!(sent("http://h.example/x", Some(&home)).as_deref(), Some("a=1"));
        assert_eq!(sent("https://h.example/x", None).as_deref(), Some("a=1"));
        assert_eq!(sent("http://127.0.0.1:1/x", None).as_deref(), Some("a=1"));
        assert_eq!(sent("http://h.example/x", None), None);
        assert_eq!(sent("https://other.example/x", Some(&home)), None);
        let gone = super::super::config::Config::new([("http.cookieFile", "/nonexistent/cookies")]);
        let url = Url::parse("https://h.example").unwrap();
        assert!(value(&Settings::default().with_config(gone), &url, None).is_none());
        assert!(value(&Settings::default(), &url, None).is_none());
    }
}
