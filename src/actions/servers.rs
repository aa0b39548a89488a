//! [`Servers`]: the LFS server of a remote, and the Hub, as the actions ask them.
//!
//! Invariant: what they are asked with comes from the person's environment and configuration; what a repository says of
//! its own (`.lfsconfig`) may name another host, and that is told.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;

use bstr::{BString, ByteSlice as _};

use super::pull::Server;
use super::{Error, Note, RemoteNote, Reporter};
use crate::git::{Git, Remote};
use crate::lfs::Pointer;
use crate::remote::hub::{Status, is_model};
use crate::remote::{Client, Config, Event, Object, Operation, Remotes, Settings, batch};
use crate::repo::Repo;

/// The servers, asked with these settings.
#[derive(Debug, Clone)]
pub struct Servers {
    /// What the environment says; git's configuration is added for each repository.
    pub settings: Settings,
}

impl Servers {
    /// Asks with all that a repository says.
    fn ask<T>(
        &self,
        repo: &Repo,
        reporter: &dyn Reporter,
        work: impl FnOnce(&Client<'_>, &Config) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let config = Config::new(repo.settings());
        let settings = self.settings.clone().with_config(config.clone());
        let tell_command = |line: &[OsString]| reporter.command(line);
        let tell_request = |event: &Event<'_>| reporter.request(event);
        let stop = || reporter.is_interrupted();
        let git = Git::at(repo.work_dir())?.observed(Some(&tell_command));
        let client = Client::new(settings, Some(git))?.observed(Some(&tell_request)).interruptible(&stop);
        work(&client, &config)
    }
}

impl Server for Servers {
    fn fetch(
        &self,
        repo: &Repo,
        remote: &Remote,
        objects: &[(BString, Pointer)],
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        self.ask(repo, reporter, |client, config| {
            let theirs = repo.lfsconfig()?.map(Config::new);
            let (branch, fetch_head) = (repo.branch()?, repo.fetch_head());
            let remotes = Remotes {
                config,
                lfsconfig: theirs.as_ref(),
                branch: branch.as_deref(),
                fetch_head: fetch_head.as_deref(),
                work_dir: repo.work_dir(),
            };
            let endpoint = remotes.endpoint(Some(&remote.name))?;
            if let Some(moved) = endpoint.moved() {
                reporter.note(&Note::Remote(RemoteNote::ServerMoved { to: moved.to.clone() }));
            }
            let reference = branch.map(|branch| format!("refs/heads/{branch}"));
            let pointers: Vec<_> = objects.iter().map(|(_, pointer)| *pointer).collect();
            let actions = batch(client, &endpoint, Operation::Download, &pointers, reference.as_deref())?;
            let store = repo.store();
            for ((path, pointer), action) in objects.iter().zip(actions) {
                reporter.started(path.as_bstr(), pointer.size);
                let told = Cell::new(0);
                let tell = |here: u64| {
                    reporter.advanced(here.saturating_sub(told.replace(here.max(told.get()))));
                };
                let object = Object::new(client, &endpoint, *pointer, reference.as_deref());
                let fetched = action.and_then(|action| object.with_action(action).to_store(&store, &tell));
                reporter.finished();
                fetched?;
            }
            Ok(())
        })
    }

    fn open_pull_requests(
        &self,
        repo: &Repo,
        remote: &Remote,
        reporter: &dyn Reporter,
    ) -> Result<Option<BTreeSet<u64>>, Error> {
        self.ask(repo, reporter, |client, _| {
            let hub = client.hub().to_string();
            let Some(model) = model_of(&hub, &remote.url) else { return Ok(None) };
            let known = client.pull_requests(model)?;
            let wanted = known.into_iter().filter(|known| known.status != Status::Merged);
            Ok(Some(wanted.map(|known| known.number).collect()))
        })
    }
}

/// The name of the model, if the URL is of one at the Hub.
fn model_of<'u>(hub: &str, url: &'u str) -> Option<&'u str> {
    let name = url.strip_prefix(hub.trim_end_matches('/'))?.strip_prefix('/')?.trim_end_matches('/');
    let name = name.strip_suffix(".git").unwrap_or(name);
    is_model(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_the_hub_by_their_urls() {
        let hub = "https://hub.example/";
        for (url, model) in [
            ("https://hub.example/acme/bert", Some("acme/bert")),
            ("https://hub.example/acme/bert.git/", Some("acme/bert")),
            ("https://hub.example/gpt2", Some("gpt2")),
            ("https://hub.example.org/acme/bert", None),
            ("https://hub.example/datasets/acme/d", None),
            ("git@hub.example:acme/bert", None),
        ] {
            assert_eq!(model_of(hub, url), model, "{url}");
        }
    }
}
