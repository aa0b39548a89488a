//! Lists the tensors of a checkpoint: `cargo run --example inspect pytorch_model.bin`. Only its description is read.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::error::Error;
use std::fs::File;

use git_st_convert::checkpoint::{Options, plan};
use git_st_convert::read_at::FileSource;

fn main() -> Result<(), Box<dyn Error>> {
    let checkpoint = env::args_os().nth(1).ok_or("usage: inspect CHECKPOINT")?;
    let source = FileSource::new(File::open(checkpoint)?)?;
    for tensor in plan(&source, &Options::default())?.tensors {
        println!("{}  {:?}  {:?}  {} bytes", tensor.name, tensor.dtype, tensor.shape, tensor.bytes());
    }
    Ok(())
}
