#!/usr/bin/env python3
"""The extension of the `hf` command line, installed and run by huggingface_hub's own code.

The client would download the extension from a public repository; here, `.packaging/hf-st-convert` answers its requests, and pip
installs the archive of that directory and the wheel from a local directory. The client's own code does the rest: it creates the
environment, searches the script, runs it for `hf st-convert`, and removes it.

With: huggingface_hub 2 in this Python; setuptools from the package index.
How: python tests/packaging/extension.py --wheel FILE
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / ".packaging/hf-st-convert"
CHECKPOINT = ROOT / "src/actions/demo/pytorch_model.bin"


def answers(archive):
    """Answers the client's requests with files of the directory. A missing file raises an error, like status 404."""
    from huggingface_hub.cli import extensions

    def request(method, url, **_):
        if method == "HEAD" or url.endswith("/info/refs"):
            return types.SimpleNamespace(text="0" * 40 + " HEAD\x00")
        path = SOURCE / url.rsplit("/HEAD/", 1)[1]
        return types.SimpleNamespace(text=path.read_text(), content=path.read_bytes())

    run = subprocess.run

    def local(command, **options):
        return run([archive if str(word).endswith("/archive/HEAD.zip") else word for word in command], **options)

    extensions._github_request = request
    extensions.subprocess = types.SimpleNamespace(**{**vars(subprocess), "run": local})


def hf(*arguments, expect=0):
    """Runs the `hf` command line, checks its exit status and returns its output."""
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); import extension; extension.client()"
    command = [sys.executable, "-c", code, str(pathlib.Path(__file__).parent), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    assert done.returncode == expect, f"hf {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def client():
    """Runs `hf` in this process, with its network requests replaced by `answers`."""
    answers(os.environ["ST_CONVERT_ARCHIVE"])
    from huggingface_hub.cli.hf import main

    sys.argv[0] = "hf"
    main()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=pathlib.Path, required=True)
    wheel = parser.parse_args().wheel.resolve()
    with tempfile.TemporaryDirectory(prefix="st-convert-hf-") as name:
        place = pathlib.Path(name)
        (place / "index").mkdir()
        shutil.copy(wheel, place / "index")
        archive = shutil.make_archive(str(place / "HEAD"), "zip", SOURCE)
        links = f"{os.environ.get('PIP_FIND_LINKS', '')} {place / 'index'}".strip()
        os.environ.update(HOME=name, HF_HUB_DISABLE_UPDATE_CHECK="1", PIP_FIND_LINKS=links, ST_CONVERT_ARCHIVE=archive)
        print(hf("extensions", "install", "a-person/hf-st-convert").strip().splitlines()[-1])
        assert "st-convert" in hf("extensions", "list")
        assert hf("st-convert", "-V").startswith("git-st-convert ")
        assert "wte.weight" in hf("st-convert", "inspect", str(CHECKPOINT))
        hf("st-convert", "-o", str(place / "out.safetensors"), str(CHECKPOINT))
        assert (place / "out.safetensors").stat().st_size > 0
        hf("st-convert", "scan", str(CHECKPOINT), expect=1)
        hf("st-convert", "--no-such-option", expect=2)
        hf("extensions", "remove", "st-convert")
        assert not (place / ".local/share/hf/extensions/hf-st-convert").exists()
    print("the extension is as it should be")


if __name__ == "__main__":
    main()
