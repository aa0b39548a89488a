//! [`Object`] is one LFS object on a server; it renews its action when needed.
//!
//! Source: `tq/basic_download.go` of Git LFS. Invariants: an action that has expired, or that is refused (401, 403), is
//! requested once more before that is an error; bytes are accepted only from a response that matches the object's size.
//! The module does not hash: `download` does, and so must every caller of [`Object::stream`] or [`Object::ranged`].

use std::fs::File;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
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

/// The Hub's storage does not send longer objects as a whole; it responds with 400.
const HUGE: u64 = 400_000_000_000;

/// How often a range is requested again after a status that usually passes, before the whole object is requested once.
const PASSING: u32 = 3;

/// One LFS object at its remote location.
pub struct Object<'a> {
    server: &'a LfsServer<'a>,
    pub(super) pointer: Pointer,
    found: Mutex<Option<ObjectAt>>,
    ranges: AtomicU8,
    /// How many refusals that usually pass came before the first bytes.
    passed: AtomicU32,
    /// Receives how many more bytes of a stream arrived.
    came: Option<&'a (dyn Fn(u64) + Sync)>,
    /// How many bytes were reported so far.
    told: AtomicU64,
}

/// Whether the server serves ranges of this object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranges {
    Unknown,
    Yes,
    No,
}

impl<'a> Object<'a> {
    /// Creates an object whose location was not requested yet.
    pub fn new(server: &'a LfsServer<'a>, pointer: Pointer) -> Self {
        let (found, ranges, passed) = (Mutex::default(), AtomicU8::new(0), AtomicU32::new(0));
        Self { server, pointer, found, ranges, passed, came: None, told: AtomicU64::new(0) }
    }

    /// Reports the bytes of a stream as they arrive, each once, before they are passed on: on any thread, and in any
    /// order.
    #[must_use]
    pub fn telling(self, came: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self { came: Some(came), ..self }
    }

    /// Starts the report of a stream.
    pub(super) fn begin(&self) {
        self.told.store(0, Ordering::Relaxed);
    }

    /// Reports more bytes of a stream.
    pub(super) fn came(&self, bytes: u64) {
        self.told.fetch_add(bytes, Ordering::Relaxed);
        if let Some(came) = self.came {
            came(bytes);
        }
    }

    /// Reports that a stream has this many bytes; earlier ones were reported before.
    pub(super) fn came_to(&self, bytes: u64) {
        let told = self.told.load(Ordering::Relaxed);
        if let Some(more) = bytes.checked_sub(told).filter(|more| *more > 0) {
            self.came(more);
        }
    }

    /// Creates an object with the action that [`LfsServer::locate`] returned for it.
    #[must_use]
    pub fn with_action(self, action: Action) -> Self {
        Self { found: Mutex::new(Some(action.0)), ..self }
    }

    /// Reads it by ranges; `None` if the server sends it only as a whole.
    ///
    /// # Errors
    /// The reason why its first bytes are not available.
    pub fn ranged(&self) -> Result<Option<Ranged<'_>>> {
        self.wire().watched(|| {
            match self.at()? {
                ObjectAt::File(path) => return Ok(Some(Ranged::of_file(open_file(&path)?))),
                // These transfers deliver only whole objects.
                ObjectAt::Agent(_) | ObjectAt::Ssh(_) => return Ok(None),
                ObjectAt::Server(_) => {}
            }
            Ranged::of_parts(self.wire(), Box::new(self), self.pointer.size)
        })
    }

    /// Returns its location.
    pub(super) fn at(&self) -> Result<ObjectAt> {
        self.location(None)
    }

    /// Downloads it over ssh.
    ///
    /// # Errors
    /// As [`Link::get`](super::ssh_link::Link::get).
    pub(super) fn over_ssh(&self, at: &OverSsh, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let far = self.server.far().ok_or_else(|| self.no_ranges())?;
        let got = self
            .server
            .links
            .with(far, Operation::Download, |link| link.get(self.wire(), (self.pointer, at), each));
        // The server supported this protocol when it was asked for the location.
        got?.ok_or_else(|| self.no_ranges())
    }

    /// Lets a transfer agent download it.
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

    /// Returns its location. It requests an expired one again, and `refused` too.
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

    /// Requests the bytes from `from` up to `to`; all of them without `Range` if a range is useless, or refused.
    ///
    /// # Errors
    /// A refusal, an error of the transport, [`Error::WrongSize`].
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
                // Some servers treat an unsupported range as a malformed request, or as one that was not signed.
                Error::Forbidden { .. } | Error::Status { status: 400 | 501, .. } if is_part => {
                    return self.open_with(&get, (from, to), false).map_err(|error| self.served(error));
                }
                // Others refuse it with any status.
                error if is_part && self.may_be_for_range(&error) => {
                    return self.open_with(&get, (from, to), false).map_err(|error| self.served(error));
                }
                error => return Err(self.served(error)),
            }
        }
    }

    /// Returns `true` if a server that sent nothing of the object yet may have refused only the range. A status that
    /// usually passes must have come several times, because a server of ranges is worth some retries.
    fn may_be_for_range(&self, error: &Error) -> bool {
        if self.ranges() != Ranges::Unknown || !error.is_of_request() {
            return false;
        }
        let most = self.wire().settings.patience().retries.min(PASSING);
        !error.is_passing() || self.passed.fetch_add(1, Ordering::Relaxed) == most
    }

    /// Converts the error of a storage for objects that it does not send as a whole.
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
        if matches!(response.status, 200 | 203 | 206) && response.encoding() == Encoding::Unknown {
            let (url, source) = (response.url, BadAnswer::Encoded);
            return Err(Error::BadAnswer { url, interface: "Git LFS server", source });
        }
        let opened = match response.status {
            // A range of something other than the object.
            206 if response.encoding() != Encoding::None => Opened::Unplaced,
            // A proxy that changed something: the hash decides.
            200 | 203 | 206 => {
                judge(response, from, to, self.pointer.size).map_err(|got| self.wrong_size(got))?
            }
            416 => Opened::Unplaced,
            201..300 => {
                let (url, source) = (response.url.clone(), BadAnswer::Status(response.status));
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

    /// As [`Object::open`], if only a range is useful.
    ///
    /// # Errors
    /// [`Error::NoRanges`]
    pub(super) fn open_part(&self, from: u64, to: u64) -> Result<(BodyReader, u64)> {
        match self.open(from, to)? {
            Opened::Part(reader, len) => Ok((reader, len)),
            Opened::Whole(_) | Opened::Unplaced => Err(self.no_ranges()),
        }
    }

    /// Returns an error that names the server.
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
