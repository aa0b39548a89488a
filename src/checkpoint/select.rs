//! Which of the values are the state dict, and the flattening of it into names.
//!
//! Invariant: every tensor that the pickle holds is in the plan, or in [`Plan::ignored`] by the path of
//! what holds it, or the file is refused.

mod choose;
mod embedded;
mod modules;
mod notes;
mod rest;
mod script;

use std::collections::{HashMap, HashSet};

use super::torch::Torch;
use super::{Contents, Error, Ignored, Limits, Named, Note, Options, Plan, Tensor};
use crate::pickle::{Id, Value};
use embedded::Embedded;
use script::Scripted;

/// Finds the state dict and makes the plan of it.
pub(super) fn plan(contents: Contents, source_len: u64, options: &Options) -> Result<Plan, Error> {
    let root = contents.pickle.root;
    let torch = Torch::new(&contents.pickle.values, &contents.declared);
    let behind = Embedded::behind(source_len, &contents);
    let mut walk = Walk::new(&torch, &options.limits, contents.pickle.end, behind);
    let key = match &contents.script {
        Some(script) => Scripted::new(&mut walk, script).take(root, options.key.as_deref())?,
        None => walk.take_dict(root, options.key.as_deref())?,
    };
    let Walk { tensors, ignored, embedded, mut notes, .. } = walk;
    if tensors.is_empty() {
        return Err(Error::NoTensors);
    }
    check_names(&tensors)?;
    check_expansion(&tensors, source_len, &options.limits)?;
    // Where all is asked for, the beginnings of names are the keys of the dicts.
    if options.key.as_deref() != Some(".") {
        notes.extend(notes::prefix(&tensors));
    }
    let mut globals = Named::all(&contents.pickle.values, &contents.record);
    let Contents { format, mut storages, records, headers, deflated, script, .. } = contents;
    globals.extend(script.into_iter().flat_map(|script| script.globals));
    let embedded = embedded.into_bytes(&mut storages);
    Ok(Plan { format, key, tensors, storages, ignored, globals, records, headers, deflated, embedded, notes })
}

fn check_names(tensors: &[Tensor]) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(tensors.len());
    for tensor in tensors {
        if tensor.name == "__metadata__" {
            return Err(Error::ReservedName { name: tensor.name.clone() });
        }
        if !seen.insert(tensor.name.as_str()) {
            return Err(Error::DuplicateName { name: tensor.name.clone() });
        }
    }
    Ok(())
}

/// A few bytes can describe a petabyte of zeros; a checkpoint does not.
fn check_expansion(tensors: &[Tensor], source_len: u64, limits: &Limits) -> Result<(), Error> {
    let by_source = source_len.saturating_mul(limits.expansion).saturating_add(64 << 20);
    let limit = limits.output.unwrap_or(by_source);
    let bytes = tensors.iter().fold(0_u64, |total, tensor| total.saturating_add(tensor.bytes()));
    if bytes > limit { Err(Error::Output { bytes, limit }) } else { Ok(()) }
}

/// The name of a tensor that has none.
const ALONE: &str = "tensor";

/// What a short text costs beside its bytes: its entry in a list, and what the allocator takes.
const HOLDER: u64 = 64;

/// Bytes of names for each byte of the pickle, above so many.
const NAMES: u64 = 16;
const FREE_NAMES: u64 = 16 << 20;

struct Walk<'a> {
    torch: &'a Torch<'a>,
    limits: &'a Limits,
    tensors: Vec<Tensor>,
    ignored: Vec<Ignored>,
    notes: Vec<Note>,
    embedded: Embedded,
    /// The path of the value that was chosen.
    chosen: String,
    /// Which states are those of modules, as far as it was asked.
    modules: HashMap<Id, bool>,
    /// How many more values may be visited: sharing can make a few bytes a walk without end.
    visits: u64,
    /// How many more bytes of names and descriptions may be made, for the same reason.
    names: u64,
    /// The limit that they began with.
    most_names: u64,
}

/// What Python compares of a key: `True`, `1` and `1.0` are one key.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Text(&'a str),
    Number(i128),
}

