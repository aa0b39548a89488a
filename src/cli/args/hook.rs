//! `hook`: what keeps pickles out.

use std::ffi::OsString;

use clap::{Subcommand, ValueEnum};

/// `hook`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  git st-convert hook install                 refuse pickles in commits and pushes of this repository
  git st-convert hook install --pre-receive   the same on a server, in the bare repository
  git st-convert hook status
  git st-convert hook run pre-commit          judge what is staged, now
  git st-convert hook uninstall")]
pub(crate) struct Hook {
    #[command(subcommand)]
    pub(crate) command: HookCommand,
}

/// What is done with hooks.
#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// Write the hooks, beside what is there
    ///
    /// Without an option: pre-commit, pre-merge-commit and pre-push, or pre-receive in a bare repository. A script that is
    /// there keeps its lines and gets ours between markers; any other program is kept under another name and called
    /// behind ours. Where husky, lefthook or pre-commit is in charge, the lines for it are printed instead.
    Install(Hooks),
    /// Take them away again; what was there is as it was
    Uninstall(Hooks),
    /// Say which hooks are there, and where
    Status(StatusArgs),
    /// Judge what a hook is asked about, as git or the pre-commit framework calls it
    ///
    /// Exit status 0 without a word, 1 if a file is refused, 2 if one could not be checked.
    Run(Run),
}

/// Which hooks.
#[derive(Debug, Clone, Copy, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(crate) struct Hooks {
    /// What is committed, a merge included
    #[arg(long)]
    pub(crate) pre_commit: bool,
    /// What is pushed
    #[arg(long)]
    pub(crate) pre_push: bool,
    /// What a server receives
    #[arg(long)]
    pub(crate) pre_receive: bool,
    /// For repositories to come: by the configuration of a git that runs hooks of it, else by `init.templateDir`
    #[arg(long)]
    pub(crate) global: bool,
}

/// `hook status`
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct StatusArgs {
    /// For repositories to come
    #[arg(long)]
    pub(crate) global: bool,
}

/// `hook run`
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Who asks
    #[arg(value_name = "HOOK")]
    pub(crate) hook: Asker,
    /// What git, or the framework, gives the hook
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<OsString>,
}

/// A hook of git, or the framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "they are git's")]
pub(crate) enum Asker {
    /// The index is judged
    PreCommit,
    /// The index is judged, with what a merge brought
    PreMergeCommit,
    /// The objects that a push brings, by the lines of standard input
    PrePush,
    /// The objects that a server receives, by the lines of standard input
    PreReceive,
    /// The files that the pre-commit framework names, or its range of a push
    PreCommitFramework,
}
