//! Reads the environment: the URL and login of the Hub, whether the user may be prompted, and the batch part.
//!
//! Invariant: a token leaves this module only in a form that does not show it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::args::ServerArgs;
use super::manpath::{Configuration, ManPath};
use crate::actions::batch::Shard;
use crate::actions::{Error, Servers};
use crate::remote::{HUB, Settings, Url};

/// Returns how servers are contacted, by the environment and the command line.
pub(super) fn servers(args: ServerArgs) -> Result<Servers, Error> {
    let mut settings = Settings::from_environment(&variable);
    settings.offline |= args.offline;
    Servers::new(settings)
}

/// Returns the URL of the Hub.
pub(super) fn endpoint() -> String {
    variable("HF_ENDPOINT").filter(|url| !url.is_empty()).unwrap_or_else(|| HUB.to_owned())
}

/// Returns `true` if a URL is on the Hub, which receives its token.
pub(super) fn is_at_hub(url: &Url) -> bool {
    Url::parse(&endpoint()).is_ok_and(|hub| hub.origin() == url.origin())
}

/// The variables that affect this program. Those in the second list are secret, or may contain a password.
const VARIABLES: &[&str] = &[
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HF_TOKEN_PATH",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "GIT_LFS_SKIP_SMUDGE",
    "HF_OIDC_RESOURCE",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_PAGER",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "no_proxy",
    "NO_PROXY",
    COUNT,
    TASK,
    INDEX,
];
const SECRETS: &[&str] = &[
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_OIDC_ID_TOKEN",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// Returns the variables that are set, with their values; for those that may contain a secret, only their names.
pub(super) fn set() -> Vec<(&'static str, Option<String>)> {
    let plain = VARIABLES.iter().filter_map(|&name| Some((name, Some(without_password(&variable(name)?)))));
    let secret = SECRETS.iter().filter_map(|&name| variable(name).map(|_| (name, None)));
    plain.chain(secret).collect()
}

/// Returns a value without its password, if it is an address with one.
fn without_password(value: &str) -> String {
    crate::git::redacted(value.as_ref()).to_string_lossy().into_owned()
}

/// Returns `true` if the locale uses UTF-8, by the first of these variables that is set. If none is set, as on Windows,
/// a console of Windows still shows any text.
pub(super) fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    set.map_or(cfg!(windows), |locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Returns `true` if git has started its pager for standard output.
pub(super) fn is_paged() -> bool {
    variable("GIT_PAGER_IN_USE").is_some_and(|value| matches!(value.as_str(), "true" | "1" | "yes" | "on"))
}

/// Returns `true` if the user disabled colors.
pub(super) fn is_colorless() -> bool {
    variable("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Returns `true` if the terminal cannot redraw a line. A console of Windows can, and has no such variable.
pub(super) fn is_dumb() -> bool {
    variable("TERM").map_or(!cfg!(windows), |term| term.is_empty() || term == "dumb")
}

/// Returns the range of a push from the pre-commit framework.
pub(super) fn framework_range() -> Option<(String, String)> {
    Some((variable("PRE_COMMIT_FROM_REF")?, variable("PRE_COMMIT_TO_REF")?))
}

/// Returns the directories where manual pages can be installed, the best first: next to the directory of the program on
/// PATH, and below the home directory; none that belongs to the system's packages.
#[expect(clippy::disallowed_methods, reason = "one of the two places that read the environment")]
pub(super) fn man_dirs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_program =
        |dir: &PathBuf| dir.join("git-st-convert").with_extension(std::env::consts::EXE_EXTENSION).is_file();
    let bin = std::env::split_paths(&path)
        .find(has_program)
        .filter(|dir| dir.is_absolute() && dir.ends_with("bin"));
    let prefix = bin.as_deref().and_then(Path::parent).filter(|prefix| *prefix != "/usr" && *prefix != "/");
    let home = home().map(|home| home.join(".local"));
    prefix.map(Path::to_owned).into_iter().chain(home).map(|prefix| prefix.join("share/man/man1")).collect()
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// Returns the directories that `man` searches.
#[expect(clippy::disallowed_methods, reason = "one of the two places that read the environment")]
pub(super) fn man_path() -> ManPath {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ManPath::new(&path, std::env::var_os("MANPATH").as_deref(), &Configuration::read(home().as_deref()))
}

/// Returns the directory in which the user ran git, from the top of the working tree; `None` if git did not start this
/// program.
#[expect(clippy::disallowed_methods, reason = "one of the two places that read the environment")]
pub(super) fn git_prefix() -> Option<OsString> {
    std::env::var_os("GIT_PREFIX")
}

/// Why the environment contains the index of a batch part, but not enough to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoShard {
    pub(super) variable: &'static str,
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

/// The variable with the number of parts, if the scheduler's variables do not contain it.
const COUNT: &str = "ST_CONVERT_SHARD_COUNT";
const TASK: &str = "SLURM_ARRAY_TASK_ID";
const INDEX: &str = "JOB_COMPLETION_INDEX";

/// Returns the batch part by the environment: of a Slurm array, or of an indexed Job of Kubernetes.
pub(super) fn shard_of_environment() -> Result<Option<Shard>, NoShard> {
    shard(&|name| variable(name).filter(|value| !value.is_empty()))
}

/// Source: sbatch(1), "OUTPUT ENVIRONMENT VARIABLES"; "Indexed Job" of Kubernetes.
fn shard(var: &dyn Fn(&str) -> Option<String>) -> Result<Option<Shard>, NoShard> {
    let number = |name: &'static str| match var(name).map(|value| value.trim().parse::<usize>()) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(no_shard(name, "is not a number", BY_HAND)),
    };
    let count = number(COUNT)?;
    let by_count = |variable, index, count| {
        let shard = Shard::new(index, count);
        shard.map(Some).ok_or(no_shard(variable, "is not less than ST_CONVERT_SHARD_COUNT", BY_HAND))
    };
    if let Some(task) = number(TASK)? {
        if let Some(count) = count {
            return by_count(TASK, task, count);
        }
        let irregular = no_shard(TASK, "is one of an array whose numbers have gaps", BY_HAND);
        let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let count = number("SLURM_ARRAY_TASK_COUNT")?;
        let last = number("SLURM_ARRAY_TASK_MAX")?;
        let count = count.ok_or(no_shard(TASK, "is set, and SLURM_ARRAY_TASK_COUNT is not", BY_HAND))?;
        let behind = task.checked_sub(first).filter(|behind| behind % step == 0).ok_or(irregular)?;
        let is_whole =
            last.is_none_or(|last| last.checked_sub(first).is_some_and(|all| all / step + 1 == count));
        return match Shard::new(behind / step, count) {
            Some(shard) if is_whole => Ok(Some(shard)),
            _ => Err(irregular),
        };
    }
    match (number(INDEX)?, count) {
        (None, _) => Ok(None),
        (Some(index), Some(count)) => by_count(INDEX, index, count),
        (Some(_), None) => {
            let hint = "set ST_CONVERT_SHARD_COUNT to the Job's `completions`, or pass `--shard I/N`";
            Err(no_shard(INDEX, "is set, and ST_CONVERT_SHARD_COUNT is not", hint))
        }
    }
}

const BY_HAND: &str = "pass `--shard I/N` (`--shard 0/1` for the whole list)";

fn no_shard(variable: &'static str, message: &'static str, hint: &'static str) -> NoShard {
    NoShard { variable, message, hint }
}

#[expect(clippy::disallowed_methods, reason = "one of the two places that read the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Option<(usize, usize)>, &'static str> {
        let var =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let shard = shard(&var).map_err(|no| no.message)?;
        Ok(shard.map(|shard| (shard.index(), shard.count())))
    }

    fn slurm(
        task: &str,
        count: &str,
        min: &str,
        max: &str,
        step: &str,
    ) -> Result<Option<(usize, usize)>, &'static str> {
        of(&[
            ("SLURM_ARRAY_TASK_ID", task),
            ("SLURM_ARRAY_TASK_COUNT", count),
            ("SLURM_ARRAY_TASK_MIN", min),
            ("SLURM_ARRAY_TASK_MAX", max),
            ("SLURM_ARRAY_TASK_STEP", step),
        ])
    }

    #[test]
    fn the_part_of_a_slurm_array() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(slurm("2", "4", "0", "3", "1"), Ok(Some((2, 4))));
        assert_eq!(slurm("1", "4", "1", "4", "1"), Ok(Some((0, 4))));
        // --array=1-7:2 has 1, 3, 5, 7; --array=0-8:3 has 0, 3, 6.
        assert_eq!(slurm("5", "4", "1", "7", "2"), Ok(Some((2, 4))));
        assert_eq!(slurm("6", "3", "0", "8", "3"), Ok(Some((2, 3))));
        let gaps = Err("is one of an array whose numbers have gaps");
        for task in ["0", "1", "5"] {
            assert_eq!(slurm(task, "3", "0", "5", "1"), gaps);
        }
        assert_eq!(slurm("x", "3", "0", "5", "1"), Err("is not a number"));
        let alone = of(&[("SLURM_ARRAY_TASK_ID", "3")]);
        assert_eq!(alone, Err("is set, and SLURM_ARRAY_TASK_COUNT is not"));
        // One task of eight was submitted again by itself.
        let again = [("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_COUNT", "1"), (COUNT, "8")];
        assert_eq!(of(&again), Ok(Some((3, 8))));
    }

    #[test]
    fn the_part_of_an_indexed_job() {
        assert_eq!(of(&[("JOB_COMPLETION_INDEX", "0"), (COUNT, "4")]), Ok(Some((0, 4))));
        assert_eq!(of(&[("JOB_COMPLETION_INDEX", "0")]), Err("is set, and ST_CONVERT_SHARD_COUNT is not"));
        let beyond = of(&[("JOB_COMPLETION_INDEX", "4"), (COUNT, "4")]);
        assert_eq!(beyond, Err("is not less than ST_CONVERT_SHARD_COUNT"));
        assert_eq!(of(&[(COUNT, "4")]), Ok(None));
    }
}
