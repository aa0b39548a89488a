//! Converts plain files: outside a repository, or with `--output`.
//!
//! No repository is changed; one is used only to find the object of a pointer. Invariant: the path of every result is
//! known, and no two are the same, before the first is written. An existing file is compared with the conversion, and
//! overwritten only with `--force`.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice as _};

use super::super::content::{Located, class_beside};
use super::super::detected::{Detected, detect};
use super::super::jobs::{Jobs, Pool};
use super::super::{Error, Outcome, Reporter, Status, names};
use super::index::{self, IndexTarget, ShardContents};
use super::job::{Into, Job, Oids};
use super::keep;
use super::ledger::Ledger;
use super::plain_files::{self, PlainFile, PlainIndex};
use super::sets::ShardedCheckpoint;
use super::{Options, Summary};
use crate::checkpoint::{self, Foreign};
use crate::lfs::{Temp, space, temp};
use crate::read_at::FileSource;
use crate::repo::Repo;

/// Converts the files that `options` names.
pub(super) fn convert(
    repo: Option<&Repo>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Summary, Error> {
    let mut ledger = Ledger::new(reporter, false);
    let found = plain_files::find(repo, options, &mut ledger, reporter)?;
    let is_dir = is_directory(options, found.files.len());
    let place = |file: &PlainFile, name: fn(&bstr::BStr) -> BString| Output::of(file, name, is_dir, options);
    let mut files: Vec<_> =
        found.files.into_iter().map(|file| (place(&file, names::safetensors), file)).collect();
    let indices: Vec<_> = found
        .indices
        .into_iter()
        .map(|index| (place(&index.file, names::safetensors_index), index))
        .collect();
    check_collisions(
        files.iter().map(|(to, file)| (to, file)).chain(indices.iter().map(|(to, index)| (to, &index.file))),
    )?;
    if files.len() > 1 {
        keep::check(options, files.iter().map(|(_, file)| plain_files::open(repo, file).map(Located::Here)))?;
    }
    let doing = Doing { options, reporter };
    let one = One { repo, is_alone: files.len() == 1, doing };
    // `--output` with the name of one file is not the path of a shard index.
    let indices: Vec<_> = indices.into_iter().filter(|_| is_dir || options.output.is_none()).collect();
    for (to, index) in &indices {
        let Err(failed) = one.check_index(index, to, &files) else { continue };
        let ((culprit, error), shards) = (*failed, index.shards());
        let rest = files.extract_if(.., |(_, file)| shards.contains(&file.path)).map(|(_, file)| file.name);
        ledger.fail_with(&culprit, error, rest.filter(|name| *name != culprit))?;
    }
    if files.len() > 1 && !options.dry_run {
        let size = |file| plain_files::open(repo, file).map_or(0, |local| local.size());
        let next: Vec<_> = files.iter().map(|(_, file)| (file.name.as_bstr(), size(file))).collect();
        reporter.planned(&next);
    }
    let shards = all(&one, &files, &mut ledger)?;
    for (to, index) in &indices {
        match doing.index(index, to, &shards) {
            Ok(()) => {}
            Err(error) => ledger.fail(index.file.name.as_bstr(), error)?,
        }
    }
    Ok(Summary { outcomes: ledger.take(), ..Summary::default() })
}

/// Converts all files on several threads, and reports each in its turn. Returns the contents of the converted ones.
fn all(
    one: &One<'_>,
    files: &[(Output, PlainFile)],
    ledger: &mut Ledger<'_>,
) -> Result<HashMap<PathBuf, ShardContents>, Error> {
    let (doing, jobs) = (one.doing, Jobs::of(one.doing.options.jobs));
    jobs.run(
        |prepared: Prepared<'_>| doing.finish(prepared),
        |threads| {
            let mut running = Running { threads, begun: VecDeque::new(), shards: HashMap::new() };
            for (to, file) in files {
                let prepared = one.prepare(file, to);
                let size = prepared.as_ref().map_or(0, |(prepared, _)| prepared.size());
                // An error is reported in its turn, and a file for which there is no space waits until the others are
                // done.
                while prepared.is_err() || running.is_full(2 * jobs.count(), parent(&to.path), size) {
                    if !running.end_first(ledger)? {
                        break;
                    }
                }
                match prepared {
                    Ok((prepared, contents)) => {
                        running.begun.push_back((file, contents, size));
                        running.threads.begin(prepared);
                    }
                    Err(error) if file.is_named => ledger.fail(file.name.as_bstr(), error)?,
                    Err(error) => ledger.skip_or_fail(file.name.as_bstr(), error)?,
                }
            }
            while running.end_first(ledger)? {}
            Ok(running.shards)
        },
    )
    .map_err(Error::io("start", "a thread"))?
}

/// The files that are being converted, in their order.
struct Running<'f, 'p> {
    threads: &'p mut Pool<Prepared<'f>, Result<Outcome, Error>>,
    /// Each file with the contents of its output, and their size.
    begun: VecDeque<(&'f PlainFile, ShardContents, u64)>,
    shards: HashMap<PathBuf, ShardContents>,
}

impl Running<'_, '_> {
    /// Returns `true` if a further file has to wait for those that were begun.
    fn is_full(&self, window: usize, dir: &Path, size: u64) -> bool {
        let all = self.begun.iter().map(|(.., size)| *size).fold(size, u64::saturating_add);
        self.begun.len() >= window || space::check(dir, all).is_err()
    }

    /// Reports the first result. Returns `false` if none is left.
    fn end_first(&mut self, ledger: &mut Ledger<'_>) -> Result<bool, Error> {
        let (Some((file, contents, _)), Some(done)) = (self.begun.pop_front(), self.threads.first()) else {
            return Ok(false);
        };
        match done {
            Ok(outcome) => {
                ledger.push(outcome);
                self.shards.insert(file.path.clone(), contents);
            }
            Err(error) => ledger.fail(file.name.as_bstr(), error)?,
        }
        Ok(true)
    }
}

/// Returns `true` if `--output` names a directory: an existing one, a path with a final slash, or the destination of
/// several files.
fn is_directory(options: &Options, count: usize) -> bool {
    options.output.as_ref().is_some_and(|output| {
        let ends_as_one = output.as_os_str().as_encoded_bytes().last() == Some(&b'/');
        count > 1 || ends_as_one || options.cwd.join(output).is_dir()
    })
}

/// The destination of a result.
struct Output {
    /// The path for messages.
    shown: BString,
    path: PathBuf,
}

impl Output {
    fn of(file: &PlainFile, name: fn(&bstr::BStr) -> BString, is_dir: bool, options: &Options) -> Self {
        let named = |path: &Path| {
            let own = path.file_name().unwrap_or_default().as_encoded_bytes();
            path.with_file_name(name(own.as_bstr()).to_path_lossy().as_ref())
        };
        match &options.output {
            None => Self { shown: name(file.name.as_bstr()), path: named(&file.path) },
            Some(output) if is_dir => {
                let output = output.join(named(&file.below));
                Self { shown: names::of_path(&output), path: options.cwd.join(output) }
            }
            Some(output) => Self { shown: names::of_path(output), path: options.cwd.join(output) },
        }
    }
}

/// Fails for the first two files with the same destination.
fn check_collisions<'a>(all: impl Iterator<Item = (&'a Output, &'a PlainFile)>) -> Result<(), Error> {
    let mut taken: HashMap<&Path, &PlainFile> = HashMap::new();
    for (to, file) in all {
        if let Some(other) = taken.insert(&to.path, file) {
            let (output, source_name, other) = (to.shown.clone(), file.name.clone(), other.name.clone());
            return Err(Error::SameOutput { output, other, source_name });
        }
    }
    Ok(())
}

/// A file whose conversion is decided.
struct Prepared<'a> {
    job: Job,
    name: &'a BString,
    to: &'a Output,
    /// `true` if a file exists at the path of the output.
    is_there: bool,
}

