//! Runs `git st-convert pull [N]`.

use std::fmt::Write as _;

use bstr::BString;

use crate::actions::Reporter as _;
use crate::actions::pull::{
    Freshness, Listing, Options, PullOutcome, PullRequest, Pulled, TakeOptions, list, pull,
};
use crate::cli::args::Pull;
use crate::cli::commands::Call;
use crate::cli::environment;
use crate::cli::error::Report;
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::{Given, Here};
use crate::cli::sizes::bytes;
use crate::cli::ui::{DIM, GOOD, STRONG, Ui, styled};
use crate::cli::{json, sanitize};

/// Takes a pull request, or lists those with safetensors files.
pub(crate) fn run(args: &Pull, call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, servers, ui, interrupt } = call;
    let is_list = args.number.is_none();
    let last =
        |failure: Option<&Report>| if is_list { json::listing(None, failure) } else { json::end(failure) };
    let here = Here::new(cwd).of("pull").with(given(args, servers.offline));
    let reporter = TerminalReporter::new(ui, interrupt, false).at(here, false);
    let failed = |error| ui.failed(&error, reporter.here(), last);
    let options = Options {
        cwd: cwd.to_owned(),
        servers: environment::servers(servers).map_err(failed)?,
        remote: args.remote.clone(),
    };
    if let Some(number) = args.number {
        let wish = TakeOptions { merge: args.merge, yes: args.yes, verify: args.verify };
        let pulled = pull(&options, number, wish, &reporter);
        reporter.finished();
        reporter.close(false);
        tell(ui, &pulled.map_err(failed)?, reporter.here());
    } else {
        let listing = list(&options, args.all, &reporter);
        reporter.finished();
        show(ui, &listing.map_err(failed)?, reporter.here());
    }
    Ok(0)
}

/// Returns the given options and paths, which a hint repeats.
fn given(args: &Pull, offline: bool) -> Given {
    let number: Vec<_> = args.number.iter().map(|number| number.to_string().into()).collect();
    let mut given = Given::of(&number);
    given.flag("--offline", offline);
    given.flag("--all", args.all);
    given.flag("--merge", args.merge);
    given.flag("--verify", args.verify);
    given.flag("--yes", args.yes);
    if let Some(remote) = &args.remote {
        given.value("--remote", remote.as_str().into());
    }
    given
}

/// Prints the result for a pull request.
pub(super) fn tell(ui: &Ui, pulled: &Pulled, here: &Here) {
    let Pulled { request, how } = pulled;
    if ui.json {
        ui.data(&json::pulled(pulled));
        ui.conclude(&json::end(None));
    }
    let from = styled(DIM, &format!("refs/pr/{}", request.number));
    for file in &request.files {
        let path = sanitize::bytes(file.path.as_ref());
        let facts = file.pointer.map_or_else(String::new, |pointer| {
            let oid = pointer.oid.to_string();
            format!("\n  {}, sha256 {}…", bytes(pointer.size), oid.get(..12).unwrap_or_default())
        });
        ui.result(&format!("{} {} {from}{facts}", styled(GOOD, &path), styled(DIM, "←")));
    }
    let is_taken = !matches!(how, PullOutcome::UpToDate);
    ui.close(|closing| {
        closing.count(request.files.len(), if is_taken { "pulled" } else { "up to date" });
        closing.bytes(if is_taken { request.size() } else { 0 });
    });
    let number = request.number;
    if is_taken && request.state == Freshness::Stale {
        ui.warning(&format!(
            "pull request {number} is stale: the checkpoint has changed since it was opened"
        ));
    }
    match how {
        PullOutcome::UpToDate => ui.note(&format!("already up to date with pull request {number}")),
        PullOutcome::FastForward => ui.note(&format!("fast-forwarded to pull request {number}")),
        PullOutcome::Merged => ui.note(&format!("merged pull request {number}")),
        PullOutcome::Staged => {
            ui.note(&format!(
                "cannot fast-forward to pull request {number}; staged only its safetensors files (`--merge` merges it)"
            ));
            ui.hint(&format!("commit: `{} commit -m \"add safetensors\"`", here.git()));
        }
    }
}

fn show(ui: &Ui, listing: &Listing, here: &Here) {
    let (git, options) = (here.git(), here.options_but(&["--all"]));
    if ui.json {
        let lines = listing.requests.iter().map(|request| json::pull_request(request) + "\n");
        ui.conclude(&(lines.collect::<String>() + &json::listing(Some(listing), None)));
    } else if !listing.requests.is_empty() {
        ui.result(&table(&listing.requests));
    }
    let left = listing.known - listing.seen;
    if listing.requests.is_empty() {
        ui.note(match listing.seen {
            0 => "no pull requests",
            _ => "no pull request adds safetensors files",
        });
    }
    if left > 0 {
        ui.note(&format!("checked the newest {} of {} pull requests", listing.seen, listing.known));
        ui.hint(&format!("list all pull requests: `{git} st-convert pull{options} --all`"));
    }
    // The hint does not offer a pull request that changes other files.
    let is_clean = |request: &&PullRequest| {
        request.state == Freshness::Current && request.others.is_empty() && !request.is_unclear
    };
    if let Some(first) = listing.requests.iter().find(is_clean) {
        ui.hint(&format!("take one: `{git} st-convert pull{options} {}`", first.number));
    }
}

fn table(requests: &[PullRequest]) -> String {
    let head = ["PR", "COMMIT", "STATE", "SIZE", "AUTHOR", "FILES"].map(str::to_owned);
    let rows = requests.iter().map(|request| {
        let commit = request.commit.to_string();
        [
            request.number.to_string(),
            commit.get(..10).unwrap_or_default().to_owned(),
            match request.state {
                Freshness::Current => "current".to_owned(),
                Freshness::Stale => "stale".to_owned(),
            },
            if request.size() == 0 { "?".to_owned() } else { bytes(request.size()) },
            sanitize::text(&request.author).into_owned(),
            files(request),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _infallible = write!(line, "{cell:width$}  ");
        }
        line += row.last().map_or("", String::as_str);
        let line = line.trim_end();
        let _infallible = writeln!(out, "{}", if at == 0 { styled(STRONG, line) } else { line.to_owned() });
    }
    out
}

/// Returns the first file and the number of the others, and the same for changed files other than safetensors files.
fn files(request: &PullRequest) -> String {
    let first = |first: Option<&BString>, count: usize| {
        let path = first.map(|path| sanitize::bytes(path.as_ref()).into_owned()).unwrap_or_default();
        if count > 1 { format!("{path} and {} more", count - 1) } else { path }
    };
    let named = first(request.files.first().map(|file| &file.path), request.files.len());
    if request.others.is_empty() {
        return named;
    }
    format!("{named} (also changes {})", first(request.others.first(), request.others.len()))
}
