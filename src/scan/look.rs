//! Scans one file: as a pickle from byte 0, and as the format that its first bytes indicate.
//!
//! Invariant: the inflated bytes of all members of all containers are bounded; of a member that is obviously not a
//! pickle, only the first [`HEAD`] bytes are inflated.

mod values;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

use super::archive::{self, Listing, Member, below};
use super::code::{self, CodeIn};
use super::head::{FIRST, FIRST_OF_MEMBER, Head, Known, is_beyond_head, is_safetensors};
use super::packed::{Extent, Packing};
use super::pickles::Stream;
use super::walk::Spelling;
use super::{Content, HEAD, Limits, Report, Storages, content, packed, pickles, serialized, tar};
use crate::read_at::{ReadAt, Window};

/// How many bytes show the format.
const MAGIC: usize = 512;

pub(super) fn scan(source: &dyn ReadAt, limits: &Limits) -> io::Result<Report> {
    let mut look = Look::new(limits);
    look.report.content = look.at(source, None, 0)?;
    let content = look.report.content;
    let is_outside = |end: &u64| !look.zips.iter().any(|zip| zip.contains(end));
    if !content.is_zip() && archive::ends(source)?.iter().any(is_outside) {
        look.report.unreadable("zip archive after other bytes");
        look.zip(source, None, 0)?;
    }
    Ok(look.finish())
}

pub(super) fn scan_head(head: &[u8], len: u64, limits: &Limits) -> Option<Report> {
    let mut look = Look::new(limits);
    look.report.content = look.at(&Head { bytes: head, len }, None, 0).ok()?;
    Some(look.finish())
}

struct Look<'a> {
    limits: &'a Limits,
    report: Report,
    /// The first source of which only the first bytes were searched.
    limit: Option<String>,
    /// How many more bytes may be inflated.
    inflated: u64,
    /// The treatment of storages in the current source.
    storages: Storages,
    /// The archives that are members of the file itself, if the file is a tar archive.
    zips: Vec<Range<u64>>,
}

impl<'a> Look<'a> {
    fn new(limits: &'a Limits) -> Self {
        let (inflated, storages) = (limits.inflated, limits.storages);
        Self { limits, report: Report::default(), limit: None, inflated, storages, zips: Vec::new() }
    }

    fn finish(mut self) -> Report {
        let pickles = self.report.pickles.iter().map(|pickle| pickle.verdict);
        let worst = pickles.chain(self.report.code.iter().map(|code| code.verdict)).max();
        self.report.verdict = self.report.verdict.max(worst.unwrap_or_default());
        self.report.reason = self.report.reason.or(self.limit);
        self.report
    }

    /// Scans a source: the file, or a member of it.
    fn at(&mut self, source: &dyn ReadAt, member: Option<&str>, depth: usize) -> io::Result<Content> {
        let first = if depth == 0 { FIRST } else { FIRST_OF_MEMBER };
        let head_len = usize::try_from(source.len()).map_or(first, |len| len.min(first));
        let head = source.read_cow_at(0, head_len)?;
        let source = &Known { bytes: &head, at: 0, source };
        let head = head.get(..MAGIC).unwrap_or(&head);
        let content = Content::of_head(head);
        // `P` requests a persistent object from the loader, which the loaders of pickles refuse, and torch opens an
        // archive.
        let (mut is_pickle, mut legacy) = (false, false);
        if content != Content::Zip
            && let Some(stream) = pickles::stream(source, self.limits)?
        {
            (is_pickle, legacy) = (true, stream.legacy);
            self.pickles(source, stream, 0, member, depth)?;
        }
        // The first bytes of a tar archive are the name of a member, so they can be the magic number of any format.
        let is_tar_too = content != Content::Tar && tar::is_tar(head);
        if (is_tar_too || content.is_container()) && depth >= self.limits.depth {
            self.unreadable(member, "archives nested too deeply");
            return Ok(content);
        }
        if is_tar_too {
            self.unreadable(member, "also a tar archive");
            self.tar(source, member, depth)?;
        }
        if !content.is_container()
            && depth < self.limits.depth
            && let Some(packed) = self.perhaps_packed(source, head, member, depth)?
        {
            return Ok(packed);
        }
        let content = match content {
            Content::Zip => self.zip(source, member, depth)?,
            Content::Tar => self.tar(source, member, depth)?,
            Content::Npy => self.numpy(source, member, depth)?,
            Content::Safetensors if !is_safetensors(source)? => Content::Other,
            content => {
                if let Some(packing) = content.packing() {
                    let name = below(member, &format!("({})", content.name()));
                    self.packed(packing, source, &name, depth, 0)?;
                } else if content.is_sealed() && !is_pickle {
                    self.unreadable(member, &format!("{content} is not supported"));
                } else if content == Content::Text && member.is_some_and(serialized::is_named) {
                    self.serialized(source, member, depth)?;
                } else if matches!(content, Content::Hdf5 | Content::Other) {
                    self.values(content == Content::Hdf5, source, (member, depth))?;
                }
                content
            }
        };
        match code::of_source(source, head, content, member, self.storages)? {
            Some(searched) => {
                self.searched_only(searched.limit(source.len()), member);
                searched.code.into_iter().for_each(|code| self.code(code, member));
            }
            None => self.unreadable(member, "configuration over the limit"),
        }
        Ok(match content {
            _ if legacy => Content::Legacy,
            Content::Text | Content::Other | Content::Pickle if is_pickle => Content::Pickle,
            Content::Pickle | Content::Legacy => Content::Other,
            content => content,
        })
    }

