//! [`Config`] is git's configuration as a list of keys and values; it finds the values that apply to a URL.
//!
//! Source: git-config(1), `http.<url>.*` and `credential.<url>.*`, and `config/url_config.go` of Git LFS, where
//! `<repository>` also matches `<repository>.git/info/lfs`. Invariants: keys are compared as git does (section and name
//! without case, the part between them with case); `Debug` shows no value and no key, because both may contain
//! passwords. The module reads no file: `repo` and `git` fill the configuration.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;

use super::url::Url;

/// Settings of git in the order in which git reads them: of two with one key the last wins.
#[derive(Clone, Default)]
pub struct Config {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    section: String,
    subsection: Option<String>,
    name: String,
    value: String,
}

impl Entry {
    fn is(&self, (section, subsection, name): (&str, Option<&str>, &str)) -> bool {
        self.section.eq_ignore_ascii_case(section)
            && self.subsection.as_deref() == subsection
            && self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({} entries)", self.entries.len())
    }
}

impl Config {
    /// Creates a configuration from keys (`section.name` or `section.sub.section.name`) and values. A key without a dot
    /// is dropped.
    pub fn new<K: AsRef<str>, V: Into<String>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let entry = |(key, value): (K, V)| {
            let (section, subsection, name) = split(key.as_ref())?;
            Some(Entry {
                section: section.to_ascii_lowercase(),
                subsection: subsection.map(str::to_owned),
                name: name.to_ascii_lowercase(),
                value: value.into(),
            })
        };
        Self { entries: entries.into_iter().filter_map(entry).collect() }
    }

    /// Parses the output of `git config --list --null`: a key, a line end, a value, a NUL. A key without a value means
    /// `true`.
    pub fn from_list(list: &[u8]) -> Self {
        let entries = list.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).map(|entry| {
            let entry = String::from_utf8_lossy(entry);
            let (key, value) = entry.split_once('\n').unwrap_or((&entry, "true"));
            (key.to_owned(), value.to_owned())
        });
        Self::new(entries)
    }

    /// Returns the value of a key; the last of several.
    pub fn get(&self, key: &str) -> Option<&str> {
        let wanted = split(key)?;
        self.entries.iter().rev().find(|entry| entry.is(wanted)).map(|entry| entry.value.as_str())
    }

    /// Returns all values of a key, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let wanted = split(key);
        let fitting = self.entries.iter().filter(move |entry| wanted.is_some_and(|wanted| entry.is(wanted)));
        fitting.map(|entry| entry.value.as_str())
    }

    /// Returns a number as git reads it, with a suffix `k`, `m` or `g`. `None` also if it is not a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        let text = self.get(key)?.trim().to_ascii_lowercase();
        let (digits, unit) = match text.strip_suffix(['k', 'm', 'g']) {
            Some(digits) => (digits, text.chars().last()),
            None => (text.as_str(), None),
        };
        let shift = match unit {
            Some('k') => 10,
            Some('m') => 20,
            Some('g') => 30,
            _ => 0,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << shift)
    }

    /// Returns the subsections of a section that have this name, with its values: `("url", "insteadOf")`.
    pub fn subsections<'a>(
        &'a self,
        section: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.entries
            .iter()
            .filter(move |entry| {
                entry.section.eq_ignore_ascii_case(section) && entry.name.eq_ignore_ascii_case(name)
            })
            .filter_map(|entry| Some((entry.subsection.as_deref()?, entry.value.as_str())))
    }

    /// Replaces the beginning of a URL as the user wants it; as in git-lfs, that of each URL for uploads by
    /// `pushInsteadOf` if one fits.
    pub(super) fn rewritten(&self, url: &str, pushes: bool) -> String {
        let for_push = || self.replaced(url, "pushInsteadOf").filter(|_| pushes);
        for_push().or_else(|| self.replaced(url, "insteadOf")).unwrap_or_else(|| url.to_owned())
    }

    /// Replaces the longest `url.<base>.insteadOf`, or another key, that matches by its base.
    fn replaced(&self, url: &str, key: &str) -> Option<String> {
        let aliases = self.subsections("url", key);
        let fitting = aliases.filter(|(_, prefix)| !prefix.is_empty() && url.starts_with(prefix));
        let (base, prefix) = fitting.max_by_key(|(_, prefix)| prefix.len())?;
        Some(format!("{base}{}", url.strip_prefix(prefix).unwrap_or_default()))
    }

    /// Returns the values of `section.<url>.name` for a URL: those of the subsection that matches it best.
    pub fn scoped<'a>(&'a self, section: &'a str, name: &'a str, url: &Url) -> Vec<&'a str> {
        let mut best: Option<(Fit, &str)> = None;
        for (subsection, _) in self.subsections(section, name) {
            if let Some(fit) = fit(url, subsection)
                && best.is_none_or(|(found, _)| fit >= found)
            {
                best = Some((fit, subsection));
            }
        }
        let Some((_, best)) = best else { return Vec::new() };
        self.subsections(section, name)
            .filter(|(subsection, _)| *subsection == best)
            .map(|(_, value)| value)
            .collect()
    }

    /// Returns the value of `section.<url>.name` that matches best, else of `section.name`.
    pub fn for_url<'a>(&'a self, section: &'a str, name: &'a str, url: &Url) -> Option<&'a str> {
        match self.scoped(section, name, url).last() {
            Some(value) => Some(value),
            None => self.unscoped(section, name).last(),
        }
    }

    /// Returns the value of `section.<address>.name` for an address that need not be a web URL, by the longest matching
    /// prefix, else of `section.name`. An address may have several forms.
    pub fn for_address<'a>(&'a self, section: &'a str, name: &'a str, forms: &[&str]) -> Option<&'a str> {
        let fits = |prefix: &str| {
            let prefix = prefix.trim_end_matches('/');
            let rests = forms.iter().filter_map(|address| address.strip_prefix(prefix));
            rests.into_iter().any(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let fitting =
            self.subsections(section, name).filter(|(prefix, _)| prefix.contains("://") && fits(prefix));
        let best = fitting.max_by_key(|(prefix, _)| prefix.trim_end_matches('/').len());
        best.map(|(_, value)| value).or_else(|| self.unscoped(section, name).last())
    }

    /// Returns all values of `section.name`.
    pub fn unscoped<'a>(&'a self, section: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fitting = self.entries.iter().filter(move |entry| entry.is((section, None, name)));
        fitting.map(|entry| entry.value.as_str())
    }
}

