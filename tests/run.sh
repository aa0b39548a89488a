#!/bin/sh
# Runs the tests on a fresh machine: installs git-lfs if it can, otherwise prints what to install.
# Without git-lfs the tests that need it are skipped, and each reports that.
set -eu
cd "$(dirname "$0")/.."

if ! command -v git >/dev/null || ! command -v cargo >/dev/null; then
    echo 'tests/run.sh: git and cargo are needed' >&2
    exit 2
fi
if ! git lfs version >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq git-lfs >/dev/null
    elif command -v sudo >/dev/null && command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
        sudo apt-get update -qq && sudo apt-get install -y -qq git-lfs >/dev/null
    fi || echo 'tests/run.sh: git-lfs could not be installed by apt-get' >&2
fi
git lfs version 2>/dev/null ||
    echo 'tests/run.sh: without git-lfs (apt-get, dnf, pacman, brew: "git-lfs") its tests are left out' >&2

exec cargo test --locked "$@"
