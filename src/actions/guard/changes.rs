//! Finds the versions of files that a hook checks, and the location of their exceptions.
//!
//! Invariant: a file is left out only if it has no content of its own (another repository, an intent-to-add path) or if
//! the file, and everything that checkouts make of it, is unchanged (a changed mode). Nothing is fetched.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;

use bstr::{BString, ByteSlice as _};

use super::super::Error;
use super::super::arrivals::{self, Arrival, Base, Speaking};
use super::Question;
use super::judge::Judge;
use crate::git::Git;
use crate::git::incoming::{self, Known, Sent};
use crate::repo::{ChangedPath, Mode, ObjectId, Origin, Treatments, Version};

/// git's ID of the empty blob, which an intent-to-add path has.
const EMPTY_BLOB: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

/// The versions to check.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) files: Vec<Change>,
    /// Commits with the exceptions.
    pub(super) tips: Vec<String>,
    /// `true` if the index has the exceptions.
    pub(super) is_index: bool,
}

/// A file to check.
#[derive(Debug)]
pub(super) enum Change {
    /// A version of it.
    Arrival(Arrival),
    /// A file that was named and is not in the difference: the index, or else the working tree, has its content.
    Given(OsString),
}

/// git's answer to a question.
pub(super) enum Asked {
    /// The difference of the index.
    Index(Vec<ChangedPath>),
    /// The same, and the files that were named.
    Files(Vec<ChangedPath>, Vec<OsString>),
    /// The objects that these references add.
    Sent(Sent, Vec<String>),
}

impl Asked {
    /// Returns `true` if nothing is to be checked.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Index(changes) => changes.is_empty(),
            Self::Files(changes, files) => changes.is_empty() && files.is_empty(),
            Self::Sent(sent, _) => sent.objects.is_empty() && sent.commits.is_empty(),
        }
    }
}

/// Asks git.
pub(super) fn ask(git: &Git<'_>, question: &Question) -> Result<Asked, Error> {
    match question {
        Question::Index => Ok(Asked::Index(incoming::staged(git)?)),
        Question::Push { lines, remote } => {
            let lines = fields(lines, 4, "pre-push")?;
            let moves = lines.into_iter().map(|line| (line[1].clone(), line[3].clone()));
            let known = match remote {
                // A remote has remote-tracking branches only if it has a name; a URL has none.
                Some(name) if !name.is_empty() => Known::Remote(name.clone()),
                _ => Known::Nothing,
            };
            sent(git, moves.collect(), &known)
        }
        Question::Receive { lines } => {
            let lines = fields(lines, 3, "pre-receive")?;
            let moves = lines.into_iter().map(|line| (line[1].clone(), line[0].clone()));
            sent(git, moves.collect(), &Known::AllReferences)
        }
        Question::Range { from, to } => {
            let to = incoming::resolve(git, to)?;
            let from = if is_none(from) { None } else { incoming::resolve(git, from).ok() };
            sent(git, vec![(to, from.unwrap_or_default())], &Known::Nothing)
        }
        Question::Files(paths) => Ok(Asked::Files(incoming::staged(git)?, paths.clone())),
    }
}

/// Returns what these references add: each with its new and its old value on the other side.
fn sent(git: &Git<'_>, moves: Vec<(String, String)>, known: &Known) -> Result<Asked, Error> {
    let moves: Vec<_> = moves.into_iter().filter(|(new, old)| !is_none(new) && new != old).collect();
    if moves.is_empty() {
        return Ok(Asked::Sent(Sent::default(), Vec::new()));
    }
    let mut tips: Vec<String> = moves.iter().map(|(new, _)| new.clone()).collect();
    tips.sort();
    tips.dedup();
    let without: BTreeSet<String> =
        moves.into_iter().map(|(_, old)| old).filter(|old| !is_none(old)).collect();
    // This repository may lack objects of the other side.
    let without = incoming::existing(git, without)?;
    Ok(Asked::Sent(incoming::sent(git, &tips, &without, known)?, tips))
}

/// Returns the versions to check.
pub(super) fn of(
    git: &Git<'_>,
    judge: &Judge<'_>,
    treatments: &mut Treatments<'_>,
    asked: Asked,
) -> Result<Changes, Error> {
    match asked {
        Asked::Index(changes) => {
            let files = staged(git, judge, treatments, &changes)?.into_iter().map(Change::Arrival).collect();
            Ok(Changes { files, tips: Vec::new(), is_index: true })
        }
        Asked::Files(changes, paths) => {
            let files = named(staged(git, judge, treatments, &changes)?, paths);
            Ok(Changes { files, tips: Vec::new(), is_index: true })
        }
        Asked::Sent(sent, tips) => {
            let files =
                pushed(git, judge, treatments, sent, &tips)?.into_iter().map(Change::Arrival).collect();
            Ok(Changes { files, tips, is_index: false })
        }
    }
}

