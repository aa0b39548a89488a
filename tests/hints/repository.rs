//! Runs the hints about the state of a repository.

use super::situation::Situation;
use super::{Row, Then, check, row};

fn inside() -> Situation {
    Situation::new().with("a.bin", "tied-2.bin")
}

/// Creates a checkpoint whose object is not local, with a remote.
fn missing() -> Situation {
    Situation::with_remote().with("a.bin", "tied-2.bin").sh(
        "rm -rf .git/lfs/objects a.bin && GIT_LFS_SKIP_SMUDGE=1 git checkout a.bin 2>/dev/null && git config lfs.transfer.maxretries 1",
    )
}

/// Creates a bare repository with a checkpoint and its safetensors file, in two commits.
fn bare() -> Situation {
    Situation::with_remote()
        .with("a.bin", "tied-2.bin")
        .sh("git st-convert -q && git commit -qm converted && git push -q origin main")
        .sh("git -C ../hub.git symbolic-ref HEAD refs/heads/main")
        .inside("../hub.git")
}

/// Creates a repository with a submodule.
fn submodule() -> Situation {
    Situation::with_remote()
        .with("a.bin", "tied-2.bin")
        .sh("git push -q --no-verify origin main && git init -q ../top && git -C ../top submodule -q add ../hub.git sub")
        .sh("git -C ../top commit -qm sub && cp -r .git/lfs ../top/.git/modules/sub/ && git -C ../top/sub lfs install --local >/dev/null")
        .inside("../top")
}

