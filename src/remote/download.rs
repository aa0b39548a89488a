//! [`to_store`] and [`to_part`]: an object downloaded into the LFS store.
//!
//! Invariants: the object gets its name only when its length and its SHA-256 are those of its pointer; what came before an
//! interruption stays in git-lfs's own place for it, is hashed again, and is gone on with; bytes that turned out to be
//! wrong are thrown away, so that no later run builds on them.

use std::path::PathBuf;

use super::error::{Error, Result};
use super::object::Object;
use super::stream::Restart;
use crate::hash::{Hasher, Oid};
use crate::lfs::{Incomplete, Pointer, Store};

/// Downloads an object into the store, unless it is there. `tell` is told how many bytes are here. Returns where it is.
///
/// # Errors
/// [`Error::WrongDigest`], [`Error::WrongSize`], [`Error::Store`], or what keeps bytes away when patience is at its
/// end; then what came stays for a later run.
pub fn to_store(object: &Object<'_>, store: &Store, tell: &dyn Fn(u64)) -> Result<PathBuf> {
    let Pointer { oid, size } = object.pointer;
    let found = store.find(oid, size);
    let found =
        found.map_err(|source| Error::Io { action: "look for an object in the LFS store", source })?;
    if let Some(path) = found {
        tell(size);
        return Ok(path);
    }
    Ok(to_part(object, store, tell)?.commit(size)?)
}

/// Downloads an object beside those of the store, where it may be read as long as this process has it. Left there, a
/// later run finds it.
///
/// # Errors
/// As [`to_store`].
pub fn to_part(object: &Object<'_>, store: &Store, tell: &dyn Fn(u64)) -> Result<Incomplete> {
    let Pointer { oid, size } = object.pointer;
    object.wire().watched(|| {
        let part = Incomplete::open(store, oid)?;
        if part.len()? > size {
            part.clear().map_err(write_error)?;
        }
        let kept = part.len()?;
        let mut got = fetch(object, &part, tell)?;
        if got != oid && kept > 0 {
            // What an earlier run left may be what is wrong.
            part.clear().map_err(write_error)?;
            got = fetch(object, &part, tell)?;
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
fn fetch(object: &Object<'_>, part: &Incomplete, tell: &dyn Fn(u64)) -> Result<Oid> {
    let mut hasher = Hasher::default();
    part.read(|bytes| {
        hasher.update(bytes);
        if object.wire().is_interrupted() { Err(std::io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    })?;
    let mut here = part.len()?;
    tell(here);
    object.stream_from(here, Restart::Allowed, &mut |at, bytes| {
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

fn write_error(source: std::io::Error) -> Error {
    Error::Io { action: "write to the LFS store", source }
}
