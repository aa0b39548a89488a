//! Stores the discussions of a model, including pull requests; both share one sequence of numbers.
//!
//! Invariant: a pull request that was opened here has its `refs/pr/N`. A ref that was only pushed has no discussion.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::http::Head;

/// How many discussions a page contains.
const PAGE: usize = 50;

/// The status of a discussion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// A pull request that its author has not finished.
    Draft,
    Open,
    Closed,
    Merged,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Merged => "merged",
        }
    }

    /// Returns `true` if a list with this filter contains it.
    fn is_among(self, name: &str) -> bool {
        match name {
            "open" => matches!(self, Self::Draft | Self::Open),
            "closed" => matches!(self, Self::Closed | Self::Merged),
            _ => true,
        }
    }
}

/// A discussion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Discussion {
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) author: String,
    pub(crate) status: Status,
    pub(crate) is_pull_request: bool,
}

impl Discussion {
    /// Returns its entry in a list of the API.
    fn json(&self, id: &str) -> Value {
        json!({
            "num": self.number,
            "title": self.title,
            "status": self.status.name(),
            "isPullRequest": self.is_pull_request,
            "author": {"name": self.author, "type": "user"},
            "createdAt": "2020-01-02T03:04:05.000Z",
            "repo": {"name": id, "type": "model"},
        })
    }

    /// Returns its own document of the API.
    pub(super) fn details(&self, id: &str) -> Value {
        let mut value = self.json(id);
        let comment =
            json!({"data": {"latest": {"raw": self.description}, "edited": false, "hidden": false}});
        value["events"] = json!([{
            "id": format!("{:024x}", self.number),
            "type": "comment",
            "author": {"name": self.author, "type": "user"},
            "createdAt": "2020-01-02T03:04:05.000Z",
            "data": comment["data"],
        }]);
        if self.is_pull_request {
            value["changes"] = json!({"base": "refs/heads/main", "mergeCommitId": null});
            value["filesWithConflicts"] = json!([]);
        }
        value
    }
}

/// The discussions of a model, by number.
#[derive(Debug, Default)]
pub(super) struct Discussions(Mutex<BTreeMap<u64, Discussion>>);

impl Discussions {
    /// Adds a discussion, unless its number is taken.
    pub(super) fn add(&self, discussion: Discussion) {
        self.0.lock().unwrap().entry(discussion.number).or_insert(discussion);
    }

    /// Opens a discussion under the next number, which is also above `taken`.
    pub(super) fn open(&self, taken: u64, open: impl FnOnce(u64) -> Discussion) -> Discussion {
        let mut all = self.0.lock().unwrap();
        let last = all.keys().next_back().copied().unwrap_or(0);
        let discussion = open(last.max(taken) + 1);
        all.insert(discussion.number, discussion.clone());
        discussion
    }

    pub(super) fn get(&self, number: u64) -> Option<Discussion> {
        self.0.lock().unwrap().get(&number).cloned()
    }

    pub(super) fn all(&self) -> Vec<Discussion> {
        self.0.lock().unwrap().values().cloned().collect()
    }

    /// Changes a discussion. Returns `false` if it does not exist.
    pub(super) fn change(&self, number: u64, change: impl FnOnce(&mut Discussion)) -> bool {
        self.0.lock().unwrap().get_mut(&number).map(change).is_some()
    }

    /// Returns a page of the list, the newest first, selected by `p`, `type`, `status` and `author` of the query.
    pub(super) fn page(&self, head: &Head, id: &str) -> Value {
        let asked = |key| head.query(key).unwrap_or_default();
        let (kind, status, author) = (asked("type"), asked("status"), asked("author"));
        let all = self.all();
        let chosen = all.iter().rev().filter(|one| match kind.as_str() {
            "pull_request" => one.is_pull_request,
            "discussion" => !one.is_pull_request,
            _ => true,
        });
        let chosen = chosen.filter(|one| one.status.is_among(&status));
        let chosen: Vec<_> = chosen.filter(|one| author.is_empty() || one.author == author).collect();
        let start = asked("p").parse::<usize>().unwrap_or(0).saturating_mul(PAGE);
        let page = chosen.iter().skip(start).take(PAGE).map(|one| one.json(id)).collect::<Vec<_>>();
        let closed = all.iter().filter(|one| one.status.is_among("closed")).count();
        json!({"discussions": page, "count": chosen.len(), "start": start, "numClosedDiscussions": closed})
    }
}
