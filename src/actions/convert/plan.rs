//! Makes the decisions about a file before anything is written.
//!
//! Invariant: everything about a unit that does not need its bytes is known before its long work begins. A shard that
//! must be downloaded for that waits for its turn, so that only one of them is local at a time.

use bstr::{BStr, BString, ByteSlice as _};

use super::super::content::{LocalFile, Located};
use super::super::{Conversion, Error, Reporter, names};
use super::finished::FinishedShard;
use super::index::ShardContents;
use super::job::{Job, Oids};
use super::ledger::Ledger;
use super::output::may_replace;
use super::product::Task;
use super::sets::{Candidate, Others};
use super::{Context, Maker};
use crate::checkpoint::{self, Foreign};
use crate::lfs::space::{self, NoSpace};
use crate::lfs::{Incomplete, Pointer, Resumable, Store, worktree_file};
use crate::repo::FileStat;

/// A file of a unit, and its plan.
pub(super) struct Planned {
    pub(super) task: Task,
    pub(super) work: Work,
}

/// The plan for a file.
pub(super) enum Work {
    /// The job is known.
    Ready(Box<Job>),
    /// The job will be known in the file's turn.
    Later(Box<Later>),
}

/// A shard that waits for its turn.
pub(super) struct Later {
    pub(super) located: Located,
    /// The safetensors file that an earlier run made from it.
    pub(super) finished: Option<FinishedShard>,
}

impl Planned {
    /// Returns the job, if it is known by now.
    fn job(&self) -> Option<&Job> {
        match &self.work {
            Work::Ready(job) => Some(job),
            Work::Later(_) => None,
        }
    }

    /// Returns `true` if its bytes are on this machine.
    pub(super) fn is_here(&self) -> bool {
        let located = match &self.work {
            Work::Ready(job) => &job.located,
            Work::Later(later) => &later.located,
        };
        matches!(located, Located::Here(_))
    }

    /// Returns the contents of the shard, if they are known by now.
    pub(super) fn contents(&self) -> Option<ShardContents> {
        Some(ShardContents::of(self.task.path.as_bstr(), self.task.output.as_bstr(), self.job()?))
    }

    /// Returns the facts about the conversion that are known before it runs.
    pub(super) fn facts(&self) -> Option<Conversion> {
        Some(self.job()?.facts(Oids::default()))
    }
}

/// Returns the paths of the checkpoints.
pub(super) fn paths(planned: impl IntoIterator<Item = Planned>) -> impl Iterator<Item = BString> {
    planned.into_iter().map(|planned| planned.task.path)
}

/// Plans every file of a unit, or none. `may_wait`: a file that must be downloaded may wait for its turn.
pub(super) fn plan(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    files: Vec<Candidate>,
    is_set: bool,
    may_wait: bool,
    others: &Others,
) -> Result<Option<Vec<Planned>>, Error> {
    let mut planned = Vec::with_capacity(files.len());
    let mut failed: Option<BString> = None;
    for Candidate { path, named } in files {
        match plan_one(context, path.clone(), may_wait, others) {
            Ok(one) => planned.push(one),
            Err(error) if !named && !is_set => {
                return ledger.skip_or_fail(path.as_bstr(), error).map(|()| None);
            }
            Err(error) => {
                ledger.fail(path.as_bstr(), error)?;
                failed = Some(path);
            }
        }
    }
    match failed {
        None => Ok(Some(planned)),
        Some(shard) => ledger.fail_rest(paths(planned), &shard).map(|()| None),
    }
}

