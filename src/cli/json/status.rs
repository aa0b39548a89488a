//! Formats the JSON lines of `status`.

use serde_json::json;

use super::super::error::Report;
use super::text::{line, path};
use crate::actions::guard::install::Hook;
use crate::actions::status::{FileState, FileStatus, RepositoryStatus};

/// Returns the line of one file.
pub(in crate::cli) fn file_status(file: &FileStatus) -> String {
    line(&json!({
        "type": "status",
        "state": file.state.name(),
        "checkpoint": file.checkpoint.as_ref().map(path),
        "output": file.output.as_ref().map(path),
        "size": file.size,
        "here": file.is_here,
        "tracked": file.is_tracked,
        "ours": match file.state {
            FileState::Stale => Some(true),
            FileState::StaleElsewhere => Some(false),
            _ => None,
        },
        "reason": file.reason,
    }))
}

/// Returns the last line, also after an error.
pub(in crate::cli) fn repository_status(
    status: Option<&RepositoryStatus>,
    failure: Option<&Report>,
    exit_code: u8,
) -> String {
    let count = |state| status.map(|status| status.count(state));
    let hooks = status.and_then(|status| status.hooks.as_ref());
    line(&json!({
        "type": "summary",
        "files": status.map(|status| status.files.len()),
        "unconverted": count(FileState::Unconverted),
        "stale": count(FileState::Stale).zip(count(FileState::StaleElsewhere)).map(|(a, b)| a + b),
        "differs": count(FileState::Differs),
        "unmerged": count(FileState::Unmerged),
        "unreadable": count(FileState::Unreadable),
        "unverified": count(FileState::Unverified),
        "not_here": count(FileState::NotHere),
        "untracked": count(FileState::Untracked),
        "training_state": count(FileState::TrainingState),
        "up_to_date": count(FileState::UpToDate),
        "alone": count(FileState::Alone),
        "left_out": status.map(|status| status.left_out),
        "to_do": status.map(RepositoryStatus::is_to_do),
        "guarded": {
            "commits": hooks.map(|hooks| hooks.is_guarded(Hook::PreCommit)),
            "pushes": hooks.map(|hooks| hooks.is_guarded(Hook::PrePush)),
        },
        "reason": failure.map(Report::reason),
        "exit_code": exit_code,
    }))
}
