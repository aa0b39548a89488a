//! Implements the API of discussions: the list, a single one, a new one, a comment, the change of a status.
//!
//! Invariant: a pull request that is opened here is a draft, with its ref at `main`; the names of fields are those of
//! the Hub.

use std::io;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::access::{Right, refusal};
use super::api::check;
use super::discussions::{Discussion, Status};
use super::http::Answer;
use super::model::Model;
use super::server::Request;

/// Responds to a path below a model's `discussions`.
pub(super) fn answer(request: &mut Request<'_>, id: &str, rest: &str) -> io::Result<Answer> {
    let posts = request.head.method == "POST";
    let body = request.body.all()?;
    request.record.body(&body);
    let (model, token) = match check(request, id, if posts { Right::Contribute } else { Right::Public }) {
        Ok(checked) => checked,
        Err(refused) => return Ok(refused),
    };
    if model.is_closed.load(Ordering::Relaxed) {
        return Ok(refusal(403, None, "Discussions are disabled for this repo"));
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let user = token.map_or_else(String::new, |token| token.user);
    let (number, deed) = rest.split_once('/').unwrap_or((rest, ""));
    if number.is_empty() {
        return Ok(if posts {
            open(&model, id, &asked, user)
        } else {
            Answer::json(200, &model.discussions.page(&request.head, id))
        });
    }
    let Some(discussion) = number.parse().ok().and_then(|number| model.discussions.get(number)) else {
        return Ok(refusal(404, None, "Discussion not found"));
    };
    let event = |kind: &str, data: Value| {
        json!({
            "id": format!("{:024x}", discussion.number + 1),
            "type": kind,
            "author": {"name": user, "type": "user"},
            "createdAt": "2020-01-02T03:04:05.000Z",
            "data": data,
        })
    };
    let answer = match (posts, deed, asked["status"].as_str()) {
        (false, "", _) => Answer::json(200, &discussion.details(id)),
        (true, "status", Some(status @ ("open" | "closed"))) => {
            let status = if status == "open" { Status::Open } else { Status::Closed };
            model.discussions.change(discussion.number, |discussion| discussion.status = status);
            Answer::json(
                200,
                &json!({"newStatus": event("status-change", json!({"status": asked["status"]}))}),
            )
        }
        (true, "comment", _) if asked["comment"].as_str().is_some_and(|text| !text.trim().is_empty()) => {
            let data = json!({"latest": {"raw": asked["comment"]}, "edited": false, "hidden": false});
            Answer::json(200, &json!({"newMessage": event("comment", data)}))
        }
        _ => refusal(404, None, "Not Found"),
    };
    Ok(answer)
}

fn open(model: &Model, id: &str, asked: &Value, author: String) -> Answer {
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let title = text("title");
    // The Hub has the same limit.
    if title.trim().chars().count() < 3 {
        return refusal(400, None, "Title must be at least 3 characters long");
    }
    let is_pull_request = asked["pullRequest"] == true;
    let taken = model.git(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/pr/"], b"");
    let taken = taken.lines().filter_map(|number| number.parse().ok()).max().unwrap_or(0);
    let status = if is_pull_request { Status::Draft } else { Status::Open };
    let discussion = model.discussions.open(taken, |number| Discussion {
        number,
        title,
        description: text("description"),
        author,
        status,
        is_pull_request,
    });
    if is_pull_request {
        model.git(&["update-ref", &format!("refs/pr/{}", discussion.number), "refs/heads/main"], b"");
    }
    let mut value = discussion.details(id);
    value["pullRequest"] = json!(is_pull_request);
    value["url"] = json!(format!("/{id}/discussions/{}", discussion.number));
    Answer::json(200, &value)
}
