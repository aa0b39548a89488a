//! [`Args`]: what was typed. The one definition that help, completions and manual pages are made of.
//!
//! Invariant: the first positional is a subcommand if it is the name of one, wherever the options stand (`help` is `-h`);
//! any other word is a path of the bare form, which is `convert`. Nothing here looks at a file or at the environment.

mod batch;
mod diff;
mod hook;
mod positional;
mod remote;
mod scan;
mod status;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::actions::Size;
use crate::actions::pull::Choice;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

pub(super) use batch::Batch;
pub(super) use diff::{Diff, Textconv};
pub(super) use hook::{Asker, Hook, HookCommand, Hooks, Run as HookRun};
pub(super) use positional::{is_bare, meant};
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

const ABOUT: &str = "Convert the pickle weights of a model repository to safetensors";

const LONG_ABOUT: &str = "\
Convert the pickle weights of a model repository to safetensors, under Git LFS.

Without PATH, every file of the index that holds torch weights is converted, judged by its content: an LFS \
pointer by the object behind it. The safetensors file goes into the LFS store and the work tree, and its \
pointer is staged. A .gitattributes line is added where none gives the file to Git LFS. No pickle is ever executed.

In a repository, PATH is a file, a directory or a pathspec, as git takes it ('*.bin', ':!old', ':/'). Checkpoints that git \
does not track, that a sparse checkout leaves out, or that are in a submodule, are left alone unless they are named. \
Safetensors files and symbolic links among the paths are passed over.

pytorch_model*.bin becomes model*.safetensors, any other file keeps its stem. The shards of a set, and their \
index, are converted together or not at all. Training state (optimizer*, scheduler*, training_args*, …) is \
skipped unless it is named.

Outside of a repository, or with --output, plain files are converted and no repository is touched. A directory is \
walked, and links to files are followed, as in a cache of the Hub: each result is written beside the name that was \
walked to, or below the directory that --output names. Links to directories, .git, the blobs of a cache and other \
repositories are not entered. A result that exists is compared, and replaced only with --force.";

const EXAMPLES: &str = "\
Examples:
  git st-convert                         convert what the repository holds
  git st-convert -n                      say what would be written
  git st-convert clone OWNER/NAME        clone a model of the Hub, and convert it
  git st-convert --replace --commit      and remove the pickles, in one commit
  git st-convert model.bin -o model.safetensors
  git st-convert '*.bin' ':!old'         what git's pathspecs mean
  git st-convert models/ -o converted/   a directory of plain files
  git st-convert verify --pr 42          are a stranger's weights the same?
  git st-convert inspect HEAD:pytorch_model.bin
  git st-convert scan                    find pickles, and what they would call
  git st-convert hook install            let no pickle in again
  git st-convert demo                    see it at work, on a small model";

/// What was typed.
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
    /// The bare form.
    #[command(flatten)]
    pub(super) convert: Convert,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Convert checkpoints to safetensors; what the bare form does
    #[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
    Convert(Convert),
    /// Show what is a pickle here, what is converted and what is stale
    Status(Status),
    /// Clone a model without its weights, then convert it
    Clone(Clone),
    /// Take safetensors from a pull request, or list those that carry some
    Pull(Pull),
    /// Prove that safetensors files hold their checkpoints' tensors, bit for bit
    Verify(Verify),
    /// Open a pull request on the Hub with the safetensors files
    Publish(Publish),
    /// Clone and convert many models: resumable, in shards
    Batch(Batch),
    /// List the tensors of a checkpoint or a safetensors file, reading its headers alone
    Inspect(Inspect),
    /// Show which tensors changed between two revisions or files
    Diff(Diff),
    /// List the tensors of one version of a file, for git's own diff
    #[command(hide = true)]
    Textconv(Textconv),
    /// Find pickles, and say what they would call
    Scan(Scan),
    /// Keep pickles out: install hooks, or judge what is staged, pushed or received
    Hook(Hook),
    /// Make a small model repository and convert it before your eyes; needs no network
    Demo(Demo),
    /// Show the versions, settings and set-up that are in force
    #[command(long_about = "\
