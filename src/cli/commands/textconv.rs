//! Runs `git st-convert textconv FILE`, the driver of git's own diff.
//!
//! Invariant: it exits with 0 whatever the file is, because git stops at a driver that fails; its first line is the
//! object ID, so that two versions differ whenever their bytes do; and a tensor is one line, which no other tensor
//! changes.

use std::fmt::Write as _;
use std::path::Path;

use crate::actions::diff::{FileListing, ListedContent, listing};
use crate::cli::args::Textconv;
use crate::cli::error::Report;
use crate::cli::ui::Ui;
use crate::cli::{sanitize, wording};

/// Lists the tensors of a file.
pub(crate) fn run(args: &Textconv, cwd: &Path, ui: &Ui) -> u8 {
    match listing(cwd, Path::new(&args.file)) {
        Ok(found) => ui.data(&text(&found)),
        Err(error) => ui.data(&format!("cannot be read: {}", Report::of(&error).reason())),
    }
    0
}

fn text(found: &FileListing) -> String {
    let mut out = format!("oid sha256:{}\nsize {}\n", found.oid, found.size);
    match &found.content {
        ListedContent::Tensors(tensors) => {
            for tensor in tensors {
                let (name, shape) = (sanitize::text(&tensor.name), wording::shape(&tensor.shape));
                let _infallible = write!(out, "{name}  {}  {shape}", tensor.dtype);
                if let Some(crc32) = tensor.crc32 {
                    let _infallible = write!(out, "  crc32 {crc32:08x}");
                }
                out.push('\n');
            }
        }
        // git shows this line without a driver.
        ListedContent::Other => out.push_str("version https://git-lfs.github.com/spec/v1\n"),
        ListedContent::NotHere => out.push_str("not in the LFS storage, so its tensors are not known\n"),
        ListedContent::Unreadable(error) => {
            let _infallible = writeln!(out, "cannot be read: {}", Report::of(error).reason());
        }
    }
    out
}
