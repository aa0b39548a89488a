//! [`Ranged`] reads a file on a server at any offset, for callers that need little of it.
//!
//! ```text
//! blocks of 64 KiB; a miss asks for the missing run of blocks, twice as much ahead after each sequential read
//! (up to 1 MiB), and for the last 256 KiB at once, which contain the directory of an archive ([`Grain`])
//! ```
//!
//! Invariants: every byte comes from one version of the file: its length and, if the server sends one, its validator
//! are those of the first response, or the read fails; at most [`MAX_HELD`] bytes are in memory; a read is complete or
//! an error. The module does not hash: the bytes are only as trustworthy as the server.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ureq::http::{HeaderValue, header};

use super::cause::BadAnswer;
use super::error::{Error, Result};
use super::known::lock;
use super::login::Auth;
use super::message::{BodyReader, Encoding, Response};
use super::parts::{ContentRange, Opened, Parts, fill, judge, range, take};
use super::redirect::{Ask, CONTENT_HOPS};
use super::refusal::refusal;
use super::retry::{Retry, patiently};
use super::url::Url;
use super::wire::Wire;
use crate::buffer::Received;
use crate::read_at::{FileSource, ReadAt};

/// The most bytes that are read ahead.
const MAX_AHEAD: u64 = 1 << 20;

/// The most bytes that are kept. A longer read is not kept.
const MAX_HELD: usize = 16 << 20;

/// The sizes of reads of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grain {
    /// The unit in which bytes are requested and kept.
    block: u64,
    /// How many bytes at the end are requested at once.
    tail: u64,
}

impl Grain {
    /// For a checkpoint whose headers are all read: few requests.
    pub const HEADERS: Self = Self { block: 64 << 10, tail: 256 << 10 };
    /// For any file, most of which are identified by few bytes. The last bytes are those in which a loader searches the
    /// end of an archive.
    pub const LITTLE: Self = Self { block: 16 << 10, tail: 72 << 10 };
}

/// A file that is read by ranges.
pub struct Ranged<'a>(Backing<'a>);

enum Backing<'a> {
    File(FileSource),
    Server(Server<'a>),
}

struct Server<'a> {
    wire: &'a Wire<'a>,
    from: Box<dyn Parts + 'a>,
    len: u64,
    grain: Grain,
    cache: Mutex<Cache>,
    /// How many bytes arrived.
    fetched: AtomicU64,
}

impl<'a> Ranged<'a> {
    pub(super) fn of_file(file: FileSource) -> Self {
        Self(Backing::File(file))
    }

    /// Wraps a source of ranges of a file of this length; `None` if its server does not serve ranges after all.
    pub(super) fn of_parts(wire: &'a Wire<'a>, from: Box<dyn Parts + 'a>, len: u64) -> Result<Option<Self>> {
        let (grain, fetched) = (Grain::HEADERS, AtomicU64::new(0));
        let server = Server { wire, from, len, grain, cache: Mutex::default(), fetched };
        match server.first() {
            Ok(()) => Ok(Some(Self(Backing::Server(server)))),
            Err(Error::NoRanges { .. }) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Opens the file at a URL: on the Hub with its token, on another server without any login. `None` if the server
    /// does not serve ranges.
    ///
    /// # Errors
    /// The reason why its first bytes are not available.
    pub fn open(auth: &'a Auth<'a>, url: &Url) -> Result<Option<Self>> {
        Self::open_in(auth, url, Grain::HEADERS)
    }

    /// The same, with another [`Grain`].
    ///
    /// # Errors
    /// As [`Ranged::open`].
    pub fn open_in(auth: &'a Auth<'a>, url: &Url, grain: Grain) -> Result<Option<Self>> {
        let wire = &auth.wire;
        wire.watched(|| {
            let Some((file, first)) = patiently(wire, || RemoteFile::open(auth, url, grain.block))? else {
                return Ok(None);
            };
            let fetched = AtomicU64::new(first.len() as u64);
            let mut cache = Cache::default();
            if !first.is_empty() {
                cache.blocks.insert(0, first);
            }
            let (len, cache) = (file.len, Mutex::new(cache));
            let from = Box::new(file);
            Ok(Some(Self(Backing::Server(Server { wire, from, len, grain, cache, fetched }))))
        })
    }

    /// Returns how many bytes came from a server so far.
    pub fn fetched(&self) -> u64 {
        match &self.0 {
            Backing::File(_) => 0,
            Backing::Server(server) => server.fetched.load(Ordering::Relaxed),
        }
    }
}

impl ReadAt for Ranged<'_> {
    fn len(&self) -> u64 {
        match &self.0 {
            Backing::File(file) => file.len(),
            Backing::Server(server) => server.len,
        }
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        match &self.0 {
            Backing::File(file) => file.read_exact_at(buf, at),
            Backing::Server(server) => {
                let is_inside = at.checked_add(buf.len() as u64).is_some_and(|end| end <= server.len);
                if !is_inside {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                server.read(buf, at).map_err(io::Error::other)
            }
        }
    }
}

/// The bytes in memory.
#[derive(Default)]
struct Cache {
    /// By number.
    blocks: BTreeMap<u64, Vec<u8>>,
    /// The end of the last read, and how far the next one reads ahead if it continues there.
    end: u64,
    ahead: u64,
}

impl Server<'_> {
    /// Reads the first bytes, to find out whether the server serves ranges.
    fn first(&self) -> Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        let mut first = [0];
        self.read(&mut first, 0)
    }

