//! Handles a unit, a file or a sharded checkpoint: after the decision, it is planned, made and staged, or the reason is
//! reported.
//!
//! Invariant: a unit is done completely or not at all. Files that a later run can use stay; all others are removed.

use bstr::{BString, ByteSlice as _};

use super::super::jobs::Jobs;
use super::super::placement::attributes_note;
use super::super::{Conversion, Error, Note, Status, names};
use super::decide::UnitStep;
use super::index::{self, IndexTarget, NewIndex, ShardContents};
use super::ledger::Ledger;
use super::make::{make, make_again};
use super::output::{check_index, has_content};
use super::plan::{Need, Planned, Work, check_space, paths, plan};
use super::product::Product;
use super::sets::{Others, ShardedCheckpoint, Unit};
use super::stage::{derived, made_status, record, stage};
use super::take::{take, take_staged};
use super::{Context, Maker};
use crate::checkpoint;
use crate::hash::Oid;
use crate::lfs::{Pointer, Resumable};

/// Handles a unit by the decision about it.
pub(super) fn unit(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    unit: Unit,
    step: UnitStep,
    others: &Others,
) -> Result<(), Error> {
    let Unit { files, set } = unit;
    match step {
        UnitStep::Keep(outputs) => {
            for (file, (output, status)) in files.into_iter().zip(outputs) {
                ledger.done(file.path, output, status, None);
            }
            return Ok(());
        }
        UnitStep::Take(outputs) => return take(context, ledger, files, set.as_ref(), outputs),
        UnitStep::Refuse(of, error, kept) => {
            let mut others: Vec<_> =
                files.into_iter().map(|file| file.path).filter(|path| *path != of).collect();
            for (output, status) in kept {
                let is_source = |path: &BString| names::safetensors(path.as_bstr()) == output;
                if let Some(at) = others.iter().position(is_source) {
                    ledger.done(others.remove(at), output, status, None);
                }
            }
            return ledger.fail_with(&of, *error, others);
        }
        UnitStep::Preview | UnitStep::Recheck | UnitStep::Convert => {}
    }
    let may_wait = set.is_some() && matches!(step, UnitStep::Convert);
    let Some(planned) = plan(context, ledger, files, set.is_some(), may_wait, others)? else { return Ok(()) };
    let contents: Vec<_> = planned.iter().filter_map(Planned::contents).collect();
    let is_known = contents.len() == planned.len();
    if let Some(error) =
        unknown_keep(context, others, &contents.iter().collect::<Vec<_>>()).filter(|_| is_known)
    {
        return ledger.fail_all(paths(planned), error);
    }
    let mut of = None;
    if let Some(set) = set {
        match check_set(context, others, &set, &contents, is_known) {
            Ok(target) => of = Some((set, target)),
            Err(error) => return ledger.fail_with(&set.index, error, paths(planned)),
        }
    }
    if let UnitStep::Convert = step {
        return convert(context, ledger, planned, of, others);
    }
    let index = match of.map(|(set, target)| (index::new_index(target, &set, &contents), set)) {
        Some((Err(error), set)) => return ledger.fail_with(&set.index, error, paths(planned)),
        Some((Ok(index), _)) => Some(index),
        None => None,
    };
    match step {
        UnitStep::Recheck => recheck(context, ledger, planned, index.as_ref()),
        _ => preview(context, ledger, planned, index.as_ref()),
    }
}

/// Returns an error for a name to keep that no file of the only unit has. With several units, another may have it.
fn unknown_keep(context: Context<'_>, others: &Others, contents: &[&ShardContents]) -> Option<Error> {
    let is_asked = others.is_alone && !context.choice.is_recorded;
    let mut keep = context.options.keep.iter().filter(|_| is_asked);
    let name = keep.find(|name| !contents.iter().any(|contents| contents.has(name)))?.clone();
    Some(checkpoint::Error::Keep { name }.into())
}

/// Checks everything about a sharded checkpoint that can be checked before the long work.
fn check_set(
    context: Context<'_>,
    others: &Others,
    set: &ShardedCheckpoint,
    contents: &[ShardContents],
    is_known: bool,
) -> Result<IndexTarget, Error> {
    context.workspace.check_unmodified(set.index.as_bstr())?;
    others.check(&names::safetensors_index(set.index.as_bstr()), &set.index)?;
    let target = index::target(context.repo(), set)?;
    index::agree(set, contents, is_known)?;
    if is_known {
        check_index(context, &index::new_index(target.clone(), set, contents)?)?;
    }
    Ok(target)
}

