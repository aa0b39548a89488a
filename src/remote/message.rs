//! Defines requests and responses: [`Request`] with its [`Body`], and [`Response`].
//!
//! Invariants: a body is requested without compression, so that an offset in it is an offset in the file, and a gzip
//! body is decoded while it is read; every header value is marked as sensitive; a part of a file is sent with exactly
//! the announced number of bytes, or the request fails, and each attempt opens and reads it again, so that it can be
//! sent again after a redirect, a login or a lost connection. Only one buffer is in memory. The module itself sends
//! nothing.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

use flate2::read::MultiGzDecoder;
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, header};

use super::cause::{BadAnswer, Transport};
use super::error::{Error, Result};
use super::known::lock;
use super::origin::Origin;
use super::secret::Secret;
use super::url::{Url, escape};

/// The default limit for a response that is read completely.
pub(super) const MAX_TEXT: u64 = 16 << 20;

/// Headers that belong to the connection or to this program, even if a server asks for them in a request.
const OWN_HEADERS: [HeaderName; 12] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::IF_RANGE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The body of a request.
#[derive(Clone, Copy)]
pub(super) enum Body<'r> {
    /// No body: a `GET`.
    None,
    /// A `POST` of these bytes.
    Post(&'r [u8]),
    /// A `PUT` of a part of a file.
    Put(&'r Part<'r>),
}

impl Body<'_> {
    /// Returns its method.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::None => "GET",
            Self::Post(_) => "POST",
            Self::Put(_) => "PUT",
        }
    }
}

/// A part of a file for an upload.
pub(super) struct Part<'r> {
    pub(super) path: &'r Path,
    pub(super) from: u64,
    pub(super) len: u64,
    /// Receives how much of the part was sent in this attempt.
    pub(super) tell: &'r (dyn Fn(u64) + Sync),
    /// Returns `true` to end it.
    pub(super) stop: &'r (dyn Fn() -> bool + Sync),
    /// Why the file could not be read in the last attempt.
    pub(super) failure: Mutex<Option<io::Error>>,
}

impl Part<'_> {
    /// Returns its bytes, from the first.
    pub(super) fn open(&self) -> io::Result<PartReader<'_>> {
        lock(&self.failure).take();
        let mut file = File::open(self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        Ok(PartReader { part: self, file, sent: 0 })
    }
}

/// Reads a part for one attempt.
pub(super) struct PartReader<'r> {
    part: &'r Part<'r>,
    file: File,
    sent: u64,
}

impl PartReader<'_> {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.part.len.saturating_sub(self.sent);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.file.read(buf.get_mut(..want).unwrap_or_default())?;
        if read == 0 && want > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.sent = self.sent.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

impl Read for PartReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if (self.part.stop)() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.fill(buf).map_err(|err| {
            let kind = err.kind();
            *lock(&self.part.failure) = Some(err);
            io::Error::from(kind)
        })?;
        (self.part.tell)(self.sent);
        Ok(read)
    }
}

/// A request to one server.
pub(super) struct Request<'r> {
    pub(super) url: &'r Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Body<'r>,
    /// The origin of the user's own remote.
    pub(super) home: Option<&'r Origin>,
}

/// A response whose body was not read yet. If dropped, its connection is closed.
pub(super) struct Response {
    pub(super) status: u16,
    /// The requested URL, after all redirects.
    pub(super) url: Url,
    headers: HeaderMap,
    body: ureq::Body,
}

impl Response {
    /// Wraps the library's response to a request to `url`.
    pub(super) fn new(url: Url, answer: http::Response<ureq::Body>) -> Self {
        let (parts, body) = answer.into_parts();
        Self { status: parts.status.as_u16(), url, headers: parts.headers, body }
    }

    /// Returns a header's value, if it is text.
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns all values of a header that are text.
    pub(super) fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Returns the URL of a redirect. A byte that is no UTF-8 is escaped.
    pub(super) fn location(&self) -> Option<String> {
        let bytes = self.headers.get(header::LOCATION)?.as_bytes();
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        Some(text.unwrap_or_else(|_| escape(bytes, |byte| byte.is_ascii())))
    }

    /// Returns the encoding of the body, which was not requested.
    pub(super) fn encoding(&self) -> Encoding {
        let values = self.headers.get_all(header::CONTENT_ENCODING).iter();
        encoding_of(values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')))
    }

    /// Returns the stated length of the body.
    pub(super) fn length(&self) -> Option<u64> {
        self.body.content_length()
    }

    /// Returns a reader of the body, which decodes a known encoding.
    pub(super) fn into_reader(self) -> BodyReader {
        let (is_gzip, left) = (self.encoding() == Encoding::Gzip, self.length());
        let body = self.body.into_reader();
        let inner: Box<dyn Read + Send> =
            if is_gzip { Box::new(MultiGzDecoder::new(body)) } else { Box::new(body) };
        BodyReader { url: self.url, inner, is_gzip, left: left.filter(|_| !is_gzip) }
    }

    /// Returns the whole body.
    ///
    /// # Errors
    /// [`Error::BadAnswer`] if it is longer than `limit`, [`Error::Cut`] or [`Error::TimedOut`].
    pub(super) fn bytes(self, limit: u64, interface: &'static str) -> Result<Vec<u8>> {
        let url = self.url.clone();
        let mut bytes = Vec::new();
        let mut reader = self.into_reader();
        let read = reader.inner.by_ref().take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|err| reader.error(&err))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > limit) {
            return Err(Error::BadAnswer { url, interface, source: BadAnswer::TooLong(limit) });
        }
        Ok(bytes)
    }
}

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// No encoding.
    None,
    /// gzip, which is decoded.
    Gzip,
    /// An encoding that is not decoded.
    Unknown,
}

