//! Reads the list of a batch: which models, each once, and which of them belong to this batch part.
//!
//! ```text
//! owner/name            a model, as `clone` accepts it: a name on the Hub, a URL or a path
//! owner/name@revision   a name on the Hub with a branch, a tag, a commit or a reference
//! # …                   a comment, also after a blank
//! ```
//!
//! Invariants: the same list gives the same items in the same order; the parts of a count are disjoint, and together
//! they are complete. The key of an item contains no password.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bstr::ByteSlice as _;

use crate::actions::clone::source::{CloneSource, at_hub};
use crate::git;
use crate::remote::{ModelName, escape};

/// How the address of a path on this machine begins.
const FILE: &str = "file://";

/// A model of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The model, as `clone` accepts it.
    pub model: OsString,
    /// The model on the Hub, if it is there.
    pub hub: Option<ModelName>,
    /// The revision, unless it is the default branch.
    pub revision: Option<String>,
    /// Its URL, without a password.
    pub url: String,
    /// Its path below a directory of models; `None` if its name does not determine it.
    pub place: Option<PathBuf>,
    /// An earlier model in the list with the same path.
    pub displaced_by: Option<String>,
}

impl Item {
    /// Parses a line without comment and blanks.
    fn of(line: &OsStr, cwd: &Path, endpoint: &str) -> Self {
        let text = line.to_str().unwrap_or_default();
        let named = text.split_once('@').filter(|(name, revision)| {
            // `git@host:path` is not a name with a revision, because a revision never contains a colon.
            at_hub(name).is_some() && !revision.is_empty() && !revision.contains(':')
        });
        let (model, revision) = match named {
            Some((name, revision)) => (name.into(), Some(revision.to_owned())),
            None => (line.to_owned(), None),
        };
        let source = CloneSource::of(&model, endpoint, cwd);
        let url = address(&shown(&git::without_password(&source.url)), source.is_path.then_some(cwd));
        let place = source.owned.map(|place| match &revision {
            Some(revision) => with_revision(&place, revision),
            None => place,
        });
        Self { model, hub: source.model, revision, url, place, displaced_by: None }
    }

    /// Returns the line of the list, without a password.
    pub fn name(&self) -> String {
        let model = shown(&git::without_password(&self.model));
        match &self.revision {
            Some(revision) => format!("{model}@{revision}"),
            None => model,
        }
    }
}

/// Returns a word as text, with invalid UTF-8 escaped.
pub(super) fn shown(word: &OsStr) -> String {
    word.to_str().map_or_else(|| word.as_encoded_bytes().as_bstr().to_string(), str::to_owned)
}

/// Returns the address that identifies a repository. For a path on this machine it is the repository's real path,
/// however the path is written; the path of a missing repository stays as it is.
pub(super) fn address(url: &str, path_from: Option<&Path>) -> String {
    if let Some(cwd) = path_from {
        return own_path(&cwd.join(url));
    }
    match url.strip_prefix(FILE).filter(|path| path.starts_with('/')) {
        Some(path) => format!("{FILE}{}", own_path(Path::new(path))),
        None => git::without_suffix(url).to_owned(),
    }
}

/// Returns the path of a repository without links and dots. It is found as git finds it: with or without a final
/// `.git`.
fn own_path(path: &Path) -> String {
    let with_git = {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".git");
        path.with_file_name(name)
    };
    let is_repository =
        |path: &Path| path.is_file() || path.join(".git").exists() || path.join("HEAD").exists();
    let there = [path, &with_git].into_iter().find(|path| is_repository(path)).unwrap_or(path);
    // A missing path only loses the dots between its parts.
    let real = there.canonicalize().unwrap_or_else(|_| there.components().collect());
    let real = real.parent().filter(|_| real.ends_with(".git")).unwrap_or(&real);
    let text = shown(real.as_os_str());
    text.strip_prefix(r"\\?\").map_or_else(|| text.clone(), str::to_owned)
}

