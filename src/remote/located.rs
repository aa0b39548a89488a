//! [`Located`] stores the locations of objects, and the objects that will be needed, so that one request finds all of
//! them.
//!
//! Invariants: an action is used until it expires, whichever caller requested it; a refused one is requested again by
//! itself; an object that is only expected never causes an error: the caller that needs it requests it again.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashMap;
use std::sync::Arc;

use super::action::{Action, Get, ObjectAt};
use super::error::{Error, Result};
use crate::lfs::Pointer;

/// The known locations.
#[derive(Default)]
pub(super) struct Located {
    found: HashMap<Pointer, ObjectAt>,
    /// The objects that will be needed, in this order.
    expected: Vec<Pointer>,
}

impl Located {
    /// Returns the location of an object, if it is still valid and not `refused`.
    fn get(&self, pointer: Pointer, refused: Option<&Arc<Get>>) -> Option<&ObjectAt> {
        self.found.get(&pointer).filter(|found| {
            let is_refused = match found {
                ObjectAt::Server(get) => refused.is_some_and(|refused| Arc::ptr_eq(refused, get)),
                ObjectAt::File(_) | ObjectAt::Agent(_) | ObjectAt::Ssh(_) => false,
            };
            !found.is_over() && !is_refused
        })
    }

    /// Returns the needed object, and those that will be needed: at most `most`.
    fn wanted(&self, pointer: Pointer, most: usize) -> Vec<Pointer> {
        let start = self.expected.iter().position(|expected| *expected == pointer).unwrap_or(0);
        let (before, after) = self.expected.split_at(start);
        let others = after.iter().chain(before).filter(|other| **other != pointer);
        let others = others.filter(|other| self.get(**other, None).is_none());
        std::iter::once(pointer).chain(others.copied()).take(most).collect()
    }

    /// Adds objects that will be needed.
    pub(super) fn expect(&mut self, pointers: &[Pointer]) {
        for pointer in pointers {
            if !self.expected.contains(pointer) {
                self.expected.push(*pointer);
            }
        }
    }

    /// Returns the known location of an object, or requests it with `ask`, together with those that will be needed, at
    /// most `most`. `refused` is requested by itself.
    ///
    /// # Errors
    /// The reason why the location is not known.
    pub(super) fn location(
        &mut self,
        pointer: Pointer,
        refused: Option<&Arc<Get>>,
        most: usize,
        ask: impl Fn(&[Pointer]) -> Result<Vec<Result<Action>>>,
    ) -> Result<ObjectAt> {
        if let Some(found) = self.get(pointer, refused) {
            return Ok(found.clone());
        }
        let mut wanted = self.wanted(pointer, if refused.is_some() { 1 } else { most });
        let answers = match ask(&wanted) {
            // A server may refuse a whole request because of one object.
            Err(error) if wanted.len() > 1 && is_of_the_question(&error) => {
                self.expected.clear();
                wanted.truncate(1);
                ask(&wanted)?
            }
            answers => answers?,
        };
        let mut answered = wanted.into_iter().zip(answers);
        let needed = answered.next().map(|(_, answer)| answer);
        for (other, answer) in answered {
            match answer {
                Ok(action) => drop(self.found.insert(other, action.0)),
                Err(_) => self.expected.retain(|expected| *expected != other),
            }
        }
        // The result contains every requested object.
        let at = needed.unwrap_or(Err(Error::NoEndpoint { remote: pointer.oid.to_string() }))?.0;
        self.found.insert(pointer, at.clone());
        Ok(at)
    }
}

/// Returns `true` if the error concerns the request, so that another request may succeed.
fn is_of_the_question(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } | Error::BadAnswer { .. } => true,
        Error::Status { status, .. } => matches!(status, 400 | 410 | 413 | 422),
        _ => false,
    }
}
