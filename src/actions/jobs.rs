//! [`Jobs`] limits how many files are processed at once; [`Pool`] passes work to that many threads and takes the results.
//!
//! ```text
//! this thread: begin ─▶ queue ─▶ threads: work ─▶ Pool::any, Pool::first ─▶ this thread
//! ```
//!
//! Invariant: the thread that begins the work reports its results, in the order that it chooses. Work that was begun
//! ends before [`Jobs::run`] returns; work that is still in the queue then is dropped. The module does not know files.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZero;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use bstr::ByteSlice as _;

use super::Error;
use crate::repo::Repo;

/// The maximum of `-j`.
pub const MOST: usize = 8;

/// The memory per file, with a large margin: a machine with less memory converts fewer files at once.
const MEMORY: usize = 512 << 20;

/// The number of files that are processed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jobs(usize);

impl Jobs {
    /// One file after the other.
    pub(super) const ONE: Self = Self(1);

    /// Returns the requested number; by default one per processor, as far as the memory allows.
    pub(super) fn of(asked: Option<usize>) -> Self {
        let by_default = || {
            let cores = thread::available_parallelism().map_or(1, NonZero::get);
            cores.min(memory().map_or(cores, |bytes| bytes / MEMORY))
        };
        Self(asked.unwrap_or_else(by_default).clamp(1, MOST))
    }

    /// Returns `st-convert.jobs` of a repository, if it is set.
    ///
    /// # Errors
    /// [`Error::Setting`]
    pub(super) fn configured(repo: &Repo) -> Result<Option<usize>, Error> {
        const KEY: &str = "st-convert.jobs";
        let Some(value) = repo.config_str(KEY) else { return Ok(None) };
        let number = value.to_str().ok().and_then(|text| text.parse().ok());
        let number = number.filter(|number| (1..=MOST).contains(number));
        number.map(Some).ok_or(Error::Setting { key: KEY, value })
    }

    /// Returns the number.
    pub(super) fn count(self) -> usize {
        self.0
    }

    /// Runs `body`, which begins work and takes its results. The system may allow fewer threads.
    ///
    /// # Errors
    /// The reason why not one thread can be started.
    pub(super) fn run<T: Send, R: Send, O>(
        self,
        work: impl Fn(T) -> R + Sync,
        body: impl FnOnce(&mut Pool<T, R>) -> O,
    ) -> io::Result<O> {
        let (give, take) = mpsc::channel::<(usize, T)>();
        let (answer, answers) = mpsc::channel();
        let (take, is_over) = (Mutex::new(take), AtomicBool::new(false));
        let run = |answer: Sender<(usize, thread::Result<R>)>| {
            loop {
                // The thread waits while it has the lock, so that it gets the next item.
                let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((number, item)) = next else { return };
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let done = panic::catch_unwind(AssertUnwindSafe(|| work(item)));
                if answer.send((number, done)).is_err() {
                    return;
                }
            }
        };
        thread::scope(|scope| {
            for number in 0..self.0 {
                let (run, answer) = (&run, answer.clone());
                match thread::Builder::new().spawn_scoped(scope, move || run(answer)) {
                    Err(error) if number == 0 => return Err(error),
                    Err(_) => break,
                    Ok(_) => {}
                }
            }
            drop(answer);
            let mut pool = Pool { give, answers, begun: 0, taken: 0, early: BTreeMap::new() };
            let done = panic::catch_unwind(AssertUnwindSafe(|| body(&mut pool)));
            is_over.store(true, Ordering::Relaxed);
            drop(pool);
            Ok(done)
        })
        .map(|done| done.unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
    }
}

/// Returns the bytes of memory of this machine, if the system reports them: `proc_meminfo(5)`.
fn memory() -> Option<usize> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"))?;
    total.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// Work that was begun, and its results. Each item has a number, counted from 0.
pub(super) struct Pool<T, R> {
    give: Sender<(usize, T)>,
    answers: Receiver<(usize, thread::Result<R>)>,
    begun: usize,
    taken: usize,
    /// The results that arrived before their turn.
    early: BTreeMap<usize, thread::Result<R>>,
}

impl<T, R> Pool<T, R> {
    /// Begins work as soon as a thread is free.
    pub(super) fn begin(&mut self, item: T) {
        // The threads exist as long as the pool.
        let _begun = self.give.send((self.begun, item));
        self.begun += 1;
    }

    /// Returns the number of results that were not taken yet.
    pub(super) fn pending(&self) -> usize {
        self.begun - self.taken
    }

    /// Returns the next result that arrives. `None` if all results were taken.
    pub(super) fn any(&mut self) -> Option<R> {
        if self.pending() == 0 {
            return None;
        }
        let (_, done) = self.answers.recv().ok()?;
        self.taken += 1;
        Some(ended(done))
    }

    /// Returns the result of the work that was begun first. It must not be mixed with [`any`](Self::any), which has no
    /// order.
    pub(super) fn first(&mut self) -> Option<R> {
        if self.pending() == 0 {
            return None;
        }
        let done = loop {
            if let Some(done) = self.early.remove(&self.taken) {
                break done;
            }
            let (number, done) = self.answers.recv().ok()?;
            self.early.insert(number, done);
        };
        self.taken += 1;
        Some(ended(done))
    }
}

/// Returns a result, or continues the panic of the thread.
fn ended<R>(done: Result<R, Box<dyn Any + Send>>) -> R {
    done.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_are_taken_in_the_order_in_which_work_was_begun() {
        let slow_first = |n: u64| {
            thread::sleep(Duration::from_millis(20_u64.saturating_sub(n)));
            n * n
        };
        let got = Jobs(3)
            .run(slow_first, |pool| {
                (0..20).for_each(|n| pool.begin(n));
                assert_eq!(pool.pending(), 20);
                std::iter::from_fn(|| pool.first()).collect::<Vec<_>>()
            })
            .unwrap();
        assert_eq!(got, (0..20).map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_than_asked_for_are_done_at_once_and_all_of_them_are() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |number: usize| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(20));
            now.fetch_sub(1, Ordering::SeqCst);
            number
        };
        let mut numbers = Jobs(4)
            .run(work, |pool| {
                (0..12).for_each(|number| pool.begin(number));
                std::iter::from_fn(|| pool.any()).collect::<Vec<_>>()
            })
            .unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..12).collect::<Vec<_>>());
        assert_eq!(most.into_inner(), 4);
    }

    #[test]
    fn what_only_waits_at_the_end_is_not_begun() {
        let begun = AtomicUsize::new(0);
        let work = |()| {
            begun.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(50));
        };
        Jobs(1)
            .run(work, |pool| {
                (0..20).for_each(|_| pool.begin(()));
                pool.first().unwrap();
            })
            .unwrap();
        assert!(begun.into_inner() < 5);
    }

    #[test]
    fn a_panic_of_a_thread_is_one_of_the_run() {
        let work = |n: usize| assert_ne!(n, 3);
        let ran = panic::catch_unwind(|| {
            Jobs(2)
                .run(work, |pool| {
                    (0..10).for_each(|n| pool.begin(n));
                    while pool.first().is_some() {}
                })
                .unwrap();
        });
        assert!(ran.is_err());
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        assert_eq!((Jobs::of(Some(0)), Jobs::of(Some(99))), (Jobs(1), Jobs(MOST)));
        assert!((1..=MOST).contains(&Jobs::of(None).count()));
    }
}
