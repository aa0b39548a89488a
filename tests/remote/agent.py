"""A transfer agent of Git LFS whose server is a directory, for the tests of `agents.rs`.

    agent.py STORE [MODE]

Source: docs/custom-transfers.md of Git LFS. The agent writes each line that it reads to STORE/log, and its environment variables to
STORE/environment. MODE selects a violation of the protocol, an invalid file, or `ask`: then, like git-xet, the agent requests
git's credentials for the host of the remote and for another host, and writes the answers to STORE/logins.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

STORE = sys.argv[1]
MODE = sys.argv[2] if len(sys.argv) > 2 else ""


def say(message):
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
    sys.stdout.flush()


def complete(asked, **more):
    say({"event": "complete", "oid": asked["oid"], **more})


def progress(asked, so_far, last):
    say({"event": "progress", "oid": asked["oid"], "bytesSoFar": so_far, "bytesSinceLast": last})


def copy(asked, source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    so_far = 0
    with open(source, "rb") as read, open(target, "wb") as write:
        while block := read.read(100_000):
            write.write(block)
            so_far += len(block)
            progress(asked, so_far, len(block))


def misbehave(asked):
    """Violates the protocol as MODE requires. Returns false if MODE is not a violation."""
    action = asked.get("action") or {}
    secret = (action.get("header") or {}).get("X-Secret", "")
    if MODE == "long":
        say("{" + " " * 70_000 + "}")
    elif MODE == "garbage":
        say("no JSON")
    elif MODE == "unknown":
        say({"event": "dance", "oid": asked["oid"]})
    elif MODE == "other":
        complete({"oid": "0" * 64})
    elif MODE == "flood":
        while True:
            progress(asked, 1, 0)
    elif MODE == "silent":
        time.sleep(600)
    elif MODE == "busy":
        while True:
            progress(asked, 5, 0)
            time.sleep(0.05)
    elif MODE == "error":
        complete(asked, error={"code": 404, "message": "no such object, says " + secret})
    elif MODE == "panic":
        sys.stderr.write("thread 'main' panicked at src/main.rs:2:5:\nno key\nstack backtrace:\n" + "   0: main\n" * 2000)
        sys.exit("note: run with `RUST_BACKTRACE=full` for a verbose backtrace")
    elif MODE == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif MODE == "exit":
        sys.exit("the last words: " + secret)
    else:
        return False
    return True


def bring(asked):
    """Creates the object in a file, or an invalid file if MODE requires that, and reports its path."""
    target = os.path.join(STORE, "tmp", asked["oid"])
    source = os.path.join(STORE, asked["oid"])
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if MODE == "nowhere":
        return complete(asked)
    if MODE == "absent":
        return complete(asked, path=target)
    if MODE == "link":
        os.symlink(source, target)
    elif MODE == "pipe":
        os.mkfifo(target)
    elif MODE == "directory":
        os.makedirs(target)
    elif MODE == "wrong":
        with open(target, "wb") as write:
            write.write(b"x" * asked["size"])
    elif MODE == "short":
        with open(target, "wb") as write:
            write.write(b"x" * (asked["size"] - 1))
    elif MODE == "place":
        # Some agents write the object to the LFS storage itself, and report a path relative to their working directory.
        target = os.path.join(".git/lfs/objects", asked["oid"][:2], asked["oid"][2:4], asked["oid"])
        copy(asked, source, target)
    else:
        copy(asked, source, target)
    return complete(asked, path=target)


def login(url):
    """Returns the credentials that git has for a URL; git does not prompt."""
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": ""}
    asked = f"url={url}\n\n"
    command = ["git", "credential", "fill"]
    filled = subprocess.run(command, input=asked, env=env, text=True, capture_output=True, check=False)
    return filled.stdout


def ask(asked):
    remote = subprocess.run(["git", "remote", "get-url", "origin"], text=True, capture_output=True, check=True)
    host = "/".join(remote.stdout.strip().split("/")[:3])
    answers = [login(host), login("https://other.example")]
    with open(os.path.join(STORE, "logins"), "w", encoding="utf-8") as write:
        json.dump(answers, write)
    if "password=" not in answers[0]:
        complete(asked, error={"code": 1, "message": f"failed to find authentication for {host}"})
        return False
    return True


def main():
    os.makedirs(STORE, exist_ok=True)
    with open(os.path.join(STORE, "environment"), "w", encoding="utf-8", errors="replace") as write:
        write.writelines(f"{name}={value}\n" for name, value in sorted(os.environ.items()))
    with open(os.path.join(STORE, "pids"), "a", encoding="ascii") as write:
        write.write(f"{os.getpid()}\n")
    for line in sys.stdin:
        with open(os.path.join(STORE, "log"), "a", encoding="utf-8") as write:
            write.write(line)
        asked = json.loads(line)
        if asked["event"] == "terminate":
            return
        if asked["event"] == "init":
            refused = {"error": {"code": 32, "message": "not today"}}
            say(refused if MODE == "refuse" else {})
        elif misbehave(asked):
            pass
        elif asked["event"] == "download":
            bring(asked)
        elif MODE != "ask" or ask(asked):
            copy(asked, asked["path"], os.path.join(STORE, asked["oid"]))
            complete(asked)


main()
