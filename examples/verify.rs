//! Compares a safetensors file with the conversion of its checkpoint, and writes nothing:
//! `cargo run --example verify pytorch_model.bin model.safetensors`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::error::Error;
use std::fs::File;
use std::io;

use git_st_convert::convert_file;
use git_st_convert::hash::HashingWriter;
use git_st_convert::read_at::FileSource;
use git_st_convert::recipe::Options;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let (Some(checkpoint), Some(safetensors)) = (args.next(), args.next()) else {
        return Err("usage: verify CHECKPOINT SAFETENSORS".into());
    };
    let source = FileSource::new(File::open(checkpoint)?)?;
    let report = convert_file(&source, &mut io::sink(), &Options::default())?;
    let mut hasher = HashingWriter::new(io::sink());
    io::copy(&mut File::open(safetensors)?, &mut hasher)?;
    if hasher.finish().1 != report.oid {
        return Err("not byte for byte what the checkpoint converts to".into());
    }
    println!("identical: sha256 {}", report.oid);
    Ok(())
}
