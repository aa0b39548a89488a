//! Faults: what goes wrong, where, and how many times.
//!
//! Invariant: a fault is used up by the request that it changes, in the order of injection; a fault that replaces the
//! answer leaves the others for the next request.

use std::sync::Mutex;

use serde_json::Value;

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection is closed without an answer.
    Drop,
    /// What is asked is done, and the connection is closed without an answer.
    Lose,
    /// What is asked is done, and no answer comes.
    Hang,
    /// This status, with the headers and the body that belong to it.
    Status(u16),
    /// This status, and the code that the Hub gives with it.
    Refuse(u16, &'static str),
    /// This status, and `Retry-After` in seconds.
    RetryAfter(u16, u64),
    /// 429, and a `RateLimit` of which nothing remains for so many seconds.
    RateLimit(u64),
    /// A redirect of this status.
    Redirect(u16, To),
    /// 200 and a page for people.
    Html,
    /// `Range` is not understood: 200 and everything.
    NoRanges,
    /// `Range` is refused with this status, in the words of a storage of objects.
    RefuseRanges(u16),
    /// The body comes by gzip, though nobody asked for that.
    Gzip,
    /// The connection is closed after so many bytes of the body.
    Cut(u64),
    /// After so many bytes of the body nothing more comes, and the connection stays.
    Stall(u64),
    /// The byte at this offset of the object, or of the body, is another one.
    WrongByte(u64),
    /// The body comes at so many bytes a second.
    Slow(u64),
    /// Another `Content-Range`.
    ContentRange(String),
    /// `Content-Length` is off by so much; then the connection is closed.
    Length(i64),
    /// No `Content-Length`: the body comes in chunks.
    Chunked,
    /// Another value of a header.
    Header(&'static str, String),
    /// The second half of the body is missing, and `Content-Length` says so.
    Truncated,
    /// A JSON answer is changed.
    Json(fn(&mut Value)),
    /// In a batch: this object has an error object, of this code.
    ObjectError(u16),
    /// In a batch: this object has another size.
    Size(u64),
    /// In a batch: the action of this object has expired, and what it leads to refuses it.
    Expired,
    /// A fetch that wants a blob by its id is answered by a flush.
    RefuseBlobs,
    /// A gzipped `git-upload-pack` request is answered by a flush.
    RefuseGzip,
    /// Filters are not offered, and not obeyed.
    NoFilter,
}

/// Where a redirect leads.
#[derive(Debug, Clone)]
pub(crate) enum To {
    /// The same target at another origin, `http://host:port`.
    Origin(String),
    /// Itself: a chain of as many hops as the fault has times, or a loop.
    Itself,
    Url(String),
}

/// Which requests a fault changes.
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
    /// Everything below a path, as it is sent.
    Path(String),
    /// What is posted to this very path.
    Post(String),
    /// Everything: the first, the second, … request of all.
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
        // Both spellings of a repository.
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

/// A fault at a place.
#[derive(Debug, Clone)]
pub(crate) struct Injection {
    fault: Fault,
    place: Place,
    skip: u32,
    times: Option<u32>,
}

impl Fault {
    /// For every request to this place.
    pub(crate) fn at(self, place: Place) -> Injection {
        Injection { fault: self, place, skip: 0, times: None }
    }

    /// Does it stand in for the answer?
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
    /// So often, then no more.
    pub(crate) fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Not for the first so many requests.
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

/// What is to go wrong.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<Injection>>);

impl Faults {
    pub(super) fn inject(&self, injection: Injection) {
        self.0.lock().unwrap().push(injection);
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// What goes wrong with a request for this path.
    pub(super) fn take(&self, method: &str, path: &str) -> Vec<Fault> {
        self.matching(|place| place.has(method, path))
    }

    /// What goes wrong with an object's entry in a batch.
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
