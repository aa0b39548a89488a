#!/usr/bin/env python3
"""Checks that a tag may be released: it matches the crate's version, and the changelog and `repository` are filled in.

    ready.py TAG
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def missing(tag: str, root: Path = ROOT) -> list[str]:
    """Returns what must be changed before `tag` can be released, one sentence each."""
    cargo = (root / "Cargo.toml").read_text(encoding="utf-8")
    changelog = (root / "docs/changelog.md").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', cargo, re.MULTILINE)[1]
    found = []
    if tag != f"v{version}":
        found.append(f"Cargo.toml has version {version}, the tag is {tag}")
    if not re.search(rf"^## {re.escape(version)} — \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"docs/changelog.md has no heading `## {version} — YEAR-MONTH-DAY`")
    if not re.search(r'^repository = "https://', cargo, re.MULTILINE):
        found.append("Cargo.toml names no `repository`, from which `cargo binstall` and the formula take their addresses")
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: ready.py TAG")
    undone = missing(sys.argv[1])
    for line in undone:
        print(f"not ready: {line}", file=sys.stderr)
    sys.exit(bool(undone))
