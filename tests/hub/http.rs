//! Reads and writes HTTP/1.1 as a server: the head and body of a request, a response, percent and base64 encoding.
//!
//! Invariant: a body that a handler did not read is drained before the next request is read, so that an early refusal
//! does not cost the connection. The module knows no routes, faults or log.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::ops::Range;

use serde_json::Value;

/// The longest head a client may send.
const HEAD_LIMIT: u64 = 64 << 10;

/// The headers of a message, in their order and spelling.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }
}

/// The head of a request.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) method: String,
    /// Path and query, as sent.
    pub(super) target: String,
    pub(super) headers: Headers,
}

impl Head {
    /// Reads a head; `None` at the end of the connection.
    pub(super) fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut lines = stream.by_ref().take(HEAD_LIMIT);
        let Some(first) = line(&mut lines)? else { return Ok(None) };
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0")) =
            (words.next(), words.next(), words.next())
        else {
            return Err(io::Error::other(format!("not a request: {first:?}")));
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut headers = Headers::default();
        loop {
            let Some(text) = line(&mut lines)? else { return Ok(None) };
            if text.is_empty() {
                return Ok(Some(Self { method, target, headers }));
            }
            let Some((name, value)) = text.split_once(':') else {
                return Err(io::Error::other(format!("not a header: {text:?}")));
            };
            headers.0.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn raw_query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Returns the first value of a key of the query.
    pub(super) fn query(&self, key: &str) -> Option<String> {
        let mut pairs = self.raw_query().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| decode(&value.replace('+', " ")))
    }

    /// Returns the requested range of a content of `length`: `None` for all of it, an error if it is outside.
    pub(super) fn range(&self, length: u64) -> Result<Option<Range<u64>>, ()> {
        // A server may ignore several ranges and other units.
        let Some(spec) = self.header("Range").and_then(|value| value.strip_prefix("bytes=")) else {
            return Ok(None);
        };
        let Some((first, last)) = spec.split_once('-') else { return Ok(None) };
        let range = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
            (Ok(first), _) if last.is_empty() => first..length,
            (_, Ok(count)) if first.is_empty() => length.saturating_sub(count)..length,
            _ => return Ok(None),
        };
        if range.start < range.end { Ok(Some(range)) } else { Err(()) }
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    stream.read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map(Some).map_err(io::Error::other)
}

/// The rest of a body.
enum Rest {
    Bytes(u64),
    /// The rest of this chunk; if it is 0, the size line of the next chunk is unread.
    Chunk(u64),
    End,
}

/// The body of a request, decoded.
pub(super) struct Body<'a> {
    stream: &'a mut BufReader<TcpStream>,
    rest: Rest,
    /// `true` if the client waits for `100 Continue` before it sends.
    expects: Cell<bool>,
}

impl<'a> Body<'a> {
    pub(super) fn of(head: &Head, stream: &'a mut BufReader<TcpStream>) -> Self {
        let chunked = head.header("Transfer-Encoding").is_some_and(|value| value.contains("chunked"));
        let length = head.header("Content-Length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let rest = if chunked { Rest::Chunk(0) } else { Rest::Bytes(length) };
        let expects = head.header("Expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        Self { stream, rest, expects: Cell::new(expects) }
    }

    /// Reads the whole body; the JSON of a hub and the wants of a fetch are small.
    pub(super) fn all(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(64 << 20).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads what the handler did not read. A client that still waits sends nothing, so its connection cannot be kept.
    pub(super) fn drain(&mut self) -> io::Result<bool> {
        let unread = !matches!(self.rest, Rest::End | Rest::Bytes(0));
        if self.expects.get() && unread {
            return Ok(false);
        }
        io::copy(self, &mut io::sink())?;
        Ok(true)
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let text = line(&mut self.stream)?.ok_or_else(gone)?;
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
        self.rest = Rest::Chunk(size);
        if size == 0 {
            while !line(&mut self.stream)?.ok_or_else(gone)?.is_empty() {}
            self.rest = Rest::End;
        }
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.expects.replace(false) && !matches!(self.rest, Rest::Bytes(0)) {
            self.stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if matches!(self.rest, Rest::Chunk(0)) {
            self.next_chunk()?;
        }
        let (Rest::Bytes(left) | Rest::Chunk(left)) = self.rest else { return Ok(0) };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            // An empty read of a buffered stream would wait for bytes.
            return Ok(0);
        }
        let count = self.stream.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left - count as u64;
        match &mut self.rest {
            Rest::Bytes(rest) | Rest::Chunk(rest) => *rest = left,
            Rest::End => {}
        }
        if left == 0 && matches!(self.rest, Rest::Chunk(_)) {
            // The line end after a chunk.
            line(&mut self.stream)?;
        }
        Ok(count)
    }
}

/// The body of a response.
pub(super) enum Payload {
    Bytes(Vec<u8>),
    /// A part of a stored object.
    Object(File, Range<u64>),
    /// A stream of unknown length, which is sent in chunks.
    Stream(Box<dyn Read>),
}

/// A response, before the faults are applied.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) payload: Payload,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let headers = Headers(vec![("Content-Type".to_owned(), content_type.to_owned())]);
        Self { status, headers, payload: Payload::Bytes(bytes.into()) }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", value.to_string())
    }

    pub(super) fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text)
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.0.push((name.to_owned(), value.into()));
        self
    }

    /// Returns the part of a file that the request's `Range` selects, or all of it.
    pub(super) fn content(head: &Head, file: File, length: u64) -> Self {
        let whole = Headers(vec![
            ("Content-Type".to_owned(), "application/octet-stream".to_owned()),
            ("Accept-Ranges".to_owned(), "bytes".to_owned()),
        ]);
        let answer = |status, range| Self { status, headers: whole, payload: Payload::Object(file, range) };
        match head.range(length) {
            Ok(None) => answer(200, 0..length),
            Ok(Some(range)) => {
                let value = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                answer(206, range).header("Content-Range", value)
            }
            Err(()) => Self::text(416, "").header("Content-Range", format!("bytes */{length}")),
        }
    }
}

/// Returns the name of a status.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        416 => "Range Not Satisfiable",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// Decodes percent encoding; invalid UTF-8 is replaced.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Decodes a base64 text, as in `Authorization: Basic`.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let digit = ALPHABET.iter().position(|known| *known == letter)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}
