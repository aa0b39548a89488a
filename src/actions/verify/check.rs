//! [`Reader::check`] compares one safetensors file with one checkpoint, and reads no more than it needs.
//!
//! ```text
//! plan of the checkpoint ─▶ the conversions that have the file's size      kilobytes, by ranges from a server
//! the object ID of one of them matches the pointer ─▶ identical            no byte of the file was read
//! the header has other names, dtypes or shapes ─▶ differs                  no tensor was read
//! every element by its bits ─▶ identical, if the header is that of a conversion; equal; or differs
//! ```
//!
//! While it reads tensors, it also reads the checkpoint from start to end for its own object ID and its checksums. A
//! checkpoint on the server is downloaded once, into a temporary file in LFS storage that is removed at the end; the
//! safetensors file is streamed.
//!
//! Invariant: a verdict, except a `differs` by the header, is about a checkpoint whose bytes match its pointer.

use std::collections::BTreeMap;
use std::io;
use std::thread;

use bstr::{BStr, ByteSlice as _};

use super::super::Error;
use super::super::content::Bytes;
use super::super::hashing::{Hashed, Hashing};
use super::compare::{Compared, Sides, oid_of, prove};
use super::identify::{identify, likeliest};
use super::reading::{Header, Reader, Watched, read_back};
use super::{Finding, Verdict, Verified};
use crate::checkpoint::{self, Headers, Kind, Plan};
use crate::hash::{Hasher, Oid};
use crate::lfs::Pointer;
use crate::read_at::{Joined, ReadAt};
use crate::recipe;
use crate::safetensors::compare::{Comparison, Difference, LIMIT};
use crate::safetensors::conversions::{Conversion, Conversions, Group};
use crate::safetensors::{self, Variation};

/// A safetensors file and its checkpoint.
pub(super) struct Pair {
    pub(super) file: Bytes,
    pub(super) checkpoint: Bytes,
    pub(super) class: Option<String>,
    /// The dotted path of the state dict.
    pub(super) key: Option<String>,
}

/// The parts of one comparison: the checkpoint, which is local now, its plan, and the file.
#[derive(Clone, Copy)]
struct Work<'a, 'c> {
    reader: &'a Reader<'c>,
    file: &'a Bytes,
    source: &'a dyn ReadAt,
    pointer: Option<Pointer>,
    /// The source, followed by its inflated records.
    whole: &'a dyn ReadAt,
    plan: &'a Plan,
    class: Option<&'a str>,
    name: &'a BStr,
}

impl Reader<'_> {
    /// Verifies one pair. The findings go to `verified`.
    ///
    /// # Errors
    /// One of the files cannot be read, or the checkpoint cannot be converted.
    pub(super) fn check(&self, pair: &Pair, verified: &mut Verified) -> Result<Verdict, Error> {
        let Pair { file, checkpoint, .. } = pair;
        verified.size = Some(file.len());
        verified.oid = file.pointer().map(|pointer| pointer.oid);
        verified.checkpoint_oid = checkpoint.pointer().map(|pointer| pointer.oid);
        let path = verified.path.clone();
        let name = verified.checkpoint.clone().unwrap_or_default();
        let pointer = checkpoint.pointer();
        let verdict = match checkpoint.here() {
            Ok(source) => self.with(pair, source, pointer, path.as_bstr(), verified)?,
            Err(there) => {
                if self.differs_from_afar(there, pair, verified)? {
                    return Ok(Verdict::Differs);
                }
                let spooled = self.download(name.as_bstr(), there)?;
                let Ok(source) = spooled.here() else { return Err(Error::SourceChanged) };
                self.with(pair, source, pointer, path.as_bstr(), verified)?
            }
        };
        checkpoint.check_unchanged()?;
        file.check_unchanged()?;
        Ok(verdict)
    }

    /// Returns `true` if the description of a checkpoint on the server shows that the file has other tensors.
    fn differs_from_afar(
        &self,
        pointer: Pointer,
        pair: &Pair,
        verified: &mut Verified,
    ) -> Result<bool, Error> {
        let Pair { file, class, key, .. } = pair;
        let server = self.server(pointer)?;
        let object = server.object(pointer);
        let Some(bytes) = object.ranged()? else { return Ok(false) };
        if Kind::of(&bytes).map_err(checkpoint::Error::Io)? != Kind::Zip {
            return Ok(false);
        }
        let plan = plan_of(&bytes, key.as_ref(), Headers::Foresee)?;
        let conversions = Conversions::new(&plan, class.as_deref())?;
        if file.pointer().is_some() && !conversions.of_size(file.len())?.is_empty() {
            // The object ID decides without a read of the file.
            return Ok(false);
        }
        if self.is_whole_alone(file)? {
            return Ok(false);
        }
        let header = self.header(file, verified)?;
        Ok(header.is_none_or(|header| header.differs(&plan, &conversions, verified)))
    }

    fn with(
        &self,
        pair: &Pair,
        source: &dyn ReadAt,
        pointer: Option<Pointer>,
        name: &BStr,
        verified: &mut Verified,
    ) -> Result<Verdict, Error> {
        let (Pair { file, key, .. }, class) = (pair, pair.class.as_deref());
        let source = &Watched { source, reporter: self.reporter };
        let plan = &plan_of(source, key.as_ref(), Headers::Read)?;
        let work = Work { reader: self, file, source, pointer, whole: source, plan, class, name };
        if plan.is_in_place() {
            return work.run(verified);
        }
        let temp = (self.spool)()?;
        let (mut inflated, path) = (temp.file(), temp.path().to_owned());
        checkpoint::inflate(source, plan, &mut inflated)?;
        let inflated = read_back(&temp, &path)?;
        Work { whole: &Joined::new(source, &inflated), ..work }.run(verified)
    }
}

