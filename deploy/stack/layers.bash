# Part of ./build: an image on top of another, by a script that runs in a container
# of it, whose changes are committed as one layer. This works with every engine and
# client, BuildKit or not, near or far.
# shellcheck shell=bash

# Makes the image $1 on top of $2, with the lines of a Dockerfile that follow; CMD has
# to be among them, else it is the container's. The script is read from stdin, and
# files for it from the directory $layer_files, if that is set. What the machine needs
# to reach its package mirror is sent along into memory of the container, so that
# nothing of it stays in the image.
layer() {
    local image=$1 parent=$2 line changes=() settings=() container
    shift 2
    for line in "$@"; do
        case $line in
            # The one that `docker commit` takes from the container only.
            STOPSIGNAL*) settings+=(--stop-signal "${line#* }") ;;
            *) changes+=(--change "$line") ;;
        esac
    done
    local work
    scratch work
    mkdir "$work/layer"
    pack_layer "$work/layer"
    container=slipway-stack-$$-$RANDOM
    # shellcheck disable=SC2064 # as it is now
    trap "docker rm --force '$container' >/dev/null 2>&1" EXIT
    # The host's network: the mirror may be out of reach of the engine's own.
    tar --create --directory "$work/layer" . |
        docker run --interactive --name "$container" --network host --hostname slipway "${settings[@]}" \
            --tmpfs /mnt --tmpfs /tmp:exec,mode=1777 --tmpfs /var/cache/apt --tmpfs /var/lib/apt/lists \
            "$parent" sh -c 'mkdir /mnt/layer && tar -x --no-same-owner -C /mnt/layer && exec /bin/bash -eu /mnt/layer/script </dev/null' \
            >"$work/log" 2>&1 ||
        { tail -n 30 "$work/log" >&2 && fail "$image could not be made; the end of what was said is above."; }
    docker commit "${changes[@]}" "$container" "$image" >/dev/null
    docker rm --force "$container" >/dev/null
    trap - EXIT
    rm -rf "$work"
}

# The script from stdin between what comes before and after it, and its files.
pack_layer() {
    apt_sources "$1/sources"
    pack_apt "$1"
    [[ -z ${layer_files:-} ]] || cp -r "$layer_files" "$1/files"
    {
        proxy_variables
        cat <<'SCRIPT'
export DEBIAN_FRONTEND=noninteractive
layer=/mnt/layer
if [ -s "$layer/ca.crt" ]; then export SSL_CERT_FILE=$layer/ca.crt NODE_EXTRA_CA_CERTS=$layer/ca.crt; fi
# Without sources of the machine's the image's own are used.
[ -n "$(ls "$layer/sources")" ] || cp -r /etc/apt/sources.list /etc/apt/sources.list.d/. "$layer/sources/"
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial
install_packages() {
    # Some packages insist on it; the images have no manuals.
    mkdir -p /usr/share/man/man1
    APT_CONFIG=$layer/apt.conf apt-get update --quiet=2
    APT_CONFIG=$layer/apt.conf apt-get install --yes --quiet=2 "$@"
    rmdir --ignore-fail-on-non-empty -p /usr/share/man/man1
}
SCRIPT
        cat
        cat <<'SCRIPT'
find /var/log -type f -delete
rm -rf /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old /root/.npm /root/.cache /root/.config
SCRIPT
    } >"$1/script"
    chmod -R u+rwX,go+rX "$1"
}

# apt's settings, keys and passwords of this machine.
pack_apt() {
    local ca=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    mkdir "$1/keys" "$1/auth"
    find /usr/share/keyrings /etc/apt/keyrings /etc/apt/trusted.gpg.d \
        \( -name '*.gpg' -o -name '*.pgp' -o -name '*.asc' \) -exec cp -- {} "$1/keys" \; 2>/dev/null || true
    if [[ -d /etc/apt/auth.conf.d ]]; then
        "${root[@]}" tar --create --directory /etc/apt/auth.conf.d . | tar --extract --no-same-owner --directory "$1/auth"
    fi
    find "$1/sources" -type f -exec \
        sed -i -E 's#(/usr/share/keyrings|/etc/apt/keyrings|/etc/apt/trusted\.gpg\.d)/#/mnt/layer/keys/#g' {} +
    apt-config dump Acquire >"$1/apt.conf"
    if [[ -r $ca ]]; then
        cp "$ca" "$1/ca.crt"
        echo 'Acquire::https::CAInfo "/mnt/layer/ca.crt";' >>"$1/apt.conf"
    fi
    cat >>"$1/apt.conf" <<'CONF'
Acquire::Languages "none";
Acquire::Retries "3";
APT::Install-Recommends "false";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "/mnt/layer/sources";
Dir::Etc::TrustedParts "/mnt/layer/keys";
Dir::Etc::NetrcParts "/mnt/layer/auth";
DPkg::Options { "--force-unsafe-io"; };
CONF
}

proxy_variables() {
    local name
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [[ -z ${!name:-} ]] || printf 'export %s=%q\n' "$name" "${!name}"
    done
}
