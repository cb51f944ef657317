#!/bin/sh
# What action.yml runs: its inputs are variables. Other CI systems may run it as well.
#
#   ANYARCH_MODE=binfmt  ANYARCH_IMAGE=registry.example.org/anyarch  [ANYARCH_RESET=true]
#   ANYARCH_MODE=execve  ANYARCH_FROM=https://example.org/anyarch  [ANYARCH_PUBLIC_KEY="ssh-ed25519 ..."]
#   ANYARCH_PLATFORMS=arm64,riscv64  ANYARCH_VERSION=10.2.2-1
#
# GitHub's files of outputs and of PATH are written where there are such.
set -eu

mode=${ANYARCH_MODE:-binfmt}
platforms=${ANYARCH_PLATFORMS:-all}
version=${ANYARCH_VERSION:-latest}

fail() {
    printf '%s\n' "anyarch: $*" >&2
    exit 2
}

# anyarch knows `linux/arm64` as it knows `arm64`; people write spaces behind commas.
platforms=$(printf '%s' "$platforms" | tr -d ' \t\n')
case $platforms in
'' | *[!A-Za-z0-9_,/-]*) fail "these are no platforms: $platforms" ;;
esac
case $version in
'' | *[!A-Za-z0-9._-]*) fail "this is no release: $version" ;;
esac

# The names in `supported` of what `anyarch status --json` prints, with commas.
supported() {
    tr -d ' \n' | sed -n 's/.*"supported":\[\([^]]*\)\].*/\1/p' | tr -d '"'
}

# The same of what `anyarch list --json` prints.
installed() {
    tr -d ' \n' | sed 's/"platforms"/\n&/g' | sed -n 's/^"platforms":\[\([^]]*\)\].*/\1/p' | tr -d '"' | tr '\n' , |
        sed 's/,,*/,/g; s/^,//; s/,$//'
}

register() {
    command -v docker > /dev/null || fail "there is no docker here; with mode execve, none is needed"
    image=${ANYARCH_IMAGE:?the repository of the images}:$version
    set -- docker run --rm --privileged "$image"
    if [ "${ANYARCH_RESET:-false}" = true ]; then
        "$@" --uninstall 'qemu-*' > /dev/null
    fi
    "$@" --install "$platforms" > /dev/null
    result=$("$@" | supported)
}

install() {
    from=${ANYARCH_FROM:?where releases are}
    prefix=${ANYARCH_PREFIX:-$HOME/.local}
    set -- --from "$from" --prefix "$prefix"
    if [ "$version" != latest ]; then
        set -- "$@" --release "$version"
    fi
    if [ -n "${ANYARCH_PUBLIC_KEY:-}" ]; then
        key=$(mktemp)
        trap 'rm -f "$key"' EXIT
        printf '%s\n' "$ANYARCH_PUBLIC_KEY" > "$key"
        set -- "$@" --key "$key"
    fi
    script=$(mktemp)
    trap 'rm -f "$script" ${key:+"$key"}' EXIT
    # The installer is as trustworthy as the place that it comes from; what it installs is checked by the key.
    if command -v curl > /dev/null; then
        curl -fsSL --retry 3 -o "$script" "$from/$version/install.sh"
    else
        wget -qO "$script" "$from/$version/install.sh"
    fi
    sh "$script" --target anyarch "$@" > /dev/null
    # What is listed is what is installed, whatever else there is.
    unset ANYARCH_FROM
    "$prefix/bin/anyarch" install --target "$platforms" "$@" > /dev/null
    result=$("$prefix/bin/anyarch" list --json --prefix "$prefix" | installed)
    if [ -n "${GITHUB_PATH:-}" ]; then
        printf '%s\n' "$prefix/bin" >> "$GITHUB_PATH"
    fi
}

case $mode in
binfmt) register ;;
execve) install ;;
*) fail "mode is binfmt or execve, not $mode" ;;
esac
printf '%s\n' "anyarch: $result"
if [ -n "${GITHUB_OUTPUT:-}" ]; then
    printf 'platforms=%s\n' "$result" >> "$GITHUB_OUTPUT"
fi
