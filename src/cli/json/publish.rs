//! Formats the JSON line of a publication.

use serde_json::json;

use super::text::{line, path};
use crate::actions::publish::{MadeFrom, PublishReport, PublishedFile, Target};

/// Returns the line of a publication.
pub(in crate::cli) fn published(published: &PublishReport) -> String {
    let PublishReport { how, plan, .. } = published;
    let sources = |file: &PublishedFile| {
        let source = |source: &MadeFrom| json!({ "path": path(&source.path), "oid": source.oid.map(|oid| oid.to_string()) });
        file.sources.iter().map(source).collect::<Vec<_>>()
    };
    let files = plan.files.iter().map(|file| {
        json!({
            "path": path(&file.path),
            "oid": file.pointer.map(|pointer| pointer.oid.to_string()),
            "size": file.size,
            "sources": sources(file),
        })
    });
    let (model, branch) = match &plan.target {
        Target::PullRequest { model } => (Some(model.as_str()), None),
        Target::Branch { name } => (None, Some(name)),
    };
    line(&json!({
        "type": "publish",
        "status": how,
        "number": published.number,
        "url": published.url,
        "ref": published.reference,
        "commit": published.commit,
        "author": published.author,
        "sent": published.sent.bytes,
        "agent": published.sent.agent,
        "model": model,
        "branch": branch,
        "base": plan.base,
        "title": plan.title,
        "description": plan.description,
        "files": files.collect::<Vec<_>>(),
        "attributes": plan.attributes.iter().map(path).collect::<Vec<_>>(),
    }))
}
