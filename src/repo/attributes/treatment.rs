//! [`Treatments`] determines what checkouts of a commit, or of the index, do with the blob of each path, by only the
//! attributes files in it.
//!
//! Every clone has those; `info/attributes` and the attributes of a user or a machine exist only in this clone, so they
//! also count for the index. A clone may be on a file system where `A` and `a` are the same name, and may read a file
//! from its index or from its working tree; if that makes a difference, the answer contains every result.
//!
//! Invariant: nothing is fetched, and a missing or odd file makes the answer [`Treatment::Unclear`]. A file is parsed
//! once, whatever the number of commits and directories; a directory without one costs one lookup in its tree.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use bstr::{BStr, BString, ByteSlice as _};
use gix::glob::pattern::Case;

use super::lines::{Chain, Lines, MAX_FILE_LEN, Names};
use super::rules::directories;
use super::trees::{Trees, below};
use crate::lfs::{pointer, regular};
use crate::repo::checkout::{Conversion, Made, Recipe, recipes};
use crate::repo::database::TreeEntry;
use crate::repo::{Database, Error, Found, Mode, ObjectId, Repo, Result};

const FILE_NAME: &[u8] = b".gitattributes";
/// How many commits are compared with one another at a time.
const MAX_ORIGINS: usize = 4;

/// The source of a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The index.
    Index,
    /// A tree: that of a commit.
    Tree(ObjectId),
}

/// The attributes files that apply to the files of a directory of an origin. Equal values have the same effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attributes(usize);

/// The result of checkouts for the blob of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// One of these, sorted.
    Clear(Vec<Conversion>),
    /// The result is not known because of this attributes file.
    Unclear {
        /// Its path from the top.
        file: BString,
        /// `true` if it is not in this clone; otherwise git reads it in more than one way.
        is_missing: bool,
    },
}

/// An attributes file of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct File {
    dir: BString,
    id: ObjectId,
    /// `true` if its name differs in case; then it counts only on file systems that ignore case.
    is_other_case: bool,
}

/// The facts about an origin.
struct Known {
    origin: Origin,
    /// For the index: all its attributes files, by directory.
    index: Option<HashMap<BString, Vec<File>>>,
    views: HashMap<BString, Attributes>,
}

/// The possible readings of a directory's attributes.
enum Views {
    Clear {
        /// `true` if both come from the same files.
        is_one: bool,
        sensitive: Vec<Rc<Chain>>,
        folded: Vec<Rc<Chain>>,
    },
    Unclear {
        file: BString,
        is_missing: bool,
    },
}

/// The files with a lower priority than those of a tree, and those with a higher one.
type Own = (Vec<Rc<Lines>>, Vec<Rc<Lines>>);

/// The parsed files of one blob: as git reads it from an index and, if that differs, from a working tree.
type Parsed = (Rc<Lines>, Option<Rc<Lines>>);

/// Answers for many paths.
pub struct Treatments<'a> {
    repo: &'a Repo,
    /// The trees that are read.
    pub trees: Trees,
    names: Names,
    parsed: HashMap<ObjectId, Option<Parsed>>,
    chains: HashMap<(Vec<File>, bool, bool), Rc<Chain>>,
    known: Vec<Known>,
    views: Vec<Rc<Views>>,
    /// By the files, and by whether those of this clone count.
    by_files: HashMap<(Vec<File>, bool), Attributes>,
    /// The files of only this clone with a lower and with a higher priority than the tree.
    own: Option<Own>,
}

impl<'a> Treatments<'a> {
    /// Creates it for a repository, with the database of its objects.
    pub fn new(repo: &'a Repo, database: Database) -> Self {
        Self {
            repo,
            trees: Trees::new(database),
            names: Names::default(),
            parsed: HashMap::new(),
            chains: HashMap::new(),
            known: Vec::new(),
            views: Vec::new(),
            by_files: HashMap::new(),
            own: None,
        }
    }

    /// Returns the attributes files that apply to a path.
    ///
    /// # Errors
    /// Errors of the object database and the index. A missing file is not an error.
    pub fn attributes(&mut self, origin: Origin, path: &BStr) -> Result<Attributes> {
        let dir = path.rfind_byte(b'/').map_or(BStr::new(""), |slash| path[..slash].as_bstr());
        if let Some(attributes) = self.known(origin)?.views.get(dir) {
            return Ok(*attributes);
        }
        let attributes = if let Some(files) = self.files_above(origin, dir)? {
            let key = (files, origin == Origin::Index);
            if let Some(attributes) = self.by_files.get(&key) {
                *attributes
            } else {
                let views = self.read(key.1, &key.0)?;
                let attributes = self.keep(views);
                self.by_files.insert(key, attributes);
                attributes
            }
        } else {
            self.keep(Views::Unclear { file: below(dir, FILE_NAME.as_bstr()), is_missing: true })
        };
        self.known(origin)?.views.insert(dir.to_owned(), attributes);
        Ok(attributes)
    }

