//! The arguments of `hook`.

use std::ffi::OsString;

use clap::{Subcommand, ValueEnum};

/// The arguments of `hook`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  git st-convert hook install                 reject pickles in commits and pushes
  git st-convert hook install --pre-receive   reject pickles on a server (bare repository)
  git st-convert hook status
  git st-convert hook run pre-commit          check the staged files now
  git st-convert hook uninstall")]
pub(crate) struct Hook {
    #[command(subcommand)]
    pub(crate) command: HookCommand,
}

/// The subcommands of `hook`.
#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// Install the hooks, keeping existing ones
    ///
    /// Default: pre-commit, pre-merge-commit and pre-push, or pre-receive in a bare repository. An existing shell script
    /// keeps its lines; ours go between markers. Any other hook is renamed and run after ours. With husky, lefthook or
    /// pre-commit nothing is installed and the lines to add are printed.
    Install(Hooks),
    /// Remove the hooks and restore the previous ones
    Uninstall(Hooks),
    /// Show which hooks are installed
    Status(StatusArgs),
    /// Run the check of one hook (called by git or the pre-commit framework)
    ///
    /// Exit status: 0 (silent), 1 a file is rejected, 2 a file could not be checked.
    Run(Run),
}

/// The hooks that a command installs or removes.
#[derive(Debug, Clone, Copy, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(crate) struct Hooks {
    /// Check commits and merges
    #[arg(long)]
    pub(crate) pre_commit: bool,
    /// Check pushes
    #[arg(long)]
    pub(crate) pre_push: bool,
    /// Check received pushes (server)
    #[arg(long)]
    pub(crate) pre_receive: bool,
    /// For future repositories: global config (git 2.54+) or `init.templateDir`
    #[arg(long)]
    pub(crate) global: bool,
}

/// The arguments of `hook status`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct StatusArgs {
    /// Show the hooks for future repositories
    #[arg(long)]
    pub(crate) global: bool,
}

/// The arguments of `hook run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Hook to run
    #[arg(value_name = "HOOK")]
    pub(crate) hook: Asker,
    /// Arguments that git or the framework passes to the hook
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<OsString>,
}

/// A hook of git, or the pre-commit framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "they are git's")]
pub(crate) enum Asker {
    /// Check the staged files
    PreCommit,
    /// Check the result of a merge
    PreMergeCommit,
    /// Check the pushed objects (reads standard input)
    PrePush,
    /// Check the received objects (reads standard input)
    PreReceive,
    /// Check the files named by the pre-commit framework
    PreCommitFramework,
}
