//! Lists ([`list`]) and fetches references and objects of a remote.
//!
//! Invariant: a fetch writes only the references that are named here, neither `FETCH_HEAD` nor tags, and never turns a
//! complete clone into a partial one. Each request names at most a [`batch`] of objects.

use super::command::{Git, Invocation, Output};
use super::error::Error;
use super::network::{Network, batch};
use super::object::ObjectId;
use super::remote_error::Trouble;
use super::url;

/// The longest blob that a clone downloads at once: every pointer is shorter, and so is nearly every file of a model
/// repository except its weights.
pub const BLOB_LIMIT: &str = "blob:limit=64k";

/// A remote repository by its name in the configuration, or by its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The name or URL for git.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// `true` if this clone lacks some of its objects, to be fetched when needed.
    pub is_promisor: bool,
}

impl Remote {
    /// Returns the remote of this name in the configuration.
    ///
    /// # Errors
    /// As any command.
    pub fn named(git: &Git<'_>, name: &str) -> Result<Self, Error> {
        let answer = git.command("ls-remote").args(["--get-url", "--end-of-options", name]).run()?;
        let url = answer.text().to_owned();
        let key = format!("remote.{name}.promisor");
        let promisor = git.command("config").args(["--type=bool", "--get", &key]).run();
        let is_promisor = promisor.is_ok_and(|answer| answer.text() == "true");
        Ok(Self { name: name.to_owned(), url, is_promisor })
    }

    /// Returns the remote with its push URL.
    ///
    /// # Errors
    /// As any command.
    pub fn for_push(git: &Git<'_>, name: &str) -> Result<Self, Error> {
        let answer = match git.command("remote").args(["get-url", "--push", "--", name]).run() {
            // A URL or a path, as in `remote.pushDefault`, has no settings of its own.
            Err(Error::Failed { .. }) => return Self::named(git, name),
            answer => answer?,
        };
        let url = answer.text().lines().next().unwrap_or_default().to_owned();
        Ok(Self { url, ..Self::named(git, name)? })
    }

    /// Runs a command that speaks to it. A remote that the configuration names is named where it leads nowhere.
    ///
    /// # Errors
    /// [`Error::RemoteGone`], or as [`Network::run`].
    pub(super) fn ask(&self, network: &Network<'_>, command: Invocation<'_>) -> Result<Output, Error> {
        network.run(command, &self.url).map_err(|error| match error {
            Error::Remote { trouble: Trouble::NotRepository | Trouble::NoSuchPath, stderr }
                if self.name != self.url =>
            {
                let url = url::redacted(self.url.as_ref()).to_string_lossy().into_owned();
                Error::RemoteGone { remote: self.name.clone(), url, stderr }
            }
            error => error,
        })
    }
}

/// A reference of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Its full name.
    pub name: String,
    /// The object that it names.
    pub id: String,
}

/// Lists the references of a remote that match a pattern such as `refs/pr/*`.
///
/// # Errors
/// As [`Network::run`].
pub fn list(git: &Git<'_>, network: &Network<'_>, remote: &Remote, pattern: &str) -> Result<Vec<Ref>, Error> {
    let command = git.command("ls-remote").args(["--quiet", "--end-of-options", &remote.name, pattern]);
    let answer = remote.ask(network, command)?;
    let lines = answer.stdout.split(|byte| *byte == b'\n');
    let parsed = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once('\t'));
    Ok(parsed
        .filter(|(id, _)| is_object_name(id))
        .map(|(id, name)| Ref { name: name.to_owned(), id: id.to_owned() })
        .collect())
}

/// Parses the object of a remote's reference.
///
/// # Errors
/// [`Error::UnexpectedOutput`] if it is not the name of an object.
pub fn object_id(name: &str) -> Result<ObjectId, Error> {
    let unexpected = |_| Error::UnexpectedOutput { subcommand: "ls-remote".to_owned() };
    ObjectId::from_hex(name.as_bytes()).map_err(unexpected)
}

