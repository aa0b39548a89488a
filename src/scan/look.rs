//! The look at one file: as a pickle from byte 0, and into what its first bytes say that it is.
//!
//! Invariant: what is inflated, of all members of all containers, is bounded; of a member that is plainly no pickle only
//! the first [`HEAD`] bytes are.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::ops::Range;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::archive::{self, Listing, Member};
use super::numpy::Objects;
use super::{Content, HEAD, Limits, Report, content, numpy, pickles, tar};
use crate::read_at::{ReadAt, Reader, Window};
use crate::safetensors;

pub(super) fn scan(source: &dyn ReadAt, limits: &Limits) -> io::Result<Report> {
    let mut look = Look::new(limits);
    look.report.content = look.at(source, None, 0)?;
    let content = look.report.content;
    if !content.is_zip()
        && let Some(end) = archive::end_of_one(source)?
        && !look.zips.iter().any(|zip| zip.contains(&end))
    {
        look.report.unreadable("a zip archive stands behind other bytes");
        look.zip(source, None, 0)?;
    }
    Ok(look.finish())
}

pub(super) fn scan_head(head: &[u8], len: u64, limits: &Limits) -> Option<Report> {
    let source = Head { bytes: head, len };
    let mut look = Look::new(limits);
    look.report.content = look.at(&source, None, 0).ok()?;
    Some(look.finish())
}

/// The first bytes of a longer source; the rest cannot be read.
struct Head<'a> {
    bytes: &'a [u8],
    len: u64,
}

impl ReadAt for Head<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.bytes.read_exact_at(buf, at).map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

fn is_beyond_head(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

struct Look<'a> {
    limits: &'a Limits,
    report: Report,
    /// How many bytes may still be inflated.
    inflated: u64,
    /// The archives that are members of the file itself, if that is a tar.
    zips: Vec<Range<u64>>,
}

