//! Runs `git st-convert publish`.

use std::fmt::Write as _;

use bstr::ByteSlice as _;

use crate::actions::Reporter as _;
use crate::actions::publish::{Options, Plan, PublishOutcome, PublishReport, PublishedFile, Target, publish};
use crate::cli::args::Publish;
use crate::cli::commands::Call;
use crate::cli::environment;
use crate::cli::error::Report;
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{Given, Here, quoted};
use crate::cli::sizes::{bytes, counted};
use crate::cli::ui::{DIM, GOOD, STRONG, Ui, styled};
use crate::cli::{json, sanitize};

/// Publishes, or prints what would be published.
pub(crate) fn run(args: &Publish, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, servers, ui, interrupt } = call;
    let here = Here::new(cwd).of("publish").with(given(args, servers.offline));
    let reporter = TerminalReporter::new(ui, interrupt, args.dry_run).at(here, false);
    let failed = |error| ui.failed(&error, reporter.here(), json::end);
    let options = Options {
        cwd: cwd.to_owned(),
        servers: environment::servers(servers).map_err(failed)?,
        message: args.message.clone(),
        branch: args.branch.clone(),
        force: args.force,
        dry_run: args.dry_run,
    };
    let published = publish(&options, &reporter);
    reporter.finished();
    let published = published.map_err(failed)?;
    if ui.json {
        ui.data(&json::published(&published));
        ui.conclude(&json::end(None));
    }
    tell(ui, &published, reporter.here());
    Ok(0)
}

/// Returns the given options and paths, which a hint repeats.
fn given(args: &Publish, offline: bool) -> Given {
    let mut given = Given::default();
    given.flag("--offline", offline);
    given.flag("--dry-run", args.dry_run);
    args.message.iter().for_each(|message| given.value("--message", message.as_bytes().as_bstr()));
    args.branch.iter().for_each(|branch| given.value("--branch", branch.as_bytes().as_bstr()));
    given.flag("--force", args.force);
    given
}

fn tell(ui: &Ui, published: &PublishReport, here: &Here) {
    let (git, options) = (here.git(), here.options_but(&["--force"]));
    let PublishReport { how, plan, .. } = published;
    let reference = published.reference.as_deref().map(sanitize::text).unwrap_or_default();
    let url = published.url.as_deref().map(sanitize::text).unwrap_or_default();
    let number = published.number.unwrap_or_default();
    let (what, is_sent) = match how {
        PublishOutcome::Nothing | PublishOutcome::Exists => ("published before", false),
        PublishOutcome::Planned => ("to publish", false),
        PublishOutcome::Opened | PublishOutcome::Pushed => ("published", true),
    };
    ui.close(|closing| {
        closing.count(plan.files.len(), what);
        closing.bytes(if is_sent { plan.files.iter().map(|file| file.size).sum() } else { 0 });
    });
    match how {
        PublishOutcome::Nothing => {
            ui.note(&format!(
                "nothing to publish: {} of {} already contains every staged or committed safetensors file",
                sanitize::text(&plan.base_branch),
                sanitize::text(&plan.remote)
            ));
            ui.hint(&format!("convert what is not converted yet: `{git} st-convert`"));
        }
        PublishOutcome::Planned => ui.result(&planned(plan)),
        PublishOutcome::Opened => {
            ui.result(&format!("{}{}", files(&plan.files), styled(STRONG, &url)));
            ui.note(&sent(published));
            ui.note(&format!("opened pull request {number} ({reference})"));
        }
        PublishOutcome::Exists if published.number.is_none() => {
            ui.note(&format!("{reference} on the remote already contains these files"));
        }
        PublishOutcome::Exists => {
            let by = published.author.as_deref().map(|author| format!(" by {}", sanitize::text(author)));
            ui.result(&styled(STRONG, &url));
            ui.note(&format!(
                "pull request {number}{} already contains identical files ({reference}); not opening another",
                by.unwrap_or_default()
            ));
            ui.hint(&format!("open another one: `{git} st-convert publish{options} --force`"));
        }
        PublishOutcome::Pushed => {
            ui.result(&format!("{}{reference}", files(&plan.files)));
            ui.note(&sent(published));
            let said = published.said.lines().filter_map(|line| line.strip_prefix("remote:"));
            let said: Vec<_> = said.map(|line| sanitize::text(line.trim()).into_owned()).collect();
            let said = said
                .iter()
                .filter(|line| !line.is_empty())
                .fold(String::new(), |all, line| all + "\n  " + line);
            ui.note(&format!("pushed {reference} to {}{said}", sanitize::text(&plan.remote)));
            ui.hint(&format!(
                "merge it: `{git} fetch {} {} && {git} merge FETCH_HEAD`",
                quoted(plan.remote.as_str().into()),
                quoted(published.reference.as_deref().unwrap_or_default().into())
            ));
        }
    }
}