/// Returns a boolean value as git reads it: `None` if it is not boolean.
pub fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" | "" => Some(false),
        _ => None,
    }
}

fn split(key: &str) -> Option<(&str, Option<&str>, &str)> {
    let (section, rest) = key.split_once('.')?;
    Some(match rest.rsplit_once('.') {
        Some((subsection, name)) => (section, Some(subsection), name),
        None => (section, None, rest),
    })
}

/// How well a pattern matches: by host first, then by path, then by user.
type Fit = (usize, usize, bool);

fn fit(url: &Url, pattern: &str) -> Option<Fit> {
    // A star is not valid in a host name; it is restored below.
    let (scheme, rest) = pattern.split_once("://")?;
    let end = rest.find('/').unwrap_or(rest.len());
    let authority = rest.get(..end)?.replace('*', STAR);
    let pattern = Url::parse(&format!("{scheme}://{authority}{}", rest.get(end..)?)).ok()?;
    let (asked, wanted) = (url.origin(), pattern.origin());
    if asked.scheme() != wanted.scheme() || asked.port() != wanted.port() {
        return None;
    }
    let host = fit_host(asked.host(), wanted.host())?;
    let path = fit_path(url.path(), pattern.path())?;
    match (pattern.login(), url.login()) {
        (None, _) => Some((host, path, false)),
        (Some(wanted), Some(given)) if wanted.user == given.user => Some((host, path, true)),
        _ => None,
    }
}

/// Replaces `*` in a host while the host is parsed.
const STAR: &str = "__star__";

