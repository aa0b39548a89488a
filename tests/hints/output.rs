//! Runs the hints about the output file, and about the steps after a conversion.

use super::situation::Situation;
use super::{Row, Then, check, row};

fn with(fixture: &str) -> Situation {
    Situation::new().with("pytorch_model.bin", fixture)
}

/// Creates a converted checkpoint without a record.
fn unrecorded() -> Situation {
    with("tied-2.bin").sh("git st-convert --commit && rm -rf .git/st-convert* && git commit -qm x --amend")
}

/// Creates a checkpoint with changes that a flag of the index hides from git.
fn hidden(flag: &str) -> Situation {
    let flagged = with("tied-2.bin").sh(&format!("git update-index {flag} pytorch_model.bin"));
    flagged.put("pytorch_model.bin", "tied-3.bin")
}

const WHERE_THE_FILE_WOULD_BE: &[Row] = &[
    row(
        "choose another output: `git st-convert pytorch_model.bin --output FILE`",
        || with("tied-2.bin").sh("mkdir model.safetensors"),
        "git st-convert pytorch_model.bin",
        Then::Does,
    )
    .with(&[("FILE", "x.safetensors")]),
    row(
        "overwrite it: `git st-convert --force pytorch_model.bin`",
        || with("tied-2.bin").write("model.safetensors", "not of it"),
        "git st-convert pytorch_model.bin",
        Then::Does,
    ),
    row(
        "overwrite it: `git st-convert --replace --force pytorch_model.bin`",
        || with("tied-2.bin").write("model.safetensors", "not of it"),
        "git st-convert --replace pytorch_model.bin",
        Then::Does,
    ),
    row(
        "choose another output: `git st-convert pytorch_model.bin --output FILE`",
        || with("tied-2.bin").write("x.safetensors", "not of it"),
        "git st-convert -o x.safetensors pytorch_model.bin",
        Then::Does,
    )
    .with(&[("FILE", "y.safetensors")]),
    row(
        "choose another output: `git st-convert d/a.bin --output FILE`",
        || Situation::outside().put("d/a.bin", "tied-2.bin").write("out/a.safetensors", "not of it"),
        "git st-convert d -o out",
        Then::Does,
    )
    .with(&[("FILE", "y.safetensors")]),
    row(
        "choose another output: `git st-convert model.bin --output FILE`",
        || with("tied-2.bin").put("model.bin", "tied-3.bin").sh("git add -A"),
        "git st-convert",
        Then::Does,
    )
    .with(&[("FILE", "x.safetensors")]),
    row(
        "convert it outside the repository: `git st-convert link.bin --output FILE`",
        || with("tied-2.bin").sh("ln -s pytorch_model.bin link.bin && git add -A"),
        "git st-convert verify link.bin",
        Then::Does,
    )
    .with(&[("FILE", "x.safetensors")]),
    row(
        "convert it outside the repository: `git st-convert pytorch_model.bin --output FILE`",
        || with("tied-2.bin").sh("ln -s /dev/null model.safetensors"),
        "git st-convert pytorch_model.bin",
        Then::Does,
    )
    .with(&[("FILE", "x.safetensors")]),
    row(
        "stage the changes: `git add pytorch_model.bin`",
        || with("tied-2.bin").put("pytorch_model.bin", "tied-3.bin"),
        "git st-convert --replace pytorch_model.bin",
        Then::Helps,
    ),
    row(
        "or stash them: `git stash push -- pytorch_model.bin`",
        || with("tied-2.bin").put("pytorch_model.bin", "tied-3.bin"),
        "git st-convert --replace pytorch_model.bin",
        Then::Helps,
    ),
    row(
        "let git see the changes: `git update-index --no-assume-unchanged pytorch_model.bin`",
        || hidden("--assume-unchanged"),
        "git st-convert pytorch_model.bin",
        Then::Does,
    ),
    row(
        "let git see the changes: `git update-index --no-skip-worktree pytorch_model.bin`",
        || hidden("--skip-worktree"),
        "git st-convert pytorch_model.bin",
        Then::Does,
    ),
    row(
        "let git see the changes: `git update-index --no-assume-unchanged pytorch_model.bin`",
        || {
            let converted = with("tied-2.bin").sh("git st-convert -q --commit");
            let flagged = converted.sh("git update-index --assume-unchanged pytorch_model.bin");
            flagged.put("pytorch_model.bin", "tied-3.bin").sh("git st-convert -q")
        },
        "git st-convert --replace",
        Then::Does,
    ),
];

