//! The Hub's REST API, as far as it is asked: who am I, a model, its refs, its discussions.
//!
//! Invariant: what is answered is read from the repository at that moment. Names of fields are those of the Hub.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use super::access::{Access, Asks, Right, Token, refusal, unauthorized};
use super::discussions::{Discussion, Status};
use super::http::{Answer, decode};
use super::listing;
use super::model::Model;
use super::server::Request;

/// Answers a path below `/api/`.
pub(super) fn answer(request: &mut Request<'_>, path: &str) -> io::Result<Answer> {
    if path == "whoami-v2" {
        return Ok(whoami(request));
    }
    if path == "models" {
        return Ok(listing::answer(request.state, &request.head));
    }
    let not_found = refusal(404, None, "Sorry, we can't find the page you are looking for.");
    let Some(rest) = path.strip_prefix("models/") else { return Ok(not_found) };
    // A model's id is two names, or one; that of an unknown model is two.
    let parts: Vec<_> = rest.split('/').map(decode).collect();
    let known =
        |names: usize| parts.len() >= names && request.state.model(&parts[..names].join("/")).is_some();
    let names = if known(2) || !known(1) { parts.len().min(2) } else { 1 };
    let (id, rest) = (parts[..names].join("/"), parts[names..].join("/"));
    if let Some(rest) = rest.strip_prefix("discussions") {
        return discussions(request, &id, rest.trim_start_matches('/'));
    }
    // What a gated model is called, and what its files are called, is no secret.
    let found = request.state.model(&id);
    let open = found.filter(|model| model.access() == Access::Gated);
    let model = match open {
        Some(model) => model,
        None => match check(request, &id, Right::Public) {
            Ok((model, _)) => model,
            Err(refused) => return Ok(refused),
        },
    };
    let revision = rest.strip_prefix("revision/").unwrap_or("main");
    Ok(match rest.as_str() {
        "refs" => refs(request, &model),
        "" => info(&model, &id, revision),
        _ if rest.starts_with("revision/") => info(&model, &id, revision),
        _ => not_found,
    })
}

type Checked = Result<(Arc<Model>, Option<Token>), Answer>;

fn check(request: &Request<'_>, id: &str, need: Right) -> Checked {
    request.state.tokens.check(&request.head, Asks::Token, request.state.model(id), id, need)
}

fn whoami(request: &Request<'_>) -> Answer {
    match request.state.tokens.identify(&request.head, Asks::Token) {
        Err(refused) => refused,
        Ok(None) => unauthorized(Asks::Token, "Invalid username or password."),
        Ok(Some(token)) => {
            let role = if token.right < Right::Contribute { "read" } else { "write" };
            let access =
                json!({"displayName": "a token", "role": role, "createdAt": "2020-01-02T03:04:05.000Z"});
            Answer::json(
                200,
                &json!({
                    "type": "user",
                    "id": "0123456789abcdef01234567",
                    "name": token.user,
                    "fullname": token.user,
                    "orgs": [],
                    "auth": {"type": "access_token", "accessToken": access},
                }),
            )
        }
    }
}

fn info(model: &Model, id: &str, revision: &str) -> Answer {
    let Some(commit) = model.rev(&format!("{revision}^{{commit}}")) else {
        return refusal(404, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"));
    };
    let names = model.git(&["ls-tree", "-r", "-z", "--name-only", &commit], b"");
    let siblings = names.split_terminator('\0').map(|name| json!({"rfilename": name}));
    let gated = if model.access() == Access::Gated { json!("manual") } else { json!(false) };
    let value = json!({
        "_id": "0123456789abcdef01234567",
        "id": id,
        "modelId": id,
        "author": id.split('/').next(),
        "sha": commit,
        "lastModified": "2020-01-02T03:04:05.000Z",
        "private": model.access() == Access::Private,
        "gated": gated,
        "disabled": false,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": siblings.collect::<Vec<_>>(),
    });
    Answer::json(200, &value)
}

fn refs(request: &Request<'_>, model: &Model) -> Answer {
    let list = |prefix: &str, short: bool| {
        let format = "--format=%(refname) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)";
        let lines = model.git(&["for-each-ref", format, prefix], b"");
        let entries = lines.lines().filter_map(|line| line.split_once(' ')).map(|(name, commit)| {
            let label = name.strip_prefix(prefix).filter(|_| short).unwrap_or(name);
            json!({"name": label, "ref": name, "targetCommit": commit})
        });
        entries.collect::<Value>()
    };
    let mut value = json!({
        "branches": list("refs/heads/", true),
        "converts": list("refs/convert/", true),
        "tags": list("refs/tags/", true),
    });
    if request.head.query("include_prs").is_some_and(|value| value != "0") {
        value["pullRequests"] = list("refs/pr/", false);
    }
    Answer::json(200, &value)
}

/// The list, one of it, a new one, and the change of a status.
fn discussions(request: &mut Request<'_>, id: &str, rest: &str) -> io::Result<Answer> {
    let posts = request.head.method == "POST";
    let body = request.body.all()?;
    request.record.body(&body);
    let (model, token) = match check(request, id, if posts { Right::Contribute } else { Right::Public }) {
        Ok(checked) => checked,
        Err(refused) => return Ok(refused),
    };
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
    let answer = match (posts, deed, asked["status"].as_str()) {
        (false, "", _) => Answer::json(200, &discussion.details(id)),
        (true, "status", Some(status @ ("open" | "closed"))) => {
            let status = if status == "open" { Status::Open } else { Status::Closed };
            model.discussions.change(discussion.number, |discussion| discussion.status = status);
            let change = json!({
                "id": format!("{:024x}", discussion.number + 1),
                "type": "status-change",
                "author": {"name": user, "type": "user"},
                "createdAt": "2020-01-02T03:04:05.000Z",
                "data": {"status": asked["status"]},
            });
            Answer::json(200, &json!({"newStatus": change}))
        }
        _ => refusal(404, None, "Not Found"),
    };
    Ok(answer)
}

fn open(model: &Model, id: &str, asked: &Value, author: String) -> Answer {
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let title = text("title");
    // As the Hub's form has it.
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
