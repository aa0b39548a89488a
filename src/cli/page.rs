//! Builds the page of `inspect --html`, which shows the tensors of a file as a map of bytes and a table, and opens
//! offline.
//!
//! Invariant: the page requests nothing. Its policy allows the one script and the one style in it, by their SHA-256,
//! and no request; the names of tensors are in a block of JSON, in which no tag can begin, and the script only sets
//! them as text.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::sizes::{bytes, counted, parameters};
use super::{sanitize, wording};
use crate::actions::inspect::{Inspection, Row};
use crate::hash::Oid;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// The beginning of a page: a file that begins so may be overwritten.
pub(super) const BEGINNING: &str = "<!doctype html>\n<!-- git st-convert inspect --html -->\n";

/// Returns the page of a file.
pub(super) fn page(title: &str, found: &Inspection) -> String {
    let data = data(found).to_string();
    let title = escaped(&sanitize::text(title));
    let parts = [
        ("@SCRIPT_HASH@", hash(SCRIPT)),
        ("@STYLE_HASH@", hash(STYLE)),
        ("@TITLE@", title.clone()),
        ("@STYLE@", STYLE.to_owned()),
        ("@TITLE@", title),
        ("@DATA@", in_script(&data)),
        ("@SCRIPT@", SCRIPT.to_owned()),
    ];
    let mut out = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len() + 1024);
    let mut rest = PAGE;
    // In their order, so that no mark is searched in inserted text.
    for (mark, text) in parts {
        if let Some((before, after)) = rest.split_once(mark) {
            out.push_str(before);
            out.push_str(&text);
            rest = after;
        }
    }
    out + rest
}

/// Returns the data that the script draws.
fn data(found: &Inspection) -> Value {
    let safe = |text: &str| sanitize::text(text).into_owned();
    let dtypes: Vec<_> =
        found.tensors.iter().map(|row| row.dtype).collect::<BTreeSet<_>>().into_iter().collect();
    let mut tensors = Vec::with_capacity(found.tensors.len());
    let (mut file, mut left) = (0, found.shards.first().map_or(usize::MAX, |(_, count)| *count));
    for row in &found.tensors {
        while left == 0 {
            file += 1;
            left = found.shards.get(file).map_or(usize::MAX, |(_, count)| *count);
        }
        left -= 1;
        let Row { name, dtype, shape, bytes, tied_to } = row;
        let dtype = dtypes.iter().position(|known| known == dtype);
        tensors.push(json!([safe(name), dtype, shape, bytes, tied_to.as_deref().map(safe), file]));
    }
    let texts = |pairs: Vec<(&str, &str)>| -> Vec<Value> {
        pairs.into_iter().map(|(key, value)| json!([safe(key), safe(value)])).collect()
    };
    json!({
        "totals": format!(
            "{}, {}, {} of tensors in {}, {}",
            counted(found.tensors.len(), "tensor"), parameters(found.parameters()), bytes(found.bytes()), bytes(found.size), found.format
        ),
        "dtypes": dtypes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "files": found.shards.iter().map(|(name, _)| safe(name)).collect::<Vec<_>>(),
        "tensors": tensors,
        "ignored": texts(found.ignored.iter().map(|item| (&*item.path, &*item.reason)).collect()),
        "metadata": texts(found.metadata.iter().map(|(key, value)| (&**key, &**value)).collect()),
        "notes": found.notes.iter().map(|note| safe(&wording::note(note, true))).collect::<Vec<_>>(),
        "dangerous": found.dangerous.iter().map(|global| safe(global)).collect::<Vec<_>>(),
    })
}

/// Returns the source for the page's policy that allows this text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Oid::of(text.as_bytes()).as_bytes()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Escapes JSON so that no tag and no comment can begin in it.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