pub(super) fn plan_one(
    context: Context<'_>,
    path: BString,
    may_wait: bool,
    others: &Others,
) -> Result<Planned, Error> {
    let Context { workspace, options, .. } = context;
    let output = names::safetensors(path.as_bstr());
    if output == path {
        return Err(Error::OutputIsSource);
    }
    if names::is_distributed(path.as_bstr()) {
        return Err(checkpoint::Error::Foreign { kind: Foreign::Distributed }.into());
    }
    others.check(&output, &path)?;
    let target = context.repo().target(output.as_bstr())?;
    if target.path().is_symlink() {
        return Err(Error::OutputSymlink { output });
    }
    match target.metadata() {
        Err(worktree_file::Error::InTheWay { .. }) => return Err(Error::OutputNotFile { output }),
        there => there?,
    };
    // An error that would occur at the end is reported before the long work.
    context.repo().plan_attributes(std::slice::from_ref(&output))?;
    let in_place = context.repo().target(path.as_bstr())?.path();
    let source_stat = FileStat::of(&in_place);
    let located = match changed(context, path.as_bstr()) {
        Some(file) => Located::Here(file),
        None => workspace.find(path.as_bstr())?,
    };
    let is_in_place = matches!(&located, Located::Here(file) if file.path == in_place);
    // A file with unstaged changes differs from the index: it is unknown which of both is meant, and a file that the
    // user changed must not be removed.
    if options.replace || !is_in_place {
        workspace.check_unmodified(path.as_bstr())?;
    }
    let maker = context.maker();
    let class = workspace.class(path.as_bstr());
    // A file that is only in the working tree may have changed by now.
    let is_as_staged = || !is_in_place || workspace.check_unmodified(path.as_bstr()).is_ok();
    let source = located.pointer().filter(|_| may_wait && is_as_staged());
    let finished = source.and_then(|source| FinishedShard::find(&maker, class.as_deref(), source));
    let work = match (located, finished) {
        (located, finished @ Some(_)) => Work::Later(Box::new(Later { located, finished })),
        (Located::There(pointer), None) if may_wait => match pass_by(&maker, pointer, class.as_deref())? {
            Some(job) => Work::Ready(Box::new(job)),
            None => Work::Later(Box::new(Later { located: Located::There(pointer), finished: None })),
        },
        (located, None) => Work::Ready(Box::new(prepare(&maker, path.as_bstr(), located, class.as_deref())?)),
    };
    if let Work::Ready(job) = &work {
        tell(maker.reporter, path.as_bstr(), job);
    }
    let existing = workspace.there(output.as_bstr())?.map(|there| there.size());
    let may_replace = may_replace(context, &output);
    let planned =
        Planned { task: Task { path, output, target, class, existing, may_replace, source_stat }, work };
    if let Some(job) = planned.job() {
        planned.task.is_there(&maker, job.recipe.layout.size())?;
    }
    Ok(planned)
}

/// Returns a checkpoint with unstaged changes, if it is converted as it is in the working tree.
fn changed(context: Context<'_>, path: &BStr) -> Option<LocalFile> {
    let Context { workspace, options, choice, .. } = context;
    let is_meant = choice.takes_changes && !options.replace && workspace.contains(path);
    if !is_meant || workspace.check_unmodified(path).is_ok() {
        return None;
    }
    // For a pointer, the object is converted.
    LocalFile::work_tree(workspace.repo, path, None).ok().filter(|file| file.pointer.is_none())
}

/// Reports the note about a job before it runs.
pub(super) fn tell(reporter: &dyn Reporter, path: &BStr, job: &Job) {
    if let Some(note) = job.note(path) {
        reporter.note(&note);
    }
}

/// Plans a checkpoint at any location. One that cannot be converted while it is downloaded is downloaded first.
pub(super) fn prepare(
    maker: &Maker<'_>,
    path: &BStr,
    located: Located,
    class: Option<&str>,
) -> Result<Job, Error> {
    match located {
        Located::Here(file) => Job::prepare(file, class, maker.options),
        Located::There(pointer) => match pass_by(maker, pointer, class)? {
            Some(job) => Ok(job),
            None => download(maker, path, pointer, class),
        },
    }
}

