//! [`Server`]: the LFS server behind a repository, as its configuration and the person's say.
//!
//! Nothing is asked before the first [`Server::object`] is read.

use std::path::Path;

use bstr::ByteSlice as _;

use super::{Error, Note, Reporter};
use crate::git::Git;
use crate::lfs::Pointer;
use crate::remote::{self, Client, Config, Endpoint, Event, Object, Remotes, Settings};
use crate::repo::Repo;

/// The longest `.lfsconfig`, and the longest `FETCH_HEAD` of which the first line is wanted.
const MAX_TEXT: u64 = 64 << 10;

/// What a client of a server tells, and asks, while it works.
pub(super) struct Watch<'a> {
    tell: Box<dyn Fn(&Event<'_>) + Sync + 'a>,
    run: Box<dyn Fn(&[std::ffi::OsString]) + Sync + 'a>,
    stop: Box<dyn Fn() -> bool + Sync + 'a>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            tell: Box::new(|event| reporter.request(event)),
            run: Box::new(|arguments| reporter.command(arguments)),
            stop: Box::new(|| reporter.is_interrupted()),
        }
    }

    /// A client with these settings, which asks git in `dir` for logins.
    pub(super) fn client(&self, settings: Settings, dir: &Path) -> Result<Client<'_>, Error> {
        let git = Git::at(dir).ok().map(|git| git.observed(Some(&*self.run)));
        Ok(Client::new(settings, git)?.observed(Some(&*self.tell)).interruptible(&*self.stop))
    }
}

/// The LFS server behind a repository.
pub(super) struct Server<'a> {
    client: Client<'a>,
    endpoint: Endpoint,
    /// The full name of the branch that is checked out.
    reference: Option<String>,
}

impl<'a> Server<'a> {
    /// The server of the remote that git-lfs would take, or of the one named.
    pub(super) fn of(
        repo: &Repo,
        remote: Option<&str>,
        settings: &Settings,
        watch: &'a Watch<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let dir = repo.work_dir();
        let git = Git::at(dir)?.observed(Some(&*watch.run));
        let config = Config::from_list(&git.command("config").args(["--list", "-z"]).run()?.stdout);
        let reference = repo.branch();
        let branch = reference.as_deref().and_then(|name| name.strip_prefix("refs/heads/"));
        let fetch_head = small(&repo.git_dir().join("FETCH_HEAD"));
        let fetch_head = fetch_head.as_deref().and_then(|text| text.to_str().ok()?.lines().next());
        let lfsconfig = lfsconfig(repo)?;
        let remotes = Remotes {
            config: &config,
            lfsconfig: lfsconfig.as_ref(),
            branch,
            fetch_head,
            work_dir: dir,
        };
        let endpoint = remotes.endpoint(remote)?;
        if let Some(moved) = endpoint.moved() {
            reporter.note(&Note::ServerMoved { to: moved.to.clone(), from: moved.from.clone() });
        }
        let client = watch.client(settings.clone().with_config(config), dir)?;
        Ok(Self { client, endpoint, reference })
    }

    /// An object that is not here.
    pub(super) fn object(&self, pointer: Pointer) -> Object<'_> {
        Object::new(&self.client, &self.endpoint, pointer, self.reference.as_deref())
    }

    /// The client, for what is asked beside objects.
    pub(super) fn client(&self) -> &Client<'a> {
        &self.client
    }
}

/// The repository's `.lfsconfig`: of the work tree, else of the index.
fn lfsconfig(repo: &Repo) -> Result<Option<Config>, Error> {
    let name = b".lfsconfig".as_bstr();
    let target = repo.target(name)?;
    let text = match target.metadata() {
        Ok(Some(metadata)) if metadata.is_file() => small(&target.path()),
        // A link leads wherever it wants, so the index is asked.
        _ => {
            let entry = repo.entries()?.into_iter().find(|entry| entry.path == *name && entry.stage == 0);
            entry.and_then(|entry| repo.blob(entry.id, MAX_TEXT).ok())
        }
    };
    let Some(text) = text else { return Ok(None) };
    let git = Git::at(repo.work_dir())?;
    let list = git.command("config").args(["--file", "-", "--no-includes", "--list", "-z"]);
    Ok(Some(Config::from_list(&list.input(text).run()?.stdout)))
}

/// A small file, or the beginning of a longer one.
fn small(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_TEXT).read_to_end(&mut text).ok()?;
    Some(text)
}

impl From<remote::Error> for Error {
    fn from(error: remote::Error) -> Self {
        match error {
            remote::Error::Interrupted => Self::Interrupted,
            error => Self::Remote(error),
        }
    }
}
