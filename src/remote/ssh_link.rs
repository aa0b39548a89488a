//! [`Link`] implements the pure ssh protocol of Git LFS: it locates, downloads and uploads objects over one ssh
//! connection.
//!
//! ```text
//! ssh [-p PORT] [USER@]HOST "git-lfs-transfer PATH download|upload"
//! ◀─ version=1 …                                              ─▶ version 1         ◀─ status 200
//! ─▶ batch, transfer=ssh, hash-algo=sha256, refname=… | OID SIZE …
//!                               ◀─ status 200, hash-algo=… | OID SIZE download|upload|noop [id=…] [token=…] …
//! ─▶ get-object OID, size=…, id=…, token=…                    ◀─ status 200, size=… | data
//! ─▶ put-object OID, size=…, id=…, token=… | data             ◀─ status 200
//! ─▶ verify-object OID, size=…, id=…, token=…                 ◀─ status 200
//! ─▶ quit                                                     ◀─ status 200
//! ```
//!
//! Source: `docs/proposals/ssh_adapter.md`, `tq/ssh.go`, `ssh/protocol.go` and `lfsapi/lfsapi.go` of Git LFS.
//! Invariants: a response is used only for the requested object and its size; the number of lines of a response is
//! bounded; a link is not used again after an error on it. The module does not hash: the caller does.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Instant;

use super::action::OverSsh;
use super::cause::{BadAnswer, Said, Transport};
use super::error::{Error, Result};
use super::operation::Operation;
use super::pktline::{Lost, MAX_DATA, PACKETS, Packet, Packets, data, delim, flush, line};
use super::refusal::kept;
use super::ssh::Ssh;
use super::url::Url;
use super::wire::Wire;
use crate::git::{self, Git};
use crate::lfs::Pointer;

/// The most lines of a response, in addition to those of the objects.
const MAX_LINES: usize = 1000;

const SERVER: &str = "Git LFS server";

/// The other end of a link.
#[derive(Clone, Copy)]
pub(super) struct Far<'f> {
    pub(super) wire: &'f Wire<'f>,
    pub(super) git: Option<&'f Git<'f>>,
    pub(super) ssh: &'f Ssh,
    pub(super) guess: &'f Url,
}

/// A connection.
pub(super) struct Link {
    packets: Packets,
    guess: Url,
    is_broken: bool,
}

/// The head of a response.
struct Status {
    code: u16,
    arguments: Vec<String>,
    /// `true` if more follows.
    goes_on: bool,
}

impl Link {
    /// Opens a link.
    ///
    /// # Errors
    /// The reason why it cannot be opened; servers without the protocol report that in different ways.
    pub(super) fn open(far: Far<'_>, operation: Operation) -> Result<Self> {
        let git = far.git.ok_or(git::Error::NotInstalled)?;
        let command = format!("git-lfs-transfer {} {operation}", far.ssh.quoted_path());
        let pipe = git::ssh::open(git, &far.ssh.destination(), &command)?;
        let mut link = Self { packets: Packets::new(pipe), guess: far.guess.clone(), is_broken: false };
        match link.begin(far.wire) {
            Ok(()) => Ok(link),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(Error::Cut { .. }) => Err(link.packets.pipe.failure("ssh").into()),
            Err(error) => Err(error),
        }
    }

    fn begin(&mut self, wire: &Wire<'_>) -> Result<()> {
        let mut speaks = false;
        for _ in 0..MAX_LINES {
            match self.read(wire)? {
                Packet::Flush => {
                    if !speaks {
                        return Err(self.bad(BadAnswer::Packet));
                    }
                    let mut version = Vec::new();
                    line(&mut version, "version 1");
                    flush(&mut version);
                    self.send(wire, version)?;
                    self.settle(wire, Self::refused)?;
                    self.packets.opened();
                    return Ok(());
                }
                Packet::Delim => {}
                Packet::Data(text) => speaks |= text.trim_ascii_end() == b"version=1",
            }
        }
        Err(self.bad(BadAnswer::Packet))
    }