impl Prepared<'_> {
    /// Returns the size of the output in bytes.
    fn size(&self) -> u64 {
        self.job.recipe.layout.size()
    }
}

/// The parts that prepare files. The repository belongs to one thread.
struct One<'a> {
    repo: Option<&'a Repo>,
    is_alone: bool,
    doing: Doing<'a>,
}

/// The parts that write files, on any thread.
#[derive(Clone, Copy)]
struct Doing<'a> {
    options: &'a Options,
    reporter: &'a dyn Reporter,
}

impl One<'_> {
    /// Decides about a file, and reports what a user may want to know of it.
    fn prepare<'f>(
        &self,
        file: &'f PlainFile,
        to: &'f Output,
    ) -> Result<(Prepared<'f>, ShardContents), Error> {
        let prepared = self.decide(file, to)?;
        if let Some(note) = prepared.0.job.note(file.name.as_bstr()) {
            self.doing.reporter.note(&note);
        }
        Ok(prepared)
    }

    fn decide<'f>(
        &self,
        file: &'f PlainFile,
        to: &'f Output,
    ) -> Result<(Prepared<'f>, ShardContents), Error> {
        let options = self.doing.options;
        let (name, output, shown) = (&file.name, &to.path, || to.shown.clone());
        if names::is_distributed(name.as_bstr()) {
            return Err(checkpoint::Error::Foreign { kind: Foreign::Distributed }.into());
        }
        let source = plain_files::open(self.repo, file)?;
        if output.canonicalize().is_ok_and(|there| file.path.canonicalize().is_ok_and(|from| from == there)) {
            return Err(Error::OutputIsSource);
        }
        let there = output.symlink_metadata();
        if there.as_ref().is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
            // The rename would replace a device by a regular file.
            return Err(Error::OutputNotFile { output: shown() });
        }
        // Only `--force` replaces a link that leads to no file.
        if there.as_ref().is_ok_and(fs::Metadata::is_symlink) && !options.force && !output.is_file() {
            return Err(Error::OutputNotFile { output: shown() });
        }
        // `--force` overwrites only safetensors files: this checkpoint may be the only copy.
        if there.is_ok() && is_checkpoint(to) {
            return Err(Error::OutputExists { output: shown() });
        }
        let class = class_beside(&file.path);
        let job = Job::prepare(source, class.as_deref(), options)?;
        if let Some(name) = options.keep.iter().find(|name| self.is_alone && !job.holds(name)) {
            return Err(checkpoint::Error::Keep { name: name.clone() }.into());
        }
        let contents = ShardContents::of(name.as_bstr(), to.shown.as_bstr(), &job);
        Ok((Prepared { job, name, to, is_there: there.is_ok() }, contents))
    }

    /// Checks that a shard index fits its shards, and that each can be converted, before the first of them is written.
    /// An error comes with the name of its file.
    fn check_index(
        &self,
        index: &PlainIndex,
        to: &Output,
        files: &[(Output, PlainFile)],
    ) -> Result<(), Box<(BString, Error)>> {
        let (mut shards, paths) = (HashMap::new(), index.shards());
        for (to, file) in files.iter().filter(|(_, file)| paths.contains(&file.path)) {
            let (_, contents) =
                self.decide(file, to).map_err(|error| Box::new((file.name.clone(), error)))?;
            shards.insert(file.path.clone(), contents);
        }
        let checked = new_index(index, to, &shards);
        checked.map(drop).map_err(|error| Box::new((index.file.name.clone(), error)))
    }
}

