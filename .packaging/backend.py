"""The build backend of `pip install .`: maturin, with the manual pages and completions that the program prints.

maturin packs the files of its `data` directory, but the pages can only be printed after the program is built. So the wheel is
packed twice; the second time, cargo finds everything built. A program built for another machine cannot run here: then
`ST_CONVERT_HOST` is the path of a program of the same version that can.

In the clone that pre-commit creates for its hooks, the published wheel of this version replaces the build, if one exists for
this machine, so that users of the hook need no compiler. Everywhere else, this source is built.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from pages import NAME, lay_out

ROOT = Path(__file__).resolve().parent.parent
# `data` in pyproject.toml is the same directory.
DATA = ROOT / "target" / "wheel-data"
PUBLISHED = ROOT / "target" / "published-wheel"
MATURIN = "maturin>=1.9.4,<2"


def get_requires_for_build_wheel(config_settings=None):
    if is_clone_of_hooks() and published_wheel():
        return []
    zig = ["ziglang"] if "--zig" in arguments(config_settings) else []
    return [MATURIN, *rust(), *zig]


def get_requires_for_build_sdist(config_settings=None):
    return [MATURIN, *rust()]


def get_requires_for_build_editable(config_settings=None):
    return [MATURIN, *rust()]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    if is_clone_of_hooks() and (wheel := next(PUBLISHED.glob("*.whl"), None)):
        shutil.copy(wheel, wheel_directory)
        return wheel.name
    import maturin

    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(parents=True)
    share = DATA / "data" / "share"
    if host := os.environ.get("ST_CONVERT_HOST"):
        lay_out(Path(host).resolve(), share)
    else:
        with tempfile.TemporaryDirectory() as without_pages:
            wheel = maturin.build_wheel(without_pages, config_settings, metadata_directory)
            lay_out(program_of(Path(without_pages, wheel)), share)
    return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory, config_settings=None):
    import maturin

    DATA.mkdir(parents=True, exist_ok=True)
    return maturin.build_sdist(sdist_directory, config_settings)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    import maturin

    DATA.mkdir(parents=True, exist_ok=True)
    return maturin.build_editable(wheel_directory, config_settings, metadata_directory)


def program_of(wheel):
    """Unpacks the program of a wheel next to the wheel, and returns its path."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.search(rf"/scripts/{NAME}(\.exe)?$", name))
        program = Path(archive.extract(name, wheel.parent))
    program.chmod(0o755)
    return program


def arguments(config_settings):
    """Returns the arguments for maturin as one string: maturin is not installed yet, so it cannot parse them."""
    settings = config_settings or {}
    asked = settings.get("maturin.build-args", settings.get("build-args", os.environ.get("MATURIN_PEP517_ARGS", "")))
    return asked if isinstance(asked, str) else " ".join(asked)


def rust():
    """Returns the package by which maturin installs a Rust toolchain, if cargo is missing."""
    return [] if shutil.which("cargo") else ["puccinialin"]


def is_clone_of_hooks():
    """Returns true if the environment is inside the clone: only pre-commit creates it there."""
    environment = Path(os.environ.get("VIRTUAL_ENV") or "/")
    return environment.name.startswith("py_env-") and environment.resolve().parent == ROOT


def published_wheel():
    """Downloads the wheel of this version for this machine, and returns true if the package index has one. pip reports its steps."""
    shutil.rmtree(PUBLISHED, ignore_errors=True)
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", PUBLISHED]
    found = subprocess.run([*command, f"{NAME}=={version}"], check=False, stdout=sys.stderr).returncode == 0
    if not found:
        print(f"no wheel of {NAME} {version} for this machine: it is compiled", file=sys.stderr)
    return found
