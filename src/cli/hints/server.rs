//! Chooses hints for errors of servers.

use bstr::{BStr, ByteSlice as _};

use super::super::shell_paths::quoted;
use crate::cli::environment;
use crate::git::{Stderr, Trouble};
use crate::remote::{Error, TokenSource, Url};

/// Allows requests to servers.
pub(super) const OFFLINE: &str = "go online: drop `--offline` and unset HF_HUB_OFFLINE";

/// Returns the command that lists the revisions of a remote repository, with or without a clone.
pub(super) fn revisions(url: &BStr) -> String {
    format!("list the revisions: `git ls-remote {}` (a commit needs its full ID)", quoted(url))
}

/// Returns the repository of a request to the Hub.
fn repository(url: &Url) -> Option<String> {
    let text = url.to_string();
    let (repository, _) = text.split_once("/resolve/").or_else(|| text.split_once("/revision/"))?;
    Some(repository.replacen("/api/models/", "/", 1))
}

/// Returns the hints for an error of a server.
pub(super) fn hint(error: &Error, git: &str) -> Vec<String> {
    if let Error::RevisionNotFound { url, .. } = error
        && let Some(repository) = repository(url)
    {
        return vec![revisions(repository.as_bytes().as_bstr())];
    }
    if let Error::Unauthorized { url, .. }
    | Error::Forbidden { url, .. }
    | Error::MayNotWrite { url, .. }
    | Error::NotFound { url, .. } = error
        && !environment::is_at_hub(url)
    {
        // The Hub's token is not sent to this server.
        let trouble = match error {
            Error::Unauthorized { .. } => Trouble::SignIn,
            Error::NotFound { .. } => Trouble::NotFound,
            _ => Trouble::Forbidden,
        };
        return elsewhere(trouble).into_iter().map(str::to_owned).collect();
    }
    let trouble = match error {
        Error::Unauthorized { rejected: None, .. } => Trouble::SignIn,
        Error::TokenExpired { place: TokenSource::File(_), .. } => {
            return vec!["renew the token: `export HF_TOKEN=$(hf auth token)`".to_owned()];
        }
        Error::Unauthorized { .. } | Error::TokenExpired { .. } => Trouble::Rejected,
        Error::Forbidden { .. } => Trouble::Forbidden,
        Error::NotFound { .. } | Error::RepositoryNotFound { .. } => Trouble::NotFound,
        Error::RevisionNotFound { .. } => Trouble::NoSuchRef,
        Error::Resolve { .. } | Error::Connect { .. } | Error::TimedOut { .. } | Error::Cut { .. } => {
            Trouble::Unreachable
        }
        // The second one is a certificate that signed itself, which is trusted if the file contains it.
        Error::Tls { source, .. }
            if ["UnknownIssuer", "CaUsedAsEndEntity"].iter().any(|fault| source.0.contains(fault)) =>
        {
            Trouble::Certificate
        }
        Error::RateLimited { .. } => Trouble::TooOften,
        Error::Status { .. } | Error::BadHttp { .. } | Error::BadAnswer { .. } => Trouble::Broken,
        error => return own(error, git).into_iter().collect(),
    };
    remote(trouble, git)
}

/// Returns a hint if a server other than the Hub refuses access.
fn elsewhere(trouble: Trouble) -> Option<&'static str> {
    match trouble {
        Trouble::SignIn => Some("sign in: configure a git credential helper, or put the login into ~/.netrc"),
        Trouble::Rejected => Some("check the password or token in the git credential helper or ~/.netrc"),
        Trouble::Forbidden => Some("ask the owner of the repository for access"),
        Trouble::NotFound => Some("check the URL of the remote, and `lfs.url` if it is set"),
        _ => None,
    }
}

/// Returns the hints for a remote repository that git contacted.
pub(super) fn of_git(trouble: Trouble, said: &Stderr, git: &str) -> Vec<String> {
    let Some(named) = said.remote() else { return remote(trouble, git) };
    if Url::parse(named).is_ok_and(|url| environment::is_at_hub(&url)) {
        return remote(trouble, git);
    }
    let is_login = |byte: u8| byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte);
    match trouble {
        Trouble::Rejected if !named.contains("://") => {
            let is_plain = named.bytes().all(is_login) && !named.starts_with('-');
            is_plain.then(|| format!("check the ssh key: `ssh -T {named}`")).into_iter().collect()
        }
        Trouble::NotFound if !named.contains("://") => vec!["check the path of the repository".to_owned()],
        Trouble::NotFound => vec!["check the URL; a private repository requires a login".to_owned()],
        Trouble::Unreachable => vec!["check the network and the URL".to_owned()],
        Trouble::TooOften => vec!["try again later".to_owned()],
        trouble => match elsewhere(trouble) {
            Some(hint) => vec![hint.to_owned()],
            None => remote(trouble, git),
        },
    }
}

