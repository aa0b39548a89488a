//! `git st-convert completions <SHELL>`

use clap::CommandFactory as _;
use clap_complete::{Shell as Generator, generate};

use crate::cli::args::{Args, Completions, Shell};
use crate::cli::ui::Ui;

/// git's completion for bash calls `_git_st_convert` for `git st-convert …`; ours wants to see `git-st-convert …`.
/// (zsh calls `_git-st-convert`, and fish completes `git-st-convert …`, without more.)
const BASH: &str = r#"
_git_st_convert() {
    local at=0
    while [[ $at -lt ${#COMP_WORDS[@]} && ${COMP_WORDS[at]} != st-convert ]]; do
        at=$((at + 1))
    done
    local -a COMP_WORDS=(git-st-convert "${COMP_WORDS[@]:at+1}")
    local COMP_CWORD=$((COMP_CWORD - at))
    [[ $COMP_CWORD -gt 0 ]] || return
    _git-st-convert git-st-convert "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
}
"#;

/// Prints the completions.
pub(crate) fn run(args: &Completions, ui: &Ui) -> u8 {
    let mut out = Vec::new();
    let shell = match args.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    generate(shell, &mut Args::command(), "git-st-convert", &mut out);
    let mut text = String::from_utf8_lossy(&out).into_owned();
    if args.shell == Shell::Bash {
        text += BASH;
    }
    ui.data(&text);
    0
}