    fn read(&self, buf: &mut [u8], at: u64) -> Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        // The lock is held during a request: one thread plans one file.
        let mut cache = lock(&self.cache);
        let end = at + buf.len() as u64;
        if buf.len() > MAX_HELD / 2 {
            let bytes = self.fetch(at, end)?;
            buf.copy_from_slice(&bytes);
            return Ok(());
        }
        let block_len = self.grain.block;
        let (first, last) = (at / block_len, (end - 1) / block_len);
        cache.ahead =
            if at == cache.end && at > 0 { (cache.ahead * 2).clamp(block_len, MAX_AHEAD) } else { 0 };
        cache.end = end;
        if !(first..=last).all(|number| cache.blocks.contains_key(&number)) {
            self.load(&mut cache, first, last)?;
        }
        for number in first..=last {
            let Some(block) = cache.blocks.get(&number) else { continue };
            let start = number * block_len;
            let (from, to) = (at.max(start), end.min(start + block.len() as u64));
            let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
            let source = block.get(index(from - start)..index(to - start));
            let target = buf.get_mut(index(from - at)..index(to - at));
            if let (Some(source), Some(target)) = (source, target) {
                target.copy_from_slice(source);
            }
        }
        Ok(())
    }

    /// Requests the missing blocks in a range, and those that will be needed next.
    fn load(&self, cache: &mut Cache, first: u64, last: u64) -> Result<()> {
        let Grain { block, tail } = self.grain;
        let missing = |number: &u64| !cache.blocks.contains_key(number);
        let first = (first..=last).find(missing).unwrap_or(first);
        let last = (first..=last).rev().find(missing).unwrap_or(last);
        let mut from = first * block;
        let mut to = (last + 1) * block + cache.ahead;
        let tail = self.len.saturating_sub(tail) / block * block;
        if from >= tail {
            from = (tail / block..=first).find(missing).unwrap_or(first) * block;
            to = self.len;
        }
        let bytes = self.fetch(from, to.min(self.len))?;
        let held: usize = cache.blocks.values().map(Vec::len).sum();
        if held + bytes.len() > MAX_HELD {
            cache.blocks.clear();
        }
        let step = usize::try_from(block).unwrap_or(usize::MAX);
        let numbers = from / block..;
        cache.blocks.extend(numbers.zip(bytes.chunks(step).map(<[u8]>::to_vec)));
        Ok(())
    }

    fn fetch(&self, from: u64, to: u64) -> Result<Vec<u8>> {
        let wanted = usize::try_from(to - from).unwrap_or(usize::MAX);
        let mut bytes = Received::default();
        let never = || false;
        self.wire.watched(|| {
            let mut retry = Retry::new(self.wire, &never);
            fill(&mut retry, from, wanted, &mut bytes, &|from, to| self.from.part(from, to), &never)
        })?;
        self.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.into_vec())
    }
}

