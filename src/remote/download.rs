//! [`to_store`] and [`to_part`]: an object downloaded into the LFS store.
//!
//! Invariants: the object gets its name only when its length and its SHA-256 are those of its pointer; what came before an
//! interruption stays in git-lfs's own place for it, is hashed again, and is gone on with; bytes that turned out to be
//! wrong are thrown away, so that no later run builds on them.

use std::io::Read as _;
use std::path::PathBuf;

use super::action::{Handed, ObjectAt};
use super::error::{Error, Result};
use super::object::Object;
use super::stream::Restart;
use crate::hash::{Hasher, Oid};
use crate::lfs::{Incomplete, Pointer, Store};

/// How much of what an agent brought is taken at once.
const STEP: usize = 1 << 20;

/// Downloads an object into the store, unless it is there. `tell` is told how many bytes are here. Returns where it is.
///
/// # Errors
/// [`Error::WrongDigest`], [`Error::WrongSize`], [`Error::Store`], or what keeps bytes away when patience is at its
/// end; then what came stays for a later run.
pub fn to_store(object: &Object<'_>, store: &Store, tell: &dyn Fn(u64)) -> Result<PathBuf> {
    let Pointer { oid, size } = object.pointer;
    let found = store.find(oid, size);
    let found = found.map_err(|source| Error::Io { action: "look up an LFS object", source })?;
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
        if let ObjectAt::Agent(handed) = object.at()? {
            return brought(object, &handed, (store, part), tell);
        }
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

/// Has a transfer agent bring it, and takes what it brought.
fn brought(
    object: &Object<'_>,
    handed: &Handed,
    (store, part): (&Store, Incomplete),
    tell: &dyn Fn(u64),
) -> Result<Incomplete> {
    let Pointer { oid, size } = object.pointer;
    part.clear().map_err(write_error)?;
    tell(0);
    object.begin();
    let mut arrived = object.brought(handed, &|here| {
        object.came_to(here);
        tell(here);
    })?;
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; STEP]);
    loop {
        if object.wire().is_interrupted() {
            return Err(Error::Interrupted);
        }
        let read = arrived.file.read(&mut buffer).map_err(read_error)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        part.append(bytes).map_err(write_error)?;
    }
    let (got, _) = hasher.finish();
    if got != oid {
        arrived.wrong(store);
        part.discard()?;
        return Err(Error::WrongDigest { oid, got });
    }
    part.check(size)?;
    arrived.taken();
    object.came_to(size);
    tell(size);
    Ok(part)
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

fn read_error(source: std::io::Error) -> Error {
    Error::Io { action: "read what the transfer agent brought", source }
}

fn write_error(source: std::io::Error) -> Error {
    Error::Io { action: "write to the LFS store", source }
}
