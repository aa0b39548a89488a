//! What helps where a server did not give what was asked.

use crate::git::Trouble;
use crate::remote::Error;

/// What lets a server be asked again.
pub(super) const OFFLINE: &str = "go online: drop `--offline` and unset HF_HUB_OFFLINE";

/// The hints for an error of a server.
pub(super) fn hint(error: &Error) -> Vec<String> {
    remote(match error {
        Error::Unauthorized { rejected: None, .. } => Trouble::SignIn,
        Error::Unauthorized { .. } | Error::TokenExpired { .. } => Trouble::Rejected,
        Error::Forbidden { .. } => Trouble::Forbidden,
        Error::NotFound { .. } | Error::RepositoryNotFound { .. } => Trouble::NotFound,
        Error::RevisionNotFound { .. } => Trouble::NoSuchRef,
        Error::Resolve { .. } | Error::Connect { .. } | Error::TimedOut { .. } | Error::Cut { .. } => {
            Trouble::Unreachable
        }
        Error::Tls { .. } => Trouble::Certificate,
        Error::RateLimited { .. } => Trouble::TooOften,
        Error::Status { .. } | Error::BadHttp { .. } | Error::BadAnswer { .. } => Trouble::Broken,
        error => return own(error).into_iter().map(str::to_owned).collect(),
    })
}

/// What helps where git has no trouble of that kind.
fn own(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Offline { .. } => OFFLINE,
        Error::Gated { .. } => {
            "request access on the model's page, then set HF_TOKEN to a token of that account"
        }
        Error::MayNotWrite { .. } => {
            "set HF_TOKEN to a token with write access, or open a pull request: `git st-convert publish`"
        }
        Error::DiscussionsDisabled { .. } => "push a branch instead: `git st-convert publish --branch NAME`",
        Error::EntryNotFound { .. } => "check the path; it is case-sensitive",
        Error::Proxy { .. } | Error::ProxyAddress { .. } => {
            "show the proxy: `git config --get http.proxy; env | grep -i proxy`"
        }
        Error::CaInfo { .. } => "show the certificate file: `git config --get http.sslCAInfo`",
        Error::WrongDigest { .. } | Error::WrongSize { .. } | Error::Changed { .. } => {
            "try again; if it fails again, the object on the server is damaged"
        }
        Error::Object { .. } => "ask the model's owner to run `git lfs push --all`",
        Error::NotThere { .. } => "fetch it in that repository: `git lfs fetch --all`",
        Error::NoEndpoint { .. } | Error::EndpointScheme { .. } | Error::Ssh { .. } => {
            "set the LFS server: `git config lfs.url URL`"
        }
        Error::Token(_) => "sign in again: `hf auth login` (or set HF_TOKEN)",
        Error::Setting { .. } => {
            "show where it is set: `git config --show-origin --get-all http.extraHeader`"
        }
        _ => return None,
    })
}

/// What to do about a remote repository.
pub(super) fn remote(trouble: Trouble) -> Vec<String> {
    let hint = match trouble {
        Trouble::SignIn => "sign in: `hf auth login` (or set HF_TOKEN), or configure a git credential helper",
        Trouble::Rejected => "the token may have expired; sign in again: `hf auth login` (or set HF_TOKEN)",
        Trouble::Forbidden => {
            "request access on the model's page, then set HF_TOKEN to a token of that account"
        }
        Trouble::NotFound => {
            "check the name; a private model needs a token: `hf auth login` (or set HF_TOKEN)"
        }
        Trouble::NotRepository => "give the model as OWNER/NAME or as the URL of its repository",
        Trouble::NoSuchRef => "list the references: `git ls-remote`",
        Trouble::Unreachable => "check the network, and HF_ENDPOINT if it is set",
        Trouble::Certificate => "trust the server's certificate authority: `git config http.sslCAInfo FILE`",
        Trouble::TooOften => "try again later, or set HF_TOKEN for a higher rate limit",
        Trouble::ServerFault | Trouble::Broken => "try again later",
        Trouble::Withheld => "fetch all files: `git fetch --refetch --no-filter`",
        Trouble::Ownership => "if you trust it: `git config --global --add safe.directory DIR`",
    };
    vec![hint.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{Auth, Hub, ModelName, Settings, Url, Wire};

    #[test]
    fn what_a_person_can_do_about_a_server() {
        let url = || Url::parse("https://h.example/a/b").unwrap();
        let hint = |error: &Error| hint(error).concat();
        let bare = Error::Unauthorized { url: url(), rejected: None, said: None };
        assert!(hint(&bare).contains("hf auth login"));
        assert!(hint(&Error::Gated { url: url(), said: None }).contains("request access"));
        let wire = Wire::new(Settings { offline: true, ..Settings::default() });
        let offline = Hub::new(Auth::new(wire, None).unwrap());
        let model = ModelName::parse("a/b").unwrap();
        assert!(hint(&offline.model(&model, None).unwrap_err()).contains("--offline"));
    }
}
