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

/// The next step for a unit.
pub(super) enum UnitStep {
    /// Nothing: these outputs exist.
    Keep(Vec<(BString, Status)>),
    /// These outputs are taken as they are, because their checkpoints are removed or because they must be committed.
    Take(Vec<(BString, Status)>),
    /// The run only reports what it would do.
    Preview,
    /// An earlier run staged the outputs, and they must be committed: they are converted again without a name, and only
    /// identical bytes count.
    Recheck,
    /// The unit is converted.
    Convert,
    /// An existing file prevents the conversion of one of its files, or of the shard index. These outputs of others stay.
    Refuse(BString, Box<Error>, Vec<(BString, Status)>),
}

/// The facts about a unit that are known before it is planned.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The existing outputs that may be overwritten.
    pub(super) may_replace: BTreeSet<BString>,
    /// `true` if one of them is stale.
    pub(super) is_update: bool,
    /// `true` if a checkpoint with unstaged changes is converted as it is in the working tree.
    pub(super) takes_changes: bool,
    /// `true` if the names to keep are from the record, so that a missing one is not an error.
    pub(super) is_recorded: bool,
}

/// Decides about a unit. Returns also the options of its conversion: where none are given, those of the record.
///
/// # Errors
/// [`Error::Interrupted`]; every other error is part of the step.
pub(super) fn decide(context: Context<'_>, unit: &Unit) -> Result<(UnitStep, Choice, Options), Error> {
    let (mut choice, mut options) = (Choice::default(), context.options.clone());
    let step = match step(context, unit, &mut choice, &mut options) {
        Ok(step) => step,
        Err(error) => {
            let interrupted = context.reporter().is_interrupted() || matches!(error, Error::Interrupted);
            let first = unit.files.first().filter(|_| !interrupted);
            UnitStep::Refuse(first.ok_or(Error::Interrupted)?.path.clone(), Box::new(error), Vec::new())
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
        workspace.check_merged(path)?;
        // A link or a directory of this name is not an output; the plan refuses it.
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
    let (kept, refused) = each(context, &pairs, given, choice)?;
    if let Some((source, error)) = refused {
        return Ok(UnitStep::Refuse(source, error, kept));
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
        return Ok(UnitStep::Refuse(source.clone(), Box::new(error), kept));
    }
    if removes {
        // Only a conversion shows which values it ignores.
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

/// Outputs that stay, with their statuses.
type Kept = Vec<(BString, Status)>;
/// A checkpoint whose output is not overwritten, and the error.
type Refused = (BString, Box<Error>);

/// Returns the outputs of a unit that stay, and the first checkpoint that is refused.
fn each(
    context: Context<'_>,
    pairs: &[(&BString, BString)],
    given: Given<'_>,
    choice: &mut Choice,
) -> Result<(Kept, Option<Refused>), Error> {
    let (mut kept, mut refused) = (Vec::new(), None);
    for (source, output) in pairs {
        match existing(context, source.as_bstr(), output.as_bstr(), given, choice) {
            Ok(Existing::Kept(status)) => kept.push((output.clone(), status)),
            Ok(Existing::InTheWay(differences)) if refused.is_none() => {
                let error = Error::OutputDiffers { output: output.clone(), differences };
                refused = Some(((*source).clone(), Box::new(error)));
            }
            Err(error) if refused.is_none() || context.reporter().is_interrupted() => return Err(error),
            Ok(Existing::Made | Existing::InTheWay(_)) | Err(_) => {}
        }
    }
    Ok((kept, refused))
}

/// Returns `true` if the existing shard index of the outputs stays, and how it differs from them. One that an earlier
/// run wrote and that differs is written again.
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

/// Returns `true` if every output that is up to date by the record has its content on this machine. A missing one is
/// converted again.
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

/// Returns `true` if all outputs are up to date and at least one of them is not a conversion of this program, so that a
/// new conversion may not have the same bytes.
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

/// The decision about an output.
enum Existing {
    /// It stays as it is.
    Kept(Status),
    /// It is converted, if necessary again.
    Made,
    /// It is not overwritten.
    InTheWay(Differences),
}

/// Decides about the output of a checkpoint by its state.
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
        // A run was stopped before it staged this file.
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
        // An unstaged file may be the leftover of a killed run, so only identical bytes count.
        OutputState::Missing | OutputState::NotHere | OutputState::Unverified => Existing::Made,
    })
}

/// Uses the recorded options again, unless others are given.
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
