//! The command that helps, for each error where there is one.
//!
//! Invariant: a hint names only commands that exist, with arguments that a shell takes as they stand.

mod checkpoint;
mod named;
mod server;

use bstr::BString;

use super::shell_paths::{File, Here, quoted_path};
use crate::actions::Error;
use crate::actions::publish::PublishError;
use crate::git;
use crate::{lfs, recipe, repo};
use named::Named;

/// The hints for an error, with the file that it is about, for a person who stands there.
pub(super) fn of(error: &Error, file: Option<File<'_>>, here: &Here) -> Vec<String> {
    let named = Named { file, here };
    let (git, file) = (here.git(), named.argument());
    let hint = match error {
        Error::Checkpoint(error) => return checkpoint::of(error, &named),
        Error::Extensions
        | Error::Symlink
        | Error::OutputSymlink { .. }
        | Error::Place(lfs::worktree_file::Error::Symlink { .. })
        | Error::Repo(repo::Error::Place(lfs::worktree_file::Error::Symlink { .. })) => {
            format!("convert one file without the repository by `{}`", named.into_output())
        }
        Error::Repo(error) => return repository(error, &named),
        Error::Git(git::Error::NotInstalled) => {
            "install git from https://git-scm.com, or convert one file with `--output`".to_owned()
        }
        Error::NoObject { .. } => {
            format!("download it with `{git} lfs pull --include {}`", named.lfs_pattern())
        }
        Error::PointerMismatch { .. } => format!("check the objects that are here with `{git} lfs fsck`"),
        Error::Recipe(recipe::Error::Dangerous { .. }) => {
            format!("see every call with `{git} st-convert scan {file}`")
        }
        Error::Modified => modified(&named),
        Error::TwoShards { second, .. } => {
            let second = named.beside(second.as_ref()).argument();
            format!("list what it holds with `{git} st-convert inspect {second}`")
        }
        // A file beside the repository has no pointer.
        Error::NoSpace(_)
            if named.file.is_some() && here.options_of(&["--output", "--pointer-only"]).is_empty() =>
        {
            let options = here.options();
            format!("leave the content to the LFS store: `{git} st-convert{options} --pointer-only {file}`")
        }
        Error::Recipe(recipe::Error::Strict { .. }) => {
            let options = here.options_but(&["--strict"]);
            format!("keep only the weights: `{git} st-convert{options} {file}`")
        }
        Error::MissingShards { shards } => return missing(shards, &named),
        Error::NotFound => {
            "a file of a commit is named `REV:PATH`, a tracked one is listed by `git ls-files`".into()
        }
        Error::NoRepository if file.contains(':') => {
            format!(
                "name a file of the Hub with `{git} st-convert inspect OWNER/NAME:PATH`, or `NAME@main:PATH`"
            )
        }
        Error::NoRepository => {
            "name a file with `git st-convert FILE`, or see how it goes with `git st-convert demo`".to_owned()
        }
        Error::NotEmpty { .. } => "let it choose a new directory with `git st-convert demo`".to_owned(),
        error => return output(error, &named).or_else(|| network(error)).into_iter().collect(),
    };
    vec![hint]
}

/// How the shards of a distributed checkpoint become one file.
pub(super) fn merge(file: File<'_>, here: &Here) -> String {
    checkpoint::merge(&Named { file: Some(file), here })
}

/// Where the file that is to be written is the matter, or the set that it belongs to.
fn output(error: &Error, named: &Named<'_>) -> Option<String> {
    let (git, file) = (named.here.git(), named.argument());
    let forced = || format!("{git} st-convert{} --force", named.here.options_but(&["--force"]));
    Some(match error {
        Error::OutputNotFile { .. } => format!("choose a name for a file with `{}`", named.into_output()),
        Error::OutputIsSource => format!("choose another name with `{}`", named.into_output()),
        Error::OutputExists { output } if output.ends_with(b".json") => {
            format!("replace it, and the set, with `{}{}`", forced(), named.here.paths())
        }
        Error::OutputExists { .. }
        | Error::OutputDiffers { .. }
        | Error::Place(lfs::worktree_file::Error::Exists { .. }) => {
            format!("replace it with `{} {file}`", forced())
        }
        Error::OutputCollision { output, .. } if !output.ends_with(b".json") => {
            format!("choose its name with `{}`", named.into_output())
        }
        Error::IncompleteSet { .. } => format!("convert this shard alone with `{}`", named.into_output()),
        Error::InNoShard { .. } => format!(
            "if the model has no such tensor, delete its line in the `weight_map` of {}; if it has, download the shards again",
            named.path()
        ),
        Error::NotInShard { shard, .. } | Error::InOtherShard { shard, .. } => {
            format!("convert this shard alone with `{}`", named.beside(shard.as_ref()).into_output())
        }
        Error::Shard(_) | Error::OutputCollision { .. } => {
            format!("convert one shard alone with `{git} st-convert SHARD --output FILE`")
        }
        _ => return None,
    })
}

fn modified(named: &Named<'_>) -> String {
    let (git, file) = (named.here.git(), named.pathspec());
    format!("stage it with `{git} add {file}`, or drop the changes with `{git} restore {file}`")
}

/// Each hint once; the objects that are not here are downloaded by one command.
fn missing(shards: &[(BString, Error)], named: &Named<'_>) -> Vec<String> {
    let (absent, others): (Vec<_>, Vec<_>) =
        shards.iter().partition(|(_, why)| matches!(why, Error::NoObject { .. }));
    let mut hints: Vec<String> = Vec::new();
    if !absent.is_empty() {
        let absent = absent.iter().filter_map(|(shard, _)| named.beside(shard.as_ref()).file);
        let (git, patterns) = (named.here.git(), named.here.lfs_pattern(absent));
        hints.push(format!("download it with `{git} lfs pull --include {patterns}`"));
    }
    for (shard, why) in others {
        let of_shard = of(why, named.beside(shard.as_ref()).file, named.here);
        let new: Vec<_> = of_shard.into_iter().filter(|hint| !hints.contains(hint)).collect();
        hints.extend(new);
    }
    hints
}

