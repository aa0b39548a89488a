//! Uploads LFS objects: [`LfsServer::plan_upload`] asks which objects a server lacks, [`LfsServer::upload`] sends one
//! of them.
//!
//! ```text
//! basic       PUT <href>                        the whole object
//! multipart   PUT <header["00001"]> …           chunk_size bytes each; every response names its part: ETag
//!             POST <href>                       {"oid", "parts": [{"partNumber", "etag"}]}
//! then        POST <verify href>                {"oid", "size"}, if the server returned this action
//! ```
//!
//! Source: `docs/api/basic-transfers.md` and `tq/basic_upload.go` of Git LFS; `lfs.py` of `huggingface_hub` for the
//! Hub's `multipart`. Invariants: an object that the server has is not sent; the headers of an action go only to the
//! origin of its URL, and the URL of a part, which is a signature, gets no other header; an action that has expired, or
//! that is refused (401, 403), is requested once more. Bytes of an object from before a lost connection are sent again.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use ureq::http::{HeaderValue, header};

use super::action::{Get, ObjectAt};
use super::batch::{Answers, LfsServer, MEDIA_TYPE, SERVER, request};
use super::batch_api::{Answered, ObjectError};
use super::cause::BadAnswer;
use super::endpoint::Location;
use super::error::{Error, Result};
use super::handed;
use super::local;
use super::message::{Body, Part, Response};
use super::operation::Operation;
use super::redirect::{Ask, CONTENT_HOPS};
use super::refusal::{for_writing, kept, refusal};
use super::retry::{Retry, patiently};
use super::url::Url;
use crate::lfs::Pointer;

/// The most parts that an object storage accepts.
const MAX_PARTS: u64 = 10_000;

/// The most bytes that are read of a response without use.
const MAX_IGNORED: u64 = 64 << 10;

/// The result for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// It was uploaded.
    Sent,
    /// The server had it.
    There,
}

/// The planned work for one object.
#[derive(Debug)]
pub struct Plan(Step);

#[derive(Debug)]
enum Step {
    /// Nothing: the server has it.
    Nothing,
    /// Copy it to the other repository on this machine.
    Copy,
    /// Upload it.
    Send { method: Method, verify: Option<Get> },
}

/// How an object is uploaded.
#[derive(Debug)]
enum Method {
    Put(Get),
    Parts {
        size: u64,
        urls: Vec<Url>,
        complete: Get,
    },
    /// By a transfer agent, or over ssh.
    Elsewhere(ObjectAt),
}

impl Method {
    fn is_over(&self) -> bool {
        match self {
            Self::Put(get) | Self::Parts { complete: get, .. } => get.expiry.is_over(),
            Self::Elsewhere(at) => at.is_over(),
        }
    }
}

/// An object for an upload, and its file.
#[derive(Clone, Copy)]
pub(super) struct Sending<'s> {
    pub(super) pointer: Pointer,
    pub(super) file: &'s Path,
    pub(super) tell: &'s (dyn Fn(u64) + Sync),
}

impl Plan {
    /// Returns `true` if the server already has the object.
    pub fn is_there(&self) -> bool {
        matches!(self.0, Step::Nothing)
    }

    /// Returns the transfer agent that uploads it, if any.
    pub fn agent(&self) -> Option<&str> {
        match &self.0 {
            Step::Send { method: Method::Elsewhere(ObjectAt::Agent(handed)), .. } => Some(&handed.agent.name),
            _ => None,
        }
    }
}

