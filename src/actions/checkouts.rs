//! [`Checkouts`] scans what checkouts make of a blob, if it differs from the blob.
//!
//! Invariant: every form that a clone can write for a blob, without filters of other programs, is scanned like the blob
//! itself, or the result is unreadable. A long blob is never in memory as a whole: its first bytes decide, or it passes
//! through an unnamed temporary file.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;

use bstr::BStr;

use super::arrivals::{Arrival, Speaking};
use super::{Error, Reporter};
use crate::git::Git;
use crate::hash::{HashingWriter, Oid};
use crate::read_at::FileSource;
use crate::repo::{
    Conversion, Database, Made, Mode, ObjectId, Origin, Recipe, Repo, Treatment, Treatments, recipes,
};
use crate::scan::{self, Limits, Report, Verdict};

/// The content of a blob.
#[derive(Clone, Copy)]
pub(super) enum Blob<'b> {
    /// The whole content.
    Whole(&'b [u8]),
    /// Its first bytes, [`scan::HEAD`] of them, and its length.
    Head(&'b [u8], u64),
}

/// A form of a blob, and its findings.
#[derive(Debug)]
pub(super) struct Converted {
    /// The conversion of the blob.
    pub(super) by: String,
    pub(super) report: Report,
    /// The length of the form, or of the blob if the form cannot be computed; `None` if it was not counted.
    pub(super) size: Option<u64>,
    pub(super) oid: Option<Oid>,
}

/// Computes the forms that checkouts write.
pub(super) struct Checkouts<'a> {
    git: &'a Git<'a>,
    pub(super) treatments: Treatments<'a>,
    limits: Limits,
    /// A longer blob that its first bytes do not decide is unreadable.
    longest: u64,
    reporter: &'a dyn Reporter,
}

impl<'a> Checkouts<'a> {
    /// Creates it for a repository, whose objects are in `database`.
    pub(super) fn new(
        git: &'a Git<'a>,
        repo: &'a Repo,
        database: Database,
        reporter: &'a dyn Reporter,
    ) -> Self {
        let (treatments, limits) = (Treatments::new(repo, database), Limits::default());
        Self { git, treatments, limits, longest: u64::MAX, reporter }
    }

    /// Sets the longest blob that is read if its first bytes do not decide.
    pub(super) fn of_at_most(self, longest: u64) -> Self {
        Self { longest, ..self }
    }

    /// Returns `true` if a checkout now replaces the pointer by the content of its object, and did not before.
    pub(super) fn becomes_lfs(&mut self, arrival: &Arrival) -> Result<bool, Error> {
        let Some(before) = &arrival.before else { return Ok(false) };
        let is_lfs = |conversions: &[Conversion]| conversions.iter().any(|conversion| conversion.is_lfs);
        Ok(match self.treatment(arrival)? {
            Treatment::Clear(now) => is_lfs(&now) && !is_lfs(before),
            Treatment::Unclear { .. } => true,
        })
    }

    /// Returns the worst of the forms that checkouts now make of a blob, if it is worse than clean. The blob is not a
    /// pointer.
    pub(super) fn worst(&mut self, arrival: &Arrival, blob: Blob<'_>) -> Result<Option<Converted>, Error> {
        if arrival.version.mode == Mode::Symlink {
            return Ok(None);
        }
        let conversions = match self.treatment(arrival)? {
            Treatment::Clear(conversions) => conversions,
            Treatment::Unclear { file, is_missing } => {
                let why =
                    if is_missing { "is not in this clone" } else { "is read by git in more than one way" };
                return Ok(Some(unreadable(file.to_string(), format!("{file} {why}"), blob)));
            }
        };
        let mut worst: Option<Converted> = None;
        for recipe in recipes(&conversions, arrival.before.as_deref().unwrap_or_default()) {
            let converted = match blob {
                Blob::Whole(bytes) => self.whole(&recipe, arrival.version.id, bytes)?,
                Blob::Head(head, size) => self.long(&recipe, arrival.version.id, head, size)?,
            };
            let Some(converted) = converted else { continue };
            let verdict = converted.report.verdict;
            if worst.as_ref().map_or(Verdict::Clean, |worst| worst.report.verdict) < verdict {
                worst = Some(converted);
            }
            if verdict == Verdict::Dangerous {
                break;
            }
        }
        Ok(worst)
    }

    fn treatment(&mut self, arrival: &Arrival) -> Result<Treatment, Error> {
        let path: &BStr = arrival.path.as_ref();
        let attributes = match arrival.attributes {
            Speaking::These(attributes) => attributes,
            Speaking::Index => self.treatments.attributes(Origin::Index, path)?,
            Speaking::Nobody => return Ok(Treatment::Clear(vec![Conversion::default()])),
        };
        Ok(self.treatments.of(attributes, path))
    }

