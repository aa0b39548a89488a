//! Serves the content of LFS objects: signed links, downloads with ranges, uploads whose digest is checked.
//!
//! Invariant: an object is stored under its object ID only if that is the SHA-256 of its bytes. Links are signed for
//! one object, one method and some time, as those of an object storage; they need no token, and at other origins than
//! the main one they refuse one.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::State;
use super::access::refusal;
use super::http::{Answer, Head};
use super::log::Record;
use super::server::Request;

/// The position of the signature of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    /// In the query of the link.
    Query,
    /// In a header that the action requires.
    Header,
}

/// The header of [`Signing::Header`].
const HEADER: &str = "X-Hub-Signature";

/// The operation on an object, as in its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Download,
    Upload,
    /// The upload of one part, whose number follows the object ID.
    Part,
    /// The end of an upload in parts.
    Complete,
    Verify,
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Self::Download => "content",
            Self::Upload => "upload",
            Self::Part => "upload-part",
            Self::Complete => "complete",
            Self::Verify => "verify",
        }
    }
}

/// Returns the seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

impl super::Hub {
    /// Sets the form of the signatures of links; by default, they are in the query.
    pub(crate) fn sign(&self, signing: Signing) {
        self.state.settings.lock().unwrap().signing = signing;
    }
}

/// Returns the SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn oid_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Copies a stream. Returns its SHA-256 and its size.
pub(super) fn copy_hashed(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex(&hash.finalize()), size));
        }
        hash.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        size += count as u64;
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Returns the link to an object, with the signature in its query.
pub(super) fn link(state: &State, deed: Deed, model: &str, oid: &str, expires: i64) -> String {
    let (link, signature) = signed(state, deed, model, oid, expires);
    format!("{link}?X-Hub-Expires={expires}&{HEADER}={signature}")
}

/// Returns the link to an object with its required headers, as an action of a batch.
pub(super) fn action(state: &State, deed: Deed, model: &str, oid: &str, expires: i64) -> Value {
    match state.signing() {
        Signing::Query => json!({"href": link(state, deed, model, oid, expires)}),
        Signing::Header => {
            let (link, signature) = signed(state, deed, model, oid, expires);
            json!({"href": link, "header": {HEADER: signature}})
        }
    }
}

fn signed(state: &State, deed: Deed, model: &str, oid: &str, expires: i64) -> (String, String) {
    let path = format!("/{}/{model}/{oid}", deed.name());
    let origin = match deed {
        Deed::Download | Deed::Upload | Deed::Part => state.content_origin(),
        Deed::Complete | Deed::Verify => state.main_origin(),
    };
    let signature = format!("{expires}.{}", sign(state, &path, expires));
    (format!("{origin}{path}"), signature)
}

fn sign(state: &State, path: &str, expires: i64) -> String {
    oid_of(format!("{}{path}{expires}", state.secret()).as_bytes())
}

/// Refuses the requests that an object storage refuses.
fn check(request: &Request<'_>) -> Result<(), Answer> {
    let head = &request.head;
    if request.origin != request.state.main_origin() && head.header("Authorization").is_some() {
        let text = "Only one auth mechanism allowed";
        return Err(xml(400, "InvalidArgument", text));
    }
    let signature = head.query(HEADER).or_else(|| head.header(HEADER).map(str::to_owned));
    let Some((expires, signature)) = signature.as_deref().and_then(|text| text.split_once('.')) else {
        return Err(xml(403, "AccessDenied", "Access Denied"));
    };
    let expires = expires.parse().unwrap_or(0);
    if signature != sign(request.state, head.path(), expires) {
        return Err(xml(403, "SignatureDoesNotMatch", "The signature does not match"));
    }
    if expires <= now() {
        return Err(xml(403, "AccessDenied", "Request has expired"));
    }
    Ok(())
}

fn xml(status: u16, code: &str, message: &str) -> Answer {
    let text =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Answer::new(status, "application/xml", text)
}

/// Returns the action of an upload in parts: the URLs are in its header, as in the Hub's responses.
pub(super) fn parts(state: &State, model: &str, oid: &str, size: u64, part: u64, expires: i64) -> Value {
    let mut action = json!({"href": link(state, Deed::Complete, model, oid, expires)});
    action["header"]["chunk_size"] = json!(part.to_string());
    for number in 1..=size.div_ceil(part) {
        let name = format!("{number:05}");
        action["header"][&name] = json!(link(state, Deed::Part, model, &format!("{oid}.{name}"), expires));
    }
    action
}