/// A file at a URL that redirects, such as one on the Hub.
struct RemoteFile<'a> {
    auth: &'a Auth<'a>,
    url: Url,
    /// The URL of the first response: a signed URL that is valid for a while.
    direct: Mutex<Url>,
    len: u64,
    validator: Option<String>,
}

impl<'a> RemoteFile<'a> {
    /// Requests the first block, and returns it. `None` if the server does not serve ranges.
    fn open(auth: &'a Auth<'a>, url: &Url, block: u64) -> Result<Option<(Self, Vec<u8>)>> {
        let response = auth.send(&ask(url, 0, block))?;
        let placed = response.header(header::CONTENT_RANGE).and_then(ContentRange::parse);
        let len = match (response.status, placed) {
            (206, Some(ContentRange { span: Some((0, end)), size: Some(len) })) if end == len.min(block) => {
                len
            }
            // An empty file has no first byte.
            (416, Some(ContentRange { size: Some(0), .. })) => 0,
            (200 | 203 | 206 | 416, _) => return Ok(None),
            _ => return Err(refusal(&auth.wire, response, None)),
        };
        if response.encoding() != Encoding::None {
            return Err(encoded(response));
        }
        let validator = validator(&response);
        let file = Self { auth, url: url.clone(), direct: Mutex::new(response.url.clone()), len, validator };
        let mut first = Received::default();
        if len > 0 {
            let wanted = usize::try_from(len.min(block)).unwrap_or(usize::MAX);
            take(&mut response.into_reader(), &mut first, wanted, &|| false, &|_| ())?;
        }
        Ok(Some((file, first.into_vec())))
    }

    fn changed(&self) -> Error {
        Error::Changed { url: self.url.without_login() }
    }
}

impl Parts for RemoteFile<'_> {
    fn part(&self, from: u64, to: u64) -> Result<(BodyReader, u64)> {
        let direct = lock(&self.direct).clone();
        let mut response = self.auth.send(&ask(&direct, from, to));
        let is_refused = matches!(&response, Ok(response) if matches!(response.status, 400 | 401 | 403 | 404 | 410))
            || matches!(&response, Err(Error::Unauthorized { .. }));
        if is_refused && direct != self.url {
            // The signature has expired: the redirect is requested again.
            response = self.auth.send(&ask(&self.url, from, to));
        }
        let response = response?;
        if !matches!(response.status, 200 | 206) {
            return Err(refusal(&self.auth.wire, response, None));
        }
        if response.encoding() != Encoding::None {
            return Err(encoded(response));
        }
        let url = response.url.clone();
        if response.status == 206 && validator(&response) != self.validator {
            return Err(self.changed());
        }
        match judge(response, from, to, self.len) {
            Ok(Opened::Part(reader, len)) => {
                *lock(&self.direct) = url;
                Ok((reader, len))
            }
            Ok(Opened::Whole(_) | Opened::Unplaced) | Err(_) => Err(self.changed()),
        }
    }
}

fn ask(url: &Url, from: u64, to: u64) -> Ask<'_> {
    let ask = Ask { may_log_in: true, login: url.login(), hops: CONTENT_HOPS, ..Ask::get(url.clone()) };
    ask.plain(header::RANGE, range(from, to)).plain(header::ACCEPT, HeaderValue::from_static("*/*"))
}

fn encoded(response: Response) -> Error {
    Error::BadAnswer { url: response.url, interface: "server", source: BadAnswer::Encoded }
}

/// Returns what distinguishes versions of a file: a strong entity tag, else the time of its last change.
fn validator(response: &Response) -> Option<String> {
    let tag = response.header(header::ETAG).filter(|tag| !tag.starts_with("W/"));
    tag.or_else(|| response.header(header::LAST_MODIFIED)).map(str::to_owned)
}