/// Returns the branch of a remote's `HEAD`, and its commit; `None` if it has no commit yet, or reports no `HEAD`.
///
/// # Errors
/// As [`Network::run`].
pub fn default_branch(git: &Git<'_>, network: &Network<'_>, remote: &Remote) -> Result<Option<Ref>, Error> {
    let command =
        git.command("ls-remote").args(["--quiet", "--symref", "--end-of-options", &remote.name, "HEAD"]);
    let answer = remote.ask(network, command)?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let lines = || text.lines().filter_map(|line| line.strip_suffix("\tHEAD"));
    let name = lines().find_map(|line| line.strip_prefix("ref: "));
    let id = lines().find(|line| is_object_name(line));
    Ok(name.zip(id).map(|(name, id)| Ref { name: name.to_owned(), id: id.to_owned() }))
}

/// Fetches commits with their trees and small blobs: several in one request by their names or, if the server does not
/// allow that, one after the other by their references. No reference is written: until one is, git keeps the objects
/// for two weeks, like any new object.
///
/// # Errors
/// As [`Network::run`]; some of them may have been fetched.
pub fn fetch_commits(
    git: &Git<'_>,
    network: &Network<'_>,
    remote: &Remote,
    wanted: &[Ref],
) -> Result<(), Error> {
    let size = batch_for(git, wanted.first().map_or(40, |wanted| wanted.id.len()))?;
    for some in wanted.chunks(size) {
        let names = some.iter().map(|wanted| wanted.id.clone()).collect::<Vec<_>>();
        match fetch(git, network, remote, &names, BLOB_LIMIT) {
            Err(Error::Remote { trouble: Trouble::Withheld, .. }) => {
                for wanted in some {
                    fetch(git, network, remote, std::slice::from_ref(&wanted.name), BLOB_LIMIT)?;
                }
            }
            fetched => fetched?,
        }
    }
    Ok(())
}

/// Fetches objects by their names, one batch at a time.
///
/// # Errors
/// As [`Network::run`]; [`super::Trouble::Withheld`] if the server has them and does not send them.
pub fn fetch_objects(
    git: &Git<'_>,
    network: &Network<'_>,
    remote: &Remote,
    names: &[String],
) -> Result<(), Error> {
    let size = batch_for(git, names.first().map_or(40, String::len))?;
    names.chunks(size).try_for_each(|some| fetch(git, network, remote, some, "blob:none"))
}

/// Fetches one reference or commit with its objects, and returns the object that it names.
///
/// # Errors
/// As [`Network::run`]; [`super::Trouble::NoSuchRef`] if it does not exist.
pub fn fetch_one(
    git: &Git<'_>,
    network: &Network<'_>,
    remote: &Remote,
    from: &str,
    to: &str,
    depth: Option<u32>,
) -> Result<String, Error> {
    let command = command(git, remote, BLOB_LIMIT).args(depth.map(|depth| format!("--depth={depth}")));
    let command = command.args(["--end-of-options", &remote.name, &format!("+{from}:{to}")]);
    remote.ask(network, command)?;
    super::commit::rev_parse(git, &format!("{to}^{{commit}}"))
}

/// Deletes our own references.
///
/// # Errors
/// As any command.
pub fn delete_refs(git: &Git<'_>, names: &[String]) -> Result<(), Error> {
    let input = names.iter().fold(String::new(), |input, name| input + "delete " + name + "\n");
    git.command("update-ref").args(["--stdin"]).input(input).run().map(drop)
}

fn fetch(
    git: &Git<'_>,
    network: &Network<'_>,
    remote: &Remote,
    specs: &[String],
    filter: &str,
) -> Result<(), Error> {
    let command = command(git, remote, filter).args(["--end-of-options", &remote.name]).args(specs);
    remote.ask(network, command).map(drop)
}

fn command<'a>(git: &'a Git<'_>, remote: &Remote, filter: &str) -> Invocation<'a> {
    let quiet = ["--quiet", "--progress", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no"];
    // In a complete clone, git would store a given filter in the configuration, and make the clone partial.
    let filter = remote.is_promisor.then(|| format!("--filter={filter}"));
    git.command("fetch").args(quiet).args(filter)
}

/// Returns how many objects a request may name.
fn batch_for(git: &Git<'_>, digits: usize) -> Result<usize, Error> {
    let answer = git.command("rev-parse").args(["--git-path", "shallow"]).run()?;
    let cut = std::fs::read(git.dir().join(answer.text())).unwrap_or_default();
    Ok(batch(digits, cut.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()))
}

/// Returns `true` if it is the full name of an object.
pub fn is_object_name(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