impl Doing<'_> {
    fn finish(&self, prepared: Prepared<'_>) -> Result<Outcome, Error> {
        let Prepared { job, name, to, is_there } = prepared;
        let (output, Self { options, reporter }) = (&to.path, *self);
        let (status, oids) = match is_there {
            true if !options.force => {
                let same = job.is_at(output, &|| spool(output), options.sha256, reporter)?;
                let exists = || Error::OutputExists { output: to.shown.clone() };
                (Status::UpToDate, same.ok_or_else(exists)?)
            }
            _ if options.dry_run => (Status::Converted, Oids::default()),
            is_there => (Status::Converted, self.write(&job, output, is_there)?),
        };
        let (source, conversion) = (name.clone(), Some(job.facts(oids)));
        Ok(Outcome { source, output: Some(to.shown.clone()), status, conversion, reason: None })
    }

    /// Writes the output. If it replaces another file, it is synced to the disk before that file is gone.
    fn write(&self, job: &Job, output: &Path, is_other_there: bool) -> Result<Oids, Error> {
        let failed = Error::io("write", output);
        let dir = parent(output);
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        temp::sweep_hidden(dir);
        space::check(dir, job.recipe.layout.size())?;
        let temp = Temp::hidden_in(dir).map_err(failed)?;
        let into = Into { path: output, first: temp.file(), second: None };
        let sha256 = self.options.sha256;
        let oids = job.run_plain(&into, is_other_there, sha256, &|| spool(output), self.reporter)?;
        self.give_name(temp, output, is_other_there)?;
        Ok(oids)
    }

    fn give_name(&self, temp: Temp, output: &Path, is_durable: bool) -> Result<(), Error> {
        let failed = Error::io("write", output);
        let renamed = if self.options.force { temp.rename(output) } else { temp.rename_new(output) };
        renamed.map_err(|(source, _)| failed(source))?;
        if is_durable { crate::lfs::store::sync_parent(output).map_err(failed) } else { Ok(()) }
    }

    /// Writes the shard index of shards that were all converted. If one was not, its own error is enough.
    fn index(
        &self,
        index: &PlainIndex,
        to: &Output,
        shards: &HashMap<PathBuf, ShardContents>,
    ) -> Result<(), Error> {
        let Some(new) = new_index(index, to, shards)? else { return Ok(()) };
        let there = match fs::metadata(&to.path) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(Error::OutputNotFile { output: to.shown.clone() });
            }
            _ => fs::read(&to.path).ok(),
        };
        match there {
            Some(there) if there == new.text.as_bytes() => return Ok(()),
            Some(_) if !self.options.force => return Err(Error::OutputExists { output: to.shown.clone() }),
            _ => {}
        }
        if !self.options.dry_run {
            let temp = Temp::hidden_in(parent(&to.path)).map_err(Error::io("write", &to.path))?;
            std::io::Write::write_all(&mut temp.file(), new.text.as_bytes())
                .map_err(Error::io("write", &to.path))?;
            self.give_name(temp, &to.path, true)?;
        }
        new.notes().iter().for_each(|note| self.reporter.note(note));
        Ok(())
    }
}