    fn keep(&mut self, views: Views) -> Attributes {
        self.views.push(Rc::new(views));
        Attributes(self.views.len() - 1)
    }

    /// Returns what checkouts do with the blob of a path to which these files apply.
    pub fn of(&self, attributes: Attributes, path: &BStr) -> Treatment {
        let (is_one, sensitive, folded) = match &*self.views[attributes.0] {
            Views::Clear { is_one, sensitive, folded } => (*is_one, sensitive, folded),
            Views::Unclear { file, is_missing } => {
                return Treatment::Unclear { file: file.clone(), is_missing: *is_missing };
            }
        };
        let mut conversions: Vec<_> =
            sensitive.iter().map(|chain| chain.conversion(path, Case::Sensitive)).collect();
        for chain in folded {
            if !is_one || chain.depends_on_case(path) {
                conversions.push(chain.conversion(path, Case::Fold));
            }
        }
        conversions.sort();
        conversions.dedup();
        Treatment::Clear(conversions)
    }

    fn known(&mut self, origin: Origin) -> Result<&mut Known> {
        if let Some(at) = self.known.iter().position(|known| known.origin == origin) {
            let known = self.known.remove(at);
            self.known.push(known);
        } else {
            let index = match origin {
                Origin::Index => Some(self.index()?),
                Origin::Tree(_) => None,
            };
            if self.known.len() >= MAX_ORIGINS {
                self.known.remove(0);
            }
            self.known.push(Known { origin, index, views: HashMap::new() });
        }
        let last = self.known.len() - 1;
        Ok(&mut self.known[last])
    }

    fn index(&self) -> Result<HashMap<BString, Vec<File>>> {
        let mut files: HashMap<_, Vec<_>> = HashMap::new();
        for (path, id) in self.repo.staged_under(FILE_NAME)? {
            let (dir, name) = path.rsplit_once_str("/").unwrap_or((b"", &path));
            let is_other_case = name != FILE_NAME;
            files.entry(dir.into()).or_default().push(File { dir: dir.into(), id, is_other_case });
        }
        Ok(files)
    }

    /// Returns the attributes files of a directory and of those above it, from the top; `None` if a tree on the way is
    /// missing.
    fn files_above(&mut self, origin: Origin, dir: &BStr) -> Result<Option<Vec<File>>> {
        let mut files = Vec::new();
        let mut tree = match origin {
            Origin::Index => None,
            Origin::Tree(tree) => Some(tree),
        };
        let inside = below(dir, BStr::new("x"));
        for dir in directories(inside.as_ref()) {
            if let Origin::Index = origin {
                let of_index = self.known(origin)?.index.as_ref().and_then(|index| index.get(dir));
                files.extend(of_index.into_iter().flatten().cloned());
                continue;
            }
            let Some(id) = tree else { break };
            let Some(entries) = self.trees.tree(id)? else { return Ok(None) };
            let is_attributes = |entry: &&TreeEntry| {
                !matches!(entry.mode, None | Some(Mode::Submodule))
                    && entry.name.eq_ignore_ascii_case(FILE_NAME)
            };
            let file = |entry: &TreeEntry| File {
                dir: dir.to_owned(),
                id: entry.id,
                is_other_case: entry.name != FILE_NAME,
            };
            files.extend(entries.iter().filter(is_attributes).map(file));
            let next = inside.get(dir.len()..).unwrap_or_default();
            let name = next.strip_prefix(b"/").unwrap_or(next).split_str("/").next().unwrap_or_default();
            let child = entries.iter().find(|entry| entry.mode.is_none() && entry.name == name);
            tree = child.map(|entry| entry.id);
        }
        Ok(Some(files))
    }

    fn read(&mut self, is_index: bool, files: &[File]) -> Result<Views> {
        let mut parsed = Vec::new();
        for file in files {
            match self.parsed(file.id)? {
                Some(lines) => parsed.push(lines),
                None => return Ok(unclear(file, true)),
            }
        }
        let odd = parsed.iter().position(|(lines, _)| lines.is_odd).and_then(|at| files.get(at));
        if let Some(odd) = odd
            && parsed.iter().any(|(lines, _)| lines.names_conversion)
        {
            return Ok(unclear(odd, false));
        }
        for (at, file) in files.iter().enumerate() {
            if self.is_rewritten(is_index, files.get(..=at).unwrap_or_default(), file)? {
                return Ok(unclear(file, false));
            }
        }
        let is_marked = parsed.iter().any(|(_, other)| other.is_some());
        let sensitive: Vec<File> = files.iter().filter(|file| !file.is_other_case).cloned().collect();
        let mut views = (Vec::new(), Vec::new());
        for is_checked_out in if is_marked { &[false, true][..] } else { &[false] } {
            for is_own in if is_index { &[false, true][..] } else { &[false] } {
                let first = self.chain(&sensitive, *is_checked_out, *is_own)?;
                let second = if sensitive == files {
                    Rc::clone(&first)
                } else {
                    self.chain(files, *is_checked_out, *is_own)?
                };
                views.0.push(first);
                views.1.push(second);
            }
        }
        Ok(Views::Clear { is_one: sensitive == files, sensitive: views.0, folded: views.1 })
    }