impl<'a> Look<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, report: Report::default(), inflated: limits.inflated, zips: Vec::new() }
    }

    fn finish(mut self) -> Report {
        let worst = self.report.pickles.iter().map(|pickle| pickle.verdict).max();
        self.report.verdict = self.report.verdict.max(worst.unwrap_or_default());
        self.report
    }

    /// Looks at a source: the file, or a member of it.
    fn at(&mut self, source: &dyn ReadAt, member: Option<&str>, depth: usize) -> io::Result<Content> {
        let stream = pickles::stream(source, self.limits)?;
        let is_pickle = stream.is_some();
        let legacy = stream.as_ref().is_some_and(|stream| stream.legacy);
        for mut pickle in stream.into_iter().flat_map(|stream| stream.pickles) {
            if self.report.pickles.len() >= self.limits.pickles {
                self.report.unreadable("it holds more pickles than are listed");
                break;
            }
            pickle.member = member.map(str::to_owned);
            self.report.pickles.push(pickle);
        }
        let head_len = usize::try_from(source.len().min(512)).unwrap_or(0);
        let head = source.read_vec_at(0, head_len)?;
        let content = Content::of_head(&head);
        // Its first bytes are the name of a member, which may be those of anything.
        let is_tar_too = content != Content::Tar && content::is_tar(&head);
        let is_container =
            is_tar_too || matches!(content, Content::Zip | Content::Tar | Content::Gzip | Content::Zlib);
        if is_container && depth >= self.limits.depth {
            self.unreadable(member, "containers in it are nested too deeply");
            return Ok(content);
        }
        if is_tar_too {
            self.unreadable(member, "it is a tar archive as well");
            self.tar(source, member, depth)?;
        }
        let content = match content {
            Content::Zip => self.zip(source, member, depth)?,
            Content::Tar => self.tar(source, member, depth)?,
            Content::Gzip => self.gzip(source, member, depth)?,
            Content::Zlib => self.zlib(source, member, depth)?,
            Content::Npy => self.numpy(source, member)?,
            Content::Safetensors if !is_safetensors(source)? => Content::Other,
            sealed if sealed.is_sealed() && !is_pickle => {
                self.unreadable(member, &format!("{sealed} cannot be looked into"));
                sealed
            }
            content => content,
        };
        Ok(match content {
            _ if legacy => Content::Legacy,
            Content::Text | Content::Other | Content::Pickle if is_pickle => Content::Pickle,
            Content::Pickle | Content::Legacy => Content::Other,
            content => content,
        })
    }

    fn unreadable(&mut self, member: Option<&str>, reason: &str) {
        match member {
            Some(member) => self.report.unreadable(format!("{member}: {reason}")),
            None => self.report.unreadable(reason),
        }
    }

    fn zip(&mut self, source: &dyn ReadAt, member: Option<&str>, depth: usize) -> io::Result<Content> {
        let listing = Listing::read(source, self.limits.members)?;
        if let Some(doubt) = &listing.doubt {
            self.unreadable(member, doubt);
        }
        // Each is looked at once; where two records of a directory differ, by both.
        let mut room = source.len().saturating_mul(2);
        let mut seen = HashSet::new();
        for entry in &listing.members {
            let name = below(member, &entry.name);
            let is_known = !seen.insert((entry.at, entry.compressed, entry.method));
            if entry.encrypted || entry.compressed == 0 || is_known {
                continue;
            }
            let Some(left) = room.checked_sub(entry.compressed) else {
                self.unreadable(member, "its members lie in one another");
                break;
            };
            room = left;
            let bytes = Window::new(source, entry.at, entry.compressed)?;
            let before = self.report.pickles.len();
            match entry.method {
                0 => {
                    self.at(&bytes, Some(&name), depth.saturating_add(1))?;
                    if self.report.pickles.len() > before && !self.is_sound(&bytes, entry)? {
                        self.unreadable(Some(&name), "its CRC-32 is wrong");
                    }
                }
                8 => {
                    let open = || DeflateDecoder::new(Reader::new(&bytes));
                    self.inflated(open, Some(&name), depth, entry.crc32)?;
                }
                method => self.unreadable(Some(&name), &format!("zip method {method} is not known")),
            }
        }
        Ok(kind_of_zip(&listing.members))
    }

    /// Has a stored member the CRC-32 that its archive says, if it says one?
    fn is_sound(&self, bytes: &dyn ReadAt, entry: &Member) -> io::Result<bool> {
        if entry.crc32 == 0 || bytes.len() > self.limits.inflated {
            return Ok(true);
        }
        let all = bytes.read_vec_at(0, usize::try_from(bytes.len()).map_err(io::Error::other)?)?;
        Ok(crc32fast::hash(&all) == entry.crc32)
    }

    fn tar(&mut self, source: &dyn ReadAt, member: Option<&str>, depth: usize) -> io::Result<Content> {
        let doubt = tar::members(source, self.limits.members, |file| {
            let bytes = Window::new(source, file.at, file.len)?;
            let content = self.at(&bytes, Some(&below(member, &file.name)), depth.saturating_add(1))?;
            if depth == 0 && content.is_zip() {
                self.zips.push(file.at..file.at.saturating_add(file.len));
            }
            Ok(())
        })?;
        if let Some(doubt) = doubt {
            self.unreadable(member, doubt);
        }
        Ok(Content::Tar)
    }

    fn gzip(&mut self, source: &dyn ReadAt, member: Option<&str>, depth: usize) -> io::Result<Content> {
        let open = || MultiGzDecoder::new(Reader::new(source));
        if !self.inflated(open, Some(&below(member, "(gzip)")), depth, 0)? {
            self.unreadable(member, "it is no whole gzip stream");
        }
        Ok(Content::Gzip)
    }

    fn zlib(&mut self, source: &dyn ReadAt, member: Option<&str>, depth: usize) -> io::Result<Content> {
        let open = || ZlibDecoder::new(Reader::new(source));
        // Two bytes say little: what does not inflate to its end, and shows no pickle on the way, was something else.
        let room = self.inflated;
        let mut probe = open().take(room.saturating_add(1));
        let inflates = io::copy(&mut probe, &mut io::sink()).is_ok();
        let probed = room.saturating_add(1).saturating_sub(probe.limit());
        let before = (self.report.verdict, self.report.reason.clone(), self.report.pickles.len());
        let begins = self.inflated(open, Some(&below(member, "(zlib)")), depth, 0)?;
        self.inflated = self.inflated.min(room.saturating_sub(probed));
        if !begins || (!inflates && self.report.pickles.len() == before.2) {
            (self.report.verdict, self.report.reason) = (before.0, before.1);
            return Ok(Content::Other);
        }
        Ok(Content::Zlib)
    }

    /// Looks at what a decoder gives: at its first bytes, and at all of it if they do not decide. False if they are
    /// broken.
    fn inflated<R: io::Read>(
        &mut self,
        open: impl Fn() -> R,
        member: Option<&str>,
        depth: usize,
        crc32: u32,
    ) -> io::Result<bool> {
        let depth = depth.saturating_add(1);
        let mut head = Vec::new();
        let whole = open().take(u64::try_from(HEAD).unwrap_or(u64::MAX)).read_to_end(&mut head).is_ok();
        if head.is_empty() {
            return Ok(whole);
        }
        if whole && head.len() >= HEAD {
            let mut first = Look { inflated: 0, ..Look::new(self.limits) };
            let source = Head { bytes: &head, len: u64::MAX };
            match first.at(&source, member, depth) {
                Ok(_) if first.report.pickles.is_empty() && first.report.reason.is_none() => return Ok(true),
                Err(error) if !is_beyond_head(&error) => return Err(error),
                _ => {}
            }
        }
        let mut all = Vec::new();
        let whole = open().take(self.inflated.saturating_add(1)).read_to_end(&mut all).is_ok();
        let len = u64::try_from(all.len()).unwrap_or(u64::MAX);
        if len > self.inflated {
            self.unreadable(member, "it inflates to more than is looked at");
        }
        self.inflated = self.inflated.saturating_sub(len);
        let before = self.report.pickles.len();
        self.at(&all, member, depth)?;
        if self.report.pickles.len() > before && crc32 != 0 && crc32fast::hash(&all) != crc32 {
            self.unreadable(member, "its CRC-32 is wrong");
        }
        if !whole {
            self.unreadable(member, "its compressed bytes are broken");
        }
        Ok(true)
    }

    fn numpy(&mut self, source: &dyn ReadAt, member: Option<&str>) -> io::Result<Content> {
        match numpy::elements(source)? {
            None => self.unreadable(member, "its numpy header cannot be read"),
            Some((_, Objects::No)) => {}
            Some((at, objects)) => {
                let elements = Window::new(source, at, source.len().saturating_sub(at))?;
                match pickles::stream(&elements, self.limits)? {
                    None if objects == Objects::Perhaps => {}
                    None => self.unreadable(member, "its objects are no pickle"),
                    Some(stream) => {
                        for mut pickle in stream.pickles {
                            pickle.member = member.map(str::to_owned);
                            pickle.at = pickle.at.saturating_add(at);
                            for global in &mut pickle.globals {
                                global.at = global.at.saturating_add(at);
                            }
                            self.report.pickles.push(pickle);
                        }
                    }
                }
            }
        }
        Ok(Content::Npy)
    }
}

