//! Takes existing outputs as they are: into the commit, and as replacements of their checkpoints.
//!
//! Invariant: a checkpoint is removed only if the record calls its output up to date, or if its bits were compared in
//! this run. Nothing is converted, and no output is written.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BString, ByteSlice as _};

use super::super::content::{self, Located};
use super::super::output_state::Differences;
use super::super::placement::{Undo, write_attributes};
use super::super::verify::{Finding, Verdict, Verified, prove_outputs};
use super::super::{Error, Status, names};
use super::Context;
use super::index::NewIndex;
use super::ledger::Ledger;
use super::removal::{Removal, removals};
use super::sets::{Candidate, ShardedCheckpoint};
use super::stage::{derived_index, pointer_to, record, write_index};
use crate::hash::Oid;
use crate::repo::Change;

/// A checkpoint, and the output that replaces it.
struct Taken {
    source: BString,
    output: BString,
    /// Up to date, or unverified.
    status: Status,
    /// The object ID of the checkpoint, when it is known.
    source_oid: Option<Oid>,
}

/// Why a unit stays as it is, and the file with the fault.
type Fault = (BString, Box<Error>);

/// Takes the outputs of a unit. `outputs` are in the order of `files`.
pub(super) fn take(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    files: Vec<Candidate>,
    set: Option<&ShardedCheckpoint>,
    outputs: Vec<(BString, Status)>,
) -> Result<(), Error> {
    let pair = |(file, (output, status)): (Candidate, _)| Taken {
        source: file.path,
        output,
        status,
        source_oid: None,
    };
    let mut pairs: Vec<Taken> = files.into_iter().zip(outputs).map(pair).collect();
    let index = set.map(|set| (set.index.clone(), names::safetensors_index(set.index.as_bstr())));
    let is_dry = context.options.dry_run;
    let proven = if is_dry { Ok(()) } else { prove(context, &mut pairs, index.as_ref()) };
    if let Err((of, error)) = proven {
        let others: Vec<_> = pairs.into_iter().map(|pair| pair.source).filter(|path| *path != of).collect();
        return ledger.fail_with(&of, *error, others);
    }
    let removed = removed(context, ledger, &pairs, index.as_ref());
    let removals = removals(context, removed)?;
    if is_dry {
        for (path, removal) in removals {
            context.reporter().note(&removal.note(path));
        }
        for Taken { source, output, status, .. } in pairs {
            ledger.done(source, output, status, None);
        }
        return Ok(());
    }
    stage(context, ledger, pairs, index.map(|(_, output)| output), removals)
}

/// Checks that nothing has changed since it was staged, and that the outputs have the tensors of their checkpoints.
fn prove(context: Context<'_>, pairs: &mut [Taken], index: Option<&(BString, BString)>) -> Result<(), Fault> {
    let Context { workspace, options, states, .. } = context;
    let of = |path: &BString| {
        let path = path.clone();
        move |error| (path, Box::new(error))
    };
    // The compared files must be the removed ones.
    let sources = pairs.iter().map(|pair| &pair.source).chain(index.map(|(source, _)| source));
    for source in sources.filter(|_| options.replace) {
        workspace.check_unmodified(source.as_bstr()).map_err(of(source))?;
    }
    let mut unproven = None;
    if let Some((source, output)) = index {
        workspace.check_unmodified(output.as_bstr()).map_err(of(output))?;
        let known = states.derived(source.as_bstr(), output.as_bstr()).map_err(of(source))?;
        unproven = Some(output).filter(|_| known.is_none());
    }
    let mut done = BTreeSet::new();
    for pair in pairs.iter_mut().filter(|pair| pair.status == Status::UpToDate) {
        let known = states.derived(pair.source.as_bstr(), pair.output.as_bstr()).map_err(of(&pair.source))?;
        pair.source_oid = known.map(|known| known.source_oid);
        done.insert(pair.output.clone());
    }
    if done.len() == pairs.len() && unproven.is_none() {
        return Ok(());
    }
    let all: BTreeMap<_, _> = pairs.iter().map(|pair| (pair.output.clone(), pair.source.clone())).collect();
    let source_of = |output: &BString| {
        all.get(output).cloned().or_else(|| index.map(|(source, _)| source.clone())).unwrap_or_default()
    };
    let first = pairs.first().map(|pair| pair.source.clone()).unwrap_or_default();
    let verified =
        prove_outputs(workspace.repo, workspace.session, &all, &done, unproven, options.key.as_deref())
            .map_err(of(&first))?;
    for one in verified {
        if !one.is_good() {
            return Err((source_of(&one.path), Box::new(refusal(one))));
        }
        for pair in pairs.iter_mut().filter(|pair| pair.output == one.path) {
            (pair.status, pair.source_oid) = (Status::UpToDate, one.checkpoint_oid);
        }
    }
    if let Some((source, output)) = index.filter(|_| unproven.is_some()) {
        record_index(context, source, output).map_err(of(source))?;
    }
    Ok(())
}

