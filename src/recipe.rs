//! [`Recipe`] decides the result of a checkpoint before a byte is written, and [`convert_file`] writes it.
//!
//! ```text
//! source ──plan──▶ Plan ──no dangerous global──▶ Ties ──▶ Layout        kilobytes are read
//! each tensor: read ─▶ Steps::output        next to it, from start to end: source ─▶ checked ─▶ Steps::source
//! ```
//!
//! Invariant: a [`Recipe::run`] that ends without an error has read the source to its end, and every checksum and
//! header in it was correct. It stores no path and starts no thread: the caller provides them as [`Steps`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use crate::buffer::Buffer;
use crate::checkpoint::{self, Ignored, Named, Note, Pieces, Plan, Proof, ties};
use crate::hash::{Hasher, Oid};
use crate::read_at::{Joined, ReadAt};
use crate::safetensors::{self, Layout, Sink};
use crate::scan;

/// Why a checkpoint is not converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It imports a global that executes code when it is loaded.
    #[error("refused: the pickle imports `{global}`")]
    Dangerous {
        /// `module.name`.
        global: String,
        /// The offset at which it is imported.
        at: u64,
        /// The record with the pickle.
        record: String,
    },
    /// It contains more than weights, and [`Options::strict`] allows nothing else.
    #[error("refused: the checkpoint also contains {path} ({reason})")]
    Strict {
        /// The path of the first such value.
        path: String,
        /// The reason why it is not a weight.
        reason: String,
        /// How many more there are.
        more: usize,
    },
    /// It could not be planned, or is damaged.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The output could not be laid out or written.
    #[error(transparent)]
    Safetensors(safetensors::Error),
}

impl From<safetensors::Error> for Error {
    fn from(error: safetensors::Error) -> Self {
        match error {
            safetensors::Error::Source(error) => Self::Checkpoint(unread(error)),
            error => Self::Safetensors(error),
        }
    }
}

/// Returns the error for a read that the plan provides. Its bytes existed when the source was planned.
fn unread(error: io::Error) -> checkpoint::Error {
    checkpoint::Error::Io(match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other("the file became shorter while it was read"),
        _ => error,
    })
}

/// How a checkpoint is converted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Which dict is the state dict, and the limits on reading it.
    pub checkpoint: checkpoint::Options,
    /// The model's class, as `architectures[0]` of its `config.json` names it: it decides which of tied names are
    /// aliases.
    pub class: Option<String>,
    /// Names to keep of tied tensors.
    pub keep: BTreeSet<String>,
    /// `true` to refuse a checkpoint with more than weights.
    pub strict: bool,
}

/// A conversion that is decided, with nothing written yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recipe {
    /// The tensors of the checkpoint, and the positions of their bytes.
    pub plan: Plan,
    /// The tensors that are written.
    pub ties: ties::Ties,
    /// The header, the order and the size of the output.
    pub layout: Layout,
}

/// The result of [`convert_file`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The SHA-256 of the output.
    pub oid: Oid,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of the checkpoint.
    pub source_oid: Oid,
    /// `zip`, `legacy`, `tar`, `torchscript` or `pickle`.
    pub format: &'static str,
    /// The dotted path of the state dict; empty for the top level.
    pub key: String,
    /// How many tensors were written.
    pub tensors: usize,
    /// Tied names that were dropped, each with the name that has their values.
    pub dropped: BTreeMap<String, String>,
    /// Names that share memory and were written as independent copies, each with the reason.
    pub copies: Vec<(String, &'static str)>,
    /// The other contents of the checkpoint, which were not written.
    pub ignored: Vec<Ignored>,
    /// Facts about how the checkpoint was read.
    pub notes: Vec<Note>,
}

/// Takes the bytes of a conversion, each piece once, and returns a buffer of full length for the next piece.
pub trait Steps {
    /// The next bytes of the output.
    ///
    /// # Errors
    /// An error that ends the conversion.
    fn output(&mut self, bytes: Buffer) -> io::Result<Buffer>;

    /// Takes the next bytes of the source, after their check.
    ///
    /// # Errors
    /// An error that ends the conversion.
    fn source(&mut self, bytes: Buffer) -> io::Result<Buffer>;

