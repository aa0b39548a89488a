//! Runs the hints about servers, and about clones, pull requests and publications.

use super::situation::Situation;
use super::{Row, Then, check, row};
use crate::clone::{ID, noise};
use crate::formats::fixtures;
use crate::hub::{Builder, Fault, Hub, Place, Right};

fn checkpoint() -> Vec<u8> {
    std::fs::read(fixtures().join("checkpoints/bert-tied.bin")).unwrap()
}

/// Returns a checkpoint with three pull requests: 2 also changes a text, 3 adds a safetensors file, 4 adds none.
fn model() -> Builder {
    let mut model = Builder::new();
    model.file("config.json", "{}\n").lfs("pytorch_model.bin", checkpoint()).commit("first").tag("v1");
    model.file("README.md", "# bert\n").commit("card");
    let weights = safetensors();
    model
        .pull_request(2)
        .lfs("model.safetensors", weights.clone())
        .file("README.md", "# theirs\n")
        .commit("both");
    model.on("main");
    model
        .pull_request(3)
        .lfs("model.safetensors", weights)
        .commit("Adding `safetensors` variant of this model");
    model.on("main");
    model.pull_request(4).file("README.md", "# card\n").commit("card");
    model.on("main");
    model
}

/// Returns a safetensors file with one tensor.
fn safetensors() -> Vec<u8> {
    let mut header = r#"{"w":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#.to_owned();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &noise(1, 3)].concat()
}

/// Creates a home directory, and the model on the hub.
fn home() -> Situation {
    let hub = Hub::start();
    hub.add_model(ID, &model());
    hub.add_token("hf_writer", "writer", Right::Write);
    hub.add_token("hf_reader", "reader", Right::Read);
    Situation::of(hub)
}

/// Creates a clone of it.
fn cloned() -> Situation {
    home().sh("git st-convert clone acme/bert --no-convert").inside("bert")
}

/// Creates a converted clone of it, of a user with write access.
fn converted() -> Situation {
    cloned().env("HF_TOKEN", "hf_writer").sh("git st-convert --pr never --commit")
}

/// Creates the converted clone of a hub that has another checkpoint by now.
fn moved_on() -> Situation {
    let situation = converted();
    let mut more = Builder::more();
    more.lfs("pytorch_model.bin", std::fs::read(fixtures().join("checkpoints/tied-2.bin")).unwrap());
    more.commit("better weights");
    situation.hub.as_ref().unwrap().add_model(ID, &more);
    situation
}

const CLONE_AND_BATCH: &[Row] = &[
    row(
        "choose a directory: `git st-convert clone --no-convert acme/bert DIR`",
        || home().sh("mkdir bert && touch bert/there"),
        "git st-convert clone --no-convert acme/bert",
        Then::Does,
    )
    .with(&[("DIR", "other")]),
    row(
        "choose a directory: `git st-convert clone --revision v1 --no-convert acme/bert DIR`",
        || home().sh("touch bert"),
        "git st-convert clone --no-convert --revision v1 acme/bert",
        Then::Does,
    )
    .with(&[("DIR", "other")]),
    row(
        "list the revisions: `git ls-remote {}/acme/bert` (a commit needs its full ID)",
        home,
        "git st-convert clone acme/bert --revision nope",
        Then::Tells("refs/tags/v1"),
    ),
    row(
        "list the revisions: `git ls-remote {}/acme/bert` (a commit needs its full ID)",
        home,
        "git st-convert inspect acme/bert@nope:pytorch_model.bin",
        Then::Tells("refs/tags/v1"),
    ),
    row(
        "go online: drop `--offline` and unset HF_HUB_OFFLINE",
        home,
        "git st-convert clone --offline acme/bert",
        Then::Advice("git st-convert clone acme/bert"),
    ),
    row(
        "convert one model: `git st-convert clone acme/bert`",
        home,
        "git st-convert batch acme/bert",
        Then::Does,
    ),
    row(
        "write the list first: `git st-convert batch --top 3 -n > models.txt`",
        home,
        "git st-convert batch --top 3 --dir out --shard 0/2",
        Then::Tells(""),
    ),
];

#[test]
fn clone_and_batch() {
    check(CLONE_AND_BATCH);
}

