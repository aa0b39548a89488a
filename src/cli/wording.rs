//! Formats facts of the library as text: how a checkpoint was read, what a conversion wrote, what a verification found.
//!
//! Invariant: the returned text is safe to print. The module prints nothing.

use bstr::ByteSlice as _;

use super::sanitize;
use super::shell_paths::quoted;
use super::sizes::{bytes, counted};
use crate::actions::Conversion;
use crate::actions::verify::{Finding, IndexFinding, MadeBy, Verdict, Verified};
use crate::checkpoint::Note;
use crate::safetensors::Variation;
use crate::safetensors::compare::Difference;

/// How many classes of a module are listed without `-v`.
const CLASSES: usize = 4;

/// How many lines of one list are shown without `-v`.
pub(super) const LISTED: usize = 10;

/// Formats the sizes of the dimensions of a tensor, or the position of one of its elements.
pub(super) fn shape(shape: &[u64]) -> String {
    format!("[{}]", shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", "))
}

/// Formats a number with four significant digits.
pub(super) fn significant(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    if (1e-4..1e9).contains(&rounded.abs()) { rounded.to_string() } else { format!("{rounded:e}") }
}

/// Formats a note about how a checkpoint was read.
pub(super) fn note(note: &Note, all: bool) -> String {
    match note {
        Note::Unnamed { name } => {
            format!("named the single unnamed tensor {}", sanitize::text(name))
        }
        Note::Module { path, classes } => {
            let place = if path == "." { String::new() } else { format!("{}: ", sanitize::text(path)) };
            let shown = if all || classes.len() <= CLASSES + 1 { classes.len() } else { CLASSES };
            let named: Vec<_> = classes.iter().take(shown).map(|class| sanitize::text(class)).collect();
            let more = match classes.len() - shown {
                0 => String::new(),
                1 => " and one more".to_owned(),
                more => format!(" and {more} more"),
            };
            format!(
                "{place}read from the module structure (class {}{more}); a custom state_dict() is not applied",
                named.join(", ")
            )
        }
        Note::Twin { key } => {
            let key = sanitize::text(key);
            format!("{key} has the same names and shapes; `--key {key}` takes it instead")
        }
        Note::Tied { kept, dropped, class, more } => {
            let others: Vec<_> = dropped.iter().map(|name| sanitize::text(name)).collect();
            let more =
                if *more == 0 { String::new() } else { format!(" (and {})", counted(*more, "more group")) };
            let why = class.as_ref().map_or_else(
                || "the model's class is not known".to_owned(),
                |class| format!("no table of tied names has the class {}", sanitize::text(class)),
            );
            let option = quoted(dropped.first().unwrap_or(kept).as_bytes().as_bstr());
            format!(
                "kept {} and dropped {}{more}: {why}; keep another: `--keep {option}`",
                sanitize::text(kept),
                others.join(", ")
            )
        }
        Note::Prefix { prefix, names, of } => {
            format!("{} start with {} (prefix kept)", share(*names, *of), sanitize::text(prefix))
        }
        Note::Wrapped { wrapper, names, of } => {
            format!("{} contain {} (kept)", share(*names, *of), sanitize::text(wrapper))
        }
    }
}

/// Returns the facts about a conversion, each with a title.
pub(super) fn facts(conversion: &Conversion, all: bool) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if all {
        let format = format!("{}, {}", conversion.format, bytes(conversion.source_size));
        let oid = conversion.source_oid.map(|oid| format!(", sha256 {oid}")).unwrap_or_default();
        facts.push(("source", format + &oid));
    }
    if !conversion.key.is_empty() {
        facts.push(("key", sanitize::text(&conversion.key).into_owned()));
    }
    let tied = conversion.dropped.iter();
    let tied =
        tied.map(|(name, kept)| format!("{} (tied to {})", sanitize::text(name), sanitize::text(kept)));
    let copied = conversion.copies.iter();
    let copied =
        copied.map(|(name, reason)| format!("{} ({})", sanitize::text(name), sanitize::text(reason)));
    let ignored = conversion.ignored.iter();
    let ignored =
        ignored.map(|item| format!("{} ({})", sanitize::text(&item.path), sanitize::text(&item.reason)));
    list(&mut facts, "dropped", tied.collect(), all);
    list(&mut facts, "copied", copied.collect(), all);
    list(&mut facts, "ignored", ignored.collect(), all);
    facts
}

