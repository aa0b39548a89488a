//! Chooses the commands that help, for each error that has one.
//!
//! Invariant: a hint contains only commands that exist, with arguments that are valid in a shell.

mod checkpoint;
mod named;
mod repository;
mod server;

use bstr::{BString, ByteSlice as _};

use super::shell_paths::{File, Here, quoted};
use crate::actions::publish::PublishError;
use crate::actions::{Error, UnfitDriver, names};
use crate::git;
use crate::remote::ModelName;
use crate::{lfs, recipe, repo};
use named::Named;

/// Returns the hints for an error, with the file that it concerns, for the user's directory.
pub(super) fn of(error: &Error, file: Option<File<'_>>, here: &Here) -> Vec<String> {
    let named = Named { file, here };
    let (git, file) = (here.git(), named.argument());
    let hint = match error {
        Error::Checkpoint(error) => return checkpoint::of(error, &named),
        Error::Place(error) | Error::Repo(repo::Error::Place(error))
            if error.is_other_kind() && !named.is_to_convert() =>
        {
            return Vec::new();
        }
        Error::Extensions
        | Error::Symlink
        | Error::OutputSymlink { .. }
        | Error::Place(lfs::worktree_file::Error::Symlink { .. })
        | Error::Repo(repo::Error::Place(lfs::worktree_file::Error::Symlink { .. })) => {
            format!("convert it outside the repository: `{}`", named.into_output())
        }
        Error::Repo(error) => return repository::of(error, &named),
        Error::Git(git::Error::NotInstalled) => {
            format!("install git, or convert one file: `{}`", named.into_output())
        }
        Error::NoObject { .. } if !here.has_lfs() => return Vec::new(),
        Error::NoObject { .. } => format!("download it: `{git} {}`", here.lfs_download(&named.lfs_pattern())),
        Error::PointerMismatch { .. } => format!("check the LFS storage: `{git} lfs fsck`"),
        Error::Recipe(recipe::Error::Dangerous { .. }) => {
            format!("list everything it imports: `{git} st-convert scan {file}`")
        }
        Error::Modified => return modified(&named),
        Error::Hidden { flag } => format!("let git see the changes: `{git} update-index --no-{flag} {file}`"),
        Error::TwoShards { second, .. } => {
            let second = named.beside(second.as_ref()).argument();
            format!("list its tensors: `{git} st-convert inspect {second}`")
        }
        // A file outside the repository has no pointer.
        Error::NoSpace(lfs::space::NoSpace { is_of_copy: true, .. })
            if named.file.is_some() && here.options_of(&["--output", "--pointer-only"]).is_empty() =>
        {
            let options = here.options();
            format!(
                "free some space, or keep the content only in LFS storage: `{git} st-convert{options} --pointer-only {file}`"
            )
        }
        Error::Recipe(recipe::Error::Strict { .. }) => {
            let options = here.options_but(&["--strict"]);
            format!("convert only the weights: `{git} st-convert{options} {file}`")
        }
        Error::MissingShards { shards } => return missing(shards, &named),
        Error::NotFound => return not_found(&named),
        Error::Interrupted => return resume(here).into_iter().collect(),
        Error::NoRepository => return no_repository(&named),
        Error::Driver(why) => return driver(why, &git),
        Error::NotEmpty { .. } => "use a temporary directory: `git st-convert demo`".to_owned(),
        error => {
            return output(error, &named).map_or_else(|| network(error, &named), |hint| vec![hint]);
        }
    };
    vec![hint]
}

/// Returns the command that resumes a stopped run, if the run changes anything.
fn resume(here: &Here) -> Option<String> {
    let command = match here.command() {
        "convert" if here.options_of(&["--dry-run"]).is_empty() => "",
        "clone" => " clone",
        "pull" if here.first().is_some() => " pull",
        _ => return None,
    };
    let (git, options, paths) = (here.git(), here.options(), here.paths());
    Some(format!("resume the run: `{git} st-convert{command}{options}{paths}`"))
}

/// Returns how to list tensors if git's own diff is not set up.
fn driver(why: &UnfitDriver, git: &str) -> Vec<String> {
    let origin =
        |key: &str| vec![format!("see where it is set: `{git} config --show-origin --get-all {key}`")];
    match why {
        UnfitDriver::Smudges { .. } => vec![
            format!(
                "list the tensors once: `GIT_LFS_SKIP_SMUDGE=1 {git} -c diff.lfs.textconv=\"git st-convert textconv\" log -p`"
            ),
            format!(
                "keep the files of new checkouts pointers until `git lfs pull`: `{git} lfs install --local --skip-smudge`"
            ),
        ],
        UnfitDriver::Taken { .. } => origin("diff.lfs.textconv"),
        UnfitDriver::Cached => origin("diff.lfs.cachetextconv"),
    }
}