const PULL_AND_VERIFY: &[Row] = &[
    row(
        "list the pull requests that add safetensors files: `git st-convert pull`",
        cloned,
        "git st-convert pull 9",
        Then::Tells("2"),
    ),
    row(
        "list the pull requests that add safetensors files: `git st-convert pull`",
        cloned,
        "git st-convert pull 4",
        Then::Tells("2"),
    ),
    row(
        "review them: `git fetch origin refs/pr/2 && git diff ...FETCH_HEAD`",
        cloned,
        "git st-convert pull 2",
        Then::Tells("# theirs"),
    ),
    row("then accept them: `git st-convert pull 2 --yes`", cloned, "git st-convert pull 2", Then::Does),
    row(
        "stash them: `git stash --include-untracked`",
        || cloned().write("model.safetensors", "mine"),
        "git st-convert pull 3",
        Then::Helps,
    ),
    row(
        "or commit them: `git commit`",
        || cloned().write("model.safetensors", "mine").sh("git add -A"),
        "git st-convert pull 3",
        Then::Said,
    ),
    row(
        "stage only the safetensors files: `git st-convert pull --yes 2`",
        || cloned().write("README.md", "# mine\n").sh("git commit -qam mine"),
        "git st-convert pull 2 --merge --yes",
        Then::Does,
    ),
    row(
        "list the differences: `git st-convert verify --pr 3`",
        cloned,
        "git st-convert pull 3 --verify",
        Then::Tells("differs"),
    ),
    row(
        "convert instead: `git st-convert --pr never --replace`",
        cloned,
        "git st-convert --pr 3 --replace",
        Then::Does,
    ),
    row("take one: `git st-convert pull 3`", cloned, "git st-convert pull", Then::Does),
    row(
        "commit: `git commit -m \"add safetensors\"`",
        || cloned().write("note.txt", "mine\n").sh("git add -A && git commit -qm mine"),
        "git st-convert pull 3",
        Then::Does,
    ),
    row(
        "verify a commit that contains the checkpoint: `git st-convert verify --rev REV`",
        || {
            Situation::new()
                .put("b.bin", "tied-2.bin")
                .sh("git st-convert b.bin -o a.safetensors && rm b.bin")
                .sh("git add -A && git commit -qm weights && git checkout -q -b other")
                .with("a.bin", "tied-2.bin")
                .sh("git checkout -q main")
        },
        "git st-convert verify --rev HEAD",
        Then::Does,
    )
    .with(&[("REV", "other")]),
    row(
        "choose the checkpoint: `git st-convert verify a.bin`",
        || Situation::new().with("a.bin", "tied-2.bin").sh("git st-convert && cp a.bin a.pt"),
        "git st-convert verify a.safetensors",
        Then::Does,
    ),
    row(
        "choose the checkpoint: `git st-convert verify --rev HEAD a.bin`",
        || {
            Situation::new()
                .with("a.bin", "tied-2.bin")
                .sh("git st-convert && cp a.bin a.pt && git add -A && git commit -qm two")
        },
        "git st-convert verify --rev HEAD",
        Then::Does,
    ),
    row(
        "ask that one: `git st-convert pull --remote up`",
        || {
            cloned().sh("git remote rename origin up && git init -q --bare ../fork.git").sh(
                "git remote add origin \"file://$PWD/../fork.git\" && git push -q -u --no-verify origin main",
            )
        },
        "git st-convert pull",
        Then::Tells("PR"),
    ),
    row(
        "fetch the history: `git fetch --unshallow origin`",
        || {
            let situation = home();
            let mut more = Builder::more();
            more.file("README.md", "# bert, better\n")
                .commit("words")
                .file("README.md", "# bert, best\n")
                .commit("more");
            situation.hub.as_ref().unwrap().add_model(ID, &more);
            situation.sh("git clone -q --depth 1 $HF_ENDPOINT/acme/bert").inside("bert")
        },
        "git st-convert pull 3",
        Then::Does,
    ),
];

#[test]
fn pull_and_verify() {
    check(PULL_AND_VERIFY);
}

