//! Chooses the state dict among the values, and flattens it into names.
//!
//! Invariant: every tensor in the pickle is in the plan, or in [`Plan::ignored`] by the path of its container, or the
//! file is refused.

mod checks;
mod choose;
mod embedded;
mod modules;
mod notes;
mod places;
mod descent;
mod ignored;
mod script;
mod training;

use std::collections::{HashMap, HashSet};

use super::torch::Torch;
use super::{Contents, Error, Format, Ignored, Limits, Named, Note, Options, Plan, Tensor, plain};
use crate::pickle::{Id, Value};
use checks::{check_expansion, check_filled, check_names, deep};
use choose::How;
use embedded::Embedded;
use ignored::Aside;
use script::Scripted;
use training::Beside;

/// Finds the state dict and plans its tensors.
pub(super) fn plan(contents: Contents, source_len: u64, options: &Options) -> Result<Plan, Error> {
    let root = contents.pickle.root;
    let torch = Torch::new(&contents.pickle.values, &contents.declared);
    torch.check_states()?;
    let behind = Embedded::behind(source_len, &contents);
    let mut walk = Walk::new(&torch, &options.limits, contents.pickle.end, behind);
    let key = match &contents.script {
        Some(script) => Scripted::new(&mut walk, script).take(root, options.key.as_deref())?,
        None => walk.take_dict(root, options.key.as_deref())?,
    };
    if walk.tensors.is_empty() {
        return Err(if walk.left_state { Error::TrainingState } else { Error::NoTensors });
    }
    let Walk { tensors, ignored, mut notes, embedded, .. } = walk;
    let (of_pickle, of_arrays) = embedded.into_bytes(&torch);
    check_names(&tensors)?;
    check_filled(&tensors)?;
    check_expansion(&tensors, source_len, &options.limits)?;
    // If the whole object is requested, names begin with the keys of the dicts.
    if options.key.as_deref() != Some(".") {
        notes.extend(notes::wrappers(&tensors));
    }
    let mut globals = Named::all(&contents.pickle, &contents.record);
    if contents.format == Format::Pickle {
        plain::pass_storages(&mut globals);
    }
    let Contents { format, mut storages, records, headers, deflated, mut embedded, script, .. } = contents;
    embedded.extend(of_pickle);
    globals.extend(script.into_iter().flat_map(|script| script.globals));
    storages.extend(of_arrays);
    Ok(Plan { format, key, tensors, storages, ignored, globals, records, headers, deflated, embedded, notes })
}

/// The name of a tensor without a name.
const ALONE: &str = "tensor";

/// The memory of a short text in addition to its bytes: its entry in a list, and what the allocator uses.
const HOLDER: u64 = 64;

/// Bytes of names per byte of the pickle, above [`FREE_NAMES`].
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
    /// Dicts of measurements, which are not weights.
    aside: HashSet<Id>,
    /// `true` if the result does not include training state that was found.
    left_state: bool,
    /// Which dicts are the state of an optimizer, as far as they were checked.
    states: HashMap<Id, bool>,
    /// Which tensors are one number, as far as they were checked.
    numbers: HashMap<Id, bool>,
    /// Which states are those of modules, as far as they were checked.
    modules: HashMap<Id, bool>,
    /// How many more values may be visited: with sharing, a few bytes can describe an endless walk.
    visits: u64,
    /// How many more bytes of names and descriptions may be made, for the same reason.
    names: u64,
    /// The initial limit of `names`.
    most_names: u64,
}

/// A key as Python compares it: `True`, `1` and `1.0` are one key.
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
            // A whole float is written without a point.
            Value::Float(number) => Self::Number(number.to_string().parse().ok()?),
            _ => return None,
        })
    }
}

impl<'a> Walk<'a> {
    fn new(torch: &'a Torch<'a>, limits: &'a Limits, pickle: u64, embedded: Embedded) -> Self {
        // The names of a checkpoint are shorter than its pickle, except for shared parts of paths.
        let names = limits.names.min(pickle.saturating_mul(NAMES).saturating_add(FREE_NAMES));
        Self {
            torch,
            limits,
            tensors: Vec::new(),
            ignored: Vec::new(),
            notes: Vec::new(),
            embedded,
            chosen: String::new(),
            aside: HashSet::new(),
            left_state: false,
            states: HashMap::new(),
            numbers: HashMap::new(),
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
            self.visits.checked_sub(values).ok_or(Error::Limit { what: "values visited", limit })?;
        Ok(())
    }

    /// Counts the bytes of a new text, and of its container.
    fn spell(&mut self, text: &str) -> Result<(), Error> {
        let limit = self.most_names;
        let len = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_add(HOLDER);
        self.names =
            self.names.checked_sub(len).ok_or(Error::Limit { what: "bytes of tensor names", limit })?;
        Ok(())
    }

    /// Returns `true` if the tensor is one number, and was not made as a parameter.
    fn is_number(&mut self, id: Id) -> bool {
        *self.numbers.entry(id).or_insert_with(|| self.torch.is_number(id, self.limits))
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
            return Err(Error::Limit { what: "bytes per name", limit });
        }
        self.spell(&joined)?;
        Ok(joined)
    }

    /// Returns the pairs of a dict. If a tensor depends on it, no key may occur twice: Python keeps the last.
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

    /// Returns `true` for a dict, a list or a tuple.
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