/// Formats how many of the published bytes were uploaded.
fn sent(published: &PublishReport) -> String {
    let objects = published.plan.files.iter().filter(|file| file.pointer.is_some());
    let all = objects.fold(0_u64, |sum, file| sum.saturating_add(file.size));
    let sent = &published.sent;
    let by = sent.agent.as_deref().map(|name| format!(" by transfer agent {}", sanitize::text(name)));
    let rest = if sent.bytes < all { ": the server has the rest" } else { "" };
    format!("uploaded {} of {}{}{rest}", bytes(sent.bytes), bytes(all), by.unwrap_or_default())
}

/// Formats each file, with its checkpoint.
fn files(files: &[PublishedFile]) -> String {
    files.iter().fold(String::new(), |mut lines, file| {
        let path = sanitize::bytes(file.path.as_ref());
        let sources: Vec<_> =
            file.sources.iter().map(|source| sanitize::bytes(source.path.as_ref()).into_owned()).collect();
        let oid = file.pointer.map(|pointer| pointer.oid.to_string());
        let oid =
            oid.map_or_else(String::new, |oid| format!(", sha256 {}…", oid.get(..12).unwrap_or_default()));
        let from = styled(DIM, &format!("← {}", sources.join(", ")));
        let _infallible = writeln!(lines, "{} {from}\n  {}{oid}", styled(GOOD, &path), bytes(file.size));
        lines
    })
}

/// Formats everything that a dry run plans.
fn planned(plan: &Plan) -> String {
    let mut text = files(&plan.files);
    let reference = match &plan.target {
        Target::PullRequest { model } => {
            let _infallible = writeln!(text, "\n{} {}", styled(STRONG, "title"), sanitize::text(&plan.title));
            for line in sanitize::lines(plan.description.trim_end()) {
                let _infallible = writeln!(text, "{}", format!("  {line}").trim_end());
            }
            let _infallible = writeln!(
                text,
                "\nwould check for an open pull request with identical files\n\
                 would open a draft pull request on {}",
                sanitize::text(model.as_str())
            );
            "refs/pr/N".to_owned()
        }
        Target::Branch { name } => format!("refs/heads/{name}"),
    };
    let objects = plan.files.iter().filter(|file| file.pointer.is_some());
    let size = objects.clone().fold(0_u64, |sum, file| sum.saturating_add(file.size));
    let attributes =
        plan.attributes.iter().map(|path| format!(", {} (LFS entry)", sanitize::bytes(path.as_ref())));
    let _infallible = write!(
        text,
        "{}would upload up to {}, {}\nwould push a commit with {}{} on top of {} ({}) to {}",
        if matches!(plan.target, Target::Branch { .. }) { "\n" } else { "" },
        counted(objects.count(), "object"),
        bytes(size),
        counted(plan.files.len(), "file"),
        attributes.collect::<String>(),
        sanitize::text(&plan.base_branch),
        plan.base.get(..12).unwrap_or_default(),
        sanitize::text(&reference),
    );
    if matches!(plan.target, Target::PullRequest { .. }) {
        text += "\nwould mark it as open";
    }
    text
}
