//! Runs `git st-convert hook install`, `uninstall` and `status`.

use std::path::Path;

use crate::actions::guard::install::{self, Hook, HookState, InstalledHook, Options, Tool};
use crate::actions::{Error, UnfitHooks};
use crate::cli::args::Hooks;
use crate::cli::error::Report;
use crate::cli::shell_paths::Here;
use crate::cli::ui::{DIM, GOOD, Ui, styled};
use crate::cli::{json, sanitize};

pub(super) fn install(hooks: Hooks, cwd: &Path, ui: &Ui) -> Result<u8, Report> {
    let report = install::install(&options(hooks, cwd)).map_err(|error| {
        if let Error::Hooks(UnfitHooks::Managed { tool }) = &error {
            snippet(*tool, ui);
        }
        ui.failed(&error, &Here::new(cwd).of("hook install"), json::end)
    })?;
    tell(&report, false, ui);
    if hooks.global && !ui.json {
        ui.hint("install in an existing repository: `git -C DIR st-convert hook install`");
    }
    Ok(0)
}

pub(super) fn uninstall(hooks: Hooks, cwd: &Path, ui: &Ui) -> Result<u8, Report> {
    let here = Here::new(cwd).of("hook uninstall");
    let report =
        install::uninstall(&options(hooks, cwd)).map_err(|error| ui.failed(&error, &here, json::end))?;
    tell(&report, false, ui);
    if !ui.json && !report.places.iter().any(|place| place.state == HookState::Removed) {
        ui.note("no git-st-convert hooks to remove");
    }
    Ok(0)
}

pub(super) fn status(global: bool, cwd: &Path, ui: &Ui) -> Result<u8, Report> {
    let options = Options { cwd: cwd.to_owned(), hooks: Vec::new(), global };
    let here = Here::new(cwd).of("hook status");
    let report = install::status(&options).map_err(|error| ui.failed(&error, &here, json::end))?;
    tell(&report, true, ui);
    if ui.json {
        return Ok(0);
    }
    let guarded = |hook, what: &str| {
        let not = if report.is_guarded(hook) { "" } else { "not " };
        format!("{what}: {not}guarded")
    };
    let usual = [(Hook::PreCommit, "commits"), (Hook::PreMergeCommit, "merges"), (Hook::PrePush, "pushes")];
    let all = if report.is_bare { &[(Hook::PreReceive, "received pushes")][..] } else { &usual };
    let lines: Vec<_> = all.iter().map(|&(hook, what)| guarded(hook, what)).collect();
    ui.result(&lines.join(", "));
    if let Some(tool) = report.tool {
        ui.note(&format!("{} manages the hooks of this repository", tool.name()));
    }
    if !report.is_off && !all.iter().all(|&(hook, _)| report.is_guarded(hook)) {
        let global = if global { " --global" } else { "" };
        let install = format!("`{} st-convert hook install{global}`", Here::new(cwd).git());
        ui.hint(&match report.tool {
            Some(_) => format!("show the lines to add: {install}"),
            None => format!("install the missing hooks: {install}"),
        });
    }
    Ok(0)
}

fn options(hooks: Hooks, cwd: &Path) -> Options {
    let mut named = Vec::new();
    if hooks.pre_commit {
        named.extend([Hook::PreCommit, Hook::PreMergeCommit]);
    }
    if hooks.pre_push {
        named.push(Hook::PrePush);
    }
    if hooks.pre_receive {
        named.push(Hook::PreReceive);
    }
    Options { cwd: cwd.to_owned(), hooks: named, global: hooks.global }
}

/// Prints the lines for the configuration of a hook manager.
fn snippet(tool: Tool, ui: &Ui) {
    let (place, lines) = tool.snippet();
    ui.note(&format!("{} manages these hooks; add to {place}:", tool.name()));
    ui.result(lines);
}

/// Prints each hook; `lists_absent`: also those that are not installed.
fn tell(report: &install::InstallReport, lists_absent: bool, ui: &Ui) {
    if report.is_off {
        ui.warning("core.hooksPath is not a directory: git runs no hooks in this repository");
    }
    if report.is_shared {
        ui.warning("core.hooksPath is outside this repository; other repositories share these hooks");
    }
    for place in &report.places {
        if ui.json {
            ui.data(&json::hook(place));
        } else if let Some(state) = word(place, lists_absent) {
            let previous = if place.has_previous { " (runs the previous hook after it)" } else { "" };
            let path = sanitize::path(&place.path);
            let name = styled(GOOD, place.hook.name());
            ui.result(&format!("{name} {state}{previous} {}", styled(DIM, &path)));
        }
    }
    if ui.json {
        ui.conclude(&if lists_absent { json::hooks(report) } else { json::end(None) });
    }
}

fn word(place: &InstalledHook, lists_absent: bool) -> Option<&'static str> {
    Some(match place.state {
        HookState::Installed | HookState::Unchanged | HookState::Present => "installed",
        HookState::Removed => "removed",
        HookState::NotRun => "present, not executable (git does not run it)",
        HookState::Other => "present, without git-st-convert",
        HookState::Absent if lists_absent => "not installed",
        HookState::Absent => return None,
    })
}
