//! What a file is by its content, whether it is or holds a pickle, and what that pickle would call.
//!
//! [`scan`] looks at any file: a name says nothing here. Whatever the first bytes promise, the file is also walked as a
//! pickle from byte 0, because a loader of pickles does just that; and the members of archives are looked at in the same
//! way, by their bytes. Nothing is unpickled, nothing is looked up, nothing is called.
//!
//! Invariant: [`Verdict::Clean`] means that no pickle was found *and* that all of the file was understood so far that
//! none can be in it. A file that is or may hold a pickle and cannot be read to its end is [`Verdict::Unreadable`] at
//! least; what was found before the end is in the report. Costs are bounded by [`Limits`]: a file that is plainly
//! something else costs one read of 4 KiB, and one of its last 64 KiB.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod archive;
mod content;
mod importable;
mod look;
mod names;
mod numpy;
mod packed;
mod pickles;
mod serialized;
mod tar;
mod walk;

use std::io;

pub use content::Content;
pub use names::{dangerous, is_dangerous, judge};

use crate::pickle;
use crate::read_at::ReadAt;

/// How many bytes of a file [`scan_head`] wants, so that it can judge whatever is plainly something else.
pub const HEAD: usize = 64 << 10;

/// What a file is said to be, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Verdict {
    /// It is no pickle, and holds none.
    #[default]
    Clean,
    /// Its pickles are well-formed, and name nothing but what checkpoints of weights are made of.
    Weights,
    /// A pickle names something that is on no list.
    Unknown,
    /// It cannot be read to its end in one way, and may hold more than was found.
    Unreadable,
    /// A pickle names something that is known to execute.
    Dangerous,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Weights => "weights",
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
            Self::Dangerous => "dangerous",
        }
    }
}

/// What is done about the storages of a `PyTorch` zip file: the bytes of its tensors, a member each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Storages {
    /// They are scanned like any other member.
    #[default]
    Scanned,
    /// They are counted ([`Report::left_out`]) and not read, if the directory leaves no doubt where each is and that there
    /// is nothing between them: for a file far away, of which little is to be read. The loader of such a file unpickles
    /// none of them.
    LeftOut,
}

/// Members that were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LeftOut {
    /// How many.
    pub members: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl LeftOut {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.members = self.members.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Bounds on one file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bounds on each pickle.
    pub pickle: pickle::Limits,
    /// Pickles one after the other in one stream.
    pub stream: usize,
    /// Pickles in the report.
    pub pickles: usize,
    /// Members of one archive that are looked at.
    pub members: usize,
    /// Bytes that are inflated, of all members together.
    pub inflated: u64,
    /// Containers in containers.
    pub depth: usize,
    /// What is done about storages.
    pub storages: Storages,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pickle: pickle::Limits::default(),
            stream: 10_000,
            pickles: 1_000,
            members: 1_100_000,
            inflated: 256 << 20,
            depth: 3,
            storages: Storages::Scanned,
        }
    }
}

/// What [`scan`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What the file is.
    pub content: Content,
    /// The worst of what its pickles are, and of what could not be read.
    pub verdict: Verdict,
    /// Every pickle, in the order of the file.
    pub pickles: Vec<PickleIn>,
    /// Why the file, or a part of it, could not be read; the first reason found.
    pub reason: Option<String>,
    /// The storages that were not read; none unless [`Storages::LeftOut`] was asked for.
    pub left_out: LeftOut,
}

/// A pickle, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PickleIn {
    /// The member of the archive that holds it, `!/` between archives in archives; `None` for the file itself.
    pub member: Option<String>,
    /// The byte of the file, or of the unpacked member, where it begins.
    pub at: u64,
    /// What it is.
    pub verdict: Verdict,
    /// The globals that it names, each once.
    pub globals: Vec<GlobalIn>,
    /// Why it was not read to its end, or not taken for weights.
    pub reason: Option<String>,
}

/// A global that a pickle names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GlobalIn {
    /// The module, as the pickle spells it.
    pub module: String,
    /// The name in the module.
    pub name: String,
    /// The byte where it is first named, counted as [`PickleIn::at`].
    pub at: u64,
    /// Weights, unknown or dangerous.
    pub verdict: Verdict,
}

impl Report {
    /// Returns `true` if the file itself is a pickle, or a stream of them.
    pub fn is_pickle(&self) -> bool {
        self.pickles.iter().any(|pickle| pickle.member.is_none())
    }

    /// Returns `true` if this is a pickle, or contains one. Of an unreadable file without one nobody knows
    /// ([`Report::is_opaque`]).
    pub fn holds_pickle(&self) -> bool {
        !self.pickles.is_empty()
    }

    /// Returns `true` if not all of it could be read, and no pickle was found in the rest.
    pub fn is_opaque(&self) -> bool {
        self.pickles.is_empty() && self.verdict == Verdict::Unreadable
    }

    /// Returns `true` if something of it could not be read, which larger limits may change.
    pub fn is_unreadable_in_part(&self) -> bool {
        self.verdict == Verdict::Unreadable
            || self.pickles.iter().any(|pickle| pickle.verdict == Verdict::Unreadable)
    }

    /// The globals of all pickles, the worst first, with the pickle that names each.
    pub fn globals(&self) -> Vec<(&PickleIn, &GlobalIn)> {
        let mut all: Vec<_> = self
            .pickles
            .iter()
            .flat_map(|pickle| pickle.globals.iter().map(move |global| (pickle, global)))
            .collect();
        all.sort_by_key(|(_, global)| std::cmp::Reverse(global.verdict));
        all
    }

    pub(crate) fn unreadable(&mut self, reason: impl Into<String>) {
        self.verdict = self.verdict.max(Verdict::Unreadable);
        self.reason.get_or_insert_with(|| reason.into());
    }
}

/// Scans a whole file.
///
/// # Errors
/// If the source cannot be read. What is wrong with its content is in the report.
pub fn scan(source: &dyn ReadAt, limits: &Limits) -> io::Result<Report> {
    match usize::try_from(source.len()) {
        // Each question reads its bytes again, which of a short file costs more than to answer it.
        Ok(len) if len <= HEAD => look::scan(&source.read_vec_at(0, len)?, limits),
        _ => look::scan(source, limits),
    }
}

/// Judges a file of `len` bytes by its first bytes, [`HEAD`] of them or all. `None`: they do not decide it, and
/// [`scan`] needs the file. It is the same judgement, but for an archive that stands behind other bytes.
pub fn scan_head(head: &[u8], len: u64, limits: &Limits) -> Option<Report> {
    look::scan_head(head, len, limits)
}
