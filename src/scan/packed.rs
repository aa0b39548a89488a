//! Unpacks compressed streams: the methods of zip, and the formats that joblib opens (zlib, gzip, bzip2, xz, LZMA,
//! LZ4).
//!
//! Streams of one kind that follow one another are one content, as in Python's readers; xz and LZMA streams may
//! alternate. Invariant: all bytes before a broken position are returned, because a loader unpickles while it reads.
//! Memory grows with the unpacked bytes, not with the sizes that a header states.
//!
//! Sources: RFC 1950 to 1952; the xz file format 1.2.1 and the LZMA header as `liblzma` takes it (`alone_decoder.c`, with
//! `picky` set); the LZ4 frame format 1.6.3; APPNOTE 5.8.8 for LZMA in zip.

use std::cell::RefCell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use bzip2::bufread::BzDecoder;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use lz4_flex::frame::FrameDecoder;
use lzma_rust2::{LzmaReader, XzReader};

use crate::read_at::ReadAt;

/// Streams that may follow one another; the shortest streams have no content.
const STREAMS: usize = 10_000;
/// Bytes per read.
const STEP: usize = 64 << 10;

/// The compression of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Deflate,
    Zlib,
    Gzip,
    Bzip2,
    /// xz, and the old LZMA format.
    Lzma,
    /// LZMA with the header that it has in zip archives.
    ZipLzma,
    Lz4,
}

/// How much of a content was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Everything before broken bytes.
    Broken,
    /// The requested bytes; more follow.
    Part,
}

impl Packing {
    /// Returns the compression of a zip method, if some reader supports it.
    pub(super) fn of_method(method: u16) -> Option<Self> {
        match method {
            8 => Some(Self::Deflate),
            12 => Some(Self::Bzip2),
            14 => Some(Self::ZipLzma),
            95 => Some(Self::Lzma),
            _ => None,
        }
    }

    /// Returns `true` if a stream follows that belongs to the same content. After LZ4 it may be a frame that readers
    /// skip.
    fn follows(self, head: &[u8]) -> bool {
        match self {
            Self::Deflate | Self::Zlib | Self::ZipLzma => false,
            Self::Gzip => head.starts_with(&[0x1f, 0x8b]),
            Self::Bzip2 => head.starts_with(b"BZh"),
            Self::Lzma => head.starts_with(XZ) || head.starts_with(b"LZIP") || is_lzma(head),
            Self::Lz4 => head.starts_with(LZ4) || skipped(head).is_some(),
        }
    }
}

const XZ: &[u8] = b"\xfd7zXZ\0";
const LZ4: &[u8] = &[4, 0x22, 0x4d, 0x18];

/// Returns the length of an LZ4 frame that every reader skips.
fn skipped(head: &[u8]) -> Option<u64> {
    match *head.first_chunk::<8>()? {
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d] => {
            Some(u64::from(u32::from_le_bytes([a, b, c, d])).saturating_add(8))
        }
        _ => None,
    }
}

/// Returns `true` for the header of the old LZMA format, as `liblzma` accepts it when it guesses: valid properties, a
/// dictionary length that xz writes, and the length of the content, which may be unknown.
pub(super) fn is_lzma(head: &[u8]) -> bool {
    let Some(&[properties, a, b, c, d, ref len @ ..]) = head.first_chunk::<13>() else { return false };
    let dictionary = u32::from_le_bytes([a, b, c, d]);
    let is_usual = dictionary.count_ones() <= 1
        || dictionary.count_ones() == 2 && dictionary & dictionary << 1 != 0
        || dictionary == u32::MAX;
    let len = u64::from_le_bytes(*len);
    let (lc, lp) = (properties % 9, properties / 9 % 5);
    is_usual && properties < 9 * 5 * 5 && lc.saturating_add(lp) <= 4 && (len == u64::MAX || len < 1 << 38)
}

