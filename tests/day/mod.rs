//! The working day of a model repository: what `status` says, and that a person gets through by it.

mod formats;
mod status;
mod working;
