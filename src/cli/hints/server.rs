//! What helps where a server did not give what was asked.

use crate::git::Trouble;
use crate::remote::Error;

/// The hint for an error of a server.
pub(super) fn hint(error: &Error) -> Option<String> {
    let same = match error {
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
        error => return own(error).map(str::to_owned),
    };
    Some(remote(same).to_owned())
}

/// What helps where git has no trouble of that kind.
fn own(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Offline { .. } => "leave out `--offline`, and HF_HUB_OFFLINE in the environment",
        Error::Gated { .. } => {
            "accept its conditions on the model's page, then set HF_TOKEN to a token of that account"
        }
        Error::MayNotWrite { .. } => {
            "set HF_TOKEN to a token that may write; without the right to push, publish a pull request, not a branch"
        }
        Error::DiscussionsDisabled { .. } => {
            "ask the model's owner to enable them, or push a branch with `git st-convert publish --branch NAME`"
        }
        Error::NotTaken { .. } => {
            "see what the server takes; of large objects the Hub wants parts, which are sent so"
        }
        Error::EntryNotFound { .. } => "check the path: upper and lower case count",
        Error::Proxy { .. } | Error::ProxyAddress { .. } => {
            "see which proxy is set with `git config --get http.proxy` and `env | grep -i proxy`"
        }
        Error::CaInfo { .. } => "see which file is set with `git config --get http.sslCAInfo`",
        Error::WrongDigest { .. } | Error::WrongSize { .. } | Error::Changed { .. } => {
            "try again; if it stays so, what the server has is damaged"
        }
        Error::Object { .. } => "ask the model's owner to push it with `git lfs push --all`",
        Error::NotThere { .. } => "get it there with `git lfs fetch --all`",
        Error::NoEndpoint { .. } | Error::EndpointScheme { .. } | Error::Ssh { .. } => {
            "name the LFS server with `git config lfs.url URL`"
        }
        Error::Token(_) => "set HF_TOKEN to a token, or sign in again with `hf auth login`",
        Error::Setting { .. } => {
            "see where it is set with `git config --show-origin --get-all http.extraHeader`"
        }
        _ => return None,
    })
}

/// What to do about a remote repository.
pub(super) fn remote(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::SignIn => "set HF_TOKEN to a token that may read it, or give git a credential helper",
        Trouble::Rejected => "it may have expired: set HF_TOKEN to a new one, or sign in again with git",
        Trouble::Forbidden => {
            "ask for access on the model's page, then set HF_TOKEN to a token of that account"
        }
        Trouble::NotFound => "check the name; a private model needs HF_TOKEN",
        Trouble::NotRepository => "name a model as OWNER/NAME, or the URL of its repository",
        Trouble::NoSuchRef => "list what there is with `git ls-remote`",
        Trouble::Unreachable => "check the network, and HF_ENDPOINT if it is set",
        Trouble::Certificate => "name the certificates to trust with `git config http.sslCAInfo FILE`",
        Trouble::TooOften => "wait a while, or set HF_TOKEN: who is known may ask more often",
        Trouble::ServerFault | Trouble::Broken => "try again later",
        Trouble::Withheld => "fetch all files with `git fetch --refetch --no-filter`",
        Trouble::Ownership => {
            "if you trust it, name its directory with `git config --global --add safe.directory DIR`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{Auth, Hub, ModelName, Settings, Url, Wire};

    #[test]
    fn what_a_person_can_do_about_a_server() {
        let url = || Url::parse("https://h.example/a/b").unwrap();
        let hint = |error: &Error| hint(error).unwrap_or_default();
        let bare = Error::Unauthorized { url: url(), rejected: None, said: None };
        assert!(hint(&bare).contains("set HF_TOKEN"));
        assert!(hint(&Error::Gated { url: url(), said: None }).contains("accept its conditions"));
        let wire = Wire::new(Settings { offline: true, ..Settings::default() });
        let offline = Hub::new(Auth::new(wire, None).unwrap());
        let model = ModelName::parse("a/b").unwrap();
        assert!(hint(&offline.model(&model, None).unwrap_err()).contains("--offline"));
    }
}
