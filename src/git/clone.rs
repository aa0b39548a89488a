//! A clone in steps, so that each request stays short: [`clone`] without a checkout, the blobs that are missing
//! ([`missing`], then [`fetch_objects`](super::fetch::fetch_objects)), and [`checkout`].
//!
//! Invariant: no filter of Git LFS runs, so no object of it is downloaded and a missing git-lfs is no error, and none
//! of that is written into the configuration of the clone.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::command::{Git, Invocation};
use super::error::Error;
use super::fetch::{BLOB_LIMIT, Remote};
use super::network::Network;

/// What to clone, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clone<'a> {
    /// A branch or a tag, instead of the remote's default branch.
    pub branch: Option<&'a str>,
    /// So many commits, instead of all.
    pub depth: Option<u32>,
    /// Leave longer blobs out until they are needed.
    pub is_partial: bool,
}

/// Takes the filters of Git LFS away from a command and what it starts.
pub(super) fn without_lfs(command: Invocation<'_>) -> Invocation<'_> {
    ["process", "smudge", "clean"]
        .iter()
        .fold(command.config("filter.lfs.required", "false"), |command, filter| {
            command.config(&format!("filter.lfs.{filter}"), "")
        })
}

/// Clones one branch of `url` into `dir`, which is absent or empty, without a checkout.
///
/// # Errors
/// As [`Network::run`].
pub fn clone(
    git: &Git<'_>,
    network: &Network<'_>,
    url: &OsStr,
    dir: &Path,
    how: Clone<'_>,
) -> Result<(), Error> {
    let mut args: Vec<OsString> =
        ["--quiet", "--progress", "--no-checkout", "--single-branch"].map(OsString::from).into();
    if how.is_partial {
        args.push(format!("--filter={BLOB_LIMIT}").into());
    }
    args.extend(how.depth.map(|depth| format!("--depth={depth}").into()));
    args.extend(how.branch.map(|branch| format!("--branch={branch}").into()));
    args.extend(["--".into(), url.to_owned(), dir.into()]);
    // Whatever an alias of the configuration makes of the URL.
    let command = ["ext", "fd"].iter().fold(git.command("clone"), |command, transport| {
        command.config(&format!("protocol.{transport}.allow"), "never")
    });
    let command = without_lfs(command).args(args);
    network.run(command, &url.to_string_lossy()).map(drop)
}

/// The name of the remote that a fresh clone has.
///
/// # Errors
/// As any command.
pub fn remote_of(git: &Git<'_>) -> Result<Option<String>, Error> {
    let answer = git.command("remote").run()?;
    Ok(answer.text().lines().next().map(str::to_owned))
}

/// The objects of a revision's tree that are not here, without fetching any.
///
/// # Errors
/// As any command.
pub fn missing(git: &Git<'_>, rev: &str) -> Result<Vec<String>, Error> {
    let answer = git
        .command("rev-list")
        .args(["--objects", "--no-object-names", "--no-walk", "--missing=print"])
        .args(["--end-of-options", &format!("{rev}^{{tree}}")])
        .env("GIT_NO_LAZY_FETCH", "1")
        .run()?;
    let lines = answer.stdout.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"?"));
    Ok(lines.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// Writes the work tree: of the branch of `HEAD`, or of a commit that `HEAD` then names itself.
///
/// # Errors
/// As any command.
pub fn checkout(git: &Git<'_>, network: &Network<'_>, detached_at: Option<&str>) -> Result<(), Error> {
    let command = without_lfs(git.command("checkout"))
        .config("advice.detachedHead", "false")
        .args(["--progress", "--force"])
        .args(detached_at.iter().flat_map(|commit| ["--detach", *commit]))
        .args(["--"]);
    // Nothing should be missing; but if it is, git asks the server for it.
    network.run(command, "").map(drop)
}

/// The branch of `HEAD`; `None` if it names a commit itself.
///
/// # Errors
/// As any command.
pub fn branch(git: &Git<'_>) -> Result<Option<String>, Error> {
    match git.command("symbolic-ref").args(["--quiet", "--short", "HEAD"]).run() {
        Ok(answer) => Ok(Some(answer.text().to_owned())),
        Err(Error::Failed { status: Some(1), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a clone that was to be partial a whole one, from now on: no filter for later fetches, and every object of its
/// branch, and of what the refspec `also` names.
///
/// # Errors
/// [`Error::TooOld`], or as [`Network::run`].
pub fn make_whole(
    git: &Git<'_>,
    network: &Network<'_>,
    remote: &Remote,
    also: Option<&str>,
) -> Result<(), Error> {
    // `--refetch`
    require(git, (2, 36))?;
    let args = ["--quiet", "--progress", "--refetch", "--no-filter", "--no-tags", "--no-write-fetch-head"];
    let name = remote.name.as_str();
    for spec in std::iter::once(None).chain(also.map(Some)) {
        let command = git.command("fetch").args(args).args(["--end-of-options", name]).args(spec);
        network.run(command, &remote.url)?;
    }
    let key = format!("remote.{name}.partialCloneFilter");
    git.command("config").args(["--local", "--unset-all", &key]).run().map(drop)
}

/// The first git that has what every clone and fetch of ours needs: `--no-write-fetch-head`.
pub const NEEDED: (u32, u32) = (2, 29);

/// Checks that the git that is here is new enough.
///
/// # Errors
/// [`Error::TooOld`], or as [`version`].
pub fn require(git: &Git<'_>, needed: (u32, u32)) -> Result<(), Error> {
    let found = version(git)?;
    if found < needed { Err(Error::TooOld { found, needed }) } else { Ok(()) }
}

/// The major and minor number of the git that is here.
///
/// # Errors
/// [`Error::UnexpectedOutput`], or as any command.
pub fn version(git: &Git<'_>) -> Result<(u32, u32), Error> {
    let answer = git.command("version").run()?;
    parse_version(answer.text()).ok_or(Error::UnexpectedOutput { subcommand: "version".to_owned() })
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_maker_are_read() {
        for (text, expected) in [
            ("git version 2.47.3", Some((2, 47))),
            ("git version 2.39.5 (Apple Git-154)", Some((2, 39))),
            ("git version 2.50.0.windows.1", Some((2, 50))),
            ("git version 3.0", Some((3, 0))),
            ("hub version 2.1", None),
        ] {
            assert_eq!(parse_version(text), expected, "{text}");
        }
    }
}
