//! [`Arrival`] is a version of a file that is added, with the attributes files that decide what a checkout makes of it,
//! and the previous state.
//!
//! ```text
//! index against HEAD, commits ─▶ changed paths ─▶ Arrival
//!                             └▶ changed attributes files ─▶ each path to which they now apply differently ─▶ Arrival
//! ```
//!
//! Invariant: a blob is left out only if the blob, and everything that checkouts make of it at that path, existed
//! before. The module reads only trees and attributes files, and fetches nothing.

use std::collections::{BTreeSet, HashMap, HashSet};

use bstr::{BStr, BString, ByteSlice as _};

use super::Error;
use crate::git::incoming::Commit;
use crate::repo::{
    Attributes, ChangedPath, Conversion, Entry, Mode, ObjectId, Origin, Treatment, Treatments, Version,
};

/// A version of a file that is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Its path from the top.
    pub(super) path: BString,
    pub(super) version: Version,
    pub(super) attributes: Speaking,
    /// The results of earlier checkouts if the blob existed before; `None` if the blob is new.
    pub(super) before: Option<Vec<Conversion>>,
    /// The first commit that adds it.
    pub(super) commit: Option<ObjectId>,
    /// The attributes files whose change adds it.
    pub(super) by: Vec<BString>,
}

impl Arrival {
    /// Returns a version that no commit and no attributes file adds, and whose blob is new.
    pub(super) fn of(path: BString, version: Version, attributes: Speaking) -> Self {
        Self { path, version, attributes, before: None, commit: None, by: Vec::new() }
    }
}

/// The source of the attributes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Speaking {
    /// The attributes files of the index, which is read if needed.
    Index,
    /// These attributes files.
    These(Attributes),
    /// None: no commit gives the file a path.
    Nobody,
}

/// The start of a range of commits.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// Its tree.
    pub(super) tree: Option<ObjectId>,
    /// Its files.
    pub(super) files: HashMap<BString, Version>,
}

/// Returns the changes of the index against `HEAD`. `whole` returns the tree of `HEAD`, if it exists, and the whole
/// index; it is called if attributes files changed.
pub(super) fn of_index(
    treatments: &mut Treatments<'_>,
    changes: &[ChangedPath],
    whole: impl FnOnce() -> Result<(Option<ObjectId>, Vec<Entry>), Error>,
) -> Result<Vec<Arrival>, Error> {
    let mut arrivals: Vec<_> =
        changes.iter().filter_map(|change| new(change, Speaking::Index, None)).collect();
    let by = attributes_files(changes);
    if by.is_empty() {
        return Ok(arrivals);
    }
    let (Some(head), entries) = whole()? else { return Ok(arrivals) };
    let judged: HashSet<&BStr> = changes.iter().map(|change| change.path.as_ref()).collect();
    for entry in entries {
        let path = entry.path.as_bstr();
        if entry.stage != 0 || entry.intent_to_add || judged.contains(path) || !is_below(path, &by) {
            continue;
        }
        let version = Version { mode: entry.mode, id: entry.id };
        let now = treatments.attributes(Origin::Index, path)?;
        let before = treated_before(treatments, path, version, (Origin::Tree(head), now))?;
        if before.is_some() {
            let by = by.clone();
            arrivals.push(Arrival { before, by, ..Arrival::of(entry.path, version, Speaking::Index) });
        }
    }
    Ok(arrivals)
}

/// Returns what commits add, the latest first. `is_known` returns `true` for a blob that existed before, `base`
/// contains the previous files.
pub(super) fn of_commits(
    treatments: &mut Treatments<'_>,
    commits: &[Commit],
    is_known: &dyn Fn(ObjectId) -> bool,
    base: &Base,
) -> Result<Vec<Arrival>, Error> {
    let mut all = Arrivals { list: Vec::new(), seen: HashMap::new() };
    for commit in commits {
        let others = commit.parents.iter().skip(1).map(|parent| treatments.trees.tree_of(*parent));
        let others: Vec<_> = others.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        let mut step = Step { treatments, commit, others, base };
        for change in &commit.changes {
            if let Some(arrival) = step.changed(change, is_known)? {
                all.add(arrival);
            }
        }
        for arrival in step.spoken_of()? {
            all.add(arrival);
        }
    }
    Ok(all.list)
}

/// The arrivals so far, each once.
struct Arrivals {
    list: Vec<Arrival>,
    seen: HashMap<Key, usize>,
}

/// The identity of an arrival, whichever commit adds it.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    path: BString,
    version: Version,
    attributes: Speaking,
    before: Option<Vec<Conversion>>,
}

impl Arrivals {
    fn add(&mut self, arrival: Arrival) {
        let Arrival { path, version, attributes, before, .. } = arrival.clone();
        let at = *self.seen.entry(Key { path, version, attributes, before }).or_insert(self.list.len());
        if let Some(known) = self.list.get_mut(at) {
            // An earlier commit adds it.
            (known.commit, known.by) = (arrival.commit, arrival.by);
        } else {
            self.list.push(arrival);
        }
    }
}

/// One commit.
struct Step<'a, 'r> {
    treatments: &'a mut Treatments<'r>,
    commit: &'a Commit,
    /// The trees of the merged commits.
    others: Vec<ObjectId>,
    base: &'a Base,
}

