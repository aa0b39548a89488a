//! Checks whether safetensors files contain the tensors of the checkpoints that they are named after.
//!
//! ```text
//! tree      lists the files of the working tree or of a commit, and finds the checkpoint that a file is named after
//! chosen    resolves the paths of the command line
//! check     compares one file with one checkpoint, and reads no more than it needs
//! reading   reads the bytes of a file at any location
//! identify  finds the conversion of a checkpoint with a given object ID
//! compare   compares both element by element
//! request   verifies the files of a pull request against the checkpoints that they were made from
//! replaced  verifies outputs whose checkpoints are to be removed
//! recorder  records verifications, and finds checkpoints that were removed
//! ```
//!
//! Invariant: nothing is written except temporary files in LFS storage, which are removed at the end, and the record of
//! successful verifications. The author of a file, and claims about it, at most select what it is compared with.

mod chosen;
mod compare;
mod check;
mod identify;
mod reading;
mod recorder;
mod replaced;
mod request;
mod tree;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice as _};

use super::lfs_remote::LfsRemote;
use super::meant::{Meant, elsewhere};
use super::servers::Session;
use super::shard_index::{self, Tensors};
use super::workspace::Workspace;
use super::{Error, Reporter, Servers, names};
use crate::git::pathspec::is_pathspec;
use crate::hash::Oid;
use crate::repo::Repo;
use crate::safetensors;
use crate::safetensors::compare::LIMIT;
use crate::safetensors::shard::Index;
use check::Pair;
use chosen::Chosen;
use reading::{Reader, spool};
use recorder::{Recorder, Stats};
use tree::Tree;

pub use super::index_finding::IndexFinding;
pub(super) use replaced::prove_outputs;
pub(super) use request::prove;
pub use request::verify_pull_request;
pub use verdict::{Finding, MadeBy, Verdict, Verified};

/// The longest shard index that is read.
const INDEX_LIMIT: u64 = 256 << 20;

/// The files to verify, and the options.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory that relative paths start from, and from which a repository is searched.
    pub cwd: PathBuf,
    /// Safetensors files, checkpoints, shard indexes, directories; if empty, every tracked safetensors file.
    pub paths: Vec<OsString>,
    /// The commit of the files and of their checkpoints; `None` for the working tree.
    pub rev: Option<String>,
    /// The dotted path of the state dict, as `--key` of `convert`.
    pub key: Option<String>,
    /// Computes the object IDs of files outside of a repository, which only a report needs.
    pub hashes: bool,
    /// The options of servers, which are contacted for content that is not local.
    pub servers: Servers,
}

