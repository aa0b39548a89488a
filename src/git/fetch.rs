//! References and objects of a remote: which there are ([`list`]), and fetching them.
//!
//! Invariant: a fetch writes no reference but the ones that are named here, neither `FETCH_HEAD` nor tags, and turns a
//! whole clone into no partial one. Each request names at most a [`batch`] of objects.

use super::clone::BLOB_LIMIT;
use super::command::{Git, Invocation};
use super::error::Error;
use super::network::{Network, batch};

/// A remote repository by the name that the configuration has for it, or by its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What git is told.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Is something of it left out here, to be fetched when needed?
    pub is_promisor: bool,
}

impl Remote {
    /// The remote of this name in the configuration.
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
}

/// A reference of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Its whole name.
    pub name: String,
    /// The object that it names.
    pub id: String,
}

/// The references of a remote that match a pattern such as `refs/pr/*`.
///
/// # Errors
/// As [`Network::run`].
pub fn list(git: &Git<'_>, network: &Network<'_>, remote: &Remote, pattern: &str) -> Result<Vec<Ref>, Error> {
    let command = git.command("ls-remote").args(["--quiet", "--end-of-options", &remote.name, pattern]);
    let answer = network.run(command, &remote.url)?;
    let lines = answer.stdout.split(|byte| *byte == b'\n');
    let parsed = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once('\t'));
    Ok(parsed
        .filter(|(id, _)| is_object_name(id))
        .map(|(id, name)| Ref { name: name.to_owned(), id: id.to_owned() })
        .collect())
}

/// Fetches commits with their trees and small blobs, each to a reference of ours: several in a request by their
/// names, and, where the server does not serve those, one after the other by their references.
///
/// # Errors
/// As [`Network::run`]; then some may be there.
pub fn fetch_refs(
    git: &Git<'_>,
    network: &Network<'_>,
    remote: &Remote,
    wanted: &[(Ref, String)],
) -> Result<(), Error> {
    let size = batch_for(git, wanted.first().map_or(40, |(from, _)| from.id.len()))?;
    for some in wanted.chunks(size) {
        let by_name = some.iter().map(|(from, to)| format!("+{}:{to}", from.id)).collect::<Vec<_>>();
        match fetch(git, network, remote, &by_name, BLOB_LIMIT) {
            Err(Error::Remote { trouble: super::Trouble::Withheld, .. }) => {
                for (from, to) in some {
                    let spec = [format!("+{}:{to}", from.name)];
                    fetch(git, network, remote, &spec, BLOB_LIMIT)?;
                }
            }
            fetched => fetched?,
        }
    }
    Ok(())
}

/// Fetches objects by their names, a batch at a time.
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

/// Fetches one reference or commit with what belongs to it, and returns the object that it names.
///
/// # Errors
/// As [`Network::run`]; [`super::Trouble::NoSuchRef`] if there is none.
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
    network.run(command, &remote.url)?;
    super::commit::rev_parse(git, &format!("{to}^{{commit}}"))
}

/// Removes references of ours.
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
    network.run(command, &remote.url).map(drop)
}

fn command<'a>(git: &'a Git<'_>, remote: &Remote, filter: &str) -> Invocation<'a> {
    let quiet = ["--quiet", "--progress", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no"];
    // A filter given in a whole clone would be written down, and make it a partial one.
    let filter = remote.is_promisor.then(|| format!("--filter={filter}"));
    git.command("fetch").args(quiet).args(filter)
}

/// How many objects a request may name here.
fn batch_for(git: &Git<'_>, digits: usize) -> Result<usize, Error> {
    let answer = git.command("rev-parse").args(["--git-path", "shallow"]).run()?;
    let cut = std::fs::read(git.dir().join(answer.text())).unwrap_or_default();
    Ok(batch(digits, cut.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()))
}

/// Is it the whole name of an object?
pub fn is_object_name(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
