//! [`each`] computes numbered results on several threads and passes them on in the order of their numbers.
//!
//! Invariants: the calling thread passes results on, none is left out, and none follows an error; at most [`AHEAD`]
//! results per thread wait for their turn.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many results of each thread may wait.
const AHEAD: usize = 4;

/// The state that the threads share.
struct State<T> {
    /// The next number that a thread takes.
    next: usize,
    /// The next number that is passed on.
    turn: usize,
    /// No number from this one on has a result.
    end: Option<usize>,
    waiting: BTreeMap<usize, T>,
    is_stopped: bool,
}

/// Computes the results from 0 up to the first number for which `work` returns `None`, and passes each to `take`.
///
/// # Errors
/// The first error of `take`; the results after it are dropped.
pub(super) fn each<T: Send, E>(
    threads: usize,
    work: &(impl Fn(usize) -> Option<T> + Sync),
    mut take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.max(1);
    let state = State { next: 0, turn: 0, end: None, waiting: BTreeMap::new(), is_stopped: false };
    let (state, changed) = (Mutex::new(state), Condvar::new());
    let wait = |held| changed.wait(held).unwrap_or_else(PoisonError::into_inner);
    let run = || {
        // The scope passes the panic on as soon as the others have ended.
        let _stop = Stop { state: &state, changed: &changed, if_panicking: true };
        loop {
            let mut held = lock(&state);
            while !held.is_stopped && held.end.is_none() && held.next >= held.turn + AHEAD * threads {
                held = wait(held);
            }
            if held.is_stopped || held.end.is_some() {
                return;
            }
            let at = held.next;
            held.next += 1;
            drop(held);
            let found = work(at);
            let mut held = lock(&state);
            match found {
                Some(found) => drop(held.waiting.insert(at, found)),
                None => held.end = Some(held.end.map_or(at, |end| end.min(at))),
            }
            changed.notify_all();
        }
    };
    thread::scope(|scope| {
        let _stop = Stop { state: &state, changed: &changed, if_panicking: false };
        for _ in 0..threads {
            scope.spawn(run);
        }
        loop {
            let mut held = lock(&state);
            let turn = held.turn;
            let found = loop {
                if let Some(found) = held.waiting.remove(&turn) {
                    break found;
                }
                if held.is_stopped || held.end.is_some_and(|end| end <= turn) {
                    return Ok(());
                }
                held = wait(held);
            };
            held.turn += 1;
            drop(held);
            changed.notify_all();
            take(turn, found)?;
        }
    })
}

/// Stops all threads when it is dropped, so that none waits for a turn that does not come.
struct Stop<'a, T> {
    state: &'a Mutex<State<T>>,
    changed: &'a Condvar,
    if_panicking: bool,
}

impl<T> Drop for Stop<'_, T> {
    fn drop(&mut self) {
        if !self.if_panicking || thread::panicking() {
            lock(self.state).is_stopped = true;
            self.changed.notify_all();
        }
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// The results of so many numbers, the first of which take longest.
    fn results(threads: usize, count: usize) -> Vec<usize> {
        let mut all = Vec::new();
        let work = |at: usize| {
            thread::sleep(Duration::from_millis(u64::try_from(count.saturating_sub(at) % 7).unwrap()));
            (at < count).then_some(at)
        };
        let done: Result<(), ()> = each(threads, &work, |at, found| {
            assert_eq!(at, found);
            all.push(found);
            Ok(())
        });
        done.unwrap();
        all
    }

    #[test]
    fn results_come_in_order_and_none_is_left_out() {
        for threads in 0..5 {
            for count in [0, 1, 3, 50] {
                assert_eq!(results(threads, count), (0..count).collect::<Vec<_>>(), "{threads}");
            }
        }
    }

    #[test]
    fn an_error_ends_it_and_no_thread_runs_far_ahead() {
        let most = AtomicUsize::new(0);
        let work = |at: usize| {
            most.fetch_max(at, Ordering::Relaxed);
            Some(at)
        };
        let done = each(3, &work, |at, _| {
            thread::sleep(Duration::from_millis(1));
            if at == 20 { Err("no more") } else { Ok(()) }
        });
        assert_eq!(done, Err("no more"));
        assert!(most.into_inner() <= 20 + 3 * (AHEAD + 1));
    }

    #[test]
    fn a_panic_is_passed_on() {
        let panics = |at: usize| if at == 2 { panic!("work") } else { Some(at) };
        assert!(catch_unwind(|| each(2, &panics, |_, _| Ok::<_, ()>(()))).is_err());
        assert!(catch_unwind(|| each(2, &Some, |_, _| -> Result<(), ()> { panic!("take") })).is_err());
    }
}