/// Converts a unit: its files on several threads as far as they are local; then all get their names.
fn convert(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    planned: Vec<Planned>,
    of: Option<(ShardedCheckpoint, IndexTarget)>,
    others: &Others,
) -> Result<(), Error> {
    let maker = context.maker();
    let needs = planned.iter().map(|planned| Need::of_planned(&maker.store, planned));
    if let Err(error) = check_space(&maker, needs) {
        return ledger.fail_all(paths(planned), error.into());
    }
    let stats = planned.iter().filter_map(|one| Some((one.task.path.clone(), one.task.source_stat?)));
    ledger.stats.extend(stats);
    let products = match make_all(context, &maker, planned, of.is_some()) {
        Ok(products) => products,
        Err(broken) => {
            let Broken { path, error, products, rest, others } = *broken;
            abandon(&maker, products, rest, &error)?;
            return ledger.fail_with(&path, error, others);
        }
    };
    name_all(context, ledger, &maker, products, of, others)
}

/// Gives the product of a checkpoint its name, or records the error.
pub(super) fn finish_one(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    path: &BString,
    made: Result<Product, Error>,
    others: &Others,
) -> Result<(), Error> {
    match made.and_then(|product| check_existing(context, product)) {
        Ok(product) => name_all(context, ledger, &context.maker(), vec![product], None, others),
        Err(error) => ledger.fail(path.as_bstr(), error),
    }
}

/// Gives the finished files of a unit their names.
fn name_all(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    maker: &Maker<'_>,
    products: Vec<Product>,
    of: Option<(ShardedCheckpoint, IndexTarget)>,
    others: &Others,
) -> Result<(), Error> {
    match conclude(context, &products, of, others) {
        Ok(index) => {
            let paths: Vec<_> = products.iter().map(|product| product.path.clone()).collect();
            match stage(context, ledger, products, index.as_ref()) {
                Ok(()) => Ok(()),
                Err(error) => ledger.fail_all(paths, error),
            }
        }
        Err(fault) => {
            let Fault { of, error } = *fault;
            let failed: Vec<_> = products.iter().map(|product| product.path.clone()).collect();
            abandon(maker, products, Vec::new(), &error)?;
            let first = of.or_else(|| failed.first().cloned());
            let rest = failed.into_iter().filter(|path| Some(path) != first.as_ref());
            ledger.fail_all(first.iter().cloned().chain(rest), error)
        }
    }
}

/// A unit in which the conversion of one file failed.
struct Broken {
    path: BString,
    error: Error,
    /// The finished files, and those that were not begun.
    products: Vec<Product>,
    rest: Vec<Planned>,
    /// The paths of all other files, in their order.
    others: Vec<BString>,
}

/// Converts the files of a unit, on several threads if all of them are local: a download needs the whole bandwidth.
/// After an error no further file is begun; of several errors the first file's counts, as in a run with one thread.
fn make_all(
    context: Context<'_>,
    maker: &Maker<'_>,
    planned: Vec<Planned>,
    is_of_set: bool,
) -> Result<Vec<Product>, Box<Broken>> {
    let paths: Vec<_> = planned.iter().map(|one| one.task.path.clone()).collect();
    let jobs = if planned.iter().all(Planned::is_here) { Jobs::of(context.options.jobs) } else { Jobs::ONE };
    let mut rest = planned.into_iter().enumerate();
    let mut made: Vec<Option<Product>> = Vec::new();
    made.resize_with(paths.len(), || None);
    let mut failed: Option<(usize, Error)> = None;
    let ran = jobs.run(
        |(at, next): (usize, Planned)| (at, make(maker, next, is_of_set)),
        |pool| {
            loop {
                while failed.is_none() && pool.pending() < jobs.count() {
                    let Some(next) = rest.next() else { break };
                    pool.begin(next);
                }
                let Some((at, done)) = pool.any() else { break };
                match (done.and_then(|product| check_existing(context, product)), made.get_mut(at)) {
                    (Ok(product), Some(place)) => *place = Some(product),
                    (Err(error), _) if failed.as_ref().is_none_or(|(first, _)| at < *first) => {
                        failed = Some((at, error));
                    }
                    _ => {}
                }
            }
        },
    );
    if let Err(error) = ran {
        failed = Some((0, Error::io("start", "a thread")(error)));
    }
    let products = made.into_iter().flatten().collect();
    let Some((at, error)) = failed else { return Ok(products) };
    let (mut others, rest) = (paths, rest.map(|(_, planned)| planned).collect());
    let path = others.remove(at);
    Err(Box::new(Broken { path, error, products, rest, others }))
}

/// Checks that an existing file at the path of the output is identical.
fn check_existing(context: Context<'_>, product: Product) -> Result<Product, Error> {
    let Product { output, written, is_there, .. } = &product;
    if *is_there
        && let Some(there) = context.workspace.there(output.as_bstr())?
        && !has_content(&there, written.oid, written.size)
    {
        return Err(Error::OutputExists { output: output.clone() });
    }
    Ok(product)
}

/// The error that prevents the staging of a unit, and the file with the fault; `None` stands for the first file.
struct Fault {
    of: Option<BString>,
    error: Error,
}

