#!/usr/bin/env bash
# Builds the Debian package and tests it as a user would: in a new Debian, from installation to removal.
# It needs root, debootstrap, cargo-deb and python3; `tests/packaging/deb.sh [DIR]` keeps the package in DIR.
# The new Debian has this machine's release and comes from this machine's mirror; only git, git-lfs and man-db are added to it.
set -euo pipefail
cd "$(dirname "$0")/../.."
place=$(mktemp -d)
# /proc must be unmounted before the root is removed.
leave() {
    umount "$place/root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$place"
}
trap leave EXIT
out=${1:-$place/out} root=$place/root

fail() {
    echo "deb.sh: $*" >&2
    exit 1
}

# Lists every file of the root except those that dpkg, man and the shell maintain.
listing() {
    (cd "$root" && find . \( -path ./proc -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache -o -path ./tmp -o -path ./home \) \
        -prune -o -print | LC_ALL=C sort)
}

inside() { chroot "$root" env -i HOME=/home/person PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 MANWIDTH=100 "$@"; }

.packaging/deb.sh "$out"
package=$(ls "$out"/*.deb)
size=$(stat -c %s "$package")
echo "$(basename "$package"): $((size / 1024)) KiB"
[ "$size" -le 6000000 ] || fail "the package has $size bytes"
if command -v lintian >/dev/null; then
    # The package is not uploaded to Debian's archive, so it needs neither a Debian changelog nor a bug for its first upload.
    lintian --fail-on error --suppress-tags no-changelog,initial-upload-closes-no-bugs "$package"
fi
dpkg-deb --field "$package" Recommends | grep -qw git-lfs || fail 'git-lfs is not recommended'

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $codename" | head -n 1)
debootstrap --variant=minbase --include=git,git-lfs,man-db,libgcc-s1 "$codename" "$root" "$mirror" >"$place/log" 2>&1 ||
    fail "debootstrap: $(tail -n 3 "$place/log")"
# The new root's dpkg may be configured to exclude manual pages.
rm -f "$root"/etc/dpkg/dpkg.cfg.d/*
mkdir -p "$root/home/person"
mount -t proc proc "$root/proc"
listing >"$place/before"

cp "$package" "$root/tmp/package.deb"
began=$(date +%s%N)
inside dpkg --install /tmp/package.deb >/dev/null
took=$((($(date +%s%N) - began) / 1000000))
echo "installed in $took ms"
[ "$took" -lt 10000 ] || fail 'that is too long'

inside git config --global user.name 'A Person'
inside git config --global user.email a@example.com
inside git st-convert -V
inside git st-convert demo /home/person/demo >/dev/null
inside test -f /home/person/demo/model.safetensors || fail 'the demo gave nothing'
page=$(inside git st-convert --help)
[[ $page == GIT-ST-CONVERT* ]] || fail "no manual page: $page"
[ "$page" = "$(inside man git-st-convert)" ] || fail 'the help is another page'
[[ $(inside man git-st-convert-hook-install) == GIT-ST-CONVERT-HOOK-INSTALL* ]] || fail 'no page of a subcommand'
inside bash -n /usr/share/bash-completion/completions/git-st-convert
inside git -C /home/person/demo st-convert hook install >/dev/null
# The pickle must be new: content that `HEAD` of the demo contains is not rejected under another name.
printf 'cos\nsystem\n(S"true"\ntR.' >"$root/home/person/demo/more.pkl"
inside git -C /home/person/demo add more.pkl
if inside git -C /home/person/demo commit -m more >"$place/refused" 2>&1; then fail 'the hook let a pickle pass'; fi
grep -q 'error: more.pkl: ' "$place/refused" || fail "$(cat "$place/refused")"

inside dpkg --purge git-st-convert >/dev/null
listing >"$place/after"
diff "$place/before" "$place/after" || fail 'the removal left a trace'
echo 'the Debian package is as it should be'
