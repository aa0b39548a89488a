//! What stands already where a safetensors file goes.
//!
//! A file that nobody staged may be what a killed run left, and one that is staged may be the reason to let the
//! checkpoint go. Neither is believed: the conversion is done again, and only the very same bytes count.

use bstr::{BStr, BString};

use super::super::content::{LocalFile, Located, oid as oid_of};
use super::super::{Conversion, Error, names};
use super::index::NewIndex;
use super::job::{Into, Written};
use super::planning::Planned;
use super::repository::Run;
use super::sets::{ShardedCheckpoint, Unit};
use crate::hash::Oid;
use crate::lfs::{NewObject, Pointer};
use crate::read_at::ReadAt as _;
use crate::safetensors::shard::{self, Index};

/// A file, or a pointer, where a safetensors file goes.
pub(super) struct ExistingOutput(Located);

impl ExistingOutput {
    /// Its length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.0.size()
    }

    /// Is it this content? A pointer says it.
    pub(super) fn is(&self, oid: Oid, size: u64) -> bool {
        let found = match (&self.0, self.0.pointer()) {
            (_, Some(pointer)) => Some(pointer.oid),
            (Located::Here(file), None) if file.size() == size => oid_of(&file.file, &()).ok(),
            _ => None,
        };
        found == Some(oid) && self.size() == size
    }

    /// Is it a shard index that says the same as this one?
    fn says(&self, index: &str) -> bool {
        let Located::Here(file @ LocalFile { pointer: None, .. }) = &self.0 else { return false };
        let len = usize::try_from(file.size().min(shard::MAX_LEN)).unwrap_or(0);
        let text = file.file.read_vec_at(0, len).unwrap_or_default();
        Index::parse(&text).ok().is_some_and(|there| Index::parse(index.as_bytes()).ok() == Some(there))
    }
}

impl Run<'_> {
    /// What is in the work tree under this name, or else in the index.
    pub(super) fn there(&self, output: &BStr) -> Result<Option<ExistingOutput>, Error> {
        let opened = match LocalFile::work_tree(self.repo, output, None) {
            Err(Error::NotFound) if self.workspace.contains(output) => self.workspace.local(output),
            opened => opened,
        };
        match opened {
            Ok(file) => Ok(Some(ExistingOutput(Located::Here(file)))),
            Err(Error::NoObject { oid, size }) => {
                Ok(Some(ExistingOutput(Located::There(Pointer { oid, size }))))
            }
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stands another index where the new one goes? One with other spaces or line ends is none.
    pub(super) fn check_index(&self, index: &NewIndex) -> Result<(), Error> {
        let (oid, size) = (Oid::of(index.text.as_bytes()), index.text.len() as u64);
        match self.there(index.path.as_ref())? {
            Some(there) if !self.options.force && !there.is(oid, size) && !there.says(&index.text) => {
                Err(Error::OutputExists { output: index.path.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Is there a commit to be made of what an earlier run staged?
    pub(super) fn is_to_be_committed(&self, unit: &Unit, outputs: &[BString]) -> Result<bool, Error> {
        if self.options.commit.is_none() || self.options.dry_run {
            return Ok(false);
        }
        let index = unit.set.as_ref().map(|set| names::safetensors_index(set.index.as_ref()));
        let is_committed = self.repo.is_committed(outputs.iter().chain(&index))?
            && self.repo.plan_committed_attributes(outputs)?.is_empty();
        Ok(!is_committed)
    }

    /// Converts into the store alone: is the very same staged? Its object is there then.
    pub(super) fn prove_staged(&self, planned: &Planned) -> Result<(Written, Conversion), Error> {
        let Some(job) = planned.job() else { return Err(Error::SourceChanged) };
        let store = self.repo.store();
        let object = NewObject::create(&store)?;
        let path = store.tmp_dir();
        let spool = || {
            let spool = store.temp()?;
            spool.file().try_clone().map_err(Error::io("write", &path))
        };
        let into = Into { path: &path, first: object.file(), second: None };
        let written = job.run(&into, &spool, self.reporter)?;
        job.drop_source()?;
        let staged = self.workspace.staged_pointer(planned.output.as_ref())?;
        if staged != Some(Pointer { oid: written.oid, size: written.size }) {
            return Err(Error::OutputExists { output: planned.output.clone() });
        }
        object.commit(written.oid, written.size)?;
        Ok((written, job.facts(Some(written))))
    }

    /// Is every output of a unit there and staged, so that there is nothing to do? Gives the outputs.
    pub(super) fn up_to_date(&self, unit: &Unit) -> Result<Option<Vec<BString>>, Error> {
        let is_tracked = |path: &BString| self.workspace.contains(path.as_ref());
        let index = unit.set.as_ref().map(|ShardedCheckpoint { index, .. }| index);
        let mut sources = unit.files.iter().map(|file| &file.path).chain(index);
        let is_own_source = |path: &BString| names::safetensors(path.as_ref()) == *path;
        if unit.files.iter().any(|file| is_own_source(&file.path)) {
            return Ok(None);
        }
        if self.options.force || (self.options.replace && sources.any(is_tracked)) {
            return Ok(None);
        }
        let outputs: Vec<_> = unit.files.iter().map(|file| names::safetensors(file.path.as_ref())).collect();
        let index = index.map(|index| names::safetensors_index(index.as_ref()));
        for path in outputs.iter().chain(&index) {
            // A link or a directory of that name is no result; the plan refuses it.
            let is_link = self.repo.target(path.as_ref())?.metadata().is_err();
            if is_link || !is_tracked(path) {
                return Ok(None);
            }
        }
        Ok(Some(outputs))
    }
}
