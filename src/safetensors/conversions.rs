//! Lists the files that converters have made, or would make, of one checkpoint: a [`Candidate`] identifies a file that
//! was not read.
//!
//! ```text
//! kept names   the current rule with the table, without it, the rule before November 2023, other names by `--keep`
//! × layout   safetensors 0.3.1 and later, 0.3.0, up to 0.2.8
//! × metadata   {"format": "pt"} and the dropped names in each order, only {"format": "pt"}, none
//! ```
//!
//! The reference orders metadata at random, so k dropped names have (k + 1)! files; up to [`ORDERED`] names all are
//! tried, with more names only the sorted one. A file of another size is not a candidate, so few remain.
//!
//! Invariant: a candidate has a running hash that includes the header, and no header; equal candidates occur once.
//! Sources: the reference converter before and after its change of 17 November 2023, and the `safetensors` crate's
//! releases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{Error, Layout, Release};
use crate::checkpoint::Plan;
use crate::checkpoint::ties::{self, Policy, Ties};
use crate::hash::{Hasher, Oid};

/// Up to this number of dropped names, every order of the metadata is tried: 24 orders.
pub const ORDERED: usize = 3;

/// The rule for kept names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The current rule: of tied names, the first one that the table of the model's class does not call an alias.
    Table,
    /// The same without the table.
    Plain,
    /// The first in the order of the state dict, without a record of the others.
    FirstName,
    /// The current rule with `--keep`.
    Chosen,
}

/// The metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// The format and the dropped names.
    Dropped,
    /// Only the format.
    Format,
    /// No metadata.
    Nothing,
}

/// How a file was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conversion {
    /// The rule for kept names.
    pub rule: Rule,
    /// The release.
    pub release: Release,
    /// The metadata.
    pub words: Words,
    /// `true` if any name is dropped.
    pub drops: bool,
}

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.release {
            Release::Current => "safetensors 0.3.1 or later",
            Release::V0_3_0 => "safetensors 0.3.0",
            Release::V0_2_8 => "safetensors 0.2.8 or earlier",
        })?;
        if self.drops {
            f.write_str(match self.rule {
                Rule::Table => "",
                Rule::Plain => ", without the tied-weights table",
                Rule::FirstName => ", tie rule before November 2023",
                Rule::Chosen => ", with `--keep`",
            })?;
        }
        match self.words {
            Words::Format if self.drops && self.rule != Rule::FirstName => {
                f.write_str(", without dropped names")
            }
            Words::Nothing => f.write_str(", without metadata"),
            _ => Ok(()),
        }
    }
}

/// A possible file.
#[derive(Clone)]
pub struct Candidate {
    /// How it would be made.
    pub conversion: Conversion,
    /// A hash of its header, to continue with its data.
    pub hasher: Hasher,
}

/// Candidates with the same data.
#[derive(Clone)]
pub struct Group {
    /// The tensors in the order of the data, as indices of [`Plan::tensors`].
    pub order: Arc<[usize]>,
    /// The length of the data.
    pub len: u64,
    /// The files.
    pub candidates: Vec<Candidate>,
}

/// The conversions of one checkpoint, the likeliest first.
pub struct Conversions<'a> {
    plan: &'a Plan,
    /// The policy of the model's class.
    policy: Policy,
    /// The kept names, for each rule with a different result.
    selections: Vec<(Rule, Ties)>,
}

impl<'a> Conversions<'a> {
    /// Creates them for a plan; `class` is the model's, as `architectures[0]` of its `config.json` names it.
    ///
    /// # Errors
    /// [`crate::checkpoint::Error`]
    pub fn new(plan: &'a Plan, class: Option<&str>) -> Result<Self, crate::checkpoint::Error> {
        let policy = Policy::for_class(class);
        let mut selections = vec![(Rule::Table, ties::resolve(plan, &policy)?)];
        let bare = ties::resolve(plan, &Policy::default())?;
        if selections.iter().all(|(_, known)| *known != bare) {
            selections.push((Rule::Plain, bare));
        }
        selections.extend(ties::by_first_name(plan).map(|ties| (Rule::FirstName, ties)));
        Ok(Self { plan, policy, selections })
    }

