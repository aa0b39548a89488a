//! [`TreeReader`] reads trees as git stores them, and finds the differences between two of them.
//!
//! ```text
//! <mode, octal> SP <name> NUL <20 or 32 bytes>    per entry, sorted by name, where a directory sorts as if it ended with a slash
//! ```
//!
//! Invariant: the common beginning and end of two trees are skipped as bytes. A tree that is missing or malformed gives
//! `None`.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use bstr::{BStr, BString, ByteSlice as _};
use gix::objs::Kind;

use super::packs::Packs;
use crate::repo::ObjectId;

/// How many bytes of trees are kept in memory.
const HELD: usize = 16 << 20;
/// How many bytes are compared at once.
const STEP: usize = 256;

/// The trees of a repository.
pub(super) struct TreeReader {
    repo: gix::Repository,
    packs: Packs,
    held: HashMap<ObjectId, Rc<[u8]>>,
    size: usize,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileChange {
    pub(super) path: BString,
    pub(super) old: Option<ObjectId>,
    pub(super) new: Option<ObjectId>,
}

/// An entry that differs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Differing {
    pub(super) name: BString,
    old: Option<(u32, ObjectId)>,
    new: Option<(u32, ObjectId)>,
}

impl Differing {
    pub(super) fn old_file(&self) -> Option<ObjectId> {
        of_kind(self.old, 0o100_000)
    }

    pub(super) fn new_file(&self) -> Option<ObjectId> {
        of_kind(self.new, 0o100_000)
    }

    pub(super) fn old_tree(&self) -> Option<ObjectId> {
        of_kind(self.old, 0o040_000)
    }

    pub(super) fn new_tree(&self) -> Option<ObjectId> {
        of_kind(self.new, 0o040_000)
    }
}

fn of_kind(entry: Option<(u32, ObjectId)>, kind: u32) -> Option<ObjectId> {
    entry.filter(|(mode, _)| mode & 0o170_000 == kind).map(|(_, id)| id)
}

impl TreeReader {
    pub(super) fn new(repo: &gix::Repository) -> Self {
        Self { repo: repo.clone(), packs: Packs::of(repo), held: HashMap::new(), size: 0 }
    }

    /// Returns the length of an object ID in bytes.
    fn id_len(&self) -> usize {
        self.repo.object_hash().len_in_bytes()
    }

    fn read(&mut self, id: Option<ObjectId>) -> Option<Rc<[u8]>> {
        let Some(id) = id else { return Some(Rc::new([])) };
        if let Some(held) = self.held.get(&id) {
            return Some(held.clone());
        }
        let data: Rc<[u8]> = if let Some(tree) = self.packs.tree(id) {
            tree.into()
        } else {
            let object = self.repo.try_find_object(id).ok().flatten();
            object.filter(|object| object.kind == Kind::Tree)?.data.as_slice().into()
        };
        if self.size > HELD {
            self.held.clear();
            self.size = 0;
        }
        self.size += data.len();
        self.held.insert(id, data.clone());
        Some(data)
    }

    /// Returns the entries that differ between two trees, one of which may not exist.
    pub(super) fn differing(
        &mut self,
        new: Option<ObjectId>,
        old: Option<ObjectId>,
    ) -> Option<Vec<Differing>> {
        if new == old {
            return Some(Vec::new());
        }
        let (new, old) = (self.read(new)?, self.read(old)?);
        differing(&new, &old, self.id_len())
    }

    /// Returns every file that differs between two trees, in any order.
    pub(super) fn changes(&mut self, new: ObjectId, old: ObjectId) -> Option<Vec<FileChange>> {
        let (mut changes, mut waiting) = (Vec::new(), vec![(BString::default(), Some(new), Some(old))]);
        while let Some((dir, new, old)) = waiting.pop() {
            for differing in self.differing(new, old)? {
                let path: BString = [dir.as_slice(), &differing.name].concat().into();
                let (new_tree, old_tree) = (differing.new_tree(), differing.old_tree());
                if new_tree.is_some() || old_tree.is_some() {
                    waiting.push(([path.as_slice(), b"/"].concat().into(), new_tree, old_tree));
                }
                let (old, new) = (differing.old_file(), differing.new_file());
                if old.is_some() || new.is_some() {
                    changes.push(FileChange { path, old, new });
                }
            }
        }
        Some(changes)
    }

    /// Returns the file at a path of a tree, if it exists and is known.
    pub(super) fn file(&mut self, tree: ObjectId, path: &BStr) -> Option<ObjectId> {
        let (mut at, mut parts) = (tree, path.split_str("/").peekable());
        while let Some(part) = parts.next() {
            let data = self.read(Some(at))?;
            let (mut rest, mut found) = (&*data, None);
            while !rest.is_empty() {
                let (entry, after) = entry(rest, self.id_len())?;
                if entry.name == part {
                    found = Some((entry.mode, entry.id));
                    break;
                }
                rest = after;
            }
            if parts.peek().is_none() {
                return of_kind(found, 0o100_000);
            }
            at = of_kind(found, 0o040_000)?;
        }
        None
    }
}

/// An entry as it is read.
struct RawEntry<'a> {
    mode: u32,
    name: &'a BStr,
    id: ObjectId,
}

impl RawEntry<'_> {
    fn is_tree(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// Compares as git sorts them.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| {
            let end: &[u8] = if entry.is_tree() { b"/" } else { b"" };
            entry.name.iter().chain(end).copied().collect::<Vec<u8>>()
        };
        if self.name == other.name && self.is_tree() == other.is_tree() {
            Ordering::Equal
        } else {
            key(self).cmp(&key(other))
        }
    }
}

