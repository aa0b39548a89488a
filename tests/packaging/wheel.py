#!/usr/bin/env python3
"""Build the wheel as `pip install .` does, and test it as a user would, in an otherwise empty environment.

Makes: files in a temporary directory; cargo writes to `target/`. `--wheel FILE` tests an existing wheel, `--stand-in PROGRAM` a
wheel of the debug program, without the checks of a release's size and portability.
With: git, cargo, a C compiler; from the package index maturin, ziglang and pre-commit. Without ziglang, the wheel is
only for systems like this one, which is reported. man, bash, zsh and fish are used if they are installed.
How: python tests/packaging/wheel.py [--wheel FILE | --stand-in PROGRAM] [--keep DIR]
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zipfile

import stand_in

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MB = 1_000_000
# The pickle must be new: content that `HEAD` of the demo contains is not rejected under another name.
PICKLE = b'cos\nsystem\n(S"true"\ntR.'
LARGEST_WHEEL, LARGEST_PROGRAM = 6 * MB, 12 * MB
NEWEST_GLIBC = (2, 28)
# The libraries that `manylinux_2_28` permits.
LIBRARIES = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def say(text):
    print(text, flush=True)


def run(command, expect=0, **options):
    """Runs a program and returns its output; an unexpected exit status ends the tests."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, **options)
    assert done.returncode == expect, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def environment(place, directory):
    """Returns the environment variables of a user who activated the environment `directory`, with a new home."""
    home = place / "home"
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = A Person\n\temail = a@example.com\n[init]\n\tdefaultBranch = main\n")
    kept = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_")) or name.endswith(("_proxy", "_PROXY"))}
    path = f"{directory / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return {**kept, "HOME": str(home), "PATH": path, "VIRTUAL_ENV": str(directory), "LC_ALL": "C.UTF-8", "MANWIDTH": "100"}


def has_zig(place):
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", place / "zig", "ziglang"]
    return subprocess.run([str(word) for word in pip], check=False).returncode == 0


def build(place):
    options = []
    if has_zig(place):
        options = ["--config-settings", "build-args=--zig --compatibility manylinux_2_28"]
    else:
        say("left out: ziglang cannot be had here, so the wheel is for this system alone")
    began = time.monotonic()
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", *options, "--wheel-dir", place / "out", ROOT])
    say(f"built in {time.monotonic() - began:.0f} s")
    (wheel,) = (place / "out").glob("*.whl")
    assert not options or re.search(r"-py3-none-manylinux_2_(\d+)_", wheel.name), wheel.name
    return wheel


def check_file(wheel, place):
    """Checks that the wheel contains all pages and completions; unpacks the program and returns its path."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (name,) = (name for name in names if name.endswith(".data/scripts/git-st-convert"))
        program = pathlib.Path(archive.extract(name, place))
    program.chmod(0o755)
    share = {name.split(".data/data/share/", 1)[1] for name in names if ".data/data/share/" in name}
    pages = {f"man/man1/{page}" for page in run([program, "man", place / "pages"]).replace(f"{place}/pages/", "").split()}
    assert len(pages) > 15 and pages <= share, pages - share
    assert share == pages | set(stand_in.pages.COMPLETIONS.values()), share ^ pages
    return program


def check_release(wheel, program):
    """Checks the sizes of the wheel and of the program, and the libraries that the program needs."""
    assert wheel.stat().st_size <= LARGEST_WHEEL, f"the wheel has {wheel.stat().st_size} bytes"
    assert program.stat().st_size <= LARGEST_PROGRAM, f"the program has {program.stat().st_size} bytes"
    say(f"{wheel.name}: {wheel.stat().st_size / MB:.1f} MB, the program {program.stat().st_size / MB:.1f} MB")
    if shutil.which("readelf"):
        assert ".symtab" not in run(["readelf", "--sections", "--wide", program]), "not stripped"
        needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", run(["readelf", "--dynamic", "--wide", program])))
        assert needed <= LIBRARIES, needed - LIBRARIES
        found = re.findall(r"GLIBC_(\d+)\.(\d+)", run(["readelf", "--version-info", "--wide", program]))
        newest = max(tuple(map(int, version)) for version in found)
        say("linked with " + " ".join(sorted(needed)) + ", symbols up to glibc %d.%d" % newest)
        assert "manylinux" not in wheel.name or newest <= NEWEST_GLIBC, newest
    else:
        say("left out: readelf is not here")


def fastest(command, env):
    def once():
        began = time.perf_counter()
        run(command, env=env)
        return time.perf_counter() - began

    return min(once() for _ in range(20))


def install(wheel, place, is_release):
    directory = place / "venv"
    venv.create(directory, with_pip=True)
    env = environment(place, directory)
    before = files(directory)
    began = time.monotonic()
    run([directory / "bin/python", "-m", "pip", "install", "--no-index", wheel], env=env)
    took = time.monotonic() - began
    assert took < 10 or not is_release, f"installed in {took:.1f} s"
    say(f"installed in {took:.1f} s")
    return directory, env, before


def check_use(env, place, is_release):
    """Tests the version (in at most three times git's time), the demo, the help, and a hook that rejects a commit."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert version in run(["git", "st-convert", "-V"], env=env)
    ours, git = fastest(["git-st-convert", "-V"], env), fastest(["git", "--version"], env)
    say(f"-V in {ours * 1000:.1f} ms, git --version in {git * 1000:.1f} ms")
    assert ours <= 3 * git or not is_release
    run(["git", "st-convert", "demo", "demo"], env=env, cwd=place)
    assert (place / "demo/model.safetensors").exists()
    run(["git", "st-convert", "hook", "install"], env=env, cwd=place / "demo")
    (place / "demo/more.pkl").write_bytes(PICKLE)
    run(["git", "add", "more.pkl"], env=env, cwd=place / "demo")
    refused = run(["git", "commit", "-m", "more"], expect=1, env=env, cwd=place / "demo")
    assert "error: more.pkl: " in refused, refused
    if shutil.which("man"):
        page = run(["man", "git-st-convert"], env=env)
        assert page.startswith("GIT-ST-CONVERT(1)"), page[:200]
        assert run(["git", "st-convert", "--help"], env=env) == page
        assert "GIT-ST-CONVERT-HOOK-INSTALL(1)" in run(["man", "git-st-convert-hook-install"], env=env)
    else:
        say("left out: man is not here")


def check_completions(directory):
    for shell, name in stand_in.pages.COMPLETIONS.items():
        if shutil.which(shell):
            run([shell, "-n", directory / "share" / name])
        else:
            say(f"left out: {shell} is not here")


def hooks_repository(place, env):
    """Creates a repository with the files that pre-commit needs to install the wheel, without the sources, so that a build fails."""
    hooks = place / "hooks"
    hooks.mkdir()
    for name in ["pyproject.toml", "Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE", ".pre-commit-hooks.yaml"]:
        shutil.copy(ROOT / name, hooks)
    shutil.copytree(ROOT / ".packaging", hooks / ".packaging", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "hooks"]):
        run(["git", *command], env=env, cwd=hooks)
    return hooks, run(["git", "rev-parse", "HEAD"], env=env, cwd=hooks).strip()


