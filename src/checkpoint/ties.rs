//! Decides which names of tied tensors, which share one storage, are kept.
//!
//! The rule is the reference converter's: the names of one storage form groups that overlap in memory; of each group,
//! the smallest name that covers its whole storage is kept, unless the tied-keys table of the model's class makes it
//! the alias; the others are dropped and recorded as `{dropped: kept}`. If the reference fails (no name is complete, a
//! view that is not flat) or would lose values (another dtype, conjugated), the tensors become independent copies.
//!
//! Invariant: every tensor of the plan is kept or dropped, and the kept tensor contains the values of the dropped one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, Plan, Tensor, geometry};

/// The tied keys of transformers' classes, one class per line.
const TABLE: &str = include_str!("tied_keys.tsv");

/// Former names of classes, as old configurations spell them.
const RENAMED: &[(&str, &str)] = &[("T5WithLMHeadModel", "T5ForConditionalGeneration")];

/// Which names may be aliases, and which are to be kept.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Policy {
    /// Names that are aliases by the table of the model's class.
    pub aliases: BTreeSet<String>,
    /// Names that the user wants to keep.
    pub keep: BTreeSet<String>,
    /// `true` if the table knows the model's class.
    pub is_known: bool,
}

impl Policy {
    /// Returns the aliases of a model class, as `architectures[0]` of a `config.json` names it.
    pub fn for_class(class: Option<&str>) -> Self {
        let renamed = RENAMED.iter().find(|(old, _)| Some(*old) == class);
        let class = renamed.map_or(class, |(_, new)| Some(new));
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        let mut cells = rows.map(|line| line.split('\t'));
        let aliases = cells.find_map(|mut row| (row.next() == class).then_some(row));
        let is_known = aliases.is_some();
        let aliases = aliases.into_iter().flatten().map(str::to_owned).collect();
        Self { aliases, keep: BTreeSet::new(), is_known }
    }
}

/// The result for the tensors of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ties {
    /// The indices of the tensors that are written, in the order of the plan.
    pub kept: Vec<usize>,
    /// Each dropped name, with the name that has its values.
    pub dropped: BTreeMap<String, String>,
    /// Names that share memory and are written as independent copies, each with the reason.
    pub copies: Vec<(String, &'static str)>,
    /// The names that were kept although nothing shows that they are the right ones, each with the names that could be
    /// kept instead.
    pub guessed: Vec<(String, Vec<String>)>,
}

/// Decides which names of each group of tied tensors are kept.
///
/// # Errors
/// [`Error::Keep`] if a name to keep is not tied, [`Error::KeepDropped`] if another name is kept that contains it.
pub fn resolve(plan: &Plan, policy: &Policy) -> Result<Ties, Error> {
    let mut ties = Ties::default();
    // A missing name may be in another file; the caller knows whether one exists.
    let here: BTreeSet<&str> = plan.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut unused: BTreeSet<String> =
        policy.keep.iter().filter(|name| here.contains(name.as_str())).cloned().collect();
    let mut by_storage: BTreeMap<usize, Vec<&Tensor>> = BTreeMap::new();
    for tensor in plan.tensors.iter().filter(|tensor| tensor.bytes() > 0) {
        by_storage.entry(tensor.storage).or_default().push(tensor);
    }
    for (storage, group) in by_storage {
        if group.len() < 2 {
            continue;
        }
        let len = plan.storages.get(storage).map_or(0, |storage| storage.len);
        for set in overlapping(independent(group, &mut ties)) {
            choose(&set, len, policy, &mut unused, &mut ties);
        }
    }
    // A copied tensor is kept in any case.
    unused.retain(|name| !ties.copies.iter().any(|(copied, _)| copied == name));
    if let Some(name) = unused.into_iter().next() {
        return Err(match ties.dropped.get(&name) {
            Some(keeper) => Error::KeepDropped { keeper: keeper.clone(), name },
            None => Error::Keep { name },
        });
    }
    let kept = plan.tensors.iter().enumerate().filter(|(_, tensor)| !ties.dropped.contains_key(&tensor.name));
    ties.kept = kept.map(|(index, _)| index).collect();
    Ok(ties)
}