/// Verifies files. A file that fails does not stop the others; each result is also reported.
///
/// # Errors
/// An [`Error`] that stops the whole run: no repository, git, the index.
pub fn verify(options: &Options, reporter: &dyn Reporter) -> Result<Vec<Verified>, Error> {
    let of_commit = options.rev.is_some();
    let repo = if of_commit { Repo::discover_for_hook } else { Repo::discover }(&options.cwd)?;
    let tree = match (&repo, &options.rev) {
        (Some(repo), Some(rev)) => Tree::commit(repo, rev)?,
        (Some(repo), None) => Tree::work(repo)?,
        (None, Some(_)) => return Err(Error::NeedsRepository { option: "--rev" }),
        (None, None) if options.paths.is_empty() => return Err(Error::NoRepository),
        (None, None) => Tree::Plain(options.cwd.clone()),
    };
    let session = Session::new(&options.servers, reporter);
    let server = repo.as_ref().map(|repo| LfsRemote::of(&session, repo, None));
    let spool = || spool(repo.as_ref(), &options.cwd);
    let hashes = options.hashes || repo.is_some();
    let reader = Reader { server: server.as_ref(), spool: &spool, hashes, reporter };
    let commit = options.rev.as_ref().zip(repo.as_ref());
    let commit = commit.map(|(rev, repo)| repo.commit_of(rev)).transpose()?;
    let recorder = repo.as_ref().map(|repo| Recorder::new(repo, &session, commit));
    let mut targets = Chosen::default();
    let mut missing = Vec::new();
    if options.paths.is_empty() {
        targets.search(&tree, &|_| true);
    }
    let meant = match &repo {
        // A pathspec matches files of the index, which need not be in the commit.
        Some(repo) if options.rev.is_none() && options.paths.iter().any(|word| is_pathspec(word)) => {
            let workspace = Workspace::open(repo, &session)?;
            Some(Meant::of(&workspace, &options.cwd, &options.paths)?)
        }
        _ => None,
    };
    if let Some(meant) = &meant {
        missing = targets.mean(&tree, meant);
    }
    for given in options.paths.iter().filter(|_| meant.is_none()) {
        if let Err(error) = targets.add(&tree, &options.cwd, given, reporter) {
            let path = repo.as_ref().and_then(|repo| repo.path_of(&options.cwd, given).ok());
            let elsewhere = match (&repo, &path) {
                (Some(repo), Some(path)) if !of_commit => elsewhere(&Workspace::open(repo, &session)?, path),
                _ => None,
            };
            let path = path.unwrap_or_else(|| given.as_encoded_bytes().into());
            missing.push((path, elsewhere.map_or(error, |elsewhere| elsewhere.error())));
        }
    }
    let all = Verifier::new(reader, options.key.as_deref(), (&tree, &tree), recorder.as_ref());
    let mut all = Verifier { named: targets.checkpoints, ..all };
    for (path, error) in missing {
        all.fail(Verified::of(path.as_bstr()), error)?;
    }
    all.these(&targets.files, &targets.indices, &BTreeSet::new())?;
    if all.done.is_empty() {
        return Err(Error::NothingToVerify(options.rev.clone()));
    }
    Ok(all.done)
}

/// The files, and the locations of their checkpoints.
struct Verifier<'a> {
    reader: Reader<'a>,
    /// The given key.
    key: Option<String>,
    files: &'a Tree<'a>,
    checkpoints: &'a Tree<'a>,
    /// The checkpoints of each file for which some were named.
    named: BTreeMap<BString, BTreeSet<BString>>,
    /// `true` if the caller reports the results.
    is_silent: bool,
    /// The recorder, in a repository.
    recorder: Option<&'a Recorder<'a>>,
    done: Vec<Verified>,
}

impl<'a> Verifier<'a> {
    /// Creates one that compares the files of the first tree with the checkpoints of the second.
    fn new(
        reader: Reader<'a>,
        key: Option<&str>,
        (files, checkpoints): (&'a Tree<'a>, &'a Tree<'a>),
        recorder: Option<&'a Recorder<'a>>,
    ) -> Self {
        let (named, key, done) = (BTreeMap::new(), key.map(str::to_owned), Vec::new());
        Self { reader, key, files, checkpoints, named, is_silent: false, recorder, done }
    }

    /// Verifies files and shard indexes with their shards, except those that are `done`, and records the successes.
    fn these(
        &mut self,
        files: &BTreeSet<BString>,
        indices: &BTreeSet<BString>,
        done: &BTreeSet<BString>,
    ) -> Result<(), Error> {
        let verified = self.each(files, indices, done);
        if let Some(recorder) = self.recorder {
            recorder.save();
        }
        verified
    }

