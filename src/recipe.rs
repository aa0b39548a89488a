//! [`Recipe`]: what becomes of a checkpoint, decided before a byte is written; and [`convert_file`], which carries it out.
//!
//! ```text
//! source ──plan──▶ Plan ──no global that executes──▶ Ties ──▶ Layout        kilobytes are read
//! each tensor: read ─▶ Steps::output        beside it, from front to back: source ─▶ checked ─▶ Steps::source
//! ```
//!
//! Invariant: what [`Recipe::run`] ends without an error was made of a source that was read to its end, every checksum and
//! header in it right. It holds no path and starts no thread: who wants them brings them as [`Steps`].

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
    /// It names something that executes when it is loaded.
    #[error("refused: the pickle imports `{global}`")]
    Dangerous {
        /// `module.name`.
        global: String,
        /// Where it is named.
        at: u64,
        /// The record with the pickle.
        record: String,
    },
    /// It holds more than weights, and [`Options::strict`] allows nothing else.
    #[error("refused: the checkpoint also contains {path} ({reason})")]
    Strict {
        /// Where the first of it is.
        path: String,
        /// What it is.
        reason: String,
        /// How many more there are.
        more: usize,
    },
    /// It was not planned, or is damaged.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The output was not laid out or written.
    #[error(transparent)]
    Safetensors(#[from] safetensors::Error),
}

/// How a checkpoint is converted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Which dict is the state dict, and what reading it may cost.
    pub checkpoint: checkpoint::Options,
    /// The model's class, as `architectures[0]` of its `config.json` names it: it says which of tied names are aliases.
    pub class: Option<String>,
    /// Names to keep of tied tensors.
    pub keep: BTreeSet<String>,
    /// Refuse what holds more than weights.
    pub strict: bool,
}

/// A conversion that is decided, with nothing written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recipe {
    /// Which tensors there are, and where.
    pub plan: Plan,
    /// Which of them are written.
    pub ties: ties::Ties,
    /// The header, the order and the size of the output.
    pub layout: Layout,
}

/// What [`convert_file`] did.
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
    /// The dotted path of the dict that was taken; empty for the top level.
    pub key: String,
    /// How many tensors were written.
    pub tensors: usize,
    /// Tied names that were dropped, and the name that holds their values.
    pub dropped: BTreeMap<String, String>,
    /// Names that share memory and were written as independent copies, and why.
    pub copies: Vec<(String, &'static str)>,
    /// What the checkpoint holds beside the weights.
    pub ignored: Vec<Ignored>,
    /// What there is to know of how it was read.
    pub notes: Vec<Note>,
}

/// Takes the bytes of a conversion, each piece once, and gives back a buffer of full length for the next.
pub trait Steps {
    /// The next bytes of the output.
    ///
    /// # Errors
    /// What ends the conversion.
    fn output(&mut self, bytes: Buffer) -> io::Result<Buffer>;

    /// The next bytes of the source, which were checked.
    ///
    /// # Errors
    /// What ends the conversion.
    fn source(&mut self, bytes: Buffer) -> io::Result<Buffer>;

    /// Called before a piece is read that is in no output, where the source does not pass by.
    ///
    /// # Errors
    /// What ends the conversion.
    fn checked(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the description of a checkpoint, and refuses one that names what executes.
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

/// The first global of a plan that is known to execute: nothing is made of such a checkpoint.
pub fn dangerous(plan: &Plan) -> Option<&Named> {
    scan::dangerous(&plan.globals)
}

impl Recipe {
    /// Decides what becomes of a plan.
    ///
    /// # Errors
    /// [`Error::Strict`], [`Error::Checkpoint`] for names to keep that cannot be, [`Error::Safetensors`] for what is too
    /// large.
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

    /// Carries it out, in one pass over the output and one over the source. `inflated` is what
    /// [`checkpoint::inflate`] gave, for a plan that is not [in place](Plan::is_in_place).
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a source that is damaged or cannot be read, [`Error::Safetensors`] for what `steps` ended.
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

    /// The same where nobody wants the bytes of the source: each is read once, for the output or for the checksum of its
    /// record. Bytes between records are not read at all.
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
        let done = done.map_err(Error::from).and_then(|()| {
            once.rest(source).map_err(checkpoint::Error::Io)?;
            Ok(())
        });
        match once.damage {
            Some(damage) => Err(damage.into()),
            None => done.and_then(|()| Ok(once.pieces.finish()?)),
        }
    }
}

/// What happens to each buffer of output where the source does not pass by.
struct Once<'a> {
    steps: &'a mut dyn Steps,
    pieces: Pieces<'a>,
    damage: Option<checkpoint::Error>,
}

impl Once<'_> {
    /// Reads what is in no output.
    fn rest(&mut self, source: &dyn ReadAt) -> io::Result<()> {
        let mut buffer = Buffer::default();
        while let Some((at, len)) = self.pieces.missing() {
            self.steps.checked()?;
            if buffer.is_empty() {
                buffer = Buffer::new();
            }
            buffer.set_len(usize::try_from(len).unwrap_or(usize::MAX));
            source.read_exact_at(&mut buffer, at)?;
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

/// Reads the tensors of these indices one after the other, as a file has them behind its header, and beside it the source of
/// their plan, from front to back. `whole` is the source with what was inflated behind it.
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
        while pass.read().map_err(checkpoint::Error::Io)? {}
        Ok(())
    });
    // What stopped the pass is the reason, not that it was stopped.
    pass.damage.map_or(done, |damage| Err(damage.into()))
}

/// What happens to each buffer of output: it is taken, and as much of the source is read and checked, so that both keep
/// step and each finds in the page cache what the other has read.
struct Pass<'a> {
    steps: &'a mut dyn Steps,
    proof: Proof<'a>,
    source: &'a dyn ReadAt,
    piece: Buffer,
    damage: Option<checkpoint::Error>,
}

impl Pass<'_> {
    /// Reads the next piece of the source. False at its end.
    fn read(&mut self) -> io::Result<bool> {
        let left = self.source.len().saturating_sub(self.proof.at());
        if left == 0 {
            return Ok(false);
        }
        let mut piece = std::mem::take(&mut self.piece);
        piece.set_len(usize::try_from(left).unwrap_or(usize::MAX));
        self.source.read_exact_at(&mut piece, self.proof.at())?;
        if let Err(damage) = self.proof.pass(&piece) {
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

/// Writes the safetensors file of a checkpoint, byte for byte what the program writes. The source is read twice side by
/// side: for its tensors, and from front to back for its oid and checksums. Records that are deflated are inflated into memory.
///
/// # Errors
/// [`Error`]; then what was written is of no use.
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
