"""`hf st-convert …` runs the `git-st-convert` that is installed in the environment of this extension."""

import os
import subprocess
import sys
import sysconfig


def main() -> int:
    """Replaces this process by the program; on Windows, where that is not possible, runs it and waits."""
    programs = sysconfig.get_path("scripts")
    program = os.path.join(programs, "git-st-convert" + (".exe" if os.name == "nt" else ""))
    # With this PATH, `git st-convert` works in hooks and in printed hints during this run.
    os.environ["PATH"] = programs + os.pathsep + os.environ.get("PATH", os.defpath)
    command = [program, *sys.argv[1:]]
    if os.name == "nt":
        return subprocess.run(command, check=False).returncode
    os.execv(program, command)


if __name__ == "__main__":
    sys.exit(main())
