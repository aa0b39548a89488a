//! Runs `git st-convert demo [DIR]`.

use std::fmt::Write as _;
use std::path::Path;

use crate::actions::Reporter as _;
use crate::actions::demo::{Demo as Done, Step, demo};
use crate::cli::args::Demo;
use crate::cli::commands::convert::{ended, worst};
use crate::cli::error::Report;
use crate::cli::interrupt::Interrupt;
use crate::cli::reporter::TerminalReporter;
use crate::cli::sizes::bytes;
use crate::cli::ui::{DIM, STRONG, Ui, styled};
use crate::cli::{sanitize, shell_paths};

/// Creates the repository, converts it, and lists commands to try next.
pub(crate) fn run(args: &Demo, cwd: &Path, ui: &Ui, interrupt: &Interrupt) -> Result<u8, Report> {
    let dir = args.target.as_ref().map(|dir| cwd.join(dir));
    let reporter = TerminalReporter::new(ui, interrupt, false);
    let done = demo(dir.as_deref(), &|step| tell(ui, step), &reporter);
    reporter.finished();
    let done = ended(done, |done| &done.summary, &reporter, ui)?;
    next(ui, &done);
    Ok(worst(&done.summary))
}

fn tell(ui: &Ui, step: &Step) {
    match step {
        Step::Making { dir } => {
            let dir = sanitize::path(dir);
            ui.note(&format!("creating a sample model repository in {}", styled(STRONG, &dir)));
        }
        Step::File { path, size, is_lfs } => {
            let kind = if *is_lfs { ", Git LFS" } else { "" };
            let facts = format!("{}{kind}", bytes(*size));
            ui.note(&format!("  {:<42}{}", sanitize::bytes(path.as_ref()), styled(DIM, &facts)));
        }
        Step::PullRequest { name, path } => {
            let facts = format!("pull request that adds {}", sanitize::bytes(path.as_ref()));
            ui.note(&format!("  {name:<42}{}", styled(DIM, &facts)));
        }
        Step::Converting => ui.note(&format!("\nrunning {}\n\n", styled(STRONG, "git st-convert"))),
    }
}

fn next(ui: &Ui, done: &Done) {
    let dir = shell_paths::quoted_path(&done.dir);
    let show = format!("git show --stat {}", done.pull_request);
    let mut lines = "\ntry next:".to_owned();
    for (command, what) in [
        (format!("cd {dir}").as_str(), ""),
        ("git status", "new files staged, nothing modified"),
        ("git show :model.safetensors", "the staged LFS pointer"),
        ("git st-convert inspect pytorch_model.bin", "tensors in the checkpoint"),
        ("git st-convert inspect model.safetensors", "tensors in the safetensors file"),
        (show.as_str(), "the pull request"),
        ("git commit -m \"convert weights to safetensors\"", ""),
        ("git st-convert man --install", "manual pages, for `git st-convert --help`"),
    ] {
        let gap = if what.is_empty() { String::new() } else { styled(DIM, &format!("  # {what}")) };
        let pad = if what.is_empty() { 0 } else { 42 };
        let _infallible = write!(lines, "\n  {command:<pad$}{gap}");
    }
    ui.note(&lines);
}
