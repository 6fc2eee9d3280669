# Part of ./build and ./compose: images from Debian packages, without a registry.
# shellcheck shell=bash

# The release of Debian that is used where nothing else is said.
suite=bookworm
# What goes before a command that needs root.
root=(env)
[[ $EUID -eq 0 ]] || root=(sudo)

# Makes an image of the release $suite: its name, its packages, then words for
# mmdebstrap, `--`, and lines of a Dockerfile for `docker import`. The machine's
# own sources are used while it is made; what stays in it are Debian's defaults.
image_from_packages() {
    local image=$1 packages=$2 words=() changes=(--change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
    shift 2
    while [[ $# -gt 0 && $1 != -- ]]; do words+=("$1") && shift; done
    shift
    while [[ $# -gt 0 ]]; do changes+=(--change "$1") && shift; done
    command -v mmdebstrap >/dev/null || install_package mmdebstrap
    local work
    scratch work
    apt-config dump Acquire >"$work/acquire.conf"
    apt_sources "$work/sources"
    # shellcheck disable=SC2016 # the hooks' $1 is mmdebstrap's: the new root
    if compgen -G "$work/sources/*" >/dev/null; then
        words+=(--setup-hook='mv "$1/etc/apt/sources.list" "$1/etc/apt/sources.list.default"'
            --setup-hook="sync-in $work/sources /etc/apt/sources.list.d"
            --customize-hook='rm -f "$1"/etc/apt/sources.list.d/machine-*'
            --customize-hook='mv "$1/etc/apt/sources.list.default" "$1/etc/apt/sources.list"')
    fi
    # shellcheck disable=SC2016
    "${root[@]}" nice mmdebstrap --mode=root --quiet --variant=minbase --include="$packages" \
        --aptopt="$work/acquire.conf" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/resolv.conf" "$1/etc/hostname"' \
        "${words[@]}" "$suite" "$work/root.tar" >"$work/log" 2>&1 ||
        { tail -n 30 "$work/log" >&2 && fail "$image could not be made; the end of what mmdebstrap said is above."; }
    docker import "${changes[@]}" "$work/root.tar" "$image" >/dev/null
    rm -rf "$work"
}

# Writes the machine's own sources of the release $suite to a new directory, so
# that its mirror is used: those that name the release, else those of the
# machine's release with the name replaced. On a machine that has none the
# directory is empty, and mmdebstrap takes Debian's own.
apt_sources() {
    local name=$suite files=() file
    mkdir "$1"
    mapfile -t files < <(sources_naming "$name")
    if [[ ${#files[@]} -eq 0 ]]; then
        # shellcheck source=/dev/null
        name=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
        [[ -z $name ]] || mapfile -t files < <(sources_naming "$name")
    fi
    for file in "${files[@]}"; do
        sed "s/\\b$name\\b/$suite/g" "$file" >"$1/machine-$(basename "$file")"
    done
}

# Sources with a component `main`, as Debian's archive has: a vendor's own archive
# need not have packages of every release.
sources_naming() {
    grep --recursive --files-with-matches --word-regexp "$1" \
        --include='*.list' --include='*.sources' \
        /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
        xargs --no-run-if-empty grep --files-with-matches --word-regexp main || true
}

# Sets the variable that it is told to a new directory, gone when the script ends.
scratch() {
    if [[ -z ${scratch_top:-} ]]; then
        scratch_top=$(mktemp --directory)
        # shellcheck disable=SC2064 # as it is now
        trap "rm -rf '$scratch_top'" EXIT
    fi
    printf -v "$1" %s "$(mktemp --directory "$scratch_top/XXXXXX")"
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
