#!/usr/bin/env python3
"""Prints the Homebrew formula of a release: the template next to this file with URLs and checksums filled in.

    formula.py VERSION REPOSITORY SHA256SUMS > git-st-convert.rb
"""

import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent / "git-st-convert.rb.in"


def formula(version: str, repository: str, sums: str) -> str:
    """Returns the template with each `@NAME@` replaced. An archive without a checksum is an error."""
    known = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})[ *]+(\S+)$", sums, re.MULTILINE)}
    text = TEMPLATE.read_text(encoding="utf-8").replace("@VERSION@", version).replace("@REPOSITORY@", repository)
    return re.sub(r"@SHA256 (\S+)@", lambda match: known[match[1]], text)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: formula.py VERSION REPOSITORY SHA256SUMS")
    print(formula(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text(encoding="utf-8")), end="")
