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

/// A checkpoint, and where its safetensors file goes.
pub(super) struct Task {
    pub(super) path: BString,
    pub(super) output: BString,
    /// The file of the work tree.
    pub(super) target: Target,
    /// The model's class.
    pub(super) class: Option<String>,
    /// The size of what stands there already, which may be the same.
    pub(super) existing: Option<u64>,
    /// `true` if it may be another.
    pub(super) may_replace: bool,
    /// The stat data of the checkpoint in the working tree before it was read.
    pub(super) source_stat: Option<FileStat>,
}

impl Task {
    /// Returns `true` if something is where a file of this size goes, which may be the same.
    ///
    /// # Errors
    /// [`Error::OutputExists`]: of another size it is another file; of this one it is compared when the oid is known.
    pub(super) fn is_there(&self, maker: &Maker<'_>, size: u64) -> Result<bool, Error> {
        match self.existing {
            _ if maker.options.force || self.may_replace => Ok(false),
            Some(existing) if existing != size => Err(Error::OutputExists { output: self.output.clone() }),
            existing => Ok(existing.is_some()),
        }
    }

    /// A work-tree file that has no name yet; `None` where a pointer is left.
    pub(super) fn placed(&self, maker: &Maker<'_>) -> Result<Option<Placed>, Error> {
        if maker.options.pointer_only {
            return Ok(None);
        }
        Ok(Some(Placed::create(&maker.store, self.target.clone())?))
    }
}

/// A file that is made.
pub(super) struct Product {
    /// The checkpoint.
    pub(super) path: BString,
    pub(super) output: BString,
    pub(super) written: Written,
    pub(super) conversion: Conversion,
    /// The object.
    pub(super) object: NewObject,
    /// What it holds.
    pub(super) contents: ShardContents,
    /// The source, if it was downloaded for this conversion alone.
    pub(super) passing: Option<Incomplete>,
    /// The work-tree file; `None` for a pointer.
    pub(super) placed: Option<Placed>,
    /// `true` if something is where it goes, which has to be the same.
    pub(super) is_there: bool,
}

impl Product {
    /// Leaves nothing of it.
    pub(super) fn discard(self) -> Result<(), Error> {
        self.object.discard()?;
        Ok(self.passing.map_or(Ok(()), Incomplete::discard)?)
    }
}
