//! Scans versions of files: those of the working tree, the index, a commit, a range of commits; and what checkouts make
//! of them.
//!
//! Invariant: nothing is fetched; a missing blob, and what is made of it, is reported as missing. A large blob is never
//! in memory as a whole.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::Error;
use super::super::arrivals::{self, Arrival, Base, Speaking};
use super::super::checkouts::{Blob, Checkouts, Converted};
use super::super::content::LocalFile;
use super::paths::{Led, Visited, target};
use super::{About, Scan, Seen};
use crate::git::{Git, history, incoming};
use crate::lfs::{Pointer, pointer};
use crate::read_at::{FileSource, ReadAt as _};
use crate::repo::{Entry, Mode, ObjectId, Origin, Repo, Version};
use crate::scan::{HEAD, LAST, Report, Verdict, may_end_archive, scan_head};

/// A blob of at most this length is read completely.
const SMALL: u64 = 16 << 20;

pub(super) struct Versions<'a, 'b> {
    scan: &'a mut Scan<'b>,
    repo: &'a Repo,
    git: &'a Git<'a>,
    checkouts: Checkouts<'a>,
}

impl<'a, 'b: 'a> Versions<'a, 'b> {
    pub(super) fn new(scan: &'a mut Scan<'b>, repo: &'a Repo, git: &'a Git<'a>) -> Result<Self, Error> {
        let checkouts = Checkouts::new(git, repo, repo.database(&[])?, scan.reporter);
        Ok(Self { scan, repo, git, checkouts })
    }

    // ---- the versions that are scanned

    /// Scans the tracked files, as the working tree has them, then the targets of tracked links; it also notes pickles
    /// that are not tracked.
    pub(super) fn tracked(&mut self) -> Result<(), Error> {
        let top = self.repo.work_dir().canonicalize().map_err(Error::io("find", self.repo.work_dir()))?;
        let (mut last, mut links, mut known) = (None, Vec::new(), Visited::default());
        for entry in self.repo.entries()?.into_iter().filter(|entry| entry.mode != Mode::Submodule) {
            if last.as_ref() == Some(&entry.path) {
                continue;
            }
            let path = entry.path.as_bstr();
            let found = match self.repo.target(path).map(|target| target.path()) {
                Ok(full) if full.is_symlink() => {
                    links.push((entry.path.clone(), full));
                    last = Some(entry.path);
                    continue;
                }
                Ok(_) => LocalFile::work_tree(self.repo, path, None),
                Err(error) => Err(error.into()),
            };
            if let Ok(below) = path.to_path() {
                known.or_insert(top.join(below), path);
            }
            last = Some(entry.path.clone());
            match found {
                Ok(source) => self.scan.begin(entry.path, source)?,
                // A sparse checkout leaves it out.
                Err(Error::NotFound) => {
                    let seen = self.version(&of_index(&entry));
                    self.scan.told(entry.path, (None, None), seen)?;
                }
                Err(error) => self.scan.told(entry.path, (None, None), Err(error))?,
            }
        }
        for (path, full) in links {
            self.link(path, &full, &top, &mut known)?;
        }
        self.untracked()
    }

    fn link(&mut self, path: BString, full: &Path, top: &Path, known: &mut Visited) -> Result<(), Error> {
        let file = match target(full) {
            Ok(Led::File(file)) => file,
            Ok(Led::Nowhere(about)) => return self.scan.remark(path, full, about),
            Err(source) => {
                let error = Error::io("open", &full)(source);
                return self.scan.told(path, (None, None), Err(error));
            }
        };
        if !file.starts_with(top) {
            self.scan.remark(path.clone(), full, About::Outside)?;
        }
        if let Some(other) = known.or_insert(file, path.as_bstr()) {
            return self.scan.remark(path, full, About::Scanned(other));
        }
        match LocalFile::plain(Some(self.repo), path.as_bstr(), full) {
            Ok(source) => self.scan.begin(path, source),
            Err(error) => self.scan.told(path, (None, None), Err(error)),
        }
    }

    /// Notes the pickles that git neither tracks nor ignores.
    fn untracked(&mut self) -> Result<(), Error> {
        for path in incoming::untracked(self.git)? {
            self.scan.reporter.check_interrupted()?;
            // Files that cannot be read are not reported, because the user did not name them.
            let Ok(source) = LocalFile::work_tree(self.repo, path.as_bstr(), None) else { continue };
            let Ok(seen) = self.scan.source(&source) else { continue };
            if seen.report.holds_pickle() || seen.report.executes() {
                let full = self.repo.work_dir().join(path.to_path_lossy());
                self.scan.remark(path, &full, About::Untracked)?;
            }
        }
        Ok(())
    }

    /// Scans the index.
    pub(super) fn staged(&mut self) -> Result<(), Error> {
        let is_there = |entry: &Entry| entry.mode != Mode::Submodule && !entry.intent_to_add;
        for entry in self.repo.entries()?.into_iter().filter(is_there) {
            let seen = self.entry(&entry);
            self.scan.told(entry.path, (Some(entry.id), None), seen)?;
        }
        Ok(())
    }

    /// Scans a tree.
    pub(super) fn tree(&mut self, tree: &str) -> Result<(), Error> {
        let files = history::tree(self.git, tree)?;
        let origin = ObjectId::from_hex(tree.as_bytes()).map(Origin::Tree);
        for (path, version) in files.into_iter().filter(|(_, version)| version.mode != Mode::Submodule) {
            let attributes = match origin {
                Ok(origin) => Speaking::These(self.checkouts.treatments.attributes(origin, path.as_bstr())?),
                Err(_) => Speaking::Nobody,
            };
            self.arrival(Arrival::of(path, version, attributes))?;
        }
        Ok(())
    }

    /// Scans what the commits of `to` that are not in `from` add, without what `from` has at the same path.
    pub(super) fn range(&mut self, from: Option<&str>, to: &str) -> Result<(), Error> {
        let commits = incoming::commits_between(self.git, from, to)?;
        let base = match from {
            Some(from) => {
                let tree = incoming::resolve(self.git, &format!("{from}^{{tree}}"))?;
                let files = history::tree(self.git, &tree)?.into_iter().collect();
                Base { tree: ObjectId::from_hex(tree.as_bytes()).ok(), files }
            }
            None => Base::default(),
        };
        let treatments = &mut self.checkouts.treatments;
        for arrival in arrivals::of_commits(treatments, &commits, &|_| false, &base)? {
            self.arrival(arrival)?;
        }
        Ok(())
    }

    fn arrival(&mut self, arrival: Arrival) -> Result<(), Error> {
        let seen = self.version(&arrival);
        // The blob existed before; it is reported if a checkout makes something new of it.
        let is_old = |seen: &Seen| seen.checkout.is_none() && seen.report.verdict == Verdict::Clean;
        if arrival.before.is_some() && seen.as_ref().is_ok_and(is_old) {
            return Ok(());
        }
        self.scan.told(arrival.path, (Some(arrival.version.id), arrival.commit), seen)
    }

    // ---- the content of one file

    /// Scans a file of the index: the object of its pointer, or the working-tree file if git considers it unchanged.
    fn entry(&mut self, entry: &Entry) -> Result<Seen, Error> {
        let arrival = of_index(entry);
        let size = match self.repo.blob_size(entry.id)? {
            Some(size) if size > SMALL => size,
            _ => match self.version(&arrival) {
                Err(Error::NoObject { size, .. }) => size,
                seen => return seen,
            },
        };
        let target = self.repo.target(entry.path.as_ref())?;
        if self.repo.is_unchanged(entry, &target.path())
            && let Ok(source) = LocalFile::work_tree(self.repo, entry.path.as_ref(), None)
            && source.file.len() == size
        {
            let seen = self.scan.source(&source)?;
            return self.with_checkouts(&arrival, seen);
        }
        self.version(&arrival)
    }

    /// Scans a version: its blob, or the object of its pointer; or what a checkout makes of it, if that is worse.
    fn version(&mut self, arrival: &Arrival) -> Result<Seen, Error> {
        let id = arrival.version.id;
        let size = self.repo.blob_size(id)?.ok_or(crate::repo::Error::MissingBlob { id })?;
        let none = Seen { size: Some(size), ..Seen::default() };
        if size > SMALL {
            let seen = match arrival.before {
                None => Seen { report: self.large_blob(id, size)?, ..none },
                Some(_) => none,
            };
            return self.with_checkouts(arrival, seen);
        }
        let content = self.repo.blob(id, SMALL)?;
        let is_link = arrival.version.mode == Mode::Symlink;
        let is_short = content.len() < pointer::MAX_LEN;
        let pointer = if is_short && !is_link { Pointer::parse(&content).ok() } else { None };
        if let Some(pointer) = pointer {
            // The text of a pointer is not a pickle, in any encoding.
            if arrival.before.is_some() && !self.checkouts.becomes_lfs(arrival)? {
                return Ok(none);
            }
            return self.scan.source(&LocalFile::object(Some(self.repo), BStr::new(""), pointer)?);
        }
        let seen = match arrival.before {
            None => Seen { report: self.scan.content(&content, Path::new(""))?, ..none },
            Some(_) => none,
        };
        self.or_checkout(arrival, seen, Blob::Whole(&content))
    }

    /// Scans what a checkout makes of a long blob, or of one that was scanned elsewhere, if that is worse.
    fn with_checkouts(&mut self, arrival: &Arrival, seen: Seen) -> Result<Seen, Error> {
        let id = arrival.version.id;
        let Some(size) = self.repo.blob_size(id)?.filter(|size| *size > SMALL) else { return Ok(seen) };
        if seen.report.verdict == Verdict::Dangerous {
            return Ok(seen);
        }
        let head = incoming::head_of(self.git, id, HEAD)?;
        self.or_checkout(arrival, seen, Blob::Head(&head, size))
    }

    fn or_checkout(&mut self, arrival: &Arrival, seen: Seen, blob: Blob<'_>) -> Result<Seen, Error> {
        if seen.report.verdict == Verdict::Dangerous {
            return Ok(seen);
        }
        let worst = self.checkouts.worst(arrival, blob)?;
        Ok(match worst.filter(|worst| worst.report.verdict > seen.report.verdict) {
            None => seen,
            Some(Converted { size, report, by, .. }) => {
                Seen { size, report, checkout: Some(by), ..Seen::default() }
            }
        })
    }

    /// Scans a blob that is too large for memory: by its first and last bytes, or through a file without a name.
    fn large_blob(&self, id: ObjectId, size: u64) -> Result<Report, Error> {
        if let Some(report) = self.by_ends(id, size)? {
            return Ok(report);
        }
        let mut whole = tempfile::tempfile().map_err(Error::io("create", "a temporary file"))?;
        self.pieces(id, |piece| whole.write_all(piece).map(|()| ControlFlow::Continue(())))?;
        let whole = FileSource::new(whole).map_err(Error::io("read", "a temporary file"))?;
        self.scan.content(&whole, Path::new(""))
    }

    /// Scans a blob of more than [`HEAD`] bytes by its first bytes; `None` if they do not decide, or if an archive can
    /// follow them.
    fn by_ends(&self, id: ObjectId, size: u64) -> Result<Option<Report>, Error> {
        let mut last = Vec::new();
        let mut by_head = None;
        self.pieces(id, |piece| {
            last.extend_from_slice(piece);
            if by_head.is_none() {
                // The pieces have any size.
                let Some(head) = last.get(..HEAD) else { return Ok(ControlFlow::Continue(())) };
                by_head = Some(scan_head(head, size, &self.scan.limits));
            }
            // A file with a pickle is scanned as a whole.
            let is_open = |report: &Report| report.depends_on_rest() && !report.holds_pickle();
            if !by_head.iter().flatten().any(is_open) {
                return Ok(ControlFlow::Break(()));
            }
            if last.len() > 2 * LAST {
                last.drain(..last.len() - LAST);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let is_whole = |report: &Report| {
            !report.depends_on_rest() || (!report.holds_pickle() && !may_end_archive(&last))
        };
        Ok(by_head.flatten().filter(is_whole))
    }

    /// Passes the bytes of a blob on until the run is interrupted.
    fn pieces(
        &self,
        id: ObjectId,
        mut take: impl FnMut(&[u8]) -> io::Result<ControlFlow<()>>,
    ) -> Result<(), Error> {
        let command = self.git.command("cat-file").args(["blob".to_owned(), id.to_string()]);
        command.env("GIT_NO_LAZY_FETCH", "1").stream(|piece| {
            if self.scan.reporter.is_interrupted() { Ok(ControlFlow::Break(())) } else { take(piece) }
        })?;
        self.scan.reporter.check_interrupted()?;
        Ok(())
    }
}

/// A file of the index.
fn of_index(entry: &Entry) -> Arrival {
    Arrival::of(entry.path.clone(), Version { mode: entry.mode, id: entry.id }, Speaking::Index)
}