/// Returns the shard index of converted shards; `None` if one was not converted.
fn new_index(
    index: &PlainIndex,
    to: &Output,
    shards: &HashMap<PathBuf, ShardContents>,
) -> Result<Option<index::NewIndex>, Error> {
    let held: Option<Vec<_>> = index.shards().iter().map(|shard| shards.get(shard)).collect();
    let Some(held) = held else { return Ok(None) };
    let set = ShardedCheckpoint { index: index.file.name.clone(), content: index.content.clone() };
    index::new_index(IndexTarget::plain(&to.shown, &set), &set, &held).map(Some)
}

/// Returns `true` if the existing file at the path of a result is a checkpoint.
fn is_checkpoint(to: &Output) -> bool {
    let found = crate::lfs::regular::open(&to.path).ok().and_then(|file| FileSource::new(file).ok());
    found.is_some_and(|file| {
        matches!(
            detect(to.shown.as_bstr(), &file),
            Detected::Weights | Detected::Script | Detected::Plain | Detected::Pickle
        )
    })
}

/// Creates a temporary file next to the output, for records that must be inflated first.
fn spool(output: &Path) -> Result<fs::File, Error> {
    let failed = Error::io("write", output);
    let spool = Temp::hidden_in(parent(output)).map_err(failed)?;
    spool.file().try_clone().map_err(failed)
}

fn parent(output: &Path) -> &Path {
    output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
