//! Injects faults into responses: of a kind, at a place, and a number of times.
//!
//! Invariant: a fault is used up by the request that it changes, in the order of injection; a fault that replaces the
//! response leaves the others for the next request.

use std::sync::Mutex;

use serde_json::Value;

/// The kind of a fault.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection is closed without a response.
    Drop,
    /// The request is carried out, and the connection is closed without a response.
    Lose,
    /// The request is carried out, and no response is sent.
    Hang,
    /// The response has this status, with its usual headers and body.
    Status(u16),
    /// The response has this status, and this error code of the Hub.
    Refuse(u16, &'static str),
    /// The response has this status, and `Retry-After` in seconds.
    RetryAfter(u16, u64),
    /// The response is 429, with a `RateLimit` that is used up for this number of seconds.
    RateLimit(u64),
    /// The response is a redirect with this status.
    Redirect(u16, To),
    /// The response is 200, with an HTML page.
    Html,
    /// `Range` is ignored: the response is 200 with the whole content.
    NoRanges,
    /// `Range` is refused with this status, in the format of an object storage.
    RefuseRanges(u16),
    /// The body is gzipped, though the client did not accept that.
    Gzip,
    /// The connection is closed after this number of bytes of the body.
    Cut(u64),
    /// No byte follows this number of bytes of the body, and the connection stays open.
    Stall(u64),
    /// The byte at this offset of the object, or of the body, is wrong.
    WrongByte(u64),
    /// The body is sent at this number of bytes per second.
    Slow(u64),
    /// `Content-Range` has this value.
    ContentRange(String),
    /// `Content-Length` is wrong by this number; then the connection is closed.
    Length(i64),
    /// The body has no `Content-Length`, and is sent in chunks.
    Chunked,
    /// A header has this value.
    Header(&'static str, String),
    /// The second half of the body is missing, and `Content-Length` fits the rest.
    Truncated,
    /// A JSON response is changed.
    Json(fn(&mut Value)),
    /// In a batch, this object has an error object with this code.
    ObjectError(u16),
    /// In a batch, this object has this size.
    Size(u64),
    /// In a batch, the action of this object is expired, and its URL refuses it.
    Expired,
    /// A fetch that requests a blob by its id gets only a flush packet.
    RefuseBlobs,
    /// A gzipped `git-upload-pack` request gets only a flush packet.
    RefuseGzip,
    /// Filters are neither offered nor applied.
    NoFilter,
}

/// The target of a redirect.
#[derive(Debug, Clone)]
pub(crate) enum To {
    /// The same target at another origin, `http://host:port`.
    Origin(String),
    /// The same URL: a chain with as many hops as the fault has times, or a loop.
    Itself,
    Url(String),
}

/// The requests that a fault changes.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Downloads of an object's content.
    Content(String),
    /// Uploads of an object's content.
    Upload(String),
    /// An object's entry in a batch.
    Object(String),
    /// The batch requests of a model.
    Batch(String),
    /// Both git services of a model, and its refs.
    Git(String),
    UploadPack(String),
    ReceivePack(String),
    /// All requests below a path, as it was sent.
    Path(String),
    /// The POST requests to exactly this path.
    Post(String),
    /// All requests, in the order of their arrival.
    Any,
}

impl Place {
    pub(crate) fn content(oid: &str) -> Self {
        Self::Content(oid.to_owned())
    }

    pub(crate) fn upload(oid: &str) -> Self {
        Self::Upload(oid.to_owned())
    }

    pub(crate) fn object(oid: &str) -> Self {
        Self::Object(oid.to_owned())
    }

    pub(crate) fn batch(model: &str) -> Self {
        Self::Batch(model.to_owned())
    }

    pub(crate) fn git(model: &str) -> Self {
        Self::Git(model.to_owned())
    }

    pub(crate) fn upload_pack(model: &str) -> Self {
        Self::UploadPack(model.to_owned())
    }

    pub(crate) fn receive_pack(model: &str) -> Self {
        Self::ReceivePack(model.to_owned())
    }

    pub(crate) fn path(path: &str) -> Self {
        Self::Path(path.to_owned())
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::Post(path.to_owned())
    }

    fn has(&self, method: &str, path: &str) -> bool {
        // A repository has two spellings, with and without `.git`.
        let below = |model: &str, service: &str| {
            let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(model));
            rest.is_some_and(|rest| rest.strip_prefix(".git").unwrap_or(rest) == service)
        };
        match self {
            Self::Content(oid) => path.starts_with("/content/") && path.ends_with(oid),
            Self::Upload(oid) => path.starts_with("/upload/") && path.contains(oid.as_str()),
            Self::Object(_) => false,
            Self::Batch(model) => below(model, "/info/lfs/objects/batch"),
            Self::Git(model) => {
                ["/info/refs", "/git-upload-pack", "/git-receive-pack"].iter().any(|name| below(model, name))
            }
            Self::UploadPack(model) => below(model, "/git-upload-pack"),
            Self::ReceivePack(model) => below(model, "/git-receive-pack"),
            Self::Post(whole) => method == "POST" && path == whole,
            Self::Any => true,
            Self::Path(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// A fault with its place.
#[derive(Debug, Clone)]
pub(crate) struct Injection {
    fault: Fault,
    place: Place,
    skip: u32,
    times: Option<u32>,
}

impl Fault {
    /// Applies the fault to every request to this place.
    pub(crate) fn at(self, place: Place) -> Injection {
        Injection { fault: self, place, skip: 0, times: None }
    }

    /// Returns `true` if the fault replaces the response.
    fn replaces(&self) -> bool {
        matches!(
            self,
            Self::Drop
                | Self::Status(_)
                | Self::Refuse(..)
                | Self::RetryAfter(..)
                | Self::RateLimit(_)
                | Self::Redirect(..)
                | Self::Html
        )
    }
}

impl Injection {
    /// Limits the fault to this number of requests.
    pub(crate) fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Skips the first requests.
    pub(crate) fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    fn take(&mut self) -> Option<Fault> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if let Some(times) = &mut self.times {
            *times = times.checked_sub(1)?;
        }
        Some(self.fault.clone())
    }
}

/// The injected faults.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<Injection>>);

impl Faults {
    pub(super) fn inject(&self, injection: Injection) {
        self.0.lock().unwrap().push(injection);
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Takes the faults for a request to this path.
    pub(super) fn take(&self, method: &str, path: &str) -> Vec<Fault> {
        self.matching(|place| place.has(method, path))
    }

    /// Takes the faults for an object's entry in a batch.
    pub(super) fn take_object(&self, oid: &str) -> Vec<Fault> {
        self.matching(|place| matches!(place, Place::Object(of) if of == oid))
    }

    fn matching(&self, has: impl Fn(&Place) -> bool) -> Vec<Fault> {
        let mut all = self.0.lock().unwrap();
        let mut here: Vec<_> = all.iter_mut().filter(|injection| has(&injection.place)).collect();
        let replacing = here.iter_mut().filter(|injection| injection.fault.replaces());
        if let Some(fault) = replacing.into_iter().find_map(|injection| injection.take()) {
            return vec![fault];
        }
        here.into_iter().filter(|injection| !injection.fault.replaces()).filter_map(Injection::take).collect()
    }
}
