//! [`Lines`] parses one attributes file, and [`Chain`] combines all files that apply to the paths of one directory;
//! both read only the attributes that change what a checkout writes.
//!
//! gix parses lines and matches patterns; this module decides which line wins, as `attr.c` of git does (`fill`,
//! `fill_one`, `determine_macros`, `read_attr_from_buf`): from the last line to the first, each attribute once, macros
//! at the moment when they are set.
//!
//! Invariant: a file that versions of git read differently is odd ([`Lines::is_odd`]), and nothing is concluded from
//! it. Costs are bounded by the number of lines: a chain of macros does not recurse.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashMap;
use std::rc::Rc;

use bstr::{BStr, BString, ByteSlice as _};
use gix::attrs::{StateRef, parse};
use gix::glob::pattern::Case;
use gix::glob::{Pattern, wildmatch};

use crate::lfs::attributes::MAX_LINE_LEN;
use crate::repo::checkout::{Conversion, LineEnds, is_utf8};

/// git ignores longer attributes files (`ATTR_MAX_FILE_SIZE`), since 2.39.1.
pub(super) const MAX_FILE_LEN: u64 = 100 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";
/// The words that a relevant file must contain.
const WORDS: [&[u8]; 6] = [b"text", b"crlf", b"eol", b"ident", b"filter", b"encoding"];

/// The number of an attribute. The first numbers are those that change what a checkout writes.
type Name = usize;
const TEXT: Name = 0;
const CRLF: Name = 1;
const EOL: Name = 2;
const IDENT: Name = 3;
const FILTER: Name = 4;
const ENCODING: Name = 5;
const NAMES: [&str; 6] = ["text", "crlf", "eol", "ident", "filter", "working-tree-encoding"];

/// The numbers of the attributes of all files.
#[derive(Debug)]
pub(super) struct Names {
    known: HashMap<String, Name>,
}

impl Default for Names {
    fn default() -> Self {
        Self { known: NAMES.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at)).collect() }
    }
}

impl Names {
    fn number(&mut self, name: &str) -> Name {
        let next = self.known.len();
        *self.known.entry(name.to_owned()).or_insert(next)
    }
}

/// The state that a line sets for an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Set,
    Unset,
    Unspecified,
    Value(BString),
}

type Assignments = Vec<(Name, State)>;

/// One attributes file.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rules: Vec<(Pattern, Assignments)>,
    macros: Vec<(Name, Assignments)>,
    /// `true` if versions of git read it differently.
    pub(super) is_odd: bool,
    /// `true` if it names an attribute that changes what a checkout writes.
    pub(super) names_conversion: bool,
    has_upper: bool,
}

impl Lines {
    /// Parses a file. `is_checked_out`: as git reads it from a working tree, where a byte order mark is not part of the
    /// text.
    pub(super) fn parse(text: &[u8], is_checked_out: bool, names: &mut Names) -> Self {
        let names_conversion = WORDS.iter().any(|word| text.find(word).is_some());
        let mut lines = Self { names_conversion, ..Self::default() };
        let is_too_long = u64::try_from(text.len()).is_ok_and(|len| len > MAX_FILE_LEN);
        // Each is an error or an end in one version of git, and not in another.
        let is_odd_line = |line: &[u8]| line.len() >= MAX_LINE_LEN || line.find(b"builtin_").is_some();
        if is_too_long || text.contains(&0) || text.lines().any(is_odd_line) {
            lines.is_odd = true;
            return lines;
        }
        let marked = text.strip_prefix(BOM);
        // From an index, the mark is the beginning of the first pattern, which then matches nothing.
        let text = match marked {
            Some(text) if !is_checked_out => text.split_once_str("\n").map_or(&b""[..], |(_, rest)| rest),
            Some(text) => text,
            None => text,
        };
        for (kind, assignments, _) in parse(text).flatten() {
            let Ok(assignments) = assignments.collect::<Result<Vec<_>, _>>() else { continue };
            let assignments: Assignments = assignments
                .iter()
                .map(|assignment| (names.number(assignment.name.as_str()), State::from(assignment.state)))
                .collect();
            match kind {
                parse::Kind::Macro(name) => {
                    lines.macros.push((names.number(name.as_str()), assignments));
                }
                parse::Kind::Pattern(pattern) => {
                    lines.has_upper |= pattern.text.iter().any(u8::is_ascii_uppercase);
                    lines.rules.push((pattern, assignments));
                }
            }
        }
        lines
    }

    /// Returns a file from which nothing is concluded.
    pub(super) fn odd() -> Self {
        Self { is_odd: true, names_conversion: true, ..Self::default() }
    }

    /// Returns `true` if git reads the file differently from an index and from a working tree.
    pub(super) fn is_marked(text: &[u8]) -> bool {
        text.starts_with(BOM)
    }
}

impl From<StateRef<'_>> for State {
    fn from(state: StateRef<'_>) -> Self {
        match state {
            StateRef::Set => Self::Set,
            StateRef::Unset => Self::Unset,
            StateRef::Unspecified => Self::Unspecified,
            StateRef::Value(value) => Self::Value(value.as_bstr().to_owned()),
        }
    }
}