/// Makes the checks that need all files: creates the new shard index, or returns the reason why nothing can be staged.
fn conclude(
    context: Context<'_>,
    products: &[Product],
    of: Option<(ShardedCheckpoint, IndexTarget)>,
    others: &Others,
) -> Result<Option<NewIndex>, Box<Fault>> {
    let fault = |of, error| Box::new(Fault { of, error });
    let contents: Vec<_> = products.iter().map(|product| &product.contents).collect();
    if let Some(error) = unknown_keep(context, others, &contents) {
        return Err(fault(None, error));
    }
    let index = match of {
        Some((set, target)) => {
            let index = index::new_index(target, &set, &contents);
            let index = index.and_then(|index| check_index(context, &index).map(|()| index));
            Some(index.map_err(|error| fault(Some(set.index), error))?)
        }
        None => None,
    };
    if context.options.replace {
        // The user may have changed a file during the long work that `--replace` would remove.
        let paths = products.iter().map(|product| &product.path);
        for path in paths.chain(index.as_ref().map(|index| &index.replaces)) {
            let unmodified = context.workspace.check_unmodified(path.as_bstr());
            unmodified.map_err(|error| fault(Some(path.clone()), error))?;
        }
    }
    Ok(index)
}

/// Handles the files of a failed unit: those that a later run can use stay, all others are removed.
fn abandon(
    maker: &Maker<'_>,
    products: Vec<Product>,
    rest: Vec<Planned>,
    error: &Error,
) -> Result<(), Error> {
    // This is the only refusal after which a later run would make the same files.
    let stays = !error.is_refusal() || matches!(error, Error::OutputExists { .. });
    if stays {
        return Ok(());
    }
    for product in products {
        let source = product.written.source_oid;
        product.discard()?;
        Resumable::forget_journal(&maker.store, source)?;
    }
    for Planned { work, .. } in rest {
        if let Work::Later(later) = work
            && let Some(finished) = later.finished
        {
            finished.discard(&maker.store)?;
        }
    }
    Ok(())
}

/// Takes the outputs that an earlier run staged into the commit, if they are identical to a new conversion; their
/// objects exist then.
fn recheck(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    planned: Vec<Planned>,
    index: Option<&NewIndex>,
) -> Result<(), Error> {
    let maker = context.maker();
    let mut proven = Vec::with_capacity(planned.len());
    for (at, one) in planned.iter().enumerate() {
        match make_again(&maker, one).and_then(|product| check_staged(context, product)) {
            Ok(facts) => proven.push(facts),
            Err(error) => {
                let mut failed: Vec<_> = paths(planned).collect();
                failed.swap(0, at);
                return ledger.fail_all(failed, error);
            }
        }
    }
    let outputs = planned.iter().map(|planned| planned.task.output.clone()).collect();
    if let Err(error) = take_staged(context, ledger, outputs, index) {
        return ledger.fail_all(paths(planned), error);
    }
    let facts = planned.iter().zip(&proven);
    let facts = facts.filter_map(|(planned, (_, facts))| {
        derived(context, &planned.task.path, &planned.task.output, facts)
    });
    record(context, &facts.collect::<Vec<_>>());
    for (Planned { task, .. }, (source, conversion)) in planned.into_iter().zip(proven) {
        ledger.from.push((task.path.clone(), source, context.options.key.clone()));
        ledger.done(task.path, task.output, Status::UpToDate, Some(conversion));
    }
    Ok(())
}

/// Returns the object ID of the source and the facts, if the product is identical to the staged file.
fn check_staged(context: Context<'_>, product: Product) -> Result<(Oid, Conversion), Error> {
    let Product { output, written, conversion, object, .. } = product;
    let staged = context.workspace.staged_pointer(output.as_bstr())?;
    if staged != Some(Pointer { oid: written.oid, size: written.size }) {
        return Err(Error::OutputExists { output });
    }
    object.commit(written.oid, written.size)?;
    Ok((written.source_oid, conversion))
}

/// Reports what a run would do.
fn preview(
    context: Context<'_>,
    ledger: &mut Ledger<'_>,
    planned: Vec<Planned>,
    index: Option<&NewIndex>,
) -> Result<(), Error> {
    let outputs: Vec<_> = planned.iter().map(|planned| planned.task.output.clone()).collect();
    for change in context.repo().plan_attributes(&outputs)? {
        ledger.tell_attributes(&change.path, &attributes_note(&change));
    }
    let mut removed: Vec<_> = planned.iter().map(|planned| planned.task.path.clone()).collect();
    for planned in planned {
        if let Some(conversion) = planned.facts() {
            let status = made_status(context);
            ledger.done(planned.task.path, planned.task.output, status, Some(conversion));
        }
    }
    if let Some(index) = index {
        for note in index.notes() {
            context.reporter().note(&note);
        }
        removed.push(index.replaces.clone());
    }
    removed.retain(|path| context.options.replace && context.workspace.contains(path.as_bstr()));
    for path in removed {
        let is_recoverable = context.workspace.is_recoverable(path.as_bstr())?;
        context.reporter().note(&Note::removed(path, is_recoverable));
    }
    Ok(())
}
