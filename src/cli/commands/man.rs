//! Runs `git st-convert man [DIR]`. The manual pages are generated from the one definition in `args`.
//!
//! git answers `git st-convert --help` with `man git-st-convert`, so the page is needed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::args::{Args, Man};
use crate::cli::environment;
use crate::cli::error::Report;
use crate::cli::json;
use crate::cli::sanitize;
use crate::cli::shell_paths;
use crate::cli::sizes::counted;
use crate::cli::ui::Ui;

/// The name of the first page.
const MAIN: &str = "git-st-convert";

const EXIT_STATUS: [(&str, &str); 5] = [
    ("0", "Success, nothing to do, or no pickles found."),
    ("1", "A finding: a file was refused, a pickle was found, or a comparison differs."),
    ("2", "An error: usage, git, I/O, network or authentication."),
    ("101", "An internal error; please report it."),
    ("130", "Interrupted; no partial file is left under its final name."),
];

const ENVIRONMENT: [(&str, &str); 14] = [
    ("HF_TOKEN", "The token of the Hub. It goes to HF_ENDPOINT and to no other host."),
    (
        "HF_OIDC_RESOURCE, HF_OIDC_ID_TOKEN",
        "In CI: the model or user that a token is got for, by exchange, in the place of HF_TOKEN; and what says which job asks, where GitHub Actions does not.",
    ),
    ("HF_TOKEN_PATH, HF_HOME", "Where the token is read from, if HF_TOKEN is not set."),
    ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "Use no token that is not asked for."),
    ("HF_ENDPOINT", "The Hub. [default: https://huggingface.co]"),
    ("HF_HUB_OFFLINE", "Contact no server, as --offline."),
    ("GIT_LFS_SKIP_SMUDGE", "Leave pointers in the working tree."),
    (
        "GIT_SSL_CAINFO, GIT_SSL_CAPATH, GIT_SSL_CERT, GIT_SSL_KEY, GIT_SSL_NO_VERIFY",
        "As for git; a certificate is shown to the hosts of the remote, of lfs.url and of HF_ENDPOINT alone.",
    ),
    ("http_proxy, HTTPS_PROXY, ALL_PROXY, NO_PROXY", "As for curl and git."),
    ("NO_COLOR, CLICOLOR_FORCE", "Never, or always, use colors."),
    ("GIT_PAGER, PAGER, LESS", "The pager of diff, inspect and scan, as for git."),
    ("TERM, LC_ALL, LC_CTYPE, LANG", "Whether progress is drawn, and with which characters."),
    ("ST_CONVERT_SHARD_COUNT", "How many parts batch divides its list into, in an indexed Job."),
    ("SLURM_ARRAY_TASK_ID, …", "Which part of the list batch takes, in a Slurm array."),
];

const CONFIGURATION: [(&str, &str); 7] = [
    ("st-convert.pr", "As --pr: auto, never or a number. [default: auto]"),
    ("st-convert.jobs", "As -j. [default: one per processor]"),
    ("st-convert.keepSource", "As --keep-source. [default: false]"),
    ("st-convert.maxOutput", "As --max-output, e.g. 20GB."),
    ("st-convert.allow", "The file of the exceptions. [default: .st-convert-allow]"),
    ("core.pager, color.diff, color.ui", "As for git: the pager, and the colors of diff."),
    ("lfs.*, http.*, credential.*", "As for git and git-lfs. `git st-convert env` shows what is in force."),
];

/// Writes all pages into a directory, the given one or one that `man` searches, or prints the main page.
pub(crate) fn run(args: &Man, cwd: &Path, ui: &Ui) -> Result<u8, Report> {
    let dir = match &args.target {
        Some(dir) => cwd.join(dir),
        None if args.install => chosen()?,
        None => {
            ui.data(&page(main()));
            return Ok(0);
        }
    };
    fs::create_dir_all(&dir).map_err(|cause| Report::io(&dir, "cannot create the directory", &cause))?;
    let top = main();
    let (mut pages, mut count) = (Vec::new(), 0);
    // A command that only git runs has no page.
    for command in top.get_subcommands().filter(|command| !command.is_hide_set()).cloned() {
        let parent = command.get_name().to_owned();
        let nested = command.get_subcommands().cloned();
        pages.extend(nested.map(|command| alone(command, &[&parent])).collect::<Vec<_>>());
        pages.push(alone(command, &[]));
    }
    for command in std::iter::once(top).chain(pages) {
        let path = dir.join(format!("{}.1", command.get_name()));
        write(&path, &page(command)).map_err(|cause| Report::io(&path, "cannot be written", &cause))?;
        count += 1;
        if !args.install {
            ui.result(&sanitize::path(&path));
        }
    }
    if args.install {
        ui.result(&format!("installed {} in {}", counted(count, "manual page"), sanitize::path(&dir)));
        // Windows has no `man` of its own, and that of Git for Windows has other paths.
        if cfg!(unix) && !environment::man_path().has(&dir) {
            let dir = shell_paths::quoted_path(dir.parent().unwrap_or(&dir));
            ui.hint(&format!(
                "let man find them, now or for good in your shell's profile: `export MANPATH={dir}:\"$MANPATH\"`"
            ));
        }
    }
    if ui.json {
        ui.conclude(&json::end(None));
    }
    Ok(0)
}

