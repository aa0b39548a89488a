#!/usr/bin/env python3
"""Create a wheel from an existing program, so that the wheel can be tested without a release build.

How: python tests/packaging/stand_in.py PROGRAM DIR
"""

import importlib
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / ".packaging"))
pages = importlib.import_module("pages")


def make(program, directory):
    """Creates the wheel with the program, stripped if possible, and with its pages and completions."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    tag = "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())
    data, info = f"git_st_convert-{version}.data", f"git_st_convert-{version}.dist-info"
    wheel = directory / f"git_st_convert-{version}-{tag}.whl"
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(wheel, "w", compresslevel=1) as archive:
        stripped, share = pathlib.Path(name, "program"), pathlib.Path(name, "share")
        if not shutil.which("strip") or subprocess.run(["strip", "-o", stripped, program], check=False).returncode != 0:
            shutil.copy(program, stripped)
        pages.lay_out(program.resolve(), share)
        files = {f"{data}/scripts/git-st-convert": stripped.read_bytes()}
        files |= {f"{data}/data/share/{path.relative_to(share)}": path.read_bytes() for path in share.rglob("*") if path.is_file()}
        files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: git-st-convert\nVersion: {version}\n".encode()
        files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: stand-in\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]).encode()
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            # pip makes a file executable if it is executable in the archive.
            entry.external_attr = (0o100755 if "/scripts/" in name else 0o100644) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return wheel


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: stand_in.py PROGRAM DIR")
    print(make(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
