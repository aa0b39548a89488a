//! Handles one model of a batch: a directory, a clone, the conversion.
//!
//! Invariant: every error is recorded as a fact about the model, in its [`Record`], except an interruption.

use std::path::Path;

use bstr::BString;

use super::existing_clone;
use super::failure::{Cause, turned_away};
use super::list::{Item, shown};
use super::{FileRecord, ModelStatus, Options, Publication, Record, Temporary};
use crate::actions;
use crate::actions::convert::{self, Summary};
use crate::actions::publish::{self, PublishOutcome};
use crate::actions::pull::{Choice, Done, Pulled, by_choice};
use crate::actions::servers::Session;
use crate::actions::workspace::Workspace;
use crate::actions::{Error, Outcome, Reason, Reporter, clone};
use crate::git::{self, Trouble};
use crate::remote;
use crate::repo::Repo;
use crate::size::two;

/// Converts a model; `before` is the commit of an earlier conversion, if any.
///
/// # Errors
/// [`Error::Interrupted`], or the error of a server that wants fewer requests.
pub(super) fn work(
    options: &Options,
    item: &Item,
    before: Option<&str>,
    temporary: &Temporary,
    reporter: &dyn Reporter,
) -> Result<Record, Error> {
    let (model, url, revision) = (item.name(), item.url.clone(), item.revision.clone());
    let mut record = Record { model, url, revision, ..Record::default() };
    let done = attempt(options, item, before, temporary, reporter, &mut record);
    // A model that was finished before the interruption stays finished.
    let is_over = done.is_ok() && !matches!(record.status, ModelStatus::Refused | ModelStatus::Failed);
    if reporter.is_interrupted() && !is_over {
        return Err(Error::Interrupted);
    }
    match done {
        Ok(()) => {}
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) if turned_away(&error).is_some() => return Err(error),
        Err(error) => {
            let error = gate(options, item, &error, reporter).unwrap_or(error);
            record.status = if error.is_refusal() { ModelStatus::Refused } else { ModelStatus::Failed };
            record.cause = Some(Cause::of(&error));
            record.reason = Some(error.reason(&str::to_owned));
        }
    }
    record.finished_at = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string();
    Ok(record)
}

/// Returns an error if the model on the Hub is gated: to git, a server like the Hub reports the same for a model that
/// does not exist.
fn gate(options: &Options, item: &Item, error: &Error, reporter: &dyn Reporter) -> Option<Error> {
    let Error::Git(git::Error::Remote { trouble: Trouble::SignIn | Trouble::Forbidden, .. }) = error else {
        return None;
    };
    let model = item.hub.as_ref()?;
    let session = Session::new(&options.servers, reporter);
    let hub = session.hub(&options.cwd).ok()?;
    let is_gated = hub.model(model, None).ok()?.is_gated();
    is_gated.then(|| remote::Error::Gated { url: hub.clone_url(model), said: None }.into())
}

/// Does the work, and adds each fact to the record as it becomes known.
fn attempt(
    options: &Options,
    item: &Item,
    before: Option<&str>,
    temporary: &Temporary,
    reporter: &dyn Reporter,
    record: &mut Record,
) -> Result<(), Error> {
    let Some(parent) = &options.dir else {
        let place = temporary.make()?;
        let done = convert_in(options, item, None, &place.path().join("model"), reporter, record);
        let path = place.path().to_owned();
        let removed = place.close().map_err(Error::io("remove", &path));
        return done.and(removed);
    };
    let place =
        item.place.as_ref().ok_or_else(|| Error::NeedsDirectory { model: record.model.clone().into() })?;
    let dir = options.cwd.join(parent).join(place);
    if let Some(other) = &item.displaced_by {
        return Err(Error::SamePlace { dir, other: other.clone() });
    }
    record.dir = Some(shown(dir.as_os_str()));
    convert_in(options, item, before, &dir, reporter, record)
}

fn convert_in(
    options: &Options,
    item: &Item,
    before: Option<&str>,
    dir: &Path,
    reporter: &dyn Reporter,
    record: &mut Record,
) -> Result<(), Error> {
    let kept = existing_clone::find(dir, item)?;
    let (commit, has_moved) = match &kept {
        Some(repo) => existing_clone::bring_up(repo, options, item, reporter)?,
        None => (clone::clone(&options.clone_of(item, Some(dir.to_owned())), reporter)?.commit, false),
    };
    Repo::at(dir)?;
    // Files that were converted from another commit are replaced, whatever moved the branch.
    let force = options.force || has_moved || before.is_some_and(|before| before != commit);
    record.commit = Some(commit);
    let session = Session::new(&options.servers, reporter);
    let size = match Repo::discover(dir)? {
        Some(repo) => Workspace::open(&repo, &session)?.weight(force)?,
        None => 0,
    };
    record.size = Some(size);
    if let Some(most) = options.max_size.filter(|&most| size > most) {
        record.status = ModelStatus::Skipped;
        record.cause = Some(Cause::TooLarge);
        let [size, most] = two(size, most);
        record.reason = Some(format!("checkpoints total {size}, over the limit of {most} (`--max-size`)"));
        return Ok(());
    }
    match convert(options, dir, force, reporter)? {
        Done::Converted(summary) => note(record, &served(summary)?),
        Done::Pulled(pulled) => note_pulled(record, &pulled),
    }
    let is_done = matches!(record.status, ModelStatus::Converted | ModelStatus::NothingToDo);
    if let Some(repo) = kept.filter(|_| is_done && has_moved) {
        existing_clone::settle(&repo, &session)?;
    }
    let has_output = record.files.iter().any(|file| file.output.is_some());
    if options.publish && has_output && is_done {
        publish(options, dir, reporter, record)?;
    }
    Ok(())
}