/// Formats the amount that a conversion wrote.
pub(super) fn totals(conversion: &Conversion, all: bool) -> String {
    let totals = format!("{}, {}", counted(conversion.tensors, "tensor"), bytes(conversion.size));
    match conversion.oid {
        Some(oid) if all => format!("{totals}, sha256 {oid}"),
        Some(oid) => format!("{totals}, sha256 {}…", oid.to_string().get(..12).unwrap_or_default()),
        None => totals,
    }
}

/// Adds a list, with the title only on its first line.
fn list(facts: &mut Vec<(&'static str, String)>, title: &'static str, items: Vec<String>, all: bool) {
    let count = items.len();
    let shown = if all || count <= LISTED + 1 { count } else { LISTED };
    let titles = std::iter::once(title).chain(std::iter::repeat(""));
    facts.extend(titles.zip(items.into_iter().take(shown)));
    if shown < count {
        facts.push(("", format!("and {} more (`-v` lists all)", count - shown)));
    }
}

/// Formats the verdict on one file.
pub(super) fn verdict(verdict: Verdict, verified: &Verified) -> String {
    let checkpoint = verified.checkpoint.as_ref().map(|path| sanitize::bytes(path.as_ref()));
    let checkpoint = checkpoint.unwrap_or_else(|| "the checkpoint".into());
    let commit = |id: &crate::repo::ObjectId| id.to_hex_with_len(12).to_string();
    let checkpoint = match &verified.made_by {
        None => checkpoint,
        Some(MadeBy::Record) => format!("{checkpoint} (by the record)").into(),
        Some(MadeBy::Trailer(id)) => format!("{checkpoint} (by the trailer of {})", commit(id)).into(),
        Some(MadeBy::Commit(id)) => format!("{checkpoint} (by commit {})", commit(id)).into(),
    };
    match (verdict, &verified.conversion) {
        (Verdict::Identical, Some(conversion)) => {
            format!("identical to {checkpoint} as converted by {conversion}")
        }
        (Verdict::Identical, None) => format!("identical to the conversion of {checkpoint}"),
        (Verdict::Equal, _) if verified.is_index => "equal: matches its shards".to_owned(),
        (Verdict::Equal, _) => {
            let missing = match verified.ties.len() {
                0 => String::new(),
                1 => "; 1 tied name is not in the file".to_owned(),
                count => format!("; {count} tied names are not in the file"),
            };
            format!("equal: same tensors as {checkpoint}, bit for bit{missing}")
        }
        (Verdict::Differs, _) if verified.is_index => "differs: does not match its shards".to_owned(),
        (Verdict::Differs, _) => format!("differs from {checkpoint}"),
        (Verdict::Stale, _) => format!("stale: {checkpoint} changed since the conversion"),
    }
}

/// Formats what distinguishes a file with the same tensors from a conversion.
pub(super) fn variations(found: &[Variation]) -> String {
    let text = |what: &Variation| match what {
        Variation::Names => "choice of names for the same values",
        Variation::Metadata => "metadata",
        Variation::Order => "order of the tensors",
        Variation::Header => "form of the header",
    };
    format!("not identical: {}", found.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// Formats one difference.
pub(super) fn finding(finding: &Finding) -> String {
    let shape =
        |shape: &[u64]| format!("[{}]", shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
    let name = sanitize::text;
    match finding {
        Finding::Invalid(error) => {
            format!("invalid  not a safetensors file: {}", sanitize::text(&chain(error)))
        }
        Finding::Tensor(Difference::Missing { name: missing }) => format!("missing  {}", name(missing)),
        Finding::Tensor(Difference::Extra { name: extra }) => format!("extra    {}", name(extra)),
        Finding::Tensor(Difference::Alias { name: alias, keeper }) => {
            format!("alias    {} is recorded as {}, which has other values", name(alias), name(keeper))
        }
        Finding::Tensor(Difference::DType { name: tensor, checkpoint, file }) => {
            format!("dtype    {}: {file} in the file, {checkpoint} in the checkpoint", name(tensor))
        }
        Finding::Tensor(Difference::Shape { name: tensor, checkpoint, file }) => {
            format!(
                "shape    {}: {} in the file, {} in the checkpoint",
                name(tensor),
                shape(file),
                shape(checkpoint)
            )
        }
        Finding::Tensor(Difference::Element { name: tensor, index, checkpoint, file }) => {
            format!(
                "element  {}{}: {file} in the file, {checkpoint} in the checkpoint",
                name(tensor),
                shape(index)
            )
        }
        Finding::Index(IndexFinding::NoShard { shard }) => {
            format!("missing  shard {}", sanitize::bytes(shard.as_ref()))
        }
        Finding::Index(IndexFinding::NotSafetensors { shard }) => {
            format!("format   shard {} is not a safetensors file", sanitize::bytes(shard.as_ref()))
        }
        Finding::Index(IndexFinding::LeftOut { shard }) => {
            let shard = sanitize::bytes(shard.as_ref());
            format!("missing  shard {shard} of the checkpoint")
        }
        Finding::Index(IndexFinding::NotInShard { name: tensor, shard }) => {
            format!("missing  {} in {}", name(tensor), name(shard))
        }
        Finding::Index(IndexFinding::NotInIndex { name: tensor, shard }) => {
            format!("extra    {} in {}, not in the shard index", name(tensor), name(shard))
        }
        Finding::Index(IndexFinding::TotalSize { said, held }) => {
            format!("size     total_size is {}, expected {held}", name(said))
        }
    }
}

/// Formats an error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn share(names: usize, of: usize) -> String {
    if names == of { "all names".to_owned() } else { format!("{names} of {of} names") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_that_count() {
        for (number, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.1_f32.into(), "0.1"),
            (0.000_976_562_5, "0.0009766"),
            (1.234_567e-9, "1.235e-9"),
            (65504.0, "65500"),
            (1.5e300, "1.5e300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(significant(number), text);
        }
    }
    use crate::hash::Oid;

    fn conversion(ties: usize) -> Conversion {
        Conversion {
            oid: Some(Oid::of(b"abc")),
            size: 2048,
            source_oid: None,
            source_size: 4096,
            format: "zip",
            key: String::new(),
            tensors: 1,
            dropped: (0..ties).map(|n| (format!("tie.{n:02}"), "kept\x1b".to_owned())).collect(),
            copies: vec![("view".to_owned(), "transposed or strided view".into())],
            ignored: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_facts_of_a_conversion() {
        let text = |facts: Vec<(&str, String)>| {
            facts.iter().map(|(title, text)| format!("{title}: {text}")).collect::<Vec<_>>()
        };
        assert_eq!(totals(&conversion(1), false), "1 tensor, 2.0 KiB, sha256 ba7816bf8f01…");
        let few = text(facts(&conversion(1), false));
        assert_eq!(few, ["dropped: tie.00 (tied to kept\\x1b)", "copied: view (transposed or strided view)"]);
        let many = text(facts(&conversion(12), false));
        assert_eq!(many[9..11], [": tie.09 (tied to kept\\x1b)", ": and 2 more (`-v` lists all)"]);
        assert_eq!(text(facts(&conversion(12), true)).len(), 14);
    }
}
