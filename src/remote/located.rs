//! [`Located`]: where objects were found, and which will be asked for, so that one request finds all of them.
//!
//! Invariants: an action is used as long as it holds, whoever asked for it; one that was refused is asked for alone; what is
//! only expected is never an error: an object that is not to be had is asked for again by whoever needs it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashMap;
use std::sync::Arc;

use super::action::{Action, Get, ObjectAt};
use super::error::{Error, Result};
use crate::lfs::Pointer;

/// What is known of objects.
#[derive(Default)]
pub(super) struct Located {
    found: HashMap<Pointer, ObjectAt>,
    /// What will be asked for, in this order.
    expected: Vec<Pointer>,
}

impl Located {
    /// Where an object is, if that holds still; `refused` does not.
    fn get(&self, pointer: Pointer, refused: Option<&Arc<Get>>) -> Option<&ObjectAt> {
        self.found.get(&pointer).filter(|found| {
            let is_refused = match found {
                ObjectAt::Server(get) => refused.is_some_and(|refused| Arc::ptr_eq(refused, get)),
                ObjectAt::File(_) | ObjectAt::Agent(_) | ObjectAt::Ssh(_) => false,
            };
            !found.is_over() && !is_refused
        })
    }

    /// The object that is needed, and those that will be: no more than `most`.
    fn wanted(&self, pointer: Pointer, most: usize) -> Vec<Pointer> {
        let start = self.expected.iter().position(|expected| *expected == pointer).unwrap_or(0);
        let (before, after) = self.expected.split_at(start);
        let others = after.iter().chain(before).filter(|other| **other != pointer);
        let others = others.filter(|other| self.get(**other, None).is_none());
        std::iter::once(pointer).chain(others.copied()).take(most).collect()
    }

    /// Says which objects will be asked for.
    pub(super) fn expect(&mut self, pointers: &[Pointer]) {
        for pointer in pointers {
            if !self.expected.contains(pointer) {
                self.expected.push(*pointer);
            }
        }
    }

    /// Where an object is, by what is known, or by what `ask` finds out of it and of those that will be asked for, no more
    /// than `most`. `refused` is asked for alone.
    ///
    /// # Errors
    /// What keeps it from being known.
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
            // A server may refuse all for one of them.
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
        // Of each object that is asked for there is an answer.
        let at = needed.unwrap_or(Err(Error::NoEndpoint { remote: pointer.oid.to_string() }))?.0;
        self.found.insert(pointer, at.clone());
        Ok(at)
    }
}

/// Returns `true` if it is about what was asked, so that another question may be answered.
fn is_of_the_question(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } | Error::BadAnswer { .. } => true,
        Error::Status { status, .. } => matches!(status, 400 | 410 | 413 | 422),
        _ => false,
    }
}
