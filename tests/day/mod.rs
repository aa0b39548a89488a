//! Tests the daily work at a model repository: the output of `status`, and that its commands help.

mod agreement;
mod formats;
mod json;
mod status;
mod working;