    fn each(
        &mut self,
        files: &BTreeSet<BString>,
        indices: &BTreeSet<BString>,
        done: &BTreeSet<BString>,
    ) -> Result<(), Error> {
        let mut files = files.clone();
        let mut read = Vec::new();
        for path in indices {
            match self.index(self.files, path.as_bstr()) {
                Ok(index) => {
                    let shards = shard_index::shards_of(path.as_bstr(), &index).into_iter();
                    let is_one = |shard: &BStr| names::is_safetensors(shard) && self.is_there(shard);
                    files.extend(shards.filter(|shard| is_one(shard.as_bstr())));
                    read.push((path, index));
                }
                Err(error) => {
                    let verified = Verified { is_index: true, ..Verified::of(path.as_bstr()) };
                    self.fail(verified, error)?;
                }
            }
        }
        self.expect(files.difference(done));
        let next: Vec<_> = files.difference(done).map(|path| (path.as_bstr(), 0)).collect();
        self.reader.reporter.planned(&next);
        for path in files.difference(done) {
            match self.named.get(path).cloned() {
                None => self.file(path.as_bstr(), None)?,
                Some(named) => named.iter().try_for_each(|named| self.file(path.as_bstr(), Some(named)))?,
            }
        }
        for (path, index) in read {
            let mut verified = Verified { is_index: true, ..Verified::of(path.as_bstr()) };
            let wanted = match self.wanted(path.as_bstr()) {
                Ok(wanted) => wanted,
                Err(failed) => {
                    let (source, error) = *failed;
                    let verified = Verified { is_index: true, ..Verified::of(source.as_bstr()) };
                    self.fail(verified, error)?;
                    continue;
                }
            };
            let mut compare = || {
                let tensors = |shard: &BStr| self.tensors(shard);
                let findings = shard_index::compare(path.as_bstr(), &index, &wanted, &tensors)?;
                verified.more = findings.len().saturating_sub(LIMIT);
                verified.findings.extend(findings.into_iter().take(LIMIT).map(Finding::Index));
                Ok(if verified.findings.is_empty() { Verdict::Equal } else { Verdict::Differs })
            };
            let verdict = compare();
            self.tell(verified, verdict)?;
        }
        Ok(())
    }

