//! Reads the netrc file: names and passwords by host.
//!
//! ```text
//! machine HOST login NAME password WORD [account WORD]      in any order of lines and blanks
//! default login NAME password WORD                          for every other host: not used here
//! macdef NAME … up to an empty line                         skipped
//! # up to the end of the line                               skipped
//! ```
//!
//! Source: ftp(1) and curl's `lib/netrc.c` (quotes). Invariant: an entry applies only to its host, and `default` to
//! none, because a repository chooses which hosts are contacted.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::secret::Secret;
use super::url::Login;

/// Returns the login of a host, for this user if one is given.
pub(super) fn find(text: &str, host: &str, user: Option<&str>) -> Option<Login> {
    let mut words = words(text).into_iter();
    let mut entry: Option<(bool, Option<String>, Option<String>)> = None;
    let fits = |entry: Option<(bool, Option<String>, Option<String>)>| {
        let (true, Some(login), Some(password)) = entry? else { return None };
        let is_asked = user.is_none_or(|user| user == login);
        is_asked.then(|| Login { user: login, password: Some(Secret::new(password)) })
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" | "default" => {
                if let Some(login) = fits(entry.take()) {
                    return Some(login);
                }
                let is_host =
                    word == "machine" && words.next().is_some_and(|name| name.eq_ignore_ascii_case(host));
                entry = Some((is_host, None, None));
            }
            "login" => {
                let word = words.next();
                if let Some(entry) = &mut entry {
                    entry.1 = word;
                }
            }
            "password" => {
                let word = words.next();
                if let Some(entry) = &mut entry {
                    entry.2 = word;
                }
            }
            "account" => drop(words.next()),
            _ => {}
        }
    }
    fits(entry)
}

/// Returns the words of the file without comments and macros; a quoted word may contain blanks.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        if in_macro {
            in_macro = !line.trim().is_empty();
            continue;
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            let (word, tail) = word(rest);
            if word == "macdef" && !rest.starts_with('"') {
                in_macro = true;
                break;
            }
            found.push(word);
            rest = tail.trim_start();
        }
    }
    found
}

fn word(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        return (word.to_owned(), rest);
    };
    let mut word = String::new();
    let mut chars = quoted.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => word.push('\n'),
                Some('r') => word.push('\r'),
                Some('t') => word.push('\t'),
                other => word.extend(other),
            },
            char => word.push(char),
        }
    }
    (word, chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\nmachine a.example login alice password secret#1\nmachine b.example\n\tlogin bob\n\
        \tpassword \"two \\\"words\\\"\"\nmacdef init\nmachine c.example login mallory password x\n\n\
        machine a.example login second password other\nmachine half.example login only\n\
        machine C.example login carol account a password p # tail\ndefault login anyone password d\n";

    fn login(host: &str, user: Option<&str>) -> Option<(String, String)> {
        let login = find(FILE, host, user)?;
        Some((login.user, login.password?.expose().to_owned()))
    }

    #[test]
    fn an_entry_is_for_its_host_alone() {
        let expect = |user: &str, word: &str| Some((user.to_owned(), word.to_owned()));
        assert_eq!(login("a.example", None), expect("alice", "secret#1"));
        assert_eq!(login("a.example", Some("second")), expect("second", "other"));
        assert_eq!(login("a.example", Some("third")), None);
        assert_eq!(login("b.example", None), expect("bob", "two \"words\""));
        assert_eq!(login("c.example", None), expect("carol", "p"));
        assert_eq!(login("half.example", None), None);
        assert_eq!(login("other.example", None), None);
        assert_eq!(login("xa.example", None), None);
        assert_eq!(find("login a password b machine", "h", None), None);
    }
}
