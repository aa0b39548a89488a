//! Lists the models, sorted by downloads and filtered by tags, in pages that `Link` headers connect.
//!
//! Invariant: a page contains fewer models than the Hub's, so that a test sees several pages; a private model is in no
//! list.

use serde_json::{Value, json};

use super::State;
use super::access::Access;
use super::http::{Answer, Head, decode};

/// How many models a page contains at most; the Hub's contains 1000.
const PAGE: usize = 20;

pub(super) fn answer(state: &State, head: &Head) -> Answer {
    let filters: Vec<_> = head
        .raw_query()
        .split('&')
        .filter_map(|pair| pair.strip_prefix("filter="))
        .map(|value| decode(&value.replace('+', " ")))
        .collect();
    let models = state.models.lock().unwrap().clone();
    let mut found: Vec<_> = models
        .into_iter()
        .filter(|(_, model)| model.access() != Access::Private)
        .map(|(id, model)| (id, model.popularity()))
        .filter(|(_, (_, tags))| filters.iter().all(|filter| tags.contains(filter)))
        .collect();
    if head.query("sort").as_deref() == Some("downloads") {
        found.sort_by_key(|(_, (downloads, _))| std::cmp::Reverse(*downloads));
    }
    let from: usize = head.query("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let limit = head.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let page = found.iter().skip(from).take(limit).map(|(id, (downloads, tags))| {
        json!({"_id": "0123456789abcdef01234567", "id": id, "modelId": id, "likes": 0, "private": false,
               "downloads": downloads, "tags": tags})
    });
    let answer = Answer::json(200, &page.collect::<Value>());
    if from + limit >= found.len() {
        return answer;
    }
    let kept = head.raw_query().split('&').filter(|pair| !pair.starts_with("cursor="));
    let query =
        kept.map(str::to_owned).chain([format!("cursor={}", from + limit)]).collect::<Vec<_>>().join("&");
    answer.header("Link", format!("<{}/api/models?{query}>; rel=\"next\"", state.main_origin()))
}
