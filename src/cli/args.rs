//! [`Args`] is the command line. Help, completions and manual pages are generated from this one definition.
//!
//! Invariant: the first positional argument is a subcommand if it has the name of one, wherever the options are (`help`
//! means `-h`); any other word is a path of the form without a subcommand, which means `convert`. The module reads
//! neither files nor the environment.

mod batch;
mod convert;
mod diff;
mod hook;
mod positional;
mod remote;
mod scan;
mod status;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::actions::MOST_JOBS;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

pub(super) use batch::Batch;
pub(super) use convert::Convert;
pub(super) use diff::{Diff, Textconv};
pub(super) use hook::{Asker, Hook, HookCommand, Hooks, Run as HookRun};
pub(super) use positional::{command_of, is_bare, meant, wants_json};
pub(super) use remote::{Clone, Publish, Pull};
pub(super) use scan::{Format, Scan};
pub(super) use status::Status;
pub(super) use verify::Verify;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const COMMON: &str = "Common options";

const ABOUT: &str =
    "Convert PyTorch checkpoints in git repositories to safetensors, without executing pickles";

const LONG_ABOUT: &str = "\
Convert PyTorch checkpoints in git repositories to safetensors, without executing pickles.

Without PATH, convert every tracked file that contains a checkpoint, detected by content; for an LFS pointer, the LFS \
object is read. The safetensors file is written to LFS storage and to the working tree, and its pointer is staged. If no \
.gitattributes entry puts the file under Git LFS, one is added. No pickle is executed.

In a repository, PATH is a file, a directory or a pathspec, as in git ('*.bin', ':!old', ':/'). Checkpoints that are \
untracked, outside the sparse checkout or in a submodule are converted only if they are named. Safetensors files and \
symbolic links are skipped.

pytorch_model*.bin becomes model*.safetensors; other files keep their stem. The shards of a checkpoint and their shard \
index are converted together or not at all. Training state (optimizer*, scheduler*, training_args*, …) is skipped unless \
named.

Outside a repository, or with --output, convert plain files and change no repository. Directories are searched and links \
to files are followed, as in a cache of the Hub: each output is written next to the name that was found, or below the \
directory of --output. Links to directories, .git, the blobs of a cache and other repositories are not searched. An \
existing output is compared with the conversion, and overwritten only with --force.";

const EXAMPLES: &str = "\
Examples:
  git st-convert                         convert every tracked checkpoint
  git st-convert -n                      show what would be written
  git st-convert clone OWNER/NAME        clone a model from the Hub and convert it
  git st-convert --replace --commit      convert, remove the checkpoints, commit
  git st-convert model.bin -o model.safetensors
  git st-convert '*.bin' ':!old'         pathspecs, as in git
  git st-convert models/ -o converted/   a directory of plain files
  git st-convert verify --pr 42          compare pull request 42 with the checkpoint
  git st-convert inspect HEAD:pytorch_model.bin
  git st-convert scan                    find pickles and list what they import
  git st-convert hook install            reject pickles in commits and pushes
  git st-convert demo                    try it on a sample model (offline)";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "git-st-convert",
    bin_name = "git st-convert",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    styles = STYLES,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true,
    propagate_version = true,
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    override_usage = "git st-convert [OPTIONS] [PATH]...\n       git st-convert <COMMAND> [OPTIONS]"
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    /// The arguments of the form without a subcommand.
    #[command(flatten)]
    pub(super) convert: Convert,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Convert checkpoints to safetensors (the default command)
    #[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
    Convert(Convert),
    /// Show which checkpoints are converted, stale or missing a safetensors file
    Status(Status),
    /// Clone a model without its weights and convert it
    Clone(Clone),
    /// List pull requests that add safetensors files, or take one
    Pull(Pull),
    /// Check that safetensors files match their checkpoints, bit for bit
    Verify(Verify),
    /// Open a pull request on the Hub with the safetensors files
    Publish(Publish),
    /// Clone and convert many models (resumable)
    Batch(Batch),
    /// List the tensors of a checkpoint or safetensors file
    Inspect(Inspect),
    /// Show which tensors changed between two revisions or files
    Diff(Diff),
    /// List the tensors of one version of a file, for git's own diff
    #[command(hide = true)]
    Textconv(Textconv),
    /// Find pickles and what they import, and other code in files
    Scan(Scan),
    /// Install or run git hooks that reject pickles
    Hook(Hook),
    /// Create a sample model repository and convert it (offline)
    Demo(Demo),
    /// Show versions, settings and setup (to paste into a bug report)
    #[command(long_about = "\