/// Returns the directory with the revision in its name, so that two revisions of a model have different ones.
fn with_revision(place: &Path, revision: &str) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push("@");
    name.push(escape(revision.as_bytes(), |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
    place.with_file_name(name)
}

/// Returns the items of a list, each once. Relative paths start at `cwd`, names are on the Hub at `endpoint`.
pub fn parse(list: &[u8], cwd: &Path, endpoint: &str) -> Vec<Item> {
    let list = list.strip_prefix(b"\xef\xbb\xbf").unwrap_or(list);
    let lines = list.lines().filter_map(|line| {
        let line = without_comment(line.trim());
        // On a system whose names are not bytes, invalid UTF-8 is not a name, and fails as one.
        (!line.is_empty()).then(|| Item::of(&line.to_os_str_lossy(), cwd, endpoint))
    });
    once(lines)
}

/// Returns the items for names on the Hub, each once.
pub fn of_names(names: &[ModelName], cwd: &Path, endpoint: &str) -> Vec<Item> {
    once(names.iter().map(|name| Item::of(name.as_str().as_ref(), cwd, endpoint)))
}

fn once(all: impl Iterator<Item = Item>) -> Vec<Item> {
    let (mut known, mut places) = (HashSet::new(), HashMap::new());
    let new = all.filter(|item| {
        let url = item.url.strip_prefix(FILE).unwrap_or(&item.url);
        known.insert((url.to_owned(), item.revision.clone()))
    });
    let items = new.map(|item| {
        let first =
            item.place.as_ref().map(|place| places.entry(place.clone()).or_insert_with(|| item.name()));
        let displaced_by = first.filter(|first| **first != item.name()).cloned();
        Item { displaced_by, ..item }
    });
    items.collect()
}

fn without_comment(line: &[u8]) -> &[u8] {
    if line.starts_with(b"#") {
        return b"";
    }
    let end = [b" #", b"\t#"].iter().filter_map(|start| line.find(start)).min();
    line.get(..end.unwrap_or(line.len())).unwrap_or(line).trim_end()
}

/// A batch part: every n-th item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Creates part number `index`, from 0, of `count`.
    pub fn new(index: usize, count: usize) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// Returns its number, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// Returns the number of parts.
    pub fn count(self) -> usize {
        self.count
    }

    /// Returns the items of this part.
    pub fn of(self, items: Vec<Item>) -> Vec<Item> {
        items.into_iter().skip(self.index).step_by(self.count).collect()
    }
}

impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            (is_plain(index) && is_plain(count)).then_some(())?;
            Some((index.parse().ok()?, count.parse().ok()?))
        });
        let (index, count) = numbers.ok_or("expected I/N, e.g. 0/4")?;
        Self::new(index, count).ok_or("I must be less than N (I counts from 0)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(list: &str) -> Vec<Item> {
        parse(list.as_bytes(), Path::new("/nowhere/work"), "https://hub.example/")
    }

    #[test]
    fn lines_are_models_as_clone_takes_them() {
        for (line, model, revision, url, place) in [
            ("acme/bert", "acme/bert", None, "https://hub.example/acme/bert", "acme/bert"),
            ("gpt2@v1.0", "gpt2", Some("v1.0"), "https://hub.example/gpt2", "gpt2@v1.0"),
            (
                "acme/m@refs/pr/3",
                "acme/m",
                Some("refs/pr/3"),
                "https://hub.example/acme/m",
                "acme/m@refs%2Fpr%2F3",
            ),
            ("acme/m@a/../b", "acme/m", Some("a/../b"), "https://hub.example/acme/m", "acme/m@a%2F..%2Fb"),
            (
                "https://u:secret@h/acme/m.git/",
                "https://u:secret@h/acme/m.git/",
                None,
                "https://u:***@h/acme/m",
                "acme/m",
            ),
            ("git@hf.co:acme/m", "git@hf.co:acme/m", None, "git@hf.co:acme/m", "acme/m"),
            ("./models/m.git", "./models/m.git", None, "/nowhere/work/models/m.git", "models/m"),
            ("/nowhere/m/.git", "/nowhere/m/.git", None, "/nowhere/m", "nowhere/m"),
            ("..", "..", None, "/nowhere/work/..", ""),
            ("file:///nowhere/m.git", "file:///nowhere/m.git", None, "file:///nowhere/m.git", "nowhere/m"),
        ] {
            let found = items(line);
            let [item] = found.as_slice() else { panic!("{line}: {found:?}") };
            assert_eq!((item.model.to_str().unwrap(), item.revision.as_deref()), (model, revision), "{line}");
            let dir = item.place.clone().unwrap_or_default();
            assert_eq!((item.url.as_str(), dir.to_str().unwrap()), (url, place), "{line}");
        }
        assert_eq!(items("https://u:secret@h/m")[0].name(), "https://u:***@h/m");
        assert_eq!(items("acme/m@v1")[0].name(), "acme/m@v1");
    }

    #[test]
    fn blanks_comments_and_what_came_before_are_left_out() {
        let list = "\u{feff}# models\r\n\n  acme/a \r\nacme/b\t# large\nacme/a\nhttps://hub.example/acme/a.git\n\
                    acme/a@v1\nhttps://h/m#x\n   # acme/c\nacme/d";
        let names: Vec<_> = items(list).iter().map(Item::name).collect();
        assert_eq!(names, ["acme/a", "acme/b", "acme/a@v1", "https://h/m#x", "acme/d"]);
        assert_eq!(items("# nothing\n\n"), []);
        let displaced: Vec<_> =
            items("acme/a\nhttps://h/acme/a\nacme/b").into_iter().map(|item| item.displaced_by).collect();
        assert_eq!(displaced, [None, Some("acme/a".to_owned()), None]);
    }

    #[test]
    fn a_repository_of_this_machine_is_one_by_whatever_path() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        for sub in ["hub.git/refs", "here", "tree/.git", "both", "both.git"] {
            std::fs::create_dir_all(top.join(sub)).unwrap();
        }
        for bare in ["hub.git", "both.git", "tree/.git"] {
            std::fs::write(top.join(bare).join("HEAD"), "ref: refs/heads/main\n").unwrap();
        }
        let shown = top.to_str().unwrap();
        let urls = |list: &str| {
            let found =
                parse(list.replace("TOP", shown).as_bytes(), &top.join("here"), "https://hub.example");
            found.into_iter().map(|item| item.url.replace(shown, "TOP")).collect::<Vec<_>>()
        };
        assert_eq!(
            urls("TOP/hub.git\n../hub.git\n../hub\nfile://TOP/hub.git\n../here/../hub.git/"),
            ["TOP/hub.git"]
        );
        assert_eq!(urls("../tree\nTOP/tree/.git\n../tree/"), ["TOP/tree"]);
        assert_eq!(urls("file://TOP/tree/.git\n../tree"), ["file://TOP/tree"]);
        // A directory that is not a repository is skipped, as by git.
        assert_eq!(urls("../both\n../both.git"), ["TOP/both.git"]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(top.join("hub.git"), top.join("link")).unwrap();
            assert_eq!(urls("../link\n../hub.git"), ["TOP/hub.git"]);
        }
    }

    #[test]
    fn shards_are_disjoint_and_together_all() {
        let list: Vec<_> = (0..50).map(|n| format!("acme/m{n}")).collect();
        let all = items(&list.join("\n"));
        for count in [1, 2, 3, 4, 7, 50, 64] {
            let mut together: Vec<_> = (0..count)
                .flat_map(|index| Shard::new(index, count).unwrap().of(all.clone()))
                .map(|item| item.name())
                .collect();
            assert_eq!(together.len(), all.len());
            together.sort();
            let mut expected: Vec<_> = all.iter().map(Item::name).collect();
            expected.sort();
            assert_eq!(together, expected);
        }
        assert_eq!("3/4".parse(), Ok(Shard { index: 3, count: 4 }));
        for wrong in ["4/4", "0/0", "/4", "1", "-1/4", "+1/4", "1/4/2", "a/b", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