    /// Called before a piece is read that is in no output, where the source does not pass by.
    ///
    /// # Errors
    /// An error that ends the conversion.
    fn checked(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the description of a checkpoint, and refuses one that imports a global that executes code.
///
/// # Errors
/// [`Error::Dangerous`], [`Error::Checkpoint`]
pub fn plan(source: &dyn ReadAt, options: &checkpoint::Options) -> Result<Plan, Error> {
    let plan = checkpoint::plan(source, options)?;
    match dangerous(&plan) {
        None => Ok(plan),
        Some(named) => Err(Error::Dangerous {
            global: format!("{}.{}", named.module, named.name),
            at: named.at,
            record: named.record.clone(),
        }),
    }
}

/// Returns the first global of a plan that is known to execute code: such a checkpoint is not converted.
pub fn dangerous(plan: &Plan) -> Option<&Named> {
    scan::dangerous(&plan.globals)
}

impl Recipe {
    /// Decides the result of a plan.
    ///
    /// # Errors
    /// [`Error::Strict`], [`Error::Checkpoint`] for names that cannot be kept, [`Error::Safetensors`] for a result that
    /// is too large.
    pub fn new(mut plan: Plan, options: &Options) -> Result<Self, Error> {
        if let (true, Some(first)) = (options.strict, plan.ignored.first()) {
            let (path, reason) = (first.path.clone(), first.reason.clone());
            return Err(Error::Strict { path, reason, more: plan.ignored.len() - 1 });
        }
        let policy = ties::Policy::for_class(options.class.as_deref());
        let ties = ties::resolve(&plan, &ties::Policy { keep: options.keep.clone(), ..policy })?;
        if let [(kept, dropped), more @ ..] = &*ties.guessed {
            plan.notes.push(Note::Tied {
                kept: kept.clone(),
                dropped: dropped.clone(),
                class: options.class.clone(),
                more: more.len(),
            });
        }
        let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        for (dropped, kept) in &ties.dropped {
            metadata.entry(dropped.clone()).or_insert_with(|| kept.clone());
        }
        let layout = Layout::new(&plan, &ties.kept, &metadata)?;
        Ok(Self { plan, ties, layout })
    }

    /// Runs it, in one pass over the output and one over the source. `inflated` is the output of
    /// [`checkpoint::inflate`], for a plan that is not [in place](Plan::is_in_place).
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a source that is damaged or cannot be read, [`Error::Safetensors`] for an error of
    /// `steps`.
    pub fn run(
        &self,
        source: &dyn ReadAt,
        inflated: Option<&dyn ReadAt>,
        steps: &mut dyn Steps,
    ) -> Result<(), Error> {
        let joined = inflated.map(|inflated| Joined::new(source, inflated));
        let whole = joined.as_ref().map_or(source, |joined| joined);
        both(&self.plan, source, steps, |pass| safetensors::write(&self.layout, &self.plan, whole, pass))
    }

    /// Does the same if the bytes of the source are not needed: each is read once, for the output or for the checksum of its
    /// record. Bytes between records are not read.
    ///
    /// # Errors
    /// As [`Recipe::run`].
    pub fn run_once(
        &self,
        source: &dyn ReadAt,
        inflated: Option<&dyn ReadAt>,
        steps: &mut dyn Steps,
    ) -> Result<(), Error> {
        if !self.plan.headers.is_empty() {
            // They are checked in a pass.
            return self.run(source, inflated, steps);
        }
        let joined = inflated.map(|inflated| Joined::new(source, inflated));
        let whole = joined.as_ref().map_or(source, |joined| joined);
        let mut once = Once { steps, pieces: Pieces::new(&self.plan), damage: None };
        let done = safetensors::write(&self.layout, &self.plan, whole, &mut once);
        let done = done.map_err(Error::from).and_then(|()| Ok(once.rest(source)?));
        match once.damage {
            Some(damage) => Err(damage.into()),
            None => done.and_then(|()| Ok(once.pieces.finish()?)),
        }
    }
}

/// The steps of a conversion that reads the source only once: the bytes of the output are checked as they are read, and
/// only the others are read in addition.
struct Once<'a> {
    steps: &'a mut dyn Steps,
    pieces: Pieces<'a>,
    damage: Option<checkpoint::Error>,
}

impl Once<'_> {
    /// Reads what is in no output.
    fn rest(&mut self, source: &dyn ReadAt) -> Result<(), safetensors::Error> {
        let mut buffer = Buffer::default();
        while let Some((at, len)) = self.pieces.missing() {
            self.steps.checked()?;
            if buffer.is_empty() {
                buffer = Buffer::new();
            }
            buffer.set_len(usize::try_from(len).unwrap_or(usize::MAX));
            source.read_exact_at(&mut buffer, at).map_err(safetensors::Error::Source)?;
            self.read(at, &buffer)?;
        }
        Ok(())
    }
}