/// Names of encodings that change the bytes, and that are not decoded.
const CODINGS: [&str; 10] =
    ["aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "x-compress", "zstd"];

/// Returns the encoding that these names mean together. Servers also send names that are no encodings, such as
/// `aws-chunked` or `utf-8`: they change no bytes.
fn encoding_of<'n>(names: impl Iterator<Item = &'n [u8]>) -> Encoding {
    let is_one_of =
        |name: &[u8], known: &[&str]| known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    names.map(<[u8]>::trim_ascii).fold(Encoding::None, |before, name| match before {
        _ if is_one_of(name, &CODINGS) => Encoding::Unknown,
        Encoding::None if is_one_of(name, &["gzip", "x-gzip"]) => Encoding::Gzip,
        // Only one layer is decoded.
        Encoding::Gzip if is_one_of(name, &["gzip", "x-gzip"]) => Encoding::Unknown,
        before => before,
    })
}

/// Reads a body.
pub(super) struct BodyReader {
    url: Url,
    inner: Box<dyn Read + Send>,
    is_gzip: bool,
    /// How many bytes are left, if the length was stated.
    left: Option<u64>,
}

impl BodyReader {
    /// Returns the origin that sends the bytes.
    pub(super) fn origin(&self) -> &Origin {
        self.url.origin()
    }

    fn error(&self, err: &io::Error) -> Error {
        let is_garbled = matches!(err.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
        if is_garbled && self.is_gzip {
            let (url, source) = (self.url.clone(), BadAnswer::Encoded);
            return Error::BadAnswer { url, interface: "server", source };
        }
        body_error(&self.url, err)
    }

    /// As [`io::Read::read`]; an end before the stated length is an error.
    ///
    /// # Errors
    /// [`Error::Cut`], [`Error::TimedOut`]
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buf);
        let read = read.map_err(|err| self.error(&err))?;
        self.left = self.left.map(|left| left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX)));
        if self.left == Some(0) {
            // Reading the end, which needs no request, makes the connection reusable.
            let _end = self.inner.read(&mut [0]);
            self.left = None;
        }
        Ok(read)
    }
}

/// Returns a header for a request; `None` if a server or a setting contains an invalid one, or one of this program's
/// own.
pub(super) fn header_line(name: &str, value: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value.expose()).ok()?;
    value.set_sensitive(true);
    (!OWN_HEADERS.contains(&name)).then_some((name, value))
}

fn body_error(url: &Url, err: &io::Error) -> Error {
    let origin = url.origin().clone();
    let is_timeout = err.kind() == io::ErrorKind::TimedOut
        || err
            .get_ref()
            .and_then(|err| err.downcast_ref())
            .is_some_and(|err| matches!(err, ureq::Error::Timeout(_)));
    if is_timeout {
        return Error::TimedOut { origin };
    }
    Error::Cut { origin, source: Transport(err.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_announced_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("object");
        std::fs::write(&path, b"0123456789").unwrap();
        let told = Mutex::new(0);
        let tell = |sent| *lock(&told) = sent;
        let part = |from, len| Part {
            path: &path,
            from,
            len,
            tell: &tell,
            stop: &|| false,
            failure: Mutex::default(),
        };
        for _ in 0..2 {
            let mut bytes = Vec::new();
            part(3, 4).open().unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!((bytes.as_slice(), *lock(&told)), (&b"3456"[..], 4));
        }
        let short = part(8, 4);
        assert!(short.open().unwrap().read_to_end(&mut Vec::new()).is_err());
        assert_eq!(lock(&short.failure).as_ref().map(io::Error::kind), Some(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn an_encoding_is_one_that_changes_bytes() {
        let of = |values: &[&str]| {
            encoding_of(values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')))
        };
        assert_eq!(of(&[]), Encoding::None);
        for none in
            ["", "identity", "identity, identity", "aws-chunked", "UTF-8", "binary", "none", "text/plain"]
        {
            assert_eq!(of(&[none]), Encoding::None, "{none}");
        }
        for gzip in ["gzip", "X-GZip", "aws-chunked, gzip", "gzip ,identity"] {
            assert_eq!(of(&[gzip]), Encoding::Gzip, "{gzip}");
        }
        for unknown in ["br", "Deflate", "zstd", "x-compress", "gzip, br", "br, gzip", "gzip, gzip"] {
            assert_eq!(of(&[unknown]), Encoding::Unknown, "{unknown}");
        }
        assert_eq!(of(&["utf-8", "compress"]), Encoding::Unknown);
    }

    #[test]
    fn a_header_that_is_ours_or_none_is_not_taken() {
        let line = |name: &str, value: &str| header_line(name, &Secret::new(value));
        let (name, value) = line("authorization", "RemoteAuth x").unwrap();
        assert!(name == "Authorization" && value.is_sensitive());
        for (name, value) in [
            ("Host", "evil"),
            ("range", "bytes=0-1"),
            ("Transfer-Encoding", "chunked"),
            ("Proxy-Authorization", "Basic x"),
            ("X-A", "b\r\nHost: evil"),
            ("X A", "b"),
            ("X-A\r\nHost", "b"),
            ("", "b"),
        ] {
            assert!(line(name, value).is_none(), "{name}: {value}");
        }
    }
}
