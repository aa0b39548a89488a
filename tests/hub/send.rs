//! Sends a response: the head, then the body in pieces, at the rate and with the faults that apply.
//!
//! Invariant: memory does not grow with the body; each piece is in the log before the client can have read it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::thread;

use super::fault::Fault;
use super::http::{Answer, Payload, reason};
use super::log::Record;
use super::throttle::{Throttle, time_of};

/// How many bytes are read and sent at once.
const PIECE: usize = 256 << 10;

/// The result of sending.
#[derive(PartialEq, Eq, Clone, Copy)]
pub(super) enum Sent {
    /// The connection can be used again.
    Whole,
    /// The connection must be closed.
    Broken,
    /// Nothing more is sent, and the hub does not close the connection.
    Stalled,
}

/// Changes a response by the faults.
pub(super) fn change(mut answer: Answer, faults: &[Fault]) -> Answer {
    for fault in faults {
        match (fault, &mut answer.payload) {
            (Fault::ContentRange(value), _) => {
                answer.headers.remove("Content-Range");
                answer = answer.header("Content-Range", value);
            }
            (Fault::Header(name, value), _) => {
                answer.headers.remove(name);
                answer = answer.header(name, value);
            }
            (Fault::Json(edit), Payload::Bytes(bytes)) => {
                let mut value = serde_json::from_slice(bytes).unwrap();
                edit(&mut value);
                *bytes = value.to_string().into();
            }
            (Fault::Gzip, Payload::Bytes(bytes)) => {
                *bytes = gzip(&mut bytes.as_slice());
                answer = answer.header("Content-Encoding", "gzip");
            }
            (Fault::Gzip, Payload::Object(file, range)) => {
                file.seek(SeekFrom::Start(range.start)).unwrap();
                answer.payload = Payload::Bytes(gzip(&mut file.take(range.end - range.start)));
                answer = answer.header("Content-Encoding", "gzip");
            }
            (Fault::Truncated, Payload::Bytes(bytes)) => bytes.truncate(bytes.len() / 2),
            (Fault::Truncated, Payload::Object(_, range)) => range.end -= (range.end - range.start) / 2,
            _ => {}
        }
    }
    answer
}

fn gzip(bytes: &mut dyn Read) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::copy(bytes, &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// The rest of a body on its way to the client.
pub(super) struct Way<'a> {
    pub(super) out: &'a mut TcpStream,
    pub(super) record: &'a Record<'a>,
    pub(super) faults: &'a [Fault],
    pub(super) throttle: &'a Throttle,
    /// `true` for a response to `HEAD`, which has no body.
    pub(super) headless: bool,
}

impl Way<'_> {
    pub(super) fn send(&mut self, answer: Answer) -> io::Result<Sent> {
        for fault in self.faults {
            match fault {
                Fault::Lose => return finish(answer).map(|()| Sent::Broken),
                Fault::Hang => return finish(answer).map(|()| Sent::Stalled),
                _ => {}
            }
        }
        let chunked = self.faults.iter().any(|fault| matches!(fault, Fault::Chunked));
        let length = match &answer.payload {
            _ if chunked => None,
            Payload::Bytes(bytes) => Some(bytes.len() as u64),
            Payload::Object(_, range) => Some(range.end - range.start),
            Payload::Stream(_) => None,
        };
        let lie = self.faults.iter().find_map(|fault| match fault {
            Fault::Length(by) => Some(*by),
            _ => None,
        });
        let range = match &answer.payload {
            Payload::Object(_, range) => Some(range.clone()),
            _ => None,
        };
        self.record.note(|seen| {
            seen.status = answer.status;
            seen.range.clone_from(&range);
        });
        self.out.write_all(head(&answer, length, lie.unwrap_or(0)).as_bytes())?;
        if self.headless {
            return Ok(Sent::Whole);
        }
        let sent = match answer.payload {
            Payload::Bytes(bytes) => self.body(&mut bytes.as_slice(), 0, false, chunked)?,
            Payload::Object(file, range) => self.object(file, &range, chunked)?,
            Payload::Stream(mut stream) => self.body(&mut stream, 0, false, true)?,
        };
        Ok(if lie.is_some() { Sent::Broken } else { sent })
    }

    fn object(&mut self, mut file: File, range: &Range<u64>, chunked: bool) -> io::Result<Sent> {
        file.seek(SeekFrom::Start(range.start))?;
        self.body(&mut file.take(range.end - range.start), range.start, true, chunked)
    }

    /// Sends all bytes of a stream; `start` is the offset of the first byte in the object.
    fn body(
        &mut self,
        source: &mut dyn Read,
        start: u64,
        throttled: bool,
        chunked: bool,
    ) -> io::Result<Sent> {
        let mut buffer = vec![0; PIECE];
        let mut sent = 0;
        loop {
            let (most, end) = self.room(sent);
            let count = source.read(&mut buffer[..most])?;
            if count == 0 && most == 0 {
                return Ok(end);
            }
            self.spoil(&mut buffer[..count], start + sent);
            if throttled {
                self.throttle.wait(count);
            }
            self.record.note(|seen| seen.sent += count as u64);
            if chunked {
                // The empty chunk is the last one.
                let size = format!("{count:x}\r\n");
                self.out.write_all(&[size.as_bytes(), &buffer[..count], b"\r\n"].concat())?;
            } else {
                self.out.write_all(&buffer[..count])?;
            }
            if count == 0 {
                return Ok(Sent::Whole);
            }
            sent += count as u64;
        }
    }

    /// Returns how many bytes may be sent at once after `sent` bytes, and the result if that is 0.
    fn room(&self, sent: u64) -> (usize, Sent) {
        let mut room = (PIECE, Sent::Whole);
        for fault in self.faults {
            let (limit, end) = match fault {
                Fault::Cut(limit) => (limit.saturating_sub(sent), Sent::Broken),
                Fault::Stall(limit) => (limit.saturating_sub(sent), Sent::Stalled),
                // The bytes of a twentieth of a second, so that the rate is even.
                Fault::Slow(rate) => ((rate / 20).max(1), Sent::Whole),
                _ => continue,
            };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            if limit < room.0 {
                room = (limit, end);
            }
        }
        room
    }

    /// Changes and delays a piece that begins at `offset`.
    fn spoil(&self, piece: &mut [u8], offset: u64) {
        for fault in self.faults {
            match fault {
                Fault::WrongByte(at) => {
                    let index = at.checked_sub(offset).and_then(|index| usize::try_from(index).ok());
                    if let Some(byte) = index.and_then(|index| piece.get_mut(index)) {
                        *byte = !*byte;
                    }
                }
                Fault::Slow(rate) => thread::sleep(time_of(piece.len(), *rate)),
                _ => {}
            }
        }
    }
}

/// Lets a program finish its request, though its output is discarded.
fn finish(answer: Answer) -> io::Result<()> {
    if let Payload::Stream(mut stream) = answer.payload {
        io::copy(&mut stream, &mut io::sink())?;
    }
    Ok(())
}

fn head(answer: &Answer, length: Option<u64>, lie: i64) -> String {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers.0 {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    match length.map(|length| length.saturating_add_signed(lie)) {
        Some(length) => write!(head, "Content-Length: {length}\r\n").unwrap(),
        None => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    head
}
