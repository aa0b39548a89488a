//! Scans the pickles that are values of another format: in HDF5, `MessagePack`, JSON and arrays of numpy.

use std::io;

use super::super::archive::{self, below};
use super::super::numpy::Objects;
use super::super::pickles::End;
use super::super::{Content, code, hdf5, msgpack, numpy, pickles, serialized};
use super::Look;
use crate::read_at::{ReadAt, Window};

impl Look<'_> {
    /// Scans the pickles that are values in an HDF5 file, or in a `MessagePack` file that no archive contains.
    pub(super) fn values(
        &mut self,
        hdf5: bool,
        source: &dyn ReadAt,
        place: (Option<&str>, usize),
    ) -> io::Result<()> {
        let ((member, depth), limits, storages) = (place, self.limits, self.storages);
        if !hdf5 && !member.is_none_or(archive::is_packed_alone) {
            return Ok(());
        }
        let find = if hdf5 { hdf5::pickles } else { msgpack::pickles };
        let tell = &mut |at, stream| self.pickles(source, stream, at, member, depth);
        match find(source, limits, storages, tell)? {
            End::Whole => {}
            End::Beginning => self.searched_only(Some(code::limit("MessagePack", code::BEGINNING)), member),
            End::TooMany(what) => self.unreadable(member, &format!("more {what} than the limit")),
        }
        Ok(())
    }

    /// Scans the pickles in a JSON text.
    pub(super) fn serialized(
        &mut self,
        source: &dyn ReadAt,
        member: Option<&str>,
        depth: usize,
    ) -> io::Result<()> {
        let Some(text) = self.read_whole(source, member)? else { return Ok(()) };
        for (number, pickle) in serialized::pickles(&text).iter().enumerate() {
            self.at(
                pickle,
                Some(&below(member, &format!("(serialized {number})"))),
                depth.saturating_add(1),
            )?;
        }
        Ok(())
    }

    pub(super) fn numpy(
        &mut self,
        source: &dyn ReadAt,
        member: Option<&str>,
        depth: usize,
    ) -> io::Result<Content> {
        match numpy::elements(source)? {
            None => self.unreadable(member, "unreadable numpy header"),
            Some((_, Objects::No)) => {}
            Some((at, objects)) => {
                let elements = Window::new(source, at, source.len().saturating_sub(at))?;
                match pickles::stream(&elements, self.limits)? {
                    None if objects == Objects::Perhaps => {}
                    None => self.unreadable(member, "object array without a pickle"),
                    Some(stream) => self.pickles(source, stream, at, member, depth)?,
                }
            }
        }
        Ok(Content::Npy)
    }
}
