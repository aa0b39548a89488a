//! Prints the notes of an action about remotes, servers and pull requests.

use std::fmt::Write as _;

use super::TerminalReporter;
use crate::actions::{HalfWay, RemoteNote};
use crate::cli::sanitize;
use crate::cli::shell_paths::shell;
use crate::cli::sizes::bytes;

impl TerminalReporter<'_> {
    /// Prints a note about a remote repository.
    pub(super) fn remote_note(&self, note: &RemoteNote) {
        match note {
            RemoteNote::ServerMoved { to } => {
                let to = sanitize::text(to);
                self.ui.warning(&format!(".lfsconfig sends LFS requests to another host: {to}"));
            }
            RemoteNote::Adopted { number, is_all } => {
                self.lock().staged = !is_all;
                self.ui.note(&format!("adopted pull request {number}: its files are identical"));
            }
            RemoteNote::PullRequests { numbers } => {
                let first = numbers.first().copied().unwrap_or_default();
                let listed: Vec<_> = numbers.iter().map(u64::to_string).collect();
                let (noun, verb) = if numbers.len() == 1 { ("request", "adds") } else { ("requests", "add") };
                self.ui.note(&format!("pull {noun} {} {verb} safetensors files", listed.join(", ")));
                self.ui.hint(&format!("take one: `{} st-convert pull {first}`", self.here.git()));
            }
            RemoteNote::PullRequestsNotSeen { reason } => {
                self.ui.note(&format!("cannot check pull requests: {}", sanitize::text(reason)));
            }
            RemoteNote::NotNarrowed { reason } => {
                self.ui.note(&format!("checking all pull requests: {}", sanitize::text(reason)));
            }
            RemoteNote::LeftPointers { reason } => {
                let reason = sanitize::text(reason);
                self.ui.warning(&format!("leaving pointers in the working tree: {reason}"));
            }
            RemoteNote::OtherPaths { number, paths } => {
                let mut lines = format!("pull request {number} also changes other files:");
                for path in paths {
                    let _ = write!(lines, "\n  {}", sanitize::bytes(path.as_ref()));
                }
                self.ui.warning(&lines);
            }
            RemoteNote::HalfWay { number, url, what } => self.half_way(*number, url, *what),
            RemoteNote::HistoryCut { number, remote } => {
                self.ui.note(&format!(
                    "pull request {number}: compared with its own parent: this clone is shallow, and where the pull request began is not known"
                ));
                let (git, remote) = (self.here.git(), shell(remote.as_str().into()));
                self.ui.hint(&format!("fetch the history: `{git} fetch --unshallow {remote}`"));
            }
            RemoteNote::HomeElsewhere { asked, name, model } => self.home_elsewhere(asked, name, model),
            RemoteNote::BaseNotFetched => {
                self.ui.note("not fetching the remote in a dry run; this plan uses its last known state");
            }
            RemoteNote::Waiting { seconds } => self.waiting(*seconds),
            RemoteNote::XetWouldSend { sent, about } => self.xet(*sent, *about),
            RemoteNote::WholeClone => {
                self.ui.note("the server does not support fetching single files; fetched all files");
            }
            RemoteNote::ShallowClone { depth } => self.shallow(*depth),
        }
    }

    fn shallow(&self, depth: u32) {
        let last = if depth == 1 { "commit".to_owned() } else { format!("{depth} commits") };
        self.ui.warning(&format!(
            "the server does not support partial clones; made a shallow clone of the last {last}"
        ));
        self.ui.hint(&format!("fetch the full history: `{} fetch --unshallow`", self.here.git()));
    }

    fn xet(&self, sent: u64, about: u64) {
        let what = if about < sent {
            format!("would have sent about {} of these {}", bytes(about), bytes(sent))
        } else {
            "sends only the parts of a file that the Hub lacks".to_owned()
        };
        self.ui.note(&format!("the Hub keeps this model in Xet storage: git-xet {what}"));
    }

    fn waiting(&self, seconds: u64) {
        self.ui.note(&format!("waiting {seconds} s: the server limits the rate of requests"));
    }

    /// Prints that another remote has the model.
    fn home_elsewhere(&self, asked: &str, name: &str, model: &str) {
        let (asked, model) = (sanitize::text(asked), sanitize::text(model));
        self.ui.note(&format!(
            "pull requests of the remote {asked}; the model {model} is at the remote {}",
            sanitize::text(name)
        ));
        let number = self.here.first().map(|number| " ".to_owned() + &number).unwrap_or_default();
        let (git, options, name) = (self.here.git(), self.here.options(), shell(name.into()));
        self.ui.hint(&format!("ask that one: `{git} st-convert pull{options} --remote {name}{number}`"));
    }

    /// Prints the state of a pull request that was not finished.
    fn half_way(&self, number: u64, url: &str, what: HalfWay) {
        let has = match what {
            HalfWay::Empty => "no files pushed yet",
            HalfWay::Uploaded => "LFS objects uploaded, commit not pushed",
            HalfWay::Pushed => "commit pushed, still a draft",
        };
        self.ui.warning(&format!("pull request {number} is incomplete: {has}\n  {}", sanitize::text(url)));
        if self.here.command() == "publish" {
            let (git, options) = (self.here.git(), self.here.options());
            self.ui
                .hint(&format!("resume, without a second pull request: `{git} st-convert publish{options}`"));
        } else {
            self.ui.hint("resume: run the same command again (it opens no second pull request)");
        }
    }
}
