//! [`Error`]: why an action did not do its work.

mod kind;
mod unfit;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use bstr::BString;
pub use kind::Kind;
pub(crate) use kind::causes_of;
use kind::{missing, more_of};
pub use unfit::UnfitDriver;

use super::publish::PublishError;
use crate::hash::Oid;
use crate::{checkpoint, git, lfs, recipe, remote, repo, safetensors};

/// Why an action did not do its work, for one file or as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint was not planned or not proven.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The checkpoint is refused for what it holds.
    #[error(transparent)]
    Recipe(recipe::Error),
    /// The safetensors file was not laid out, written or read.
    #[error(transparent)]
    Safetensors(#[from] safetensors::Error),
    /// The shard index was not read.
    #[error(transparent)]
    Shard(#[from] safetensors::shard::Error),
    /// The repository.
    #[error(transparent)]
    Repo(repo::Error),
    /// The LFS store.
    #[error(transparent)]
    Store(#[from] lfs::store::Error),
    /// There is too little space on a disk.
    #[error(transparent)]
    NoSpace(#[from] lfs::space::NoSpace),
    /// The work tree.
    #[error(transparent)]
    Place(#[from] lfs::worktree_file::Error),
    /// git.
    #[error(transparent)]
    Git(git::Error),
    /// A server, but for what git asks of it.
    #[error(transparent)]
    Remote(remote::Error),
    /// A file could not be opened, read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `open`, `read`, `write`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A dry run of a checkpoint whose server gives whole files alone.
    #[error("cannot read only the header: the server does not support range requests")]
    NoRanges,
    /// The bytes are not those that the pointer names.
    #[error("content does not match the pointer: sha256 {got}, expected {expected}")]
    PointerMismatch {
        /// What the pointer says.
        expected: Oid,
        /// What the bytes give.
        got: Oid,
    },
    /// The object behind the pointer is not here.
    #[error("the LFS object is not downloaded")]
    NoObject {
        /// The oid.
        oid: Oid,
        /// Its size in bytes.
        size: u64,
    },
    /// The source changed while it was read.
    #[error("the file changed while it was read")]
    SourceChanged,
    /// The file of the work tree is not what the index says: it is no source, and nothing to remove.
    #[error("the file has unstaged changes")]
    Modified,
    /// The checkpoint has the name that its safetensors file would have.
    #[error("input and output are the same file")]
    OutputIsSource,
    /// An option that needs a repository.
    #[error("{option} requires a git repository")]
    NeedsRepository {
        /// The option.
        option: &'static str,
    },
    /// Two shards of a set hold one tensor.
    #[error("tensor {name} is in two shards: {first} and {second}")]
    TwoShards {
        /// The tensor.
        name: String,
        /// The shard that comes first.
        first: BString,
        /// The other shard.
        second: BString,
    },
    /// The path is a symbolic link, which is never followed.
    #[error("refusing to follow a symbolic link")]
    Symlink,
    /// No such file.
    #[error("file not found")]
    NotFound,
    /// Something stands where the safetensors file goes.
    #[error("cannot write {output}: file exists")]
    OutputExists {
        /// The path.
        output: BString,
    },
    /// What stands where the safetensors file goes has other tensors, or was made from another checkpoint.
    #[error("cannot write {output}: file exists")]
    OutputDiffers {
        /// The path.
        output: BString,
        /// What differs.
        #[source]
        differences: super::output_state::Differences,
    },
    /// A directory, a device or a pipe stands where the safetensors file goes.
    #[error("cannot write {output}: not a regular file")]
    OutputNotFile {
        /// The path.
        output: BString,
    },
    /// A symbolic link stands where the safetensors file goes.
    #[error("cannot write {output}: symbolic link")]
    OutputSymlink {
        /// The path.
        output: BString,
    },
    /// `lfs.extension.*` changes every object on its way, which is not done here.
    #[error("LFS extensions (lfs.extension.*) are not supported")]
    Extensions,
    /// Two sources would be written to one file.
    #[error("cannot write {output}: {other} converts to the same name")]
    OutputCollision {
        /// The path.
        output: BString,
        /// The other source.
        other: BString,
    },
    /// A shard of the set was not converted, so that the set is left as it is.
    #[error("not converted: {shard} of the same checkpoint cannot be converted")]
    IncompleteSet {
        /// The shard.
        shard: BString,
    },
    /// Shards that the index names cannot be had.
    #[error("cannot read {}", missing(shards))]
    MissingShards {
        /// Each of them, and why.
        shards: Vec<(BString, Self)>,
    },
    /// A shard index names a tensor that its shard does not hold.
    #[error("shard index does not match: {shard} does not contain {name}{}", more_of(*more))]
    NotInShard {
        /// The shard.
        shard: BString,
        /// The tensor.
        name: String,
        /// How many more there are.
        more: usize,
    },
    /// A shard index names a tensor that another shard holds.
    #[error("shard index does not match: {name} is in {other}, not {shard}{}", more_of(*more))]
    InOtherShard {
        /// The shard that it names.
        shard: BString,
        /// The tensor.
        name: String,
        /// The shard that holds it.
        other: BString,
        /// How many more there are.
        more: usize,
    },
    /// A shard index names a tensor that no shard holds.
    #[error("shard index does not match: no shard contains {name}{}", more_of(*more))]
    InNoShard {
        /// The tensor.
        name: String,
        /// How many more there are.
        more: usize,
    },
    /// `--output`, and nothing to convert.
    #[error("--output requires a PATH")]
    OutputWithoutPath,
    /// Two plain files would be written to one; nothing was written.
    #[error("cannot write {output}: {other} and {source_name} convert to the same name")]
    SameOutput {
        /// The path.
        output: BString,
        /// The source that comes first.
        other: BString,
        /// The other one.
        source_name: BString,
    },
    /// This is no repository.
    #[error("not a git repository")]
    NoRepository,
    /// git's own diff is not set up.
    #[error("cannot set up `git diff`: {0}")]
    Driver(UnfitDriver),
    /// Another program writes the hooks of the repository.
    #[error("hooks are managed by {}; nothing installed", tool.name())]
    HooksOf {
        /// Which.
        tool: super::guard::install::Tool,
    },
    /// A hook that has to be kept cannot be.
    #[error("cannot install {}: not a regular file", path.display())]
    HookInTheWay {
        /// The name that it would get.
        path: PathBuf,
    },
    /// There is no directory for a person's files.
    #[error("neither HOME nor XDG_CONFIG_HOME is set")]
    NoHome,
    /// A line of the file of exceptions is none.
    #[error("{file}:{line}: {source}")]
    Allow {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        source: super::guard::Broken,
    },
    /// The file of exceptions is known and not here.
    #[error("{file} is not downloaded in this clone")]
    AllowMissing {
        /// The file.
        file: String,
    },
    /// A hook was not told what git tells it.
    #[error("invalid input for {hook}: {line}")]
    HookInput {
        /// Its name.
        hook: &'static str,
        /// The line.
        line: String,
    },
    /// The directory for a new repository holds something.
    #[error("destination {} exists and is not empty", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// Something is where a clone goes.
    #[error("destination {} exists and is not empty", dir.display())]
    CloneInTheWay {
        /// The directory.
        dir: PathBuf,
    },
    /// The model's name does not say where its clone goes.
    #[error("cannot derive a directory name from {}", model.display())]
    NeedsDirectory {
        /// The model.
        model: OsString,
    },
    /// `--offline`: nothing is asked of a server.
    #[error("cannot {what} while offline")]
    Offline {
        /// A verb.
        what: &'static str,
    },
    /// There is no such branch, tag, commit or reference.
    #[error("revision `{revision}` not found")]
    NoSuchRevision {
        /// What was asked for.
        revision: String,
        /// The URL of the remote that was asked, without its login; `None`: this repository.
        remote: Option<OsString>,
    },
    /// What was cloned has no commit: an empty repository, or a page that is none at all.
    #[error("{} is empty or not a model repository", url.display())]
    EmptyRepository {
        /// Where it is.
        url: OsString,
    },
    /// The server keeps files back, whichever way they are asked for.
    #[error("the server did not send all files")]
    FilesWithheld,
    /// A pull request is taken, and an option says how to convert.
    #[error("{option} cannot be combined with `--pr N`")]
    NotWithPullRequest {
        /// The option.
        option: &'static str,
    },
    /// A setting that cannot be meant.
    #[error("invalid value `{value}` for {key}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Its value.
        value: BString,
    },
    /// The repository has no remote to ask.
    #[error("no remote configured")]
    NoRemote,
    /// There is no commit yet that something could follow.
    #[error("no commits yet")]
    NoCommits,
    /// The remote has no such pull request.
    #[error("pull request {number} not found")]
    NoSuchPullRequest {
        /// Its number.
        number: u64,
    },
    /// A pull request brings no safetensors file.
    #[error("pull request {number} adds no safetensors files")]
    WithoutSafetensors {
        /// Its number.
        number: u64,
    },
    /// A pull request changes more than safetensors, and nobody said that this is wanted.
    #[error("pull request {number} also changes {count} other file{}", if *count == 1 { "" } else { "s" })]
    OtherPaths {
        /// Its number.
        number: u64,
        /// How many.
        count: usize,
    },
    /// A file here would be lost.
    #[error("local changes to {path} would be overwritten")]
    InTheWay {
        /// The file.
        path: BString,
    },
    /// A file of a pull request is not what its name says.
    #[error("the pull request's {path} is not a valid safetensors file")]
    NotSafetensors {
        /// The file.
        path: BString,
        /// Why.
        source: safetensors::Error,
    },
    /// No checkpoint has the name that a safetensors file is made from.
    #[error("no checkpoint to compare with: none beside it, in the record or in the history")]
    NoCheckpoint,
    /// There is no safetensors file where they were looked for.
    #[error("nothing to verify: no safetensors file in {}", .0.as_deref().unwrap_or("the index"))]
    NothingToVerify(Option<String>),
    /// Several checkpoints would become this safetensors file.
    #[error("ambiguous checkpoint: {first} or {second}{}", if *more > 0 { ", …" } else { "" })]
    SeveralCheckpoints {
        /// One.
        first: BString,
        /// Another.
        second: BString,
        /// How many more there are.
        more: usize,
    },
    /// Files of a pull request are not proven, so that it is not taken.
    #[error("pull request {number} not taken: {count} file{} not verified", if *count == 1 { "" } else { "s" })]
    NotProven {
        /// Its number.
        number: u64,
        /// How many.
        count: usize,
        /// `true` if all that is not verified could not be read.
        is_failure: bool,
    },
    /// Another run writes this journal.
    #[error("another batch is using the journal {}", journal.display())]
    BatchRunning {
        /// The journal.
        journal: PathBuf,
    },
    /// What is to be the journal of a batch is something else.
    #[error("{}:{line}: not a batch journal", path.display())]
    NoJournal {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Two models of a list would be cloned into one directory.
    #[error("cannot clone into {}: {other} uses the same directory", dir.display())]
    SamePlace {
        /// The directory.
        dir: PathBuf,
        /// The other model.
        other: String,
    },
    /// Publishing: the files, the token or the remote are not as they have to be.
    #[error(transparent)]
    Unpublished(#[from] PublishError),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}
