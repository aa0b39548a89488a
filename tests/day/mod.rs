//! The working day of a model repository: what `status` says, and that a person gets through by it.

mod formats;
mod json;
mod status;
mod working;