    /// Requests the locations of objects; `None` for an object without work to do.
    ///
    /// # Errors
    /// The reason why the request has no response.
    pub(super) fn batch(
        &mut self,
        wire: &Wire<'_>,
        (operation, reference): (Operation, Option<&str>),
        pointers: &[Pointer],
    ) -> Result<Vec<Option<OverSsh>>> {
        let mut question = Vec::new();
        line(&mut question, "batch");
        line(&mut question, "transfer=ssh");
        line(&mut question, "hash-algo=sha256");
        if let Some(name) = reference {
            line(&mut question, &format!("refname={name}"));
        }
        delim(&mut question);
        for Pointer { oid, size } in pointers {
            line(&mut question, &format!("{oid} {size}"));
        }
        flush(&mut question);
        let asked = Instant::now();
        self.send(wire, question)?;
        let status = self.status(wire)?;
        let lines = self.lines(wire, &status, pointers.len().saturating_mul(4))?;
        if status.code != 200 {
            return Err(self.refused(wire, status.code, lines.first()));
        }
        let algorithm = status.arguments.iter().find_map(|line| line.strip_prefix("hash-algo="));
        if algorithm.is_some_and(|name| name != "sha256") {
            return Err(self.bad(BadAnswer::HashAlgo));
        }
        let mut found: HashMap<&str, (u64, Option<OverSsh>)> = HashMap::new();
        let wanted = operation.to_string();
        for text in &lines {
            let mut words = text.split(' ');
            let (Some(oid), Some(size), Some(action)) = (words.next(), words.next(), words.next()) else {
                return Err(self.bad(BadAnswer::Packet));
            };
            let size = size.parse().map_err(|_| self.bad(BadAnswer::Packet))?;
            let entry = found.entry(oid).or_insert((size, None));
            if action == wanted {
                *entry = (size, Some(OverSsh::of(wire, words, asked)));
            }
        }
        let answered = pointers.iter().map(|pointer| match found.remove(pointer.oid.to_string().as_str()) {
            Some((size, at)) if size == pointer.size || at.is_none() => Ok(at),
            Some((got, _)) => Err(Error::WrongSize { oid: pointer.oid, expected: pointer.size, got }),
            None => Err(self.bad(BadAnswer::Missing(pointer.oid))),
        });
        answered.collect()
    }

    /// Downloads an object, and passes on its bytes in order.
    ///
    /// # Errors
    /// [`Error::Object`], [`Error::WrongSize`], [`Error::Cut`], an error of `each`.
    pub(super) fn get(
        &mut self,
        wire: &Wire<'_>,
        (pointer, at): (Pointer, &OverSsh),
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.send(wire, request("get-object", pointer, at, flush))?;
        let status = self.status(wire)?;
        if status.code != 200 {
            let lines = self.lines(wire, &status, 0)?;
            let said = lines.first().and_then(|text| kept(wire, text));
            return Err(Error::Object { oid: pointer.oid, code: i64::from(status.code), said });
        }
        let size = status.arguments.iter().find_map(|line| line.strip_prefix("size=")?.parse::<u64>().ok());
        let wrong = |got| Error::WrongSize { oid: pointer.oid, expected: pointer.size, got };
        // Until all of it is read, the link is in the middle of a response.
        self.is_broken = true;
        if size.is_some_and(|size| size != pointer.size) {
            return Err(wrong(size.unwrap_or(0)));
        }
        let got = if status.goes_on { self.data(wire, pointer, each)? } else { 0 };
        if got != pointer.size {
            return Err(wrong(got));
        }
        self.is_broken = false;
        Ok(())
    }

    /// Passes on the data that follows, and returns its length.
    fn data(
        &mut self,
        wire: &Wire<'_>,
        Pointer { oid, size }: Pointer,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut got = 0_u64;
        loop {
            match self.read(wire)? {
                Packet::Flush => return Ok(got),
                Packet::Delim => return Err(self.bad(BadAnswer::Packet)),
                Packet::Data(bytes) => {
                    got = got.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                    if got > size {
                        return Err(Error::WrongSize { oid, expected: size, got });
                    }
                    each(&bytes)?;
                }
            }
        }
    }