impl<'a> Key<'a> {
    fn of(torch: &Torch<'a>, id: Id) -> Option<Self> {
        Some(match torch.values.get(id) {
            Value::Str(text) => Self::Text(text),
            Value::Bool(bit) => Self::Number((*bit).into()),
            Value::Int(number) => Self::Number((*number).into()),
            Value::Big(number) => Self::Number(**number),
            // A whole one is written without a point.
            Value::Float(number) => Self::Number(number.to_string().parse().ok()?),
            _ => return None,
        })
    }
}

impl<'a> Walk<'a> {
    fn new(torch: &'a Torch<'a>, limits: &'a Limits, pickle: u64, embedded: Embedded) -> Self {
        // Names of a checkpoint take less than its pickle, but for the part of paths that they share.
        let names = limits.names.min(pickle.saturating_mul(NAMES).saturating_add(FREE_NAMES));
        Self {
            torch,
            limits,
            tensors: Vec::new(),
            ignored: Vec::new(),
            notes: Vec::new(),
            embedded,
            chosen: String::new(),
            modules: HashMap::new(),
            visits: visits(torch),
            names,
            most_names: names,
        }
    }

    /// Counts `values` against the budget.
    fn visit(&mut self, values: usize) -> Result<(), Error> {
        let limit = visits(self.torch);
        let values = u64::try_from(values).unwrap_or(u64::MAX);
        self.visits =
            self.visits.checked_sub(values).ok_or(Error::Limit { what: "visited values", limit })?;
        Ok(())
    }

    /// Counts the bytes of a text that is made, and of what holds it.
    fn spell(&mut self, text: &str) -> Result<(), Error> {
        let limit = self.most_names;
        let len = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_add(HOLDER);
        self.names = self.names.checked_sub(len).ok_or(Error::Limit { what: "bytes of names", limit })?;
        Ok(())
    }

    fn describe(&mut self, id: Id) -> Result<String, Error> {
        let text = self.torch.describe(id);
        self.spell(&text)?;
        Ok(text)
    }

    fn join(&mut self, path: &str, key: &str) -> Result<String, Error> {
        let joined = if path.is_empty() { key.to_owned() } else { [path, key].join(".") };
        if joined.len() > self.limits.name {
            let limit = u64::try_from(self.limits.name).unwrap_or(u64::MAX);
            return Err(Error::Limit { what: "bytes in a name", limit });
        }
        self.spell(&joined)?;
        Ok(joined)
    }

    /// The pairs of a dict. Where a tensor depends on it, no key may be there twice: Python keeps the last.
    fn entries(&mut self, id: Id) -> Result<Option<Vec<(Id, Id)>>, Error> {
        self.visit(1)?;
        let Some(entries) = self.torch.entries(id) else { return Ok(None) };
        self.visit(entries.len())?;
        if self.torch.holds_weight(id) {
            let mut seen = HashSet::with_capacity(entries.len());
            let twice = entries
                .iter()
                .find(|(key, _)| Key::of(self.torch, *key).is_some_and(|key| !seen.insert(key)));
            if let Some(&(key, _)) = twice {
                let name = self.key(key).unwrap_or_else(|| self.torch.describe(key));
                return Err(Error::DuplicateName { name });
            }
        }
        Ok(Some(entries))
    }

    /// Is it a dict, a list or a tuple?
    fn is_container(&mut self, id: Id) -> Result<bool, Error> {
        if self.entries(id)?.is_some() {
            return Ok(true);
        }
        let items = self.torch.items(id);
        self.visit(items.as_ref().map_or(0, Vec::len))?;
        Ok(items.is_some())
    }

