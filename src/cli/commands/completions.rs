//! Runs `git st-convert completions <SHELL>`.

use clap::CommandFactory as _;
use clap_complete::{Shell as Generator, generate};

use crate::cli::args::{Args, Completions, Shell};
use crate::cli::ui::Ui;

/// git's completion for bash calls `_git_st_convert` for `git st-convert …`; ours expects `git-st-convert …`. zsh's
/// completion calls `_git-st-convert`, and newer versions of fish complete `git-st-convert …`, without changes.
const BASH: &str = r#"
_git_st_convert() {
    local at=0
    while [[ $at -lt ${#COMP_WORDS[@]} && ${COMP_WORDS[at]} != st-convert ]]; do
        at=$((at + 1))
    done
    local -a COMP_WORDS=(git-st-convert "${COMP_WORDS[@]:at+1}")
    local COMP_CWORD=$((COMP_CWORD - at))
    [[ $COMP_CWORD -gt 0 ]] || return
    _git__st__convert git-st-convert "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
}
"#;

/// Prints the completions.
pub(crate) fn run(args: &Completions, ui: &Ui) -> u8 {
    let mut out = Vec::new();
    let shell = match args.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
        Shell::Power => Generator::PowerShell,
    };
    generate(shell, &mut Args::command(), "git-st-convert", &mut out);
    let mut text = without_hidden(&String::from_utf8_lossy(&out));
    match args.shell {
        // The generator spells the names of the subcommands' cases in two ways if the name of the program has a dash.
        Shell::Bash => {
            text = bash(&text).replace("git__subcmd__st__subcmd__convert", "git__st__convert") + BASH;
        }
        Shell::Zsh => text = zsh(&text),
        Shell::Fish => text = fish(&text),
        Shell::Power => text = power(&text),
    }
    ui.data(&text);
    0
}

/// Removes the hidden options, which the generator includes.
fn without_hidden(generated: &str) -> String {
    let command = Args::command();
    let hidden: Vec<_> =
        command.get_subcommands().filter(|known| known.is_hide_set()).map(clap::Command::get_name).collect();
    let is_offered = |line: &&str| {
        let offers = |name: &&str| {
            line.starts_with(&format!("'{name}:"))
                || line.contains(&format!(" -a \"{name}\""))
                || line.contains(&format!("::new('{name}'"))
        };
        !hidden.iter().any(offers)
    };
    let shown = |line: &str| {
        let Some((before, words)) = line.split_once("opts=\"") else { return line.to_owned() };
        let words = words.trim_end_matches('"').split(' ').filter(|word| !hidden.contains(word));
        format!("{before}opts=\"{}\"", words.collect::<Vec<_>>().join(" "))
    };
    generated.lines().filter(is_offered).map(|line| shown(line) + "\n").collect()
}

/// Corrects the script for bash: the generated one offers options for a word without a letter, before the commands and
/// in place of files.
fn bash(generated: &str) -> String {
    let line = |line: &str| {
        let Some((indent, words)) = line.split_once("opts=\"").filter(|(_, words)| words.len() > 1) else {
            return format!("{line}\n");
        };
        let is_value = |word: &&str| !word.starts_with(['-', '[', '<']);
        let values: Vec<_> = words.trim_end_matches('"').split(' ').filter(is_value).collect();
        format!("{line}\n{indent}[[ ${{cur}} == -* ]] || opts=\"{}\"\n", values.join(" "))
    };
    generated.lines().map(line).collect()
}

/// Corrects the script for fish: the generated one does not find the command in a line that ends with an option without
/// its value, and so offers files there.
fn fish(generated: &str) -> String {
    let parse = "    argparse -s (__fish_git_st_convert_global_optspecs) -- $cmd 2>/dev/null\n";
    let again = format!("{parse}    or begin\n        set -e cmd[-1]\n    {parse}    end\n");
    let mut text = generated.replace(parse, &again);
    // The generated script does not offer the values of positional arguments either.
    for command in Args::command().get_subcommands() {
        let arguments = command.get_positionals().flat_map(clap::Arg::get_possible_values);
        let values: Vec<_> = arguments.map(|value| value.get_name().to_owned()).collect();
        if !values.is_empty() {
            let (command, values) = (command.get_name(), values.join(" "));
            let when = format!("__fish_git_st_convert_using_subcommand {command}");
            text.extend(["complete -c git-st-convert -n \"", &when, "\" -f -k -a \"", &values, "\"\n"]);
        }
    }
    text
}

/// Corrects the script for PowerShell: the generated one sorts by the text, so that commands and options are mixed.
fn power(generated: &str) -> String {
    let order = "Sort-Object -Property @{ Expression = 'ResultType'; Descending = $true }, ListItemText";
    generated.replace("Sort-Object -Property ListItemText", order)
}

/// Corrects the script for zsh: the first positional argument is a subcommand or a path, but the generated script
/// treats it as a path, and the second one as the subcommand.
fn zsh(generated: &str) -> String {
    let mut out = String::with_capacity(generated.len());
    let mut lines = generated.lines().peekable();
    while let Some(line) = lines.next() {
        let is_first = lines.peek().is_some_and(|next| next.starts_with("\":: :_git-st-convert_commands\""));
        if is_first && line.starts_with("'::paths") {
            continue;
        }
        let line = match line.trim_end() {
            "\":: :_git-st-convert_commands\" \\" => {
                "'1: :{ _git-st-convert_commands; _files }' \\".to_owned()
            }
            "        esac" => "            (*)\n_files\n;;\n        esac".to_owned(),
            line => line.replace("$line[2]", "$line[1]"),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}
