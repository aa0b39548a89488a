//! Converts a checkpoint: `cargo run --example convert pytorch_model.bin model.safetensors`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use git_st_convert::convert_file;
use git_st_convert::read_at::FileSource;
use git_st_convert::recipe::Options;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let (Some(checkpoint), Some(output)) = (args.next(), args.next()) else {
        return Err("usage: convert CHECKPOINT OUTPUT".into());
    };
    let source = FileSource::new(File::open(checkpoint)?)?;
    let mut file = BufWriter::new(File::create_new(output)?);
    let report = convert_file(&source, &mut file, &Options::default())?;
    file.into_inner()?.sync_all()?;
    println!("{} tensors, {} bytes, sha256 {}", report.tensors, report.size, report.oid);
    for (dropped, kept) in &report.dropped {
        println!("dropped {dropped}, tied to {kept}");
    }
    Ok(())
}