const THE_REPOSITORY_ITSELF: &[Row] = &[
    row(
        "if no other git process is running: `rm {}/.git/index.lock`",
        || inside().sh(": > .git/index.lock"),
        "git st-convert a.bin",
        Then::Helps,
    ),
    row(
        "convert one file outside the repository: `git st-convert a.bin --output FILE`",
        || inside().sh("git config core.repositoryFormatVersion 1 && git config extensions.unheard true"),
        "git-st-convert a.bin",
        Then::Said,
    ),
    row(
        "clear git's environment: `unset $(git rev-parse --local-env-vars)`",
        || inside().env("GIT_DIR", "/nowhere/at/all"),
        "git-st-convert a.bin",
        Then::Said,
    ),
    row(
        "list the remotes: `git remote -v`",
        || Situation::with_remote().with("a.bin", "tied-2.bin"),
        "git st-convert pull --remote up 3",
        Then::Tells("origin"),
    ),
    row(
        "set its URL: `git remote set-url origin URL`",
        || {
            Situation::with_remote()
                .with("a.bin", "tied-2.bin")
                .sh("git remote set-url origin /nowhere/m.git")
        },
        "git st-convert pull",
        Then::Helps,
    )
    .with(&[("URL", "../hub.git")]),
    row(
        "set its URL: `git remote set-url origin URL`",
        || missing().sh("git push -q --no-verify origin main; git remote set-url origin ../gone"),
        "git st-convert a.bin",
        Then::Does,
    )
    .with(&[("URL", "../hub.git")]),
    row(
        "show where it is set: `git config --show-origin --get-regexp 'lfs.*url'`",
        || missing().sh("git config lfs.url file:///nowhere/m.git"),
        "git st-convert a.bin",
        Then::Tells("/nowhere/m.git"),
    ),
    row(
        "scan a revision: `git st-convert scan --rev HEAD`",
        bare,
        "git st-convert scan",
        Then::Tells("a.bin"),
    ),
    row(
        "verify a revision: `git st-convert verify --rev HEAD`",
        bare,
        "git st-convert verify",
        Then::Tells("a.safetensors: identical"),
    ),
    row(
        "compare two revisions: `git st-convert diff OLD NEW`",
        bare,
        "git st-convert diff HEAD",
        Then::Tells("a.safetensors"),
    )
    .with(&[("OLD", "HEAD~1"), ("NEW", "HEAD")]),
    row("add a working tree: `git worktree add DIR`", bare, "git st-convert status", Then::Does)
        .with(&[("DIR", "../tree")]),
    row("add a remote: `git remote add origin URL`", inside, "git st-convert pull 3", Then::Does)
        .with(&[("URL", "../hub.git")]),
    row(
        "clone a model: `git st-convert clone OWNER/NAME`",
        || {
            Situation::outside().sh("git init -q && git init -q --bare ../x.git && git remote add origin \"file://$PWD/../x.git\"")
        },
        "git st-convert pull 3",
        Then::Said,
    ),
    row(
        "finish the merge first: `git status`",
        || {
            inside()
                .sh("git branch other")
                .with("a.bin", "tied-3.bin")
                .sh("git checkout -q other")
                .with("a.bin", "bool-odd-bytes.bin")
                .sh("git merge -q main >/dev/null || true")
        },
        "git st-convert",
        Then::Tells("both modified"),
    ),
    row(
        "show its attributes: `git check-attr -a -- model.safetensors`",
        || {
            inside().sh("echo '*.safetensors filter=other' >> .gitattributes && git mv a.bin pytorch_model.bin && git add -A && git commit -qm attributes")
        },
        "git st-convert",
        Then::Tells("filter: other"),
    ),
    row(
        "check the LFS storage: `git lfs fsck`",
        || {
            inside().sh("for object in .git/lfs/objects/*/*/*; do chmod u+w \"$object\"; printf x | dd of=\"$object\" bs=1 seek=400 conv=notrunc 2>/dev/null; done; rm a.bin; GIT_LFS_SKIP_SMUDGE=1 git checkout -q a.bin")
        },
        "git st-convert a.bin",
        Then::Tells("corruptObject"),
    ),
    row(
        "set the LFS server: `git config lfs.url URL`",
        || missing().sh("git config lfs.url gopher://nowhere"),
        "git st-convert a.bin",
        Then::Does,
    )
    .with(&[("URL", "http://127.0.0.1:1/x")]),
    row(
        "show the certificate file: `git config --get http.sslCAInfo`",
        || missing().sh("git config lfs.url https://127.0.0.1:1/x && git config http.sslCAInfo /nowhere.pem"),
        "git st-convert a.bin",
        Then::Tells("/nowhere.pem"),
    ),
    row(
        "show the certificate: `git config --get-regexp '^http.*ssl'`",
        || {
            missing().sh("git config lfs.url https://127.0.0.1:1/x && git config http.https://127.0.0.1:1/.sslCert /nowhere.pem")
        },
        "git st-convert a.bin",
        Then::Tells("/nowhere.pem"),
    ),
    row(
        "show the proxy: `git config --get http.proxy; env | grep -i proxy`",
        || missing().sh("git config lfs.url http://127.0.0.1:1/x && git config http.proxy '::bad::'"),
        "git st-convert a.bin",
        Then::Tells("::bad::"),
    ),
    row(
        "show where it is set: `git config --show-origin --get-all http.extraHeader`",
        || {
            missing()
                .sh("git config lfs.url http://127.0.0.1:1/x && git config http.extraHeader 'Bad Name: x'")
        },
        "git st-convert a.bin",
        Then::Tells("Bad Name"),
    ),
    row(
        "fetch it in that repository: `git lfs fetch --all`",
        || missing().sh("git push -q --no-verify origin main && rm -rf ../hub.git/lfs"),
        "git st-convert a.bin",
        Then::Said,
    ),
    row(
        "fetch it: `git cat-file -e {}`",
        || {
            Situation::with_remote()
                    .with("a.bin", "tied-2.bin")
                    .sh("printf '\\200\\002.' > old.pkl && git add . && git commit -qm old && git rm -q old.pkl && git commit -qm new")
                    .sh("git push -q origin main && git -C ../hub.git config uploadpack.allowFilter true")
                    .sh("git clone -q --filter=blob:none \"file://$PWD/../hub.git\" ../partial")
                    .inside("../partial")
        },
        "git st-convert inspect HEAD~1:old.pkl",
        Then::Does,
    ),
    row(
        "name that repository: `git -C sub st-convert a.bin`",
        submodule,
        "git st-convert sub/a.bin",
        Then::Does,
    ),
    row(
        "check it out: `git submodule update --init sub`",
        || submodule().sh("git -c protocol.file.allow=always submodule -q deinit sub"),
        "git st-convert sub/a.bin",
        Then::Does,
    ),
];

#[test]
fn the_repository_itself() {
    check(THE_REPOSITORY_ITSELF);
}
