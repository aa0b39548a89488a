//! Runs the hints about command lines.

use super::situation::Situation;
use super::{Row, Then, check, row};

fn outside() -> Situation {
    Situation::outside().put("a.bin", "tied-2.bin")
}

fn inside() -> Situation {
    Situation::new().with("a.bin", "tied-2.bin")
}

/// Creates a checkpoint that git itself stores.
fn plain(name: &str) -> Situation {
    Situation::new().sh("echo '*.safetensors filter=lfs -text' > .gitattributes").with(name, "tied-2.bin")
}

fn removed() -> Situation {
    plain("d/a.bin").sh("mkdir -p d && rm d/a.bin && : > d/b.txt")
}

const WHAT_IS_NO_FILE: &[Row] = &[
    row(
        "did you mean `git st-convert status`?",
        inside,
        "git st-convert statsu",
        Then::Advice("git st-convert status"),
    ),
    row("list the commands: `git st-convert -h`", inside, "git st-convert undo", Then::Tells("Commands")),
    row(
        "if this is a model on the Hub: `git st-convert clone acme/bert`",
        inside,
        "git st-convert acme/bert",
        Then::Said,
    ),
    row("list the tracked files: `git ls-files`", inside, "git st-convert d/e/b.bin", Then::Tells("a.bin")),
    row("restore it: `git restore d/a.bin`", removed, "git st-convert d/a.bin", Then::Helps),
    row("restore it: `git restore a.bin`", || removed().at("d"), "git st-convert inspect a.bin", Then::Helps),
    row(
        "check it out: `git update-index --no-skip-worktree d/a.bin && git restore d/a.bin`",
        || plain("d/a.bin").sh("git update-index --skip-worktree d/a.bin && rm d/a.bin"),
        "git st-convert d/a.bin",
        Then::Helps,
    ),
    row(
        "list the files of that revision: `git ls-tree -r --full-tree --name-only HEAD`",
        || plain("d/a.bin").at("d"),
        "git st-convert inspect HEAD:a.bin",
        Then::Tells("d/a.bin"),
    ),
    row(
        "convert reads files, not commits; inspect it: `git st-convert inspect HEAD:a.bin`",
        inside,
        "git st-convert HEAD:a.bin",
        Then::Tells("tensors"),
    ),
    row(
        "list the revisions: `git log --all --oneline`",
        inside,
        "git st-convert inspect nope:a.bin",
        Then::Tells("checkpoint"),
    ),
    row(
        "list the revisions: `git log --all --oneline`",
        inside,
        "git st-convert scan --rev nope",
        Then::Tells("checkpoint"),
    ),
    row(
        "list the revisions: `git log --all --oneline`",
        inside,
        "git st-convert verify --rev nope",
        Then::Tells("checkpoint"),
    ),
    row(
        "list the revisions: `git log --all --oneline`",
        inside,
        "git st-convert diff nope",
        Then::Tells("checkpoint"),
    ),
];

#[test]
fn what_is_no_file() {
    check(WHAT_IS_NO_FILE);
}