const PUBLISH: &[Row] = &[
    row(
        "or push a branch: `git st-convert publish --branch NAME`",
        || converted().env("HF_TOKEN", ""),
        "git st-convert publish",
        Then::Said,
    ),
    row(
        "sign in with a token that has write access: `hf auth login` (or set HF_TOKEN)",
        || converted().env("HF_TOKEN", ""),
        "git st-convert publish",
        Then::Advice("HF_TOKEN=hf_writer git st-convert publish"),
    ),
    row(
        "set HF_TOKEN to a token with write access",
        || converted().env("HF_TOKEN", "hf_reader"),
        "git st-convert publish",
        Then::Advice("HF_TOKEN=hf_writer git st-convert publish"),
    ),
    row(
        "push the checkpoint first: `git push`",
        || {
            converted()
                .sh("git config credential.helper '!f() { echo username=u; echo password=hf_writer; }; f'")
                .put("pytorch_model.bin", "tied-2.bin")
                .sh("git commit -q --no-verify -am trained && git st-convert --pr never --commit")
        },
        "git st-convert publish",
        Then::Helps,
    ),
    row(
        "update and convert again: `git pull && git st-convert --force`",
        moved_on,
        "git st-convert publish",
        Then::Said,
    ),
    row(
        "convert what is not converted yet: `git st-convert`",
        || cloned().env("HF_TOKEN", "hf_writer"),
        "git st-convert publish",
        Then::Does,
    ),
    row(
        "push a branch instead: `git st-convert publish --branch NAME`",
        || {
            let situation = converted();
            situation.hub.as_ref().unwrap().close_discussions(ID, true);
            situation
        },
        "git st-convert publish",
        Then::Does,
    )
    .with(&[("NAME", "weights")]),
    row(
        "push another branch: `git st-convert publish --branch NAME`",
        || {
            converted()
                .sh(
                    "git checkout -q -b weights HEAD~1 && id=$(echo another | git hash-object -w --stdin) && \
                         git update-index --cacheinfo 100644,$id,pytorch_model.bin && git commit -qm another",
                )
                .sh("git -c credential.helper='!f() { echo username=u; echo password=hf_writer; }; f' \
                         push -q --no-verify origin weights 2>/dev/null && git checkout -q -f main")
        },
        "git st-convert publish --branch weights",
        Then::Does,
    )
    .with(&[("NAME", "other")]),
    row(
        "convert it again: `git lfs fsck; git st-convert --force`",
        || {
            converted()
                    .sh("object=$(find .git/lfs/objects -name $(sha256sum < model.safetensors | cut -c1-64)); chmod u+w $object; \
                         printf x | dd of=$object bs=1 seek=400 conv=notrunc 2>/dev/null")
        },
        "git st-convert publish",
        Then::Helps,
    ),
    row(
        "merge it: `git fetch origin refs/heads/weights && git merge FETCH_HEAD`",
        converted,
        "git st-convert publish --branch weights",
        Then::Does,
    ),
    row(
        "open another one: `git st-convert publish --force`",
        || converted().sh("git st-convert publish"),
        "git st-convert publish",
        Then::Does,
    ),
    row(
        "find the running publish: `pgrep -a git-st-convert`",
        || converted().sh("mkdir -p .git/st-convert"),
        "flock .git/st-convert/publish.lock git st-convert publish",
        Then::Said,
    ),
    row(
        "set HF_TOKEN to a token with write access, or open a pull request: `git st-convert publish`",
        || {
            let situation = converted().env("HF_TOKEN", "hf_helper");
            situation.hub.as_ref().unwrap().add_token("hf_helper", "helper", Right::Contribute);
            situation
        },
        "git st-convert publish --branch weights",
        Then::Does,
    ),
    row(
        "look it up: `git remote set-head origin --auto`",
        || converted().sh("git remote set-head origin --delete"),
        "git st-convert publish --offline --dry-run",
        Then::Helps,
    ),
    row(
        "push the first branch: `git push -u origin HEAD`",
        || Situation::with_remote().with("a.bin", "tied-2.bin").sh("git st-convert --commit"),
        "git st-convert publish --branch weights",
        Then::Helps,
    ),
    row(
        "resume, without a second pull request: `git st-convert publish`",
        || {
            let situation = converted();
            let upload = Place::path("/upload/acme/bert");
            situation.hub.as_ref().unwrap().inject(Fault::Status(403).at(upload).times(2));
            situation
        },
        "git st-convert publish",
        Then::Does,
    ),
];

#[test]
fn publish() {
    check(PUBLISH);
}