impl LfsServer<'_> {
    /// Asks which of these objects a server lacks: one result per object, in their order.
    ///
    /// # Errors
    /// An error of the whole request, above all [`Error::MayNotWrite`]. An object that the server refuses is an error
    /// in its own result.
    pub fn plan_upload(&self, pointers: &[Pointer]) -> Result<Vec<Result<Plan>>> {
        let wire = &self.auth.wire;
        wire.watched(|| {
            let mut plans = Vec::with_capacity(pointers.len());
            for some in pointers.chunks(wire.settings.batch_size()) {
                plans.extend(self.ask_upload(some)?);
            }
            Ok(plans)
        })
    }

    /// Uploads the object in `file`, as planned. `tell` receives the number of sent bytes, which may restart.
    ///
    /// # Errors
    /// [`Error::NotTaken`], [`Error::MayNotWrite`], or the last error after all retries.
    pub fn upload(
        &self,
        pointer: Pointer,
        plan: Plan,
        file: &Path,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<Uploaded> {
        let sending = Sending { pointer, file, tell };
        self.auth.wire.watched(|| {
            let mut retry = Retry::new(&self.auth.wire, &|| false);
            let (mut known, mut was_refused) = (Some(plan), false);
            loop {
                let plan = match known.take() {
                    Some(plan) => plan,
                    None => self.ask_upload(&[pointer])?.pop().unwrap_or_else(|| {
                        Err(Error::bad_answer(self.auth.hub(), SERVER, BadAnswer::Missing(pointer.oid)))
                    })?,
                };
                let Step::Send { method, verify } = plan.0 else { return self.settle(&plan, sending) };
                if method.is_over() && !was_refused {
                    was_refused = true;
                    continue;
                }
                match self.send_all(sending, &method) {
                    Ok(()) => {
                        self.verify(sending, verify.as_ref())?;
                        return Ok(Uploaded::Sent);
                    }
                    Err(Error::Unauthorized { .. } | Error::MayNotWrite { .. }) if !was_refused => {
                        was_refused = true;
                    }
                    Err(err) => retry.after(err)?,
                }
            }
        })
    }

    /// Does the work that needs no server.
    fn settle(&self, plan: &Plan, sending: Sending<'_>) -> Result<Uploaded> {
        match (&plan.0, &self.endpoint.location) {
            (Step::Copy, Location::Local(path)) => {
                let Sending { pointer, file, tell, .. } = sending;
                let git = self.auth.git.as_ref();
                local::put(&self.auth.wire, git, &self.endpoint, path, pointer, file, tell)?;
                Ok(Uploaded::Sent)
            }
            _ => Ok(Uploaded::There),
        }
    }

    fn ask_upload(&self, pointers: &[Pointer]) -> Result<Vec<Result<Plan>>> {
        if let Some(found) = self.elsewhere(Operation::Upload, pointers)? {
            // A transfer agent knows which objects exist: it transfers all of them.
            let step = |at| match at {
                Some(at) => Step::Send { method: Method::Elsewhere(at), verify: None },
                None => Step::Nothing,
            };
            return Ok(found.into_iter().map(|at| Ok(Plan(step(at)))).collect());
        }
        if let Location::Local(path) = &self.endpoint.location {
            let found = local::find(self.auth.git.as_ref(), &self.endpoint, path, pointers)?;
            let plan = |found: Result<_>| match found {
                Ok(_) => Ok(Plan(Step::Nothing)),
                Err(Error::NotThere { .. }) => Ok(Plan(Step::Copy)),
                Err(err) => Err(err),
            };
            return Ok(found.into_iter().map(plan).collect());
        }
        let Answers { url, asked, agent, objects } = self.question_upload(pointers).map_err(for_writing)?;
        let plans = pointers.iter().zip(objects).map(|(pointer, object)| {
            let mut object = object?;
            self.check(pointer, &mut object)?;
            let (authenticated, actions) = (object.authenticated, object.actions());
            let Some(mut upload) = actions.upload else { return Ok(Plan(Step::Nothing)) };
            let verify = actions.verify.map(|raw| {
                request(&self.auth.wire, &url, raw, pointer, authenticated, (asked, Operation::Upload))
            });
            let verify = verify.transpose()?;
            if let Some(agent) = &agent {
                let method = Method::Elsewhere(ObjectAt::Agent(Arc::new(upload.handed(
                    &self.auth.wire,
                    agent,
                    asked,
                ))));
                return Ok(Plan(Step::Send { method, verify }));
            }
            let header = upload.header.take().unwrap_or_default();
            let (parts, header): (Vec<_>, Vec<_>) =
                header.into_iter().partition(|(name, _)| is_part(name) || name == "chunk_size");
            upload.header = Some(header.into_iter().collect());
            let get =
                request(&self.auth.wire, &url, upload, pointer, authenticated, (asked, Operation::Upload))?;
            let method =
                if parts.is_empty() { Method::Put(get) } else { self.parts(&url, pointer, &parts, get)? };
            Ok(Plan(Step::Send { method, verify }))
        });
        Ok(plans.collect())
    }

    /// Some servers refuse an account that may only open pull requests if the request names the reference of one.
    fn question_upload(&self, pointers: &[Pointer]) -> Result<Answers> {
        let (upload, reference) = (Operation::Upload, self.reference());
        match self.question(upload, reference, pointers) {
            Err(refused @ Error::Forbidden { .. })
                if reference.is_some_and(|name| name.starts_with("refs/pr/")) =>
            {
                self.question(upload, None, pointers).map_err(|_| refused)
            }
            answers => answers,
        }
    }

    fn check(&self, pointer: &Pointer, object: &mut Answered) -> Result<()> {
        let oid = pointer.oid;
        if let Some(ObjectError { code, message }) = object.error.take() {
            let said = message.and_then(|message| kept(&self.auth.wire, &message));
            return Err(Error::NotTaken { oid, code: code.unwrap_or(0), said });
        }
        match object.size.filter(|size| *size != pointer.size && *size != 0) {
            Some(got) => Err(Error::WrongSize { oid, expected: pointer.size, got }),
            None => Ok(()),
        }
    }

    /// Returns the URLs of the parts, in their order.
    fn parts(
        &self,
        batch: &Url,
        pointer: &Pointer,
        header: &[(String, String)],
        complete: Get,
    ) -> Result<Method> {
        let bad = || Error::bad_answer(batch, SERVER, BadAnswer::Parts(pointer.oid));
        let size =
            header.iter().find(|(name, _)| name == "chunk_size").and_then(|(_, size)| size.parse().ok());
        let size: u64 = size.filter(|size| *size > 0).ok_or_else(bad)?;
        let mut numbered = Vec::new();
        for (name, url) in header.iter().filter(|(name, _)| is_part(name)) {
            let what = || format!("the URL of a part of object {}", pointer.oid);
            let url = Url::parse_foreign(url).map_err(|source| Error::NotAllowed { what: what(), source })?;
            if let Some(query) = url.query() {
                self.auth.wire.remember(query);
            }
            numbered.push((name.parse::<u64>().map_err(|_| bad())?, url));
        }
        numbered.sort_by_key(|(number, _)| *number);
        let count = u64::try_from(numbered.len()).unwrap_or(u64::MAX);
        let is_in_order = numbered.iter().zip(1_u64..).all(|((number, _), expected)| *number == expected);
        if !is_in_order || count != pointer.size.div_ceil(size) || count > MAX_PARTS {
            return Err(bad());
        }
        Ok(Method::Parts { size, urls: numbered.into_iter().map(|(_, url)| url).collect(), complete })
    }

    fn send_all(&self, sending: Sending<'_>, method: &Method) -> Result<()> {
        match method {
            Method::Elsewhere(at) => {
                let Sending { pointer, file, tell } = sending;
                handed::send(self, at, pointer, (file, tell))
            }
            Method::Put(get) => {
                let ask = self.to_action(get);
                let kind = HeaderValue::from_static("application/octet-stream");
                let ask = Ask { hops: CONTENT_HOPS, ..ask.plain(header::CONTENT_TYPE, kind) };
                self.put(ask, sending, 0, sending.pointer.size).map(drop)
            }
            Method::Parts { size, urls, complete } => {
                let mut parts = Vec::with_capacity(urls.len());
                let mut from = 0_u64;
                for (url, part_number) in urls.iter().zip(1_u64..) {
                    let len = (*size).min(sending.pointer.size.saturating_sub(from));
                    let mut retry = Retry::new(&self.auth.wire, &|| false);
                    let etag = loop {
                        let ask = Ask { hops: CONTENT_HOPS, ..Ask::get(url.clone()) };
                        match self.put(ask, sending, from, len) {
                            Ok(response) => break response.header(header::ETAG).map(str::to_owned),
                            Err(err) => retry.after(err)?,
                        }
                    };
                    let bad = || Error::bad_answer(url, SERVER, BadAnswer::PartName(sending.pointer.oid));
                    let etag = etag.filter(|etag| !etag.is_empty()).ok_or_else(bad)?;
                    parts.push(json!({ "partNumber": part_number, "etag": etag }));
                    from = from.saturating_add(len);
                }
                self.post(
                    sending,
                    complete,
                    &json!({ "oid": sending.pointer.oid.to_string(), "parts": parts }),
                )
            }
        }
    }

    /// Uploads a part of the file to the URL of `ask`.
    fn put(&self, ask: Ask<'_>, sending: Sending<'_>, from: u64, len: u64) -> Result<Response> {
        let tell = |sent: u64| (sending.tell)(from.saturating_add(sent));
        let stop = || self.auth.wire.is_interrupted();
        let part =
            Part { path: sending.file, from, len, tell: &tell, stop: &stop, failure: Mutex::default() };
        let response = self.auth.send(&Ask { body: Body::Put(&part), ..ask })?;
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        Err(self.refused(response, sending.pointer))
    }

    fn verify(&self, sending: Sending<'_>, verify: Option<&Get>) -> Result<()> {
        let Some(get) = verify else { return Ok(()) };
        let Pointer { oid, size } = sending.pointer;
        patiently(&self.auth.wire, || {
            self.post(sending, get, &json!({ "oid": oid.to_string(), "size": size }))
        })
    }

    fn post(&self, sending: Sending<'_>, get: &Get, body: &Value) -> Result<()> {
        let body = body.to_string();
        let kind = || HeaderValue::from_static(MEDIA_TYPE);
        let ask = self.to_action(get).plain(header::ACCEPT, kind());
        let ask = ask.plain(header::CONTENT_TYPE, kind());
        let response = self.auth.send(&Ask { body: Body::Post(body.as_bytes()), ..ask })?;
        if (200..300).contains(&response.status) {
            // The body is read, so that the connection can be reused; its content is not needed.
            let _ignored = response.bytes(MAX_IGNORED, SERVER);
            return Ok(());
        }
        Err(self.refused(response, sending.pointer))
    }

    fn refused(&self, response: Response, pointer: Pointer) -> Error {
        let code = i64::from(response.status);
        match for_writing(refusal(&self.auth.wire, response, None)) {
            Error::NotFound { said, .. }
            | Error::EntryNotFound { said, .. }
            | Error::Status { status: 400 | 409 | 410 | 413 | 422 | 507, said, .. } => {
                Error::NotTaken { oid: pointer.oid, code, said }
            }
            err => err,
        }
    }
}

/// Returns `true` for the number of a part.
fn is_part(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}