def check_pre_commit(wheel, place):
    """Tests the hook that installs the published wheel, with pre-commit itself and a directory as package index."""
    tools = pathlib.Path(sys.prefix)
    env = environment(place, tools)
    if not (tools / "bin/pre-commit").exists():
        tools = place / "tools"
        venv.create(tools, with_pip=True)
        env = environment(place, tools)
        pip = [tools / "bin/python", "-m", "pip", "install", "--quiet", "pre-commit==4.7.0"]
        if subprocess.run(pip, env=env, check=False).returncode != 0:
            say("left out: pre-commit cannot be had here")
            return
    index = place / "index"
    run([tools / "bin/python", "-m", "pip", "download", "--no-deps", "--dest", index, "pip"], env=env)
    shutil.copy(wheel, index)
    hooks, revision = hooks_repository(place, env)
    env |= {"PIP_FIND_LINKS": str(index), "PIP_NO_INDEX": "1", "PRE_COMMIT_HOME": str(place / "pre-commit")}
    repository = place / "repository"
    run(["git", "init", "-q", repository], env=env)
    config = f"repos:\n- repo: {hooks}\n  rev: {revision}\n  hooks:\n  - id: no-pickle-weights-wheel\n"
    (repository / ".pre-commit-config.yaml").write_text(config)
    began = time.monotonic()
    run(["pre-commit", "install", "--install-hooks"], env=env, cwd=repository)
    say(f"pre-commit installed the hook in {time.monotonic() - began:.1f} s")
    run(["git", "add", "."], env=env, cwd=repository)
    run(["git", "commit", "-m", "configuration"], env=env, cwd=repository)
    shutil.copy(place / "demo/pytorch_model.bin", repository / "weights.dat")
    run(["git", "add", "."], env=env, cwd=repository)
    refused = run(["git", "commit", "-m", "weights"], expect=1, env=env, cwd=repository)
    assert "weights.dat: pickle checkpoint" in refused, refused


def files(directory):
    """Returns the files of an environment, without Python's compiled caches."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if "__pycache__" not in path.parts and path.is_file()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--wheel", type=pathlib.Path, help="try this one instead of building one")
    given.add_argument("--stand-in", type=pathlib.Path, help="make one around this program instead")
    parser.add_argument("--keep", type=pathlib.Path, help="leave the wheel in this directory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="st-convert-wheel-") as name:
        place = pathlib.Path(name)
        if arguments.stand_in:
            wheel = stand_in.make(arguments.stand_in, place / "out")
        else:
            wheel = arguments.wheel.resolve() if arguments.wheel else build(place)
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(wheel, arguments.keep)
        program = check_file(wheel, place)
        if not arguments.stand_in:
            check_release(wheel, program)
        directory, env, before = install(wheel, place, not arguments.stand_in)
        check_use(env, place, not arguments.stand_in)
        check_completions(directory)
        check_pre_commit(wheel, place)
        run([directory / "bin/python", "-m", "pip", "uninstall", "--yes", "git-st-convert"], env=env)
        assert files(directory) == before, files(directory) ^ before
        assert not shutil.which("git-st-convert", path=env["PATH"].split(":")[0])
    say("the wheel is as it should be")


if __name__ == "__main__":
    main()
