//! Objects that are not asked for by requests: [`fetch`] has one brought into a file by a transfer agent, [`send`] has one
//! sent, by an agent or over ssh.
//!
//! Invariants: the file that an agent names is taken only if it is a regular file, no link, and as long as the object; its
//! bytes are hashed by whoever uses them, from the file that was opened; on success it is removed, as git-lfs moves it, and
//! what turned out to be wrong is removed from nowhere but the LFS store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::action::{Handed, ObjectAt};
use super::batch::LfsServer;
use super::cause::AgentFault;
use super::conversation::Deed;
use super::error::{Error, Result};
use super::operation::Operation;
use super::ssh_link::Link;
use crate::lfs::{Pointer, Store, regular};

/// A file that an agent brought.
pub(super) struct Arrived {
    pub(super) file: File,
    path: PathBuf,
}

impl Arrived {
    /// Removes it: its bytes were taken.
    pub(super) fn taken(self) {
        // Where it cannot be removed it is one file too many, and nothing is wrong with the object.
        let _left = fs::remove_file(&self.path);
    }

    /// Removes it if it is in the store, where something might take it for an object.
    pub(super) fn wrong(self, store: &Store) {
        let real = |path: &Path| path.canonicalize().ok();
        if let (Some(path), Some(dir)) = (real(&self.path), real(store.dir()))
            && path.starts_with(dir)
        {
            let _left = fs::remove_file(path);
        }
    }
}

/// Has an object brought.
///
/// # Errors
/// [`Error::Agent`], [`Error::WrongSize`], [`Error::Offline`], [`Error::Interrupted`]
pub(super) fn fetch(
    server: &LfsServer<'_>,
    handed: &Handed,
    pointer: Pointer,
    tell: &dyn Fn(u64),
) -> Result<Arrived> {
    let to = (Operation::Download, server.endpoint.remote());
    server.agents.with(&server.auth.wire, server.auth.git.as_ref(), (&handed.agent, to), |conversation| {
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

/// Has an object sent that is in this file, by an agent or over ssh.
///
/// # Errors
/// As [`fetch`]; of ssh what the server makes of it.
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
        // Neither is where objects are sent.
        (ObjectAt::Server(_) | ObjectAt::File(_) | ObjectAt::Ssh(_), _) => {
            return Err(Error::NotTaken { oid: pointer.oid, code: 404, said: None });
        }
    };
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let to = (Operation::Upload, server.endpoint.remote());
    server.agents.with(wire, server.auth.git.as_ref(), (&handed.agent, to), |conversation| {
        let path = path.to_str().ok_or_else(|| conversation.fault(AgentFault::Path))?;
        let deed = (pointer, handed.action.as_ref());
        conversation.transfer(wire, deed, Deed::Upload(path), tell)?;
        tell(pointer.size);
        Ok(())
    })
}

/// Opens a regular file; a link is none.
fn open(path: &Path) -> io::Result<File> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    regular::open(path).map_err(|error| match error {
        crate::lfs::worktree_file::Error::Io { source, .. } => source,
        error => io::Error::other(error),
    })
}
