#!/usr/bin/env python3
"""Writes the manual pages and completions that a program prints, in the layout of `share` below a prefix.

    pages.py PROGRAM DIR

The program is the only source of these texts, so that no package can contain pages of another version.
"""

import subprocess
import sys
from pathlib import Path

NAME = "git-st-convert"
COMPLETIONS = {
    "bash": f"bash-completion/completions/{NAME}",
    "zsh": f"zsh/site-functions/_{NAME}",
    "fish": f"fish/vendor_completions.d/{NAME}.fish",
}


def lay_out(program: Path, share: Path) -> None:
    subprocess.run([program, "man", "--", share / "man" / "man1"], check=True, stdout=subprocess.DEVNULL)
    for shell, name in COMPLETIONS.items():
        text = subprocess.run([program, "completions", shell], check=True, stdout=subprocess.PIPE).stdout
        path = share / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: pages.py PROGRAM DIR")
    lay_out(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
