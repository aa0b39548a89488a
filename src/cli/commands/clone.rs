//! Runs `git st-convert clone <MODEL> [DIR]`.

use std::iter;
use std::path::Path;

use bstr::ByteSlice as _;

use crate::actions::Reporter as _;
use crate::actions::clone::{Cloned, Options, clone};
use crate::cli::args::{Clone, Convert};
use crate::cli::commands::{Call, convert};
use crate::cli::environment;
use crate::cli::error::{Report, name};
use crate::cli::json::{self, End};
use crate::cli::reporter::TerminalReporter;
use crate::cli::sanitize;
use crate::cli::shell_paths::{File, Given, Here};
use crate::cli::ui::{STRONG, Ui, styled};
use crate::git::redacted;
use crate::repo::Repo;

/// Clones, then converts, and returns the exit code of the conversion.
pub(crate) fn run(args: &Clone, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, servers, ui, interrupt } = call;
    let model = name(Path::new(&redacted(&args.model)));
    let here = Here::new(cwd).of("clone").with(given(args, servers.offline));
    let reporter = TerminalReporter::new(ui, interrupt, false).at(here, true);
    let failed = |error| {
        let report = Report::of_file(&error, File::Given(model.as_ref()), reporter.here());
        if ui.json {
            let end = End { commit: None, failure: Some(&report), exit_code: report.exit_code() };
            let is_all = args.no_convert;
            ui.conclude(&if is_all {
                json::end(Some(&report))
            } else {
                json::summary(&reporter.tally(), &end)
            });
        }
        report
    };
    let options = Options {
        cwd: cwd.to_owned(),
        model: args.model.clone(),
        dir: args.target.clone(),
        revision: args.revision.clone(),
        depth: args.depth,
        servers: environment::servers(servers).map_err(failed)?,
    };
    let cloned = clone(&options, &reporter);
    reporter.finished();
    let cloned = cloned.map_err(failed)?;
    tell(ui, &cloned);
    ui.close(|closing| closing.count(1, "cloned"));
    if args.no_convert {
        if ui.json {
            ui.conclude(&json::end(None));
        }
        return Ok(0);
    }
    Repo::at(&cloned.dir).map_err(|error| failed(error.into()))?;
    let args = Convert { pr: args.pr, max_output: args.max_output, ..Convert::default() };
    convert::run(&args, Call { cwd: &cloned.dir, ..call })
}

/// Returns the given options and paths, which a hint repeats.
fn given(args: &Clone, offline: bool) -> Given {
    let target = args.target.iter().map(|target| target.clone().into_os_string());
    let mut given = Given::of(&iter::once(redacted(&args.model)).chain(target).collect::<Vec<_>>());
    given.flag("--offline", offline);
    args.revision.iter().for_each(|revision| given.value("--revision", revision.as_bytes().as_bstr()));
    args.depth.iter().for_each(|depth| given.value("--depth", depth.to_string().as_bytes().as_bstr()));
    if let Some(choice) = args.pr {
        given.value("--pr", choice.to_string().as_bytes().as_bstr());
    }
    if let Some(size) = args.max_output {
        given.value("--max-output", size.0.to_string().as_bytes().as_bstr());
    }
    given.flag("--no-convert", args.no_convert);
    given
}

fn tell(ui: &Ui, cloned: &Cloned) {
    if ui.json {
        ui.data(&json::cloned(cloned));
    }
    let commit = sanitize::text(cloned.commit.get(..12).unwrap_or(&cloned.commit)).into_owned();
    let at = match &cloned.branch {
        Some(branch) => format!("branch {}, commit {commit}", sanitize::text(branch)),
        None => format!("commit {commit}"),
    };
    ui.note(&format!("cloned into {} ({at})", styled(STRONG, &sanitize::path(&cloned.dir))));
}