/// Returns how to correct a remote whose repository does not exist.
pub(super) fn gone(remote: &str, git: &str) -> String {
    if remote.contains([':', '/']) {
        return format!("list the remotes: `{git} remote -v`");
    }
    format!("set its URL: `{git} remote set-url {} URL`", quoted(remote.into()))
}

/// Returns a hint for an error that is not one of git's.
fn own(error: &Error, git: &str) -> Option<String> {
    let hint = match error {
        Error::Offline { .. } => OFFLINE,
        Error::Gated { .. } => {
            "request access on the model's page, then set HF_TOKEN to a token of that account"
        }
        Error::MayNotWrite { .. } => {
            "set HF_TOKEN to a token with write access, or open a pull request: `git st-convert publish`"
        }
        Error::DiscussionsDisabled { .. } => "push a branch instead: `git st-convert publish --branch NAME`",
        Error::Huge { .. } => "download it from the Hub: `hf download OWNER/NAME`",
        Error::EntryNotFound { .. } => "check the path; it is case-sensitive",
        Error::Proxy { .. } | Error::ProxyAddress { .. } => {
            return Some(format!("show the proxy: `{git} config --get http.proxy; env | grep -i proxy`"));
        }
        Error::CaInfo { .. } => {
            return Some(format!("show the certificate file: `{git} config --get http.sslCAInfo`"));
        }
        Error::ClientCertificate { .. } => {
            return Some(format!("show the certificate: `{git} config --get-regexp '^http.*ssl'`"));
        }
        Error::WrongDigest { .. } | Error::WrongSize { .. } | Error::Changed { .. } => {
            "try again; if it fails again, the object on the server is damaged"
        }
        Error::Object { code: 404 | 410, .. } => "ask the model's owner to run `git lfs push --all`",
        Error::Object { code, .. } => return of_object(*code).map(str::to_owned),
        Error::RemoteGone { remote, is_own: true, .. } => return Some(gone(remote, git)),
        Error::RemoteGone { is_own: false, .. } => {
            return Some(format!(
                "show where it is set: `{git} config --show-origin --get-regexp 'lfs.*url'`"
            ));
        }
        Error::NotThere { .. } => "fetch it in that repository: `git lfs fetch --all`",
        Error::NoEndpoint { .. } | Error::EndpointScheme { .. } | Error::Ssh { .. } => {
            return Some(format!("set the LFS server: `{git} config lfs.url URL`"));
        }
        Error::NoAgent { .. } | Error::Agent { .. } => {
            return Some(format!(
                "show the settings of the transfer agent: `{git} config --show-origin --get-regexp '^lfs[.].*transfer'`"
            ));
        }
        Error::Token(_) => "sign in again: `hf auth login` (or set HF_TOKEN)",
        Error::Setting { .. } => {
            return Some(format!(
                "show where it is set: `{git} config --show-origin --get-all http.extraHeader`"
            ));
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the hint for an object that the server refuses with this code, although it may have it.
fn of_object(code: i64) -> Option<&'static str> {
    match code {
        401 | 403 => elsewhere(Trouble::Forbidden),
        429 | 500.. => Some("try again later"),
        _ => None,
    }
}

/// Returns the hints for a fault of a remote repository.
pub(super) fn remote(trouble: Trouble, git: &str) -> Vec<String> {
    let hint = match trouble {
        Trouble::NoSuchRef => return vec![format!("list the references: `{git} ls-remote`")],
        Trouble::Certificate => {
            return vec![format!(
                "trust the server's certificate authority: `{git} config http.sslCAInfo FILE`"
            )];
        }
        Trouble::Withheld => return vec![format!("fetch all files: `{git} fetch --refetch --no-filter`")],
        Trouble::SignIn => "sign in: `hf auth login` (or set HF_TOKEN), or configure a git credential helper",
        Trouble::Rejected => "the token may have expired; sign in again: `hf auth login` (or set HF_TOKEN)",
        Trouble::Forbidden => {
            "request access on the model's page, then set HF_TOKEN to a token of that account"
        }
        Trouble::NotFound => {
            "check the name; a private model needs a token: `hf auth login` (or set HF_TOKEN)"
        }
        Trouble::NoSuchPath => "check the path of the repository",
        Trouble::NotRepository => "give the model as OWNER/NAME or as the URL of its repository",
        Trouble::Unreachable => "check the network, and HF_ENDPOINT if it is set",
        Trouble::TooOften => "try again later, or set HF_TOKEN for a higher rate limit",
        Trouble::Unavailable | Trouble::ServerFault | Trouble::Broken => "try again later",
        Trouble::Ownership => "if you trust it: `git config --global --add safe.directory DIR`",
    };
    vec![hint.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Oid;
    use crate::remote::{Auth, Hub, ModelName, Settings, Transport, Url, Wire};

    #[test]
    fn what_a_person_can_do_about_a_server() {
        let url = || Url::parse("https://h.example/a/b").unwrap();
        let hint = |error: &Error| hint(error, "git").concat();
        let bare = |url| hint(&Error::Unauthorized { url, rejected: None, said: None });
        let hub = Url::parse(&environment::endpoint()).unwrap();
        assert!(bare(hub.clone()).contains("hf auth login"));
        assert!(!bare(url()).contains("HF_TOKEN") && !bare(url()).contains("hf auth"), "{}", bare(url()));
        let denied = hint(&Error::Forbidden { url: url(), said: None });
        assert!(!denied.contains("HF_TOKEN"), "{denied}");
        let place = TokenSource::File("/home/me/.cache/huggingface/token".into());
        let renewed = hint(&Error::TokenExpired { place, said: None });
        assert_eq!(renewed, "renew the token: `export HF_TOKEN=$(hf auth token)`");
        let huge = hint(&Error::Huge { url: hub, said: None });
        assert_eq!(huge, "download it from the Hub: `hf download OWNER/NAME`");
        let agent = Error::NoAgent { name: "xet".to_owned(), operation: "upload".to_owned() };
        assert_eq!(
            hint(&agent),
            "show the settings of the transfer agent: `git config --show-origin --get-regexp '^lfs[.].*transfer'`"
        );
        assert!(hint(&Error::Gated { url: url(), said: None }).contains("request access"));
        let wire = Wire::new(Settings { offline: true, ..Settings::default() });
        let offline = Hub::new(Auth::new(wire, None).unwrap());
        let model = ModelName::parse("a/b").unwrap();
        assert!(hint(&offline.model(&model, None).unwrap_err()).contains("--offline"));
    }

    /// By the code of the server; a setting can only make an unknown certificate a trusted one.
    #[test]
    fn what_a_person_can_do_about_an_object_or_a_certificate() {
        let of = |error: Error| hint(&error, "git").concat();
        for (code, expected) in [
            (404, "push --all"),
            (410, "push --all"),
            (403, "owner of the repository for access"),
            (429, "try again later"),
            (503, "try again later"),
        ] {
            let oid = Oid::of(b"x");
            let hint = of(Error::Object { oid, code, said: None });
            assert!(hint.contains(expected), "{code}: {hint}");
        }
        assert_eq!(of(Error::Object { oid: Oid::of(b"x"), code: 422, said: None }), "");
        let tls = |text: &str| {
            let url = Url::parse("https://h.example/").unwrap();
            of(Error::Tls { origin: url.origin().clone(), source: Transport(text.to_owned()) })
        };
        assert!(tls("invalid peer certificate: UnknownIssuer").contains("http.sslCAInfo"));
        assert!(
            tls("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))").contains("http.sslCAInfo")
        );
        assert_eq!(tls("invalid peer certificate: Expired"), "");
        assert_eq!(tls("received fatal alert: HandshakeFailure"), "");
    }

    #[test]
    fn where_git_was_not_let_in() {
        let hint = |trouble, named: &str| {
            let said = match named.strip_prefix("git@") {
                Some(_) => format!("{named}: Permission denied (publickey)."),
                None => format!("fatal: repository '{named}' not found"),
            };
            of_git(trouble, &Stderr(said), "git").concat()
        };
        let hub = format!("{}/a/b", environment::endpoint());
        for trouble in [Trouble::SignIn, Trouble::Rejected, Trouble::NotFound, Trouble::TooOften] {
            assert_eq!(hint(trouble, &hub), remote(trouble, "git").concat());
            assert!(hint(trouble, &hub).contains("HF_TOKEN"), "{trouble}");
        }
        for trouble in [
            Trouble::SignIn,
            Trouble::Rejected,
            Trouble::Forbidden,
            Trouble::NotFound,
            Trouble::TooOften,
            Trouble::Unreachable,
        ] {
            for named in ["https://h.example/a/b", "git@h.example", "/srv/m.git", "-oProxyCommand=x"] {
                let hint = hint(trouble, named);
                assert!(!hint.contains("HF_") && !hint.contains("hf auth"), "{named}: {hint}");
                assert!(!hint.contains("-o"), "{hint}");
            }
        }
        assert_eq!(hint(Trouble::Rejected, "git@h.example"), "check the ssh key: `ssh -T git@h.example`");
        assert_eq!(hint(Trouble::Rejected, "a $(b)"), "");
    }

    /// git reports these only if a server changes between two of its requests.
    #[test]
    fn what_changes_on_a_server_meanwhile() {
        let hint = |trouble| remote(trouble, "git -C model").concat();
        assert_eq!(hint(Trouble::NoSuchRef), "list the references: `git -C model ls-remote`");
        assert_eq!(hint(Trouble::Withheld), "fetch all files: `git -C model fetch --refetch --no-filter`");
    }
}
