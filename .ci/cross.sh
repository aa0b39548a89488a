# shellcheck shell=bash
# What the scripts for other systems have in common; they source it. The toolchain of rustup has the standard library of this system
# alone, and Debian's `rustc-web` has the source of it beside a compiler and a cargo of the same version, which build it for any other.
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=0

# needs SYSTEM FILE=PACKAGE…: Debian's packages, which root installs. Where one is missing, it says so, and nothing more is tried.
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

# cross VERB TARGET DIR ARG…: cargo, with the standard library built, too: the same for programs and tests, so that each dependency is
# built once.
cross() {
    local verb=$1 target=$2 place=$3
    shift 3
    RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc /usr/bin/cargo "$verb" --locked --quiet -Z build-std=std,panic_unwind,test --target "$target" \
        --target-dir "$place" "$@"
}
