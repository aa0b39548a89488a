//! [`Object`]: one LFS object on a server, whatever its action does meanwhile.
//!
//! Source: `tq/basic_download.go` of Git LFS. Invariants: an action that is over, or that is refused (401, 403), is asked
//! for once more before that is an error; bytes are taken only from an answer that fits the object's size. It does not
//! hash: `download` does, and so has whoever reads by [`Object::stream`] or [`Object::ranged`].

use std::fs::File;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ureq::http::header;

use super::action::{Action, Get, Handed, ObjectAt, OverSsh};
use super::batch::LfsServer;
use super::cause::BadAnswer;
use super::error::{Error, Result};
use super::handed::{self, Arrived};
use super::known::lock;
use super::message::{BodyReader, Encoding};
use super::operation::Operation;
use super::parts::{Opened, Parts, judge, range};
use super::ranged::Ranged;
use super::redirect::{Ask, CONTENT_HOPS};
use super::refusal::refusal;
use super::wire::Wire;
use crate::lfs::Pointer;
use crate::read_at::FileSource;

/// Longer objects are not given whole by the Hub's storage, which answers 400.
const HUGE: u64 = 400_000_000_000;

/// One LFS object where its remote has it.
pub struct Object<'a> {
    server: &'a LfsServer<'a>,
    pub(super) pointer: Pointer,
    found: Mutex<Option<ObjectAt>>,
    ranges: AtomicU8,
    /// Is told how many more bytes of a stream came.
    came: Option<&'a (dyn Fn(u64) + Sync)>,
    /// How many those are so far.
    told: AtomicU64,
}

/// `true` if the server serves parts of this object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranges {
    Unknown,
    Yes,
    No,
}

impl<'a> Object<'a> {
    /// An object that was not asked for yet.
    pub fn new(server: &'a LfsServer<'a>, pointer: Pointer) -> Self {
        let (found, told) = (Mutex::default(), AtomicU64::new(0));
        Self { server, pointer, found, ranges: AtomicU8::new(0), came: None, told }
    }

    /// Tells of the bytes of a stream as they come, each once, before they are given: on any thread, and in no order.
    #[must_use]
    pub fn telling(self, came: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self { came: Some(came), ..self }
    }

    /// A stream begins.
    pub(super) fn begin(&self) {
        self.told.store(0, Ordering::Relaxed);
    }

    /// More bytes of a stream came.
    pub(super) fn came(&self, bytes: u64) {
        self.told.fetch_add(bytes, Ordering::Relaxed);
        if let Some(came) = self.came {
            came(bytes);
        }
    }

    /// So many bytes of a stream are here, some of which came before, and were told then.
    pub(super) fn came_to(&self, bytes: u64) {
        let told = self.told.load(Ordering::Relaxed);
        if let Some(more) = bytes.checked_sub(told).filter(|more| *more > 0) {
            self.came(more);
        }
    }

    /// An object with the action that [`LfsServer::locate`] gave for it.
    #[must_use]
    pub fn with_action(self, action: Action) -> Self {
        Self { found: Mutex::new(Some(action.0)), ..self }
    }

    /// Which object it is.
    pub fn pointer(&self) -> Pointer {
        self.pointer
    }

