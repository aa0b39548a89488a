//! Finds which dicts of an object contain its tensors, and which of these dicts could be the state dict.
//!
//! Every dict, list and module is one place; places are found from the top down and classified from the bottom up, so
//! that the contents of a dict and of the dicts below it decide its class. A list belongs to the dict that contains it.
//! Training state is skipped.

use std::collections::HashMap;

use super::checks::deep;
use super::training::{is_measurement, is_state_key};
use super::{Child, Walk};
use crate::checkpoint::Error;
use crate::pickle::Id;

/// A dict that could be the state dict.
pub(super) struct Found {
    /// Its dotted path; empty for the whole object.
    pub(super) path: String,
    pub(super) id: Id,
    /// The dicts in it that could also be the state dict: it contains tensors next to them.
    pub(super) inner: Vec<Found>,
}

/// The dicts and tensors of an object.
#[derive(Default)]
pub(super) struct Places {
    /// The outermost dicts that could be the state dict, in order.
    pub(super) found: Vec<Found>,
    /// The dicts that contain only numbers, each with the path of the first number that is not named as a measurement.
    pub(super) numbers: Vec<(Found, String)>,
    /// The dicts that contain only measurements.
    pub(super) measurements: Vec<Found>,
    /// The path of the first container of tensors that cannot be read.
    pub(super) opaque: Option<(String, Id)>,
    /// The path of a tensor that is directly in the object, next to the dicts that were found.
    pub(super) beside: Option<String>,
    /// `true` if training state was skipped.
    pub(super) has_state: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dict,
    List,
    Module,
}

/// A dict, a list or a module that contains tensors, outside training state.
struct Container {
    parent: Option<usize>,
    name: String,
    id: Id,
    kind: Kind,
    own: Own,
    /// The dicts below it that could be the state dict, the last one first.
    found: Vec<Found>,
}

/// The tensors in a dict itself, or in its lists.
#[derive(Clone, Default)]
struct Own {
    /// The name of the first weight.
    weight: Option<String>,
    /// The name of the first one-element tensor that is not named as a measurement.
    number: Option<String>,
    has_measurement: bool,
}

/// A place that waits for its turn.
struct Waiting {
    parent: Option<usize>,
    name: String,
    id: Id,
    /// `true` if it, or its container, is named as a measurement.
    is_measured: bool,
    depth: usize,
}

/// The places, each after its container.
#[derive(Default)]
struct Search {
    all: Vec<Container>,
    waiting: Vec<Waiting>,
    opaque: Option<(Option<usize>, String, Id)>,
    has_state: bool,
    /// The contents of dicts and lists without other containers, by whether they are measured: one dict can occur many
    /// times, under other names.
    leaves: HashMap<(Id, bool), (Own, Kind)>,
}

impl Places {
    /// Searches the object at `root`.
    pub(super) fn of(walk: &mut Walk<'_>, root: Id) -> Result<Self, Error> {
        let mut search = Search::default();
        let first = Waiting { parent: None, name: String::new(), id: root, is_measured: false, depth: 0 };
        search.waiting.push(first);
        while let Some(next) = search.waiting.pop() {
            walk.visit(1)?;
            if next.depth > walk.limits.depth {
                return Err(deep(walk.limits));
            }
            search.enter(walk, next)?;
        }
        search.judge(walk)
    }
}

impl Search {
    /// Reads one place; the places in it wait for their turn.
    fn enter(&mut self, walk: &mut Walk<'_>, next: Waiting) -> Result<(), Error> {
        let Waiting { parent, name, id, is_measured, depth } = next;
        if let Some((own, kind)) = self.leaves.get(&(id, is_measured)).cloned() {
            self.all.push(Container { parent, name, id, kind, own, found: Vec::new() });
            return Ok(());
        }
        let (mut own, first) = (Own::default(), self.waiting.len());
        let kind = if walk.is_module(id)? {
            Kind::Module
        } else if let Some(children) = walk.children(id)? {
            let inside =
                Waiting { parent: Some(self.all.len()), name: String::new(), id, is_measured, depth };
            for child in children {
                self.consider(walk, &inside, child, &mut own);
            }
            if walk.torch.items(id).is_some() { Kind::List } else { Kind::Dict }
        } else {
            self.opaque.get_or_insert((parent, name, id));
            return Ok(());
        };
        self.waiting.get_mut(first..).unwrap_or_default().reverse();
        if self.waiting.len() == first && self.opaque.is_none() {
            self.leaves.insert((id, is_measured), (own.clone(), kind));
        }
        self.all.push(Container { parent, name, id, kind, own, found: Vec::new() });
        Ok(())
    }