impl Sink for Once<'_> {
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.steps.output(bytes)
    }

    fn read(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.pieces.pass(at, bytes).map_err(|damage| {
            self.damage = Some(damage);
            io::ErrorKind::InvalidData.into()
        })
    }
}

/// Reads the tensors of these indices one after the other, in the order of a file, and at the same time the source of
/// their plan, from start to end. `whole` is the source followed by the inflated records.
///
/// # Errors
/// As [`Recipe::run`].
pub fn read(
    order: &[usize],
    plan: &Plan,
    (source, whole): (&dyn ReadAt, &dyn ReadAt),
    steps: &mut dyn Steps,
) -> Result<(), Error> {
    both(plan, source, steps, |pass| safetensors::write_tensors(order, plan, whole, pass))
}

fn both(
    plan: &Plan,
    source: &dyn ReadAt,
    steps: &mut dyn Steps,
    write: impl FnOnce(&mut Pass<'_>) -> Result<(), safetensors::Error>,
) -> Result<(), Error> {
    let mut pass = Pass { steps, proof: Proof::new(plan), source, piece: Buffer::new(), damage: None };
    let done = write(&mut pass);
    let done = done.map_err(Error::from).and_then(|()| {
        while pass.read().map_err(safetensors::Error::Io)? {}
        Ok(())
    });
    // The damage that stopped the pass is the reason, not the stop.
    pass.damage.map_or(done, |damage| Err(damage.into()))
}

/// Handles each buffer of output: `steps` takes it, and the pass reads and checks the same amount of the source. So
/// both keep pace, and each finds in the page cache what the other has read.
struct Pass<'a> {
    steps: &'a mut dyn Steps,
    proof: Proof<'a>,
    source: &'a dyn ReadAt,
    piece: Buffer,
    damage: Option<checkpoint::Error>,
}

impl Pass<'_> {
    /// Reads the next piece of the source. Returns `false` at its end.
    fn read(&mut self) -> io::Result<bool> {
        let left = self.source.len().saturating_sub(self.proof.at());
        if left == 0 {
            return Ok(false);
        }
        let mut piece = std::mem::take(&mut self.piece);
        piece.set_len(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.source.read_exact_at(&mut piece, self.proof.at()).map_err(unread);
        if let Err(damage) = read.and_then(|()| self.proof.pass(&piece)) {
            self.damage = Some(damage);
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.piece = self.steps.source(piece)?;
        Ok(true)
    }
}

impl Sink for Pass<'_> {
    fn put(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        let next = self.steps.output(bytes)?;
        self.read()?;
        Ok(next)
    }
}