/// Unpacks at most `most` bytes.
///
/// # Errors
/// If the source cannot be read.
pub(super) fn unpack(packing: Packing, source: &dyn ReadAt, most: u64) -> io::Result<(Vec<u8>, Extent)> {
    let mut bytes = Vec::new();
    let mut stream = Streams::new(packing, source);
    let mut extent = stream.read_to(&mut bytes, most, STEP)?;
    if extent == Extent::Broken {
        // A failed read discarded its bytes, so they are read again one by one.
        let known = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        stream = Streams::new(packing, source);
        let mut again = Vec::new();
        if stream.read_to(&mut again, known, STEP)? == Extent::Part {
            extent = stream.read_to(&mut bytes, most, 1)?;
        }
    }
    Ok((bytes, extent))
}

/// A reader that knows its offset. It keeps the error of its source, which decoders report as broken bytes.
struct Input<'a> {
    source: &'a dyn ReadAt,
    /// The offset after the last byte that was read ahead.
    ahead: u64,
    held: Vec<u8>,
    pos: usize,
    failed: Rc<RefCell<Option<io::Error>>>,
}

impl<'a> Input<'a> {
    fn new(source: &'a dyn ReadAt, at: u64, failed: &Rc<RefCell<Option<io::Error>>>) -> Self {
        Self { source, ahead: at, held: Vec::new(), pos: 0, failed: Rc::clone(failed) }
    }

    /// The offset of the next byte.
    fn at(&self) -> u64 {
        let held = self.held.len().saturating_sub(self.pos);
        self.ahead.saturating_sub(u64::try_from(held).unwrap_or(0))
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.pos >= self.held.len() {
            let left = self.source.len().saturating_sub(self.ahead);
            // Most attempts to read a stream fail at once.
            let most = if self.held.is_empty() { 4 << 10 } else { STEP };
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(most);
            self.held.resize(len, 0);
            if let Err(error) = self.source.read_exact_at(&mut self.held, self.ahead) {
                let told = io::Error::from(error.kind());
                self.held.clear();
                self.failed.replace(Some(error));
                return Err(told);
            }
            self.pos = 0;
            self.ahead = self.ahead.saturating_add(u64::try_from(len).unwrap_or(0));
        }
        Ok(self.held.get(self.pos..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.pos = self.pos.saturating_add(amount);
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let held = self.fill_buf()?;
        let len = held.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), held.get(..len)) {
            to.copy_from_slice(from);
        }
        self.consume(len);
        Ok(len)
    }
}

