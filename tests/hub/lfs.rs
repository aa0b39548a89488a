//! Implements the LFS API of a model: batch, without locks.
//!
//! Invariant: an object is offered only if this model has it.

use std::fs;
use std::io;

use serde_json::{Value, json};

use super::access::{Asks, Right, refusal};
use super::content::{Deed, action, now, parts};
use super::fault::Fault;
use super::http::Answer;
use super::model::Model;
use super::server::Request;
use super::time::rfc3339;

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

/// The form in which a batch states the end of its actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It does not state it.
    Unsaid,
    /// `expires_in`, in seconds.
    In,
    /// `expires_at`.
    At,
}

/// The lifetime of a link in seconds.
const LIFE: i64 = 3600;

/// Responds to a request below `info/lfs`.
pub(super) fn answer(request: &mut Request<'_>, id: &str, rest: &str) -> io::Result<Answer> {
    match (request.head.method.as_str(), rest) {
        ("POST", "objects/batch") => batch(request, id),
        _ => Ok(refusal(404, None, "Not Found")),
    }
}

fn batch(request: &mut Request<'_>, id: &str) -> io::Result<Answer> {
    let bytes = request.body.all()?;
    request.record.body(&bytes);
    let accepted = request.head.header("Accept").is_some_and(|value| value.contains(MEDIA_TYPE));
    if !accepted {
        return Ok(refusal(406, None, "The Accept header needs to be application/vnd.git-lfs+json"));
    }
    let Ok(asked) = serde_json::from_slice::<Value>(&bytes) else {
        return Ok(refusal(422, None, "Invalid JSON"));
    };
    let upload = asked["operation"] == "upload";
    let (Some(objects), true) = (asked["objects"].as_array(), upload || asked["operation"] == "download")
    else {
        return Ok(refusal(422, None, "Invalid batch"));
    };
    if asked["hash_algo"].as_str().is_some_and(|name| !matches!(name, "" | "sha256")) {
        return Ok(refusal(409, None, "Unknown hash algorithm"));
    }
    // A user who may open a pull request may upload for it.
    let to_pull_request = asked["ref"]["name"].as_str().is_none_or(|name| name.starts_with("refs/pr/"));
    let need = match (upload, to_pull_request) {
        (false, _) => Right::Public,
        (true, true) => Right::Contribute,
        (true, false) => Right::Write,
    };
    let state = request.state;
    let model = match state.tokens.check(&request.head, Asks::Password, state.model(id), id, need) {
        Ok((model, _)) => model,
        Err(refused) => return Ok(refused),
    };
    let can_parts = asked["transfers"].as_array().is_some_and(|all| all.contains(&json!("multipart")));
    let part = state.part().filter(|_| upload && can_parts);
    let mut objects: Vec<_> =
        objects.iter().map(|object| entry(request, &model, id, object, upload, part)).collect();
    let chosen = state.transfer();
    let chosen = chosen
        .filter(|(name, _)| asked["transfers"].as_array().is_some_and(|all| all.contains(&json!(name))));
    if let Some((name, secret)) = &chosen {
        hand_over(&mut objects, name, secret);
    }
    let has_parts =
        objects.iter().any(|object| !object["actions"]["upload"]["header"]["chunk_size"].is_null());
    let own = if has_parts { "multipart" } else { "basic" };
    let transfer = chosen.map_or_else(|| own.to_owned(), |(name, _)| name);
    let value = json!({"transfer": transfer, "objects": objects, "hash_algo": "sha256"});
    let mut answer = Answer::json(200, &value);
    answer.headers.remove("Content-Type");
    Ok(answer.header("Content-Type", format!("{MEDIA_TYPE}; charset=utf-8")))
}

/// Replaces the URLs of actions by ones that only an agent of this name can use.
fn hand_over(objects: &mut [Value], name: &str, secret: &str) {
    for object in objects {
        let oid = object["oid"].as_str().unwrap_or_default().to_owned();
        for deed in ["upload", "download"] {
            if let Some(action) = object.pointer_mut(&format!("/actions/{deed}")) {
                *action = json!({"href": format!("{name}://store/{oid}"), "header": {"X-Secret": secret}});
            }
        }
    }
}

/// Returns an object's entry in the response.
fn entry(
    request: &Request<'_>,
    model: &Model,
    id: &str,
    asked: &Value,
    upload: bool,
    part: Option<u64>,
) -> Value {
    let (Some(oid), Some(size)) = (asked["oid"].as_str(), asked["size"].as_u64()) else {
        return json!({"oid": asked["oid"], "size": asked["size"], "error": error(422)});
    };
    let faults = request.state.faults.take_object(oid);
    request.record.note(|seen| seen.faults.extend(faults.iter().map(|fault| format!("{fault:?}"))));
    let mut entry = json!({"oid": oid, "size": size});
    let mut expired = false;
    for fault in &faults {
        match fault {
            Fault::ObjectError(code) => {
                entry["error"] = error(*code);
                return entry;
            }
            Fault::Size(size) => entry["size"] = json!(size),
            Fault::Expired => expired = true,
            _ => {}
        }
    }
    let right_oid = oid.len() == 64 && oid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let stored = fs::metadata(model.object(oid)).ok().filter(|_| right_oid).map(|stored| stored.len());
    let wrong = match stored {
        _ if !right_oid => Some(422),
        Some(length) if length != size => Some(422),
        None if !upload => Some(404),
        _ => None,
    };
    if let Some(code) = wrong {
        entry["error"] = error(code);
        return entry;
    }
    entry["authenticated"] = json!(true);
    let deeds: &[(&str, Deed)] = match (upload, stored) {
        // An existing object needs no action.
        (true, Some(_)) => &[],
        (true, None) => &[("upload", Deed::Upload), ("verify", Deed::Verify)],
        (false, _) => &[("download", Deed::Download)],
    };
    for (name, deed) in deeds {
        entry["actions"][name] = match part.filter(|part| *deed == Deed::Upload && size > *part) {
            Some(part) => parts(request.state, id, oid, size, part, now() + LIFE),
            None => timed_action(request, *deed, id, oid, expired),
        };
    }
    entry
}

fn timed_action(request: &Request<'_>, deed: Deed, id: &str, oid: &str, expired: bool) -> Value {
    let life = if expired { -60 } else { LIFE };
    let mut action = action(request.state, deed, id, oid, now() + life);
    match request.state.expiry() {
        Expiry::Unsaid => {}
        Expiry::In => action["expires_in"] = json!(life),
        Expiry::At => action["expires_at"] = json!(rfc3339(now() + life)),
    }
    action
}

fn error(code: u16) -> Value {
    let message = match code {
        404 => "Object does not exist",
        409 => "Unknown hash algorithm",
        410 => "Object was removed",
        422 => "Validation error",
        _ => "Server error",
    };
    json!({"code": code, "message": message})
}