    /// Returns `true` if the file of a working tree, which git reads later, differs from that of the index.
    fn is_rewritten(&mut self, is_index: bool, above: &[File], file: &File) -> Result<bool> {
        let path = below(file.dir.as_ref(), FILE_NAME.as_bstr());
        let mut conversions = Vec::new();
        for is_own in [false, is_index] {
            let chain = self.chain(above, false, is_own)?;
            conversions
                .extend([Case::Sensitive, Case::Fold].map(|case| chain.conversion(path.as_ref(), case)));
        }
        // A CR at the end of a line is not part of it.
        let recipes: Vec<_> =
            recipes(&conversions, &[]).into_iter().filter(Recipe::keeps_line_ends).collect();
        if recipes.is_empty() && !conversions.iter().any(|conversion| conversion.is_lfs) {
            return Ok(false);
        }
        let Found::Blob(text) = self.trees.database.find(file.id, MAX_FILE_LEN)? else { return Ok(true) };
        let changes = |recipe: &Recipe| recipe.apply(file.id, &text) != Made::Same;
        Ok(recipes.iter().any(changes) || pointer::looks_like_pointer(&text))
    }

    fn chain(&mut self, files: &[File], is_checked_out: bool, is_own: bool) -> Result<Rc<Chain>> {
        let key = (files.to_vec(), is_checked_out, is_own);
        if let Some(chain) = self.chains.get(&key) {
            return Ok(Rc::clone(chain));
        }
        let mut all = Vec::new();
        let (yields, wins) = if is_own { self.own()? } else { Default::default() };
        all.extend(yields.into_iter().map(|lines| (BString::default(), lines)));
        for file in files {
            if let Some((lines, checked_out)) = self.parsed(file.id)? {
                all.push((file.dir.clone(), checked_out.filter(|_| is_checked_out).unwrap_or(lines)));
            }
        }
        all.extend(wins.into_iter().map(|lines| (BString::default(), lines)));
        let chain = Rc::new(Chain::new(&all, &mut self.names));
        self.chains.insert(key, Rc::clone(&chain));
        Ok(chain)
    }

    fn parsed(&mut self, id: ObjectId) -> Result<Option<Parsed>> {
        if let Some(parsed) = self.parsed.get(&id) {
            return Ok(parsed.clone());
        }
        let parsed = match self.trees.database.find(id, MAX_FILE_LEN)? {
            Found::Blob(text) => {
                let lines = Rc::new(Lines::parse(&text, false, &mut self.names));
                let other =
                    Lines::is_marked(&text).then(|| Rc::new(Lines::parse(&text, true, &mut self.names)));
                Some((lines, other))
            }
            Found::Large(_) => Some((Rc::new(Lines::odd()), None)),
            Found::Missing => None,
            Found::Other => Some(Parsed::default()),
        };
        self.parsed.insert(id, parsed.clone());
        Ok(parsed)
    }

    /// Returns the attributes of this machine and user, and those of this clone.
    fn own(&mut self) -> Result<Own> {
        if let Some(own) = &self.own {
            return Ok(own.clone());
        }
        let globals = self.repo.inner.attribute_global_paths();
        let globals = globals.map_err(Error::git("find the global attributes files"))?;
        let clone = self.repo.common_dir().join("info").join("attributes");
        let mut read = |path: &Path| match regular::read(path) {
            Ok(text) => Ok(text.map(|text| Rc::new(Lines::parse(&text, true, &mut self.names)))),
            Err(_) if !path.exists() => Ok(None),
            Err(source) => Err(Error::io("read", path)(source)),
        };
        let mut yields = Vec::new();
        for path in globals {
            yields.extend(read(&path)?);
        }
        let own = (yields, read(&clone)?.into_iter().collect());
        self.own = Some(own.clone());
        Ok(own)
    }
}

fn unclear(file: &File, is_missing: bool) -> Views {
    Views::Unclear { file: below(file.dir.as_ref(), FILE_NAME.as_bstr()), is_missing }
}