/// Returns how to merge the shards of a distributed checkpoint into one file.
pub(super) fn merge(file: File<'_>, here: &Here) -> String {
    checkpoint::merge(&Named { file: Some(file), here })
}

/// Returns a hint about the output file, or about its sharded checkpoint.
fn output(error: &Error, named: &Named<'_>) -> Option<String> {
    let (git, file) = (named.here.git(), named.argument());
    let forced = || format!("{git} st-convert{} --force", named.here.options_but(&["--force"]));
    Some(match error {
        Error::OutputNotFile { .. }
        | Error::OutputIsSource
        | Error::Place(lfs::worktree_file::Error::InTheWay { .. })
        | Error::Repo(repo::Error::Place(lfs::worktree_file::Error::InTheWay { .. })) => {
            format!("choose another output: `{}`", named.into_output())
        }
        // Outside a repository, the overwritten file could not be restored.
        Error::OutputExists { output } if is_plain(named.here) && output.ends_with(b".json") => {
            let options = named.here.options_but(&["--output"]);
            format!("choose another output: `{git} st-convert{options}{} --output DIR`", named.here.paths())
        }
        Error::OutputExists { .. } | Error::OutputDiffers { .. } if is_plain(named.here) => {
            format!("choose another output: `{}`", named.into_output())
        }
        Error::OutputExists { output } if output.ends_with(b".json") => {
            format!("overwrite it: `{}{}`", forced(), named.here.paths())
        }
        Error::OutputExists { .. }
        | Error::OutputDiffers { .. }
        | Error::Place(lfs::worktree_file::Error::Exists { .. }) => {
            format!("overwrite it: `{} {file}`", forced())
        }
        Error::OutputCollision { output, .. } if !output.ends_with(b".json") => {
            format!("choose another output: `{}`", named.into_output())
        }
        Error::IncompleteSet { .. } => format!("convert only this shard: `{}`", named.into_output()),
        Error::InNoShard { .. } => format!(
            "if the model has no such tensor, delete its line in the `weight_map` of {}; if it has, download the shards again",
            named.path()
        ),
        Error::NotInShard { shard, .. } | Error::InOtherShard { shard, .. } => {
            format!("convert only this shard: `{}`", named.beside(shard.as_ref()).into_output())
        }
        Error::Shard(_) | Error::OutputCollision { .. } if named.here.command() == "convert" => {
            format!("convert only one shard: `{git} st-convert SHARD --output FILE`")
        }
        _ => return None,
    })
}

/// Returns `true` if the file is written outside any repository.
fn is_plain(here: &Here) -> bool {
    here.value_of("--output").is_some() || !here.is_in_repository()
}

fn modified(named: &Named<'_>) -> Vec<String> {
    let (git, file) = (named.here.git(), named.pathspec());
    vec![
        format!("stage the changes: `{git} add {file}`"),
        format!("or stash them: `{git} stash push -- {file}`"),
    ]
}

/// A file that git tracks can be restored. Another argument that is not a file may be a model, or a file of a commit.
fn not_found(named: &Named<'_>) -> Vec<String> {
    let (git, file) = (named.here.git(), named.argument());
    let tracked = named.file.and_then(|file| Some((file, named.here.entry_of(file)?)));
    match tracked {
        Some((file, entry)) if entry.skip_worktree => {
            return vec![format!("check it out: `{}`", named.here.check_out(&[file]))];
        }
        Some(_) => return vec![format!("restore it: `{git} restore {}`", named.pathspec())],
        None => {}
    }
    let name = named.file.map(File::name).and_then(|name| name.to_str().ok()).unwrap_or_default();
    let is_file = names::is_pickle_like(name.into())
        || names::is_safetensors(name.into())
        || names::is_of_another_kind(name.into());
    let is_in_repository = named.here.is_in_repository();
    let is_model = !is_file && name.matches('/').count() == 1 && ModelName::parse(name).is_some();
    vec![match name.split_once(':') {
        Some((rev, _)) if !rev.is_empty() && named.here.command() == "convert" => {
            format!("convert reads files, not commits; inspect it: `{git} st-convert inspect {file}`")
        }
        Some((rev, _)) if !rev.is_empty() && is_in_repository && named.here.command() == "inspect" => {
            let rev = quoted(rev.as_bytes().as_bstr());
            format!("list the files of that revision: `{git} ls-tree -r --full-tree --name-only {rev}`")
        }
        _ if is_model => format!("if this is a model on the Hub: `{git} st-convert clone {file}`"),
        _ if is_in_repository => format!("list the tracked files: `{git} ls-files`"),
        _ => return Vec::new(),
    }]
}