/// Returns the first writable directory, of those that `man` searches, or else of all.
fn chosen() -> Result<PathBuf, Report> {
    let searched = environment::man_path();
    let mut dirs = environment::man_dirs();
    dirs.sort_by_key(|dir| !searched.has(dir));
    let mut last = None;
    for dir in dirs {
        let tried = fs::create_dir_all(&dir).and_then(|()| tempfile::tempfile_in(&dir));
        match tried {
            Ok(_) => return Ok(dir),
            Err(cause) => last = Some(Report::io(&dir, "cannot write to the directory", &cause)),
        }
    }
    Err(last.unwrap_or_else(|| Report::user(Path::new(""), "no directory for manual pages found", None)))
}

fn main() -> Command {
    let mut command = Args::command();
    command.build();
    command
}

/// Returns a subcommand, which may be below another one, with the name of its page.
fn alone(command: Command, parents: &[&str]) -> Command {
    let words = [parents, &[command.get_name()]].concat();
    let name = format!("git-st-convert-{}", words.join("-"));
    let typed = format!("git st-convert {}", words.join(" "));
    command.name(name.clone()).display_name(name).bin_name(typed).version(env!("CARGO_PKG_VERSION"))
}

/// Writes a page completely or not at all.
fn write(path: &Path, page: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new().prefix(".st-convert-").tempfile_in(dir)?;
    file.write_all(page.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn page(mut command: Command) -> String {
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let name = command.get_name().to_owned();
    let subcommands: Vec<_> = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| (command.get_name().to_owned(), command.get_about().map(ToString::to_string)))
        .collect();
    let usage = command.render_usage().to_string();
    // Without a date, `man` would show the next field in its place.
    let page = Page::new(command).manual("Git Manual").title(name.to_uppercase()).date(" ");
    let mut out = Vec::new();
    let mut roff = Roff::new();
    roff.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    roff.control("SH", ["SYNOPSIS"]).control("nf", []);
    for line in usage.trim_start_matches("Usage:").lines() {
        roff.text([bold(line.trim())]);
    }
    roff.control("fi", []);
    // Writing to memory cannot fail.
    let _infallible = page
        .render_title(&mut out)
        .and_then(|()| roff.to_writer(&mut out))
        .and_then(|()| page.render_description_section(&mut out))
        .and_then(|()| page.render_options_section(&mut out))
        .and_then(|()| closing(&name, &subcommands, &examples).to_writer(&mut out));
    String::from_utf8_lossy(&out).into_owned()
}

fn closing(page: &str, subcommands: &[(String, Option<String>)], examples: &str) -> Roff {
    let mut roff = Roff::new();
    if !subcommands.is_empty() {
        roff.control("SH", ["COMMANDS"]);
    }
    for (name, about) in subcommands {
        roff.control("TP", []).text([bold(format!("{page}-{name}")), roman("(1)")]);
        roff.text([roman(about.as_deref().unwrap_or_default())]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        roff.control("TP", []).text([bold(code)]).text([roman(meaning)]);
    }
    roff.control("PP", []).text([roman("With several files, the highest applies.")]);
    if page == MAIN {
        for (title, rows) in [("ENVIRONMENT", &ENVIRONMENT[..]), ("CONFIGURATION", &CONFIGURATION[..])] {
            roff.control("SH", [title]);
            for (name, meaning) in rows {
                roff.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
            }
        }
    }
    let lines = examples.lines().filter(|line| *line != "Examples:");
    if !examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        lines.for_each(|line| {
            roff.text([roman(line.trim_start())]);
        });
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    let main = if page == MAIN { vec![] } else { vec![bold("git-st-convert"), roman("(1), ")] };
    roff.text([main, vec![bold("git-lfs"), roman("(1), "), bold("gitattributes"), roman("(5)")]].concat());
    roff
}