    /// Adds one child of a place: a tensor of its own, or a place that waits.
    fn consider(&mut self, walk: &mut Walk<'_>, place: &Waiting, child: Child, own: &mut Own) {
        let Child { name, id, is_state, .. } = child;
        if !walk.torch.holds_tensor(id) {
            return;
        }
        self.has_state |= is_state;
        let is_tensor = walk.torch.is_tensor(id);
        match name {
            _ if is_state => {}
            // The flattening reports what is wrong with its key.
            None if is_tensor => own.weight = Some(String::new()),
            None => drop(self.opaque.get_or_insert((place.parent, String::new(), id))),
            Some(name) if is_tensor => {
                let is_number = walk.is_number(id);
                // Under a training-state key it is not a weight that a dict next to it could lack.
                if is_state_key(&name) && !name.contains('.') {
                    self.has_state = true;
                } else if is_number && (place.is_measured || is_measurement(&name)) {
                    own.has_measurement = true;
                } else if is_number {
                    own.number.get_or_insert(name);
                } else {
                    own.weight.get_or_insert(name);
                }
            }
            Some(name) => self.waiting.push(Waiting {
                parent: place.parent,
                is_measured: place.is_measured || is_measurement(&name),
                name,
                id,
                depth: place.depth.saturating_add(1),
            }),
        }
    }

    /// Returns the path of a value by its name in a place.
    fn path(&self, walk: &mut Walk<'_>, parent: Option<usize>, name: &str) -> Result<String, Error> {
        let mut names = vec![name];
        let mut above = parent.and_then(|parent| self.all.get(parent));
        while let Some(place) = above {
            names.push(&place.name);
            above = place.parent.and_then(|parent| self.all.get(parent));
        }
        names.reverse();
        let path = names.iter().filter(|name| !name.is_empty()).copied().collect::<Vec<_>>().join(".");
        walk.spell(&path)?;
        Ok(path)
    }

    /// Goes from the last place up to the whole object.
    fn judge(mut self, walk: &mut Walk<'_>) -> Result<Places, Error> {
        let mut places = Places { has_state: self.has_state, ..Places::default() };
        if let Some((parent, name, id)) = self.opaque.take() {
            places.opaque = Some((self.path(walk, parent, &name)?, id));
        }
        while let Some(Container { parent, name, id, kind, own, mut found }) = self.all.pop() {
            found.reverse();
            let found_here = |search: &Self, walk: &mut Walk<'_>, inner| {
                Ok::<_, Error>(Found { path: search.path(walk, parent, &name)?, id, inner })
            };
            let is_list = kind == Kind::List && parent.is_some();
            let up = if is_list {
                found
            } else if kind == Kind::Module || found.is_empty() && own.weight.is_some() {
                vec![found_here(&self, walk, Vec::new())?]
            } else if found.is_empty() {
                if let Some(number) = &own.number {
                    let dict = found_here(&self, walk, Vec::new())?;
                    let number = walk.join(&dict.path, number)?;
                    places.numbers.push((dict, number));
                } else if own.has_measurement {
                    places.measurements.push(found_here(&self, walk, Vec::new())?);
                }
                Vec::new()
            } else if parent.is_some() && own.first().is_some() {
                vec![found_here(&self, walk, found)?]
            } else {
                places.beside = own.first().cloned();
                found
            };
            match parent.and_then(|parent| self.all.get_mut(parent)) {
                None => places.found = up,
                Some(above) => {
                    above.found.extend(up.into_iter().rev());
                    if is_list {
                        above.own.join(&name, own);
                    }
                }
            }
        }
        places.numbers.reverse();
        places.measurements.reverse();
        Ok(places)
    }
}

impl Own {
    /// Returns the first tensor that no dict next to it could lack.
    fn first(&self) -> Option<&String> {
        self.weight.as_ref().or(self.number.as_ref())
    }

    /// Adds the tensors of a list by this name.
    fn join(&mut self, name: &str, list: Self) {
        let inside = |inner: Option<String>| inner.map(|inner| [name, &inner].join("."));
        self.weight = self.weight.take().or_else(|| inside(list.weight));
        self.number = self.number.take().or_else(|| inside(list.number));
        self.has_measurement |= list.has_measurement;
    }
}