/// Responds to `/content/MODEL/OID`, `/upload/MODEL/OID` and `/verify/MODEL/OID`.
pub(super) fn answer(request: &mut Request<'_>) -> io::Result<Option<Answer>> {
    let path = request.head.path().to_owned();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (Some(first), Some(rest)) = (parts.next(), parts.next()) else { return Ok(None) };
    let deeds = [Deed::Download, Deed::Upload, Deed::Part, Deed::Complete, Deed::Verify];
    let Some(deed) = deeds.into_iter().find(|deed| deed.name() == first) else { return Ok(None) };
    let Some((id, oid)) = rest.rsplit_once('/') else { return Ok(None) };
    let Some(model) = request.state.model(id) else { return Ok(None) };
    if let Err(refused) = check(request) {
        return Ok(Some(refused));
    }
    let object = model.object(oid);
    let answer = match (deed, request.head.method.as_str()) {
        (Deed::Download, "GET" | "HEAD") => download(&request.head, &object)?,
        (Deed::Upload, "PUT") => upload(request, &object, oid)?,
        (Deed::Part, "PUT") => part(request, &object)?,
        (Deed::Complete, "POST") => complete(&request.body.all()?, request.record, &object, oid)?,
        (Deed::Verify, "POST") => verify(&request.body.all()?, request.record, &object, oid),
        _ => Answer::text(405, "Method Not Allowed"),
    };
    Ok(Some(answer))
}

fn download(head: &Head, object: &Path) -> io::Result<Answer> {
    match File::open(object) {
        Ok(file) => {
            let length = file.metadata()?.len();
            Ok(Answer::content(head, file, length))
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            Ok(xml(404, "NoSuchKey", "The specified key does not exist."))
        }
        Err(err) => Err(err),
    }
}

fn upload(request: &mut Request<'_>, object: &Path, oid: &str) -> io::Result<Answer> {
    let mut file = tempfile::NamedTempFile::new_in(object.parent().unwrap())?;
    let (got, _) = copy_hashed(&mut request.body, file.as_file_mut())?;
    if got != oid {
        return Ok(xml(400, "BadDigest", "The digest you specified did not match what we received."));
    }
    file.persist(object)?;
    Ok(Answer::text(200, ""))
}

fn part(request: &mut Request<'_>, object: &Path) -> io::Result<Answer> {
    let mut file = tempfile::NamedTempFile::new_in(object.parent().unwrap())?;
    let (got, _) = copy_hashed(&mut request.body, file.as_file_mut())?;
    file.persist(object)?;
    Ok(Answer::text(200, "").header("ETag", format!("\"{}\"", &got[..32])))
}

/// Joins the named parts in their order, if they are the object.
fn complete(body: &[u8], record: &Record<'_>, object: &Path, oid: &str) -> io::Result<Answer> {
    record.body(body);
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(parts) = asked["parts"].as_array().filter(|_| asked["oid"] == oid) else {
        return Ok(refusal(422, None, "Invalid parts"));
    };
    let mut whole = Vec::new();
    for (part, number) in parts.iter().zip(1_u64..) {
        let path = object.with_file_name(format!("{oid}.{number:05}"));
        let Ok(bytes) = fs::read(path) else { return Ok(refusal(422, None, "A part is missing")) };
        let etag = format!("\"{}\"", &oid_of(&bytes)[..32]);
        if part["partNumber"] != number || part["etag"] != etag {
            return Ok(refusal(422, None, "A part is another one"));
        }
        whole.extend(bytes);
    }
    if oid_of(&whole) != oid {
        return Ok(refusal(422, None, "The parts are not the object"));
    }
    fs::write(object, whole)?;
    Ok(Answer::json(200, &json!({"success": true})))
}

fn verify(body: &[u8], record: &Record<'_>, object: &Path, oid: &str) -> Answer {
    record.body(body);
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let Ok(stored) = fs::metadata(object) else { return refusal(404, None, "Object not found") };
    if asked["oid"] == oid && asked["size"] == stored.len() {
        Answer::json(200, &json!({}))
    } else {
        refusal(422, None, "Object is not what was announced")
    }
}