    fn whole(&self, recipe: &Recipe, id: ObjectId, blob: &[u8]) -> Result<Option<Converted>, Error> {
        match recipe.apply(id, blob) {
            Made::Same => Ok(None),
            Made::Unclear(why) => {
                Ok(Some(unreadable(recipe.to_string(), why.to_string(), Blob::Whole(blob))))
            }
            Made::Bytes(bytes) => {
                let report = scan::scan(&bytes, &self.limits).map_err(failed)?;
                let (size, oid) = (u64::try_from(bytes.len()).ok(), Oid::of(&bytes));
                Ok(Some(Converted { by: recipe.to_string(), report, size, oid: Some(oid) }))
            }
        }
    }

    fn long(
        &self,
        recipe: &Recipe,
        id: ObjectId,
        head: &[u8],
        size: u64,
    ) -> Result<Option<Converted>, Error> {
        let made = recipe.apply_to_head(id, head);
        let (head, len) = match &made {
            Made::Same => (head, size),
            Made::Bytes(bytes) => (bytes.as_slice(), u64::MAX),
            Made::Unclear(why) => {
                return Ok(Some(unreadable(recipe.to_string(), why.to_string(), Blob::Head(head, size))));
            }
        };
        // An archive that follows a pickle is only in the whole blob.
        let by_head = scan::scan_head(head, len, &self.limits);
        let is_all = |report: &Report| !report.holds_pickle() || !report.depends_on_rest();
        if let Some(report) = by_head.filter(|report| is_all(report) || size > self.longest) {
            // If the first bytes are not converted, the verdict on the blob applies.
            let by = || recipe.to_string();
            return Ok((made != Made::Same).then(|| Converted { by: by(), report, size: None, oid: None }));
        }
        if size > self.longest {
            let why = "it is too long to be converted as a checkout does it";
            return Ok(Some(unreadable(recipe.to_string(), why.to_owned(), Blob::Head(head, size))));
        }
        let mut survey = recipe.survey(id);
        let mut why = None;
        if !recipe.keeps_line_ends() {
            self.pieces(id, &mut |piece| Ok(keep(survey.push(piece), &mut why).is_some()))?;
        }
        let converter = match why.map_or_else(|| survey.finish(), Err) {
            Ok(None) => return Ok(None),
            Ok(Some(converter)) => converter,
            Err(why) => {
                return Ok(Some(unreadable(recipe.to_string(), why.to_string(), Blob::Head(head, size))));
            }
        };
        self.spooled(recipe, id, size, converter)
    }

    fn spooled(
        &self,
        recipe: &Recipe,
        id: ObjectId,
        size: u64,
        mut converter: crate::repo::Converter,
    ) -> Result<Option<Converted>, Error> {
        let mut file = HashingWriter::new(tempfile::tempfile().map_err(failed)?);
        let (mut buf, mut why, mut is_done) = (Vec::new(), None, true);
        self.pieces(id, &mut |piece| {
            buf.clear();
            is_done = keep(converter.push(piece, &mut buf), &mut why).unwrap_or(false);
            file.write_all(&buf)?;
            Ok(is_done)
        })?;
        buf.clear();
        is_done = is_done && keep(converter.finish(&mut buf), &mut why).unwrap_or(false);
        if let Some(why) = why {
            return Ok(Some(unreadable(recipe.to_string(), why.to_string(), Blob::Head(&[], size))));
        }
        if !is_done {
            return Ok(None);
        }
        file.write_all(&buf).map_err(failed)?;
        let (file, oid, _): (File, Oid, u64) = file.finish();
        let file = FileSource::new(file).map_err(failed)?;
        let report = scan::scan(&file, &self.limits).map_err(failed)?;
        let size = Some(crate::read_at::ReadAt::len(&file));
        Ok(Some(Converted { by: recipe.to_string(), report, size, oid: Some(oid) }))
    }

    /// Passes on a blob, until `take` returns `false`.
    fn pieces(&self, id: ObjectId, take: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> Result<(), Error> {
        // Otherwise git unpacks a blob of up to 512 MiB in memory before it writes the first byte.
        let command = self.git.command("cat-file").config("core.bigFileThreshold", "1m");
        command.args(["blob", &id.to_string()]).env("GIT_NO_LAZY_FETCH", "1").stream(|piece| {
            let goes_on = !self.reporter.is_interrupted() && take(piece)?;
            Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        if self.reporter.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Returns the value, or stores the error.
fn keep<T, E>(result: Result<T, E>, wrong: &mut Option<E>) -> Option<T> {
    result.map_err(|error| *wrong = Some(error)).ok()
}

fn failed(source: io::Error) -> Error {
    Error::Io { what: "read", path: PathBuf::from("a temporary file"), source }
}

fn unreadable(by: String, reason: String, blob: Blob<'_>) -> Converted {
    let report = Report { verdict: Verdict::Unreadable, reason: Some(reason), ..Report::default() };
    let (size, oid) = match blob {
        Blob::Whole(bytes) => (u64::try_from(bytes.len()).ok(), Some(Oid::of(bytes))),
        Blob::Head(_, size) => (Some(size), None),
    };
    Converted { by, report, size, oid }
}