    /// Announces the files and checkpoints that will be read, so that one request locates all that are on a server.
    fn expect<'p>(&self, files: impl Iterator<Item = &'p BString>) {
        let Some(server) = self.reader.server else { return };
        let far = |tree: &Tree<'_>, path: &BStr| tree.open(path).ok()?.here().err();
        for path in files.map(|path| path.as_bstr()) {
            let checkpoint = self.checkpoints.checkpoint_of(path).ok();
            let checkpoint = checkpoint.and_then(|path| far(self.checkpoints, path.as_bstr()));
            let both = [far(self.files, path), checkpoint];
            server.expect(&both.into_iter().flatten().collect::<Vec<_>>());
        }
    }

    fn file(&mut self, path: &BStr, named: Option<&BString>) -> Result<(), Error> {
        let mut verified = Verified::of(path);
        let verdict = self.pair(path, named, &mut verified).and_then(|(pair, stats)| {
            let verdict = self.reader.check(&pair, &mut verified)?;
            Ok(self.recorded(verdict, &pair, stats, &mut verified))
        });
        self.tell(verified, verdict)
    }

    /// Returns `Stale` for a file that differs because its checkpoint changed, by the record or the history. Records a
    /// success.
    fn recorded(&self, verdict: Verdict, pair: &Pair, stats: Stats, verified: &mut Verified) -> Verdict {
        let Some(recorder) = self.recorder else { return verdict };
        // A pull request is compared with another commit, whose history is not that of its files.
        let is_of_one_tree = std::ptr::eq(self.files, self.checkpoints);
        if verdict == Verdict::Differs
            && (recorder.is_stale(verified.path.as_bstr(), stats, verified)
                || is_of_one_tree && recorder.is_stale_by_history(self.files, verified))
        {
            return Verdict::Stale;
        }
        verified.verdict = Some(verdict);
        if verified.is_good() {
            recorder.good(verified, pair.checkpoint.len(), pair.key.as_deref(), stats);
        }
        verdict
    }

    fn pair(
        &self,
        path: &BStr,
        named: Option<&BString>,
        verified: &mut Verified,
    ) -> Result<(Pair, Stats), Error> {
        let is_there =
            |path: &BString| !matches!(self.checkpoints.open(path.as_bstr()), Err(Error::NotFound));
        let beside = named.map_or_else(|| self.checkpoints.checkpoint_of(path), |path| Ok(path.clone()));
        let beside = beside.or_else(|missing| match (missing, self.recorder) {
            // A checkpoint whose name does not suggest weights is also found, if a conversion was made from it.
            (Error::NoCheckpoint, Some(recorder)) => {
                recorder.namesake(path).filter(is_there).ok_or(Error::NoCheckpoint)
            }
            (missing, _) => Err(missing),
        });
        let stats = |checkpoint| self.recorder.map(|recorder| recorder.stats(path, checkpoint));
        let stats = stats(beside.as_ref().ok().map(|path| path.as_bstr())).unwrap_or_default();
        let file = self.files.open(path)?;
        let (checkpoint, content) = match (beside, self.recorder) {
            (Err(missing @ Error::NoCheckpoint), Some(recorder)) => {
                let former = recorder.former(self.files, path, &file, self.reader.reporter)?;
                let (checkpoint, content, by) = former.ok_or(missing)?;
                verified.made_by = Some(by);
                (checkpoint, content)
            }
            (beside, _) => {
                let checkpoint = beside?;
                let content = self.checkpoints.open(checkpoint.as_bstr())?;
                (checkpoint, content)
            }
        };
        let class = self.checkpoints.class_of(checkpoint.as_bstr());
        verified.checkpoint = Some(checkpoint);
        let known = || self.recorder.and_then(|recorder| recorder.key(path));
        let key = self.key.clone().or_else(known);
        Ok((Pair { file, checkpoint: content, class, key }, stats))
    }

    /// Records a verdict or an error. An interruption is not a result for a file.
    fn tell(&mut self, mut verified: Verified, verdict: Result<Verdict, Error>) -> Result<(), Error> {
        match verdict {
            Ok(verdict) => verified.verdict = Some(verdict),
            Err(error) => return self.fail(verified, error),
        }
        self.push(verified);
        Ok(())
    }

    fn fail(&mut self, mut verified: Verified, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Interrupted) || self.reader.reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        verified.error = Some(error);
        self.push(verified);
        Ok(())
    }

    fn push(&mut self, verified: Verified) {
        if !self.is_silent {
            self.reader.reporter.verified(&verified);
        }
        self.done.push(verified);
    }

    fn is_there(&self, path: &BStr) -> bool {
        !matches!(self.files.open(path), Err(Error::NotFound))
    }

    /// Returns the tensors of a shard, as they were verified or else by its header.
    fn tensors(&self, path: &BStr) -> Result<Option<Tensors>, Error> {
        let known = self.done.iter().find(|done| done.path == path && !done.tensors.is_empty());
        if let Some(known) = known {
            return Ok(Some(known.tensors.clone()));
        }
        match self.files.open(path) {
            Ok(content) => self.reader.names(&content).map(Some),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the shards that must exist by the shard index of the checkpoint. An error comes with the name of its
    /// file.
    fn wanted(&self, path: &BStr) -> Result<BTreeSet<BString>, Box<(BString, Error)>> {
        let of_file = |error| Box::new((path.to_owned(), error));
        let Some(source) = self.checkpoints.index_of(path).map_err(of_file)? else {
            return Ok(BTreeSet::new());
        };
        match self.index(self.checkpoints, source.as_bstr()) {
            Ok(index) => Ok(shard_index::converted(source.as_bstr(), &index)),
            Err(error) => Err(Box::new((source, error))),
        }
    }

    fn index(&self, tree: &Tree<'_>, path: &BStr) -> Result<Index, Error> {
        let len = |len: u64| usize::try_from(len.min(INDEX_LIMIT)).unwrap_or(0);
        let text = match tree.open(path)?.here() {
            Ok(file) => file.read_vec_at(0, len(file.len())).map_err(safetensors::Error::Io)?,
            Err(pointer) => {
                let text = self.reader.fetch(pointer, len(pointer.size))?;
                match Oid::of(&text) {
                    got if got == pointer.oid => text,
                    got => return Err(Error::PointerMismatch { expected: pointer.oid, got }),
                }
            }
        };
        Ok(Index::parse(&text)?)
    }
}