fn fit_host(asked: &str, wanted: &str) -> Option<usize> {
    let (asked, wanted): (Vec<_>, Vec<_>) = (asked.split('.').collect(), wanted.split('.').collect());
    if asked.len() != wanted.len() {
        return None;
    }
    let mut score = asked.len().saturating_add(1);
    for (asked, wanted) in asked.iter().zip(&wanted) {
        if *wanted == STAR {
            score = score.saturating_sub(1);
        } else if asked != wanted {
            return None;
        }
    }
    Some(score)
}

fn fit_path(asked: &str, wanted: &str) -> Option<usize> {
    let parts =
        |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (asked, wanted) = (parts(asked), parts(wanted));
    let mut score = 1_usize;
    for (index, wanted) in wanted.iter().enumerate() {
        let part = asked.get(index)?;
        let is_lfs = || asked.iter().skip(index).skip(1).take(2).eq(["info", "lfs"].iter());
        if part == wanted {
            score = score.saturating_add(2);
        } else if part.strip_suffix(".git") == Some(wanted.as_str()) && is_lfs() {
            score = score.saturating_add(1);
        } else {
            return None;
        }
    }
    Some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_git_does() {
        let config = Config::new([
            ("Remote.Origin.URL", "first"),
            ("remote.Origin.url", "second"),
            ("remote.origin.url", "other"),
            ("lfs.transfer.maxRetries", "3k"),
            ("core.bare", "no"),
        ]);
        assert_eq!(config.get("REMOTE.Origin.Url"), Some("second"));
        assert_eq!(config.all("remote.Origin.url").count(), 2);
        assert_eq!(config.number("lfs.transfer.maxretries"), Some(3 << 10));
        assert_eq!(config.number("core.bare"), None);
        assert_eq!(truth(config.get("core.bare").unwrap()), Some(false));
    }

    #[test]
    fn a_list_of_git_is_read() {
        let config = Config::from_list(b"url.https://h/.insteadof\nh:\0http.proxy\n\0core.bare\0a.b\nx\ny\0");
        assert_eq!(config.subsections("url", "insteadOf").collect::<Vec<_>>(), [("https://h/", "h:")]);
        assert_eq!((config.get("http.proxy"), config.get("core.bare")), (Some(""), Some("true")));
        assert_eq!(config.get("a.b"), Some("x\ny"));
    }

    #[test]
    fn the_best_fitting_address_counts() {
        let config = Config::new([
            ("http.proxy", "none"),
            ("http.https://example.com.proxy", "host"),
            ("http.https://*.example.com/.proxy", "star"),
            ("http.https://git.example.com.proxy", "exact"),
            ("http.https://git.example.com/a/b.proxy", "path"),
            ("http.https://u@git.example.com/a.proxy", "user"),
            ("http.https://git.example.com:444/.proxy", "port"),
        ]);
        let proxy = |url: &str| config.for_url("http", "proxy", &Url::parse(url).unwrap());
        assert_eq!(proxy("https://example.com/"), Some("host"));
        assert_eq!(proxy("https://x.example.com/"), Some("star"));
        assert_eq!(proxy("https://git.example.com/ab"), Some("exact"));
        assert_eq!(proxy("https://git.example.com/a/b/c"), Some("path"));
        assert_eq!(proxy("https://git.example.com/a/b.git/info/lfs"), Some("path"));
        assert_eq!(proxy("https://u@git.example.com/a"), Some("user"));
        assert_eq!(proxy("https://git.example.com:444/"), Some("port"));
        assert_eq!(proxy("http://example.com/"), Some("none"));
        assert_eq!(proxy("https://example.com.evil/"), Some("none"));
        assert_eq!(proxy("https://evilexample.com/"), Some("none"));
    }

    #[test]
    fn debug_shows_neither_keys_nor_values() {
        let config = Config::new([("url.https://u:pw@h/.insteadOf", "h:"), ("http.extraHeader", "secret")]);
        assert_eq!(format!("{config:?}"), "Config(2 entries)");
    }
}