impl Work<'_, '_> {
    fn run(&self, verified: &mut Verified) -> Result<Verdict, Error> {
        let conversions = Conversions::new(self.plan, self.class)?;
        let groups = conversions.of_size(self.file.len())?;
        let mut is_proven = false;
        if let (Some(pointer), [first, ..]) = (self.file.pointer(), &*groups) {
            is_proven = true;
            if let Some(conversion) = self.identified(pointer.oid, first, &groups, verified)? {
                verified.conversion = Some(conversion);
                verified.ties = conversions.dropped(conversion.rule);
                verified.tensors = conversions.kept(conversion.rule);
                return Ok(Verdict::Identical);
            }
        }
        match self.file {
            Bytes::There(pointer) if self.reader.is_whole_alone(self.file)? => {
                verified.downloaded = true;
                let file = self.reader.download(self.name, *pointer)?;
                Work { file: &file, ..*self }.compare(&conversions, &groups, is_proven, verified)
            }
            _ => self.compare(&conversions, &groups, is_proven, verified),
        }
    }

    /// Returns the conversion whose file has this object ID, after the check of the checkpoint.
    fn identified(
        &self,
        oid: Oid,
        first: &Group,
        groups: &[Group],
        verified: &mut Verified,
    ) -> Result<Option<Conversion>, Error> {
        let (plan, reporter) = (self.plan, self.reader.reporter);
        reporter.started(self.name, first.len);
        let passed = likeliest(first, plan, (self.source, self.whole), reporter);
        reporter.finished();
        if reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let passed = passed?;
        self.is_proven(passed.source, verified)?;
        if passed.file == oid {
            return Ok(first.candidates.first().map(|candidate| candidate.conversion));
        }
        let mut others = groups.to_vec();
        if let Some(first) = others.first_mut() {
            first.candidates.drain(..1);
        }
        others.retain(|group| !group.candidates.is_empty());
        let Some(next) = others.first() else { return Ok(None) };
        reporter.started(self.name, next.len);
        let found = identify(&others, plan, self.whole, oid, reporter);
        reporter.finished();
        if reporter.is_interrupted() { Err(Error::Interrupted) } else { found }
    }

    /// Records the object ID of a checkpoint that was read to its end, and compares it with the pointer.
    fn is_proven(&self, oid: Oid, verified: &mut Verified) -> Result<(), Error> {
        verified.checkpoint_oid = Some(oid);
        match self.pointer {
            Some(pointer) if pointer.oid != oid => {
                Err(Error::PointerMismatch { expected: pointer.oid, got: oid })
            }
            _ => Ok(()),
        }
    }

    /// Compares the header, and then the tensors.
    fn compare(
        &self,
        conversions: &Conversions<'_>,
        groups: &[Group],
        is_proven: bool,
        verified: &mut Verified,
    ) -> Result<Verdict, Error> {
        let Some(header) = self.reader.header(self.file, verified)? else {
            return Ok(Verdict::Differs);
        };
        if header.differs(self.plan, conversions, verified) {
            return Ok(Verdict::Differs);
        }
        let names = header.infos.iter().map(|info| info.name.as_str());
        let chosen = conversions.keeping(names, self.file.len())?;
        let groups = &[groups, &chosen].concat();
        let comparison = header.compare(self.plan, conversions);
        let (order, metadata) = (comparison.order.clone(), header.metadata.clone());
        let is_stated = self.pointer.is_some() || self.file.pointer().is_some();
        let hashing = (self.reader.hashes || is_stated).then(|| Hashing::start(Hasher::default()));
        let hashing = hashing.transpose().map_err(safetensors::Error::Io)?;
        let sides = self.sides(header, &comparison);
        let tensors = sides.infos.iter().map(|info| (info.name.clone(), info.bytes)).collect();
        self.reader.reporter.started(self.name, self.file.len());
        let read = match (self.file.here(), &hashing) {
            (Ok(file), Some(hashing)) if !is_proven => {
                sides.compare_in_one_pass(self.source, file, hashing, self.reader.reporter).map(Ok)
            }
            _ => self.in_threads(sides, is_proven, hashing.as_ref()),
        };
        self.reader.reporter.finished();
        let hashed = hashing.map(Hashing::finish).transpose().map_err(safetensors::Error::Io);
        if self.reader.reporter.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let compared = read?;
        let hashed = hashed?;
        if let Some(Hashed { source: (source, _), .. }) = hashed
            && !is_proven
        {
            self.is_proven(source, verified)?;
        }
        let compared = compared?;
        verified.tensors = tensors;
        verified.downloaded |= self.file.here().is_err();
        let file = hashed.filter(|_| compared.is_whole).map(|hashed| hashed.output.0);
        let verdict = self.conclude(compared, file, comparison, groups, verified)?;
        if verdict == Verdict::Equal {
            verified.variations = Variation::of(self.plan, conversions, &order, &metadata)?;
        }
        Ok(verdict)
    }