    /// Uploads the object in a file, and lets the server verify it.
    ///
    /// # Errors
    /// [`Error::NotTaken`], [`Error::MayNotWrite`], [`Error::Cut`], [`Error::Io`] for the file.
    pub(super) fn put(
        &mut self,
        wire: &Wire<'_>,
        (pointer, at): (Pointer, &OverSsh),
        file: &Path,
        tell: &dyn Fn(u64),
    ) -> Result<()> {
        let failed = |source: io::Error| Error::Io { action: "read the object that is sent", source };
        let mut file = File::open(file).map_err(failed)?;
        self.is_broken = true;
        self.send(wire, request("put-object", pointer, at, delim))?;
        let (mut buffer, mut sent) = (vec![0; MAX_DATA.saturating_mul(PACKETS)], 0_u64);
        let mut takes = true;
        while takes {
            let read = file.read(&mut buffer).map_err(failed)?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            let mut packets = Vec::new();
            bytes.chunks(MAX_DATA).for_each(|piece| data(&mut packets, piece));
            takes = self.send(wire, packets)?;
            sent = sent.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            tell(sent);
        }
        let mut end = Vec::new();
        flush(&mut end);
        self.send(wire, end)?;
        let not_taken = |link: &Self, wire: &Wire<'_>, code: u16, said: Option<&String>| match code {
            401 | 403 => super::refusal::for_writing(link.refused(wire, code, said)),
            _ => {
                let said = said.and_then(|text| kept(wire, text));
                Error::NotTaken { oid: pointer.oid, code: i64::from(code), said }
            }
        };
        self.settle(wire, not_taken)?;
        if !takes {
            return Err(self.lost(wire, &Lost::End));
        }
        self.is_broken = false;
        self.send(wire, request("verify-object", pointer, at, flush))?;
        self.settle(wire, not_taken)
    }

    /// Returns `true` if it cannot be used any more.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Closes it.
    pub(super) fn quit(self) {
        let mut quit = Vec::new();
        line(&mut quit, "quit");
        flush(&mut quit);
        if !self.is_broken && self.packets.pipe.send(quit, &|| true) {
            self.packets.pipe.end();
        }
    }

    /// Reads a response of which only the status matters.
    fn settle(
        &mut self,
        wire: &Wire<'_>,
        refused: impl Fn(&Self, &Wire<'_>, u16, Option<&String>) -> Error,
    ) -> Result<()> {
        let status = self.status(wire)?;
        let lines = self.lines(wire, &status, 0)?;
        if (200..300).contains(&status.code) {
            return Ok(());
        }
        Err(refused(self, wire, status.code, lines.first()))
    }

    /// Reads a response up to the data after its arguments, or to its end.
    fn status(&mut self, wire: &Wire<'_>) -> Result<Status> {
        let mut code = None;
        let mut arguments = Vec::new();
        for _ in 0..MAX_LINES {
            let packet = self.read(wire)?;
            match (packet, code) {
                (Packet::Data(text), None) => {
                    let text = String::from_utf8_lossy(text.trim_ascii_end()).into_owned();
                    let number = text.strip_prefix("status ").and_then(|number| number.parse().ok());
                    code = Some(number.ok_or_else(|| self.bad(BadAnswer::Packet))?);
                }
                (Packet::Data(text), Some(_)) => {
                    arguments.push(String::from_utf8_lossy(text.trim_ascii_end()).into_owned());
                }
                (end, Some(code)) => return Ok(Status { code, arguments, goes_on: end == Packet::Delim }),
                (_, None) => break,
            }
        }
        Err(self.bad(BadAnswer::Packet))
    }

    /// Reads the lines that follow, to the end of the response.
    fn lines(&mut self, wire: &Wire<'_>, status: &Status, most: usize) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        if !status.goes_on {
            return Ok(lines);
        }
        loop {
            match self.read(wire)? {
                Packet::Flush => return Ok(lines),
                Packet::Data(text) if lines.len() < most.saturating_add(MAX_LINES) => {
                    lines.push(String::from_utf8_lossy(text.trim_ascii_end()).into_owned());
                }
                _ => return Err(self.bad(BadAnswer::Packet)),
            }
        }
    }

    fn read(&mut self, wire: &Wire<'_>) -> Result<Packet> {
        self.packets.read(wire).map_err(|lost| self.lost(wire, &lost))
    }

    /// Returns `false` if the server has closed its input; its next output contains the reason.
    fn send(&mut self, wire: &Wire<'_>, bytes: Vec<u8>) -> Result<bool> {
        self.packets.send(wire, bytes).map_err(|lost| self.lost(wire, &lost))
    }

    fn lost(&mut self, wire: &Wire<'_>, lost: &Lost) -> Error {
        self.is_broken = true;
        let origin = self.guess.origin().clone();
        match lost {
            Lost::Interrupted => Error::Interrupted,
            Lost::Silent => Error::TimedOut { origin },
            Lost::NoPacket => self.bad(BadAnswer::Packet),
            Lost::End => {
                let words = self.packets.pipe.words().0;
                let end = words.lines().last().and_then(|text| kept(wire, text));
                let said = end.map_or_else(|| "ssh ended".to_owned(), |Said(text)| text);
                Error::Cut { origin, source: Transport(said) }
            }
        }
    }

    fn bad(&self, source: BadAnswer) -> Error {
        Error::BadAnswer { url: self.guess.clone(), interface: SERVER, source }
    }

    /// Returns the error for a status that does not concern an object.
    fn refused(&self, wire: &Wire<'_>, code: u16, said: Option<&String>) -> Error {
        let (url, said) = (self.guess.clone(), said.and_then(|text| kept(wire, text)));
        match code {
            401 => Error::Unauthorized { url, rejected: None, said },
            403 => Error::Forbidden { url, said },
            404 => Error::NotFound { url, said },
            429 => Error::RateLimited { origin: url.origin().clone(), after: None },
            status => Error::Status { url, status, after: None, said },
        }
    }
}

/// Returns a request for an object, with the arguments that the server gave for it.
fn request(command: &str, pointer: Pointer, at: &OverSsh, end: fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = Vec::new();
    line(&mut message, &format!("{command} {}", pointer.oid));
    line(&mut message, &format!("size={}", pointer.size));
    for (name, value) in &at.arguments {
        line(&mut message, &format!("{name}={}", value.expose()));
    }
    end(&mut message);
    message
}
