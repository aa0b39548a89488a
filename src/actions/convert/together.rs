//! [`Together`] converts local checkpoints on several threads.
//!
//! A repository belongs to one thread. That thread plans each checkpoint, passes it to the threads that convert, and stages
//! the results in the order of the checkpoints. Everything else (a sharded checkpoint, a download, a file that cannot be
//! planned) is left to [`unit`](super::unit), after all checkpoints before it are staged.
//!
//! Invariant: the reports are those of [`unit`](super::unit), in the same order.

use std::collections::VecDeque;

use bstr::{BString, ByteSlice as _};

use super::super::Error;
use super::super::jobs::Pool;
use super::decide::UnitStep;
use super::ledger::Ledger;
use super::make::make;
use super::plan::{Need, Planned, check_space, plan_one};
use super::product::Product;
use super::sets::{Others, Unit};
use super::unit::finish_one;
use super::{Context, Maker};

/// A checkpoint on its way to a thread.
pub(super) struct Making<'a> {
    maker: Maker<'a>,
    planned: Planned,
}

impl Making<'_> {
    /// Converts the checkpoint.
    pub(super) fn run(self) -> Result<Product, Error> {
        make(&self.maker, self.planned, false)
    }
}

/// The threads that convert checkpoints.
type Threads<'a> = Pool<Making<'a>, Result<Product, Error>>;

/// The checkpoints that are being converted, in their order.
pub(super) struct Together<'a, 'p> {
    threads: &'p mut Threads<'a>,
    /// How many may be begun before the first is staged.
    window: usize,
    others: &'p Others,
    begun: VecDeque<(Context<'a>, BString, Need)>,
}

impl<'a, 'p> Together<'a, 'p> {
    /// Creates it, without checkpoints.
    pub(super) fn new(threads: &'p mut Threads<'a>, window: usize, others: &'p Others) -> Self {
        Self { threads, window, others, begun: VecDeque::new() }
    }

    /// Begins a checkpoint. Returns `false` for one that [`unit`](super::unit) must handle; then nothing was begun or
    /// reported.
    ///
    /// # Errors
    /// An error that ends the run.
    pub(super) fn begin(
        &mut self,
        context: Context<'a>,
        ledger: &mut Ledger<'_>,
        one: &Unit,
        step: &UnitStep,
    ) -> Result<bool, Error> {
        let ([file], None, UnitStep::Convert) = (one.files.as_slice(), &one.set, step) else {
            return Ok(false);
        };
        let path = file.path.clone();
        // The plan for a checkpoint that is not local may contact a server.
        if context.workspace.local(path.as_bstr()).is_err() {
            return Ok(false);
        }
        if self.begun.len() >= self.window {
            self.end_first(ledger)?;
        }
        let maker = context.maker();
        let planned = match plan_one(context, path.clone(), false, self.others) {
            Ok(planned) if planned.is_here() => planned,
            _ => return Ok(false),
        };
        let need = Need::of_planned(&maker.store, &planned);
        let all = self.begun.iter().map(|(.., need)| *need).chain([need]);
        if check_space(&maker, all).is_err() {
            // Those before it may need less than was expected of them.
            self.end_all(ledger)?;
            if let Err(no_space) = check_space(&maker, [need]) {
                finish_one(context, ledger, &path, Err(no_space.into()), self.others)?;
                return Ok(true);
            }
        }
        ledger.stats.extend(planned.task.source_stat.map(|stat| (path.clone(), stat)));
        self.begun.push_back((context, path, need));
        self.threads.begin(Making { maker, planned });
        Ok(true)
    }

    /// Waits for all checkpoints that were begun, and stages them.
    ///
    /// # Errors
    /// An error that ends the run.
    pub(super) fn end_all(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        while !self.begun.is_empty() {
            self.end_first(ledger)?;
        }
        Ok(())
    }

    fn end_first(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        let (Some((context, path, _)), Some(made)) = (self.begun.pop_front(), self.threads.first()) else {
            return Ok(());
        };
        finish_one(context, ledger, &path, made, self.others)
    }
}