/// The decoder of one stream.
enum Coder<'a> {
    Deflate(DeflateDecoder<Input<'a>>),
    Zlib(ZlibDecoder<Input<'a>>),
    Gzip(GzDecoder<Input<'a>>),
    Bzip2(BzDecoder<Input<'a>>),
    Xz(Box<XzReader<Input<'a>>>),
    Lzma(Box<LzmaReader<Input<'a>>>),
    Lz4(Box<FrameDecoder<Input<'a>>>),
}

impl Coder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Deflate(coder) => coder.read(buf),
            Self::Zlib(coder) => coder.read(buf),
            Self::Gzip(coder) => coder.read(buf),
            Self::Bzip2(coder) => coder.read(buf),
            Self::Xz(coder) => coder.read(buf),
            Self::Lzma(coder) => coder.read(buf),
            Self::Lz4(coder) => loop {
                let len = coder.read(buf)?;
                // A block may be empty, and then the frame does not end there.
                let behind = coder.get_mut().fill_buf()?;
                if len > 0 || behind.is_empty() || Packing::Lz4.follows(behind) {
                    return Ok(len);
                }
            },
        }
    }

    /// Returns the offset of the next stream.
    fn end(self) -> u64 {
        match self {
            Self::Deflate(coder) => coder.into_inner().at(),
            Self::Zlib(coder) => coder.into_inner().at(),
            Self::Gzip(coder) => coder.into_inner().at(),
            Self::Bzip2(coder) => coder.into_inner().at(),
            Self::Xz(coder) => coder.into_inner().at(),
            Self::Lz4(coder) => coder.into_inner().at(),
            Self::Lzma(coder) => {
                let (place, ahead) = coder.into_parts();
                place.at().saturating_sub(u64::try_from(ahead.len()).unwrap_or(0))
            }
        }
    }
}

/// The streams of one content.
struct Streams<'a> {
    packing: Packing,
    source: &'a dyn ReadAt,
    failed: Rc<RefCell<Option<io::Error>>>,
    at: u64,
    opened: usize,
    coder: Option<Coder<'a>>,
}

impl<'a> Streams<'a> {
    fn new(packing: Packing, source: &'a dyn ReadAt) -> Self {
        Self { packing, source, failed: Rc::default(), at: 0, opened: 0, coder: None }
    }

    /// Reads until `bytes` has `most` bytes, `step` bytes at a time.
    fn read_to(&mut self, bytes: &mut Vec<u8>, most: u64, step: usize) -> io::Result<Extent> {
        loop {
            let len = bytes.len();
            let room = most.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
            if room == 0 || self.opened > STREAMS {
                return Ok(Extent::Part);
            }
            bytes.resize(len.saturating_add(usize::try_from(room).unwrap_or(step).min(step)), 0);
            let read = self.read(bytes.get_mut(len..).unwrap_or_default());
            bytes.truncate(len.saturating_add(*read.as_ref().unwrap_or(&0)));
            if let Some(failed) = self.failed.take() {
                return Err(failed);
            }
            match read {
                Ok(0) => return Ok(Extent::Whole),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Ok(Extent::Broken),
                _ => {}
            }
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.opened <= STREAMS {
            let Some(coder) = self.coder.as_mut() else {
                if !self.skip()? {
                    let Some(coder) = self.open()? else { break };
                    self.coder = Some(coder);
                }
                continue;
            };
            let len = coder.read(buf)?;
            if len > 0 {
                return Ok(len);
            }
            self.at = self.coder.take().map_or(self.at, Coder::end);
        }
        Ok(0)
    }

    /// Skips a frame that readers skip.
    fn skip(&mut self) -> io::Result<bool> {
        let mut place = Input::new(self.source, self.at, &self.failed);
        let Some(len) = skipped(place.fill_buf()?).filter(|_| self.packing == Packing::Lz4) else {
            return Ok(false);
        };
        self.opened = self.opened.saturating_add(1);
        self.at = self.at.saturating_add(len).min(self.source.len());
        Ok(true)
    }

    /// Returns the decoder of the next stream, if one follows.
    fn open(&mut self) -> io::Result<Option<Coder<'a>>> {
        let mut place = Input::new(self.source, self.at, &self.failed);
        let head = place.fill_buf()?;
        if self.opened > 0 && !self.packing.follows(head) {
            return Ok(None);
        }
        self.opened = self.opened.saturating_add(1);
        Ok(Some(match self.packing {
            Packing::Deflate => Coder::Deflate(DeflateDecoder::new(place)),
            Packing::Zlib => Coder::Zlib(ZlibDecoder::new(place)),
            Packing::Gzip => Coder::Gzip(GzDecoder::new(place)),
            Packing::Bzip2 => Coder::Bzip2(BzDecoder::new(place)),
            Packing::Lz4 => Coder::Lz4(Box::new(FrameDecoder::new(place))),
            Packing::Lzma if head.starts_with(XZ) => Coder::Xz(Box::new(XzReader::new(place, false))),
            Packing::Lzma => {
                let mut header = [0; 13];
                place.read_exact(&mut header)?;
                if !is_lzma(&header) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                let [properties, a, b, c, d, len @ ..] = header;
                lzma(place, u64::from_le_bytes(len), properties, [a, b, c, d])?
            }
            Packing::ZipLzma => {
                let mut header = [0; 9];
                place.read_exact(&mut header)?;
                match header {
                    [_, _, 5, 0, properties, dictionary @ ..] => {
                        lzma(place, u64::MAX, properties, dictionary)?
                    }
                    _ => return Err(io::ErrorKind::InvalidData.into()),
                }
            }
        }))
    }
}

fn lzma(place: Input<'_>, len: u64, properties: u8, dictionary: [u8; 4]) -> io::Result<Coder<'_>> {
    // No content that is unpacked here needs a dictionary as large as some headers state.
    let dictionary = u32::from_le_bytes(dictionary).min(1 << 30);
    let mut coder = LzmaReader::new_with_props(place, len, properties, dictionary, None)?;
    coder.set_relaxed_end_condition(false);
    coder.set_defer_errors(true);
    Ok(Coder::Lzma(Box::new(coder)))
}
