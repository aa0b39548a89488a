//! Tests the REST responses with curl, and compares them with git's view of the repository.

use serde_json::{Value, json};

use super::{Check, ID, WRITER, bytes};
use crate::hub::{Builder, Discussion, Right, Status, oid_of};

/// Sends a request with options. Returns the status and the JSON of the response.
fn ask(check: &Check, path: &str, options: &[&str]) -> Option<(u16, Value)> {
    let url = format!("{}{path}", check.hub.endpoint());
    let args = ["-w", "\n%{http_code}"].into_iter().chain(options.iter().copied()).chain([url.as_str()]);
    let answer = check.curl(&args.collect::<Vec<_>>())?.ok();
    let (body, status) = answer.rsplit_once('\n').unwrap();
    Some((status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default()))
}

#[test]
fn the_api_says_the_refs_and_files_that_git_says() {
    let check = Check::new();
    let Some((status, refs)) = ask(&check, "/api/models/acme/bert/refs?include_prs=1", &[]) else { return };
    assert_eq!(status, 200);
    let rev = |name: &str| check.hub.rev(ID, name).unwrap();
    let entry = |name: &str, full: &str| json!([{"name": name, "ref": full, "targetCommit": rev(full)}]);
    assert_eq!(refs["branches"], entry("main", "refs/heads/main"));
    assert_eq!(refs["tags"], entry("v1", "refs/tags/v1"));
    assert_eq!(refs["pullRequests"], entry("refs/pr/42", "refs/pr/42"));
    let (_, refs) = ask(&check, "/api/models/acme/bert/refs", &[]).unwrap();
    assert!(refs.get("pullRequests").is_none());

    let (_, model) = ask(&check, "/api/models/acme/bert", &[]).unwrap();
    assert_eq!((&model["id"], &model["sha"]), (&json!(ID), &json!(rev("main"))));
    let tree = check.git(&check.hub.git_dir(ID), &["ls-tree", "-r", "--name-only", "main"]);
    let names: Vec<_> = model["siblings"].as_array().unwrap().iter().map(|one| &one["rfilename"]).collect();
    assert_eq!(names, tree.lines().collect::<Vec<_>>());
    let (_, model) = ask(&check, "/api/models/acme/bert/revision/refs%2Fpr%2F42", &[]).unwrap();
    assert_eq!(model["sha"], json!(rev("refs/pr/42")));
    assert_eq!(ask(&check, "/api/models/acme/bert/revision/none", &[]).unwrap().0, 404);
}

#[test]
fn whoami_knows_the_user_and_what_the_token_may() {
    let check = Check::new();
    check.hub.add_token(WRITER, "owner", Right::Write);
    let auth = format!("Authorization: Bearer {WRITER}");
    let Some((status, user)) = ask(&check, "/api/whoami-v2", &["-H", &auth]) else { return };
    assert_eq!(status, 200);
    assert_eq!((&user["name"], &user["auth"]["accessToken"]["role"]), (&json!("owner"), &json!("write")));
    assert_eq!(ask(&check, "/api/whoami-v2", &[]).unwrap().0, 401);
}

#[test]
fn discussions_come_in_pages_the_newest_first_and_as_they_are_asked_for() {
    let check = Check::new();
    let mut more = Builder::more();
    for number in 43..103 {
        more.pull_request(number).file("x", number.to_string()).commit(&format!("change {number}"));
    }
    check.hub.add_model(ID, &more);
    let mut talk = check.hub.discussions(ID)[0].clone();
    talk = Discussion { number: 7, title: "How?".to_owned(), is_pull_request: false, ..talk };
    check.hub.set_discussion(ID, talk);
    let mut merged = check.hub.discussions(ID).pop().unwrap();
    assert_eq!(merged.number, 102);
    merged.status = Status::Merged;
    check.hub.set_discussion(ID, merged);
    check.hub.remove_ref(ID, "refs/pr/102");
    assert_eq!(check.hub.rev(ID, "refs/pr/102"), None);

    let list = |query: &str| {
        let (status, page) = ask(&check, &format!("/api/models/acme/bert/discussions?{query}"), &[])?;
        assert_eq!(status, 200);
        let numbers = page["discussions"].as_array().unwrap().iter().map(|one| one["num"].as_u64().unwrap());
        Some((page["count"].as_u64().unwrap(), page["start"].as_u64().unwrap(), numbers.collect::<Vec<_>>()))
    };
    let Some(first) = list("p=0") else { return };
    assert_eq!(first, (62, 0, (53..103).rev().collect()));
    let rest: Vec<_> = (42..53).rev().chain([7]).collect();
    assert_eq!(list("p=1").unwrap(), (62, 50, rest));
    assert_eq!(list("type=discussion").unwrap(), (1, 0, vec![7]));
    assert_eq!(list("type=pull_request&status=open&author=Bot").unwrap(), (1, 0, vec![42]));
    assert_eq!(list("status=closed").unwrap(), (1, 0, vec![102]));
    let (_, one) = ask(&check, "/api/models/acme/bert/discussions/42", &[]).unwrap();
    assert_eq!(one["title"], "Adding `safetensors` variant of this model");
    assert_eq!((&one["isPullRequest"], &one["author"]["name"]), (&json!(true), &json!("Bot")));
    assert_eq!(one["changes"]["base"], "refs/heads/main");
    assert_eq!(ask(&check, "/api/models/acme/bert/discussions/999", &[]).unwrap().0, 404);
}

