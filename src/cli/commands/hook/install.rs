//! `git st-convert hook install`, `uninstall`, `status`

use std::path::Path;

use crate::actions::Error;
use crate::actions::guard::install::{self, Hook, Options, Place, State, Tool};
use crate::cli::args::Hooks;
use crate::cli::error::Report;
use crate::cli::ui::{DIM, GOOD, Ui, styled};
use crate::cli::{json, sanitize};

pub(super) fn install(hooks: Hooks, cwd: &Path, ui: &Ui) -> Result<u8, Report> {
    let report = install::install(&options(hooks, cwd)).map_err(|error| {
        if let Error::HooksOf { tool } = &error {
            snippet(*tool, ui);
        }
        ui.failed(&error, json::end)
    })?;
    tell(&report, ui);
    if hooks.global && !ui.json {
        ui.hint("a repository that is there already gets it by `git st-convert hook install` in it");
    }
    Ok(0)
}

pub(super) fn uninstall(hooks: Hooks, cwd: &Path, ui: &Ui) -> Result<u8, Report> {
    let report = install::uninstall(&options(hooks, cwd)).map_err(|error| ui.failed(&error, json::end))?;
    tell(&report, ui);
    if !ui.json && !report.places.iter().any(|place| place.state == State::Removed) {
        ui.note("no hook of git-st-convert is here");
    }
    Ok(0)
}

pub(super) fn status(global: bool, cwd: &Path, ui: &Ui) -> Result<u8, Report> {
    let options = Options { cwd: cwd.to_owned(), hooks: Vec::new(), global };
    let report = install::status(&options).map_err(|error| ui.failed(&error, json::end))?;
    tell(&report, ui);
    if let Some(tool) = report.tool.filter(|_| !ui.json) {
        ui.note(&format!("{} is in charge of the hooks here", tool.name()));
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

/// The lines that another program wants.
fn snippet(tool: Tool, ui: &Ui) {
    let (place, lines) = tool.snippet();
    ui.note(&format!("{} writes the hooks here; add these lines to {place}:", tool.name()));
    ui.result(lines);
}

fn tell(report: &install::Report, ui: &Ui) {
    if report.is_shared {
        ui.warning("core.hooksPath leads out of this repository: other repositories have these hooks, too");
    }
    for place in &report.places {
        if ui.json {
            ui.data(&json::hook(place));
        } else if let Some(state) = word(place) {
            let previous = if place.has_previous { ", which calls the one that was there" } else { "" };
            let path = sanitize::path(&place.path);
            let name = styled(GOOD, place.hook.name());
            ui.result(&format!("{name} {state}{previous} {}", styled(DIM, &path)));
        }
    }
    if ui.json {
        ui.data(&json::end(None));
    }
}

fn word(place: &Place) -> Option<&'static str> {
    Some(match place.state {
        State::Installed => "installed",
        State::Unchanged | State::Present => "is installed",
        State::Removed => "removed",
        State::Other => "is another's",
        State::Absent => return None,
    })
}
