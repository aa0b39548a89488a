//! [`Trouble`] is the fault of a remote repository, detected by git's messages.
//!
//! git has one exit status for all faults, so its messages decide. They are in English ([`command`](super::command)
//! ensures that) and have been the same for many releases; an unknown message stays the error that it was. The server's
//! own text (`remote: …`) decides nothing, because a server can write anything.

/// Why a remote repository did not send the requested data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No user name and password were available.
    #[error("authentication required")]
    SignIn,
    /// The server refused the user name and password.
    #[error("authentication failed")]
    Rejected,
    /// The server knows the user, and refuses access.
    #[error("access denied")]
    Forbidden,
    /// The repository does not exist, or is not visible to the user.
    #[error("repository not found or private")]
    NotFound,
    /// The URL does not lead to a git repository.
    #[error("not a git repository")]
    NotRepository,
    /// Nothing is at this path.
    #[error("repository not found")]
    NoSuchPath,
    /// The branch, tag or other reference does not exist.
    #[error("reference not found")]
    NoSuchRef,
    /// The host has no address, or does not respond.
    #[error("cannot reach the server")]
    Unreachable,
    /// The certificate of the server is not valid.
    #[error("server certificate is not trusted")]
    Certificate,
    /// The server received too many requests.
    #[error("rate limit exceeded")]
    TooOften,
    /// The server is temporarily unavailable.
    #[error("server error")]
    Unavailable,
    /// The server reported an internal error.
    #[error("server error")]
    ServerFault,
    /// The connection was lost.
    #[error("connection lost")]
    Broken,
    /// The server did not send the requested objects.
    #[error("the server did not send the requested objects")]
    Withheld,
    /// The directory belongs to another user.
    #[error("the repository is owned by another user")]
    Ownership,
}

impl Trouble {
    /// Returns `true` if another attempt a moment later may succeed.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::TooOften | Self::Unavailable | Self::ServerFault | Self::Broken)
    }

    /// Returns the fault for a message; `None` for an unknown message.
    pub(super) fn of(said: &str) -> Option<Self> {
        let lines = || said.lines().filter(|line| !line.starts_with("remote: "));
        let has = |words: &str| lines().any(|line| line.contains(words));
        // The first match decides: a later fault may be a consequence of an earlier one.
        let known: &[(&str, Self)] = &[
            ("detected dubious ownership", Self::Ownership),
            ("terminal prompts disabled", Self::SignIn),
            ("could not read Username", Self::SignIn),
            ("could not read Password", Self::SignIn),
            ("Authentication failed for", Self::Rejected),
            ("Permission denied (", Self::Rejected),
            ("Host key verification failed", Self::Certificate),
            ("SSL certificate problem", Self::Certificate),
            ("server certificate verification failed", Self::Certificate),
            ("no alternative certificate subject name", Self::Certificate),
            ("returned error: 401", Self::Rejected),
            ("returned error: 403", Self::Forbidden),
            ("returned error: 404", Self::NotFound),
            ("returned error: 410", Self::NotFound),
            ("returned error: 429", Self::TooOften),
            // The server does not implement the method, and will not a moment later.
            ("returned error: 501", Self::NotRepository),
            ("returned error: 503", Self::Unavailable),
            ("returned error: 5", Self::ServerFault),
            ("Could not resolve", Self::Unreachable),
            ("Failed to connect", Self::Unreachable),
            ("Couldn't connect to server", Self::Unreachable),
            ("Connection refused", Self::Unreachable),
            ("Connection timed out", Self::Unreachable),
            ("Network is unreachable", Self::Unreachable),
            ("No route to host", Self::Unreachable),
            ("Name or service not known", Self::Unreachable),
            ("Temporary failure in name resolution", Self::Unreachable),
            ("couldn't find remote ref", Self::NoSuchRef),
            ("not found in upstream", Self::NoSuchRef),
            ("not our ref", Self::Withheld),
            ("Server does not allow request for unadvertised object", Self::Withheld),
            ("expected 'packfile'", Self::Withheld),
            ("expected 'acknowledgments'", Self::Withheld),
            ("from promisor remote", Self::Withheld),
            ("does not appear to be a git repository", Self::NotRepository),
            ("is this a git repository", Self::NotRepository),
            ("' not found", Self::NotFound),
            ("' does not exist", Self::NoSuchPath),
            ("repository does not exist", Self::NotFound),
            ("the remote end hung up", Self::Broken),
            ("early EOF", Self::Broken),
            ("unexpected disconnect", Self::Broken),
            ("transfer closed with", Self::Broken),
            ("Recv failure", Self::Broken),
            ("Empty reply from server", Self::Broken),
            ("Operation timed out", Self::Broken),
            ("Operation too slow", Self::Broken),
            ("RPC failed", Self::Broken),
            ("expected flush after", Self::Broken),
            ("invalid index-pack output", Self::Broken),
        ];
        known.iter().find_map(|(words, trouble)| has(words).then_some(*trouble))
    }
}