/// Publishes the converted files: those of this run, and of earlier ones.
fn publish(options: &Options, dir: &Path, reporter: &dyn Reporter, record: &mut Record) -> Result<(), Error> {
    let how = publish::Options {
        cwd: dir.to_owned(),
        servers: options.servers.clone(),
        message: None,
        branch: None,
        force: false,
        dry_run: false,
    };
    let published = publish::publish(&how, reporter)?;
    let status = match published.how {
        PublishOutcome::Nothing | PublishOutcome::Planned => "nothing",
        PublishOutcome::Opened => "opened",
        PublishOutcome::Exists => "exists",
        PublishOutcome::Pushed => "pushed",
    };
    if matches!(published.how, PublishOutcome::Opened | PublishOutcome::Pushed) {
        record.status = ModelStatus::Converted;
    }
    record.published = Some(Publication {
        status: status.to_owned(),
        number: published.number,
        url: published.url,
        reference: published.reference,
        commit: published.commit,
    });
    Ok(())
}

/// Returns the summary, unless a server that wants fewer requests rejected a file.
fn served(mut summary: Summary) -> Result<Summary, Error> {
    let is_turned_away = |outcome: &Outcome| matches!(&outcome.reason, Some(Reason::Error(error)) if turned_away(error).is_some());
    match summary.outcomes.iter().position(is_turned_away).map(|at| summary.outcomes.swap_remove(at).reason) {
        Some(Some(Reason::Error(error))) => Err(error),
        _ => Ok(summary),
    }
}

fn convert(options: &Options, dir: &Path, force: bool, reporter: &dyn Reporter) -> Result<Done, Error> {
    let choice = match options.pr {
        Some(choice) => choice,
        // Publishing checks whether a pull request has the same files.
        None if options.publish => Choice::Never,
        None => Choice::configured(dir)?,
    };
    let how = convert::Options {
        cwd: dir.to_owned(),
        force,
        strict: options.strict,
        max_output: options.max_output,
        // A temporary clone needs no second copy of the content.
        pointer_only: options.pointer_only || options.dir.is_none(),
        servers: options.servers.clone(),
        jobs: options.jobs,
        ..convert::Options::default()
    };
    by_choice(choice, &how, reporter)
}

/// Records the results of the files, and uses the worst one for the model.
fn note(record: &mut Record, summary: &Summary) {
    use actions::Status as Of;
    let all = &summary.outcomes;
    record.files = all.iter().map(file).collect();
    let has = |status: Of| all.iter().any(|outcome| outcome.status == status);
    record.status = if has(Of::Failed) {
        ModelStatus::Failed
    } else if has(Of::Refused) {
        ModelStatus::Refused
    } else if has(Of::Converted) || has(Of::Adopted) {
        ModelStatus::Converted
    } else {
        ModelStatus::NothingToDo
    };
    let worst = if has(Of::Failed) { Of::Failed } else { Of::Refused };
    let bad: Vec<_> = all.iter().filter(|outcome| outcome.status == worst).filter_map(error_of).collect();
    // The error about the incomplete checkpoint follows from the error of its shard.
    let is_first = |error: &Error| !matches!(error, Error::IncompleteSet { .. });
    let first = bad.iter().find(|(_, error)| is_first(error)).or(bad.first());
    if let Some((source, error)) = first {
        let more = match bad.len() {
            1 => String::new(),
            count => format!(", and {} more", count - 1),
        };
        record.cause = Some(Cause::of(error));
        record.reason = Some(format!("{}: {}{more}", text(source), error.reason(&str::to_owned)));
    }
}

fn error_of(outcome: &Outcome) -> Option<(&BString, &Error)> {
    match &outcome.reason {
        Some(Reason::Error(error)) => Some((&outcome.source, error)),
        _ => None,
    }
}

fn file(outcome: &Outcome) -> FileRecord {
    let known = outcome.conversion.as_ref();
    FileRecord {
        source: Some(text(&outcome.source)),
        output: outcome.output.as_ref().map(text),
        status: outcome.status.name().to_owned(),
        oid: known.and_then(|known| known.oid).map(|oid| oid.to_string()),
        size: known.map(|known| known.size),
        source_oid: known.and_then(|known| known.source_oid).map(|oid| oid.to_string()),
        reason: outcome.reason.as_ref().map(|reason| reason.text(&str::to_owned)),
    }
}

fn note_pulled(record: &mut Record, pulled: &Pulled) {
    let files = pulled.request.files.iter().map(|file| FileRecord {
        output: Some(text(&file.path)),
        status: "pulled".to_owned(),
        oid: file.pointer.map(|pointer| pointer.oid.to_string()),
        size: file.pointer.map(|pointer| pointer.size),
        ..FileRecord::default()
    });
    record.files = files.collect();
    record.status = ModelStatus::Converted;
}

/// Returns the bytes of a path as text, with invalid UTF-8 escaped.
fn text(path: &BString) -> String {
    std::str::from_utf8(path).map_or_else(|_| path.escape_ascii().to_string(), str::to_owned)
}