/// The files that apply to the paths of a directory, from the lowest priority to the highest.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The relevant lines, with the directory of their file.
    files: Vec<(BString, Vec<Rule>)>,
    macros: HashMap<Name, Assignments>,
    has_upper: bool,
}

type Rule = (Pattern, Assignments);

impl Chain {
    /// Combines these files, each with its directory. Macros count where git accepts them: at the top, and in the files
    /// that are not part of the tree.
    pub(super) fn new(files: &[(BString, Rc<Lines>)], names: &mut Names) -> Self {
        // Built into git.
        let binary = ["diff", "merge", "text"].map(|name| (names.number(name), State::Unset));
        let mut macros = HashMap::from([(names.number("binary"), binary.to_vec())]);
        for (dir, lines) in files {
            if dir.is_empty() {
                macros.extend(lines.macros.iter().cloned());
            }
        }
        let matters = |name: &Name| *name < NAMES.len() || macros.contains_key(name);
        let rules = |lines: &Lines| -> Vec<Rule> {
            let rules = lines.rules.iter().filter(|(_, set)| set.iter().any(|(name, _)| matters(name)));
            let relevant =
                |set: &Assignments| set.iter().filter(|(name, _)| matters(name)).cloned().collect();
            rules.map(|(pattern, set)| (pattern.clone(), relevant(set))).collect()
        };
        let has_upper = files.iter().any(|(_, lines)| lines.has_upper);
        let files = files.iter().map(|(dir, lines)| (dir.clone(), rules(lines)));
        Self { files: files.filter(|(_, rules)| !rules.is_empty()).collect(), macros, has_upper }
    }

    /// Returns `true` if it contains no relevant line.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns `true` if a case-insensitive match of a name may differ from a case-sensitive one.
    pub(super) fn depends_on_case(&self, path: &BStr) -> bool {
        !self.is_empty() && (self.has_upper || path.iter().any(u8::is_ascii_uppercase))
    }

    /// Returns what a checkout does with the blob of a path in that directory.
    pub(super) fn conversion(&self, path: &BStr, case: Case) -> Conversion {
        let mut states = States { macros: &self.macros, known: vec![None; NAMES.len()] };
        for (dir, rules) in self.files.iter().rev() {
            let skip = if dir.is_empty() { 0 } else { dir.len().saturating_add(1) };
            let Some(path) = path.get(skip..).map(BStr::new) else { continue };
            let name_at = path.rfind_byte(b'/').map(|slash| slash.saturating_add(1));
            let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
            for (pattern, assignments) in rules.iter().rev() {
                if pattern.matches_repo_relative_path(path, name_at, Some(false), case, mode) {
                    states.fill(assignments);
                }
            }
        }
        states.conversion()
    }
}

/// The attributes of a path.
struct States<'a> {
    macros: &'a HashMap<Name, Assignments>,
    known: Vec<Option<State>>,
}

impl<'a> States<'a> {
    fn fill(&mut self, assignments: &'a [(Name, State)]) {
        let mut open = vec![assignments.iter().rev()];
        while let Some(level) = open.last_mut() {
            let Some((name, state)) = level.next() else {
                open.pop();
                continue;
            };
            if self.known.len() <= *name {
                self.known.resize(name.saturating_add(1), None);
            }
            let Some(known @ None) = self.known.get_mut(*name) else { continue };
            *known = Some(state.clone());
            if *state == State::Set
                && let Some(expansion) = self.macros.get(name)
            {
                open.push(expansion.iter().rev());
            }
        }
    }

    fn get(&self, name: Name) -> Option<&State> {
        self.known.get(name)?.as_ref()
    }

    /// Follows `convert_attrs` of git.
    fn conversion(&self) -> Conversion {
        let text = match self.get(TEXT) {
            Some(State::Set | State::Unset) => self.get(TEXT),
            Some(State::Value(value)) if *value == "auto" || *value == "input" => self.get(TEXT),
            // The old name of the attribute.
            _ => self.get(CRLF),
        };
        let eol = match self.get(EOL) {
            Some(State::Value(value)) if *value == "crlf" => Some(true),
            Some(State::Value(value)) if *value == "lf" => Some(false),
            _ => None,
        };
        let line_ends = match (text, eol) {
            (Some(State::Unset), _) | (_, Some(false)) => LineEnds::Kept,
            (Some(State::Value(value)), _) if *value == "auto" => LineEnds::Detected,
            (_, Some(true)) | (Some(State::Set), None) => LineEnds::Always,
            (Some(State::Value(value)), None) if *value == "input" => LineEnds::Kept,
            _ => LineEnds::Detected,
        };
        let encoding = match self.get(ENCODING) {
            Some(State::Value(name)) if !name.is_empty() && !is_utf8(name.as_bstr()) => Some(name.clone()),
            _ => None,
        };
        Conversion {
            line_ends,
            ident: self.get(IDENT) == Some(&State::Set),
            encoding,
            is_lfs: matches!(self.get(FILTER), Some(State::Value(name)) if *name == "lfs"),
        }
    }
}
