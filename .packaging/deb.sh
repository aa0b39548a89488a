#!/bin/sh
# Builds the Debian package: .packaging/deb.sh [DIR], by default in target/debian. Needs cargo-deb and python3.
# The program prints its own manual pages, so it is built before cargo-deb packs them.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/debian}
cargo build --release --locked
rm -rf target/share
python3 .packaging/pages.py target/release/git-st-convert target/share
mkdir -p "$out"
cargo deb --no-build --output "$out/"