/// What to do where servers and clones are the matter.
fn network(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Git(git::Error::Remote { trouble, .. }) => server::remote(*trouble),
        Error::Git(git::Error::TooOld { .. }) => "install a newer git from https://git-scm.com",
        Error::Remote(error) => return server::hint(error),
        Error::CloneInTheWay { .. } => "name another directory with `git st-convert clone MODEL DIR`",
        Error::NeedsDirectory { .. } => "name it with `git st-convert clone MODEL DIR`",
        Error::Offline { .. } => "leave out `--offline`, and HF_HUB_OFFLINE in the environment",
        Error::NoSuchRevision { is_remote: true, .. } => {
            "list what there is with `git ls-remote URL`; a commit needs its whole name"
        }
        Error::NoSuchRevision { .. } => "list what there is with `git log --all --oneline`",
        Error::EmptyRepository { .. } => "name a model as OWNER/NAME, or the URL of its repository",
        Error::NotWithPullRequest { .. } => "convert instead with `--pr never`",
        Error::Setting { key: "st-convert.maxOutput", .. } => {
            "it may be a size such as `20GB`: set it with `git config st-convert.maxOutput 20GB`"
        }
        Error::Setting { .. } => {
            "it may be `auto`, `never` or a number: set it with `git config st-convert.pr auto`"
        }
        Error::NoRemote => "add one with `git remote add origin URL`",
        Error::NoCommits => "clone a model with `git st-convert clone MODEL`",
        Error::NoSuchPullRequest { .. } | Error::WithoutSafetensors { .. } => {
            "list those that carry safetensors with `git st-convert pull`"
        }
        Error::NoCheckpoint => "verify a commit that has it with `git st-convert verify --rev REV`",
        Error::SeveralCheckpoints { .. } => "verify a commit that has one of them alone with `--rev REV`",
        Error::NotProven { number, .. } => {
            return Some(format!("see what differs with `git st-convert verify --pr {number}`"));
        }
        Error::BatchRunning { .. } => {
            "name another one with `--journal FILE`, or share the list out with `--shard I/N`"
        }
        Error::NoJournal { .. } => "name another file with `--journal FILE`",
        Error::OtherPaths { number, .. } => {
            return Some(format!(
                "look at them with `git fetch origin refs/pr/{number} && git diff ...FETCH_HEAD`, then add `--yes`"
            ));
        }
        Error::InTheWay { .. } | Error::Git(git::Error::InTheWay { .. }) => {
            "commit them with `git commit`, or put them away with `git stash --include-untracked`"
        }
        Error::Git(git::Error::Conflict { .. }) => {
            "leave out `--merge`, so that its safetensors alone are staged"
        }
        Error::NotSafetensors { .. } => "take another one: list them with `git st-convert pull`",
        Error::Unpublished(error) => unpublished(error),
        Error::FilesWithheld => "try again later, or clone with `git clone --depth 1`",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do before it can be published.
fn unpublished(error: &PublishError) -> &'static str {
    match error {
        PublishError::NoToken => {
            "make a token that may write on the Hub's page of settings, and set HF_TOKEN to it; or push a branch with \
             `--branch NAME`"
        }
        PublishError::ReadOnlyToken { .. } => "set HF_TOKEN to a token that may write",
        PublishError::SourceDiffers { .. } => {
            "take what the remote has with `git pull`, and convert it with `git st-convert --force`"
        }
        PublishError::BranchDiffers { .. } => {
            "merge the remote's default branch into it there, or push another one with `--branch NAME`"
        }
        PublishError::NotUnderLfs { .. } => {
            "convert it again with `git st-convert --force`, which puts it there"
        }
        PublishError::DamagedObject { .. } => "make it again with `git st-convert --force`",
        PublishError::PublishRunning => "wait for it, or look for it with `pgrep -a git-st-convert`",
        PublishError::NoDefaultBranch => {
            "see what the remote has with `git ls-remote`; a clone knows it after `git remote set-head origin --auto`"
        }
    }
}

fn repository(error: &repo::Error, named: &Named<'_>) -> Vec<String> {
    use repo::Error;
    let git = named.here.git();
    let hint = match error {
        Error::NotTrusted { git_dir } => {
            let dir = git_dir.parent().unwrap_or(git_dir);
            format!("if you trust it, run `git config --global --add safe.directory {}`", quoted_path(dir))
        }
        Error::IndexLocked { lock } => {
            format!("if no other git is at work here, run `rm {}`", quoted_path(lock))
        }
        Error::UnsupportedFormat { .. } | Error::Bare { .. } => {
            format!("convert one file without the repository by `{}`", named.into_output())
        }
        Error::MissingBlob { id } => format!("fetch it with `{git} cat-file -e {id}`"),
        Error::OfEnvironment { .. } => {
            "leave it out of the environment with `unset $(git rev-parse --local-env-vars)`".to_owned()
        }
        Error::OutsideWorkTree { .. } => "name its repository with `-C DIR`".to_owned(),
        Error::Unmerged { .. } => "finish the merge first, `git status` says how".to_owned(),
        Error::OtherFilter { path, .. } | Error::AttributesOverridden { path, .. } => {
            let path = named.here.argument(File::OfTop(path.as_ref()));
            format!("see what applies with `{git} check-attr -a -- {path}`")
        }
        _ => return Vec::new(),
    };
    vec![hint]
}
