//! [`Servers`]: the LFS server of a remote, and the Hub, as the actions ask them.
//!
//! Invariant: what they are asked with comes from the person's environment and configuration; what a repository says of
//! its own (`.lfsconfig`) may name another host, and that is told.

use std::collections::BTreeSet;
use std::path::Path;

use bstr::{BString, ByteSlice as _};

use super::pull::Server;
use super::server::{self, Watch};
use super::{Error, Reporter};
use crate::git::Remote;
use crate::lfs::Pointer;
use crate::remote::discussions::PullRequestStatus;
use crate::remote::hub::model_of;
use crate::remote::{self, Config, Settings};
use crate::repo::Repo;

/// The servers, asked with these settings.
#[derive(Debug, Clone)]
pub struct Servers {
    /// What the environment says; git's configuration is added for each repository.
    pub settings: Settings,
}

impl Servers {
    /// The names of the models of the Hub that were downloaded most, of those with all of these tags.
    ///
    /// # Errors
    /// [`Error::Offline`], or what the server makes of it.
    pub fn top_models(
        &self,
        count: usize,
        filters: &[String],
        cwd: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Vec<String>, Error> {
        if self.settings.offline {
            return Err(Error::Offline { what: "list models" });
        }
        let watch = Watch::new(reporter);
        let settings = self.settings.clone().with_config(Config::new(crate::repo::global_settings()?));
        Ok(watch.client(settings, cwd)?.top_models(count, filters)?)
    }

    /// Why git was not let in to a model of the Hub, if its conditions have to be accepted first: to git, a server of the
    /// Hub's kind says the same of a model that is not there.
    pub(super) fn gate(&self, model: &str, cwd: &Path, reporter: &dyn Reporter) -> Option<Error> {
        let watch = Watch::new(reporter);
        let settings = self.settings.clone().with_config(Config::new(crate::repo::global_settings().ok()?));
        let client = watch.client(settings, cwd).ok()?;
        let is_gated = client.model(model, None).ok()?.is_gated();
        let url = client.clone_url(model).ok().filter(|_| is_gated)?;
        Some(Error::Remote(remote::Error::Gated { url, said: None }))
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
        let watch = Watch::new(reporter);
        let server = server::Server::of(repo, Some(&remote.name), &self.settings, &watch, reporter)?;
        let all: Vec<_> = objects.iter().map(|(path, pointer)| (path.as_bstr(), *pointer)).collect();
        server.download(repo, &all, reporter)
    }

    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }

    fn open_pull_requests(
        &self,
        repo: &Repo,
        remote: &Remote,
        reporter: &dyn Reporter,
    ) -> Result<Option<BTreeSet<u64>>, Error> {
        let watch = Watch::new(reporter);
        let settings = self.settings.clone().with_config(Config::new(repo.settings()));
        let client = watch.client(settings, repo.work_dir())?;
        let Some(model) = model_of(client.hub(), &remote.url) else { return Ok(None) };
        let known = client.pull_requests(&model)?;
        let wanted = known.into_iter().filter(|known| known.status != PullRequestStatus::Merged);
        Ok(Some(wanted.map(|known| known.number).collect()))
    }
}