/// Returns a hint for a command that needs a repository.
fn no_repository(named: &Named<'_>) -> Vec<String> {
    let (git, command) = (named.here.git(), named.here.command());
    let words = command.split(' ').next().unwrap_or_default();
    match words {
        "convert" => {
            let options = named.here.options_but(&["--output"]);
            vec![
                format!("convert one file: `{git} st-convert{options} FILE`"),
                "or try the demo: `git st-convert demo`".to_owned(),
            ]
        }
        "inspect" => vec![format!(
            "name a file of a model on the Hub: `{git} st-convert inspect OWNER/NAME:PATH` (or `NAME@main:PATH`)"
        )],
        "scan" if command == "scan" => vec![format!("scan this directory: `{git} st-convert scan .`")],
        "verify" if command == "verify" => vec![format!("verify one file: `{git} st-convert verify FILE`")],
        "pull" | "publish" => vec!["clone the model first: `git st-convert clone OWNER/NAME`".to_owned()],
        "" => Vec::new(),
        _ => vec![format!("name the repository: `git -C DIR st-convert {command}`")],
    }
}

/// Returns each hint once; one command downloads all missing objects.
fn missing(shards: &[(BString, Error)], named: &Named<'_>) -> Vec<String> {
    let (absent, others): (Vec<_>, Vec<_>) =
        shards.iter().partition(|(_, why)| matches!(why, Error::NoObject { .. }));
    let mut hints: Vec<String> = Vec::new();
    if !absent.is_empty() && named.here.has_lfs() {
        let absent = absent.iter().filter_map(|(shard, _)| named.beside(shard.as_ref()).file);
        let (git, patterns) = (named.here.git(), named.here.lfs_pattern(absent));
        hints.push(format!("download it: `{git} {}`", named.here.lfs_download(&patterns)));
    }
    for (shard, why) in others {
        let of_shard = of(why, named.beside(shard.as_ref()).file, named.here);
        let new: Vec<_> = of_shard.into_iter().filter(|hint| !hints.contains(hint)).collect();
        hints.extend(new);
    }
    hints
}

/// Returns hints for errors of servers and clones.
fn network(error: &Error, named: &Named<'_>) -> Vec<String> {
    let git = named.here.git();
    let hint = match error {
        Error::Git(git::Error::Remote { trouble, stderr }) => return server::of_git(*trouble, stderr, &git),
        Error::Git(git::Error::RemoteGone { remote, .. }) => server::gone(remote, &git),
        Error::Remote(error) => return server::hint(error, &git),
        Error::Unpublished(error) => return unpublished(error, named),
        Error::Git(git::Error::TooOld { .. }) => "install a newer git: https://git-scm.com".to_owned(),
        Error::CloneInTheWay { .. } | Error::NeedsDirectory { .. } => {
            let (options, model) =
                (named.here.options(), named.here.first().unwrap_or_else(|| "MODEL".to_owned()));
            format!("choose a directory: `{git} st-convert clone{options} {model} DIR`")
        }
        Error::Offline { .. } => server::OFFLINE.to_owned(),
        Error::NoSuchRevision { remote: Some(url), .. } => {
            server::revisions(url.as_encoded_bytes().as_bstr())
        }
        Error::NoSuchRevision { .. } | Error::Git(git::Error::WrongRevision { .. }) => {
            format!("list the revisions: `{git} log --all --oneline`")
        }
        Error::Git(git::Error::NoHead { branch }) => {
            let (options, branch, paths) =
                (named.here.options(), quoted(branch.as_bytes().as_bstr()), named.here.paths());
            format!("choose a branch: `{git} st-convert clone{options} --revision {branch}{paths}`")
        }
        Error::EmptyRepository { .. } => {
            "give the model as OWNER/NAME or as the URL of its repository".to_owned()
        }
        Error::NotWithPullRequest { .. } => {
            let (options, paths) = (named.here.options_but(&["--pr"]), named.here.paths());
            format!("convert instead: `{git} st-convert --pr never{options}{paths}`")
        }
        Error::Setting { key: "st-convert.maxOutput", .. } => {
            format!("set a size: `{git} config st-convert.maxOutput 20GB`")
        }
        Error::Setting { key: "st-convert.jobs", .. } => {
            format!("set a number from 1 to 8: `{git} config st-convert.jobs 4`")
        }
        Error::Setting { key: "st-convert.keepSource", .. } => {
            format!("set `true` or `false`: `{git} config st-convert.keepSource true`")
        }
        Error::Setting { .. } => {
            format!("set `auto`, `never` or a number: `{git} config st-convert.pr auto`")
        }
        Error::NoRemote => format!("add a remote: `{git} remote add origin URL`"),
        Error::NoCommits => "clone a model: `git st-convert clone OWNER/NAME`".to_owned(),
        Error::BatchRunning { .. } => {
            "use another journal (`--journal FILE`), or run one part of the list (`--shard I/N`)".to_owned()
        }
        Error::NoJournal { .. } => "choose another file with `--journal FILE`".to_owned(),
        Error::FilesWithheld => "try again later".to_owned(),
        _ => return pull_request(error, named),
    };
    vec![hint]
}