#[test]
fn where_the_file_would_be() {
    check(WHERE_THE_FILE_WOULD_BE);
}

const WHAT_COMES_AFTER: &[Row] = &[
    row(
        "commit: `git commit -m \"convert weights to safetensors\"`",
        || with("tied-2.bin"),
        "git st-convert",
        Then::Does,
    ),
    row(
        "verify the existing file: `git st-convert verify pytorch_model.bin`",
        unrecorded,
        "git st-convert",
        Then::Tells("identical"),
    ),
    row(
        "convert it: `git st-convert pytorch_model.bin`",
        || Situation::new().put("pytorch_model.bin", "tied-2.bin"),
        "git st-convert",
        Then::Does,
    )
    .with(&[("FILE", "pytorch_model.bin")]),
    row(
        "install it: `git lfs install`",
        || with("tied-2.bin").sh("git config --local --remove-section filter.lfs"),
        "git st-convert",
        Then::Does,
    ),
    row(
        "stage them: `git add pytorch_model.bin`",
        || with("tied-2.bin").sh("git st-convert --commit").put("pytorch_model.bin", "tied-3.bin"),
        "git st-convert",
        Then::Does,
    ),
    row(
        "convert its arrays: `git st-convert a.pkl`",
        || Situation::new().with("a.pkl", "pickled-arrays-2.pkl"),
        "git st-convert",
        Then::Does,
    ),
    row(
        "list what it imports: `git st-convert scan a.pkl`",
        || {
            let cut = b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R";
            Situation::new().write("a.pkl", cut).sh("git add -A && git commit -qm pickle")
        },
        "git st-convert",
        Then::Tells("a.pkl"),
    ),
    row(
        "compare the values: `git st-convert diff --values`",
        || with("legacy-protocol-2.bin").put("pytorch_model.bin", "legacy-protocol-3.bin"),
        "git st-convert diff",
        Then::Tells("pytorch_model.bin"),
    ),
    row(
        "guard them: `git st-convert hook install`",
        || with("tied-2.bin"),
        "git st-convert status",
        Then::Does,
    ),
    row(
        "keep out of git: `git rm --cached optimizer.bin`",
        || Situation::new().with("optimizer.bin", "trainer-optimizer-key.pt"),
        "git st-convert status",
        Then::Does,
    ),
    row("convert: `git st-convert`", || with("tied-2.bin"), "git st-convert status", Then::Does),
    row(
        "convert: `git st-convert pytorch_model.bin`",
        || Situation::new().put("pytorch_model.bin", "tied-2.bin"),
        "git st-convert status",
        Then::Does,
    ),
    row(
        "overwrite: `git st-convert --force pytorch_model.bin`",
        || {
            with("tied-2.bin")
                .put("b.bin", "tied-3.bin")
                .sh("git st-convert b.bin -o model.safetensors && rm b.bin")
        },
        "git st-convert status",
        Then::Does,
    ),
    row(
        "list the differences: `git st-convert verify model.safetensors`",
        || {
            with("tied-2.bin")
                .put("b.bin", "tied-3.bin")
                .sh("git st-convert b.bin -o model.safetensors && rm b.bin")
        },
        "git st-convert status",
        Then::Tells("differs"),
    ),
    row(
        "install in an existing repository: `git -C DIR st-convert hook install`",
        || with("tied-2.bin"),
        "git st-convert hook install --global",
        Then::Does,
    )
    .with(&[("DIR", ".")]),
    row(
        "convert an untracked file: `git st-convert FILE`",
        || Situation::new().put("model.xyz", "tied-2.bin"),
        "git st-convert",
        Then::Does,
    )
    .with(&[("FILE", "model.xyz")]),
    row(
        "convert that: `git st-convert kept/b.bin`",
        || {
            Situation::new()
                .put("kept/b.bin", "tied-2.bin")
                .sh("ln -s kept/b.bin a.bin && git add a.bin && git commit -qm link")
        },
        "git st-convert a.bin",
        Then::Does,
    ),
];

#[test]
fn what_comes_after() {
    check(WHAT_COMES_AFTER);
}
