//! Makes a [`Product`] from a plan: the object and the working-tree file, written and checked.
//!
//! Invariant: nothing has a name yet, and no repository is used: two files of a unit can be made at the same time.

use std::fs::File;
use std::path::Path;

use bstr::{BStr, ByteSlice as _};

use super::super::Error;
use super::super::content::Located;
use super::Maker;
use super::finished;
use super::index::ShardContents;
use super::job::{Into, Job, Written};
use super::pass::Pass;
use super::plan::{Later, Need, Planned, Work, check_space, download, prepare, tell};
use super::product::{Product, Task};
use crate::checkpoint;
use crate::lfs::{NewObject, Placed, Pointer, Resumable};

/// Makes a file.
pub(super) fn make(maker: &Maker<'_>, planned: Planned, is_of_set: bool) -> Result<Product, Error> {
    let Planned { task, work } = planned;
    match work {
        Work::Ready(job) => make_from(maker, &task, &job, is_of_set),
        Work::Later(later) => make_later(maker, &task, *later),
    }
}

/// Makes a shard when its turn has come.
fn make_later(maker: &Maker<'_>, task: &Task, later: Later) -> Result<Product, Error> {
    let Later { located, finished } = later;
    let (path, class) = (task.path.as_bstr(), task.class.as_deref());
    let is_known_to_stay = finished.is_none();
    if let Some(finished) = finished
        && let Some(product) = finished.take(maker, task)?
    {
        return Ok(product);
    }
    let job = match located {
        // The plan already showed that it cannot be converted during the download.
        Located::There(pointer) if is_known_to_stay => download(maker, path, pointer, class)?,
        located => prepare(maker, path, located, class)?,
    };
    tell(maker.reporter, path, &job);
    task.is_there(maker, job.recipe.layout.size())?;
    check_space(maker, [Need::of(&maker.store, &job)])?;
    make_from(maker, task, &job, true)
}

/// Makes a file; a checkpoint that differs from its plan from ranges is downloaded first.
fn make_from(maker: &Maker<'_>, task: &Task, job: &Job, is_of_set: bool) -> Result<Product, Error> {
    match (write(maker, task, job, is_of_set), &job.located) {
        (Err(Error::Checkpoint(checkpoint::Error::Unforeseen { .. })), Located::There(pointer)) => {
            let job = download(maker, task.path.as_bstr(), *pointer, task.class.as_deref())?;
            write(maker, task, &job, is_of_set)
        }
        (Err(Error::Checkpoint(checkpoint::Error::Unforeseen { .. })), Located::Here(_)) => {
            Err(Error::SourceChanged)
        }
        (made, _) => made,
    }
}

/// Writes the object and the working-tree file.
fn write(maker: &Maker<'_>, task: &Task, job: &Job, is_of_set: bool) -> Result<Product, Error> {
    let is_there = task.is_there(maker, job.recipe.layout.size())?;
    let into = task.target.path();
    let placed = task.placed(maker)?;
    let copy = placed.as_ref().map(Placed::file);
    let converted = match &job.located {
        Located::Here(file) => write_here(maker, job, file.pointer.filter(|_| is_of_set), &into, copy),
        Located::There(pointer) => write_there(maker, job, task.path.as_bstr(), *pointer, &into, copy),
    };
    if converted.as_ref().is_err_and(Error::is_refusal) {
        job.drop_source()?;
    }
    let (object, written) = converted?;
    let conversion = job.facts(written.into());
    if let (true, Some(source)) = (is_of_set, job.located.pointer()) {
        finished::remember(maker, task.class.as_deref(), &object, source, &conversion)?;
        // Only one downloaded source is on the disk at a time.
        job.drop_source()?;
    }
    let (path, output) = (task.path.clone(), task.output.clone());
    let contents = ShardContents::of(path.as_bstr(), output.as_bstr(), job);
    let passing = job.passing.take();
    Ok(Product { path, output, written, conversion, object, contents, passing, placed, is_there })
}

/// Converts a staged file again, only into LFS storage. A checkpoint with an undecided plan is not converted.
pub(super) fn make_again(maker: &Maker<'_>, planned: &Planned) -> Result<Product, Error> {
    let (Planned { task, .. }, Work::Ready(job)) = (planned, &planned.work) else {
        return Err(Error::SourceChanged);
    };
    let (object, written) = write_here(maker, job, None, &maker.store.tmp_dir(), None)?;
    job.drop_source()?;
    let (path, output) = (task.path.clone(), task.output.clone());
    let contents = ShardContents::of(path.as_bstr(), output.as_bstr(), job);
    let (conversion, placed, is_there) = (job.facts(written.into()), None, true);
    Ok(Product { path, output, written, conversion, object, contents, passing: None, placed, is_there })
}

/// `source`: what a later run could resume, if the file belongs to a sharded checkpoint.
fn write_here(
    maker: &Maker<'_>,
    job: &Job,
    source: Option<Pointer>,
    path: &Path,
    second: Option<&File>,
) -> Result<(NewObject, Written), Error> {
    let store = &maker.store;
    let object = match source {
        Some(source) => {
            let made = Resumable::open(store, source.oid)?;
            made.clear()?;
            NewObject::from(made)
        }
        None => NewObject::create(store)?,
    };
    let spool = || {
        let spool = store.temp()?;
        spool.file().try_clone().map_err(Error::io("write", path))
    };
    match job.run(&Into { path, first: object.file(), second }, &spool, maker.reporter) {
        Ok(written) => Ok((object, written)),
        Err(error) => {
            // An incomplete object is not useful: it is read from its source again.
            object.discard()?;
            Err(error)
        }
    }
}

/// Converts while the checkpoint is downloaded.
fn write_there(
    maker: &Maker<'_>,
    job: &Job,
    name: &BStr,
    pointer: Pointer,
    path: &Path,
    copy: Option<&File>,
) -> Result<(NewObject, Written), Error> {
    let Maker { store, reporter, .. } = maker;
    let server = maker.server_for(pointer)?;
    let object = Resumable::open(store, pointer.oid)?;
    let pass =
        Pass { plan: &job.recipe.plan, layout: &job.recipe.layout, pointer, object: &object, copy, path };
    reporter.started(name, pointer.size);
    let written = pass.run(server, *reporter);
    reporter.finished();
    match written {
        Ok(written) => Ok((NewObject::from(object), written)),
        Err(_) if reporter.is_interrupted() => Err(Error::Interrupted),
        Err(error) => {
            // No later run can use wrong data.
            if error.is_refusal() {
                object.discard()?;
            }
            Err(error)
        }
    }
}