Show versions, settings and setup, and where each setting comes from, to paste into a bug report. No server is \
contacted, and of a secret only the source is shown.")]
    Env,
    /// Write the manual pages
    Man(Man),
    /// Print a shell completion script
    Completions(Completions),
}

/// The options of commands that contact servers.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct ServerArgs {
    /// Do not use the network
    #[arg(long, global = true, help_heading = COMMON)]
    pub(super) offline: bool,
    /// Files to process at once, 1 to 8 [default: one per processor]
    #[arg(short, long, value_name = "N", value_hint = ValueHint::Other, global = true, help_heading = COMMON, value_parser = jobs)]
    pub(super) jobs: Option<u8>,
}

/// Parses the number of files that are processed at once.
fn jobs(text: &str) -> Result<u8, String> {
    let most = u8::try_from(MOST_JOBS).unwrap_or(u8::MAX);
    text.parse().ok().filter(|jobs| (1..=most).contains(jobs)).ok_or_else(|| format!("expected 1 to {most}"))
}

/// The options that every command takes.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true, help_heading = COMMON, value_hint = ValueHint::DirPath)]
    pub(super) dir: Vec<PathBuf>,
    /// Print only errors
    #[arg(short, long, global = true, help_heading = COMMON)]
    pub(super) quiet: bool,
    /// Print more detail (-vv: also git commands and HTTP requests)
    #[arg(short, long, global = true, help_heading = COMMON, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,
    /// Print the result as JSON Lines
    #[arg(long, global = true, help_heading = COMMON)]
    pub(super) json: bool,
    /// The options about servers
    #[command(flatten)]
    pub(super) servers: ServerArgs,
    /// When to use color
    #[arg(long, value_name = "WHEN", global = true, help_heading = COMMON, default_value = "auto")]
    pub(super) color: ColorChoice,
    /// Hide the progress bar
    #[arg(long, global = true, help_heading = COMMON)]
    pub(super) no_progress: bool,
    /// Print help (`--help` opens the manual page)
    #[arg(short, long, global = true, help_heading = COMMON, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version
    #[arg(short = 'V', long, global = true, help_heading = COMMON, action = ArgAction::Version)]
    version: Option<bool>,
}

/// The arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  git st-convert inspect pytorch_model.bin
  git st-convert inspect HEAD~1:pytorch_model.bin --summary
  git st-convert inspect model.safetensors --json
  git st-convert inspect model.safetensors.index.json --html model.html")]
pub(super) struct Inspect {
    /// File, REV:PATH, OWNER/NAME:PATH on the Hub (or NAME@REV), or URL; reads only headers
    ///
    /// For an LFS pointer, its object is read. A local shard index (`.index.json`) stands for all its shards. Remote files
    /// are read by range requests.
    #[arg(value_name = "TARGET", value_hint = ValueHint::FilePath, value_parser = positional::word())]
    pub(super) target: OsString,
    /// Print only the totals
    #[arg(long)]
    pub(super) summary: bool,
    /// Write a self-contained HTML page: bytes by layer and a searchable table
    #[arg(long, value_name = "FILE", conflicts_with = "summary", value_hint = ValueHint::FilePath)]
    pub(super) html: Option<PathBuf>,
    /// Key of the state dict in the checkpoint; `.` for the whole object
    #[arg(long, value_name = "A.B", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub(super) key: Option<String>,
}

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// New or empty directory [default: a temporary directory]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) target: Option<PathBuf>,
}

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  git st-convert man | man -l -
  git st-convert man --install                    then `git st-convert --help` works
  git st-convert man ~/.cargo/share/man/man1")]
