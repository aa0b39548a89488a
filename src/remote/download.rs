//! [`Object::to_store`] and [`Object::to_part`]: an object downloaded into the LFS store.
//!
//! Invariants: the object gets its name only when its length and its SHA-256 are those of its pointer; what came before an
//! interruption stays in git-lfs's own place for it, is hashed again, and is gone on with; bytes that turned out to be
//! wrong are thrown away, so that no later run builds on them.

use std::path::PathBuf;

use super::error::{Error, Result};
use super::object::Object;
use super::stream::Restart;
use crate::hash::{Hasher, Oid};
use crate::lfs::{Incomplete, Store};

impl Object<'_> {
    /// Downloads it into the store, unless it is there. `tell` is told how many bytes are here. Returns where it is.
    ///
    /// # Errors
    /// [`Error::WrongDigest`], [`Error::WrongSize`], [`Error::Store`], or what keeps bytes away when patience is at its
    /// end; then what came stays for a later run.
    pub fn to_store(&self, store: &Store, tell: &dyn Fn(u64)) -> Result<PathBuf> {
        let (oid, size) = (self.pointer.oid, self.pointer.size);
        let found = store.find(oid, size);
        let found =
            found.map_err(|source| Error::Io { action: "look for an object in the LFS store", source })?;
        if let Some(path) = found {
            tell(size);
            return Ok(path);
        }
        Ok(self.to_part(store, tell)?.commit(size)?)
    }

    /// Downloads it beside the objects of the store, where it may be read as long as this process has it. Left there, a
    /// later run finds it.
    ///
    /// # Errors
    /// As [`Object::to_store`].
    pub fn to_part(&self, store: &Store, tell: &dyn Fn(u64)) -> Result<Incomplete> {
        let (oid, size) = (self.pointer.oid, self.pointer.size);
        self.client.wire.watched(|| {
            let part = Incomplete::open(store, oid)?;
            if part.len()? > size {
                part.clear().map_err(write_error)?;
            }
            let kept = part.len()?;
            let mut got = self.fetch(&part, tell)?;
            if got != oid && kept > 0 {
                // What an earlier run left may be what is wrong.
                part.clear().map_err(write_error)?;
                got = self.fetch(&part, tell)?;
            }
            if got != oid {
                part.discard()?;
                return Err(Error::WrongDigest { oid, got });
            }
            part.check(size)?;
            Ok(part)
        })
    }

    /// Fetches what is missing, and hashes all of it.
    fn fetch(&self, part: &Incomplete, tell: &dyn Fn(u64)) -> Result<Oid> {
        let mut hasher = Hasher::default();
        part.read(|bytes| {
            hasher.update(bytes);
            if self.client.wire.is_interrupted() {
                Err(std::io::ErrorKind::Interrupted.into())
            } else {
                Ok(())
            }
        })?;
        let mut here = part.len()?;
        tell(here);
        self.stream_from(here, Restart::Allowed, &mut |at, bytes| {
            if at == 0 && here > 0 {
                part.clear()?;
                hasher = Hasher::default();
            }
            part.append(bytes)?;
            hasher.update(bytes);
            here = at + bytes.len() as u64;
            tell(here);
            Ok(())
        })?;
        Ok(hasher.finish().0)
    }
}

fn write_error(source: std::io::Error) -> Error {
    Error::Io { action: "write to the LFS store", source }
}
