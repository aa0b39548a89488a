# shellcheck shell=bash
# Functions of the scripts for other systems, which source this file. A rustup toolchain contains the standard library for this system
# only; Debian's `rustc-web` packages have its source, with a compiler and a cargo of the same version that build it for any target.
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=0

# needs SYSTEM FILE=PACKAGE…: installs Debian's packages, if run by root. If one is still missing, reports it and ends the script.
needs() {
    local system=$1 pair missing
    shift
    set -- /usr/bin/rustc=rustc-web /usr/bin/cargo=cargo-web /usr/lib/rustlib/src/rust/library/Cargo.lock=rust-web-src \
        /usr/bin/python3=python3 "$@"
    missing=()
    for pair; do [ -e "${pair%%=*}" ] || missing+=("${pair#*=}"); done
    if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq || true
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || true
    fi
    missing=()
    for pair; do [ -e "${pair%%=*}" ] || missing+=("${pair#*=}"); done
    if [ ${#missing[@]} -gt 0 ]; then
        echo "left out: $system was not tried, because these packages of Debian are not here: ${missing[*]}"
        exit 0
    fi
    /usr/bin/rustc -V
}

# cross VERB TARGET DIR ARG…: runs cargo with a standard library that it builds itself. Programs and tests use the same options, so that
# each dependency is built once.
cross() {
    local verb=$1 target=$2 place=$3
    shift 3
    RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc /usr/bin/cargo "$verb" --locked --quiet -Z build-std=std,panic_unwind,test --target "$target" \
        --target-dir "$place" "$@"
}
