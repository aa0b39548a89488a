//! Runs `git st-convert env`.

use std::fmt::Write as _;
use std::path::Path;

use crate::actions::env::{RepositorySetup, Setup, environment};
use crate::actions::guard::install::Hook;
use crate::cli::commands::Call;
use crate::cli::error::Report;
use crate::cli::reporter::TerminalReporter;
use crate::cli::shell_paths::Here;
use crate::cli::ui::{STRONG, styled};
use crate::cli::{environment, json, sanitize};

/// The default values of settings.
const DEFAULTS: [(&str, &str); 5] = [
    ("st-convert.allow", ".st-convert-allow"),
    ("st-convert.jobs", "one per processor"),
    ("st-convert.keepsource", "false"),
    ("st-convert.maxoutput", "4 times the checkpoint, and 64 MiB"),
    ("st-convert.pr", "auto"),
];

/// Shows the settings in effect.
pub(crate) fn run(call: Call<'_>) -> Result<u8, Report> {
    let Call { cwd, servers, ui, interrupt } = call;
    let reporter = TerminalReporter::new(ui, interrupt, false);
    let setup = environment::servers(servers)
        .and_then(|servers| environment(cwd, &servers, &reporter))
        .map_err(|error| ui.failed(&error, &Here::new(cwd).of("env"), json::end))?;
    let variables = environment::set();
    if ui.json {
        ui.data(&json::env(&setup, &variables));
        ui.conclude(&json::end(None));
    } else {
        ui.result(page(&setup, &variables).trim_end());
    }
    Ok(0)
}

fn page(setup: &Setup, variables: &[(&str, Option<String>)]) -> String {
    let mut sections = vec![("versions", versions(setup))];
    if let Some(repo) = &setup.repository {
        sections.push(("repository", repository(repo)));
    }
    if let Some(error) = &setup.unopened {
        sections.push(("repository", vec![("not opened".to_owned(), error.to_string())]));
    }
    let token = setup.token.as_ref().map_or_else(|| "none".to_owned(), |place| format!("from {place}"));
    let mut hub = vec![("endpoint".to_owned(), setup.endpoint.clone()), ("token".to_owned(), token)];
    if setup.is_offline {
        hub.push(("offline".to_owned(), "no server is asked".to_owned()));
    }
    sections.push(("hub", hub));
    sections.push(("settings", settings(setup)));
    let shown = |(name, value): &(&str, Option<String>)| {
        ((*name).to_owned(), value.clone().unwrap_or_else(|| "(set, not shown)".to_owned()))
    };
    sections.push(("environment", variables.iter().map(shown).collect()));
    let mut page = String::new();
    for (title, rows) in sections.iter().filter(|(_, rows)| !rows.is_empty()) {
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let _infallible = writeln!(page, "{}", styled(STRONG, title));
        for (name, value) in rows {
            let (name, value) = (sanitize::text(name), sanitize::text(value));
            let _infallible = writeln!(page, "  {name:width$}  {value}");
        }
    }
    page
}

fn versions(setup: &Setup) -> Vec<(String, String)> {
    let version = |text: &str, prefix: &str| text.strip_prefix(prefix).unwrap_or(text).to_owned();
    let lfs = setup.git_lfs.as_deref().map_or("not installed".to_owned(), |text| version(text, "git-lfs/"));
    let own = env!("CARGO_PKG_VERSION");
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    vec![
        ("git-st-convert".to_owned(), format!("{own} ({arch} {os})")),
        ("git".to_owned(), version(&setup.git, "git version ")),
        ("git-lfs".to_owned(), lfs),
    ]
}

fn repository(repo: &RepositorySetup) -> Vec<(String, String)> {
    let path = |path: &Path| path.display().to_string();
    let filter = if repo.has_lfs_filter { "set up" } else { "not set up (`git lfs install`)" };
    let usual = [(Hook::PreCommit, "commits"), (Hook::PreMergeCommit, "merges"), (Hook::PrePush, "pushes")];
    let all = if repo.hooks.is_bare { &[(Hook::PreReceive, "received pushes")][..] } else { &usual };
    let guarded = |&(hook, what): &(Hook, &str)| {
        let not = if repo.hooks.is_guarded(hook) { "" } else { "not " };
        format!("{what} {not}guarded")
    };
    let mut rows = vec![
        ("directory".to_owned(), path(&repo.work_dir)),
        ("git directory".to_owned(), path(&repo.git_dir)),
        ("LFS storage".to_owned(), path(&repo.lfs_dir)),
    ];
    if !repo.hooks.is_bare {
        rows.push(("LFS filter".to_owned(), filter.to_owned()));
    }
    rows.push(("hooks".to_owned(), all.iter().map(guarded).collect::<Vec<_>>().join(", ")));
    rows
}

/// Returns the settings that are set, and the defaults of our own others.
fn settings(setup: &Setup) -> Vec<(String, String)> {
    let set = setup.settings.iter().map(|setting| {
        let from = format!("{}, {}", setting.scope, setting.origin);
        (setting.key.to_string(), format!("{}  ({from})", setting.value))
    });
    let mut rows: Vec<_> = set.collect();
    for (key, value) in DEFAULTS {
        if !rows.iter().any(|(name, _)| name == key) {
            rows.push((key.to_owned(), format!("{value}  (default)")));
        }
    }
    rows.sort();
    rows
}