    /// Reads it in parts; `None` where the server gives it as a whole alone.
    ///
    /// # Errors
    /// What keeps its first bytes away.
    pub fn ranged(&self) -> Result<Option<Ranged<'_>>> {
        self.wire().watched(|| {
            match self.at()? {
                ObjectAt::File(path) => return Ok(Some(Ranged::of_file(open_file(&path)?))),
                // They bring whole objects.
                ObjectAt::Agent(_) | ObjectAt::Ssh(_) => return Ok(None),
                ObjectAt::Server(_) => {}
            }
            Ranged::of_parts(self.wire(), Box::new(self), self.pointer.size)
        })
    }

    /// Where it is.
    pub(super) fn at(&self) -> Result<ObjectAt> {
        self.location(None)
    }

    /// Has it brought over ssh.
    ///
    /// # Errors
    /// As [`Link::get`](super::ssh_link::Link::get).
    pub(super) fn over_ssh(&self, at: &OverSsh, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let far = self.server.far().ok_or_else(|| self.no_ranges())?;
        let got = self
            .server
            .links
            .with(far, Operation::Download, |link| link.get(self.wire(), (self.pointer, at), each));
        // It spoke this when it was asked where the object is.
        got?.ok_or_else(|| self.no_ranges())
    }

    /// Has it brought by a transfer agent.
    ///
    /// # Errors
    /// As [`handed::fetch`].
    pub(super) fn brought(&self, handed: &Handed, tell: &dyn Fn(u64)) -> Result<Arrived> {
        handed::fetch(self.server, handed, self.pointer, tell)
    }

    pub(super) fn wire(&self) -> &'a Wire<'a> {
        &self.server.auth.wire
    }

    pub(super) fn ranges(&self) -> Ranges {
        match self.ranges.load(Ordering::Relaxed) {
            0 => Ranges::Unknown,
            1 => Ranges::Yes,
            _ => Ranges::No,
        }
    }

    fn learn(&self, ranges: Ranges) {
        let number = match ranges {
            Ranges::Unknown => 0,
            Ranges::Yes => 1,
            Ranges::No => 2,
        };
        self.ranges.store(number, Ordering::Relaxed);
    }

    /// Where it is. One that is over is asked for anew, and so is `refused`.
    fn location(&self, refused: Option<&Arc<Get>>) -> Result<ObjectAt> {
        let mut known = lock(&self.found);
        match known.as_ref() {
            Some(ObjectAt::Server(get)) if refused.is_some_and(|refused| Arc::ptr_eq(refused, get)) => {}
            Some(found) if found.is_over() => {}
            Some(found) => return Ok(found.clone()),
            None => {}
        }
        Ok(known.insert(self.server.location(self.pointer, refused)?).clone())
    }

    fn get(&self, refused: Option<&Arc<Get>>) -> Result<Arc<Get>> {
        match self.location(refused)? {
            ObjectAt::Server(get) => Ok(get),
            ObjectAt::File(path) => Err(Error::NotThere { oid: self.pointer.oid, path }),
            ObjectAt::Agent(_) | ObjectAt::Ssh(_) => Err(self.no_ranges()),
        }
    }

    /// Asks for the bytes from `from` up to `to`; all of them without `Range` where that is useless, or refused.
    ///
    /// # Errors
    /// A refusal, a failure of the transport, [`Error::WrongSize`].
    pub(super) fn open(&self, from: u64, to: u64) -> Result<Opened> {
        let mut refused: Option<Arc<Get>> = None;
        loop {
            let get = self.get(refused.as_ref())?;
            let is_part = self.ranges() != Ranges::No;
            let error = match self.open_with(&get, (from, to), is_part) {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            match error {
                Error::Unauthorized { .. } | Error::Forbidden { .. } | Error::Status { status: 400, .. }
                    if refused.is_none() =>
                {
                    refused = Some(get);
                }
                // Some take a range that they do not serve for a wrong request, or for one that was not signed.
                Error::Forbidden { .. } | Error::Status { status: 400 | 501, .. } if is_part => {
                    return self.open_with(&get, (from, to), false).map_err(|error| self.served(error));
                }
                error => return Err(self.served(error)),
            }
        }
    }

    /// What a storage says of objects that it does not give whole.
    fn served(&self, error: Error) -> Error {
        match error {
            Error::Status { url, status: 400, said, .. } if self.pointer.size > HUGE => {
                Error::Huge { url, said }
            }
            error => error,
        }
    }

    fn open_with(&self, get: &Get, (from, to): (u64, u64), is_part: bool) -> Result<Opened> {
        let mut ask = Ask { hops: CONTENT_HOPS, ..self.server.to_action(get) };
        if is_part {
            ask = ask.plain(header::RANGE, range(from, to));
        }
        let response = self.server.auth.send(&ask)?;
        if matches!(response.status, 200 | 206) && response.encoding() == Encoding::Unknown {
            let (url, source) = (response.url, BadAnswer::Encoded);
            return Err(Error::BadAnswer { url, interface: "Git LFS server", source });
        }
        let opened = match response.status {
            // A part of something else than the object.
            206 if response.encoding() != Encoding::None => Opened::Unplaced,
            200 | 206 => judge(response, from, to, self.pointer.size).map_err(|got| self.wrong_size(got))?,
            416 => Opened::Unplaced,
            201..300 => {
                let (url, source) = (response.url.clone(), BadAnswer::NoAction(self.pointer.oid));
                return Err(Error::BadAnswer { url, interface: "Git LFS server", source });
            }
            _ => return Err(refusal(self.wire(), response, None)),
        };
        self.learn(match opened {
            Opened::Part(..) => Ranges::Yes,
            Opened::Whole(_) | Opened::Unplaced => Ranges::No,
        });
        Ok(opened)
    }

    /// As [`Object::open`], where nothing but a part is of use.
    ///
    /// # Errors
    /// [`Error::NoRanges`]
    pub(super) fn open_part(&self, from: u64, to: u64) -> Result<(BodyReader, u64)> {
        match self.open(from, to)? {
            Opened::Part(reader, len) => Ok((reader, len)),
            Opened::Whole(_) | Opened::Unplaced => Err(self.no_ranges()),
        }
    }

    /// Whom it is asked from, for messages.
    pub(super) fn no_ranges(&self) -> Error {
        Error::NoRanges { server: self.server.endpoint.to_string() }
    }

    pub(super) fn wrong_size(&self, got: u64) -> Error {
        Error::WrongSize { oid: self.pointer.oid, expected: self.pointer.size, got }
    }
}

impl Parts for &Object<'_> {
    fn part(&self, from: u64, to: u64) -> Result<(BodyReader, u64)> {
        self.open_part(from, to)
    }
}

/// Opens an object of another repository.
pub(super) fn open_file(path: &std::path::Path) -> Result<FileSource> {
    let opened = File::open(path).and_then(FileSource::new);
    opened.map_err(|source| Error::Io { action: "open an object of the other repository", source })
}
