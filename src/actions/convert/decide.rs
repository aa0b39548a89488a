//! Decides once what to do with a unit, by the states of its outputs.
//!
//! Invariant: an existing output is overwritten only if the record contains it as a conversion of ours, or with
//! `--force`. A stale file of unknown origin, and one that differs, are refused.

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice as _};

use super::super::output_state::{Differences, Given, IndexState, OutputState};
use super::super::provenance::CONVERTED;
use super::super::{Error, Status, names};
use super::output::is_to_be_committed;
use super::sets::{ShardedCheckpoint, Unit};
use super::{Context, Options};
use crate::lfs::Pointer;

/// What is to be done with a unit.
pub(super) enum UnitStep {
    /// Nothing: these outputs are there.
    Keep(Vec<(BString, Status)>),
    /// These outputs are taken as they are, for their checkpoints leave or they are to be committed.
    Take(Vec<(BString, Status)>),
    /// It is said what a run would do.
    Preview,
    /// An earlier run staged it, and it is to be committed: it is made again, gets no new name, and only the very same
    /// counts.
    Recheck,
    /// It is made.
    Convert,
    /// What is there keeps one of its files from being made.
    Refuse(BString, Box<Error>),
}

/// What is known of a unit before it is planned.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The outputs that are there, and that may be written over.
    pub(super) may_replace: BTreeSet<BString>,
    /// `true` if one of them is stale.
    pub(super) is_update: bool,
    /// `true` if a checkpoint with changes that are not staged is meant as it is in the working tree.
    pub(super) takes_changes: bool,
    /// `true` if the names to keep are those of the record, so that one that is gone is no error.
    pub(super) is_recorded: bool,
}

/// Decides. Returns the options to convert with, which are those of the record where none are given.
///
/// # Errors
/// [`Error::Interrupted`]: another is one of the unit.
pub(super) fn decide(context: Context<'_>, unit: &Unit) -> Result<(UnitStep, Choice, Options), Error> {
    let (mut choice, mut options) = (Choice::default(), context.options.clone());
    let step = match step(context, unit, &mut choice, &mut options) {
        Ok(step) => step,
        Err(error) => {
            let interrupted = context.reporter().is_interrupted() || matches!(error, Error::Interrupted);
            let first = unit.files.first().filter(|_| !interrupted);
            UnitStep::Refuse(first.ok_or(Error::Interrupted)?.path.clone(), Box::new(error))
        }
    };
    Ok((step, choice, options))
}

fn step(
    context: Context<'_>,
    unit: &Unit,
    choice: &mut Choice,
    options: &mut Options,
) -> Result<UnitStep, Error> {
    let Context { workspace, .. } = context;
    let made = if options.dry_run { UnitStep::Preview } else { UnitStep::Convert };
    let index = unit.set.as_ref().map(|ShardedCheckpoint { index, .. }| index);
    let new_index = index.map(|index| names::safetensors_index(index.as_bstr()));
    let pairs: Vec<(&BString, BString)> =
        unit.files.iter().map(|file| (&file.path, names::safetensors(file.path.as_bstr()))).collect();
    for path in pairs.iter().map(|(_, output)| output).chain(&new_index) {
        // A link or a directory of that name is no result; the plan refuses it.
        if workspace.repo.target(path.as_bstr())?.metadata().is_err() {
            return Ok(made);
        }
    }
    if pairs.iter().any(|(source, output)| *source == output) {
        return Ok(made);
    }
    let given = context.options;
    let given = Given { key: given.key.as_deref(), keep: &given.keep };
    take_recorded(context, pairs.iter().map(|(_, output)| output.as_bstr()), choice, options);
    if options.force {
        for (_, output) in &pairs {
            choice.takes_changes |= workspace.there(output.as_bstr())?.is_some();
        }
        return Ok(made);
    }
    let mut kept = Vec::new();
    for (source, output) in &pairs {
        let (source, output) = (source.as_bstr(), output.as_bstr());
        match existing(context, source, output, given, choice)? {
            Existing::Kept(status) => kept.push((output.to_owned(), status)),
            Existing::Made => {}
            Existing::InTheWay(differences) => {
                let error = Error::OutputDiffers { output: output.to_owned(), differences };
                return Ok(UnitStep::Refuse(source.to_owned(), Box::new(error)));
            }
        }
    }
    let (has_index, differences) = match index.zip(new_index.as_ref()) {
        Some((source, output)) => of_index(context, source, output, choice)?,
        None => (true, None),
    };
    let mut sources = pairs.iter().map(|(source, _)| *source).chain(index);
    let removes = options.replace && sources.any(|source| workspace.contains(source.as_bstr()));
    if kept.len() < pairs.len() || !has_index {
        return Ok(made);
    }
    if let (Some(differences), Some(source), Some(output)) = (differences, index, new_index) {
        let error = Error::OutputDiffers { output, differences };
        return Ok(UnitStep::Refuse(source.clone(), Box::new(error)));
    }
    if removes {
        // What a conversion drops is known by converting.
        let stays = !options.strict && are_here(context, &kept)?;
        return Ok(if stays { UnitStep::Take(kept) } else { made });
    }
    let outputs: Vec<_> = kept.iter().map(|(output, _)| output.clone()).collect();
    if !is_to_be_committed(context, unit, &outputs)? {
        return Ok(UnitStep::Keep(kept));
    }
    let sources = pairs.iter().map(|(source, _)| source.as_bstr());
    Ok(if were_verified(context, sources, &kept)? { UnitStep::Take(kept) } else { UnitStep::Recheck })
}