#[test]
fn a_pull_request_is_opened_as_a_draft_with_a_ref_at_main() {
    let check = Check::new();
    check.hub.add_token("hf_helper", "helper", Right::Contribute);
    check.hub.add_token("hf_reader", "reader", Right::Read);
    let path = "/api/models/acme/bert/discussions";
    let post = |token: &str, path: &str, body: &str| {
        let auth = format!("Authorization: Bearer {token}");
        ask(&check, path, &["-H", &auth, "-H", "Content-Type: application/json", "-d", body])
    };
    let body = r#"{"title":"Add safetensors","description":"made from the checkpoint","pullRequest":true}"#;
    let Some((status, opened)) = post("hf_helper", path, body) else { return };
    assert_eq!((status, &opened["num"]), (200, &json!(43)));
    assert_eq!(check.hub.rev(ID, "refs/pr/43"), check.hub.rev(ID, "main"));
    let last = check.hub.discussions(ID).pop().unwrap();
    let expected = Discussion {
        number: 43,
        title: "Add safetensors".to_owned(),
        description: "made from the checkpoint".to_owned(),
        author: "helper".to_owned(),
        status: Status::Draft,
        is_pull_request: true,
    };
    assert_eq!(last, expected);
    let status = post("hf_helper", &format!("{path}/43/status"), r#"{"status":"open"}"#).unwrap().0;
    assert_eq!((status, check.hub.discussions(ID).pop().unwrap().status), (200, Status::Open));
    assert_eq!(post("hf_reader", path, body).unwrap().0, 403);
    assert_eq!(post("hf_unknown", path, body).unwrap().0, 401);
    assert_eq!(post("hf_helper", path, r#"{"title":""}"#).unwrap().0, 400);
}

#[test]
fn resolve_gives_files_and_leads_to_the_content_of_lfs_files() {
    let check = Check::new();
    let cdn = check.hub.content_origin();
    let file = |rev: &str, path: &str| format!("{}/resolve/{rev}/{path}", check.hub.url(ID));
    let oid = check.oid("pytorch_model.bin");
    let url = file("main", "pytorch_model.bin");
    let Some(head) = check.curl(&["-I", &url]) else { return };
    let head = head.ok();
    let expected = [
        "HTTP/1.1 302 Found".to_owned(),
        format!("X-Linked-Etag: \"{oid}\""),
        "X-Linked-Size: 300000".to_owned(),
        format!("X-Repo-Commit: {}", check.hub.rev(ID, "main").unwrap()),
        format!("Location: {cdn}/content/"),
    ];
    for line in expected {
        assert!(head.lines().any(|had| had.starts_with(&line)), "{line}: {head}");
    }
    let to = check.sandbox.path("got");
    let args = ["-L", "-H", "Range: bytes=7-9", "-w", "%{http_code}", "-o", to.to_str().unwrap(), &url];
    assert_eq!(check.curl(&args).unwrap().ok(), "206");
    assert_eq!(std::fs::read(&to).unwrap(), bytes(300_000)[7..10]);
    assert_eq!(check.hub.fetched(&oid), [7..10]);

    let get = |url: &str| check.curl(&["-L", "-D", "-", url]).unwrap().ok();
    assert!(get(&file("main", "vocab.txt")).ends_with("\r\n\r\na\nb\n"));
    let with_length = get(&file("refs%2Fpr%2F42", "model.safetensors")).contains("Content-Length: 200000");
    assert!(with_length, "another revision");
    let missing = get(&file("main", "none.txt"));
    assert!(
        missing.contains("X-Error-Code: EntryNotFound") && missing.contains("X-Repo-Commit: "),
        "{missing}"
    );
    assert!(get(&file("none", "vocab.txt")).contains("X-Error-Code: RevisionNotFound"));
    assert_eq!(oid, oid_of(&bytes(300_000)));
}
