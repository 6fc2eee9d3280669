# Part of ./cluster: has the programs, by Go into the user's cache and by apt.
# shellcheck shell=bash disable=SC2154

# Builds what is not there yet. Atomic: a build that was interrupted leaves nothing
# that looks like a whole one.
build() {
    [[ ! -x $bin/kubelet || ! -x $metrics_bin/metrics-server ]] || return 0
    command -v go >/dev/null || fail "Building the cluster needs Go 1.24 or later (https://go.dev/dl); it fetches the version that it wants."
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock 8
    [[ -x $bin/kubelet ]] || build_kubernetes
    [[ -x $metrics_bin/metrics-server ]] || build_metrics
    exec 8>&-
}

build_kubernetes() {
    local started=$SECONDS work
    work=$(mktemp --directory "$cache/build.XXXXXX")
    say "Building Kubernetes $version once into $bin: five minutes on two cores if nothing is cached."
    (cd "$here" && CGO_ENABLED=0 nice go build -p 2 -ldflags="$(version_flags)" -o "$work/" \
        k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy,kubectl})
    make_pause_image "$work"
    put_in_place "$work" "$bin"
    say "Built after $((SECONDS - started)) s."
}

put_in_place() {
    rm -rf "$2"
    mkdir -p "$(dirname "$2")"
    chmod 755 "$1"
    mv "$1" "$2"
}

# Without these the programs call themselves v0.0.0.
version_flags() {
    local package
    printf -- '-s -w'
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- ' -X %s.gitVersion=v%s -X %s.gitMajor=1 -X %s.gitMinor=36' \
            "$package" "$version" "$package" "$package"
    done
}

# An image archive of one layer, by hand: needs neither Docker nor a registry.
make_pause_image() {
    local work=$1 image=$1/image
    mkdir "$image"
    (cd "$here" && CGO_ENABLED=0 go build -ldflags='-s -w' -o "$image/pause" ./pause)
    tar --create --owner=0 --group=0 --numeric-owner --directory "$image" --file "$image/layer.tar" pause
    cat >"$image/config.json" <<JSON
{"architecture":"$(go env GOARCH)","os":"linux","config":{"Entrypoint":["/pause"]},
 "rootfs":{"type":"layers","diff_ids":["sha256:$(sha256sum <"$image/layer.tar" | cut -d' ' -f1)"]}}
JSON
    cat >"$image/manifest.json" <<JSON
[{"Config":"config.json","RepoTags":["$sandbox_image"],"Layers":["layer.tar"]}]
JSON
    tar --create --directory "$image" --file "$work/pause.tar" manifest.json config.json layer.tar
    rm -rf "$image"
}

# Installs what is lacking of the programs that the distribution has.
install_parts() {
    local missing=() pair
    for pair in etcd:etcd-server containerd:containerd ctr:containerd runc:runc ip:iproute2 \
        iptables:iptables conntrack:conntrack nsenter:util-linux openssl:openssl \
        /usr/lib/cni/bridge:containernetworking-plugins; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null ||
        fail "These are missing, and there is no apt to install them with: ${missing[*]}."
    say "Installing ${missing[*]}."
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}"
    # Debian starts an etcd for the whole machine on installation; nobody asked for it.
    if [[ " ${missing[*]} " = *' etcd-server '* ]]; then
        systemctl disable --now etcd 2>/dev/null || true
    fi
}
