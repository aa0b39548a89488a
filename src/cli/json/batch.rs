//! Formats the JSON lines of a batch.

use std::path::Path;

use serde_json::json;

use super::super::error::Report;
use super::text::{line, native};
use crate::actions::batch::{BatchSummary, Item, ModelStatus, Record, Shard};

/// Returns the line of a model of a batch, which is its line in the journal.
pub(in crate::cli) fn batch_record(record: &Record) -> String {
    // A record contains only values that JSON can represent.
    line(&serde_json::to_value(record).unwrap_or_default())
}

/// Returns the line of a model in a dry run.
pub(in crate::cli) fn batch_item(item: &Item) -> String {
    line(&json!({
        "type": "model",
        "model": item.name(),
        "url": item.url,
        "revision": item.revision,
        "status": "pending",
    }))
}

/// Returns the last line of a batch, also after an error.
pub(in crate::cli) fn batch(
    done: Option<(&BatchSummary, &Path)>,
    shard: Option<Shard>,
    failure: Option<&Report>,
    exit_code: u8,
) -> String {
    let summary = done.map(|(summary, _)| summary);
    let count = |status| summary.map(|summary| summary.count(status));
    let causes = summary.map(|summary| {
        let causes = summary.causes().into_iter().map(|(cause, records)| {
            let models: Vec<_> = records.iter().map(|record| &record.model).collect();
            json!({ "cause": cause, "count": models.len(), "models": models })
        });
        causes.collect::<Vec<_>>()
    });
    line(&json!({
        "type": "summary",
        "models": summary.map(|summary| summary.records.len() + summary.done + summary.left),
        "converted": count(ModelStatus::Converted),
        "nothing_to_do": count(ModelStatus::NothingToDo),
        "skipped": count(ModelStatus::Skipped),
        "refused": count(ModelStatus::Refused),
        "failed": count(ModelStatus::Failed),
        "done_before": summary.map(|summary| summary.done),
        "left": summary.map(|summary| summary.left),
        "causes": causes.unwrap_or_default(),
        "journal": done.map(|(_, journal)| native(journal.as_os_str())),
        "shard": shard.map(|shard| json!({ "index": shard.index(), "count": shard.count() })),
        "reason": failure.map(Report::reason),
        "exit_code": exit_code,
    }))
}
