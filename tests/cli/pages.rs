//! Tests manual pages and completions with the programs that read them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::sandbox::{BIN, Output, Sandbox};

/// Runs a program on the files; `None` if it is not installed.
fn judge(program: &str, cwd: &Path, args: &[&str]) -> Option<Output> {
    let path = Path::new(BIN).parent().unwrap().to_str().unwrap().to_owned();
    let path = format!("{path}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    // ASCII has no character for `…`, about which troff would warn.
    command.args(args).current_dir(cwd).env("PATH", path).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8");
    command.output().ok().map(Output::from)
}

#[test]
fn a_page_for_each_command() {
    let sandbox = Sandbox::new();
    let listed = sandbox.bin(&sandbox.path(""), &["man", "pages/man1"]).ok();
    let dir = sandbox.path("pages/man1");
    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "git-st-convert-batch.1",
            "git-st-convert-clone.1",
            "git-st-convert-completions.1",
            "git-st-convert-convert.1",
            "git-st-convert-demo.1",
            "git-st-convert-diff.1",
            "git-st-convert-env.1",
            "git-st-convert-hook-install.1",
            "git-st-convert-hook-run.1",
            "git-st-convert-hook-status.1",
            "git-st-convert-hook-uninstall.1",
            "git-st-convert-hook.1",
            "git-st-convert-inspect.1",
            "git-st-convert-man.1",
            "git-st-convert-publish.1",
            "git-st-convert-pull.1",
            "git-st-convert-scan.1",
            "git-st-convert-status.1",
            "git-st-convert-verify.1",
            "git-st-convert.1"
        ]
    );
    assert_eq!(listed.lines().count(), names.len());
    let main = sandbox.bin(&sandbox.path(""), &["man"]).ok();
    assert_eq!(main, fs::read_to_string(dir.join("git-st-convert.1")).unwrap());
    for section in ["ENVIRONMENT", "CONFIGURATION"] {
        assert!(main.contains(&format!(".SH {section}\n")), "{section}");
    }
    for name in names {
        let page = fs::read_to_string(dir.join(&name)).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"] {
            assert!(
                page.contains(&format!(".SH {section}"))
                    || page.contains(&format!(".SH \"{section}\""))
                    // A command with subcommands has no options of its own.
                    || section == "OPTIONS" && page.contains(".SH \"COMMON OPTIONS\""),
                "{name}: {section}"
            );
        }
        if let Some(output) = judge("man", &dir, &["--warnings", "-l", &name]) {
            assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{name}");
            assert!(output.stdout.contains("git st-convert"), "{name}: {}", output.stdout);
        }
    }
}

/// The installation of a user. `HOME` in the values stands for the home directory.
struct Place {
    /// The directory of the program, which is first on PATH.
    program: &'static str,
    /// The rest of PATH.
    path: &'static str,
    environment: &'static [(&'static str, &'static str)],
    /// The content of `.manpath`.
    configuration: &'static str,
    /// The chosen directory.
    chosen: &'static str,
    is_found: bool,
}

const BESIDE: Place = Place {
    program: "HOME/.cargo/bin",
    path: "",
    environment: &[],
    configuration: "",
    chosen: "HOME/.cargo/share/man/man1",
    is_found: true,
};
const ELSEWHERE: Place =
    Place { program: "HOME/tools", chosen: "HOME/.local/share/man/man1", is_found: false, ..BESIDE };

