//! Requests credentials with `git credential fill`, and approves or rejects them, so that the user's own helpers
//! answer, store and erase them.
//!
//! ```text
//! capability[]=authtype\n protocol=https\n host=example.org[:8080]\n [path=…\n] [username=…\n] [wwwauth[]=…\n] \n     to git
//! username=…\n password=…\n [any other key=value\n]            from git, with further fields of a helper
//! authtype=Bearer\n credential=…\n [any other key=value\n]    from a helper with other authentication types, since git 2.46
//! ```
//!
//! Source: `git-credential(1)`, "INPUT/OUTPUT FORMAT".
//!
//! Invariants: no value with a line end or a NUL reaches git, because git would read it as further fields
//! (CVE-2020-5260, CVE-2024-53263); a secret is sent only by standard input, and [`fmt::Debug`] does not show it. The
//! module does not decide which host may be asked for: the caller does.

use std::fmt;

use super::command::Git;
use super::error::Error;

/// How many bytes of a helper's output are read.
const MAX_ANSWER: u64 = 1 << 20;

/// The server and path of a credential request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request<'a> {
    /// The scheme: `https` or `http`.
    pub protocol: &'a str,
    /// The host, with its port if that is not the default.
    pub host: &'a str,
    /// The path without its first slash; git itself ignores it unless `credential.useHttpPath` is set.
    pub path: Option<&'a str>,
    /// The user, if the URL contains one.
    pub username: Option<&'a str>,
    /// The server's `WWW-Authenticate` headers, for helpers that support more than passwords.
    pub challenges: &'a [String],
    /// `true` if git may prompt the user when no helper has a credential.
    pub may_ask: bool,
}

/// A user and a password, or another form of credential, with the helper's whole output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user.
    pub username: String,
    /// The password, or a token in its place.
    pub password: String,
    /// The value of `Authorization`, if the helper returned it.
    pub authorization: Option<String>,
    /// The whole output, which is sent back when the credential is approved or rejected.
    answer: Vec<u8>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Requests a credential: from git's configured helpers, then from `GIT_ASKPASS`, then from the user at the terminal.
