//! Prints notes about files of the working tree, each with the command that helps.

use bstr::{BStr, BString};

use super::sanitize;
use super::shell_paths::{File, Here};
use super::sizes::counted;
use super::ui::Ui;
use super::wording::LISTED;
use crate::actions::Note;

/// How many files a command names.
const NAMED: usize = 4;

/// Prints the tensors that a shard index does not list.
pub(super) fn unlisted(ui: &Ui, path: &BString, names: &[String]) {
    let names: Vec<_> = names.iter().map(|name| sanitize::text(name).into_owned()).collect();
    let (path, count) = (sanitize::bytes(path.as_ref()), counted(names.len(), "tensor"));
    let listed = listed(ui, &names);
    ui.note(&format!("{path}: adding {count} missing from the checkpoint's shard index: {listed}"));
}

/// Prints that a checkpoint was converted as it is in the working tree.
pub(super) fn unstaged(ui: &Ui, here: &Here, path: &BString) {
    let (git, file) = (here.git(), here.pathspec(File::OfTop(path.as_ref())));
    let path = sanitize::bytes(path.as_ref());
    ui.note(&format!("{path}: converted with its unstaged changes; stage them: `{git} add {file}`"));
}

/// Prints that a link was skipped; `command`: its target is not converted by this run.
pub(super) fn link(ui: &Ui, here: &Here, path: &BString, target: &BString, command: bool) {
    let (path, shown) = (sanitize::bytes(path.as_ref()), sanitize::bytes(target.as_ref()));
    let how = if command {
        let (git, options, file) = (here.git(), here.options(), here.argument(File::OfTop(target.as_ref())));
        format!("; convert that: `{git} st-convert{options} {file}`")
    } else {
        String::new()
    };
    ui.note(&format!("{path}: skipped: symbolic link to {shown}{how}"));
}

/// Prints checkpoints that were not named, and so not converted.
pub(super) fn left_alone(ui: &Ui, here: &Here, note: &Note) {
    match note {
        Note::Untracked { paths } => files(ui, here, paths, ("untracked checkpoint", ""), false),
        Note::LeftOut { paths, is_in_git } => {
            files(ui, here, paths, ("checkpoint", " outside the sparse checkout"), *is_in_git);
        }
        Note::Submodule { path, checkpoints } => {
            let shown = sanitize::bytes(path.as_ref());
            let count = counted(*checkpoints, "checkpoint");
            ui.note(&format!("submodule {shown}: {count} not converted"));
            let (dir, options) = (here.path(File::OfTop(path.as_ref())), here.options());
            ui.hint(&format!("convert {}: `git -C {dir} st-convert{options}`", them(*checkpoints)));
        }
        _ => {}
    }
}

/// Prints checkpoints, and the command that converts them; `is_absent`: they must be checked out first.
fn files(ui: &Ui, here: &Here, paths: &[BString], (what, which): (&str, &str), is_absent: bool) {
    let names: Vec<_> = paths.iter().map(|path| sanitize::bytes(path.as_ref()).into_owned()).collect();
    ui.note(&format!("{}{which} not converted: {}", counted(paths.len(), what), listed(ui, &names)));
    let all = paths.len() <= NAMED;
    let chosen: Vec<_> =
        paths.iter().take(if all { NAMED } else { 1 }).map(|path| File::OfTop(BStr::new(path))).collect();
    let arguments = chosen.iter().map(|file| here.argument(*file)).collect::<Vec<_>>().join(" ");
    let (git, options) = (here.git(), here.options());
    let which = if all { them(paths.len()) } else { "one of them" };
    let first = if is_absent { here.check_out(&chosen) + " && " } else { String::new() };
    ui.hint(&format!("convert {which}: `{first}{git} st-convert{options} {arguments}`"));
}

fn them(count: usize) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

/// Lists the first of them, or all with `-v`.
fn listed(ui: &Ui, names: &[String]) -> String {
    let shown = if ui.verbose > 0 { names.len() } else { names.len().min(LISTED) };
    let more = names.len() - shown;
    let more = if more == 0 { String::new() } else { format!(" and {more} more (`-v` lists all)") };
    names.iter().take(shown).map(String::as_str).collect::<Vec<_>>().join(", ") + &more
}
