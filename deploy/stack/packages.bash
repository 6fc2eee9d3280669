# Part of ./build and ./compose: images from Debian packages, without a registry.
# shellcheck shell=bash

suite=bookworm
# What goes before a command that needs root.
root=(env)
[[ $EUID -eq 0 ]] || root=(sudo)

# Makes an image: its name, its packages, then words for mmdebstrap, `--`, and
# lines of a Dockerfile for `docker import`.
image_from_packages() {
    local image=$1 packages=$2 words=() changes=(--change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
    shift 2
    while [[ $# -gt 0 && $1 != -- ]]; do words+=("$1") && shift; done
    shift
    while [[ $# -gt 0 ]]; do changes+=(--change "$1") && shift; done
    command -v mmdebstrap >/dev/null || install_package mmdebstrap
    work=$(mktemp --directory)
    trap 'rm -rf "$work"' EXIT
    apt-config dump Acquire >"$work/acquire.conf"
    local sources=()
    mapfile -t sources < <(apt_sources)
    # shellcheck disable=SC2016 # the hooks' $1 is mmdebstrap's: the new root
    "${root[@]}" nice mmdebstrap --mode=root --quiet --variant=minbase --include="$packages" \
        --aptopt="$work/acquire.conf" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
        "${words[@]}" "$suite" "$work/root.tar" "${sources[@]}"
    docker import "${changes[@]}" "$work/root.tar" "$image" >/dev/null
    rm -rf "$work"
}

# The machine's own sources of this suite, so that its mirror is used; on a
# machine of another suite there is none, and mmdebstrap takes Debian's own.
apt_sources() {
    grep --recursive --files-with-matches --word-regexp "$suite" \
        --include='*.list' --include='*.sources' \
        /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null || true
}

install_package() {
    say "Installing $1 with apt."
    "${root[@]}" apt-get update --quiet=2
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet=2 --no-install-recommends "$1"
}

need_engine() {
    command -v docker >/dev/null || install_package docker.io
    docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
        fail "No Docker engine answers at ${DOCKER_HOST:-the default socket}. Start it, or set DOCKER_HOST."
}
