//! Decides if a file is a stream of pickles from byte 0, and reports each pickle.
//!
//! Nothing runs before a reader looks up a global. So each reader is followed ([`Walker`]) as far as it goes, pickle
//! after pickle, and every lookup counts, with or without a `STOP`. Arbitrary bytes sometimes begin like a pickle (`.`
//! is `STOP`, `N.` is a whole pickle, `cos` and `tan` in two lines are `os.tan`), so a stream counts as a pickle only
//! by evidence ([`is_evident`]).

use std::io;

use super::importable::{self, Importable};
use super::names::{COMPUTED, EXTENSION};
use super::walk::{Carrier, Found, KeptMemo, Reader, Span, Uses, Walk, Walker};
use super::{GlobalIn, Limits, PickleIn, Verdict, judge};
use crate::pickle::{self, Error};
use crate::read_at::ReadAt;

/// How many pickles a legacy PyTorch file has before its storages.
const LEGACY: usize = 5;
/// The ends of the pickle of torch's magic number, in protocol 2 and in protocol 0.
const MAGIC: [&[u8]; 2] =
    [b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", b"L119547037146038801333356L\n."];
/// The most bytes of a walk that are checked for text: a text can be one long line.
const TEXT: u64 = 1 << 20;
/// Bytes after a walk that help to decide whether the walk read a text.
const NEXT: u64 = 512;
/// Bytes that are not letters in any encoding of Windows' western languages.
const NO_LETTERS: [u8; 5] = [0x81, 0x8d, 0x8f, 0x90, 0x9d];

/// A stream of pickles.
pub(super) struct Stream {
    /// All of them.
    pub(super) pickles: Vec<PickleIn>,
    /// `true` for a legacy PyTorch file.
    pub(super) legacy: bool,
    /// The positions of byte strings that torch loads as files.
    pub(super) inner: Vec<Span>,
}

/// The end of a search for pickles among values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was searched that is a value.
    Whole,
    /// Only the beginning of a file on a server was searched.
    Beginning,
    /// There are more of these than the limit.
    TooMany(&'static str),
}

/// The pickles that one reader finds.
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
struct Chain {
    links: Vec<(u64, Walk)>,
    legacy: bool,
    /// `true` if more pickles follow than are read.
    is_cut: bool,
    forked: bool,
    crossed: bool,
    /// `true` if a pickle takes a value from the memo that only a pickle before it put there.
    missed: bool,
    /// `true` if a later pickle would find other values in the memo of the reader of the first.
    remembers: bool,
    /// `true` if they import the class that represents arrays in a joblib file.
    arrays: bool,
}

/// Returns the pickles that follow one another from byte 0; `None` if the file is not a pickle.
pub(super) fn stream(source: &dyn ReadAt, limits: &Limits) -> io::Result<Option<Stream>> {
    let mut first = [0];
    if !source.is_empty() {
        source.read_exact_at(&mut first, 0)?;
    }
    // Most storages begin with a byte that is no opcode, so every reader fails there.
    if pickle::opcode_name(first[0]).is_none() {
        return Ok(None);
    }
    let first = chain(source, limits, Reader::Memory, Next::Fresh)?;
    let mut others = Vec::new();
    if first.forked {
        others.push(chain(source, limits, Reader::Python, Next::Fresh)?);
    }
    if first.crossed {
        for reader in [Reader::File, Reader::FileInto] {
            others.push(chain(source, limits, reader, Next::Fresh)?);
            others.push(chain(source, limits, reader, Next::Same)?);
        }
    }
    others.extend(with_memo(source, limits, &first)?);
    let mut in_arrays = Vec::new();
    if first.arrays || others.iter().any(|chain| chain.arrays) {
        let joblib = chain(source, limits, Reader::Joblib, Next::Fresh)?;
        in_arrays.extend(joblib.links.iter().filter_map(|(_, walk)| Some((walk.first_array?, walk.end?))));
        others.push(joblib);
    }
    let legacy = first.legacy || others.iter().any(|chain| chain.legacy);
    let mut is_cut = first.is_cut || others.iter().any(|chain| chain.is_cut);
    let mut all: Vec<(u64, Vec<Walk>)> = Vec::new();
    for (at, walk) in std::iter::once(first).chain(others).flat_map(|chain| chain.links) {
        // A reader that does not know arrays can find the end of one pickle and the start of another in the bytes of an
        // array.
        if in_arrays.iter().any(|(begin, end)| (*begin..*end).contains(&at)) && !is_dangerous(&walk) {
            continue;
        }
        match all.iter_mut().find(|(begin, _)| *begin == at) {
            Some((_, walks)) => walks.push(walk),
            None => all.push((at, vec![walk])),
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    all.sort_by_key(|(at, _)| *at);
    let mut inner: Vec<Span> =
        all.iter().flat_map(|(_, walks)| walks).flat_map(|walk| walk.inner.iter().copied()).collect();
    inner.sort_unstable();
    inner.dedup();
    let mut pickles: Vec<_> = all.iter().map(|(at, walks)| report(source, *at, walks, limits)).collect();
    if pickles.len() > limits.pickles {
        // The report lists the worst ones.
        pickles.sort_by_key(|pickle| std::cmp::Reverse(pickle.verdict));
        pickles.truncate(limits.pickles);
        pickles.sort_by_key(|pickle| pickle.at);
        is_cut = true;
    }
    if let Some(last) = pickles.last_mut().filter(|_| is_cut) {
        last.verdict = last.verdict.max(Verdict::Unreadable);
        last.reason.get_or_insert_with(|| "more pickles than the limit".to_owned());
    }
    Ok(Some(Stream { pickles, legacy, inner }))
}

/// Returns the pickles as one reader reads them that keeps its memo, if that makes a difference.
fn with_memo(source: &dyn ReadAt, limits: &Limits, first: &Chain) -> io::Result<Vec<Chain>> {
    if !first.missed && !first.remembers {
        return Ok(Vec::new());
    }
    let readers = [Reader::Memory, Reader::Python];
    let readers = readers.into_iter().take(if first.forked { 2 } else { 1 });
    readers
        .map(|reader| {
            let mut same = chain(source, limits, reader, Next::Same)?;
            // Of pickles that belong to several readers, one reader makes nonsense.
            if !first.missed {
                same.links.retain(|(_, walk)| names_dangerous(walk));
            }
            Ok(same)
        })
        .collect()
}

/// Which reader reads the next pickle. The rest of a frame after `STOP` is lost with the reader that read it, and so is
/// the memo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Fresh,
    Same,
}

/// Follows one reader from byte 0.
fn chain(source: &dyn ReadAt, limits: &Limits, reader: Reader, next: Next) -> io::Result<Chain> {
    // Skipped bytes cost nothing, so a pickle may be as long as the file.
    let mut budget = pickle::Limits { bytes: u64::MAX, ..limits.pickle.clone() };
    let mut chain = Chain {
        links: Vec::new(),
        legacy: false,
        is_cut: false,
        forked: false,
        crossed: false,
        missed: false,
        remembers: false,
        arrays: false,
    };
    let (mut at, mut frame, mut last_evident) = (0, None, 0_usize);
    let mut kept = KeptMemo::default();
    while at < source.len() {
        if chain.links.len() >= limits.stream {
            chain.is_cut = true;
            last_evident = chain.links.len();
            break;
        }
        if next == Next::Fresh {
            kept = KeptMemo::default();
        }
        let link = fallible(Walker::go(source, at, &budget, reader, frame, &mut kept))?;
        if at > 0 {
            chain.missed |= matches!(link.broken, Some(Error::MemoMiss { .. }));
            chain.remembers |= link.remembers;
        }
        budget.opcodes = budget.opcodes.saturating_sub(link.opcodes).max(1);
        chain.forked |= link.forked;
        chain.crossed |= link.crossed;
        chain.arrays |= link.arrays;
        // Each of the first five pickles of a legacy PyTorch file belongs to the stream, whatever it is.
        let due = chain.legacy && chain.links.len() < LEGACY;
        let is_stream = last_evident > 0 || chain.links.iter().any(|(_, walk)| walk.traits > 0);
        let evident = due || is_evident(source, at, &link, is_stream)?;
        let (end, open) = (link.end, link.frame);
        if chain.links.is_empty() {
            chain.legacy = match end {
                Some(end) => ends_with_magic(source, end)?,
                None => false,
            };
        }
        if evident || end.is_some() {
            chain.links.push((at, link));
        }
        if evident || chain.legacy && chain.links.len() == 1 || end == Some(source.len()) {
            last_evident = chain.links.len();
        }
        at = match (end, open) {
            (Some(_), Some(frame)) if reader != Reader::Memory && next == Next::Fresh => frame,
            (Some(end), _) => end,
            (None, _) => break,
        };
        frame = open;
    }
    chain.links.truncate(last_evident);
    Ok(chain)
}

fn is_dangerous(walk: &Walk) -> bool {
    walk.globals.iter().any(|found| judge(&found.module, &found.name) == Verdict::Dangerous)
}

/// The same by the name that the pickle spells.
fn names_dangerous(walk: &Walk) -> bool {
    let is_spelled = |found: &&Found| *found.module != *COMPUTED && *found.name != *COMPUTED;
    let mut spelled = walk.globals.iter().filter(is_spelled);
    spelled.any(|found| judge(&found.module, &found.name) == Verdict::Dangerous)
}

/// A source that cannot be read is not a broken pickle.
fn fallible(mut walk: Walk) -> io::Result<Walk> {
    match walk.broken.take() {
        Some(Error::Io { source, .. }) => Err(source),
        broken => {
            walk.broken = broken;
            Ok(walk)
        }
    }
}

/// Returns `true` if this is a pickle, or the beginning of one. Each of these is enough:
/// - a call;
/// - `PROTO`, and a frame, three more opcodes, or no broken byte up to the end of the file;
/// - eight opcodes, or the whole file, up to a `STOP` that leaves one value;
/// - three features that pickles have and noise does not have ([`Walk::traits`]), or a `BUILD` and one of them;
/// - a limit that ended the walk, so that the rest is unknown;
/// - a global that can be imported. In a text (the bytes of the walk and those after it) without any of the above, the
///   module must be one that loaders have, and must contain the name ([`importable`]); elsewhere, and after another
///   pickle (`is_stream`), any name that does not look like noise is enough.
fn is_evident(source: &dyn ReadAt, at: u64, walk: &Walk, is_stream: bool) -> io::Result<bool> {
    let is_whole = walk.end.is_some() && walk.single;
    let is_cut = matches!(walk.broken, Some(Error::Truncated { .. } | Error::Frame { .. }));
    let is_over = matches!(&walk.broken, Some(Error::Limit { what, .. })
        if walk.opcodes >= 1_000 || what.starts_with("bytes"));
    if walk.calls
        || walk.proto && (walk.framed || walk.opcodes >= 4 || is_cut)
        || is_whole && (walk.opcodes >= 8 || walk.end == Some(source.len()))
        || walk.traits >= 3
        || walk.builds && walk.traits > 0
        || is_over
    {
        return Ok(true);
    }
    // A global that only some loaders have, or that a call computes, is not evidence by itself.
    let is_plain = |found: &&Found| {
        &*found.module != EXTENSION && &*found.module != COMPUTED && &*found.name != COMPUTED
    };
    let mut names = walk.globals.iter().filter(is_plain).peekable();
    if names.peek().is_none() {
        return Ok(false);
    }
    let names_alone = u64::try_from(walk.globals.len()).unwrap_or(u64::MAX).saturating_add(3);
    // An `INST` without a mark looks up its name first, and fails then.
    let opcodes = walk.opcodes.saturating_add(u64::from(walk.in_name && walk.broken.is_some() && !is_cut));
    let is_odd = is_stream || walk.traits > 0 || opcodes >= names_alone || !is_text(source, at, walk.until)?;
    Ok(names.any(|found| match importable::importable(&found.module, &found.name) {
        Importable::Never => false,
        Importable::Perhaps | Importable::Module => is_odd,
        Importable::Name => true,
    }))
}

/// Returns `true` if the bytes of the walk and those after it are text.
fn is_text(source: &dyn ReadAt, at: u64, until: u64) -> io::Result<bool> {
    let until = until.min(at.saturating_add(TEXT));
    let end = until.saturating_add(NEXT).min(source.len());
    let bytes = source.read_cow_at(at, usize::try_from(end.saturating_sub(at)).unwrap_or(0))?;
    // A character may be truncated if the file continues.
    let valid = match str::from_utf8(&bytes) {
        Ok(_) => Some(bytes.len()),
        Err(error) if error.error_len().is_none() && end < source.len() => Some(error.valid_up_to()),
        Err(_) => None,
    };
    let is_unicode = valid.and_then(|valid| bytes.get(..valid)).is_some_and(super::content::is_printable);
    Ok(is_unicode || is_old_text(&bytes))
}

/// Returns `true` for prose in an older encoding: blanks between words, and some letters that are not ASCII.
fn is_old_text(bytes: &[u8]) -> bool {
    let (ascii, other): (Vec<u8>, Vec<u8>) = bytes.iter().partition(|byte| byte.is_ascii());
    let words = ascii.split(|byte| *byte == b' ').count();
    bytes.len() >= 64
        && words > bytes.len() / 20
        && other.len() <= bytes.len() / 8
        && !other.iter().any(|byte| NO_LETTERS.contains(byte))
        && super::content::is_text(&ascii)
}

fn ends_with_magic(source: &dyn ReadAt, end: u64) -> io::Result<bool> {
    for magic in MAGIC {
        let at = end.checked_sub(u64::try_from(magic.len()).unwrap_or(u64::MAX));
        if let Some(at) = at
            && source.read_vec_at(at, magic.len())? == magic
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reports one pickle, from the walks of all its readers.
fn report(source: &dyn ReadAt, at: u64, walks: &[Walk], limits: &Limits) -> PickleIn {
    let uses = walks.iter().fold(Uses::default(), |uses, walk| uses.joined(walk.uses));
    let arrays = arrays(walks);
    let mut globals: Vec<GlobalIn> = Vec::new();
    for (walk, found) in walks.iter().flat_map(|walk| walk.globals.iter().map(move |found| (walk, found))) {
        if arrays.is_some_and(|joblib| is_in_array(walk, found, joblib)) {
            continue;
        }
        let (module, name) = (&*found.module, &*found.name);
        if walks.len() == 1 || !globals.iter().any(|known| known.module == module && known.name == name) {
            let is_inert = Carrier::of(module, name).is_some_and(|carrier| uses.are_inert(carrier));
            let verdict = if is_inert { Verdict::Unknown } else { judge(module, name) };
            let (module, name) = (module.to_owned(), name.to_owned());
            globals.push(GlobalIn { module, name, at: found.at, verdict });
        }
    }
    let worst = globals.iter().map(|global| global.verdict).max().unwrap_or(Verdict::Weights);
    let reason = why_unreadable(walks).or_else(|| {
        // Only pickles that the converter's own reader accepts count as weights.
        (worst == Verdict::Weights).then(|| why_no_weights(source, at, walks, limits)).flatten()
    });
    let verdict = if reason.is_some() { worst.max(Verdict::Unreadable) } else { worst };
    PickleIn { member: None, at, verdict, globals, reason }
}

/// Returns the walk of joblib's reader if it read all arrays to the end: then the file is a joblib file.
fn arrays(walks: &[Walk]) -> Option<&Walk> {
    walks.iter().find(|walk| walk.first_array.is_some() && walk.end.is_some())
}

/// Returns `true` if another reader found this global in the bytes of an array: a name that is noise, or that memo and
/// stack spell by accident.
fn is_in_array(walk: &Walk, found: &Found, joblib: &Walk) -> bool {
    let is_behind = joblib.first_array.is_some_and(|at| found.at >= at);
    // A reader that reached the end, or called something after it, did not find noise.
    let is_noise = |at: u64| walk.end.is_none() && walk.last_call < at;
    let is_behind = is_behind && joblib.first_array.is_some_and(is_noise);
    let is_computed = &*found.module == COMPUTED || &*found.name == COMPUTED;
    is_behind
        && !joblib.globals.contains(found)
        && (is_computed || importable::importable(&found.module, &found.name) == Importable::Never)
}

fn why_unreadable(walks: &[Walk]) -> Option<String> {
    if arrays(walks).is_some() {
        // The other readers fail in the first array.
        let over = walks
            .iter()
            .find_map(|walk| walk.broken.as_ref().filter(|error| matches!(error, Error::Limit { .. })));
        return over.map(ToString::to_string);
    }
    let first = walks.first()?;
    if let Some(broken) = &first.broken {
        return Some(broken.to_string());
    }
    if first.crossed {
        let what = "opcode crosses a frame boundary (Python versions disagree)";
        return Some(what.to_owned());
    }
    let is_same = |walk: &Walk| walk.end == first.end && walk.globals == first.globals;
    (!walks.iter().all(is_same)).then(|| "Python versions disagree on it".to_owned())
}

fn why_no_weights(source: &dyn ReadAt, at: u64, walks: &[Walk], limits: &Limits) -> Option<String> {
    match pickle::read(source, at, &limits.pickle) {
        Err(error) => Some(error.to_string()),
        Ok(pickle) if walks.iter().any(|walk| walk.end != Some(pickle.end)) => {
            Some("readers disagree on where the pickle ends".to_owned())
        }
        Ok(_) => None,
    }
}