/// Applies the rule of the reference before November 2023: of the names that begin at one byte of a storage, the first
/// in the order of the state dict is kept, and nothing is recorded about the others. `None` if that lost values or
/// shapes: such a file is not a conversion, whatever wrote it.
pub fn by_first_name(plan: &Plan) -> Option<Ties> {
    let mut ties = Ties::default();
    let mut first: BTreeMap<Option<(usize, u64)>, &Tensor> = BTreeMap::new();
    for (index, tensor) in plan.tensors.iter().enumerate() {
        // All empty tensors counted as one group.
        let place = (tensor.bytes() > 0).then(|| (tensor.storage, span(tensor).0));
        match first.get(&place) {
            None => {
                first.insert(place, tensor);
                ties.kept.push(index);
            }
            Some(keeper) if holds(keeper, tensor) => {
                ties.dropped.insert(tensor.name.clone(), keeper.name.clone());
            }
            Some(_) => return None,
        }
    }
    Some(ties)
}

/// Returns `true` if the written bytes of `keeper` contain those of `other` in one run.
pub fn holds(keeper: &Tensor, other: &Tensor) -> bool {
    let is_plain = |tensor: &Tensor| {
        let is_contiguous = geometry::is_contiguous(&tensor.shape, &tensor.strides);
        is_contiguous && tensor.bytes() > 0 && !tensor.conjugate && !tensor.negate
    };
    let ((start, stop), (begin, end)) = (span(keeper), span(other));
    let is_inside = start <= begin && end <= stop;
    let is_same = keeper.storage == other.storage && keeper.dtype == other.dtype;
    // A tensor with another layout in memory is written differently, but the same view twice is not.
    let is_same_view = keeper.shape == other.shape
        && keeper.strides == other.strides
        && keeper.offset == other.offset
        && (keeper.conjugate, keeper.negate) == (other.conjugate, other.negate)
        && other.bytes() > 0;
    is_same && (is_same_view || is_inside && is_plain(keeper) && is_plain(other))
}

/// Removes those of a storage's tensors that no other can replace.
fn independent<'a>(group: Vec<&'a Tensor>, ties: &mut Ties) -> Vec<&'a Tensor> {
    let dtype = group.first().map(|tensor| tensor.dtype);
    let mut rest = Vec::with_capacity(group.len());
    for tensor in group {
        let reason = if tensor.conjugate || tensor.negate {
            "conjugated or negated view"
        } else if Some(tensor.dtype) != dtype {
            "different dtype"
        } else if !geometry::is_flat(&tensor.shape, &tensor.strides) {
            "transposed or strided view"
        } else {
            rest.push(tensor);
            continue;
        };
        ties.copies.push((tensor.name.clone(), reason));
    }
    rest
}

fn span(tensor: &Tensor) -> (u64, u64) {
    let extent = geometry::extent(&tensor.shape, &tensor.strides).unwrap_or(0);
    let begin = tensor.offset.saturating_mul(tensor.width);
    (begin, begin.saturating_add(extent.saturating_mul(tensor.width)))
}

/// Returns groups of tensors that overlap in memory. As in the reference, a group ends where its *latest* member does,
/// not where its longest does.
fn overlapping(mut group: Vec<&Tensor>) -> Vec<Vec<&Tensor>> {
    group.sort_by(|a, b| (span(a), &a.name).cmp(&(span(b), &b.name)));
    let mut sets: Vec<Vec<&Tensor>> = Vec::new();
    let mut last_stop = 0;
    for tensor in group {
        let (start, stop) = span(tensor);
        match sets.last_mut() {
            Some(set) if start < last_stop => set.push(tensor),
            _ => sets.push(vec![tensor]),
        }
        last_stop = stop;
    }
    sets
}

