//! Detects the format of a file by its content, finds the pickles in it, and classifies the globals that they import.
//!
//! [`scan`] accepts any file; its name has no effect. Whatever the first bytes indicate, the file is also walked as a
//! pickle from byte 0, because a loader of pickles does the same, and the members of archives are scanned by their
//! bytes in the same way. Code outside of pickles is found where a loader executes it by itself, and named where it
//! executes it only on request ([`CodeIn`]). Nothing is unpickled, imported or called.
//!
//! Invariant: [`Verdict::Clean`] means that no pickle and no such code was found *and* that enough of the file was
//! parsed to exclude a pickle; if only the first bytes were searched for code, [`Report::reason`] states it. A file
//! that is or may contain a pickle and cannot be read to its end is at least [`Verdict::Unreadable`]; the report lists
//! what was found before the end. [`Limits`] bounds the cost: a file that is obviously of another format costs one
//! read of 4 KiB, and one of its last 64 KiB.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod archive;
mod code;
mod content;
mod hdf5;
mod head;
mod importable;
mod json;
mod keras;
mod look;
mod msgpack;
mod names;
mod numpy;
mod packed;
mod pickles;
mod serialized;
mod tar;
mod walk;

use std::io;

pub use code::{Code, CodeIn};
pub use content::Content;
pub use names::{dangerous, is_dangerous, judge};

use crate::pickle;
use crate::read_at::ReadAt;

/// How many bytes before the end miniz searches for the end of an archive, in steps of 4,093 bytes: more than the longest
/// comment has, and more than any other reader searches.
pub const LAST: usize = 69_584;

/// How many bytes of a file [`scan_head`] needs to decide about a file that is obviously of another format.
pub const HEAD: usize = 64 << 10;

/// The verdict on a file, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Verdict {
    /// The file is not a pickle and contains none, and its loader executes nothing else in it.
    #[default]
    Clean,
    /// Its pickles are well-formed and import only globals that weights checkpoints use.
    Weights,
    /// A pickle imports a global that is on no list, or the loader imports other code.
    Unknown,
    /// The file cannot be read to its end unambiguously, and may contain more than was found.
    Unreadable,
    /// A pickle imports a global that is known to execute code.
    Dangerous,
}

impl Verdict {
    /// The name of the verdict.
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

/// The treatment of the storages of a PyTorch zip file: the bytes of its tensors, one member each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Storages {
    /// They are scanned like any other member.
    #[default]
    Scanned,
    /// They are counted ([`Report::left_out`]) and not read, if the directory leaves no doubt about the position of
    /// each and if nothing is between them. This is for a file on a server, of which a scan reads little. The loader of
    /// such a file unpickles no storage.
    LeftOut,
}

/// Members that were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LeftOut {
    /// The number of members.
    pub members: usize,
    /// The total of their bytes.
    pub bytes: u64,
}

impl LeftOut {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.members = self.members.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Limits for one file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Limits for each pickle.
    pub pickle: pickle::Limits,
    /// Pickles that follow one another in one stream.
    pub stream: usize,
    /// Pickles in the report.
    pub pickles: usize,
    /// Members of one archive that are scanned.
    pub members: usize,
    /// Inflated bytes of all members together.
    pub inflated: u64,
    /// Levels of containers in containers.
    pub depth: usize,
    /// The treatment of storages.
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

/// The result of [`scan`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The format of the file.
    pub content: Content,
    /// The worst verdict of its pickles, of other code, and of its unreadable parts.
    pub verdict: Verdict,
    /// Every pickle, in the order of the file.
    pub pickles: Vec<PickleIn>,
    /// Code that a loader executes, or a name that it imports, outside of pickles.
    pub code: Vec<CodeIn>,
    /// Why the file, or a part of it, could not be read, or how far it was searched; the first reason found.
    pub reason: Option<String>,
    /// The storages that were not read; none without [`Storages::LeftOut`].
    pub left_out: LeftOut,
}

/// A pickle and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PickleIn {
    /// The member of the archive that contains it, with `!/` between nested archives; `None` for the file itself.
    pub member: Option<String>,
    /// The offset in the file, or in the unpacked member, where it begins.
    pub at: u64,
    /// Its verdict.
    pub verdict: Verdict,
    /// The globals that it imports, each once.
    pub globals: Vec<GlobalIn>,
    /// Why it was not read to its end, or does not count as weights.
    pub reason: Option<String>,
}

/// A global that a pickle imports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GlobalIn {
    /// The module, as the pickle spells it.
    pub module: String,
    /// The name in the module.
    pub name: String,
    /// The offset of its first import, counted like [`PickleIn::at`].
    pub at: u64,
    /// Its verdict: weights, unknown or dangerous.
    pub verdict: Verdict,
}

impl Report {
    /// Returns `true` if the file itself is a pickle, or a stream of them.
    pub fn is_pickle(&self) -> bool {
        self.pickles.iter().any(|pickle| pickle.member.is_none())
    }

    /// Returns `true` if this is a pickle or contains one. For an unreadable file without one, see
    /// [`Report::is_opaque`].
    pub fn holds_pickle(&self) -> bool {
        !self.pickles.is_empty()
    }

    /// Returns `true` if its loader executes code in it that is not a pickle.
    pub fn executes(&self) -> bool {
        self.code.iter().any(|code| code.verdict > Verdict::Clean)
    }

    /// Returns `true` if a part could not be read, and no pickle was found in the rest.
    pub fn is_opaque(&self) -> bool {
        self.pickles.is_empty() && !self.executes() && self.verdict == Verdict::Unreadable
    }

    /// Returns `true` if something of it could not be read, which larger limits may change.
    pub fn is_unreadable_in_part(&self) -> bool {
        self.verdict == Verdict::Unreadable
            || self.pickles.iter().any(|pickle| pickle.verdict == Verdict::Unreadable)
    }

    /// Returns `true` if the bytes after the first ones can change the verdict on the file: an archive can follow them
    /// ([`may_end_archive`]).
    pub fn depends_on_rest(&self) -> bool {
        self.verdict < Verdict::Dangerous
    }

    /// Returns the globals of all pickles, the worst first, each with the pickle that imports it.
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
/// If the source cannot be read. Faults in its content are in the report.
pub fn scan(source: &dyn ReadAt, limits: &Limits) -> io::Result<Report> {
    match usize::try_from(source.len()) {
        // Each check reads its bytes again; for a short file the reads would cost more than the checks.
        Ok(len) if len <= HEAD => look::scan(&source.read_vec_at(0, len)?, limits),
        _ => look::scan(source, limits),
    }
}

/// Decides about a file of `len` bytes by its first bytes, [`HEAD`] of them or all. Returns `None` if they do not
/// decide; then [`scan`] needs the file. The verdict is that of [`scan`] unless an archive follows other bytes, which the
/// last bytes show ([`Report::depends_on_rest`]).
pub fn scan_head(head: &[u8], len: u64, limits: &Limits) -> Option<Report> {
    look::scan_head(head, len, limits)
}

/// Returns `true` if an archive can end in the last bytes of a file, [`LAST`] of them or all.
pub fn may_end_archive(last: &[u8]) -> bool {
    archive::has_end(last)
}