    /// Reads the tensors of the state dict, and lists the values next to it. Returns its key.
    fn take_dict(&mut self, root: Id, asked: Option<&str>) -> Result<String, Error> {
        let choose::Choice { path: key, id: chosen, how } = self.choose(root, asked)?;
        self.chosen.clone_from(&key);
        self.flatten(chosen, how)?;
        if how == How::Found && chosen != root {
            self.note_twins(root, chosen)?;
        }
        self.list_the_rest(root, chosen)?;
        Ok(key)
    }

    /// Reads every tensor below `root`. Skips training state in it, unless the training state was requested.
    fn flatten(&mut self, root: Id, how: How) -> Result<(), Error> {
        if self.torch.is_weight(root) {
            self.notes.push(Note::Unnamed { name: ALONE.to_owned() });
            return self.take(root, ALONE);
        }
        let mut waiting = vec![(String::new(), root, 0_usize, false)];
        while let Some((path, id, depth, is_state)) = waiting.pop() {
            self.visit(1)?;
            if depth > self.limits.depth {
                return Err(deep(self.limits));
            }
            if !self.torch.holds_weight(id) {
                let reason = self.describe(id)?;
                self.ignored.push(Ignored { path, reason });
            } else if is_state && how != How::State {
                self.left_state = true;
                self.leave(path, id, Aside::State)?;
            } else if self.torch.is_weight(id) {
                self.take(id, &path)?;
            } else if self.aside.contains(&id) {
                self.leave(path, id, Aside::Measurement)?;
            } else if !self.torch.holds_tensor(id) && self.torch.is_random_state(id) {
                self.leave(path, id, Aside::Other)?;
            } else if self.is_module(id)? {
                self.take_module(&path, id)?;
            } else {
                for (name, Child { id, is_state, .. }) in self.named_children(id, &path)?.into_iter().rev() {
                    waiting.push((self.join(&path, &name)?, id, depth.saturating_add(1), is_state));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, id: Id, name: &str) -> Result<(), Error> {
        if self.tensors.len() >= self.limits.tensors {
            let limit = u64::try_from(self.limits.tensors).unwrap_or(u64::MAX);
            return Err(Error::Limit { what: "tensors", limit });
        }
        if let Some(array) = self.torch.array_of(id) {
            let found = self.torch.array(array, name, self.limits)?;
            self.tensors.push(self.embedded.tensor(array, name, found));
            return Ok(());
        }
        let mut attributes = Vec::new();
        self.tensors.push(self.torch.tensor(id, name, self.limits, &mut attributes)?);
        for id in attributes {
            self.leave(format!("{name} (attributes)"), id, Aside::Other)?;
        }
        Ok(())
    }

    /// Returns the children of a dict, a list or a tuple; `None` for anything else.
    fn children(&mut self, id: Id) -> Result<Option<Vec<Child>>, Error> {
        if let Some(entries) = self.entries(id)? {
            let beside = Beside::of(entries.iter().filter_map(|&(key, _)| self.torch.values.text(key)));
            let mut children = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let name = match self.key(key) {
                    Some(name) => {
                        self.spell(&name)?;
                        Some(name)
                    }
                    None if self.torch.holds_weight(value) => None,
                    None => Some(self.describe(key)?),
                };
                let is_state = training::is_state(self, name.as_deref().unwrap_or_default(), value, beside)?;
                children.push(Child { name, id: value, is_state, key: Some(key) });
            }
            return Ok(Some(children));
        }
        let Some(items) = self.torch.items(id) else { return Ok(None) };
        self.visit(items.len())?;
        let mut children = Vec::with_capacity(items.len());
        for (number, item) in items.into_iter().enumerate() {
            let is_state = training::is_state(self, "", item, Beside::default())?;
            children.push(Child { name: Some(number.to_string()), id: item, is_state, key: None });
        }
        Ok(Some(children))
    }

    /// Returns the children of a container of tensors, each with its name.
    fn named_children(&mut self, id: Id, path: &str) -> Result<Vec<(String, Child)>, Error> {
        let place = || if path.is_empty() { "the top level".to_owned() } else { path.to_owned() };
        let Some(children) = self.children(id)? else {
            return Err(match self.torch.values.get(id) {
                Value::Persistent(_) => Error::Unsupported { name: place(), what: "bare storage".to_owned() },
                _ => Error::Opaque { path: place(), global: self.torch.describe(id) },
            });
        };
        let mut named = Vec::with_capacity(children.len());
        for mut child in children {
            match (child.name.take(), child.key) {
                (Some(name), _) => named.push((name, child)),
                (None, key) => {
                    let what = key.map_or("no name", |key| self.torch.values.get(key).type_name());
                    return Err(Error::Key { path: place(), what });
                }
            }
        }
        Ok(named)
    }
}

/// An entry of a dict, a list or a tuple.
struct Child {
    /// Its name in a path, if it has one: the text or the number of its key, or its index in a list.
    name: Option<String>,
    id: Id,
    /// `true` if it is training state.
    is_state: bool,
    /// The key in a dict.
    key: Option<Id>,
}

/// Returns how many values a walk may visit: eight times their number, which no checkpoint needs.
fn visits(torch: &Torch<'_>) -> u64 {
    u64::try_from(torch.values.len()).unwrap_or(u64::MAX).saturating_mul(8).saturating_add(10_000)
}