const PLACES: &[Place] = &[
    BESIDE,
    Place { configuration: "MANPATH_MAP HOME/.cargo/bin HOME/x", is_found: false, ..BESIDE },
    Place { environment: &[("MANPATH", "/usr/share/man")], is_found: false, ..BESIDE },
    Place { environment: &[("MANPATH", "")], ..BESIDE },
    Place { environment: &[("MANPATH", "/usr/share/man:")], ..BESIDE },
    Place { environment: &[("MANPATH", ":/usr/share/man")], ..BESIDE },
    Place { environment: &[("MANPATH", "/usr/share/man::/none")], ..BESIDE },
    // `man` uses the text of PATH as it is.
    Place { program: "HOME/.cargo/bin/", is_found: false, ..BESIDE },
    // A directory that `man` searches is preferred.
    Place {
        program: "HOME/.cargo/bin/",
        path: ":HOME/.local/bin",
        chosen: "HOME/.local/share/man/man1",
        ..BESIDE
    },
    ELSEWHERE,
    Place { path: ":HOME/.local/bin", is_found: true, ..ELSEWHERE },
    Place { path: ":HOME/none/../.local/bin", ..ELSEWHERE },
    Place { configuration: "MANDATORY_MANPATH\tHOME/.local/share/man", is_found: true, ..ELSEWHERE },
    Place { environment: &[("MANPATH", "/usr/share/man")], path: ":HOME/.local/bin", ..ELSEWHERE },
    Place { environment: &[("MANPATH", "HOME/.local/share/man")], is_found: true, ..ELSEWHERE },
];

#[cfg(unix)]
#[test]
fn man_finds_what_is_installed_or_the_hint_helps() {
    if judge("man", Path::new("/"), &["-w", "man"]).is_none_or(|output| output.code != Some(0)) {
        return;
    }
    for (number, place) in PLACES.iter().enumerate() {
        // A shell would split this name; the configuration of man-db cannot contain it.
        let name = if place.configuration.is_empty() { "the user's home" } else { "home" };
        let sandbox = Sandbox::new();
        let home = sandbox.path(name);
        let of = |text: &str| text.replace("HOME", home.to_str().unwrap());
        let program = of(place.program);
        fs::create_dir_all(&program).unwrap();
        std::os::unix::fs::symlink(BIN, Path::new(&program).join("git-st-convert")).unwrap();
        fs::write(home.join(".manpath"), of(place.configuration)).unwrap();
        let shell = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).current_dir(&home).env_clear().env("HOME", &home);
            shell.env("PATH", format!("{program}{}:/usr/local/bin:/usr/bin:/bin", of(place.path)));
            shell.envs(place.environment.iter().map(|(key, value)| (key, of(value))));
            Output::from(shell.output().unwrap())
        };
        let output = shell("git-st-convert man --install");
        let case = format!("{number}: {output:?}");
        assert_eq!(output.stdout, format!("installed 20 manual pages in {}\n", of(place.chosen)), "{case}");
        let page = format!("{}/git-st-convert-hook-run.1", of(place.chosen));
        let found = shell("man -w git-st-convert-hook-run");
        assert_eq!(found.stdout.trim_end() == page, place.is_found, "{case} {found:?}");
        assert_eq!(output.stderr.is_empty(), place.is_found, "{case}");
        if !place.is_found {
            let (_, command) = output.stderr.split_once(": `").expect("a hint");
            let command = command.trim_end().trim_end_matches('`');
            let pasted = shell(&format!("{command}; man -w git-st-convert-hook-run; man -w ls >&2"));
            assert_eq!(pasted.stdout.trim_end(), page, "{case} {pasted:?}");
            // The pages of the system are still found, if it has any.
            assert_eq!(pasted.stderr, shell("man -w ls >&2").stderr, "{case}");
        }
    }
}

#[test]
fn the_options_of_help_and_page_are_the_same() {
    let sandbox = Sandbox::new();
    let help = sandbox.bin(&sandbox.path(""), &["-h"]).ok();
    let page = sandbox.bin(&sandbox.path(""), &["man"]).ok().replace('\\', "");
    let options = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    for option in options {
        let option = option.trim_matches(|char: char| !char.is_ascii_alphanumeric() && char != '-');
        assert!(page.contains(option), "{option}");
    }
}

#[test]
fn shells_take_the_completions() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = sandbox.bin(&dir, &["completions", shell]).ok();
        assert!(script.contains("inspect"), "{shell}");
        // A command that only git runs is not completed.
        assert!(
            !script.contains("'textconv:")
                && !script.contains(" -a \"textconv\"")
                && !script.contains("::new('textconv'"),
            "{shell}"
        );
        let file = format!("script.{shell}");
        fs::write(dir.join(&file), script).unwrap();
        // PowerShell cannot read a script without running it.
        if let Some(output) = judge(shell, &dir, &["-n", &file]).filter(|_| shell != "powershell") {
            assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{shell}");
        }
    }
    let zsh = fs::read_to_string(dir.join("script.zsh")).unwrap();
    assert!(zsh.contains("'1: :{ _git-st-convert_commands; _files }'"), "paths and commands stand together");
    assert!(!zsh.contains("$line[2]"));
}