pub(super) struct Man {
    /// Directory for all pages; without it, print the main page
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) target: Option<PathBuf>,
    /// Install all pages where `git st-convert --help` finds them
    ///
    /// Next to the directory of the program, if it is on PATH (`bin` and `share/man/man1` have one parent), or below the
    /// home directory, in `.local/share/man/man1`: the first of both that `man` searches. Where it searches neither, by
    /// PATH, MANPATH and the configuration of man-db, a hint sets MANPATH.
    #[arg(long, conflicts_with = "target")]
    pub(super) install: bool,
}

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Completes `git-st-convert`, and `git st-convert` where git's own completions are loaded.

Examples:
  git st-convert completions bash > ~/.local/share/bash-completion/completions/git-st-convert
  git st-convert completions zsh > ~/.zfunc/_git-st-convert
  git st-convert completions fish > ~/.config/fish/completions/git-st-convert.fish
  git st-convert completions powershell >> $PROFILE")]
pub(super) struct Completions {
    /// Shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shell {
    /// bash, and git's completion for it
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    #[value(name = "powershell")]
    Power,
}

/// The command line of a hook. git runs it at every commit, so it is parsed without the options of the other commands,
/// which take a third of the time that the hook adds to a commit.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true
)]
struct HookLine {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: HookOnly,
}

/// The only subcommand of [`HookLine`].
#[derive(Debug, Subcommand)]
enum HookOnly {
    Hook(Hook),
}

impl From<HookLine> for Args {
    fn from(line: HookLine) -> Self {
        let HookOnly::Hook(hook) = line.command;
        Self { common: line.common, convert: Convert::default(), command: Some(Command::Hook(hook)) }
    }
}

