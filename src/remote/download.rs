//! Downloads an LFS object into LFS storage, with [`to_store`] or [`to_part`].
//!
//! Invariants: the object gets its name only when its length and its SHA-256 are those of its pointer; the bytes of an
//! interrupted download stay at git-lfs's own path, are hashed again, and are continued; wrong bytes are discarded, so
//! that no later run continues them.

use std::io::Read as _;
use std::path::PathBuf;

use super::action::{Handed, ObjectAt};
use super::error::{Error, Result};
use super::object::Object;
use super::stream::Restart;
use crate::hash::{Hasher, Oid};
use crate::lfs::{Incomplete, Pointer, Store};

/// How many bytes of an agent's file are read at once.
const STEP: usize = 1 << 20;

/// Downloads an object into LFS storage, unless it is there. `tell` receives the number of local bytes. Returns its
/// path.
///
/// # Errors
/// [`Error::WrongDigest`], [`Error::WrongSize`], [`Error::Store`], or the last error after all retries; then the
/// downloaded bytes stay for a later run.
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

/// Downloads an object next to those of LFS storage, where it may be read as long as this process has it. If it stays
/// there, a later run finds it.
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
            // The bytes of an earlier run may be wrong.
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

/// Lets a transfer agent download it, and copies the agent's file.
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
        object.wire().check_interrupted()?;
        let failed = |source| Error::Io { action: "read what the transfer agent brought", source };
        let read = arrived.file.read(&mut buffer).map_err(failed)?;
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

/// Downloads the missing bytes, and hashes all bytes.
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
        part.append(&bytes)?;
        hasher.update(&bytes);
        here = at + bytes.len() as u64;
        tell(here);
        Ok(())
    })?;
    Ok(hasher.finish().0)
}

fn write_error(source: std::io::Error) -> Error {
    Error::Io { action: "write to the LFS store", source }
}