/// Plans a checkpoint on the server, if it can be converted while it is downloaded.
fn pass_by(maker: &Maker<'_>, pointer: Pointer, class: Option<&str>) -> Result<Option<Job>, Error> {
    let (server, options) = (maker.server_for(pointer)?, maker.options);
    if options.keep_source && !options.dry_run {
        return Ok(None);
    }
    let object = server.object(pointer);
    let job = match object.ranged()? {
        Some(bytes) => Job::prepare_there(pointer, &bytes, class, options)?,
        None => None,
    };
    if job.is_none() && options.dry_run { Err(Error::NoRanges) } else { Ok(job) }
}

/// Downloads a checkpoint: into LFS storage if it is to be kept, else into a temporary file that stays as long as it is
/// needed.
pub(super) fn download(
    maker: &Maker<'_>,
    path: &BStr,
    pointer: Pointer,
    class: Option<&str>,
) -> Result<Job, Error> {
    let Maker { store, options, reporter, .. } = maker;
    let server = maker.server_for(pointer)?;
    space::check(store.dir(), pointer.size.saturating_sub(Incomplete::taken(store, pointer.oid)))?;
    if options.keep_source {
        server.download(store, &[(path, pointer)], *reporter)?;
        return Job::prepare(LocalFile::stored(store, path, pointer)?, class, options);
    }
    let part = server.download_beside(store, path, pointer, *reporter)?;
    let planned = LocalFile::open(path, part.path(), Some(pointer))
        .and_then(|source| Job::prepare(source, class, options));
    match planned {
        Ok(job) => Ok(Job { passing: Some(part).into(), ..job }),
        Err(error) => {
            // If an option lifts the refusal, the download stays for the next run.
            if error.is_refusal() && !error.is_lifted_by_an_option() {
                part.discard()?;
            }
            Err(error)
        }
    }
}

/// The bytes that a file needs: its object, its copy in the working tree, and its download if it is not known yet.
#[derive(Default, Clone, Copy)]
pub(super) struct Need {
    object: u64,
    copy: u64,
    download: u64,
}

impl Need {
    /// Returns the need of a file whose job is known.
    pub(super) fn of(store: &Store, job: &Job) -> Self {
        let taken = match &job.located {
            Located::There(pointer) => Resumable::taken(store, pointer.oid),
            Located::Here(_) => 0,
        };
        let size = job.recipe.layout.size();
        Self { object: size.saturating_sub(taken), copy: size, download: 0 }
    }

    /// Returns the need of a planned file; the object of a shard that waits is counted in its turn.
    pub(super) fn of_planned(store: &Store, planned: &Planned) -> Self {
        let later = match &planned.work {
            Work::Ready(job) => return Self::of(store, job),
            Work::Later(later) => later,
        };
        match (&later.finished, &later.located) {
            (Some(finished), _) => Self { copy: finished.size(), ..Self::default() },
            (None, Located::There(Pointer { oid, size })) => {
                Self { download: size.saturating_sub(Incomplete::taken(store, *oid)), ..Self::default() }
            }
            (None, Located::Here(_)) => Self::default(),
        }
    }
}

/// Checks that the known need fits into the free space.
pub(super) fn check_space(maker: &Maker<'_>, needs: impl IntoIterator<Item = Need>) -> Result<(), NoSpace> {
    let (store, work_dir) = (&maker.store, maker.work_dir);
    let all = needs.into_iter().fold(Need::default(), |all, one| Need {
        object: all.object.saturating_add(one.object),
        copy: all.copy.saturating_add(one.copy),
        download: all.download.max(one.download),
    });
    let needed = all.object.saturating_add(all.download);
    space::check(store.dir(), needed)?;
    if maker.options.pointer_only || all.copy == 0 {
        return Ok(());
    }
    let checked = if space::is_same(store.dir(), work_dir) {
        // The test of whether both share their blocks is done only if its result matters.
        space::check(store.dir(), needed.saturating_add(all.copy))
            .or_else(|error| if store.shares_blocks() { Ok(()) } else { Err(error) })
    } else {
        space::check(work_dir, all.copy)
    };
    checked.map_err(|error| NoSpace { is_of_copy: true, ..error })
}
