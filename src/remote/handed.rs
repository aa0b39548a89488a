//! Transfers objects without HTTP requests: [`fetch`] lets a transfer agent download one into a file, [`send`] uploads
//! one by an agent or over ssh.
//!
//! Invariants: the file that an agent names is accepted only if it is a regular file, not a link, and as long as the
//! object; the caller hashes its bytes, from the file that was opened; on success the file is removed, as git-lfs moves
//! it, and a file with wrong content is removed only if it is in LFS storage.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::action::{Handed, ObjectAt};
use super::batch::LfsServer;
use super::cause::AgentFault;
use super::conversation::{Deed, Purpose};
use super::error::{Error, Result};
use super::operation::Operation;
use super::ssh_link::Link;
use crate::lfs::{Pointer, Store, regular};

/// A file that an agent downloaded.
pub(super) struct Arrived {
    pub(super) file: File,
    path: PathBuf,
}

impl Arrived {
    /// Removes it after its bytes were used.
    pub(super) fn taken(self) {
        // If it cannot be removed, it only uses space; the object is correct.
        let _left = fs::remove_file(&self.path);
    }

    /// Removes it if it is in LFS storage, where another program could read it as an object.
    pub(super) fn wrong(self, store: &Store) {
        let real = |path: &Path| path.canonicalize().ok();
        if let (Some(path), Some(dir)) = (real(&self.path), real(store.dir()))
            && path.starts_with(dir)
        {
            let _left = fs::remove_file(path);
        }
    }
}

/// Downloads an object.
///
/// # Errors
/// [`Error::Agent`], [`Error::WrongSize`], [`Error::Offline`], [`Error::Interrupted`]
pub(super) fn fetch(
    server: &LfsServer<'_>,
    handed: &Handed,
    pointer: Pointer,
    tell: &dyn Fn(u64),
) -> Result<Arrived> {
    let purpose = purpose(server, handed, Operation::Download)?;
    let agent = (&handed.agent, &purpose);
    server.agents.with(&server.auth.wire, server.auth.git.as_ref(), agent, |conversation| {
        let deed = (pointer, handed.action.as_ref());
        let named = conversation.transfer(&server.auth.wire, deed, Deed::Download, tell)?;
        let fault = |source| conversation.fault(source);
        let named = named.ok_or_else(|| fault(AgentFault::NoFile))?;
        let dir = server.auth.git.as_ref().map(|git| git.dir().to_owned()).unwrap_or_default();
        let path = dir.join(named);
        let arrived = open(&path).map_err(|source| fault(AgentFault::File(source)))?;
        let got = arrived.metadata().map_err(|source| fault(AgentFault::File(source)))?.len();
        if got != pointer.size {
            return Err(Error::WrongSize { oid: pointer.oid, expected: pointer.size, got });
        }
        Ok(Arrived { file: arrived, path })
    })
}

/// Uploads the object in this file, by an agent or over ssh.
///
/// # Errors
/// As [`fetch`]; over ssh, also a refusal of the server.
pub(super) fn send(
    server: &LfsServer<'_>,
    at: &ObjectAt,
    pointer: Pointer,
    (file, tell): (&Path, &dyn Fn(u64)),
) -> Result<()> {
    let wire = &server.auth.wire;
    let handed = match (at, server.far()) {
        (ObjectAt::Agent(handed), _) => handed,
        (ObjectAt::Ssh(at), Some(far)) => {
            let work = |link: &mut Link| link.put(wire, (pointer, at), file, tell);
            let sent = server.links.with(far, Operation::Upload, work)?;
            return sent.ok_or(Error::NotTaken { oid: pointer.oid, code: 404, said: None });
        }
        // Neither of them receives objects in this way.
        (ObjectAt::Server(_) | ObjectAt::File(_) | ObjectAt::Ssh(_), _) => {
            return Err(Error::NotTaken { oid: pointer.oid, code: 404, said: None });
        }
    };
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let purpose = purpose(server, handed, Operation::Upload)?;
    server.agents.with(wire, server.auth.git.as_ref(), (&handed.agent, &purpose), |conversation| {
        let path = path.to_str().ok_or_else(|| conversation.fault(AgentFault::Path))?;
        let deed = (pointer, handed.action.as_ref());
        conversation.transfer(wire, deed, Deed::Upload(path), tell)?;
        tell(pointer.size);
        Ok(())
    })
}

/// Returns the purpose of an agent. One that the Hub chose gets the Hub's token from git, which git-xet requires even
/// if it does not send it; one that needs no server gets none.
fn purpose<'s>(server: &'s LfsServer<'_>, handed: &Handed, operation: Operation) -> Result<Purpose<'s>> {
    let origin = server.endpoint.origin().filter(|_| handed.action.is_some());
    let token = origin.map(|origin| server.auth.token_for_git(origin)).transpose()?.flatten();
    Ok(Purpose { operation, remote: server.endpoint.remote(), token })
}

/// Opens a regular file, but not a link.
fn open(path: &Path) -> io::Result<File> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    regular::open(path).map_err(|error| match error {
        crate::lfs::worktree_file::Error::Io { source, .. } => source,
        error => io::Error::other(error),
    })
}
