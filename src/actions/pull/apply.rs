//! Writes files of a pull request to the index and the working tree: their content in place of pointers, with the stat
//! data that git expects, so that no filter reads them again.
//!
//! Invariant: no file of the user is overwritten: an untracked file, or one that differs from git's version, is a
//! conflict unless it has the same content. All long work is done before the first name is given, and the names are
//! taken back if the index cannot be written.

use std::fs::File as OnDisk;
use std::io::Write as _;

use bstr::{BString, ByteSlice as _};

use super::super::content::oid;
use super::super::placement::{Undo, write_attributes};
use super::super::servers::Session;
use super::super::workspace::Workspace;
use super::super::{Error, Note, RemoteNote, Reporter};
use super::request::{PullRequest, RequestFile};
use crate::hash::Oid;
use crate::lfs::{NewObject, Placed, Pointer};
use crate::read_at::FileSource;
use crate::repo::{Change, Filter, Mode, ObjectId, Repo};
use crate::safetensors;

/// The longest file without Git LFS that is taken: a shard index, or weights that should be under Git LFS.
const MAX_BLOB: u64 = 256 << 20;

/// A file with its content, before it has its name.
pub(super) struct Piece {
    path: BString,
    /// Its blob for the index.
    blob: Vec<u8>,
    executable: bool,
    /// The pointer, if the file is under Git LFS.
    pointer: Option<Pointer>,
    placed: Placed,
}

/// Checks that the content of every safetensors file is valid. Its objects must be in LFS storage.
pub(super) fn check(repo: &Repo, request: &PullRequest) -> Result<(), Error> {
    for file in &request.files {
        let path = || file.path.clone();
        let read = match file.pointer {
            Some(pointer) => {
                let object = FileSource::new(object(repo, pointer)?).map_err(safetensors::Error::Io);
                object.and_then(|object| safetensors::read(&object))
            }
            None => safetensors::read(&repo.blob(file.version.id, MAX_BLOB)?),
        };
        read.map_err(|source| Error::NotSafetensors { path: path(), source })?;
    }
    Ok(())
}

fn object(repo: &Repo, pointer: Pointer) -> Result<OnDisk, Error> {
    let Pointer { oid, size } = pointer;
    let store = repo.store();
    let place = store.path_of(oid);
    let failed = Error::io("read", &place);
    let path = store.find(oid, size).map_err(failed)?.ok_or(Error::NoObject { oid, size })?;
    OnDisk::open(path).map_err(failed)
}

/// Copies the files of a pull request to where they can be given their names.
pub(super) fn prepare(repo: &Repo, request: &PullRequest) -> Result<Vec<Piece>, Error> {
    request.taken().map(|file| piece(repo, file)).collect()
}

fn piece(repo: &Repo, file: &RequestFile) -> Result<Piece, Error> {
    let store = repo.store();
    let (path, executable) = (file.path.clone(), file.version.mode == Mode::Executable);
    let target = repo.target(path.as_bstr())?;
    let into = target.path();
    let failed = Error::io("write", &into);
    let mut blob = repo.blob(file.version.id, MAX_BLOB)?;
    let mut pointer = file.pointer;
    let placed = Placed::create(&store, target)?;
    if let Some(pointer) = pointer {
        placed.fill(&object(repo, pointer)?)?;
    } else {
        placed.file().write_all(&blob).map_err(failed)?;
        // Weights go under Git LFS here, whatever the pull request did; a shard index only if the attributes say so.
        let is_index = !path.ends_with(b".safetensors");
        if !is_index || repo.filter_of(path.as_bstr())? == Filter::Lfs {
            let new = Pointer { oid: Oid::of(&blob), size: blob.len() as u64 };
            let mut object = NewObject::create(&store)?;
            object.write_all(&blob).map_err(failed)?;
            object.commit(new.oid, new.size)?;
            (blob, pointer) = (new.to_string().into_bytes(), Some(new));
        }
    }
    if executable {
        placed.make_executable()?;
    }
    Ok(Piece { path, blob, executable, pointer, placed })
}

/// Stages only these files, with the `.gitattributes` that they need.
pub(super) fn stage(session: &Session<'_>, repo: &Repo, pieces: Vec<Piece>) -> Result<(), Error> {
    let workspace = Workspace::open(repo, session)?;
    for piece in &pieces {
        check_free(&workspace, piece)?;
    }
    let mut undo = Undo::new(repo);
    give_names(repo, pieces, &mut undo, session.reporter).inspect_err(|_| undo.all())
}

