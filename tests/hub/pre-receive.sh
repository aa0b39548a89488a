#!/bin/sh
# Rejects the pushes that the Hub rejects: large files that are not under Git LFS, and pointers to objects that it does not have.
# The model's LFS objects are in $HUB_OBJECTS.
set -eu
blobs=$(mktemp)
trap 'rm -f "$blobs"' EXIT
while read -r _ new _; do
    case $new in
    *[!0]*) git rev-list --objects "$new" --not --all ;;
    esac
done | git cat-file --batch-check='%(objecttype) %(objectsize) %(objectname) %(rest)' | grep '^blob ' >"$blobs" || true

while read -r _ size name path; do
    if [ "$size" -gt 10485760 ]; then
        echo 'Your push was rejected because it contains files larger than 10 MiB.' >&2
        echo 'Please use https://git-lfs.github.com/ to store large files.' >&2
        echo "Offending files: $path" >&2
        exit 1
    fi
    [ "$size" -lt 1024 ] || continue
    oid=$(git cat-file blob "$name" | sed -n '1s|^version https://git-lfs.github.com/spec/v1$|x|p; s/^oid sha256://p')
    case $oid in
    x*) ;;
    *) continue ;;
    esac
    oid=$(printf %s "$oid" | tail -n 1)
    if [ ! -f "$HUB_OBJECTS/$oid" ]; then
        echo 'Your push was rejected because an LFS pointer pointed to a file that does not exist.' >&2
        echo "Offending file: $path" >&2
        exit 1
    fi
done <"$blobs"
