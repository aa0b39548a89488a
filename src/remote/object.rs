//! [`Object`]: one LFS object on a server, whatever its action does meanwhile.
//!
//! Source: `tq/basic_download.go` of Git LFS. Invariants: an action that is over, or that is refused (401, 403), is asked
//! for once more before that is an error; bytes are taken only from an answer that fits the object's size. It does not
//! hash: [`Object::to_store`] does, and so has whoever reads by [`Object::stream`] or [`Object::ranged`].

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use ureq::http::header;

use super::batch::{self, Action, Get, Operation, Source};
use super::cause::BadAnswer;
use super::client::Client;
use super::endpoint::Endpoint;
use super::error::{Error, Result};
use super::known::lock;
use super::message::BodyReader;
use super::parts::{Opened, Parts, judge, range};
use super::ranged::Ranged;
use super::redirect::{Ask, CONTENT_HOPS};
use super::refusal::refusal;
use crate::lfs::Pointer;
use crate::read_at::FileSource;

/// One LFS object where its remote has it.
pub struct Object<'a> {
    pub(super) client: &'a Client<'a>,
    endpoint: &'a Endpoint,
    pub(super) pointer: Pointer,
    reference: Option<&'a str>,
    source: Mutex<Option<Source>>,
    ranges: AtomicU8,
}

/// Does the server serve parts of this object?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranges {
    Unknown,
    Yes,
    No,
}

impl<'a> Object<'a> {
    /// An object that was not asked for yet. `reference` is the full name of the branch that it is for, if there is one.
    pub fn new(
        client: &'a Client<'a>,
        endpoint: &'a Endpoint,
        pointer: Pointer,
        reference: Option<&'a str>,
    ) -> Self {
        let (source, ranges) = (Mutex::default(), AtomicU8::new(0));
        Self { client, endpoint, pointer, reference, source, ranges }
    }

    /// An object with the action that [`batch::batch`] gave for it.
    #[must_use]
    pub fn with_action(self, action: Action) -> Self {
        Self { source: Mutex::new(Some(action.0)), ..self }
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
        self.client.wire.watched(|| {
            if let Some(path) = self.file()? {
                return Ok(Some(Ranged::of_file(open_file(&path)?)));
            }
            Ranged::of_parts(self.client, Box::new(self), self.pointer.size)
        })
    }

    /// The file, if it is in a repository on this machine.
    pub(super) fn file(&self) -> Result<Option<PathBuf>> {
        match self.source(None)? {
            Source::File(path) => Ok(Some(path)),
            Source::Server(_) => Ok(None),
        }
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
    fn source(&self, refused: Option<&Arc<Get>>) -> Result<Source> {
        // Held while it is asked, so that several connections ask once.
        let mut known = lock(&self.source);
        match known.as_ref() {
            Some(Source::Server(get))
                if get.is_over() || refused.is_some_and(|refused| Arc::ptr_eq(refused, get)) => {}
            Some(source) => return Ok(source.clone()),
            None => {}
        }
        let answers =
            batch::ask(self.client, self.endpoint, Operation::Download, &[self.pointer], self.reference)?;
        let answer = answers
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(Error::NoEndpoint { remote: self.endpoint.to_string() }));
        Ok(known.insert(answer?.0).clone())
    }

    fn get(&self, refused: Option<&Arc<Get>>) -> Result<Arc<Get>> {
        match self.source(refused)? {
            Source::Server(get) => Ok(get),
            Source::File(path) => Err(Error::NotThere { oid: self.pointer.oid, path }),
        }
    }

    /// Asks for the bytes from `from` up to `to`; all of them without `Range` where that is useless.
    ///
    /// # Errors
    /// A refusal, a failure of the transport, [`Error::WrongSize`].
    pub(super) fn open(&self, from: u64, to: u64) -> Result<Opened> {
        let mut refused: Option<Arc<Get>> = None;
        loop {
            let get = self.get(refused.as_ref())?;
            let result = self.open_with(&get, from, to);
            match result {
                Err(Error::Unauthorized { .. } | Error::Forbidden { .. }) if refused.is_none() => {
                    refused = Some(get);
                }
                result => return result,
            }
        }
    }

    fn open_with(&self, get: &Get, from: u64, to: u64) -> Result<Opened> {
        let is_beside = self.endpoint.origin() == Some(get.url.origin());
        let mut ask = Ask {
            own: get.lines.clone(),
            home: self.endpoint.home.as_ref(),
            login: self.endpoint.login.as_ref().filter(|_| is_beside),
            credential_path: self.endpoint.credential_path.as_deref(),
            may_log_in: is_beside && !get.is_authenticated,
            hops: CONTENT_HOPS,
            ..Ask::get(get.url.clone())
        };
        if self.ranges() != Ranges::No {
            ask = ask.plain(header::RANGE, range(from, to));
        }
        let response = self.client.send(&ask)?;
        if matches!(response.status, 200 | 206) && response.is_encoded() {
            let (url, source) = (response.url, BadAnswer::Encoded);
            return Err(Error::BadAnswer { url, interface: "Git LFS server", source });
        }
        let opened = match response.status {
            200 | 206 => judge(response, from, to, self.pointer.size).map_err(|got| self.wrong_size(got))?,
            416 => Opened::Unplaced,
            201..300 => {
                let (url, source) = (response.url.clone(), BadAnswer::NoAction(self.pointer.oid));
                return Err(Error::BadAnswer { url, interface: "Git LFS server", source });
            }
            _ => return Err(refusal(&self.client.wire, response, None)),
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
        Error::NoRanges { server: self.endpoint.to_string() }
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
