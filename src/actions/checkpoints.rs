//! Finds the checkpoints of a repository, in its index and among untracked files.
//!
//! Invariant: names and the first bytes of local files decide. No server is contacted, and nothing is fetched.

use bstr::{BStr, BString, ByteSlice as _};

use super::content::Located;
use super::detected::{Detected, detect};
use super::workspace::Workspace;
use super::{Error, names};
use crate::git::incoming;
use crate::repo::{Entry, Mode};
use crate::{checkpoint, recipe};

/// From this length on, a file with any name may be a checkpoint.
const MIN_LEN: u32 = 64 << 10;

/// The class of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Weights,
    TrainingState,
}

/// Returns `true` if an entry of the index may be a checkpoint, or training state.
pub(super) fn may_be(entry: &Entry) -> bool {
    let path = entry.path.as_bstr();
    let is_file = matches!(entry.mode, Mode::File | Mode::Executable) && !entry.intent_to_add;
    let is_long = || entry.staged_len() >= MIN_LEN && !names::is_no_checkpoint(path);
    is_file && !names::is_index(path) && (names::is_weight_like(path) || is_long())
}

/// Returns `true` if a run without paths converts a file with this name.
pub(super) fn is_by_name(path: &BStr) -> bool {
    names::is_weight_like(path) && !names::is_training_state(path) && !names::is_distributed(path)
}

/// Returns the class of an entry of the index that may be a checkpoint, and the location of its bytes.
pub(super) fn tracked(workspace: &Workspace<'_>, entry: &Entry) -> Option<(Class, Located)> {
    let path = entry.path.as_bstr();
    let there = workspace.there(path).ok().flatten()?;
    let is_named = names::is_weight_like(path);
    if is_named && (names::is_training_state(path) || names::is_distributed(path)) {
        return Some((Class::TrainingState, there));
    }
    match (kind(path, &there), is_named) {
        (Some(Detected::Weights), _) | (None, true) => Some((Class::Weights, there)),
        // A pickle without tensors may be a vocabulary that the model needs: only its name makes it training state.
        _ => None,
    }
}

/// A checkpoint that git does not track, and the location of its bytes, or why it could not be opened.
pub(super) type Untracked = (BString, Result<Located, Error>);

/// Returns the requested checkpoints that git neither tracks nor ignores, and the files with the name of one that cannot
/// be opened.
pub(super) fn untracked(
    workspace: &Workspace<'_>,
    is_asked: impl Fn(&BStr) -> bool,
) -> Result<Vec<Untracked>, Error> {
    let git = workspace.session.git_in(workspace.repo)?;
    let is_one = |path: BString| {
        let name = path.as_bstr();
        if !is_by_name(name) || !is_asked(name) {
            return None;
        }
        // An untracked file is always local.
        let there = match workspace.there(name).transpose()? {
            Ok(there) => {
                let is_one =
                    matches!(kind(name, &there), Some(Detected::Weights)) && !is_without_weights(&there);
                is_one.then_some(Ok(there))
            }
            Err(error) => Some(Err(error)),
        };
        there.map(|there| (path, there))
    };
    Ok(incoming::untracked(&git)?.into_iter().filter_map(is_one).collect())
}

/// Returns `true` if a conversion of the file, given by its name, finds only training state or no tensor.
fn is_without_weights(there: &Located) -> bool {
    let Located::Here(file) = there else { return false };
    let planned = recipe::plan(&file.file, &checkpoint::Options::default());
    let why = planned.err();
    matches!(
        why,
        Some(recipe::Error::Checkpoint(checkpoint::Error::TrainingState | checkpoint::Error::NoTensors))
    )
}

/// Detects the content of a file, if it is local.
fn kind(path: &BStr, there: &Located) -> Option<Detected> {
    match there {
        Located::Here(file) => Some(detect(path, &file.file)),
        Located::There(_) => None,
    }
}
