//! [`Descent`] visits the modules of an object, each before those in it, and none inside itself.

use std::collections::HashSet;

use crate::pickle::Id;

enum Step {
    Enter(String, Id),
    Leave(Id),
}

/// A walk from a module down, without recursion.
pub(super) struct Descent {
    waiting: Vec<Step>,
    open: HashSet<Id>,
}

impl Descent {
    pub(super) fn from(path: &str, root: Id) -> Self {
        Self { waiting: vec![Step::Enter(path.to_owned(), root)], open: HashSet::new() }
    }

    /// Returns the next module, with its path and its depth.
    pub(super) fn next(&mut self) -> Option<(String, Id, usize)> {
        loop {
            match self.waiting.pop()? {
                Step::Leave(id) => {
                    self.open.remove(&id);
                }
                Step::Enter(path, id) => return Some((path, id, self.open.len())),
            }
        }
    }

    /// Enters a module. Returns `false` if the module is inside itself.
    pub(super) fn enter(&mut self, id: Id) -> bool {
        self.waiting.push(Step::Leave(id));
        self.open.insert(id)
    }

    /// Adds a module of the module that was entered last; modules added first come last.
    pub(super) fn add(&mut self, path: String, id: Id) {
        self.waiting.push(Step::Enter(path, id));
    }
}