/// Records that a shard index was verified; the shards are recorded already.
fn record_index(context: Context<'_>, source: &BString, output: &BString) -> Result<(), Error> {
    let Some(Located::Here(file)) = context.workspace.there(output.as_bstr())? else { return Ok(()) };
    let oid = content::oid_at(&file.file, &file.path, &())?;
    let known = derived_index(context, source, output, oid, "equal");
    record(context, &known.into_iter().collect::<Vec<_>>());
    Ok(())
}

/// Returns the error for the result of a verification.
fn refusal(verified: Verified) -> Error {
    let Verified { path: output, verdict, error, is_index, findings, more, .. } = verified;
    if let Some(error) = error {
        return error;
    }
    if is_index {
        return Error::OutputExists { output };
    }
    let mut first = Vec::new();
    for finding in findings {
        match finding {
            Finding::Invalid(error) => {
                return Error::OutputDiffers { output, differences: Differences::Invalid(error) };
            }
            Finding::Tensor(difference) => first.push(difference),
            Finding::Index(_) => {}
        }
    }
    let differences = match verdict {
        Some(Verdict::Stale) => Differences::Checkpoint,
        _ => Differences::Tensors { first, more },
    };
    Error::OutputDiffers { output, differences }
}

/// Returns the checkpoints to remove, with their shard index. A shard of two sharded checkpoints is removed with the
/// last one.
fn removed(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    pairs: &[Taken],
    index: Option<&(BString, BString)>,
) -> Vec<BString> {
    let sources = pairs.iter().map(|pair| &pair.source).chain(index.map(|(source, _)| source));
    let mut removed: Vec<_> = sources.filter(|_| context.options.replace).cloned().collect();
    removed.retain(|path| context.workspace.contains(path.as_bstr()) && ledger.is_done_with(path));
    removed
}

/// Writes the index once, and then removes the files that it no longer names.
fn stage(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    pairs: Vec<Taken>,
    index: Option<BString>,
    removals: Vec<(BString, Removal)>,
) -> Result<(), Error> {
    let repo = context.repo();
    let mut pointers = Vec::new();
    for path in pairs.iter().map(|pair| &pair.output).chain(&index) {
        if context.workspace.staged_pointer(path.as_bstr())?.is_some() {
            pointers.push(path.clone());
        }
    }
    let mut undo = Undo::new(repo);
    let written = write_attributes(repo, &pointers, &mut undo).and_then(|(mut changes, notes)| {
        let ours = changes.len();
        let gone = removals.iter().filter(|(_, removal)| *removal != Removal::None);
        changes.extend(gone.map(|(path, _)| Change::Remove { path: path.clone() }));
        write_index(context, ledger, &changes, &notes, &mut undo)?;
        // Our own commit has its own attributes files.
        Ok(changes.into_iter().skip(ours).filter_map(|change| match change {
            Change::Remove { path } => Some(path),
            Change::Add { .. } => None,
        }))
    });
    let gone: Vec<_> = match written {
        Ok(gone) => gone.collect(),
        Err(error) => {
            undo.all();
            return ledger.fail_all(pairs.into_iter().map(|pair| pair.source), error);
        }
    };
    ledger.touched.extend(gone);
    ledger.touched.extend(pairs.iter().map(|pair| pair.output.clone()).chain(index));
    ledger.pointers.extend(pointers);
    for (path, _) in removals.iter().filter(|(_, removal)| *removal == Removal::All) {
        repo.remove_file(path.as_bstr())?;
    }
    for (path, removal) in removals {
        context.reporter().note(&removal.note(path));
    }
    for Taken { source, output, status, source_oid } in pairs {
        let from = source_oid.map(|oid| (source.clone(), oid, context.options.key.clone()));
        ledger.from.extend(from);
        ledger.done(source, output, status, None);
    }
    Ok(())
}

/// Adds verified files that an earlier run staged to the commit.
pub(super) fn take_staged(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    outputs: Vec<BString>,
    index: Option<&NewIndex>,
) -> Result<(), Error> {
    if let Some(index) = index {
        let blob = if index.is_under_lfs { pointer_to(&index.text).to_string() } else { index.text.clone() };
        if !context.workspace.is_staged(index.path.as_bstr(), blob.as_bytes())? {
            return Err(Error::OutputExists { output: index.path.clone() });
        }
    }
    let mut undo = Undo::new(context.repo());
    let written = write_attributes(context.repo(), &outputs, &mut undo);
    written
        .and_then(|(changes, notes)| write_index(context, ledger, &changes, &notes, &mut undo))
        .inspect_err(|_| undo.all())?;
    let of_set = index.map(|index| index.path.clone());
    ledger.touched.extend(outputs.iter().cloned().chain(of_set.clone()));
    ledger.pointers.extend(outputs);
    ledger.pointers.extend(of_set.filter(|_| index.is_some_and(|index| index.is_under_lfs)));
    Ok(())
}