/// `None` if none has one.
///
/// # Errors
/// [`Error::UnsafeCredential`], or as any command, for example if a helper stops git.
pub fn fill(git: &Git<'_>, request: &Request<'_>) -> Result<Option<Credential>, Error> {
    let mut command = git.command("credential").args(["fill"]).input(text(request)?).limit(MAX_ANSWER);
    if !request.may_ask {
        command =
            command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "").env("GCM_INTERACTIVE", "never");
    }
    match command.run() {
        Ok(answer) => Ok(read(answer.stdout)),
        // Off a terminal and without a credential from a helper, git reports this and stops.
        Err(Error::Failed { stderr, .. }) if is_refusal_to_ask(&stderr.0) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reports that the server accepted it, so that helpers may store it.
///
/// # Errors
/// As any command.
pub fn approve(git: &Git<'_>, credential: &Credential) -> Result<(), Error> {
    git.command("credential").args(["approve"]).input(credential.answer.clone()).run().map(drop)
}

/// Reports that the server refused it, so that helpers erase it.
///
/// # Errors
/// As any command.
pub fn reject(git: &Git<'_>, credential: &Credential) -> Result<(), Error> {
    git.command("credential").args(["reject"]).input(credential.answer.clone()).run().map(drop)
}

fn text(request: &Request<'_>) -> Result<Vec<u8>, Error> {
    let fields = [
        ("protocol", Some(request.protocol)),
        ("host", Some(request.host)),
        ("path", request.path),
        ("username", request.username),
    ];
    let mut text = "capability[]=authtype\n".to_owned();
    for (field, value) in fields {
        let Some(value) = value else { continue };
        if value.contains(['\n', '\r', '\0']) {
            return Err(Error::UnsafeCredential { field });
        }
        text = format!("{text}{field}={value}\n");
    }
    for challenge in request.challenges {
        if challenge.contains(['\n', '\r', '\0']) {
            return Err(Error::UnsafeCredential { field: "wwwauth" });
        }
        text = format!("{text}wwwauth[]={challenge}\n");
    }
    Ok((text + "\n").into_bytes())
}

/// Parses a user and a password, or another authentication type and its credential, if both exist and are text. A
/// helper that wants to see the server's response to its first answer uses NTLM or Negotiate, and is not asked again.
fn read(answer: Vec<u8>) -> Option<Credential> {
    let lines = std::str::from_utf8(&answer).ok()?.lines();
    let value = |wanted: &str| {
        let mut found = lines.clone().filter_map(|line| line.split_once('='));
        found.find_map(|(key, value)| (key == wanted).then(|| value.to_owned()))
    };
    let is_safe = |text: &str| !text.contains(['\r', '\0']);
    if let (Some(way), Some(credential)) = (value("authtype"), value("credential")) {
        let is_way = !way.is_empty() && way.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_last = value("continue").is_none_or(|more| matches!(more.as_str(), "0" | "false" | ""));
        let username = value("username").unwrap_or_default();
        let authorization = Some(format!("{way} {credential}"));
        let found = Credential { username, password: String::new(), authorization, answer };
        return (is_way && is_last && is_safe(&credential)).then_some(found);
    }
    let (username, password) = (value("username")?, value("password")?);
    let found = Credential { username, password, authorization: None, answer };
    (is_safe(&found.username) && is_safe(&found.password)).then_some(found)
}

fn is_refusal_to_ask(said: &str) -> bool {
    ["terminal prompts disabled", "fatal: could not read ", "fatal: unable to get password from user"]
        .iter()
        .any(|refusal| said.contains(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request<'static> = Request {
        protocol: "https",
        host: "example.org:8443",
        path: Some("acme/model.git"),
        username: None,
        challenges: &[],
        may_ask: true,
    };

    #[test]
    fn a_field_with_a_line_end_is_refused() {
        assert_eq!(
            String::from_utf8(text(&REQUEST).unwrap()).unwrap(),
            "capability[]=authtype\nprotocol=https\nhost=example.org:8443\npath=acme/model.git\n\n"
        );
        let challenges = ["Basic realm=x".to_owned(), "Bearer\nhost=b".to_owned()];
        let (said, hostile) = challenges.split_at(1);
        let asked = text(&Request { challenges: said, ..REQUEST }).unwrap();
        assert!(asked.ends_with(b"\nwwwauth[]=Basic realm=x\n\n"));
        for (field, request) in [
            ("wwwauth", Request { challenges: hostile, ..REQUEST }),
            ("host", Request { host: "a\nhost=b", ..REQUEST }),
            ("protocol", Request { protocol: "https\r", ..REQUEST }),
            ("path", Request { path: Some("a\0"), ..REQUEST }),
            ("username", Request { username: Some("a\nquit=1"), ..REQUEST }),
        ] {
            let refused = text(&request).unwrap_err();
            assert!(matches!(refused, Error::UnsafeCredential { field: name } if name == field), "{refused}");
        }
    }

    #[test]
    fn an_answer_needs_both_parts_and_shows_no_secret() {
        let answer =
            b"protocol=https\nhost=h\nusername=u\npassword=hf_secret=\noauth_refresh_token=r\n".to_vec();
        let credential = read(answer.clone()).unwrap();
        assert_eq!((credential.username.as_str(), credential.password.as_str()), ("u", "hf_secret="));
        assert_eq!(credential.answer, answer);
        let shown = format!("{credential:?}");
        assert!(shown.contains('u') && !shown.contains("secret"), "{shown}");
        let of = |answer: &str| read(answer.as_bytes().to_vec()).and_then(|found| found.authorization);
        let bearer = "capability[]=authtype\nprotocol=https\nhost=h\nauthtype=Bearer\ncredential=hf_secret\n";
        assert_eq!(of(bearer).as_deref(), Some("Bearer hf_secret"));
        assert!(!format!("{:?}", read(bearer.into())).contains("secret"));
        for other in [
            "authtype=Bearer\n",
            "credential=x\n",
            "authtype=Be arer\ncredential=x\n",
            "authtype=\ncredential=x\n",
            "authtype=Bearer\ncredential=x\ry\n",
            "authtype=NTLM\ncredential=x\ncontinue=1\n",
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
        assert_eq!(read(b"username=u\n".to_vec()), None);
        assert_eq!(read(b"username=\xff\npassword=p\n".to_vec()), None);
        assert_eq!(read(b"username=u\r\npassword=p\rq\n".to_vec()), None);
    }
}
