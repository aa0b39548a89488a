//! Clones in steps, so that each request stays short: [`clone`] without a checkout, the missing blobs ([`missing`],
//! then [`fetch_objects`](super::fetch::fetch_objects)), and [`checkout`].
//!
//! Invariant: no filter of Git LFS runs, so no LFS object is downloaded and a missing git-lfs is not an error, and the
//! configuration of the clone does not contain any of that.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::command::{Git, Invocation};
use super::error::Error;
use super::fetch::{BLOB_LIMIT, Remote};
use super::network::Network;

/// The repository to clone, and the options.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clone<'a> {
    /// A branch or a tag, instead of the remote's default branch.
    pub branch: Option<&'a str>,
    /// This number of commits, instead of all.
    pub depth: Option<u32>,
    /// Leave longer blobs out until they are needed.
    pub is_partial: bool,
}

/// Removes the filters of Git LFS from a command and its child processes.
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
    // Even if an alias in the configuration changes the URL.
    let command = ["ext", "fd"].iter().fold(git.command("clone"), |command, transport| {
        command.config(&format!("protocol.{transport}.allow"), "never")
    });
    let command = without_lfs(command).args(args);
    network.run(command, &url.to_string_lossy()).map(drop)
}

/// Returns the name of the remote of a fresh clone.
///
/// # Errors
/// As any command.
pub fn remote_of(git: &Git<'_>) -> Result<Option<String>, Error> {
    let answer = git.command("remote").run()?;
    Ok(answer.text().lines().next().map(str::to_owned))
}

/// Lists the objects of a revision's tree that are missing, without fetching any.
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

/// Checks out the working tree: of the branch of `HEAD`, or of a commit that a detached `HEAD` then names.
///
/// # Errors
/// As any command.
pub fn checkout(git: &Git<'_>, network: &Network<'_>, detached_at: Option<&str>) -> Result<(), Error> {
    let command = without_lfs(git.command("checkout"))
        .config("advice.detachedHead", "false")
        .args(["--progress", "--force"])
        .args(detached_at.iter().flat_map(|commit| ["--detach", *commit]))
        .args(["--"]);
    // No object should be missing; if one is, git fetches it from the server.
    network.run(command, "").map(drop)
}

/// Returns the branch of `HEAD`; `None` if it is detached.
///
/// # Errors
/// As any command.
pub fn branch(git: &Git<'_>) -> Result<Option<String>, Error> {
    let answer = git.command("symbolic-ref").args(["--quiet", "--short", "HEAD"]).run_optional()?;
    Ok(answer.map(|answer| answer.text().to_owned()))
}

/// Turns a partial clone into a complete one: no filter for later fetches, and every object of its branch, and of the
/// refspec `also`.
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

/// The first git version with the options that every clone and fetch of ours needs: `--no-write-fetch-head`.
pub const NEEDED: (u32, u32) = (2, 29);

/// Checks that the installed git is new enough.
///
/// # Errors
/// [`Error::TooOld`], or as [`version`].
pub fn require(git: &Git<'_>, needed: (u32, u32)) -> Result<(), Error> {
    let found = version(git)?;
    if found < needed { Err(Error::TooOld { found, needed }) } else { Ok(()) }
}

/// Returns the major and minor version of the installed git.
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
