//! What is only on the LFS server: planned by ranges and converted while it passes by, or else downloaded first.

use std::fs::File;
use std::path::Path;

use bstr::BStr;

use super::super::Error;
use super::super::content::{LocalFile, Located};
use super::job::{Job, Written};
use super::pass::Pass;
use super::repository::Run;
use crate::lfs::{Incomplete, NewObject, Pointer, Resumable, space};

impl Run<'_> {
    /// Plans a checkpoint that is on the server. What cannot be converted while it passes by is downloaded first.
    pub(super) fn prepare_there(
        &self,
        path: &BStr,
        pointer: Pointer,
        class: Option<&str>,
    ) -> Result<Job, Error> {
        match self.pass_by(pointer, class)? {
            Some(job) => Ok(job),
            None => self.download(path, pointer, class),
        }
    }

    /// Plans a checkpoint that is on the server, if it can be converted while it passes by.
    pub(super) fn pass_by(&self, pointer: Pointer, class: Option<&str>) -> Result<Option<Job>, Error> {
        let server = self.workspace.remote.server_for(pointer)?;
        if self.options.keep_source && !self.options.dry_run {
            return Ok(None);
        }
        let object = server.object(pointer);
        let job = match object.ranged()? {
            Some(bytes) => Job::prepare_there(pointer, &bytes, class, self.options)?,
            None => None,
        };
        if job.is_none() && self.options.dry_run { Err(Error::NoRanges) } else { Ok(job) }
    }

    /// Downloads what was planned from afar, and did not turn out as it was foreseen.
    pub(super) fn fetch(&self, path: &BStr, job: &Job) -> Result<Job, Error> {
        match &job.located {
            Located::There(pointer) => self.download(path, *pointer, self.workspace.class(path).as_deref()),
            Located::Here(_) => Err(Error::SourceChanged),
        }
    }

    /// Downloads a checkpoint: into the store if it is to be kept, else beside it, as long as it is needed.
    pub(super) fn download(&self, path: &BStr, pointer: Pointer, class: Option<&str>) -> Result<Job, Error> {
        let Pointer { oid, size } = pointer;
        let server = self.workspace.remote.server_for(pointer)?;
        let store = self.repo.store();
        space::check(store.dir(), size.saturating_sub(Incomplete::taken(&store, oid)))?;
        if self.options.keep_source {
            server.download(self.repo, &[(path, pointer)], self.reporter)?;
            return Job::prepare(LocalFile::object(Some(self.repo), path, pointer)?, class, self.options);
        }
        let part = server.download_beside(self.repo, path, pointer, self.reporter)?;
        let planned = LocalFile::open(path, part.path(), Some(pointer))
            .and_then(|source| Job::prepare(source, class, self.options));
        match planned {
            Ok(job) => Ok(Job { passing: Some(part).into(), ..job }),
            Err(error) => {
                // Asked for again with another option it need not come again.
                if error.is_refusal() && !error.is_lifted_by_an_option() {
                    part.discard()?;
                }
                Err(error)
            }
        }
    }

    /// Converts while it is downloaded.
    pub(super) fn convert_there(
        &self,
        job: &Job,
        name: &BStr,
        pointer: Pointer,
        path: &Path,
        copy: Option<&File>,
    ) -> Result<(NewObject, Written), Error> {
        let (store, Pointer { oid, size }) = (self.repo.store(), pointer);
        let server = self.workspace.remote.server_for(pointer)?;
        let object = Resumable::open(&store, oid)?;
        let pass = Pass { plan: &job.plan, layout: &job.layout, pointer, object: &object, copy, path };
        self.reporter.started(name, size);
        let written = pass.run(server, self.reporter);
        self.reporter.finished();
        match written {
            Ok(written) => Ok((NewObject::from(object), written)),
            Err(_) if self.reporter.is_interrupted() => Err(Error::Interrupted),
            Err(error) => {
                // No later run can go on with what is wrong in itself.
                if error.is_refusal() {
                    object.discard()?;
                }
                Err(error)
            }
        }
    }
}