    fn sides<'s>(&'s self, header: Header, comparison: &'s Comparison) -> Sides<'s> {
        let begins = header.infos.first().map_or(self.file.len(), |info| info.at);
        Sides {
            plan: self.plan,
            checkpoint: self.whole,
            infos: header.infos,
            order: &comparison.order,
            header: begins,
        }
    }

    /// Compares in threads, one of which reads the checkpoint for its checksums unless it is proven. That can fail, and
    /// so can the comparison.
    fn in_threads(
        &self,
        sides: Sides<'_>,
        is_proven: bool,
        hashing: Option<&Hashing>,
    ) -> Result<Result<Compared, Error>, Error> {
        let (reader, source, plan) = (self.reader, self.source, self.plan);
        thread::scope(|scope| {
            let proving = || thread::Builder::new().spawn_scoped(scope, move || prove(source, plan, hashing));
            let proof = (!is_proven).then(proving).transpose().map_err(checkpoint::Error::Io)?;
            let sender = hashing.map(Hashing::sender).transpose().map_err(safetensors::Error::Io)?;
            let compared = sides.compare(sender, reader.reporter, &mut |pass| match self.file.here() {
                Ok(file) => Ok(pass.read(file).map_err(safetensors::Error::Io)?),
                Err(pointer) => reader.stream(pointer, &mut |at, bytes| pass.take(at, bytes)),
            });
            let panicked = |_| checkpoint::Error::Io(io::Error::other("the reading thread panicked"));
            if let Some(proof) = proof {
                proof.join().map_err(panicked)??;
            }
            Ok(compared)
        })
    }

    fn conclude(
        &self,
        compared: Compared,
        file: Option<Oid>,
        comparison: Comparison,
        groups: &[Group],
        verified: &mut Verified,
    ) -> Result<Verdict, Error> {
        let Compared { differences, header, is_whole } = compared;
        if let (Some(pointer), Some(got)) = (self.file.pointer(), file)
            && pointer.oid != got
        {
            return Err(Error::PointerMismatch { expected: pointer.oid, got });
        }
        verified.oid = verified.oid.or(file);
        (verified.compared, verified.stopped) = (is_whole, !is_whole);
        verified.findings.extend(differences.into_iter().map(Finding::Tensor));
        verified.ties = comparison.ties;
        // A tensor to which many names are tied is read only once.
        let mut keepers = BTreeMap::new();
        for (name, keeper) in comparison.claims {
            if verified.findings.len() >= LIMIT {
                verified.stopped = true;
                break;
            }
            let known = keepers.get(&keeper).copied();
            let kept = known.map_or_else(|| oid_of(self.plan, keeper, self.whole), Ok)?;
            keepers.insert(keeper, kept);
            let is_same = oid_of(self.plan, name, self.whole)? == kept;
            let text = |index: usize| self.plan.tensors.get(index).map(|one| one.name.clone());
            let (name, keeper) = (text(name).unwrap_or_default(), text(keeper).unwrap_or_default());
            if is_same {
                verified.ties.insert(name, keeper);
            } else {
                verified.findings.push(Finding::Tensor(Difference::Alias { name, keeper }));
            }
        }
        if !verified.findings.is_empty() {
            return Ok(Verdict::Differs);
        }
        verified.conversion = is_conversion(self.plan, groups, &comparison.order, header);
        let is_identical = verified.conversion.is_some();
        Ok(if is_identical { Verdict::Identical } else { Verdict::Equal })
    }
}

/// Reads the description of a checkpoint. It refuses the same content as a conversion.
fn plan_of(source: &dyn ReadAt, key: Option<&String>, headers: Headers) -> Result<Plan, Error> {
    let options = checkpoint::Options { key: key.cloned(), headers, ..checkpoint::Options::default() };
    Ok(recipe::plan(source, &options)?)
}

/// Returns the conversion that has this header before the same data.
fn is_conversion(plan: &Plan, groups: &[Group], order: &[usize], header: Oid) -> Option<Conversion> {
    let has_bytes = |index: &&usize| plan.tensors.get(**index).is_some_and(|one| one.bytes() > 0);
    let order: Vec<usize> = order.iter().filter(has_bytes).copied().collect();
    let candidates = groups.iter().filter(|group| *group.order == *order).flat_map(|group| &group.candidates);
    let mut same = candidates.filter(|candidate| candidate.hasher.clone().finish().0 == header);
    same.next().map(|candidate| candidate.conversion)
}
