#!/usr/bin/env python3
"""Converts a wheel to an archive for users without Python: program, pages and completions in the layout of a prefix.

    tarball.py WHEEL TARGET DIR

The archive contains the wheel's program, so that each target has only one build to trust. For Windows the archive is a zip file.
"""

import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"]


def contents(wheel: Path) -> dict[str, bytes]:
    """Returns the files of the archive by their names below its top directory."""
    found = {name: (ROOT / name).read_bytes() for name in TEXTS}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if match := re.fullmatch(r"[^/]+\.data/(scripts|data)/(.+[^/])", name):
                place = "bin/" if match[1] == "scripts" else ""
                found[place + match[2]] = archive.read(name)
    return found


def pack(wheel: Path, target: str, directory: Path) -> Path:
    """Writes `git-st-convert-VERSION-TARGET.tar.gz` or `.zip`, without this machine's file times and owners."""
    top = f"git-st-convert-{wheel.name.split('-')[1]}-{target}"
    files = sorted(contents(wheel).items())
    if "windows" in target:
        path = directory / f"{top}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(zipfile.ZipInfo(f"{top}/{name}"), content, zipfile.ZIP_DEFLATED)
        return path
    path = directory / f"{top}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(content)
            entry.mode = 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return path


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: tarball.py WHEEL TARGET DIR")
    print(pack(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
