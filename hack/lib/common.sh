# What the scripts of hack/ share. Sourced, not run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$ROOT/build
TOOLS=$BUILD/tools

BUILD_PACKAGES=(
    gcc libc6-dev cmake ninja-build pkg-config python3
    libmicrohttpd-dev libgnutls28-dev nettle-dev libjansson-dev libyaml-dev libsodium-dev liblmdb-dev
    libcurl4-gnutls-dev libprotobuf-c-dev protobuf-c-compiler libpcre2-dev libnftables-dev zlib1g-dev libgmp-dev libwebsockets-dev libssl-dev libcmocka-dev
)
RUN_PACKAGES=(containerd runc containernetworking-plugins iproute2 nftables curl)

step() {
    printf '\033[1m==> %s\033[0m\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# install_packages NAME...: those that are missing, from Debian's archive.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "these Debian packages are missing: ${missing[*]}
Install them as root (apt-get install ${missing[*]}) and run this again."
    step "installing ${missing[*]}"
    local log=$BUILD/apt.log
    mkdir -p "$BUILD"
    # A policy of "never start" keeps services such as containerd's own unit from starting behind our back.
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1
    fi
    local ok=1
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 || ok=0
    [ -z "$made" ] || rm -f $policy
    [ $ok = 1 ] || { tail -20 "$log" >&2; die "apt-get could not install ${missing[*]} (whole log: $log)"; }
}

# unpack_package DIR NAME...: unpacks Debian packages below DIR without installing them.
unpack_package() {
    local dir=$1 name tmp
    shift
    mkdir -p "$dir"
    tmp=$(mktemp -d)
    for name in "$@"; do
        (cd "$tmp" && apt-get download -qq "$name" >/dev/null 2>&1) || {
            apt-get update -qq >/dev/null 2>&1
            (cd "$tmp" && apt-get download -qq "$name" >/dev/null) || die "cannot download the Debian package $name"
        }
        dpkg-deb -x "$tmp/$name"_*.deb "$dir"
    done
    rm -rf "$tmp"
}

# find_kubectl: sets KUBECTL to the one on the PATH, else to Debian's, unpacked below build/tools.
find_kubectl() {
    KUBECTL=$(command -v kubectl || true)
    [ -z "$KUBECTL" ] || return 0
    KUBECTL=$TOOLS/debian/usr/bin/kubectl
    [ -x "$KUBECTL" ] || { step "unpacking Debian's kubectl"; unpack_package "$TOOLS/debian" kubernetes-client; }
}