/// Returns the remote that git's words name: an address, a path, a host that ssh did not reach, or `USER@HOST`
/// where ssh was not let in.
pub(super) fn named(said: &str) -> Option<&str> {
    let lines = || said.lines().filter(|line| !line.starts_with("remote: "));
    let quoted = |line: &'_ str| -> Option<(usize, usize)> {
        let words =
            ["access '", "failed for '", "Username for '", "Password for '", "repository '", "fatal: '"];
        let begin =
            words.iter().find_map(|words| line.find(words).map(|at| at.saturating_add(words.len())))?;
        let end = line.get(begin..)?.find('\'')?;
        Some((begin, begin.saturating_add(end)))
    };
    let of_ssh = |line: &'_ str| line.split_once(": Permission denied (").map(|(login, _)| (0, login.len()));
    // `ssh: connect to host H port N: …`, `ssh: Could not resolve hostname H: …`
    let host = |line: &'_ str| {
        let words = ["ssh: connect to host ", "ssh: Could not resolve hostname "];
        let begin = words.iter().find(|words| line.starts_with(**words))?.len();
        let end = line.get(begin..)?.find([' ', ':'])?;
        Some((begin, begin.saturating_add(end)))
    };
    lines().find_map(|line| {
        let range = of_ssh(line).or_else(|| host(line)).or_else(|| quoted(line));
        range.and_then(|(begin, end)| line.get(begin..end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remote_that_git_names() {
        for (said, remote) in [
            ("fatal: could not read Username for 'http://h': terminal prompts disabled", "http://h"),
            ("remote: for 'x'\nfatal: Authentication failed for 'http://h/m/'", "http://h/m/"),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 403", "http://h/"),
            ("fatal: repository '/none' does not exist", "/none"),
            ("fatal: 'x' does not appear to be a git repository", "x"),
            ("ssh: connect to host h port 22: Connection refused\nfatal: Could not read", "h"),
            ("ssh: Could not resolve hostname h: Name or service not known", "h"),
            ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", "git@h"),
        ] {
            assert_eq!(named(said), Some(remote), "{said}");
        }
        assert_eq!(named("fatal: the remote end hung up unexpectedly"), None);
    }

    #[test]
    fn the_words_of_git_are_understood() {
        for (said, trouble) in [
            ("fatal: could not read Username for 'http://h': terminal prompts disabled", Trouble::SignIn),
            ("remote: no\nfatal: Authentication failed for 'http://h/m/'", Trouble::Rejected),
            (
                "fatal: unable to access 'http://h/': The requested URL returned error: 403",
                Trouble::Forbidden,
            ),
            ("fatal: repository 'http://h/m.git/' not found", Trouble::NotFound),
            ("fatal: repository '/none' does not exist", Trouble::NoSuchPath),
            ("fatal: 'x' does not appear to be a git repository", Trouble::NotRepository),
            ("fatal: unable to access 'http://h/': Could not resolve host: h", Trouble::Unreachable),
            (
                "ssh: connect to host h port 1: Connection refused\nfatal: Could not read",
                Trouble::Unreachable,
            ),
            ("fatal: couldn't find remote ref refs/pr/999", Trouble::NoSuchRef),
            ("fatal: Remote branch x not found in upstream origin", Trouble::NoSuchRef),
            ("fatal: remote error: upload-pack: not our ref 12", Trouble::Withheld),
            ("fatal: expected 'packfile'\nfatal: could not fetch 12 from promisor remote", Trouble::Withheld),
            (
                "error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503",
                Trouble::Unavailable,
            ),
            ("fatal: the remote end hung up unexpectedly", Trouble::Broken),
            (
                "fatal: unable to access 'http://h/': The requested URL returned error: 501",
                Trouble::NotRepository,
            ),
        ] {
            assert_eq!(Trouble::of(said), Some(trouble), "{said}");
        }
    }

    #[test]
    fn the_words_of_a_server_decide_nothing() {
        assert_eq!(Trouble::of("remote: Authentication failed for you, not our ref"), None);
        assert_eq!(Trouble::of("fatal: bad object"), None);
    }
}
