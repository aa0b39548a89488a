//! `git st-convert verify [PATH... | --pr N]`

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::actions::verify::{
    Finding, IndexFinding, Options, Verdict, Verified, verify, verify_pull_request,
};
use crate::actions::{Error, Reporter as _, pull};
use crate::cli::args::{ServerArgs, Verify};
use crate::cli::environment;
use crate::cli::error::{Kind, Report};
use crate::cli::here::{File, Here};
use crate::cli::interrupt::Interrupt;
use crate::cli::reporter::Teller;
use crate::cli::ui::{BAD, DIM, GOOD, Ui, styled};
use crate::cli::{json, sanitize};
use crate::safetensors::compare::Difference;

/// Verifies, and gives the worst exit code of the files.
pub(crate) fn run(
    args: &Verify,
    cwd: PathBuf,
    servers: ServerArgs,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<u8, Report> {
    let teller = Teller::new(ui, interrupt, false).at(Here::new(&cwd), false);
    let done = work(args, cwd, servers, &teller);
    teller.finished();
    let done = done.map_err(|error| {
        let report = Report::of(&error);
        if ui.json {
            ui.data(&json::verification(&[], Some(&report), report.kind.exit_code()));
        }
        report
    })?;
    let code = worst(&done);
    if ui.json {
        ui.data(&json::verification(&done, None, code));
    }
    if done.is_empty() {
        ui.note("there is no safetensors file to verify");
    }
    Ok(code)
}

fn work(
    args: &Verify,
    cwd: PathBuf,
    servers: ServerArgs,
    teller: &Teller<'_>,
) -> Result<Vec<Verified>, Error> {
    let servers = environment::servers(servers)?;
    if let Some(number) = args.pr {
        return verify_pull_request(&pull::Options { cwd, servers }, number, args.key.as_deref(), teller);
    }
    let options =
        Options { cwd, paths: args.paths.clone(), rev: args.rev.clone(), key: args.key.clone(), servers };
    verify(&options, teller)
}

/// The exit status of all files.
fn worst(done: &[Verified]) -> u8 {
    let code = |verified: &Verified| match &verified.error {
        Some(error) => Report::of(error).kind.exit_code(),
        None if verified.is_good() => 0,
        None => Kind::Refused.exit_code(),
    };
    done.iter().map(code).max().unwrap_or(0)
}

/// What was found of one file, for a person.
pub(in crate::cli) fn tell(ui: &Ui, verified: &Verified, here: &Here) {
    let Some(verdict) = verified.verdict else {
        if let Some(error) = &verified.error {
            ui.error(&Report::of_file(error, File::OfTop(verified.path.as_ref()), here));
        }
        return;
    };
    let style = if verified.is_good() { GOOD } else { BAD };
    let path = sanitize::bytes(verified.path.as_ref());
    let mut lines = format!("{path}: {}", styled(style, &text(verdict, verified)));
    if verified.is_good() && !verified.is_index {
        let how = match (verified.compared, verified.downloaded) {
            (true, true) => "every byte was compared, while it was downloaded",
            (true, false) => "every byte was compared",
            (false, _) => "no byte of it was downloaded: its oid says it",
        };
        let _infallible = write!(lines, "\n  {}", styled(DIM, how));
    }
    for (name, keeper) in &verified.ties {
        let (name, keeper) = (sanitize::text(name), sanitize::text(keeper));
        let _infallible = write!(lines, "\n  {} {name} → {keeper}", styled(DIM, "tied    "));
    }
    for finding in &verified.findings {
        let _infallible = write!(lines, "\n  {}", finding_text(finding));
    }
    if verified.more > 0 {
        let _infallible = write!(lines, "\n  and {} more", verified.more);
    }
    if verified.stopped {
        lines += "\n  the rest was not compared";
    }
    ui.result(&lines);
}

fn text(verdict: Verdict, verified: &Verified) -> String {
    let checkpoint = verified.checkpoint.as_ref().map(|path| sanitize::bytes(path.as_ref()));
    let checkpoint = checkpoint.unwrap_or_else(|| "its checkpoint".into());
    match (verdict, &verified.conversion) {
        (Verdict::Identical, Some(conversion)) => {
            format!("identical to the conversion of {checkpoint} by {conversion}")
        }
        (Verdict::Identical, None) => format!("identical to the conversion of {checkpoint}"),
        (Verdict::Equal, _) if verified.is_index => "agrees with its shards".to_owned(),
        (Verdict::Equal, _) => {
            format!("equal: it holds the tensors of {checkpoint}, name by name and bit by bit")
        }
        (Verdict::Differs, _) if verified.is_index => "differs from its shards".to_owned(),
        (Verdict::Differs, _) => format!("differs from {checkpoint}"),
        (Verdict::Stale, _) => format!("stale: {checkpoint} has changed since it was made"),
    }
}

/// One thing that is wrong.
pub(in crate::cli) fn finding_text(finding: &Finding) -> String {
    let shape =
        |shape: &[u64]| format!("[{}]", shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
    let name = sanitize::text;
    match finding {
        Finding::Invalid(error) => {
            format!("is not a safetensors file: {}", sanitize::text(&chain(error)))
        }
        Finding::Tensor(Difference::Missing { name: missing }) => format!("missing  {}", name(missing)),
        Finding::Tensor(Difference::Extra { name: extra }) => format!("extra    {}", name(extra)),
        Finding::Tensor(Difference::Alias { name: alias, keeper }) => {
            format!("alias    {} is said to be {}, which holds other values", name(alias), name(keeper))
        }
        Finding::Tensor(Difference::DType { name: tensor, checkpoint, file }) => {
            format!("dtype    {} is {file}, in the checkpoint {checkpoint}", name(tensor))
        }
        Finding::Tensor(Difference::Shape { name: tensor, checkpoint, file }) => {
            format!("shape    {} is {}, in the checkpoint {}", name(tensor), shape(file), shape(checkpoint))
        }
        Finding::Tensor(Difference::Element { name: tensor, index, checkpoint, file }) => {
            format!("element  {}{} is {file}, in the checkpoint {checkpoint}", name(tensor), shape(index))
        }
        Finding::Index(IndexFinding::NoShard { shard }) => {
            format!("missing  the shard {}", sanitize::bytes(shard.as_ref()))
        }
        Finding::Index(IndexFinding::LeftOut { shard }) => {
            let shard = sanitize::bytes(shard.as_ref());
            format!("missing  the shard {shard}, which the checkpoint's index has")
        }
        Finding::Index(IndexFinding::NotInShard { name: tensor, shard }) => {
            format!("missing  {} is not in {}", name(tensor), name(shard))
        }
        Finding::Index(IndexFinding::NotInIndex { name: tensor, shard }) => {
            format!("extra    {} is in {}, which the index does not say", name(tensor), name(shard))
        }
        Finding::Index(IndexFinding::TotalSize { said, held }) => {
            format!("size     total_size is {}, the tensors have {held} bytes", name(said))
        }
    }
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