/// Writes the safetensors file of a checkpoint, byte for byte as the program writes it. It reads the source twice at
/// the same time: for its tensors, and from start to end for its object ID and checksums. It inflates deflated records
/// into memory.
///
/// # Errors
/// [`Error`]; the bytes written before it are not usable.
pub fn convert_file(source: &dyn ReadAt, output: &mut dyn Write, options: &Options) -> Result<Report, Error> {
    let plan = plan(source, &options.checkpoint)?;
    let is_there = |name: &&String| plan.tensors.iter().any(|tensor| tensor.name == **name);
    if let Some(name) = options.keep.iter().find(|name| !is_there(name)) {
        return Err(checkpoint::Error::Keep { name: name.clone() }.into());
    }
    let recipe = Recipe::new(plan, options)?;
    let mut inflated = Vec::new();
    checkpoint::inflate(source, &recipe.plan, &mut inflated)?;
    let mut hashed = Hashed { output, made: Hasher::default(), read: Hasher::default() };
    recipe.run(source, Some(&inflated), &mut hashed)?;
    let ((oid, size), (source_oid, _)) = (hashed.made.finish(), hashed.read.finish());
    let Recipe { plan, ties, .. } = recipe;
    Ok(Report {
        oid,
        size,
        source_oid,
        format: plan.format.name(),
        key: plan.key,
        tensors: ties.kept.len(),
        dropped: ties.dropped,
        copies: ties.copies,
        ignored: plan.ignored,
        notes: plan.notes,
    })
}

/// Writes and hashes on one thread.
struct Hashed<'a> {
    output: &'a mut dyn Write,
    made: Hasher,
    read: Hasher,
}

impl Steps for Hashed<'_> {
    fn output(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.output.write_all(&bytes)?;
        self.made.update(&bytes);
        Ok(bytes)
    }

    fn source(&mut self, bytes: Buffer) -> io::Result<Buffer> {
        self.read.update(&bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A source of which only the first reads succeed; the others fail with an error of this kind.
    struct Failing<'a> {
        bytes: &'a [u8],
        left: AtomicUsize,
        kind: io::ErrorKind,
    }

    impl ReadAt for Failing<'_> {
        fn len(&self) -> u64 {
            ReadAt::len(self.bytes)
        }

        fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
            let left =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.map_err(|_| io::Error::new(self.kind, "no such sector"))?;
            self.bytes.read_exact_at(buf, at)
        }
    }

    /// Steps of which the first ones succeed.
    struct Stopping(usize);

    impl Stopping {
        fn step(&mut self, mut bytes: Buffer) -> io::Result<Buffer> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("no space"))?;
            bytes.set_len(crate::buffer::CAPACITY);
            Ok(bytes)
        }
    }

    impl Steps for Stopping {
        fn output(&mut self, bytes: Buffer) -> io::Result<Buffer> {
            self.step(bytes)
        }

        fn source(&mut self, bytes: Buffer) -> io::Result<Buffer> {
            self.step(bytes)
        }
    }

    #[test]
    fn an_error_is_that_of_the_side_that_failed() {
        let (mut read, mut written) = (0, 0);
        for entry in fs::read_dir("tests/fixtures/checkpoints").unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            let options = Options::default();
            let Ok(recipe) = plan(&bytes, &options.checkpoint).and_then(|plan| Recipe::new(plan, &options))
            else {
                continue;
            };
            let mut inflated = Vec::new();
            if checkpoint::inflate(&bytes, &recipe.plan, &mut inflated).is_err() {
                continue;
            }
            let ways = [Recipe::run, Recipe::run_once];
            for run in ways {
                if run(&recipe, &bytes, Some(&inflated), &mut Stopping(usize::MAX)).is_err() {
                    continue;
                }
                for (kind, message) in [
                    (io::ErrorKind::Other, "no such sector"),
                    (io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"),
                ] {
                    for reads in 0.. {
                        let source = Failing { bytes: &bytes, left: AtomicUsize::new(reads), kind };
                        match run(&recipe, &source, Some(&inflated), &mut Stopping(usize::MAX)) {
                            Ok(()) => break,
                            Err(Error::Checkpoint(error)) => {
                                assert!(error.is_io(), "{error:?}");
                                assert_eq!(std::error::Error::source(&error).unwrap().to_string(), message);
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                        read += 1;
                    }
                }
                for steps in 0.. {
                    match run(&recipe, &bytes, Some(&inflated), &mut Stopping(steps)) {
                        Ok(()) => break,
                        Err(Error::Safetensors(safetensors::Error::Io(error))) => {
                            assert_eq!(error.to_string(), "no space");
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    written += 1;
                }
            }
        }
        assert!(read > 2_000 && written > 500, "{read} and {written}");
    }
}
