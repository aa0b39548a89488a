"""The build backend of `pip install .`: maturin, with the manual pages and completions that the program prints.

maturin packs what lies in its `data` directory, but nothing can print the pages before the program is built. So the wheel
is packed twice, and cargo has nothing left to do the second time. A program of another machine cannot be run here:
`ST_CONVERT_HOST` names one of the same version that can.

In the clone that pre-commit makes for its hooks, the published wheel of this version is taken in the place of a build, if
there is one for this machine: whoever uses the hook then needs no compiler. Everywhere else the source here is built.
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
# As `data` in pyproject.toml says.
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
    """The program that a wheel carries, unpacked beside it."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.search(rf"/scripts/{NAME}(\.exe)?$", name))
        program = Path(archive.extract(name, wheel.parent))
    program.chmod(0o755)
    return program


def arguments(config_settings):
    """What maturin is asked for, as one text: its own reading of it is not there before it is installed."""
    settings = config_settings or {}
    asked = settings.get("maturin.build-args", settings.get("build-args", os.environ.get("MATURIN_PEP517_ARGS", "")))
    return asked if isinstance(asked, str) else " ".join(asked)


def rust():
    """maturin gets a toolchain by this package where there is none."""
    return [] if shutil.which("cargo") else ["puccinialin"]


def is_clone_of_hooks():
    """pre-commit makes the environment of a hook inside of the clone; nobody else does."""
    environment = Path(os.environ.get("VIRTUAL_ENV") or "/")
    return environment.name.startswith("py_env-") and environment.resolve().parent == ROOT


def published_wheel():
    """Whether the index has a wheel of this very version for this machine; it is downloaded, and pip says what it does."""
    shutil.rmtree(PUBLISHED, ignore_errors=True)
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", PUBLISHED]
    found = subprocess.run([*command, f"{NAME}=={version}"], check=False, stdout=sys.stderr).returncode == 0
    if not found:
        print(f"no wheel of {NAME} {version} for this machine: it is compiled", file=sys.stderr)
    return found
