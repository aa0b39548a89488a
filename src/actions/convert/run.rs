//! Runs a conversion in a repository: one unit after the other, and then the final steps.
//!
//! Order: all bytes of a unit are written and checked without a name; then the `.gitattributes`, the objects and the
//! files of the working tree get their names, then the index is replaced, then files that it no longer names are
//! removed. After a kill at any point, every file is old or new, and git shows new ones as untracked.

use bstr::ByteSlice as _;

use super::super::jobs::Jobs;
use super::super::meant::Meant;
use super::super::output_state::{Depth, OutputStates};
use super::super::provenance::Provenance;
use super::super::servers::Session;
use super::super::workspace::Workspace;
use super::super::{Error, Note, Reporter, names};
use super::adopt::look_for_same;
use super::commit::{commit, has_to_commit};
use super::decide::{Choice, UnitStep, decide};
use super::finish::finish;
use super::finished::forget_staged;
use super::keep;
use super::ledger::Ledger;
use super::leftover::sweep_replaced;
use super::select::units;
use super::sets::{Others, Unit};
use super::together::{Making, Together};
use super::unit::unit;
use super::{Adopt, Context, Options, Summary, left_alone};
use crate::git::settings;
use crate::repo::Repo;

/// Handles all units: checkpoints of one file on several threads, the others one after the other.
fn all<'a>(
    context: Context<'a>,
    ledger: &mut Ledger<'_>,
    steps: impl ExactSizeIterator<Item = ((Unit, UnitStep), &'a (Choice, Options))>,
    others: &Others,
) -> Result<(), Error> {
    let jobs = Jobs::of(context.options.jobs);
    let is_one = steps.len() < 2 || jobs == Jobs::ONE;
    jobs.run(Making::run, |threads| {
        let mut together = Together::new(threads, 2 * jobs.count(), others);
        for ((one, step), (choice, options)) in steps {
            let context = Context { options, choice, ..context };
            if !is_one && together.begin(context, ledger, &one, &step)? {
                continue;
            }
            together.end_all(ledger)?;
            unit(context, ledger, one, step, others)?;
        }
        together.end_all(ledger)
    })
    .map_err(Error::io("start", "a thread"))?
}

/// Converts the files that `options` names in `repo`.
pub(super) fn convert(
    repo: &Repo,
    options: &Options,
    adopt: Option<&dyn Adopt>,
    reporter: &dyn Reporter,
) -> Result<Summary, Error> {
    if repo.extensions_configured() {
        return Err(Error::Extensions);
    }
    if !options.dry_run {
        repo.sweep()?;
    }
    let session = Session::new(&options.servers, reporter);
    let workspace = Workspace::open(repo, &session)?;
    let provenance = Provenance::open(repo);
    if !options.dry_run {
        provenance.sweep();
    }
    let mut ledger = Ledger::new(reporter, adopt.is_some());
    let meant = Meant::of(&workspace, &options.cwd, &options.paths)?;
    let units = units(&workspace, &provenance, (options, &meant), &mut ledger)?;
    let pairs = units.iter().flat_map(|unit| &unit.files);
    let pairs = pairs.map(|file| (file.path.clone(), names::safetensors(file.path.as_bstr()))).collect();
    let states = OutputStates::of(&workspace, &provenance, Depth::Run, pairs);
    let choice = Choice::default();
    let context = Context { workspace: &workspace, options, states: &states, meant: &meant, choice: &choice };
    let files = || units.iter().flat_map(|unit| &unit.files);
    if !options.dry_run {
        repo.sweep_beside(files().map(|file| file.path.as_bstr()));
    }
    for file in files() {
        ledger.owe(&file.path);
    }
    let others = Others::of(&units);
    if !others.is_alone {
        keep::check(options, files().map(|file| workspace.find(file.path.as_bstr())))?;
    }
    let (mut steps, mut choices) = (Vec::new(), Vec::new());
    for one in units {
        let (step, choice, options) = decide(context, &one)?;
        steps.push((one, step));
        choices.push((choice, options));
    }
    let next = steps.iter().filter(|(_, step)| matches!(step, UnitStep::Convert | UnitStep::Recheck));
    let next = next.flat_map(|(one, _)| &one.files);
    let next: Vec<_> = next.map(|file| (file.path.as_bstr(), workspace.size(file.path.as_bstr()))).collect();
    reporter.planned(&next);
    all(context, &mut ledger, steps.into_iter().zip(&choices), &others)?;
    if !options.dry_run {
        let hashed = states.take_hashed().into_iter().filter(|seen| provenance.knows(seen.path.as_bstr()));
        let seen: Vec<_> = ledger.seen.drain(..).chain(hashed).collect();
        provenance.record(&[], &seen, &|path| workspace.contains(path));
        forget_staged(context)?;
    }
    sweep_replaced(context)?;
    look_for_same(context, adopt, &mut ledger)?;
    finish(context, &mut ledger)?;
    let commit = commit(context, &ledger)?;
    let left_alone = left_alone::tell(context, &mut ledger);
    // Asked of git itself: its system file may be another than that of the library that opens the repository. Without git,
    // there is nothing to note.
    let has_filter =
        || workspace.session.git_in(repo).ok().and_then(|git| settings::has_lfs_filter(&git).ok());
    if ledger.staged && has_filter() == Some(false) {
        reporter.note(&Note::NoFilter);
    }
    // This decides a hint alone: what cannot be read for it, e.g. in a partial clone, ends no conversion that is done.
    let staged = ledger.staged && !repo.is_in_operation() && has_to_commit(context, &ledger).unwrap_or(true);
    Ok(Summary { outcomes: ledger.take(), staged, commit, in_repository: true, left_alone })
}
