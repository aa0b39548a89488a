//! Reads ranges of a file: checks the response to `Range`, and fills one range however often the connection is lost.
//!
//! ```text
//! Range: bytes=FIRST-LAST        206   Content-Range: bytes FIRST-LAST/SIZE
//! ```
//!
//! Source: RFC 9110, 14. Invariant: no byte that arrived is requested twice; bytes are accepted from a response only if it states
//! that they are at the requested offset.

use ureq::http::{HeaderValue, header};

use super::cause::Transport;
use super::error::{Error, Result};
use super::message::{BodyReader, Encoding, Response};
use super::retry::Retry;
use crate::buffer::Received;

/// The contents of `Content-Range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// The offsets of the first byte and after the last one; `None` for a range that does not exist.
    pub(super) span: Option<(u64, u64)>,
    /// The length of the whole file, if it is known.
    pub(super) size: Option<u64>,
}

impl ContentRange {
    /// Parses `bytes 0-9/100`, `bytes 0-9/*` or `bytes */100`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (span, size) = rest.trim().split_once('/')?;
        let number = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
        };
        let size = if size == "*" { None } else { Some(number(size)?) };
        let span = if span == "*" {
            None
        } else {
            let (first, last) = span.split_once('-')?;
            let (first, end) = (number(first)?, number(last)?.checked_add(1)?);
            let is_inside = size.is_none_or(|size| end <= size);
            Some((first, end)).filter(|_| first < end && is_inside).map(Some)?
        };
        unit.eq_ignore_ascii_case("bytes").then_some(Self { span, size })
    }
}

/// Returns the value of `Range` for the bytes from `from` up to, but not including, `to`.
pub(super) fn range(from: u64, to: u64) -> HeaderValue {
    // Digits and two other characters are always a valid header value.
    HeaderValue::from_str(&format!("bytes={from}-{}", to.saturating_sub(1)))
        .unwrap_or_else(|_| HeaderValue::from_static("bytes=0-"))
}

/// The response of a server to a range.
pub(super) enum Opened {
    /// Bytes from the requested offset, and their largest number.
    Part(BodyReader, u64),
    /// The whole file.
    Whole(BodyReader),
    /// A response that fits no offset.
    Unplaced,
}

/// A source of ranges of one file.
pub(super) trait Parts: Send + Sync {
    /// Returns the bytes from one offset up to another, and their largest number.
    fn part(&self, from: u64, to: u64) -> Result<(BodyReader, u64)>;
}

/// Checks a response of 200 or 206. `Err` contains the stated size, if it is not `size`.
pub(super) fn judge(response: Response, from: u64, to: u64, size: u64) -> std::result::Result<Opened, u64> {
    if response.status != 206 {
        return match response.length() {
            Some(length) if length != size && response.encoding() == Encoding::None => Err(length),
            _ => Ok(Opened::Whole(response.into_reader())),
        };
    }
    let placed = response.header(header::CONTENT_RANGE).and_then(ContentRange::parse);
    match placed {
        Some(ContentRange { size: Some(total), .. }) if total != size => Err(total),
        Some(ContentRange { span: Some((first, end)), .. }) if first == from && end <= to => {
            Ok(Opened::Part(response.into_reader(), end - first))
        }
        _ => Ok(Opened::Unplaced),
    }
}

/// Fills `buf` with the bytes from `from` on, `wanted` in total, however often the connection is lost. `open` requests
/// a range; `is_over` ends it early, with the bytes so far.
///
/// # Errors
/// An error of `open` after all retries; [`Error::Cut`].
pub(super) fn fill(
    retry: &mut Retry<'_>,
    from: u64,
    wanted: usize,
    buf: &mut Received,
    open: &dyn Fn(u64, u64) -> Result<(BodyReader, u64)>,
    is_over: &dyn Fn() -> bool,
) -> Result<()> {
    let end = from + wanted as u64;
    while buf.len() < wanted && !is_over() {
        let at = from + buf.len() as u64;
        let result = open(at, end).and_then(|(mut reader, len)| {
            let until = wanted.min(buf.len() + usize::try_from(len).unwrap_or(usize::MAX));
            take(&mut reader, buf, until, is_over, &|_| ())
        });
        retry.progress(from + buf.len() as u64 - at);
        if let Err(err) = result {
            retry.after(err)?;
        }
    }
    Ok(())
}

/// How many bytes are read at once: no more than the library's buffer, because new memory is filled with zeros first.
const STEP: usize = 128 << 10;

/// Reads until `buf` has `until` bytes. `came` receives the number of new bytes as they arrive.
///
/// # Errors
/// [`Error::Cut`] with the bytes before it in `buf`, [`Error::TimedOut`].
pub(super) fn take(
    reader: &mut BodyReader,
    buf: &mut Received,
    until: usize,
    is_over: &dyn Fn() -> bool,
    came: &dyn Fn(u64),
) -> Result<()> {
    while buf.len() < until && !is_over() {
        let end = until.min(buf.len() + STEP);
        let read = reader.read(buf.space(end))?;
        buf.add(read);
        match read {
            0 => {
                let source = Transport("it ended before all bytes were sent".to_owned());
                return Err(Error::Cut { origin: reader.origin().clone(), source });
            }
            read => came(read as u64),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_content_range_says() {
        let of = |span, size| Some(ContentRange { span, size });
        assert_eq!(ContentRange::parse("bytes 0-9/100"), of(Some((0, 10)), Some(100)));
        assert_eq!(ContentRange::parse(" Bytes 5-5/* "), of(Some((5, 6)), None));
        assert_eq!(ContentRange::parse("bytes */100"), of(None, Some(100)));
        for bad in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes 9-0/100",
            "bytes 0-100/100",
            "bytes -5/100",
            "bytes 5-/100",
            "items 0-9/100",
            "bytes +0-9/100",
            "bytes 0-9/-1",
            "bytes 0-18446744073709551615/*",
            "bytes 0-99999999999999999999/*",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
        assert_eq!(range(4, 10), "bytes=4-9");
    }
}
