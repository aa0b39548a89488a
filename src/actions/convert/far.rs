//! [`Far`]: the LFS server of a repository, looked for when the first object is missing.

use std::cell::OnceCell;

use super::super::Error;
use super::super::server::Server;
use super::super::servers::Session;
use crate::remote;
use crate::repo::Repo;

/// The LFS server, if there is one that may be asked.
pub(in crate::actions) struct Far<'a> {
    repo: &'a Repo,
    session: &'a Session<'a>,
    /// Of which remote, if not of the one that git-lfs would take.
    remote: Option<&'a str>,
    server: OnceCell<Option<Server<'a>>>,
}

impl<'a> Far<'a> {
    pub(in crate::actions) fn new(repo: &'a Repo, session: &'a Session<'a>) -> Self {
        Self { repo, session, remote: None, server: OnceCell::new() }
    }

    /// The same of this remote.
    pub(in crate::actions) fn of_remote(self, name: &'a str) -> Self {
        Self { remote: Some(name), ..self }
    }

    /// The server. `None` offline, and where no remote says where it is.
    ///
    /// # Errors
    /// A configuration that names none that may be asked.
    pub(in crate::actions) fn server(&self) -> Result<Option<&Server<'a>>, Error> {
        if let Some(server) = self.server.get() {
            return Ok(server.as_ref());
        }
        let found = if self.session.is_offline() {
            None
        } else {
            match Server::of(self.session, self.repo, self.remote) {
                Ok(server) => Some(server),
                Err(Error::Remote(remote::Error::NoEndpoint { .. })) => None,
                Err(error) => return Err(error),
            }
        };
        Ok(self.server.get_or_init(|| found).as_ref())
    }
}