    fn key(&self, id: Id) -> Option<String> {
        match self.torch.values.get(id) {
            Value::Str(text) => Some(text.to_string()),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }

    // ---- its tensors

    /// Takes the tensors of the state dict, and lists what lies beside it. Gives its key.
    fn take_dict(&mut self, root: Id, asked: Option<&str>) -> Result<String, Error> {
        let (key, chosen) = self.choose(root, asked)?;
        self.chosen.clone_from(&key);
        self.flatten(chosen, asked.is_none() && chosen == root)?;
        self.list_the_rest(root, chosen, asked.is_some())?;
        Ok(key)
    }

    /// Takes every tensor below `root`. At the top level of a checkpoint (`top`), training state that
    /// lies beside the weights is left out.
    fn flatten(&mut self, root: Id, top: bool) -> Result<(), Error> {
        if self.torch.is_weight(root) {
            self.notes.push(Note::Unnamed { name: ALONE.to_owned() });
            return self.take(root, ALONE);
        }
        let mut waiting = vec![(String::new(), root, 0_usize)];
        while let Some((path, id, depth)) = waiting.pop() {
            self.visit(1)?;
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if !self.torch.holds_weight(id) {
                let reason = self.describe(id)?;
                self.ignored.push(Ignored { path, reason });
            } else if self.torch.is_weight(id) {
                self.take(id, &path)?;
            } else if (top && depth == 1 && self.is_left_at_the_top(&path, id)?)
                || (!self.torch.holds_tensor(id) && self.torch.is_random_state(id))
            {
                self.leave(path, id)?;
            } else if self.is_module(id)? {
                self.take_module(&path, id)?;
            } else {
                let children = self.children(id, &path)?;
                for (key, value) in children.into_iter().rev() {
                    waiting.push((self.join(&path, &key)?, value, depth.saturating_add(1)));
                }
            }
        }
        Ok(())
    }

    /// Is it training state beside the weights: a dict, or anything that has arrays alone?
    fn is_left_at_the_top(&mut self, key: &str, id: Id) -> Result<bool, Error> {
        Ok(is_training_state(key) && (!self.torch.holds_tensor(id) || self.entries(id)?.is_some()))
    }

    fn take(&mut self, id: Id, name: &str) -> Result<(), Error> {
        if self.tensors.len() >= self.limits.tensors {
            let limit = u64::try_from(self.limits.tensors).unwrap_or(u64::MAX);
            return Err(Error::Limit { what: "tensors", limit });
        }
        if self.torch.is_array(id) {
            let array = self.torch.array(id, name, self.limits)?;
            self.tensors.push(self.embedded.tensor(self.torch, id, name, array));
            return Ok(());
        }
        let mut attributes = Vec::new();
        self.tensors.push(self.torch.tensor(id, name, self.limits, &mut attributes)?);
        for id in attributes {
            self.leave(format!("{name} (attributes)"), id)?;
        }
        Ok(())
    }

    /// The named children of something that holds tensors.
    fn children(&mut self, id: Id, path: &str) -> Result<Vec<(String, Id)>, Error> {
        let place = || if path.is_empty() { "the top level".to_owned() } else { path.to_owned() };
        if let Some(entries) = self.entries(id)? {
            let mut named = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                match self.key(key) {
                    Some(name) => {
                        self.spell(&name)?;
                        named.push((name, value));
                    }
                    None if !self.torch.holds_weight(value) => named.push((self.describe(key)?, value)),
                    None => {
                        let what = self.torch.values.get(key).type_name();
                        return Err(Error::Key { path: place(), what });
                    }
                }
            }
            return Ok(named);
        }
        if let Some(items) = self.torch.items(id) {
            self.visit(items.len())?;
            return Ok(items.into_iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect());
        }
        Err(match self.torch.values.get(id) {
            Value::Persistent(_) => Error::Unsupported { name: place(), what: "a bare storage".to_owned() },
            _ => Error::Opaque { path: place(), global: self.torch.describe(id) },
        })
    }
}

/// How many values a walk may visit: every one eight times, which no checkpoint needs.
fn visits(torch: &Torch<'_>) -> u64 {
    u64::try_from(torch.values.len()).unwrap_or(u64::MAX).saturating_mul(8).saturating_add(10_000)
}

fn deep(limits: &Limits) -> Error {
    Error::Limit { what: "nested values", limit: u64::try_from(limits.depth).unwrap_or(u64::MAX) }
}

/// Keys under which trainers keep their own state: `optim*`, `*sched*`, `scaler`, `rng*`,
/// `random_state*`.
fn is_training_state(key: &str) -> bool {
    let starts = ["optim", "rng", "random_state"].iter().any(|start| key.starts_with(start));
    starts || key == "scaler" || key.contains("sched")
}