/// Returns `true` if the shard index of the outputs stays, and in what it does not fit them. One of ours that does not fit is
/// made again.
fn of_index(
    context: Context<'_>,
    source: &BString,
    output: &BString,
    choice: &mut Choice,
) -> Result<(bool, Option<Differences>), Error> {
    let states = context.states;
    let is_ours = states.is_ours(source.as_bstr(), output.as_bstr())?;
    if is_ours {
        choice.may_replace.insert(output.clone());
    }
    if !context.workspace.contains(output.as_bstr()) {
        return Ok((false, None));
    }
    Ok(match states.index(source.as_bstr(), output.as_bstr())? {
        IndexState::Differs(_) if is_ours => (false, None),
        IndexState::Differs(differences) => (true, Some(differences)),
        IndexState::UpToDate | IndexState::Missing(_) | IndexState::Invalid(_) => (true, None),
    })
}

/// Returns `true` if the content of each output that is up to date by the record is on this machine. One that is not is
/// made again.
fn are_here(context: Context<'_>, kept: &[(BString, Status)]) -> Result<bool, Error> {
    let (workspace, store) = (context.workspace, context.repo().store());
    for (output, _) in kept.iter().filter(|(_, status)| *status == Status::UpToDate) {
        let Some(Pointer { oid, size }) = workspace.staged_pointer(output.as_bstr())? else { continue };
        if store.find(oid, size).map_err(Error::io("look in", store.dir()))?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns `true` if all outputs are up to date, and one of them not by a conversion, so that another would not have the
/// same bytes.
fn were_verified<'b>(
    context: Context<'_>,
    sources: impl Iterator<Item = &'b BStr>,
    kept: &[(BString, Status)],
) -> Result<bool, Error> {
    let mut is_one = false;
    for (source, (output, status)) in sources.zip(kept) {
        let known = context.states.derived(source, output.as_bstr())?;
        let Some(known) = known.filter(|_| *status == Status::UpToDate) else { return Ok(false) };
        is_one |= known.how != CONVERTED;
    }
    Ok(is_one)
}

/// What becomes of an output.
enum Existing {
    /// It stays.
    Kept(Status),
    /// It is made, or made again.
    Made,
    /// It is not written over.
    InTheWay(Differences),
}

/// What becomes of the output of a checkpoint, by its state.
fn existing(
    context: Context<'_>,
    source: &BStr,
    output: &BStr,
    given: Given<'_>,
    choice: &mut Choice,
) -> Result<Existing, Error> {
    let states = context.states;
    let state = states.state(source, output, given)?;
    let is_staged = states.is_staged(output)?;
    let is_known = states.provenance.knows(source);
    choice.takes_changes |= is_known && !matches!(state, OutputState::Missing);
    Ok(match state {
        OutputState::UpToDate if is_staged => Existing::Kept(Status::UpToDate),
        // A run was stopped before it staged it.
        OutputState::UpToDate => {
            choice.may_replace.insert(output.to_owned());
            Existing::Made
        }
        OutputState::Stale { is_ours: true } => {
            (choice.is_update, choice.takes_changes) = (true, true);
            choice.may_replace.insert(output.to_owned());
            Existing::Made
        }
        OutputState::Stale { is_ours: false } => Existing::InTheWay(Differences::Checkpoint),
        OutputState::Differs(differences) => Existing::InTheWay(differences),
        OutputState::NotHere | OutputState::Unverified if is_staged => Existing::Kept(Status::Unverified),
        // What nobody staged may be what a killed run left: only the very same counts.
        OutputState::Missing | OutputState::NotHere | OutputState::Unverified => Existing::Made,
    })
}

/// Options of the record are used again unless others are given.
fn take_recorded<'b>(
    context: Context<'_>,
    outputs: impl Iterator<Item = &'b BStr>,
    choice: &mut Choice,
    options: &mut Options,
) {
    let mut outputs = outputs;
    let Some(known) = outputs.find_map(|output| context.states.provenance.latest(output)) else { return };
    if options.key.is_none() {
        options.key = known.key;
    }
    if options.keep.is_empty() {
        (options.keep, choice.is_recorded) = (known.keep, true);
    }
}
