//! Which blobs a hook is asked about, and where their exceptions are.
//!
//! Invariant: a file is left out only where it holds no content of its own (a link, another repository, a path that is
//! only intended) or where it is what it was (a changed mode). Nothing is fetched.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;

use bstr::{BString, ByteSlice as _};

use super::super::Error;
use super::Question;
use crate::git::Git;
use crate::git::entering::{self, Known};
use crate::repo::{Mode, ObjectId};

/// git's name of the empty blob, which a path has that is only intended to be added.
const EMPTY_BLOB: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

/// What is to be judged.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) files: Vec<Change>,
    /// Commits that hold the exceptions.
    pub(super) tips: Vec<String>,
    /// Does the index hold the exceptions?
    pub(super) is_index: bool,
}

/// A blob that comes.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: BString,
    pub(super) blob: Option<ObjectId>,
    /// A file that was named and is not in the difference: the index, or else the work tree, says what it is.
    pub(super) given: Option<OsString>,
    /// Is it no news if `HEAD` has it?
    pub(super) may_be_known: bool,
}

pub(super) fn of(git: &Git<'_>, question: &Question) -> Result<Changes, Error> {
    match question {
        Question::Index => Ok(Changes { files: staged(git)?, tips: Vec::new(), is_index: true }),
        Question::Push { lines, remote } => {
            let lines = fields(lines, 4, "pre-push")?;
            let moves = lines.into_iter().map(|line| (line[1].clone(), line[3].clone()));
            let known = match remote {
                // The name of a remote is one; a URL has no remote-tracking branches.
                Some(name) if !name.is_empty() => Known::Remote(name.clone()),
                _ => Known::Nothing,
            };
            pushed(git, moves.collect(), &known)
        }
        Question::Receive { lines } => {
            let lines = fields(lines, 3, "pre-receive")?;
            let moves = lines.into_iter().map(|line| (line[1].clone(), line[0].clone()));
            pushed(git, moves.collect(), &Known::AllReferences)
        }
        Question::Range { from, to } => {
            let to = entering::resolve(git, to)?;
            let from = if is_none(from) { None } else { entering::resolve(git, from).ok() };
            pushed(git, vec![(to, from.unwrap_or_default())], &Known::Nothing)
        }
        Question::Files(paths) => named(git, paths),
    }
}

fn staged(git: &Git<'_>) -> Result<Vec<Change>, Error> {
    let files = entering::staged(git)?.into_iter().filter_map(|change| {
        let new = change.new.filter(|new| matches!(new.mode, Mode::File | Mode::Executable))?;
        let is_same = change.old.is_some_and(|old| old.id == new.id && old.mode != Mode::Symlink);
        let is_empty = ObjectId::from_hex(EMPTY_BLOB.as_bytes()).is_ok_and(|empty| empty == new.id);
        (!is_same && !is_empty).then_some(Change {
            path: change.path,
            blob: Some(new.id),
            given: None,
            may_be_known: true,
        })
    });
    Ok(files.collect())
}

/// What these references bring: each with what it is, and what it was on the other side.
fn pushed(git: &Git<'_>, moves: Vec<(String, String)>, known: &Known) -> Result<Changes, Error> {
    let moves: Vec<_> = moves.into_iter().filter(|(new, old)| !is_none(new) && new != old).collect();
    if moves.is_empty() {
        return Ok(Changes::default());
    }
    let mut tips: Vec<String> = moves.iter().map(|(new, _)| new.clone()).collect();
    tips.sort();
    tips.dedup();
    let without: BTreeSet<String> =
        moves.into_iter().map(|(_, old)| old).filter(|old| !is_none(old)).collect();
    // What the other side has may never have been fetched.
    let without = entering::existing(git, without)?;
    let files = entering::objects(git, &tips, &without, known)?;
    let files = files.into_iter().map(|(blob, path)| Change {
        path,
        blob: Some(blob),
        given: None,
        may_be_known: false,
    });
    Ok(Changes { files: files.collect(), tips, is_index: false })
}

/// The files that the framework names. On a commit it names what is staged, on `--all-files` everything.
fn named(git: &Git<'_>, paths: &[OsString]) -> Result<Changes, Error> {
    let mut staged: HashMap<_, _> =
        staged(git)?.into_iter().map(|change| (change.path.clone(), change)).collect();
    let mut files = Vec::with_capacity(paths.len());
    for given in paths {
        let path = BString::from(given.as_encoded_bytes());
        let of_index = staged.remove(path.as_bstr());
        files.push(of_index.unwrap_or(Change {
            path,
            blob: None,
            given: Some(given.clone()),
            may_be_known: false,
        }));
    }
    Ok(Changes { files, tips: Vec::new(), is_index: true })
}

/// The words of each line.
fn fields(text: &[u8], count: usize, hook: &'static str) -> Result<Vec<Vec<String>>, Error> {
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<String> = line.to_str_lossy().split(' ').map(str::to_owned).collect();
        // The name of a reference has no space in it.
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

/// The name that stands for nothing.
fn is_none(id: &str) -> bool {
    id.is_empty() || id.bytes().all(|byte| byte == b'0')
}