Show the versions, settings and set-up that are in force, and where each setting comes from, to read or to paste into a \
report. It asks no server, and of a secret it shows only where it was found.")]
    Env,
    /// Write the manual pages
    Man(Man),
    /// Print the completions of a shell
    Completions(Completions),
}

/// How servers are asked.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct ServerArgs {
    /// Ask no server
    #[arg(long, global = true, help_heading = COMMON)]
    pub(super) offline: bool,
    /// How many connections a download may use, at most 8
    #[arg(short, long, value_name = "N", global = true, help_heading = COMMON, value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) jobs: Option<u8>,
}

/// The options that every command takes.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true, help_heading = COMMON, value_hint = ValueHint::DirPath)]
    pub(super) dir: Vec<PathBuf>,
    /// Print errors only
    #[arg(short, long, global = true, help_heading = COMMON)]
    pub(super) quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true, help_heading = COMMON, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,
    /// Print the result as JSON Lines
    #[arg(long, global = true, help_heading = COMMON)]
    pub(super) json: bool,
    /// How servers are asked
    #[command(flatten)]
    pub(super) servers: ServerArgs,
    /// Use colours
    #[arg(long, value_name = "WHEN", global = true, help_heading = COMMON, default_value = "auto")]
    pub(super) color: ColorChoice,
    /// Show no progress
    #[arg(long, global = true, help_heading = COMMON)]
    pub(super) no_progress: bool,
    /// Print this help; `--help` opens the manual page
    #[arg(short, long, global = true, help_heading = COMMON, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version
    #[arg(short = 'V', long, global = true, help_heading = COMMON, action = ArgAction::Version)]
    version: Option<bool>,
}

/// `convert`, and the bare form.
#[derive(Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(super) struct Convert {
    /// Checkpoints, and directories of them; without any, all that the repository contains
    #[arg(value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(super) paths: Vec<OsString>,
    /// Say what would be written, and write nothing
    ///
    /// Headers alone are read: the tensors, the size, the ties and what is dropped are known, the oid is not.
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Write there and touch no repository
    ///
    /// A directory if there is one of that name, if it ends in a slash, or if several files are converted: each keeps its
    /// path below the PATH that was named. Two results of one name are an error, before anything is written.
    #[arg(
        short, long, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath,
        conflicts_with_all = ["replace", "pointer_only", "commit"]
    )]
    pub(super) output: Option<PathBuf>,
    /// Where safetensors may come from: a pull request, or the conversion; `auto` adopts a pull request that has the same
    ///
    /// By default, and with `auto`, the checkpoint is converted, which needs no trust in anybody. If a pull request of the
    /// remote carries the very same bytes, and the branch can move to it, it does. If a checkpoint is refused, the pull
    /// requests that carry safetensors are named. `never` asks no remote. N takes pull request N, as `pull N` does. The
    /// setting `st-convert.pr` is the default.
    #[arg(long, value_name = "N|auto|never", conflicts_with_all = ["output"])]
    pub(super) pr: Option<Choice>,
    /// Convert although the safetensors file exists
    ///
    /// Without it an existing safetensors file is kept, and the checkpoint counts as up to date.
    #[arg(short, long)]
    pub(super) force: bool,
    /// Which nested dict is the state dict; `.` is the whole object
    ///
    /// Without it, the dict under `state_dict` is taken if there is one, else the top level if it holds tensors
    /// itself, else the only dict of tensors outside training state. Where several are left the file is refused,
    /// and each key is listed. The whole object is flattened by dotted path.
    #[arg(long, value_name = "A.B", allow_hyphen_values = true)]
    pub(super) key: Option<String>,
    /// Which name of a tied set to keep; may be given again
    ///
    /// Names that share one storage are written once, under the name that the model's class expects. The others
    /// are recorded in the metadata of the safetensors file.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(super) keep: Vec<String>,
    /// Refuse where something beside the weights would be dropped
    ///
    /// A number, a text or an optimizer's state has no place in a safetensors file. Without this option it is left
    /// behind, and listed.
    #[arg(long)]
    pub(super) strict: bool,
    /// Also remove the checkpoints, and their shard index, from the index and the work tree
    #[arg(long)]
    pub(super) replace: bool,
    /// Leave a pointer in the work tree, the content only in the LFS store
    #[arg(long)]
    pub(super) pointer_only: bool,
    /// Store a checkpoint that is downloaded, too
    ///
    /// Without it a checkpoint that is only on the LFS server is converted while it passes by, and never stored.
    #[arg(long)]
    pub(super) keep_source: bool,
    /// How many bytes the tensors of a checkpoint may have together: `20GB`, `64MiB`, `1048576`
    ///
    /// By default four times the bytes of the checkpoint, and 64 MiB: a few bytes can describe a petabyte of zeros. The
    /// setting `st-convert.maxOutput` is the default.
    #[arg(long, value_name = "SIZE")]
    pub(super) max_output: Option<Size>,
    /// Commit the result
    #[arg(long)]
    pub(super) commit: bool,
    /// The message of the commit
    ///
    /// The trailers `Converted-From: <path> sha256:<oid>` are added in any case.
    #[arg(short, long, value_name = "MSG", requires = "commit", allow_hyphen_values = true)]
    pub(super) message: Option<String>,
}

