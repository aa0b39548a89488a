//! [`Error`] states why an action failed.

mod kind;
mod unfit;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use bstr::BString;
pub use kind::Kind;
pub(crate) use kind::causes_of;
use kind::{missing, more_of};
pub use unfit::{UnfitDriver, UnfitHooks};

use super::publish::PublishError;
use crate::hash::Oid;
use crate::{checkpoint, git, lfs, recipe, remote, repo, safetensors};

/// Why an action failed, for one file or as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint could not be planned or is damaged.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The checkpoint is refused because of its content.
    #[error(transparent)]
    Recipe(recipe::Error),
    /// The safetensors file could not be laid out, written or read.
    #[error(transparent)]
    Safetensors(safetensors::Error),
    /// The shard index could not be read.
    #[error(transparent)]
    Shard(#[from] safetensors::shard::Error),
    /// An error of the repository.
    #[error(transparent)]
    Repo(repo::Error),
    /// An error of LFS storage.
    #[error(transparent)]
    Store(#[from] lfs::store::Error),
    /// A disk has too little space.
    #[error(transparent)]
    NoSpace(#[from] lfs::space::NoSpace),
    /// An error of the working tree.
    #[error(transparent)]
    Place(#[from] lfs::worktree_file::Error),
    /// An error of git.
    #[error(transparent)]
    Git(git::Error),
    /// An error of a server, without those of git's requests.
    #[error(transparent)]
    Remote(remote::Error),
    /// A file could not be opened, read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `open`, `read`, `write`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A dry run of a checkpoint whose server sends only whole files.
    #[error("cannot read only the header: the server does not support range requests")]
    NoRanges,
    /// The bytes do not match the pointer.
    #[error("content does not match the pointer: sha256 {got}, expected {expected}")]
    PointerMismatch {
        /// The object ID in the pointer.
        expected: Oid,
        /// The object ID of the bytes.
        got: Oid,
    },
    /// The object of the pointer is not local.
    #[error("the LFS object is not downloaded")]
    NoObject {
        /// Its object ID.
        oid: Oid,
        /// Its size in bytes.
        size: u64,
    },
    /// The source changed while it was read.
    #[error("the file changed while it was read")]
    SourceChanged,
    /// The file of the working tree differs from the index: it is not a source, and is not removed.
    #[error("the file has unstaged changes")]
    Modified,
    /// The same, and a flag of the index hides the changes from git.
    #[error("the file has changes that git ignores ({flag})")]
    Hidden {
        /// The flag.
        flag: &'static str,
    },
    /// The checkpoint has the name of its own safetensors file.
    #[error("input and output are the same file")]
    OutputIsSource,
    /// An option needs a repository.
    #[error("{option} requires a git repository")]
    NeedsRepository {
        /// The option.
        option: &'static str,
    },
    /// Two shards of a sharded checkpoint contain one tensor.
    #[error("tensor {name} is in two shards: {first} and {second}")]
    TwoShards {
        /// The tensor.
        name: String,
        /// The first shard.
        first: BString,
        /// The other shard.
        second: BString,
    },
    /// The path is a symbolic link, which is never followed.
    #[error("refusing to follow a symbolic link")]
    Symlink,
    /// The file does not exist.
    #[error("file not found")]
    NotFound,
    /// A file exists at the path of the safetensors file.
    #[error("cannot write {output}: file exists")]
    OutputExists {
        /// The path.
        output: BString,
    },
    /// The existing safetensors file has other tensors, or was made from another checkpoint.
    #[error("cannot write {output}: file exists")]
    OutputDiffers {
        /// The path.
        output: BString,
        /// The differences.
        #[source]
        differences: super::output_state::Differences,
    },
    /// A directory, a device or a pipe has the path of the safetensors file.
    #[error("cannot write {output}: not a regular file")]
    OutputNotFile {
        /// The path.
        output: BString,
    },
    /// A symbolic link has the path of the safetensors file.
    #[error("cannot write {output}: symbolic link")]
    OutputSymlink {
        /// The path.
        output: BString,
    },
    /// `lfs.extension.*` transforms every object, which this program does not do.
    #[error("LFS extensions (lfs.extension.*) are not supported")]
    Extensions,
    /// Two sources have the same output.
    #[error("cannot write {output}: {other} converts to the same name")]
    OutputCollision {
        /// The path.
        output: BString,
        /// The other source.
        other: BString,
    },
    /// A shard was not converted, so the sharded checkpoint stays as it is.
    #[error("not converted: {shard} of the same checkpoint cannot be converted")]
    IncompleteSet {
        /// The shard.
        shard: BString,
    },
    /// Shards that the shard index names are not available.
    #[error("cannot read {}", missing(shards))]
    MissingShards {
        /// Each of them, with its error.
        shards: Vec<(BString, Self)>,
    },
    /// A shard index names a tensor that its shard does not contain.
    #[error("shard index does not match: {shard} does not contain {name}{}", more_of(*more))]
    NotInShard {
        /// The shard.
        shard: BString,
        /// The tensor.
        name: String,
        /// How many more there are.
        more: usize,
    },
    /// A shard index names a tensor that another shard contains.
    #[error("shard index does not match: {name} is in {other}, not {shard}{}", more_of(*more))]
    InOtherShard {
        /// The shard that it names.
        shard: BString,
        /// The tensor.
        name: String,
        /// The shard that contains it.
        other: BString,
        /// How many more there are.
        more: usize,
    },
    /// A shard index names a tensor that no shard contains.
    #[error("shard index does not match: no shard contains {name}{}", more_of(*more))]
    InNoShard {
        /// The tensor.
        name: String,
        /// How many more there are.
        more: usize,
    },
    /// `--output` was given without a path to convert.
    #[error("--output requires a PATH")]
    OutputWithoutPath,
    /// Two plain files have the same output; nothing was written.
    #[error("cannot write {output}: {other} and {source_name} convert to the same name")]
    SameOutput {
        /// The path.
        output: BString,
        /// The first source.
        other: BString,
        /// The second source.
        source_name: BString,
    },
    /// The directory is not in a repository.
    #[error("not a git repository")]
    NoRepository,
    /// git's own diff is not set up.
    #[error("cannot set up `git diff`: {0}")]
    Driver(UnfitDriver),
    /// Hooks cannot be installed.
    #[error(transparent)]
    Hooks(#[from] UnfitHooks),
    /// The user's home directory is not known.
    #[error("neither HOME nor XDG_CONFIG_HOME is set")]
    NoHome,
    /// A line of the exceptions file is invalid.
    #[error("{file}:{line}: {source}")]
    Allow {
        /// The file.
        file: String,
        /// The number of the line, from 1.
        line: usize,
        /// The fault.
        source: super::guard::Broken,
    },
    /// The exceptions file exists in git and is not local.
    #[error("{file} is not downloaded in this clone")]
    AllowMissing {
        /// The file.
        file: String,
    },
    /// A hook did not receive the arguments of git.
    #[error("invalid input for {hook}: {line}")]
    HookInput {
        /// Its name.
        hook: &'static str,
        /// The line.
        line: String,
    },
    /// The directory for a new repository is not empty.
    #[error("destination {} exists and is not empty", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory for a clone is not empty.
    #[error("destination {} exists and is not empty", dir.display())]
    CloneInTheWay {
        /// The directory.
        dir: PathBuf,
    },
    /// The model's name does not determine the directory of its clone.
    #[error("cannot derive a directory name from {}", model.display())]
    NeedsDirectory {
        /// The model.
        model: OsString,
    },
    /// A server is needed, and the program is offline.
    #[error("cannot {what} while offline")]
    Offline {
        /// The action: a verb.
        what: &'static str,
    },
    /// The branch, tag, commit or reference does not exist.
    #[error("revision `{revision}` not found")]
    NoSuchRevision {
        /// The revision.
        revision: String,
        /// The URL of the remote, without its login; `None` for this repository.
        remote: Option<OsString>,
    },
    /// The cloned repository has no commit: it is empty, or not a repository.
    #[error("{} is empty or not a model repository", url.display())]
    EmptyRepository {
        /// Its URL.
        url: OsString,
    },
    /// The server does not send the files, in any way.
    #[error("the server did not send all files")]
    FilesWithheld,
    /// An option about the conversion conflicts with taking a pull request.
    #[error("{option} cannot be combined with `--pr N`")]
    NotWithPullRequest {
        /// The option.
        option: &'static str,
    },
    /// A setting has an invalid value.
    #[error("invalid value `{value}` for {key}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Its value.
        value: BString,
    },
    /// The repository has no remote.
    #[error("no remote configured")]
    NoRemote,
    /// The repository has no commit yet.
    #[error("no commits yet")]
    NoCommits,
    /// The remote has no pull request with this number.
    #[error("pull request {number} not found")]
    NoSuchPullRequest {
        /// Its number.
        number: u64,
    },
    /// A pull request adds no safetensors file.
    #[error("pull request {number} adds no safetensors files")]
    WithoutSafetensors {
        /// Its number.
        number: u64,
    },
    /// A pull request changes other files, and the user did not confirm it.
    #[error("pull request {number} also changes {count} other file{}", if *count == 1 { "" } else { "s" })]
    OtherPaths {
        /// Its number.
        number: u64,
        /// The number of the other files.
        count: usize,
    },
    /// A local file would be lost.
    #[error("local changes to {path} would be overwritten")]
    InTheWay {
        /// The file.
        path: BString,
    },
    /// A file of a pull request is not a safetensors file.
    #[error("the pull request's {path} is not a valid safetensors file")]
    NotSafetensors {
        /// The file.
        path: BString,
        /// The reason.
        source: safetensors::Error,
    },
    /// No checkpoint matches the name of a safetensors file.
    #[error("no checkpoint to compare with: none beside it, in the record or in the history")]
    NoCheckpoint,
    /// No safetensors files were found to verify.
    #[error("nothing to verify: no safetensors files{}", .0.as_ref().map_or_else(String::new, |rev| format!(" in {rev}")))]
    NothingToVerify(Option<String>),
    /// Several checkpoints match the name of this safetensors file.
    #[error("ambiguous checkpoint: {first} or {second}{}", if *more > 0 { ", …" } else { "" })]
    SeveralCheckpoints {
        /// The first one.
        first: BString,
        /// The second one.
        second: BString,
        /// How many more there are.
        more: usize,
    },
    /// Files of a pull request are not verified, so it is not taken.
    #[error("pull request {number} not taken: {count} file{} not verified", if *count == 1 { "" } else { "s" })]
    NotProven {
        /// Its number.
        number: u64,
        /// The number of the files.
        count: usize,
        /// `true` if all of them could not be read.
        is_failure: bool,
    },
    /// Another run writes this journal.
    #[error("another batch is using the journal {}", journal.display())]
    BatchRunning {
        /// The journal.
        journal: PathBuf,
    },
    /// The file given as the journal of a batch is another file.
    #[error("{}:{line}: not a batch journal", path.display())]
    NoJournal {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
    /// Two models of a list have the same directory.
    #[error("cannot clone into {}: {other} uses the same directory", dir.display())]
    SamePlace {
        /// The directory.
        dir: PathBuf,
        /// The other model.
        other: String,
    },
    /// The files, the token or the remote do not allow publishing.
    #[error(transparent)]
    Unpublished(#[from] PublishError),
    /// The user interrupted the program.
    #[error("interrupted")]
    Interrupted,
}