    /// Adds the pickles of a stream that begins at the byte `begin`, and scans the byte strings in them that torch
    /// loads as files.
    fn pickles(
        &mut self,
        source: &dyn ReadAt,
        stream: Stream,
        begin: u64,
        member: Option<&str>,
        depth: usize,
    ) -> io::Result<()> {
        for mut pickle in stream.pickles {
            if self.report.pickles.len() >= self.limits.pickles {
                self.report.unreadable("more pickles than the limit");
                break;
            }
            pickle.member = member.map(str::to_owned);
            pickle.at = pickle.at.saturating_add(begin);
            for global in &mut pickle.globals {
                global.at = global.at.saturating_add(begin);
            }
            self.report.pickles.push(pickle);
        }
        if !stream.inner.is_empty() && depth >= self.limits.depth {
            self.unreadable(member, "files nested too deeply");
            return Ok(());
        }
        for span in stream.inner {
            let at = span.at.saturating_add(begin);
            let bytes = Window::new(source, at, span.len)?;
            let name = below(member, &format!("(bytes at {at})"));
            if span.spelling == Spelling::Plain {
                self.at(&bytes, Some(&name), depth.saturating_add(1))?;
            } else if let Some(text) = self.read_whole(&bytes, Some(&name))? {
                let decoded = span.spelling.bytes(&text);
                self.at(&decoded, Some(&name), depth.saturating_add(1))?;
            }
        }
        Ok(())
    }

    /// Reads a whole source, if that many bytes may still be in memory.
    fn read_whole(&mut self, source: &dyn ReadAt, member: Option<&str>) -> io::Result<Option<Vec<u8>>> {
        let Some(left) = self.inflated.checked_sub(source.len()) else {
            self.unreadable(member, "longer than the limit");
            return Ok(None);
        };
        self.inflated = left;
        source.read_vec_at(0, usize::try_from(source.len()).map_err(io::Error::other)?).map(Some)
    }

    /// Adds code, each once.
    fn code(&mut self, code: CodeIn, member: Option<&str>) {
        self.named_code(CodeIn { member: member.map(str::to_owned), ..code });
    }

    fn named_code(&mut self, code: CodeIn) {
        if self.report.code.len() >= self.limits.pickles {
            self.report.unreadable("more code than the limit");
        } else if !self.report.code.contains(&code) {
            self.report.code.push(code);
        }
    }

    fn searched_only(&mut self, limit: Option<String>, member: Option<&str>) {
        let named =
            |limit| member.map_or_else(|| String::clone(&limit), |member| format!("{member}: {limit}"));
        self.limit = self.limit.take().or_else(|| limit.map(named));
    }

    fn unreadable(&mut self, member: Option<&str>, reason: &str) {
        match member {
            Some(member) => self.report.unreadable(format!("{member}: {reason}")),
            None => self.report.unreadable(reason),
        }
    }

    fn zip(&mut self, source: &dyn ReadAt, member: Option<&str>, depth: usize) -> io::Result<Content> {
        // Its end records, its directory and the members before them are read once.
        let (at, tail) = archive::tail(source)?;
        let source = &Known { bytes: &tail, at, source };
        let listing = Listing::read(source, self.limits.members, self.storages)?;
        if let Some(doubt) = &listing.doubt {
            self.unreadable(member, doubt);
        }
        // Each member is scanned once; if two records of a directory differ, once for each.
        let mut room = source.len().saturating_mul(2);
        let mut seen = BTreeSet::new();
        for entry in &listing.members {
            let name = below(member, &entry.name);
            let is_known = !seen.insert((entry.at, entry.compressed, entry.method));
            if entry.compressed == 0 || is_known {
                continue;
            }
            if entry.is_left_out {
                self.report.left_out.add(entry.compressed);
                continue;
            }
            let Some(left) = room.checked_sub(entry.compressed) else {
                self.unreadable(member, "overlapping members");
                break;
            };
            room = left;
            let bytes = Window::new(source, entry.at, entry.compressed)?;
            let bytes = Known { bytes: &entry.head, at: 0, source: &bytes };
            if entry.method == 0 {
                let before = self.report.pickles.len();
                self.at(&bytes, Some(&name), depth.saturating_add(1))?;
                if self.report.pickles.len() > before && !self.is_sound(&bytes, entry)? {
                    self.unreadable(Some(&name), "CRC-32 mismatch");
                }
            } else if let Some(packing) = Packing::of_method(entry.method) {
                self.packed(packing, &bytes, &name, depth, entry.crc32)?;
            } else {
                self.unreadable(Some(&name), &format!("unsupported zip method {}", entry.method));
            }
        }
        let names: Vec<_> = listing.members.iter().map(|member| member.name.as_str()).collect();
        let content = Content::of_members(&names);
        self.code_of(&names, content, member);
        Ok(content)
    }