/// Returns hints for a pull request that was not taken.
fn pull_request(error: &Error, named: &Named<'_>) -> Vec<String> {
    let git = named.here.git();
    let hint = match error {
        Error::NothingToVerify(_) if !named.here.command().starts_with("verify --pr") => return Vec::new(),
        Error::NoSuchPullRequest { .. }
        | Error::WithoutSafetensors { .. }
        | Error::NotSafetensors { .. }
        | Error::NothingToVerify(_) => {
            format!("list the pull requests that add safetensors files: `{git} st-convert pull`")
        }
        Error::NoCheckpoint if !named.here.is_in_repository() => return Vec::new(),
        Error::NoCheckpoint => {
            format!("verify a commit that contains the checkpoint: `{git} st-convert verify --rev REV`")
        }
        Error::SeveralCheckpoints { first, .. } => {
            let (options, first) =
                (named.here.options_of(&["--key"]), named.beside(first.as_ref()).argument());
            let command = Some(named.here.command()).filter(|command| command.starts_with("verify "));
            format!(
                "choose the checkpoint: `{git} st-convert {}{options} {first}`",
                command.unwrap_or("verify")
            )
        }
        Error::NotProven { number, .. } => {
            format!("list the differences: `{git} st-convert verify --pr {number}`")
        }
        Error::OtherPaths { number, .. } => return others(*number, named),
        Error::InTheWay { .. } | Error::Git(git::Error::InTheWay { .. }) => {
            return vec![
                format!("stash them: `{git} stash --include-untracked`"),
                format!("or commit them: `{git} commit`"),
            ];
        }
        Error::Git(git::Error::Conflict { .. }) => match named.here.first() {
            Some(number) => {
                let options = named.here.options_but(&["--merge"]);
                format!("stage only the safetensors files: `{git} st-convert pull{options} {number}`")
            }
            None => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    vec![hint]
}

/// Returns how to inspect and take the other files of a pull request.
fn others(number: u64, named: &Named<'_>) -> Vec<String> {
    let git = named.here.git();
    let remote = named.here.value_of("--remote").unwrap_or("origin");
    let then = match named.here.command() {
        "pull" => {
            let options = named.here.options_but(&["--yes"]);
            format!("then accept them: `{git} st-convert pull{options} {number} --yes`")
        }
        _ => format!("then accept them: `{git} st-convert pull {number} --yes`"),
    };
    vec![format!("review them: `{git} fetch {remote} refs/pr/{number} && {git} diff ...FETCH_HEAD`"), then]
}

/// Returns what to do before a publication.
fn unpublished(error: &PublishError, named: &Named<'_>) -> Vec<String> {
    let git = named.here.git();
    let options = named.here.options_but(&["--branch"]);
    let branch = format!("`{git} st-convert publish{options} --branch NAME`");
    vec![match error {
        PublishError::NoToken => {
            return vec![
                "sign in with a token that has write access: `hf auth login` (or set HF_TOKEN)".to_owned(),
                format!("or push a branch: {branch}"),
            ];
        }
        PublishError::ReadOnlyToken { .. } => "set HF_TOKEN to a token with write access".to_owned(),
        PublishError::SourceDiffers { is_newer_here: true, .. } => {
            format!("push the checkpoint first: `{git} push`")
        }
        PublishError::SourceDiffers { .. } => {
            format!("update and convert again: `{git} pull && {git} st-convert --force`")
        }
        PublishError::BranchDiffers { .. } | PublishError::BranchName { .. } => {
            format!("push another branch: {branch}")
        }
        PublishError::NotUnderLfs { .. } => format!("convert it again: `{git} st-convert --force`"),
        // An existing object is not written again, so the damaged one must be removed first; fsck moves it away.
        PublishError::DamagedObject { .. } => {
            format!("convert it again: `{git} lfs fsck; {git} st-convert --force`")
        }
        PublishError::PublishRunning => "find the running publish: `pgrep -a git-st-convert`".to_owned(),
        PublishError::EmptyRemote { remote } => {
            format!("push the first branch: `{git} push -u {} HEAD`", quoted(remote.as_str().into()))
        }
        PublishError::NoDefaultBranch { remote } => {
            format!("look it up: `{git} remote set-head {} --auto`", quoted(remote.as_str().into()))
        }
    }]
}
