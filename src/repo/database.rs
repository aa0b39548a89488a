//! [`Database`]: the objects that a hook sees, those in quarantine included; bare repositories have one too.
//!
//! Invariant: nothing is written or fetched, and no object longer than the caller's limit is read. A commit that is
//! being received lies in a directory of its own, which git names in the environment and nowhere else.

use std::path::{Path, PathBuf};

use gix::objs::{Find as _, FindHeader as _, Kind};

use super::{Error, ObjectId, Repo, Result};

/// The objects of a repository, and of other object directories.
pub struct Database {
    places: Vec<gix::odb::Handle>,
    buf: Vec<u8>,
}

/// What is under the name of an object.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A blob of at most the limit.
    Blob(Vec<u8>),
    /// A blob of this many bytes, more than the limit.
    Large(u64),
    /// A tree, a commit or a tag.
    Other,
    /// Nothing here: a partial clone left it out.
    Missing,
}

impl Repo {
    /// Finds the repository of a hook: as [`Repo::discover`], but it may be bare, and then [`Repo::work_dir`] is its
    /// git directory; and it may keep its references in any format, since none is read.
    ///
    /// # Errors
    /// [`Error::NotTrusted`], [`Error::UnsupportedFormat`], or [`Error::Open`].
    pub fn discover_for_hook(dir: &Path) -> Result<Option<Self>> {
        let Some(inner) = super::open(dir)? else { return Ok(None) };
        let git_dir = super::checked(&inner, &["objectFormat"])?;
        let work_dir = inner.workdir().map_or(git_dir, Path::to_owned);
        let work_dir = std::path::absolute(&work_dir).map_err(Error::io("find", work_dir))?;
        Ok(Some(Self { inner, work_dir }))
    }

    /// Has it no work tree?
    pub fn is_bare(&self) -> bool {
        self.inner.workdir().is_none()
    }

    /// The objects of this repository, and of these directories, which are asked first.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn database(&self, object_dirs: &[PathBuf]) -> Result<Database> {
        let other = |dir: &PathBuf| {
            let store = gix::odb::at(dir, self.inner.object_hash()).map_err(Error::io("read", dir))?;
            Ok(store)
        };
        let dirs = object_dirs.iter().filter(|dir| dir.is_dir());
        let mut places = dirs.map(other).collect::<Result<Vec<_>>>()?;
        places.push(gix::odb::Handle::clone(&self.inner.objects));
        // git has written all that is to be seen before it calls a hook.
        for place in &mut places {
            place.refresh_never();
        }
        Ok(Database { places, buf: Vec::new() })
    }
}

impl Database {
    /// Is the object here?
    pub fn has(&self, id: ObjectId) -> bool {
        use gix::objs::Exists as _;
        self.places.iter().any(|place| place.exists(&id))
    }

    /// Reads a blob of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Object`] for a damaged object database.
    pub fn find(&mut self, id: ObjectId, limit: u64) -> Result<Found> {
        let damaged = |source| Error::Object { id, source };
        for place in &self.places {
            let Some(header) = place.try_header(&id).map_err(damaged)? else { continue };
            if header.kind != Kind::Blob {
                return Ok(Found::Other);
            }
            if header.size > limit {
                return Ok(Found::Large(header.size));
            }
            let found = place.try_find(&id, &mut self.buf).map_err(damaged)?;
            return Ok(found.map_or(Found::Missing, |data| Found::Blob(data.data.to_vec())));
        }
        Ok(Found::Missing)
    }
}