impl Args {
    /// Parses a command line, which begins with the program's name.
    pub(super) fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let line: Vec<OsString> = line.into_iter().collect();
        // Its help and its errors are those of the complete definition.
        if line.get(1).is_some_and(|word| word == "hook")
            && let Ok(hook) = HookLine::try_parse_from(&line)
        {
            return Ok(hook.into());
        }
        Self::of_any_command(line)
    }

    fn of_any_command(line: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let line = positional::subcommand_first(line, &command);
        let matches = command.try_get_matches_from_mut(line)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// Returns the value of `--color`, for the messages about the command line itself.
pub(super) fn color_of(line: &[OsString]) -> Option<ColorChoice> {
    let options = line.iter().take_while(|arg| *arg != "--");
    let texts: Vec<&str> = options.filter_map(|arg| arg.to_str()).collect();
    let attached = texts.iter().find_map(|text| text.strip_prefix("--color="));
    let separate = || texts.iter().skip_while(|text| **text != "--color").nth(1).copied();
    attached.or_else(separate)?.parse().ok()
}

/// Returns `true` for the name of a subcommand, which is not taken for a file of that name.
pub(super) fn is_subcommand(word: &str) -> bool {
    word == "help" || Args::command().get_subcommands().any(|sub| sub.get_name() == word)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn words(line: &[&str]) -> Vec<OsString> {
        std::iter::once("git-st-convert").chain(line.iter().copied()).map(OsString::from).collect()
    }

    fn read(line: &[&str]) -> Result<Args, clap::Error> {
        Args::read(words(line))
    }

    #[test]
    fn a_hook_is_parsed_as_by_the_complete_definition() {
        let lines: [&[&str]; 19] = [
            &["hook", "run", "pre-commit"],
            &["hook", "run", "pre-push", "origin", "https://example.com/a"],
            &["hook", "run", "pre-push", "-x", "--json"],
            &["hook", "run", "--json", "-q", "pre-commit"],
            &["hook", "-C", "a", "run", "pre-commit-framework", "a.bin", "--", "-b"],
            &["hook", "run", "pre-commit", "-vv"],
            &["hook", "-vv", "--offline", "-j", "3", "--color", "never", "--no-progress", "status"],
            &["hook", "install", "--pre-push", "--global"],
            &["hook", "uninstall"],
            &["hook"],
            &["hook", "help"],
            &["hook", "run"],
            &["hook", "run", "other"],
            &["hook", "run", "-h"],
            &["hook", "--version"],
            &["hook", "-q", "-v", "status"],
            &["hook", "status", "x"],
            &["hook", "-j", "99", "status"],
            &["hook", "--", "status"],
        ];
        for line in lines {
            let said = |args: Result<Args, clap::Error>| match args {
                Ok(args) => format!("{args:?}"),
                Err(error) => error.render().to_string(),
            };
            assert_eq!(said(read(line)), said(Args::of_any_command(words(line))), "{line:?}");
        }
    }

    #[test]
    fn the_definition_holds() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_first_positional_may_be_a_subcommand_wherever_options_stand() {
        for line in [
            &["inspect", "a.bin"][..],
            &["-C", "inspect", "inspect", "a.bin"],
            &["--color", "never", "-vv", "inspect", "a.bin"],
            &["--summary", "inspect", "a.bin"],
            &["-vC", "somewhere", "inspect", "a.bin"],
        ] {
            let args = read(line).unwrap();
            assert!(
                matches!(&args.command, Some(Command::Inspect(inspect)) if inspect.target == "a.bin"),
                "{args:?}"
            );
        }
        let args = read(&["-n", "convert", "a.bin"]).unwrap();
        assert!(matches!(args.command, Some(Command::Convert(Convert { dry_run: true, .. }))));
    }

    #[test]
    fn any_other_word_is_a_path() {
        for (line, paths) in [
            (&["./inspect"][..], &["./inspect"][..]),
            (&["--", "inspect"], &["inspect"]),
            (&["a.bin", "inspect"], &["a.bin", "inspect"]),
            (&["a.bin", "-n", "demo"], &["a.bin", "demo"]),
            (&["--keep", "man", "a"], &["a"]),
            (&["./clone"], &["./clone"]),
            (&["-"], &["-"]),
        ] {
            let args = read(line).unwrap();
            assert!(args.command.is_none(), "{line:?}");
            assert_eq!(args.convert.paths, paths);
        }
    }

    #[test]
    fn help_is_a_command_and_a_typo_is_known() {
        for (line, words) in [
            (&["help"][..], "git st-convert <COMMAND>"),
            (&["-q", "help"], "git st-convert <COMMAND>"),
            (&["help", "scan"], "git st-convert scan"),
            (&["help", "nothing"], "git st-convert <COMMAND>"),
        ] {
            let help = read(line).unwrap_err().to_string();
            assert!(help.contains(words), "{line:?}: {help}");
        }
        for (word, name) in [
            ("scna", Some("scan")),
            ("convrt", Some("convert")),
            ("inspekt", Some("inspect")),
            ("verfy", Some("verify")),
            ("weights", None),
            ("nope", None),
            ("pul", Some("pull")),
            ("scna.bin", None),
        ] {
            assert_eq!(meant(OsStr::new(word)).as_deref(), name, "{word}");
        }
    }

    #[test]
    fn json_is_wanted_wherever_the_option_stands() {
        let wants = |line: &[&str]| {
            wants_json(&[&["x"], line].concat().iter().map(OsString::from).collect::<Vec<_>>())
        };
        for line in [
            &["--json", "--bogus"][..],
            &["undo", "--json"],
            &["-j", "0", "--json"],
            &["--key", "a", "--json"],
            &["scan", "--format", "json"],
            &["scan", "--format=json"],
            &["--json", "scan", "--format", "bogus"],
            &["scan", "--format", "sarif", "--json"],
            &["--json", "scan", "--format=sarif"],
        ] {
            assert!(wants(line), "{line:?}");
        }
        for line in
            [&["--bogus"][..], &["--", "--json"], &["--keep", "--json"], &["scan", "--format", "sarif"]]
        {
            assert!(!wants(line), "{line:?}");
        }
    }

    #[test]
    fn options_of_one_command_are_none_of_another() {
        assert!(read(&["-n", "inspect", "a.bin"]).is_err());
        assert!(read(&["a.bin", "-m", "message"]).is_err());
        assert!(read(&["a.bin", "-o", "b", "--replace"]).is_err());
        assert!(read(&["-q", "-v"]).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_unicode() {
        use std::os::unix::ffi::OsStringExt as _;
        let path = OsString::from_vec(b"\xff.bin".to_vec());
        let args = Args::read(["x".into(), path.clone()]).unwrap();
        assert_eq!(args.convert.paths, [path]);
    }
}