const WHAT_IS_NO_REPOSITORY: &[Row] = &[
    row("convert one file: `git st-convert FILE`", outside, "git st-convert", Then::Does)
        .with(&[("FILE", "a.bin")]),
    row("or try the demo: `git st-convert demo`", outside, "git st-convert", Then::Does),
    row(
        "name a file of a model on the Hub: `git st-convert inspect OWNER/NAME:PATH` (or `NAME@main:PATH`)",
        outside,
        "git st-convert inspect HEAD:a.bin",
        Then::Said,
    ),
    row("scan this directory: `git st-convert scan .`", outside, "git st-convert scan", Then::Tells("a.bin")),
    row(
        "verify one file: `git st-convert verify FILE`",
        || outside().sh("git st-convert a.bin"),
        "git st-convert verify",
        Then::Does,
    )
    .with(&[("FILE", "a.safetensors")]),
    row(
        "clone the model first: `git st-convert clone OWNER/NAME`",
        outside,
        "git st-convert pull 3",
        Then::Said,
    ),
    row(
        "clone the model first: `git st-convert clone OWNER/NAME`",
        outside,
        "git st-convert publish",
        Then::Said,
    ),
    row(
        "name the repository: `git -C DIR st-convert hook install`",
        || outside().sh("git init -q ../other"),
        "git st-convert hook install",
        Then::Does,
    )
    .with(&[("DIR", "../other")]),
    row(
        "name the repository: `git -C DIR st-convert status`",
        || outside().sh("git init -q ../other"),
        "git st-convert status",
        Then::Does,
    )
    .with(&[("DIR", "../other")]),
    row(
        "name the repository: `git -C DIR st-convert diff --install`",
        || {
            outside()
                .sh("git init -q ../other && git -C ../other lfs install --local --skip-smudge >/dev/null")
        },
        "git st-convert diff --install",
        Then::Does,
    )
    .with(&[("DIR", "../other")]),
    row(
        "name its repository: `git -C ../model st-convert a.bin`",
        || inside().sh("git init -q ../other").at("../other"),
        "git st-convert ../model/a.bin",
        Then::Does,
    ),
    row(
        "name its repository: `git -C ../model st-convert --key . 'sub/a b.bin'`",
        || {
            inside()
                .sh("mkdir sub && git mv a.bin 'sub/a b.bin' && git commit -qm sub && git init -q ../other")
                .at("../other")
        },
        "git st-convert --key . '../model/sub/a b.bin'",
        Then::Does,
    ),
    row(
        "name its repository: `git -C ../model st-convert verify a.safetensors`",
        || inside().sh("git st-convert && git init -q ../other").at("../other"),
        "git st-convert verify ../model/a.safetensors",
        Then::Does,
    ),
    row(
        "run it outside of this repository: `git -C ../model st-convert a.bin`",
        || outside().sh("git init -q ../other").at("../other"),
        "git st-convert ../model/a.bin",
        Then::Does,
    ),
    row("use a temporary directory: `git st-convert demo`", outside, "git st-convert demo .", Then::Does),
];

#[test]
fn what_is_no_repository() {
    check(WHAT_IS_NO_REPOSITORY);
}

const WHAT_IS_SET: &[Row] = &[
    row(
        "set a number from 1 to 8: `git config st-convert.jobs 4`",
        || inside().sh("git config st-convert.jobs all"),
        "git st-convert",
        Then::Helps,
    ),
    row(
        "set `true` or `false`: `git config st-convert.keepSource true`",
        || inside().sh("git config st-convert.keepSource maybe"),
        "git st-convert",
        Then::Helps,
    ),
    row(
        "set a size: `git config st-convert.maxOutput 20GB`",
        || inside().sh("git config st-convert.maxOutput much"),
        "git st-convert a.bin",
        Then::Helps,
    ),
    row(
        "set `auto`, `never` or a number: `git config st-convert.pr auto`",
        || Situation::with_remote().with("a.bin", "tied-2.bin").sh("git config st-convert.pr much"),
        "git st-convert",
        Then::Helps,
    ),
    row(
        "install git, or convert one file: `git st-convert a.bin --output FILE`",
        inside,
        "PATH=${PATH%%:*} git-st-convert --commit a.bin",
        Then::Said,
    ),
    row(
        "see where it is set: `git config --show-origin --get-all diff.lfs.textconv`",
        || {
            inside().sh("git lfs install --local --skip-smudge --force >/dev/null && git config diff.lfs.textconv cat")
        },
        "git st-convert diff --install",
        Then::Tells("cat"),
    ),
    row(
        "see where it is set: `git config --show-origin --get-all diff.lfs.cachetextconv`",
        || {
            inside().sh(
                    "git lfs install --local --skip-smudge --force >/dev/null && git config diff.lfs.cachetextconv true",
                )
        },
        "git st-convert diff --install",
        Then::Tells("true"),
    ),
    row(
        "list the tensors once: `GIT_LFS_SKIP_SMUDGE=1 git -c diff.lfs.textconv=\"git st-convert textconv\" log -p`",
        inside,
        "git st-convert diff --install",
        Then::Tells("tensor"),
    ),
    row(
        "keep the files of new checkouts pointers until `git lfs pull`: `git lfs install --local --skip-smudge`",
        inside,
        "git st-convert diff --install",
        Then::Does,
    ),
    // tests/cli/pages.rs checks that `man` then finds the pages.
    row(
        "let man find them, now or for good in your shell's profile: `export MANPATH={}:\"$MANPATH\"`",
        || Situation::outside().env("MANPATH", "/none"),
        "git st-convert man --install",
        Then::Does,
    ),
];

#[test]
fn what_is_set() {
    check(WHAT_IS_SET);
}
