//! Manual pages and completions: made, whole, and taken by the programs that read them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::sandbox::{BIN, Output, Sandbox};

/// What a program makes of it, or nothing where the program is not installed.
fn judge(program: &str, cwd: &Path, args: &[&str]) -> Option<Output> {
    let path = Path::new(BIN).parent().unwrap().to_str().unwrap().to_owned();
    let path = format!("{path}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    // A terminal of ASCII alone has no sign for `…`, which troff says.
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
                    // One that has subcommands has no options of its own.
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

#[cfg(unix)]
#[test]
fn they_are_installed_where_man_finds_them() {
    let sandbox = Sandbox::new();
    let home = sandbox.path("home");
    let system = std::env::var_os("PATH").unwrap();
    let installed = |bin: &Path| {
        fs::create_dir_all(bin).unwrap();
        std::os::unix::fs::symlink(BIN, bin.join("git-st-convert")).unwrap();
        let args = ["st-convert".as_ref(), "man".as_ref(), "--install".as_ref()];
        let mut command = sandbox.command("git".as_ref(), &sandbox.path(""), &args);
        let path = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&system));
        let path = std::env::join_paths(path).unwrap();
        let said = Output::from(command.env("PATH", &path).output().unwrap()).ok();
        let dir = said.trim_end().strip_prefix("installed 20 manual pages in ").unwrap().to_owned();
        let mut man = Command::new("man");
        man.args(["-w", "git-st-convert-hook-run"])
            .env("PATH", &path)
            .env("HOME", &home)
            .env_remove("MANPATH");
        if let Ok(output) = man.output() {
            let found = String::from_utf8(output.stdout).unwrap();
            assert_eq!(found.trim_end(), format!("{dir}/git-st-convert-hook-run.1"), "{:?}", output.stderr);
        }
        dir
    };
    let beside = installed(&home.join(".cargo/bin"));
    assert_eq!(beside, home.join(".cargo/share/man/man1").to_str().unwrap());
    // Without a prefix of its own the home directory has them.
    fs::remove_file(home.join(".cargo/bin/git-st-convert")).unwrap();
    fs::create_dir_all(home.join(".local/bin")).unwrap();
    let elsewhere = home.join(".cargo/tools");
    fs::create_dir_all(&elsewhere).unwrap();
    std::os::unix::fs::symlink(BIN, elsewhere.join("git-st-convert")).unwrap();
    let mut command = sandbox.command(
        "git".as_ref(),
        &home,
        &["st-convert".as_ref(), "man".as_ref(), "--install".as_ref()],
    );
    let path = std::iter::once(elsewhere).chain(std::env::split_paths(&system));
    let said = Output::from(command.env("PATH", std::env::join_paths(path).unwrap()).output().unwrap()).ok();
    assert!(said.contains(home.join(".local/share/man/man1").to_str().unwrap()), "{said}");
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
        // What git runs, and nobody else.
        assert!(
            !script.contains("'textconv:")
                && !script.contains(" -a \"textconv\"")
                && !script.contains("::new('textconv'"),
            "{shell}"
        );
        let file = format!("script.{shell}");
        fs::write(dir.join(&file), script).unwrap();
        // PowerShell has no switch that reads a script without running it.
        if let Some(output) = judge(shell, &dir, &["-n", &file]).filter(|_| shell != "powershell") {
            assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{shell}");
        }
    }
    let zsh = fs::read_to_string(dir.join("script.zsh")).unwrap();
    assert!(zsh.contains("'1: :{ _git-st-convert_commands; _files }'"), "paths and commands stand together");
    assert!(!zsh.contains("$line[2]"));
}

#[test]
fn bash_completes_both_spellings() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("");
    fs::write(dir.join("script"), sandbox.bin(&dir, &["completions", "bash"]).ok()).unwrap();
    for (words, expected) in [
        ("git st-convert ins", "inspect"),
        // What git runs, and nobody else.
        ("git st-convert textc", ""),
        ("git -C x st-convert inspect --su", "--summary"),
        ("git st-convert --color al", "always"),
        ("git-st-convert completions z", "zsh"),
        ("git-st-convert convert --repl", "--replace"),
        // A number or a name is no file.
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
