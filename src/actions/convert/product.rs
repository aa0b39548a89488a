//! [`Product`] is a file whose bytes are written and checked, and that has no name yet; [`Task`] is its purpose.
//!
//! Invariant: a dropped product leaves nothing in the working tree. Another module gives it its name.

use bstr::BString;

use super::super::{Conversion, Error};
use super::Maker;
use super::index::ShardContents;
use super::job::Written;
use crate::lfs::{Incomplete, NewObject, Placed, Target};
use crate::repo::FileStat;

/// A checkpoint, and the path of its safetensors file.
pub(super) struct Task {
    pub(super) path: BString,
    pub(super) output: BString,
    /// The file of the working tree.
    pub(super) target: Target,
    /// The model's class.
    pub(super) class: Option<String>,
    /// The size of the existing file, which may be identical.
    pub(super) existing: Option<u64>,
    /// `true` if the existing file may differ.
    pub(super) may_replace: bool,
    /// The stat data of the checkpoint in the working tree before it was read.
    pub(super) source_stat: Option<FileStat>,
}

impl Task {
    /// Returns `true` if a file of this size exists, which may be identical.
    ///
    /// # Errors
    /// [`Error::OutputExists`]: a file of another size differs; one of the same size is compared when the object ID is
    /// known.
    pub(super) fn is_there(&self, maker: &Maker<'_>, size: u64) -> Result<bool, Error> {
        match self.existing {
            _ if maker.options.force || self.may_replace => Ok(false),
            Some(existing) if existing != size => Err(Error::OutputExists { output: self.output.clone() }),
            existing => Ok(existing.is_some()),
        }
    }

    /// Creates a working-tree file without its name; `None` if a pointer is left.
    pub(super) fn placed(&self, maker: &Maker<'_>) -> Result<Option<Placed>, Error> {
        if maker.options.pointer_only {
            return Ok(None);
        }
        Ok(Some(Placed::create(&maker.store, self.target.clone())?))
    }
}

/// A finished file.
pub(super) struct Product {
    /// The checkpoint.
    pub(super) path: BString,
    pub(super) output: BString,
    pub(super) written: Written,
    pub(super) conversion: Conversion,
    /// The LFS object.
    pub(super) object: NewObject,
    /// Its contents.
    pub(super) contents: ShardContents,
    /// The source, if it was downloaded only for this conversion.
    pub(super) passing: Option<Incomplete>,
    /// The working-tree file; `None` for a pointer.
    pub(super) placed: Option<Placed>,
    /// `true` if a file exists at its path, which must be identical.
    pub(super) is_there: bool,
}

impl Product {
    /// Removes all of it.
    pub(super) fn discard(self) -> Result<(), Error> {
        self.object.discard()?;
        Ok(self.passing.map_or(Ok(()), Incomplete::discard)?)
    }
}