    /// Returns `true` if a stored member has the CRC-32 of its archive, or if the archive has none for it.
    fn is_sound(&self, bytes: &dyn ReadAt, entry: &Member) -> io::Result<bool> {
        if entry.crc32 == 0 || bytes.len() > self.limits.inflated {
            return Ok(true);
        }
        let all = bytes.read_vec_at(0, usize::try_from(bytes.len()).map_err(io::Error::other)?)?;
        Ok(crc32fast::hash(&all) == entry.crc32)
    }

    /// Adds the code that the names of members show.
    fn code_of(&mut self, names: &[&str], content: Content, member: Option<&str>) {
        for (name, code) in code::of_members(names, content) {
            self.code(code, Some(&below(member, name)));
        }
    }

    fn tar(&mut self, source: &dyn ReadAt, member: Option<&str>, depth: usize) -> io::Result<Content> {
        let mut names = Vec::new();
        let doubt = tar::members(source, self.limits.members, |file| {
            names.push(file.name.clone());
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
        self.code_of(&names.iter().map(String::as_str).collect::<Vec<_>>(), Content::Tar, member);
        Ok(Content::Tar)
    }

    /// Scans the content of a stream that its first bytes do not identify: if it breaks before a pickle, it is another
    /// format, and the result is `None`.
    fn perhaps_packed(
        &mut self,
        source: &dyn ReadAt,
        head: &[u8],
        member: Option<&str>,
        depth: usize,
    ) -> io::Result<Option<Content>> {
        let Some((packing, at)) = content::perhaps_packed(head) else { return Ok(None) };
        let content = if packing == Packing::Zlib { Content::Zlib } else { Content::Xz };
        let bytes = Window::new(source, at, source.len().saturating_sub(at))?;
        let before = (self.report.verdict, self.report.reason.clone(), self.report.pickles.len());
        let name = below(member, &format!("({})", content.name()));
        let extent = self.packed(packing, &bytes, &name, depth, 0)?;
        if self.report.pickles.len() > before.2 || extent != Extent::Broken && packing == Packing::Zlib {
            return Ok(Some(content));
        }
        (self.report.verdict, self.report.reason) = (before.0, before.1);
        Ok(None)
    }

    /// Scans the content of a stream: its first bytes, and all of it if they do not decide.
    fn packed(
        &mut self,
        packing: Packing,
        source: &dyn ReadAt,
        member: &str,
        depth: usize,
        crc32: u32,
    ) -> io::Result<Extent> {
        let depth = depth.saturating_add(1);
        let (mut all, mut extent) = packed::unpack(packing, source, u64::try_from(HEAD).unwrap_or(u64::MAX))?;
        if extent == Extent::Part {
            let mut first = Look { inflated: 0, ..Look::new(self.limits) };
            let head = Head { bytes: &all, len: u64::MAX };
            match first.at(&head, Some(member), depth) {
                Ok(_) if first.report.pickles.is_empty() && first.report.reason.is_none() => {
                    self.limit = self.limit.take().or(first.limit);
                    first.report.code.into_iter().for_each(|code| self.named_code(code));
                    return Ok(extent);
                }
                Err(error) if !is_beyond_head(&error) => return Err(error),
                _ => {}
            }
            (all, extent) = packed::unpack(packing, source, self.inflated.saturating_add(1))?;
        }
        let len = u64::try_from(all.len()).unwrap_or(u64::MAX);
        if extent == Extent::Part {
            self.unreadable(Some(member), "decompressed size over the limit");
        }
        self.inflated = self.inflated.saturating_sub(len);
        let before = self.report.pickles.len();
        // Bytes in memory need no further read.
        let storages = std::mem::replace(&mut self.storages, Storages::Scanned);
        self.at(&all, Some(member), depth)?;
        self.storages = storages;
        if self.report.pickles.len() > before && crc32 != 0 && crc32fast::hash(&all) != crc32 {
            self.unreadable(Some(member), "CRC-32 mismatch");
        }
        if extent == Extent::Broken {
            self.unreadable(Some(member), "damaged compressed data");
        }
        Ok(extent)
    }
}