fn staged(
    git: &Git<'_>,
    judge: &Judge<'_>,
    treatments: &mut Treatments<'_>,
    changes: &[ChangedPath],
) -> Result<Vec<Arrival>, Error> {
    let whole = || {
        let head = incoming::resolve(git, "HEAD^{tree}").ok();
        let head = head.and_then(|head| ObjectId::from_hex(head.as_bytes()).ok());
        Ok((head, judge.entries()?.to_vec()))
    };
    let mut arrivals = arrivals::of_index(treatments, changes, whole)?;
    let empty = ObjectId::from_hex(EMPTY_BLOB.as_bytes()).ok();
    arrivals.retain(|arrival| Some(arrival.version.id) != empty);
    Ok(arrivals)
}

fn pushed(
    git: &Git<'_>,
    judge: &Judge<'_>,
    treatments: &mut Treatments<'_>,
    sent: Sent,
    tips: &[String],
) -> Result<Vec<Arrival>, Error> {
    let Sent { commits, mut objects } = sent;
    let is_known = |id: ObjectId| !objects.contains_key(&id);
    let mut arrivals = arrivals::of_commits(treatments, &commits, &is_known, &Base::default())?;
    for arrival in &arrivals {
        objects.remove(&arrival.version.id);
    }
    objects.retain(|id, _| judge.database.is_blob(*id));
    if objects.is_empty() {
        return Ok(arrivals);
    }
    // Objects without a path in a commit: a tag may name a tree, or a blob.
    for tip in tips {
        if incoming::resolve(git, &format!("{tip}^{{commit}}")).is_ok() {
            continue;
        }
        let Ok(tree) = incoming::resolve(git, &format!("{tip}^{{tree}}")) else { continue };
        let Ok(tree) = ObjectId::from_hex(tree.as_bytes()) else { continue };
        for (path, version) in treatments.trees.files_below(tree, "".into())? {
            if version.mode != Mode::Submodule {
                let attributes = treatments.attributes(Origin::Tree(tree), path.as_bstr())?;
                objects.remove(&version.id);
                arrivals.push(Arrival::of(path, version, Speaking::These(attributes)));
            }
        }
    }
    let blob = |id| Version { mode: Mode::File, id };
    arrivals.extend(objects.into_iter().map(|(id, path)| Arrival::of(path, blob(id), Speaking::Nobody)));
    Ok(arrivals)
}

/// Returns the files that the framework names. For a commit it names staged files, except links; with `--all-files`
/// every file. Files to which staged attributes files now apply differently are also checked.
fn named(staged: Vec<Arrival>, paths: Vec<OsString>) -> Vec<Change> {
    let names: HashSet<BString> = paths.iter().map(|path| path.as_encoded_bytes().into()).collect();
    let mut of_path: HashMap<BString, Arrival> = HashMap::new();
    let mut files = Vec::with_capacity(paths.len());
    for arrival in staged {
        if names.contains(&arrival.path) {
            of_path.insert(arrival.path.clone(), arrival);
        } else if arrival.before.is_some() || arrival.version.mode == Mode::Symlink {
            files.push(Change::Arrival(arrival));
        }
    }
    for given in paths {
        let of_index = of_path.remove(given.as_encoded_bytes().as_bstr());
        files.push(of_index.map_or(Change::Given(given), Change::Arrival));
    }
    files
}

/// Returns the words of each line.
fn fields(text: &[u8], count: usize, hook: &'static str) -> Result<Vec<Vec<String>>, Error> {
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<String> = line.to_str_lossy().split(' ').map(str::to_owned).collect();
        // The name of a reference contains no space.
        if words.len() != count || !words.iter().any(|word| is_id(word)) {
            return Err(Error::HookInput { hook, line: line.to_str_lossy().into_owned() });
        }
        lines.push(words);
    }
    Ok(lines)
}

fn is_id(word: &str) -> bool {
    word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns `true` for the null ID.
fn is_none(id: &str) -> bool {
    id.is_empty() || id.bytes().all(|byte| byte == b'0')
}