/// The commands in the order of the help.
const COMMANDS: &str =
    "convert status clone pull verify publish batch inspect diff scan hook demo env man completions";

#[test]
fn bash_completes_both_spellings() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("");
    fs::write(dir.join("script"), sandbox.bin(&dir, &["completions", "bash"]).ok()).unwrap();
    for (words, expected) in [
        ("git st-convert ins", "inspect"),
        // A command that only git runs is not completed.
        ("git st-convert textc", ""),
        // For a word without a dash only commands are offered, or files where no command can follow.
        ("git st-convert ''", COMMANDS),
        ("git-st-convert ''", COMMANDS),
        ("git-st-convert hook ''", "install uninstall status run"),
        ("git-st-convert inspect ''", ""),
        ("git-st-convert inspect --json ''", ""),
        ("git-st-convert completions ''", "bash zsh fish powershell"),
        ("git -C x st-convert inspect --su", "--summary"),
        ("git st-convert --color al", "always"),
        ("git-st-convert completions z", "zsh"),
        ("git-st-convert convert --repl", "--replace"),
        // A number or a name is not completed as a file.
        ("git-st-convert convert --pr scr", "scr"),
        ("git-st-convert verify --rev scr", "scr"),
        ("git-st-convert convert --keep scr", "scr"),
    ] {
        let function = if words.starts_with("git ") {
            "_git_st_convert"
        } else {
            "_git__st__convert git-st-convert \"${w[-1]}\" \"${w[-2]}\""
        };
        let script = format!(
            "source ./script; w=({words}); COMP_WORDS=(\"${{w[@]}}\"); COMP_CWORD=$((${{#w[@]}} - 1)); \
             {function}; echo \"${{COMPREPLY[@]}}\""
        );
        let Some(output) = judge("bash", &dir, &["-c", &script]) else { return };
        assert_eq!(output.stdout.trim(), expected, "{words}: {}", output.stderr);
    }
}

#[test]
fn fish_completes_commands_and_no_files_for_numbers_and_names() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("files");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("script"), sandbox.bin(&dir, &["completions", "fish"]).ok()).unwrap();
    fs::write(dir.join("afile"), "").unwrap();
    let mut commands: Vec<_> = COMMANDS.split(' ').collect();
    commands.sort_unstable();
    for (line, expected, has_files) in [
        ("git-st-convert ", &commands[..], true),
        ("git-st-convert inspect ", &[], true),
        ("git-st-convert -o ", &[], true),
        ("git-st-convert --pr ", &[], false),
        ("git-st-convert --keep ", &[], false),
        ("git-st-convert --key ", &[], false),
        ("git-st-convert -q --keep a --keep ", &[], false),
        ("git-st-convert verify --rev ", &[], false),
        ("git-st-convert -C / verify --pr ", &[], false),
        ("git-st-convert --color ", &["always", "auto", "never"], false),
        ("git-st-convert completions ", &["bash", "zsh", "fish", "powershell"], false),
    ] {
        let script = format!("source script; complete -C '{line}'");
        let Some(output) = judge("fish", &dir, &["-c", &script]) else { return };
        let words = output.stdout.lines().map(|line| line.split('\t').next().unwrap());
        let (files, words): (Vec<_>, Vec<_>) = words.partition(|word| ["afile", "script"].contains(word));
        assert_eq!(words, expected, "{line}: {output:?}");
        assert_eq!(!files.is_empty(), has_files, "{line}: {output:?}");
    }
}

#[test]
fn powershell_lists_commands_before_options() {
    let sandbox = Sandbox::new();
    let script = sandbox.bin(&sandbox.path(""), &["completions", "powershell"]).ok();
    let order = "Sort-Object -Property @{ Expression = 'ResultType'; Descending = $true }, ListItemText";
    assert!(script.contains(order), "ParameterValue is a larger number than ParameterName");
}
