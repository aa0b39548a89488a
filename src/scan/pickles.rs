//! A stream of pickles from byte 0: is it one, and what is each of them?
//!
//! Bytes of any kind begin like a pickle now and then (`.` is `STOP`, `N.` a whole pickle), so a stream is taken for
//! one by evidence: a call or a known global on a sane stack, a `PROTO` and three more opcodes, eight opcodes up to a `STOP`
//! that leaves one value, or pickles that end just where the file does. No `STOP` is needed: what comes before the
//! bytes break has run by then.

use std::io;

use super::walk::{COMPUTED, Frames, Walk, walk};
use super::{GlobalIn, Limits, PickleIn, Verdict, judge};
use crate::pickle::{self, Error};
use crate::read_at::ReadAt;

/// How many pickles torch's legacy stream has before its storages.
const LEGACY: usize = 5;
/// How the pickle of torch's magic number ends, in protocol 2 and in protocol 0.
const MAGIC: [&[u8]; 2] =
    [b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", b"L119547037146038801333356L\n."];

/// A stream of pickles.
pub(super) struct Stream {
    /// All of them.
    pub(super) pickles: Vec<PickleIn>,
    /// Is it torch's legacy stream?
    pub(super) legacy: bool,
}

/// The pickles that stand one after the other from byte 0; `None` if this is no pickle.
pub(super) fn stream(source: &dyn ReadAt, limits: &Limits) -> io::Result<Option<Stream>> {
    // What is passed over costs nothing, so a pickle may be as long as the file.
    let walked = pickle::Limits { bytes: u64::MAX, ..limits.pickle.clone() };
    let mut at = 0;
    let mut opcodes = walked.opcodes;
    let (mut links, mut last_strong, mut legacy) = (Vec::new(), 0_usize, false);
    while at < source.len() && links.len() < limits.stream {
        let budget = pickle::Limits { opcodes, ..walked.clone() };
        let (link, others) = readings(source, at, &budget)?;
        opcodes = opcodes.saturating_sub(link.opcodes).max(1);
        let strong = is_evident(&link, source.len());
        // One of torch's five belongs to the stream, whatever it is.
        let due = legacy && links.len() < LEGACY;
        if !strong && !due && link.end.is_none() {
            let over = matches!(link.broken, Some(Error::Limit { .. }));
            if over && link.opcodes >= 1_000 {
                last_strong = links.len().saturating_add(1);
                links.push((at, link, others));
            }
            break;
        }
        let end = link.end;
        if links.is_empty() {
            legacy = end.is_some_and(|end| ends_with_magic(source, end));
        }
        links.push((at, link, others));
        if strong || due || legacy && links.len() == 1 {
            last_strong = links.len();
        }
        match end {
            Some(end) if end == source.len() => {
                last_strong = links.len();
                break;
            }
            Some(end) => at = end,
            None => break,
        }
    }
    links.truncate(last_strong);
    if links.is_empty() {
        return Ok(None);
    }
    let cut = links.len() >= limits.stream;
    let mut pickles: Vec<_> =
        links.into_iter().map(|(at, link, others)| report(source, at, &link, &others, limits)).collect();
    if let Some(last) = pickles.last_mut().filter(|_| cut) {
        last.verdict = last.verdict.max(Verdict::Unreadable);
        last.reason.get_or_insert_with(|| "more pickles follow than are looked at".to_owned());
    }
    Ok(Some(Stream { pickles, legacy }))
}

/// The walk as the bytes stand, and the other readings of its frames if there are any.
fn readings(source: &dyn ReadAt, at: u64, limits: &pickle::Limits) -> io::Result<(Walk, Vec<Walk>)> {
    let first = fallible(walk(source, at, limits, Frames::Ignored))?;
    let frames: &[Frames] = if first.crossed { &[Frames::Skipped, Frames::TextSkipped] } else { &[] };
    let others =
        frames.iter().map(|&frames| fallible(walk(source, at, limits, frames))).collect::<io::Result<_>>()?;
    Ok((first, others))
}

/// A source that cannot be read is no broken pickle.
fn fallible(mut walk: Walk) -> io::Result<Walk> {
    match walk.broken.take() {
        Some(Error::Io { source, .. }) => Err(source),
        broken => {
            walk.broken = broken;
            Ok(walk)
        }
    }
}

fn is_evident(walk: &Walk, len: u64) -> bool {
    let ended = walk.end.is_some() && walk.single;
    walk.calls
        || walk.crossed
        || (walk.proto && walk.opcodes >= 4)
        || (ended && (walk.opcodes >= 8 || walk.end == Some(len)))
        || walk.globals.iter().any(|global| {
            // What computes a name is a call, and evidence itself.
            &*global.name != COMPUTED && judge(&global.module, &global.name) != Verdict::Unknown
        })
}

fn ends_with_magic(source: &dyn ReadAt, end: u64) -> bool {
    MAGIC.iter().any(|magic| {
        let at = end.checked_sub(u64::try_from(magic.len()).unwrap_or(u64::MAX));
        at.is_some_and(|at| source.read_vec_at(at, magic.len()).is_ok_and(|bytes| bytes == *magic))
    })
}

fn report(source: &dyn ReadAt, at: u64, link: &Walk, others: &[Walk], limits: &Limits) -> PickleIn {
    let mut globals: Vec<GlobalIn> = Vec::new();
    for global in std::iter::once(link).chain(others).flat_map(|walk| &walk.globals) {
        let (module, name) = (&*global.module, &*global.name);
        if others.is_empty() || !globals.iter().any(|known| known.module == module && known.name == name) {
            let verdict = judge(module, name);
            globals.push(GlobalIn {
                module: module.to_owned(),
                name: name.to_owned(),
                at: global.at,
                verdict,
            });
        }
    }
    let worst = globals.iter().map(|global| global.verdict).max().unwrap_or(Verdict::Weights);
    let reason = if let Some(broken) = &link.broken {
        Some(broken.to_string())
    } else if link.crossed {
        Some("an opcode crosses the end of its frame, which versions of Python read in two ways".to_owned())
    } else if worst == Verdict::Weights {
        // Weights are what the converter's own reader takes, no more.
        let strict = pickle::read(source, at, &limits.pickle);
        strict.map_or_else(
            |error| Some(error.to_string()),
            |pickle| {
                (Some(pickle.end) != link.end).then(|| "it ends at another byte to another reader".to_owned())
            },
        )
    } else {
        None
    };
    let verdict = if reason.is_some() { worst.max(Verdict::Unreadable) } else { worst };
    PickleIn { member: None, at, verdict, globals, reason }
}
