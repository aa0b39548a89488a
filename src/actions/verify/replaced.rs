//! Verifies outputs whose checkpoints are to be removed, and reports nothing except the result.
//!
//! Invariant: each is compared with the named checkpoint, whatever else is next to it.

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;

use super::super::Error;
use super::super::lfs_remote::LfsRemote;
use super::super::servers::Session;
use super::reading::{Reader, spool};
use super::recorder::Recorder;
use super::tree::Tree;
use super::{Verified, Verifier};
use crate::repo::Repo;

/// Verifies outputs of the working tree that are not `done`, each against its checkpoint, and with a shard index all
/// files that it names. It records successful verifications.
///
/// # Errors
/// An error of the repository; [`Error::Interrupted`].
pub(in crate::actions) fn prove_outputs(
    repo: &Repo,
    session: &Session<'_>,
    pairs: &BTreeMap<BString, BString>,
    done: &BTreeSet<BString>,
    index: Option<&BString>,
    key: Option<&str>,
) -> Result<Vec<Verified>, Error> {
    let tree = Tree::work(repo)?;
    let server = LfsRemote::of(session, repo, None);
    let spool = || spool(Some(repo), repo.work_dir());
    let reader = Reader { server: Some(&server), spool: &spool, hashes: true, reporter: session.reporter };
    let recorder = Recorder::new(repo, session, None);
    let named = pairs.iter().map(|(file, of)| (file.clone(), BTreeSet::from([of.clone()]))).collect();
    let all = Verifier::new(reader, key, (&tree, &tree), Some(&recorder));
    let mut all = Verifier { named, is_silent: true, ..all };
    let files = pairs.keys().cloned().collect();
    all.these(&files, &index.into_iter().cloned().collect(), done)?;
    Ok(all.done)
}