impl Step<'_, '_> {
    /// Handles a path that the commit changes.
    fn changed(
        &mut self,
        change: &ChangedPath,
        is_known: &dyn Fn(ObjectId) -> bool,
    ) -> Result<Option<Arrival>, Error> {
        let path = change.path.as_bstr();
        let attributes = self.treatments.attributes(Origin::Tree(self.commit.tree), path)?;
        let Some(mut arrival) = new(change, Speaking::These(attributes), Some(self.commit.id)) else {
            return Ok(None);
        };
        if self.is_merged(path, arrival.version, attributes)? {
            return Ok(None);
        }
        if let Some(tree) = self.base.tree
            && self.base.files.get(path) == Some(&arrival.version)
        {
            let before =
                treated_before(self.treatments, path, arrival.version, (Origin::Tree(tree), attributes))?;
            let Some(before) = before else { return Ok(None) };
            arrival.before = Some(before);
        } else if is_known(arrival.version.id) {
            if arrival.version.mode == Mode::Symlink {
                return Ok(None);
            }
            // It may have had a name to which other attributes files apply, or none.
            arrival.before = Some(vec![Conversion::none()]);
        }
        Ok(Some(arrival))
    }

    /// Returns the paths that the commit does not change, but to which its attributes files now apply differently.
    fn spoken_of(&mut self) -> Result<Vec<Arrival>, Error> {
        let by = attributes_files(&self.commit.changes);
        let Some(parent) = self.commit.parents.first().filter(|_| !by.is_empty()) else {
            return Ok(Vec::new());
        };
        // At the boundary of a shallow clone, everything in a commit is new.
        let Some(parent) = self.treatments.trees.tree_of(*parent)? else { return Ok(Vec::new()) };
        let changed: HashSet<&BStr> = self.commit.changes.iter().map(|change| change.path.as_ref()).collect();
        let mut arrivals = Vec::new();
        for dir in directories(&by) {
            for (path, version) in self.treatments.trees.files_below(self.commit.tree, dir.as_ref())? {
                let name = path.as_bstr();
                if changed.contains(name) {
                    continue;
                }
                let now = self.treatments.attributes(Origin::Tree(self.commit.tree), name)?;
                if self.is_merged(name, version, now)? {
                    continue;
                }
                let mut then = Origin::Tree(parent);
                if let Some(tree) = self.base.tree
                    && self.base.files.get(name) == Some(&version)
                {
                    then = Origin::Tree(tree);
                }
                let before = treated_before(self.treatments, name, version, (then, now))?;
                if before.is_some() {
                    let (commit, by) = (Some(self.commit.id), by.clone());
                    let arrival = Arrival::of(path, version, Speaking::These(now));
                    arrivals.push(Arrival { before, commit, by, ..arrival });
                }
            }
        }
        Ok(arrivals)
    }

    /// Returns `true` if a merged commit, which is handled by itself, adds it.
    fn is_merged(&mut self, path: &BStr, version: Version, attributes: Attributes) -> Result<bool, Error> {
        for tree in self.others.clone() {
            if self.treatments.trees.file_at(tree, path)? == Some(version)
                && self.treatments.attributes(Origin::Tree(tree), path)? == attributes
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns the new version of a path: of a file or a link, unless only its mode changes.
fn new(change: &ChangedPath, attributes: Speaking, commit: Option<ObjectId>) -> Option<Arrival> {
    let version = change.new.filter(|new| new.mode != Mode::Submodule)?;
    let is_link = |version: &Version| version.mode == Mode::Symlink;
    // The content of a link is written with fewer conversions than that of a file.
    let is_same = change.old.is_some_and(|old| old.id == version.id && (!is_link(&old) || is_link(&version)));
    (!is_same).then(|| Arrival { commit, ..Arrival::of(change.path.clone(), version, attributes) })
}

/// Returns what checkouts made of a file before, if these attributes let them make anything else of it.
fn treated_before(
    treatments: &mut Treatments<'_>,
    path: &BStr,
    version: Version,
    (before, now): (Origin, Attributes),
) -> Result<Option<Vec<Conversion>>, Error> {
    if !matches!(version.mode, Mode::File | Mode::Executable) {
        return Ok(None);
    }
    let then = treatments.attributes(before, path)?;
    if then == now {
        return Ok(None);
    }
    let (then, now) = (treatments.of(then, path), treatments.of(now, path));
    Ok(match then {
        _ if then == now => None,
        Treatment::Clear(then) => Some(then),
        Treatment::Unclear { .. } => Some(vec![Conversion::none()]),
    })
}

/// Returns the attributes files among the changed paths, ignoring case.
fn attributes_files(changes: &[ChangedPath]) -> Vec<BString> {
    let is_one = |path: &BStr| {
        path.rsplit_str("/").next().is_some_and(|name| name.eq_ignore_ascii_case(b".gitattributes"))
    };
    let paths = changes.iter().map(|change| &change.path);
    paths.filter(|path| is_one(path.as_bstr())).cloned().collect()
}

/// Returns the directories of these files, without those below others.
fn directories(files: &[BString]) -> Vec<BString> {
    let dirs: BTreeSet<BString> = files
        .iter()
        .map(|file| file.rsplit_once_str("/").map_or(BString::default(), |(dir, _)| dir.into()))
        .collect();
    let is_inside =
        |dir: &BString| dirs.iter().any(|other| other != dir && is_in(dir.as_ref(), other.as_ref()));
    dirs.iter().filter(|dir| !is_inside(dir)).cloned().collect()
}

fn is_below(path: &BStr, files: &[BString]) -> bool {
    directories(files).iter().any(|dir| is_in(path, dir.as_ref()))
}

fn is_in(path: &BStr, dir: &BStr) -> bool {
    dir.is_empty() || path.strip_prefix(dir.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}