/// `inspect`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  git st-convert inspect pytorch_model.bin
  git st-convert inspect HEAD~1:pytorch_model.bin --summary
  git st-convert inspect model.safetensors --json
  git st-convert inspect model.safetensors.index.json --html model.html")]
pub(super) struct Inspect {
    /// A file, REV:PATH, MODEL:PATH or MODEL@REV:PATH of the Hub, or a URL; a pointer stands for its object
    ///
    /// A shard index (`.index.json`) on this machine stands for all shards that it names.
    /// Of what is not on this machine the headers alone are asked for, by ranges.
    #[arg(value_name = "TARGET", value_hint = ValueHint::FilePath)]
    pub(super) target: OsString,
    /// Print the totals alone
    #[arg(long)]
    pub(super) summary: bool,
    /// Write a page with a map of bytes by layer and a table to search, which opens offline
    #[arg(long, value_name = "FILE", conflicts_with = "summary", value_hint = ValueHint::FilePath)]
    pub(super) html: Option<PathBuf>,
    /// Which nested dict is the state dict; `.` is the whole object
    #[arg(long, value_name = "A.B", allow_hyphen_values = true)]
    pub(super) key: Option<String>,
}

/// `demo`
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Where to make the repository: an empty or new directory; by default a temporary one
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) target: Option<PathBuf>,
}

/// `man`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  git st-convert man | man -l -
  git st-convert man ~/.cargo/share/man/man1      then `git st-convert --help` finds it")]
pub(super) struct Man {
    /// Where to write all pages; without it the main page is printed
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) target: Option<PathBuf>,
}

/// `completions`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
They complete `git-st-convert`, and `git st-convert` too where git's own completions are loaded.

Examples:
  git st-convert completions bash > ~/.local/share/bash-completion/completions/git-st-convert
  git st-convert completions zsh > ~/.zfunc/_git-st-convert
  git st-convert completions fish > ~/.config/fish/completions/git-st-convert.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

/// A shell that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shell {
    /// bash, and git's completion for it.
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl Args {
    /// Reads a command line, the program's name first.
    pub(super) fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let line = positional::subcommand_first(line.into_iter().collect(), &command);
        let matches = command.try_get_matches_from_mut(line)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// The colours that `--color` asks for, for the messages about the command line itself.
pub(super) fn color_of(line: &[OsString]) -> Option<ColorChoice> {
    let options = line.iter().take_while(|arg| *arg != "--");
    let texts: Vec<&str> = options.filter_map(|arg| arg.to_str()).collect();
    let attached = texts.iter().find_map(|text| text.strip_prefix("--color="));
    let separate = || texts.iter().skip_while(|text| **text != "--color").nth(1).copied();
    attached.or_else(separate)?.parse().ok()
}

/// Returns `true` if it is the name of a subcommand, which a file of that name is not taken for.
pub(super) fn is_subcommand(word: &str) -> bool {
    word == "help" || Args::command().get_subcommands().any(|sub| sub.get_name() == word)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn read(line: &[&str]) -> Result<Args, clap::Error> {
        Args::read(std::iter::once("git-st-convert").chain(line.iter().copied()).map(OsString::from))
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
