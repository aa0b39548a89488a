//! Logs every request in the order of arrival, and the bytes that were sent for it.
//!
//! Invariant: a test that reads the log sees finished requests, because reading waits for those in progress. Bytes
//! count as sent when the kernel gets them; for a client that was killed, these are up to a few megabytes more than it
//! read.

use std::ops::Range;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::http::{self, Head, Headers};

/// The longest body that is stored.
const BODY_LIMIT: usize = 1 << 20;

/// How long reading waits for requests in progress: a stalled one never ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// One request and its response.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The origin of its arrival, as `http://host:port`.
    pub(crate) origin: String,
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    pub(crate) headers: Headers,
    /// The body, if a handler read all of it: JSON, and the wants of a fetch; no uploads or pushes.
    pub(crate) body: Vec<u8>,
    /// The status; 0 before a response, and without one.
    pub(crate) status: u16,
    /// The part of an object that the answer promised.
    pub(crate) range: Option<Range<u64>>,
    /// Bytes of body that were sent.
    pub(crate) sent: u64,
    /// The faults that changed it.
    pub(crate) faults: Vec<String>,
    /// The time of its arrival since the hub's start.
    pub(crate) at: Duration,
    done: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub(crate) fn path(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        // The target of a request to a proxy begins with the host.
        let rest = path.strip_prefix("http://").and_then(|rest| Some(&rest[rest.find('/')?..]));
        rest.unwrap_or(path)
    }

    /// Returns `true` if it contains this text: in its target, a header, the body, or a decoded Basic authorization.
    pub(crate) fn carries(&self, text: &str) -> bool {
        let decoded = self.headers.0.iter().filter_map(|(_, value)| http::base64(value.rsplit(' ').next()?));
        let mut bodies = decoded.chain([self.body.clone()]);
        let mut texts = self.headers.0.iter().map(|(_, value)| value.as_str()).chain([self.target.as_str()]);
        texts.any(|value| value.contains(text) || http::decode(value).contains(text))
            || bodies.any(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    }
}

#[derive(Default)]
struct Inner {
    seen: Vec<Seen>,
    /// Records before this one were forgotten.
    forgotten: usize,
}

/// All requests.
pub(super) struct Log {
    inner: Mutex<Inner>,
    changed: Condvar,
    start: Instant,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::default(), changed: Condvar::new(), start: Instant::now() }
    }

    /// Adds a request that has arrived.
    pub(super) fn open(&self, origin: &str, head: &Head) -> Record<'_> {
        let mut inner = self.inner.lock().unwrap();
        inner.seen.push(Seen {
            origin: origin.to_owned(),
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            body: Vec::new(),
            status: 0,
            range: None,
            sent: 0,
            faults: Vec::new(),
            at: self.start.elapsed(),
            done: false,
        });
        Record { log: self, index: inner.forgotten + inner.seen.len() - 1 }
    }

    /// Returns the requests so far.
    pub(super) fn read(&self) -> Vec<Seen> {
        let inner = self.inner.lock().unwrap();
        let busy = |inner: &mut Inner| inner.seen.iter().any(|seen| !seen.done);
        let (inner, _) = self.changed.wait_timeout_while(inner, PATIENCE, busy).unwrap();
        inner.seen.clone()
    }

    /// Returns the requests so far without waiting, including those in progress.
    pub(super) fn peek(&self) -> Vec<Seen> {
        self.inner.lock().unwrap().seen.clone()
    }

    pub(super) fn clear(&self) {
        let mut inner = self.inner.lock().unwrap();
        let busy = |inner: &mut Inner| inner.seen.iter().any(|seen| !seen.done);
        inner = self.changed.wait_timeout_while(inner, PATIENCE, busy).unwrap().0;
        inner.forgotten += inner.seen.len();
        inner.seen.clear();
    }
}

/// A request in progress; it is finished when this is dropped.
pub(super) struct Record<'a> {
    log: &'a Log,
    index: usize,
}

impl Record<'_> {
    pub(super) fn note(&self, change: impl FnOnce(&mut Seen)) {
        let mut inner = self.log.inner.lock().unwrap();
        let index = self.index.checked_sub(inner.forgotten);
        if let Some(seen) = index.and_then(|index| inner.seen.get_mut(index)) {
            change(seen);
        }
    }

    pub(super) fn body(&self, bytes: &[u8]) {
        self.note(|seen| seen.body = bytes[..bytes.len().min(BODY_LIMIT)].to_vec());
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.note(|seen| seen.done = true);
        self.log.changed.notify_all();
    }
}

/// Returns the parts of an object that were sent, in the order of the requests.
pub(super) fn fetched(seen: &[Seen], oid: &str) -> Vec<Range<u64>> {
    let of_object = seen.iter().filter(|seen| seen.method == "GET" && seen.path().ends_with(oid));
    let parts = of_object.filter_map(|seen| {
        let start = seen.range.as_ref()?.start;
        Some(start..start + seen.sent)
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// Returns how many bytes of these parts are also in an earlier one.
pub(super) fn sent_twice(parts: &[Range<u64>]) -> u64 {
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| part.start);
    let (mut twice, mut end) = (0, 0);
    for part in sorted {
        twice += end.min(part.end).saturating_sub(part.start);
        end = end.max(part.end);
    }
    twice
}