fn choose(
    set: &[&Tensor],
    storage_len: u64,
    policy: &Policy,
    unused: &mut BTreeSet<String>,
    ties: &mut Ties,
) {
    if set.len() < 2 {
        return;
    }
    let is_complete = |tensor: &&&Tensor| tensor.offset == 0 && tensor.bytes() == storage_len;
    let complete: BTreeSet<&str> =
        set.iter().filter(is_complete).map(|tensor| tensor.name.as_str()).collect();
    let wanted = complete.iter().find(|name| policy.keep.contains(**name));
    let primary = complete.iter().find(|name| !policy.aliases.contains(**name));
    let Some(&kept) = wanted.or(primary).or_else(|| complete.first()) else {
        let copies = set.iter().map(|tensor| (tensor.name.clone(), "partial view of the storage"));
        ties.copies.extend(copies);
        return;
    };
    if wanted.is_none() && !policy.is_known && complete.len() > 1 {
        let others = complete.iter().filter(|name| **name != kept).map(|&name| name.to_owned());
        ties.guessed.push((kept.to_owned(), others.collect()));
    }
    // A second name to keep in one group stays unused, and is refused.
    unused.remove(kept);
    let others = set.iter().filter(|tensor| tensor.name != kept);
    ties.dropped.extend(others.map(|tensor| (tensor.name.clone(), kept.to_owned())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{DType, Format, Storage};

    /// Returns a tensor of floats in storage 0, which has 16 bytes.
    fn view(name: &str, offset: u64, shape: &[u64], strides: &[u64]) -> Tensor {
        Tensor {
            name: name.to_owned(),
            dtype: DType::F32,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
            offset,
            width: 4,
            storage: 0,
            conjugate: false,
            negate: false,
        }
    }

    fn plan(tensors: &[Tensor]) -> Plan {
        Plan {
            format: Format::Zip,
            key: String::new(),
            tensors: tensors.to_vec(),
            storages: vec![Storage { key: "0".to_owned(), at: 0, len: 16, big_endian: false }],
            ignored: Vec::new(),
            globals: Vec::new(),
            records: Vec::new(),
            headers: Vec::new(),
            deflated: Vec::new(),
            embedded: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(dropped, kept)| (dropped.to_owned(), kept.to_owned())).collect()
    }

    #[test]
    fn a_name_to_keep_is_kept_or_refused() {
        let part = view("part", 1, &[2], &[1]);
        let tensors = [view("a", 0, &[4], &[1]), view("b", 0, &[2, 2], &[2, 1]), part];
        let keep = |names: &[&str]| {
            let keep = names.iter().map(|&name| name.to_owned()).collect();
            resolve(&plan(&tensors), &Policy { keep, ..Policy::default() })
        };
        let first = keep(&[]).unwrap();
        assert_eq!((first.kept, first.dropped), (vec![0], pairs(&[("b", "a"), ("part", "a")])));
        let second = keep(&["b"]).unwrap();
        assert_eq!((second.kept, second.dropped), (vec![1], pairs(&[("a", "b"), ("part", "b")])));
        // A missing name may be in another file.
        assert_eq!(keep(&["elsewhere"]).unwrap().kept, [0]);
        for (names, refused) in [
            (["a", "b"].as_slice(), "cannot keep b: a is kept and contains it"),
            (&["part"], "cannot keep part: a is kept and contains it"),
            (&["b", "part"], "cannot keep part: b is kept and contains it"),
        ] {
            assert_eq!(keep(names).unwrap_err().to_string(), refused, "{names:?}");
        }
        let alone = resolve(
            &plan(&tensors[..1]),
            &Policy { keep: ["a".to_owned()].into_iter().collect(), ..Policy::default() },
        );
        assert!(matches!(alone, Err(Error::Keep { name }) if name == "a"));
    }

    #[test]
    fn what_no_table_knows_is_a_guess() {
        let tensors = [view("lm_head.weight", 0, &[4], &[1]), view("shared.weight", 0, &[4], &[1])];
        let part = [tensors[0].clone(), view("part", 1, &[2], &[1])];
        let guessed = |policy: &Policy| resolve(&plan(&tensors), policy).unwrap().guessed;
        assert_eq!(
            guessed(&Policy::for_class(Some("MyModel"))),
            [("lm_head.weight".to_owned(), vec!["shared.weight".to_owned()])]
        );
        // A tensor that contains only a part cannot replace the whole.
        assert_eq!(resolve(&plan(&part), &Policy::default()).unwrap().guessed, []);
        let keep = ["lm_head.weight".to_owned()].into_iter().collect();
        assert_eq!(guessed(&Policy { keep, ..Policy::default() }), []);
        for class in ["T5ForConditionalGeneration", "T5WithLMHeadModel"] {
            let policy = Policy::for_class(Some(class));
            assert!(policy.is_known && guessed(&policy).is_empty());
            let ties = resolve(&plan(&tensors), &policy).unwrap();
            assert_eq!(ties.dropped, pairs(&[("lm_head.weight", "shared.weight")]), "{class}");
        }
    }

    #[test]
    fn what_no_other_can_stand_for_is_copied() {
        let mut tensors = [view("a", 0, &[4], &[1]), view("b", 0, &[4], &[1]), view("c", 0, &[4], &[1])];
        tensors[1].dtype = DType::I32;
        tensors[2].negate = true;
        let ties = resolve(&plan(&tensors), &Policy::default()).unwrap();
        assert_eq!((ties.kept, ties.dropped.len()), (vec![0, 1, 2], 0));
        let copies: Vec<_> = ties.copies.iter().map(|(name, why)| (name.as_str(), *why)).collect();
        assert_eq!(copies, [("b", "different dtype"), ("c", "conjugated or negated view")]);
    }

    #[test]
    fn of_old_the_first_name_of_a_place_was_kept() {
        let (whole, prefix) = (view("z", 0, &[4], &[1]), view("a", 0, &[2], &[1]));
        let apart = view("m", 2, &[2], &[1]);
        let ties = by_first_name(&plan(&[whole.clone(), prefix.clone(), apart.clone()])).unwrap();
        assert_eq!((ties.kept, ties.dropped), (vec![0, 2], pairs(&[("a", "z")])));
        // The old rule would keep only the beginning of the tensor.
        assert_eq!(by_first_name(&plan(&[prefix, whole.clone()])), None);
        assert_eq!(by_first_name(&plan(&[whole, view("t", 0, &[2, 2], &[1, 2])])), None);
        // The old rule takes two empty tensors for one.
        let empty = |name| view(name, 0, &[0], &[1]);
        assert_eq!(by_first_name(&plan(&[empty("a"), apart])).unwrap().kept, [0, 1]);
        assert_eq!(by_first_name(&plan(&[empty("a"), empty("b")])), None);
    }

    #[test]
    fn a_tensor_holds_what_its_bytes_have_in_one_run() {
        let whole = view("a", 0, &[2, 2], &[2, 1]);
        let transposed = view("t", 0, &[2, 2], &[1, 2]);
        let with = |change: fn(&mut Tensor)| {
            let mut other = view("b", 0, &[4], &[1]);
            change(&mut other);
            other
        };
        assert!(holds(&whole, &with(|_| {})));
        assert!(holds(&whole, &view("b", 3, &[1], &[1])));
        assert!(!holds(&view("b", 1, &[2], &[1]), &whole));
        assert!(!holds(&whole, &with(|other| other.storage = 1)));
        assert!(!holds(&whole, &with(|other| other.dtype = DType::I32)));
        assert!(!holds(&whole, &with(|other| other.negate = true)));
        assert!(!holds(&whole, &with(|other| other.shape = vec![0])));
        // A transposed view has the bytes in another order; two equal views have the same bytes.
        assert!(!holds(&whole, &transposed) && !holds(&transposed, &whole));
        assert!(holds(&transposed, &transposed));
    }
}
