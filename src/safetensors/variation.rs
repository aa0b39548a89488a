//! [`Variation`] names what distinguishes a safetensors file from the conversions of a checkpoint with the same tensors.

use std::collections::{BTreeMap, BTreeSet};

use super::conversions::{Conversions, Rule};
use super::{Error, Layout, Release};
use crate::checkpoint::Plan;
use crate::checkpoint::ties::Ties;

/// A part of a file that is that of no conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Variation {
    /// Which of the names with the same values it contains.
    Names,
    /// The metadata.
    Metadata,
    /// The order of the tensors.
    Order,
    /// Only the form of the header, such as the order of its entries, or spaces.
    Header,
}

impl Variation {
    /// Returns those of a file that has the same tensors and is not a conversion: `order` has the tensors of the plan in
    /// the order of the file.
    ///
    /// # Errors
    /// [`Error`] of a layout.
    pub fn of(
        plan: &Plan,
        conversions: &Conversions<'_>,
        order: &[usize],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Vec<Self>, Error> {
        let kept: BTreeSet<usize> = order.iter().copied().collect();
        let names = order.iter().filter_map(|index| plan.tensors.get(*index)).map(|one| one.name.as_str());
        let choices = conversions.choices(names);
        let same: Vec<_> = choices
            .iter()
            .filter(|(_, ties)| ties.kept.iter().copied().collect::<BTreeSet<_>>() == kept)
            .collect();
        let is_usual = match &*same {
            [] => is_of_names(plan, metadata),
            same => same.iter().any(|(rule, ties)| is_of_choice(*rule, ties, metadata)),
        };
        let found = [
            (same.is_empty(), Self::Names),
            (!is_usual, Self::Metadata),
            (!is_ordered(plan, order)?, Self::Order),
        ];
        let found: Vec<_> = found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what).collect();
        Ok(if found.is_empty() { vec![Self::Header] } else { found })
    }
}

/// Returns `true` for no metadata, or for the format and, with or without them, the dropped names, which not every rule
/// records.
fn is_of_choice(rule: Rule, ties: &Ties, metadata: &BTreeMap<String, String>) -> bool {
    let format = || ("format", "pt");
    let dropped = ties.dropped.iter().map(|(name, kept)| (name.as_str(), kept.as_str()));
    let all: BTreeMap<_, _> = dropped.chain([format()]).collect();
    let own: BTreeMap<_, _> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    own.is_empty() || own == BTreeMap::from([format()]) || rule != Rule::FirstName && own == all
}

/// Returns `true` if the metadata contains only the format and names of the checkpoint.
fn is_of_names(plan: &Plan, metadata: &BTreeMap<String, String>) -> bool {
    let names: BTreeSet<_> = plan.tensors.iter().map(|one| one.name.as_str()).collect();
    metadata.iter().all(|(key, value)| match key.as_str() {
        "format" => value == "pt",
        name => names.contains(name),
    })
}

/// Returns `true` if a release orders the data of these tensors in this way.
fn is_ordered(plan: &Plan, order: &[usize]) -> Result<bool, Error> {
    let has_bytes = |index: &usize| plan.tensors.get(*index).is_some_and(|one| one.bytes() > 0);
    let own: Vec<usize> = order.iter().copied().filter(has_bytes).collect();
    for release in [Release::Current, Release::V0_2_8] {
        let layout = Layout::of_release(plan, &own, None, release)?;
        if layout.places().iter().map(|place| place.tensor).eq(own.iter().copied()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_records_no_names_has_no_metadata_with_them() {
        let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let dropped = BTreeMap::from([text("b", "a")]);
        let ties = Ties { dropped, ..Ties::default() };
        let metadata = BTreeMap::from([text("format", "pt"), text("b", "a")]);
        assert!(is_of_choice(Rule::Plain, &ties, &metadata));
        assert!(!is_of_choice(Rule::FirstName, &ties, &metadata));
        assert!(is_of_choice(Rule::FirstName, &ties, &BTreeMap::from([text("format", "pt")])));
    }
}