/// A member of a container, which may be a member itself.
fn below(member: Option<&str>, name: &str) -> String {
    member.map_or_else(|| name.to_owned(), |member| format!("{member}!/{name}"))
}

/// Does the header describe the whole file? One that is longer than the head of a source is taken at its word.
fn is_safetensors(source: &dyn ReadAt) -> io::Result<bool> {
    match safetensors::read(source) {
        Ok(_) => Ok(true),
        Err(safetensors::Error::Io(error)) if is_beyond_head(&error) => {
            let len: [u8; 8] = source.read_vec_at(0, 8)?.try_into().unwrap_or_default();
            Ok(u64::from_le_bytes(len).checked_add(8).is_some_and(|end| end <= source.len()))
        }
        Err(safetensors::Error::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        Err(_) => Ok(false),
    }
}

fn kind_of_zip(members: &[Member]) -> Content {
    let has = |is: fn(&str) -> bool| members.iter().any(|member| is(&member.name.to_ascii_lowercase()));
    let below_root = |name: &str| name.split_once('/').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    let is_script = members
        .iter()
        .map(|member| below_root(&member.name))
        .any(|name| name == "constants.pkl" || name.starts_with("code/"));
    if has(|name| name.ends_with("/data.pkl")) {
        return if is_script { Content::TorchScript } else { Content::TorchZip };
    }
    if has(|name| name == "model.weights.h5") {
        return Content::Keras;
    }
    let all_npy =
        !members.is_empty() && members.iter().all(|member| member.name.as_bytes().ends_with(b".npy"));
    if all_npy { Content::Npz } else { Content::Zip }
}
