"""`hf st-convert …`: runs `git-st-convert …`, which lies beside this script in the environment of the extension."""

import os
import subprocess
import sys
import sysconfig


def main() -> int:
    """Becomes the program where a process can, and else waits for it."""
    programs = sysconfig.get_path("scripts")
    program = os.path.join(programs, "git-st-convert" + (".exe" if os.name == "nt" else ""))
    # `git` finds it as `git st-convert`, as hints and hooks call it, for as long as this run lasts.
    os.environ["PATH"] = programs + os.pathsep + os.environ.get("PATH", os.defpath)
    command = [program, *sys.argv[1:]]
    if os.name == "nt":
        return subprocess.run(command, check=False).returncode
    os.execv(program, command)


if __name__ == "__main__":
    sys.exit(main())
