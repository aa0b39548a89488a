//! Implements the Hub's REST API as far as clients use it: `whoami`, a model, its refs, its discussions.
//!
//! Invariant: every response is read from the repository at that moment. The names of fields are those of the Hub.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use super::access::{Access, Asks, Right, Token, refusal, unauthorized};
use super::http::{Answer, decode};
use super::listing;
use super::model::Model;
use super::resolve::pointer;
use super::server::Request;

/// Responds to a path below `/api/`.
pub(super) fn answer(request: &mut Request<'_>, path: &str) -> io::Result<Answer> {
    if path == "whoami-v2" {
        return Ok(whoami(request));
    }
    if path == "models" {
        return Ok(listing::answer(request.state, &request.head));
    }
    let not_found = refusal(404, None, "Sorry, we can't find the page you are looking for.");
    let Some(rest) = path.strip_prefix("models/") else { return Ok(not_found) };
    // The id of a model has two parts, or one; that of an unknown model has two.
    let parts: Vec<_> = rest.split('/').map(decode).collect();
    let known =
        |names: usize| parts.len() >= names && request.state.model(&parts[..names].join("/")).is_some();
    let names = if known(2) || !known(1) { parts.len().min(2) } else { 1 };
    let (id, rest) = (parts[..names].join("/"), parts[names..].join("/"));
    if rest == "auth-check" {
        return Ok(match check(request, &id, Right::Public) {
            Ok(_) => Answer::json(200, &json!({})),
            Err(refused) => refused,
        });
    }
    if let Some(rest) = rest.strip_prefix("discussions") {
        return super::talk::answer(request, &id, rest.trim_start_matches('/'));
    }
    // The names of a gated model and of its files are public.
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
        _ if rest.starts_with("tree/") => tree(request, &model, &id, &rest["tree/".len()..]),
        _ if rest.starts_with("commits/") => commits(request, &model, &rest["commits/".len()..]),
        "" if request.head.query("expand").as_deref() == Some("xetEnabled") => {
            let is_xet = request.state.is_xet();
            Answer::json(200, &json!({"_id": "0123456789abcdef01234567", "id": id, "xetEnabled": is_xet}))
        }
        "" => info(&model, &id, revision),
        _ if rest.starts_with("revision/") => info(&model, &id, revision),
        _ => not_found,
    })
}

pub(super) type Checked = Result<(Arc<Model>, Option<Token>), Answer>;

pub(super) fn check(request: &Request<'_>, id: &str, need: Right) -> Checked {
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

/// How many files a page of a tree contains at most; the Hub's contains 1000.
const PAGE: usize = 20;

/// Returns the files and directories of a revision, in pages.
fn tree(request: &Request<'_>, model: &Model, id: &str, revision: &str) -> Answer {
    let Some(commit) = model.rev(&format!("{revision}^{{commit}}")) else {
        return refusal(404, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"));
    };
    let lines = model.git(&["ls-tree", "-r", "-t", "-l", "-z", &commit], b"");
    let entries: Vec<_> = lines.split_terminator('\0').filter_map(|line| line.split_once('\t')).collect();
    let from: usize = request.head.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let page = entries.iter().skip(from).take(PAGE).map(|(facts, path)| {
        let facts: Vec<_> = facts.split_whitespace().collect();
        let oid = facts[2];
        if facts[1] == "tree" {
            return json!({"type": "directory", "oid": oid, "size": 0, "path": path});
        }
        let blob = model.blob(oid).unwrap().unwrap_or_default();
        let mut entry = json!({"type": "file", "oid": oid, "size": blob.len(), "path": path});
        if let Some((oid, size)) = pointer(&blob) {
            let size: u64 = size.parse().unwrap();
            entry["size"] = size.into();
            entry["lfs"] = json!({"oid": oid, "size": size, "pointerSize": blob.len()});
        }
        entry
    });
    let answer = Answer::json(200, &page.collect());
    if from + PAGE >= entries.len() {
        return answer;
    }
    let url = format!("{}/api/models/{id}/tree/{revision}", request.state.main_origin());
    answer.header("Link", format!("<{url}?recursive=true&cursor={}>; rel=\"next\"", from + PAGE))
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

/// Returns the commits of a revision, the newest first, in pages.
fn commits(request: &Request<'_>, model: &Model, revision: &str) -> Answer {
    let Some(commit) = model.rev(&format!("{revision}^{{commit}}")) else {
        return refusal(404, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"));
    };
    let page = request.head.query("p").and_then(|page| page.parse::<usize>().ok()).unwrap_or(0);
    let skip = format!("--skip={}", page * 50);
    let lines =
        model.git(&["log", "-z", "--max-count=50", &skip, "--format=%H%n%an%n%aI%n%s%n%b", &commit], b"");
    let entries = lines.split_terminator('\0').map(|text| {
        let mut lines = text.splitn(5, '\n');
        let mut next = || lines.next().unwrap_or_default().to_owned();
        let (id, author, date, title) = (next(), next(), next(), next());
        json!({"id": id, "authors": [{"user": author}], "date": date, "title": title, "message": next()})
    });
    Answer::json(200, &entries.collect())
}
