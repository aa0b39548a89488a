//! Notes checkpoints that a run did not convert because the user did not name them: untracked ones, those outside a
//! sparse checkout, and those of submodules.
//!
//! Invariant: they are only reported; a file that cannot be read is not an error. Nothing is fetched.

use bstr::{BString, ByteSlice as _};

use super::super::checkpoints::{self, Class};
use super::super::servers::{Servers, Session};
use super::super::workspace::Workspace;
use super::super::{Note, Reporter, Status, names};
use super::Context;
use super::ledger::Ledger;
use crate::repo::{Mode, Repo};

/// Reports the checkpoints that were not converted, except for those that are up to date, which are results. Returns
/// their number.
pub(super) fn tell(context: Context<'_>, ledger: &mut Ledger<'_>) -> usize {
    let Context { workspace, meant, .. } = context;
    let reporter = context.reporter();
    let mut left_alone = tell_left_out(workspace, std::mem::take(&mut ledger.left_out), reporter);
    if !meant.is_everything() {
        return left_alone;
    }
    for (path, entry) in &workspace.entries {
        // The work is done: an interruption of these notes does not make it an interrupted run.
        if reporter.is_interrupted() {
            return left_alone;
        }
        if entry.mode != Mode::Submodule {
            continue;
        }
        let checkpoints = of_submodule(workspace, path).unwrap_or_default();
        if checkpoints > 0 {
            reporter.note(&Note::Submodule { path: path.clone(), checkpoints });
            left_alone += checkpoints;
        }
    }
    let pairs = context.states.provenance.pairs();
    let kept = pairs.iter().filter(|(output, source)| is_up_to_date(context, source, output));
    kept.for_each(|(output, source)| ledger.left(source.clone(), output.clone(), Status::UpToDate));
    let is_asked = |path: &bstr::BStr| {
        let is_told = ledger.outcomes.iter().any(|outcome| outcome.source == path);
        let is_converted =
            || pairs.iter().any(|(output, source)| source == path && workspace.contains(output.as_bstr()));
        !is_told && !workspace.contains(path) && !is_converted()
    };
    // Without git, untracked files are not known.
    let untracked = checkpoints::untracked(workspace, is_asked).unwrap_or_default();
    let paths: Vec<BString> =
        untracked.into_iter().filter(|(_, there)| there.is_ok()).map(|(path, _)| path).collect();
    left_alone += paths.len();
    if !paths.is_empty() {
        reporter.note(&Note::Untracked { paths });
    }
    left_alone
}

/// Returns `true` for an untracked checkpoint whose conversion is up to date: the run would have converted it again if it
/// had changed.
fn is_up_to_date(context: Context<'_>, source: &BString, output: &BString) -> bool {
    let Context { workspace, options, .. } = context;
    let (path, made) = (source.as_bstr(), output.as_bstr());
    let is_pair =
        names::safetensors(path) == *output && !workspace.contains(path) && workspace.contains(made);
    // With these options, another result may be wanted.
    let is_same = options.key.is_none() && options.keep.is_empty();
    is_pair && is_same && matches!(context.states.derived(path, made), Ok(Some(_)))
}

/// Reports the checkpoints that a sparse checkout leaves out. The objects of pointers are converted at once; what git
/// itself stores is converted from the working tree. Returns their number.
fn tell_left_out(workspace: &Workspace<'_>, paths: Vec<BString>, reporter: &dyn Reporter) -> usize {
    let count = paths.len();
    let is_pointer = |path: &BString| matches!(workspace.staged_pointer(path.as_bstr()), Ok(Some(_)));
    let (pointers, in_git): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_pointer);
    for (paths, is_in_git) in [(pointers, false), (in_git, true)] {
        if !paths.is_empty() {
            reporter.note(&Note::LeftOut { paths, is_in_git });
        }
    }
    count
}

/// Returns how many checkpoints of a submodule have no safetensors file; `None` if it is not checked out.
fn of_submodule(workspace: &Workspace<'_>, path: &BString) -> Option<usize> {
    let dir = workspace.repo.target(path.as_bstr()).ok()?.path();
    dir.join(".git").symlink_metadata().ok()?;
    let repo = Repo::at(&dir).ok()?;
    let servers = Servers::default();
    let session = Session::new(&servers, workspace.session.reporter);
    let inside = Workspace::open(&repo, &session).ok()?;
    let is_unconverted = |entry: &&crate::repo::Entry| {
        let output = names::safetensors(entry.path.as_bstr());
        checkpoints::may_be(entry)
            && !inside.contains(output.as_bstr())
            && !inside.is_left_out(entry)
            && matches!(checkpoints::tracked(&inside, entry), Some((Class::Weights, _)))
    };
    Some(inside.entries.values().filter(is_unconverted).count())
}