    /// Returns the conversions of a size with `--keep` for those of the names in a file that the current rule drops.
    ///
    /// # Errors
    /// [`Error`] of a layout.
    pub fn keeping<'n>(&self, names: impl Iterator<Item = &'n str>, size: u64) -> Result<Vec<Group>, Error> {
        self.chosen(names).map_or_else(|| Ok(Vec::new()), |chosen| chosen.of_size(size))
    }

    /// Returns the conversions with `--keep` for those of the names that the current rule drops, if there are any.
    fn chosen<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Self> {
        let (mut keep, today) = (BTreeSet::new(), self.by(Rule::Table));
        let is_dropped = |name: &str| today.is_some_and(|ties| ties.dropped.contains_key(name));
        keep.extend(names.filter(|name| is_dropped(name)).map(str::to_owned));
        if keep.is_empty() {
            return None;
        }
        let policy = Policy { keep, ..self.policy.clone() };
        // Names that cannot be kept together are not a choice of `--keep`.
        let ties = ties::resolve(self.plan, &policy).ok()?;
        Some(Self { plan: self.plan, policy, selections: vec![(Rule::Chosen, ties)] })
    }

    /// Returns the tied names by each rule, and by `--keep` for these names.
    pub fn choices<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<(Rule, Ties)> {
        let chosen = self.chosen(names).into_iter().flat_map(|chosen| chosen.selections);
        self.selections.iter().cloned().chain(chosen).collect()
    }

    /// Returns the tied names by the current rule, with the table and without.
    pub fn ties(&self) -> Vec<&Ties> {
        let today = self.selections.iter().filter(|(rule, _)| *rule != Rule::FirstName);
        today.map(|(_, ties)| ties).collect()
    }

    /// Returns the tensors that a rule keeps, with their bytes.
    pub fn kept(&self, rule: Rule) -> Vec<(String, u64)> {
        let kept = self.by(rule).into_iter().flat_map(|ties| &ties.kept);
        let tensors = kept.filter_map(|&index| self.plan.tensors.get(index));
        tensors.map(|tensor| (tensor.name.clone(), tensor.bytes())).collect()
    }

    /// Returns the names that a rule drops, each with the name that has its values.
    pub fn dropped(&self, rule: Rule) -> BTreeMap<String, String> {
        self.by(rule).map(|ties| ties.dropped.clone()).unwrap_or_default()
    }

    fn by(&self, rule: Rule) -> Option<&Ties> {
        self.selections.iter().find(|(known, _)| *known == rule).map(|(_, ties)| ties)
    }

    /// Returns the conversions of a size in bytes, grouped by their data.
    ///
    /// # Errors
    /// [`Error`] of a layout.
    pub fn of_size(&self, size: u64) -> Result<Vec<Group>, Error> {
        let mut found = Found { plan: self.plan, size, groups: Vec::new(), seen: BTreeSet::new() };
        for release in [Release::Current, Release::V0_2_8, Release::V0_3_0] {
            // Without a record of dropped names, the rule that never recorded them is the likeliest.
            for (rule, ties) in self.selections.iter().rev() {
                let drops = !ties.dropped.is_empty();
                let conversion = |words| Conversion { rule: *rule, release, words, drops };
                found.add(conversion(Words::Format), ties, Some(&[("format", "pt")]))?;
                found.add(conversion(Words::Nothing), ties, None)?;
            }
            let today = self.selections.iter().filter(|(rule, _)| *rule != Rule::FirstName);
            for (rule, ties) in today.filter(|(_, ties)| !ties.dropped.is_empty()) {
                let mut metadata = vec![("format", "pt")];
                let dropped = ties.dropped.iter().filter(|(name, _)| *name != "format");
                metadata.extend(dropped.map(|(name, kept)| (name.as_str(), kept.as_str())));
                metadata.sort_unstable();
                let conversion = Conversion { rule: *rule, release, words: Words::Dropped, drops: true };
                found.ordered(conversion, ties, &mut metadata)?;
            }
        }
        Ok(found.groups)
    }
}

struct Found<'a> {
    plan: &'a Plan,
    size: u64,
    groups: Vec<Group>,
    /// The header, and the group.
    seen: BTreeSet<(Oid, usize)>,
}

impl Found<'_> {
    /// Adds one with each order of its metadata, the sorted one first.
    fn ordered(
        &mut self,
        conversion: Conversion,
        ties: &Ties,
        metadata: &mut [(&str, &str)],
    ) -> Result<(), Error> {
        // Other orders have the same length.
        let is_wanted = self.add(conversion, ties, Some(metadata))?;
        let is_sorted = conversion.release == Release::V0_2_8;
        if is_wanted && !is_sorted && ties.dropped.len() <= ORDERED {
            let mut orders = Vec::new();
            permute(metadata, 0, &mut orders);
            for order in orders {
                self.add(conversion, ties, Some(&order))?;
            }
        }
        Ok(())
    }

    /// Adds one, if it has the requested size.
    fn add(
        &mut self,
        conversion: Conversion,
        ties: &Ties,
        metadata: Option<&[(&str, &str)]>,
    ) -> Result<bool, Error> {
        let layout = Layout::of_release(self.plan, &ties.kept, metadata, conversion.release)?;
        if layout.size() != self.size {
            return Ok(false);
        }
        let has_bytes = |index: &usize| self.plan.tensors.get(*index).is_some_and(|one| one.bytes() > 0);
        let order: Vec<usize> = layout.places().iter().map(|place| place.tensor).filter(has_bytes).collect();
        let known = self.groups.iter().position(|group| *group.order == *order);
        let at = known.unwrap_or_else(|| {
            let len = layout.data_len();
            self.groups.push(Group { order: order.into(), len, candidates: Vec::new() });
            self.groups.len() - 1
        });
        let mut hasher = Hasher::default();
        hasher.update(layout.header());
        if let (true, Some(group)) =
            (self.seen.insert((hasher.clone().finish().0, at)), self.groups.get_mut(at))
        {
            group.candidates.push(Candidate { conversion, hasher });
        }
        Ok(true)
    }
}

/// Adds every order of `items` from the index `from` on.
fn permute<T: Copy>(items: &mut [T], from: usize, orders: &mut Vec<Vec<T>>) {
    if from + 1 >= items.len() {
        orders.push(items.to_vec());
        return;
    }
    for other in from..items.len() {
        items.swap(from, other);
        permute(items, from + 1, orders);
        items.swap(from, other);
    }
}