/// Parses the first entry of a tree whose IDs have `id_len` bytes, and returns the rest.
fn entry(data: &[u8], id_len: usize) -> Option<(RawEntry<'_>, &[u8])> {
    let (head, rest) = data.split_once_str("\0")?;
    let (mode, name) = head.split_once_str(" ")?;
    let mode = mode.iter().try_fold(0_u32, |mode, digit| match digit {
        b'0'..=b'7' => mode.checked_mul(8)?.checked_add(u32::from(digit - b'0')),
        _ => None,
    })?;
    let (id, rest) = rest.split_at_checked(id_len)?;
    Some((RawEntry { mode, name: name.as_bstr(), id: ObjectId::try_from(id).ok()? }, rest))
}

fn differing(new: &[u8], old: &[u8], id_len: usize) -> Option<Vec<Differing>> {
    let common = common(new, old);
    let (mut new, mut old, mut passed) = (new, old, 0);
    while let Some((_, rest)) = entry(new, id_len) {
        let len = new.len() - rest.len();
        if passed + len > common {
            break;
        }
        passed += len;
        (new, old) = (rest, old.get(len..)?);
    }
    let mut found = Vec::new();
    while new != old {
        let (fresh, gone) = (first(new, id_len).ok()?, first(old, id_len).ok()?);
        let order = match (&fresh, &gone) {
            (Some((fresh, _)), Some((gone, _))) => fresh.cmp(gone),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let fresh = fresh.filter(|_| order.is_le());
        let gone = gone.filter(|_| order.is_ge());
        let facts = |entry: &(RawEntry<'_>, &[u8])| (entry.0.mode, entry.0.id);
        let (was, is) = (gone.as_ref().map(facts), fresh.as_ref().map(facts));
        let name = fresh.as_ref().or(gone.as_ref()).map(|(entry, _)| entry.name.to_owned())?;
        if let Some((_, rest)) = fresh {
            new = rest;
        }
        if let Some((_, rest)) = gone {
            old = rest;
        }
        if was != is {
            found.push(Differing { name, old: was, new: is });
        }
    }
    Some(found)
}

/// Parses the first entry, if one exists, and returns the rest; an error if the data is not a tree.
fn first(data: &[u8], id_len: usize) -> Result<Option<(RawEntry<'_>, &[u8])>, ()> {
    if data.is_empty() { Ok(None) } else { entry(data, id_len).map(Some).ok_or(()) }
}

/// Returns the number of equal bytes at the beginning.
fn common(one: &[u8], other: &[u8]) -> usize {
    let steps = one.chunks(STEP).zip(other.chunks(STEP)).take_while(|(one, other)| one == other);
    let len = STEP * steps.count();
    // The last step may be shorter.
    let len = len.min(one.len()).min(other.len());
    let rest = one.iter().skip(len).zip(other.iter().skip(len));
    len + rest.take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, &str, u8)], id_len: usize) -> Vec<u8> {
        let entry = |(mode, name, id): &(&str, &str, u8)| {
            [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &vec![*id; id_len]].concat()
        };
        entries.iter().flat_map(entry).collect()
    }

    #[test]
    fn entries_that_differ() {
        [20, 32].into_iter().for_each(check_entries_that_differ);
    }

    fn check_entries_that_differ(id_len: usize) {
        let tree = |entries: &[(&str, &str, u8)]| tree(entries, id_len);
        let differing = |new: &[u8], old: &[u8]| differing(new, old, id_len);
        let many: Vec<String> = (0..100).map(|at| format!("f{at:03}")).collect();
        let whole = |changed: usize| {
            let entries = many.iter().enumerate();
            tree(
                &entries
                    .map(|(at, name)| ("100644", name.as_str(), u8::from(at == changed)))
                    .collect::<Vec<_>>(),
            )
        };
        let cases: [(Vec<u8>, Vec<u8>, &[&str]); 8] = [
            (tree(&[]), tree(&[]), &[]),
            (tree(&[("100644", "a", 1)]), tree(&[]), &["+a"]),
            (tree(&[]), tree(&[("40000", "a", 1)]), &["-a"]),
            (tree(&[("100644", "a", 1)]), tree(&[("100755", "a", 1)]), &["*a"]),
            // A file and a directory of the same name are at different positions.
            (
                tree(&[("100644", "a", 1), ("100644", "a.b", 2)]),
                tree(&[("100644", "a.b", 2), ("40000", "a", 1)]),
                &["+a", "-a"],
            ),
            (
                tree(&[("100644", "a", 1), ("100644", "c", 3)]),
                tree(&[("100644", "b", 1), ("100644", "c", 3)]),
                &["+a", "-b"],
            ),
            (whole(7), whole(93), &["*f007", "*f093"]),
            (whole(99), whole(200), &["*f099"]),
        ];
        for (new, old, expected) in cases {
            let sign = |one: &Differing| match (one.old, one.new) {
                (None, _) => '+',
                (_, None) => '-',
                _ => '*',
            };
            let found = differing(&new, &old).unwrap();
            let found: Vec<_> = found.iter().map(|one| format!("{}{}", sign(one), one.name)).collect();
            assert_eq!(found, expected);
        }
        assert!(differing(b"100644 a\0short", b"").is_none() && differing(b"", b"no tree").is_none());
    }

    #[test]
    fn bytes_in_common() {
        for (len, other) in [(0, 0), (1, 0), (255, 254), (256, 256), (257, 256), (1000, 999)] {
            let one = vec![1; len];
            let mut two = one.clone();
            if other < len {
                two[other] = 2;
            }
            assert_eq!(common(&one, &two), other.min(len), "{len} {other}");
            assert_eq!(common(&one, &one[..other.min(len)]), other.min(len), "{len} {other}");
        }
    }
}
