//! Reads a safetensors file at any location: its header by ranges, its bytes in order, or from a temporary file.
//!
//! Invariant: from a server, only the bytes that the caller needs are requested; [`Verified::downloaded`] counts those
//! of the file itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use bstr::BStr;

use super::super::content::{Bytes, LocalFile};
use super::super::lfs_remote::{LfsRemote, Server};
use super::super::shard_index::Tensors;
use super::super::{Error, Reporter};
use super::{Finding, Verified};
use crate::checkpoint::Plan;
use crate::lfs::{Pointer, Temp};
use crate::read_at::{FileSource, ReadAt};
use crate::remote::Consumer;
use crate::repo::Repo;
use crate::safetensors::compare::Comparison;
use crate::safetensors::conversions::Conversions;
use crate::safetensors::{self, Info};

/// Creates a temporary file: in LFS storage, or without a repository in the current directory.
pub(super) fn spool(repo: Option<&Repo>, cwd: &Path) -> Result<Temp, Error> {
    match repo {
        Some(repo) => Ok(repo.store().temp()?),
        None => Temp::hidden_in(cwd).map_err(Error::io("write", cwd)),
    }
}

/// The parts that read files.
pub(super) struct Reader<'a> {
    /// The remote for content that is not local, if there is one.
    pub(super) server: Option<&'a LfsRemote<'a>>,
    /// Creates a temporary file.
    pub(super) spool: &'a dyn Fn() -> Result<Temp, Error>,
    /// `true` if object IDs are needed that no pointer states.
    pub(super) hashes: bool,
    pub(super) reporter: &'a dyn Reporter,
}

impl Reader<'_> {
    pub(super) fn server(&self, pointer: Pointer) -> Result<&Server<'_>, Error> {
        let Pointer { oid, size } = pointer;
        self.server.ok_or(Error::NoObject { oid, size })?.server_for(pointer)
    }

    /// Downloads an object into a temporary file without a visible name.
    pub(super) fn download(&self, name: &BStr, pointer: Pointer) -> Result<Bytes, Error> {
        let temp = (self.spool)()?;
        let path = temp.path().to_owned();
        self.reporter.started(name, pointer.size);
        let mut file = temp.file();
        let streamed = self.server(pointer)?.object(pointer).stream(0, &mut |_, bytes| {
            self.reporter.advanced(bytes.len() as u64);
            file.write_all(bytes)
        });
        self.reporter.finished();
        streamed?;
        let read_back = temp.file().try_clone();
        let opened = read_back.and_then(|file| LocalFile::opened(name, &path, file, Some(pointer)));
        opened.map(Bytes::Here).map_err(Error::io("read", &path))
    }

    /// Returns `true` if the file is on a server that does not support range requests.
    pub(super) fn is_whole_alone(&self, file: &Bytes) -> Result<bool, Error> {
        match file.here() {
            Ok(_) => Ok(false),
            Err(pointer) => Ok(self.server(pointer)?.object(pointer).ranged()?.is_none()),
        }
    }

    /// Returns the header of the file; `None` if it is not a safetensors file, which is a finding.
    pub(super) fn header(&self, file: &Bytes, verified: &mut Verified) -> Result<Option<Header>, Error> {
        let read = match file.here() {
            Ok(file) => safetensors::read(file),
            Err(pointer) => {
                verified.downloaded = true;
                let object = self.server(pointer)?.object(pointer);
                let bytes = object.ranged()?.ok_or(Error::NoRanges)?;
                safetensors::read(&bytes)
            }
        };
        match read {
            Ok((infos, metadata)) => Ok(Some(Header { infos, metadata })),
            Err(error @ safetensors::Error::Io(_)) => Err(error.into()),
            Err(error) => {
                verified.findings.push(Finding::Invalid(error));
                Ok(None)
            }
        }
    }

    /// Returns the first bytes of an object.
    pub(super) fn fetch(&self, pointer: Pointer, len: usize) -> Result<Vec<u8>, Error> {
        let object = self.server(pointer)?.object(pointer);
        let bytes = object.ranged()?.ok_or(Error::NoRanges)?;
        Ok(bytes.read_vec_at(0, len).map_err(safetensors::Error::Io)?)
    }

    /// Returns the names and sizes of a file's tensors, and compares nothing.
    pub(super) fn names(&self, file: &Bytes) -> Result<Tensors, Error> {
        let mut unseen = Verified::default();
        let header = self.header(file, &mut unseen)?;
        let infos = header.into_iter().flat_map(|header| header.infos);
        Ok(infos.map(|info| (info.name, info.bytes)).collect())
    }

    /// Passes the bytes of a file on a server to `each`, in order.
    pub(super) fn stream(&self, pointer: Pointer, each: Consumer<'_>) -> Result<(), Error> {
        Ok(self.server(pointer)?.object(pointer).stream(0, each)?)
    }
}

/// Returns a second handle of a temporary file, which stays valid if the name is removed.
pub(super) fn read_back(temp: &Temp, path: &Path) -> Result<FileSource, Error> {
    temp.file().try_clone().and_then(|file: File| FileSource::new(file)).map_err(Error::io("read", path))
}

/// The header of the file.
pub(super) struct Header {
    pub(super) infos: Vec<Info>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Header {
    pub(super) fn compare(&self, plan: &Plan, conversions: &Conversions<'_>) -> Comparison {
        Comparison::new(plan, &self.infos, &self.metadata, &conversions.ties())
    }

    /// Returns `true` if the file has other tensors. The differences become findings.
    pub(super) fn differs(
        &self,
        plan: &Plan,
        conversions: &Conversions<'_>,
        verified: &mut Verified,
    ) -> bool {
        let comparison = self.compare(plan, conversions);
        verified.more = comparison.more;
        let differs = !comparison.differences.is_empty();
        verified.findings.extend(comparison.differences.into_iter().map(Finding::Tensor));
        differs
    }
}

/// A source that fails to read after the user has interrupted the run.
pub(super) struct Watched<'a> {
    pub(super) source: &'a dyn ReadAt,
    pub(super) reporter: &'a dyn Reporter,
}

impl ReadAt for Watched<'_> {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        if self.reporter.is_interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.source.read_exact_at(buf, at)
    }
}