fn give_names(
    repo: &Repo,
    pieces: Vec<Piece>,
    undo: &mut Undo<'_>,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let pointers: Vec<_> =
        pieces.iter().filter(|piece| piece.pointer.is_some()).map(|piece| piece.path.clone()).collect();
    let (mut changes, notes) = write_attributes(repo, &pointers, undo)?;
    for Piece { path, blob, executable, placed, .. } in pieces {
        undo.give(path.as_bstr(), || Ok(placed.publish(true)?))?;
        let stat_of = Some(repo.target(path.as_bstr())?.path());
        changes.push(Change::Add { path, blob, stat_of, executable });
    }
    repo.stage(&changes)?;
    undo.keep();
    for note in &notes {
        reporter.note(note);
    }
    Ok(())
}

/// Checks that the path may be given to this file.
fn check_free(workspace: &Workspace<'_>, piece: &Piece) -> Result<(), Error> {
    let repo = workspace.repo;
    let in_the_way = || Error::InTheWay { path: piece.path.clone() };
    if workspace.mode(piece.path.as_bstr()).is_some() {
        if workspace.is_staged(piece.path.as_bstr(), &piece.blob)? {
            return same_or_unmodified(workspace, piece);
        }
        if !repo.is_committed([&piece.path])? {
            return Err(in_the_way());
        }
        return workspace.check_unmodified(piece.path.as_bstr()).map_err(|_| in_the_way());
    }
    let is_there = repo.target(piece.path.as_bstr())?.metadata()?.is_some();
    if is_there && !is_same(repo, piece)? { Err(in_the_way()) } else { Ok(()) }
}

fn same_or_unmodified(workspace: &Workspace<'_>, piece: &Piece) -> Result<(), Error> {
    match workspace.check_unmodified(piece.path.as_bstr()) {
        Err(Error::Modified | Error::Hidden { .. }) if !is_same(workspace.repo, piece)? => {
            Err(Error::InTheWay { path: piece.path.clone() })
        }
        Err(Error::Modified | Error::Hidden { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns `true` if the file of the working tree is the content, or its pointer.
fn is_same(repo: &Repo, piece: &Piece) -> Result<bool, Error> {
    let target = repo.target(piece.path.as_bstr())?;
    let Some(metadata) = target.metadata()? else { return Ok(false) };
    let path = target.path();
    let failed = Error::io("read", &path);
    if metadata.len() == piece.blob.len() as u64 && std::fs::read(&path).map_err(failed)? == piece.blob {
        return Ok(true);
    }
    match piece.pointer {
        Some(pointer) if metadata.len() == pointer.size => {
            let file = OnDisk::open(&path).and_then(FileSource::new).map_err(failed)?;
            Ok(oid(&file, &()).map_err(failed)? == pointer.oid)
        }
        _ => Ok(false),
    }
}

/// Replaces the pointers that git has checked out by content, with the `.gitattributes` that they need. Files that the
/// index no longer has in the pull request's version, and files that the user changed, stay.
pub(super) fn fill_in(
    repo: &Repo,
    pieces: Vec<Piece>,
    versions: &[(BString, ObjectId)],
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let entries = repo.entries()?;
    let mut wanted = Vec::new();
    for piece in pieces.into_iter().filter(|piece| piece.pointer.is_some()) {
        let id = versions.iter().find(|(path, _)| *path == piece.path).map(|(_, id)| *id);
        let entry = entries.iter().find(|entry| entry.path == piece.path && entry.stage == 0);
        let Some(entry) = entry.filter(|entry| Some(entry.id) == id && !entry.skip_worktree) else {
            continue;
        };
        let target = repo.target(piece.path.as_bstr())?;
        let is_whole = |len: u64| piece.pointer.is_some_and(|pointer| pointer.size == len);
        match target.metadata()? {
            Some(metadata) if is_whole(metadata.len()) && repo.is_unchanged(entry, &target.path()) => {}
            Some(_) if is_same(repo, &piece)? => wanted.push(piece),
            _ => {}
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let paths: Vec<_> = wanted.iter().map(|piece| piece.path.clone()).collect();
    if let Err(error) = repo.plan_attributes(&paths) {
        // Without the filter git would report the content as a change, and add it without Git LFS.
        reporter.note(&Note::Remote(RemoteNote::LeftPointers { reason: error.to_string() }));
        return Ok(());
    }
    let mut undo = Undo::new(repo);
    give_names(repo, wanted, &mut undo, reporter).inspect_err(|_| undo.all())
}
