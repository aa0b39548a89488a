//! [`Known`] stores what was learned, as long as it is valid; [`lock`] locks data that threads share.
//!
//! Invariant: if several threads need a value at once, one learns it and the others wait. The module does not know the
//! meaning of a value.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A value that is valid for no longer than this counts as expired.
const EARLY: Duration = Duration::from_secs(5);

/// Values by key, behind a lock. They are few, so a lookup is a linear search.
pub(super) struct Known<K, V>(Mutex<Vec<(K, V)>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, V: Clone> Known<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        lock(&self.0).iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    /// Returns the value of a key, which `learn` finds if it is not known. Other threads wait meanwhile.
    ///
    /// # Errors
    /// An error of `learn`.
    pub(super) fn get_or_learn<E>(&self, key: K, learn: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let mut known = lock(&self.0);
        if let Some((_, value)) = known.iter().find(|(known, _)| *known == key) {
            return Ok(value.clone());
        }
        let value = learn()?;
        known.push((key, value.clone()));
        Ok(value)
    }

    /// Stores the value of a key that has none.
    pub(super) fn add(&self, key: K, value: V) {
        let mut known = lock(&self.0);
        if !known.iter().any(|(known, _)| *known == key) {
            known.push((key, value));
        }
    }

    /// Removes the values for which `passes` is false.
    pub(super) fn retain(&self, passes: impl Fn(&K, &V) -> bool) {
        lock(&self.0).retain(|(key, value)| passes(key, value));
    }

    /// Passes every value to `each`.
    pub(super) fn each(&self, each: impl Fn(&V)) {
        lock(&self.0).iter().for_each(|(_, value)| each(value));
    }
}

/// Returns the data behind a lock, even if another thread panicked: no operation here leaves it inconsistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time at which something expires.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry(Option<Instant>);

impl Expiry {
    /// Reads `expires_in`, counted from the request, else `expires_at`; without either, it does not expire.
    pub(super) fn new(asked: Instant, seconds: Option<i64>, at: Option<&str>) -> Self {
        let from_now = |at: &str| {
            let at: jiff::Timestamp = at.parse().ok()?;
            Some(SystemTime::from(at).duration_since(SystemTime::now()).unwrap_or_default())
        };
        let lifetime = match seconds {
            Some(seconds) if seconds != 0 => Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
            _ => at.filter(|at| !at.starts_with("0001-")).and_then(from_now),
        };
        Self(lifetime.and_then(|lifetime| asked.checked_add(lifetime)))
    }

    /// A value that does not expire.
    pub(super) fn never() -> Self {
        Self(None)
    }

    /// Returns `true` if it has expired, or is about to.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_some_and(|end| end.saturating_duration_since(Instant::now()) <= EARLY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_action() {
        let now = Instant::now();
        let in_an_hour = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
        assert!(!Expiry::new(now, None, None).is_over());
        assert!(!Expiry::new(now, Some(0), Some("0001-01-01T00:00:00Z")).is_over());
        assert!(!Expiry::new(now, None, Some(&in_an_hour)).is_over());
        assert!(Expiry::new(now, None, Some("2016-11-10T15:29:07+00:00")).is_over());
        assert!(Expiry::new(now, Some(4), Some(&in_an_hour)).is_over());
        assert!(!Expiry::new(now, Some(i64::MAX), None).is_over());
        assert!(!Expiry::new(now, None, Some("tomorrow")).is_over());
    }

    #[test]
    fn what_is_known_is_not_learned_again() {
        let known = Known::default();
        let learn = |value| known.get_or_learn("a", || value);
        assert_eq!(learn(Err("no")), Err("no"));
        assert_eq!((learn(Ok(1)), learn(Ok(2))), (Ok(1), Ok(1)));
        known.add("a", 3);
        known.add("b", 4);
        assert_eq!((known.get(&"a"), known.get(&"b")), (Some(1), Some(4)));
        known.retain(|_, value| *value > 1);
        assert_eq!((known.get(&"a"), learn(Ok(5))), (None, Ok(5)));
    }
}
