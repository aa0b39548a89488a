//! [`CustomAgent`] is a program that transfers objects in place of this one; the module finds the agent for a URL.
//!
//! ```text
//! lfs.customtransfer.<name>.path, .args          the program, and its arguments
//! lfs.customtransfer.<name>.concurrent           whether several may run at once; default true
//! lfs.customtransfer.<name>.direction            download, upload or both
//! lfs.<url>.standalonetransferagent              for this address no server is contacted
//! lfs.standalonetransferagent                    for every address
//! ```
//!
//! Source: `docs/custom-transfers.md`, `tq/custom.go`, `tq/manifest.go` and `config/url_config.go` of Git LFS, which
//! compares names in lower case. Invariant: agents come only from git's configuration, which does not include
//! `.lfsconfig`: a file of a repository starts no program.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::config::{Config, truth};
use super::error::{Error, Result};
use super::operation::Operation;
use super::url::Url;

/// A configured agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CustomAgent {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) args: String,
    /// `true` if several may run at once.
    pub(super) is_concurrent: bool,
}

/// Returns the names of the agents that are offered to a server.
pub(super) fn offered(config: &Config, operation: Operation) -> Vec<String> {
    if config.get("lfs.basictransfersonly").and_then(truth) == Some(true) {
        return Vec::new();
    }
    let names = config.subsections("lfs", "path").filter_map(|(subsection, _)| name_of(subsection));
    let mut names: Vec<_> = names.filter(|name| named(config, name, operation).is_some()).collect();
    names.sort();
    names.dedup();
    names
}

/// Returns the agent of a name, if it supports this operation.
pub(super) fn named(config: &Config, name: &str, operation: Operation) -> Option<CustomAgent> {
    let is_of_it =
        |subsection: &str| name_of(subsection).is_some_and(|found| found.eq_ignore_ascii_case(name));
    let setting = |key: &'static str| {
        let values = config.subsections("lfs", key).filter(|(subsection, _)| is_of_it(subsection));
        values.last().map(|(_, value)| value)
    };
    let path = setting("path").filter(|path| !path.is_empty())?;
    let does = match setting("direction").unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "both" => true,
        direction => direction == operation.to_string(),
    };
    does.then(|| CustomAgent {
        name: name.to_ascii_lowercase(),
        path: path.to_owned(),
        args: setting("args").unwrap_or_default().to_owned(),
        is_concurrent: setting("concurrent").and_then(truth).unwrap_or(true),
    })
}

/// Returns the name of the agent that transfers the objects of an address without a server.
pub(super) fn standalone<'c>(config: &'c Config, address: &str) -> Option<&'c str> {
    const KEY: &str = "standalonetransferagent";
    let name = if let Ok(url) = Url::parse(address) {
        config.for_url("lfs", KEY, &url)
    } else {
        config.for_address("lfs", KEY, &[address])
    };
    name.filter(|name| !name.is_empty())
}

/// git-lfs's own agent for a repository on this machine. git-lfs needs no settings for it, and this program reads such a
/// repository itself.
const OF_FILES: &str = "lfs-standalone-file";

/// Returns that agent itself, for an operation; `None` for [`OF_FILES`].
///
/// # Errors
/// [`Error::NoAgent`] if no agent of that name is configured.
pub(super) fn alone(config: &Config, address: &str, operation: Operation) -> Result<Option<CustomAgent>> {
    let Some(name) = standalone(config, address) else { return Ok(None) };
    let missing = || Error::NoAgent { name: name.to_owned(), operation: operation.to_string() };
    match named(config, name, operation) {
        None if name == OF_FILES && address.starts_with("file://") => Ok(None),
        agent => agent.ok_or_else(missing).map(Some),
    }
}

/// Parses `customtransfer.<name>`.
fn name_of(subsection: &str) -> Option<String> {
    let (group, name) = subsection.split_once('.')?;
    let is_one = group.eq_ignore_ascii_case("customtransfer") && !name.is_empty() && !name.contains('.');
    is_one.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_up_is_offered_for_what_it_does() {
        let config = Config::new([
            ("lfs.customtransfer.Up.path", "/bin/up"),
            ("lfs.customtransfer.up.direction", "Upload"),
            ("lfs.customtransfer.both.path", "old"),
            ("lfs.customtransfer.both.path", "new"),
            ("lfs.customtransfer.both.args", "-a 'b c'"),
            ("lfs.customtransfer.both.concurrent", "false"),
            ("lfs.customtransfer.empty.path", ""),
            ("lfs.customtransfer.odd.path", "/bin/odd"),
            ("lfs.customtransfer.odd.direction", "sideways"),
            ("lfs.customtransfer.a.b.path", "/bin/dots"),
            ("lfs.path", "/bin/none"),
        ]);
        assert_eq!(offered(&config, Operation::Upload), ["both", "up"]);
        assert_eq!(offered(&config, Operation::Download), ["both"]);
        let both = named(&config, "Both", Operation::Download).unwrap();
        let expected = CustomAgent {
            name: "both".to_owned(),
            path: "new".to_owned(),
            args: "-a 'b c'".to_owned(),
            is_concurrent: false,
        };
        assert_eq!(both, expected);
        assert!(named(&config, "up", Operation::Upload).unwrap().is_concurrent);
        assert_eq!(named(&config, "up", Operation::Download), None);
        let only = Config::new([("lfs.basictransfersonly", "yes"), ("lfs.customtransfer.x.path", "x")]);
        assert!(offered(&only, Operation::Upload).is_empty());
    }

    #[test]
    fn an_agent_of_its_own_is_found_by_the_address() {
        let config = Config::new([
            ("lfs.standalonetransferagent", "all"),
            ("lfs.https://h.example/a.standalonetransferagent", "web"),
            ("lfs.file:///srv/.standalonetransferagent", "files"),
            ("lfs.file:///srv/deep.standalonetransferagent", ""),
        ]);
        let of = |address: &str| standalone(&config, address);
        assert_eq!(of("https://h.example/a.git/info/lfs"), Some("web"));
        assert_eq!(of("https://h.example/b.git/info/lfs"), Some("all"));
        assert_eq!(of("file:///srv/m.git"), Some("files"));
        assert_eq!(of("file:///srv/deep/m.git"), None);
        assert_eq!(of("file:///srvx"), Some("all"));
        assert_eq!(of("s3://bucket"), Some("all"));
        assert_eq!(standalone(&Config::default(), "https://h.example"), None);
        let config = Config::new([("lfs.standalonetransferagent", OF_FILES)]);
        assert_eq!(alone(&config, "file:///srv/m.git", Operation::Download).unwrap(), None);
        assert!(alone(&config, "https://h.example/m.git", Operation::Download).is_err());
    }
}
