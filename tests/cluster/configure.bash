# Part of ./cluster: its network, its keys, and the settings of each program.
# shellcheck shell=bash disable=SC2154,SC2034

# A network namespace joined to the machine by one link. Both ends' addresses,
# the Services and the pods share a /22 of the range that is kept for tests
# (RFC 2544), so that no office network or VPN is hidden by it.
make_network() {
    exec 7>/run/slipway-cluster/net.lock
    flock 7
    local net=${SLIPWAY_CLUSTER_NET:-$(free_network)}
    [[ -z $(ip -4 route show root "$net.0/22") ]] ||
        fail "Something on this machine uses $net.0/22 already: set SLIPWAY_CLUSTER_NET to a free network, or to none."
    name_addresses "$net"
    ip netns add "$netns"
    ip link add "$link" type veth peer name up0 netns "$netns"
    ip address add "$host_address/30" dev "$link"
    ip link set "$link" up
    ip -netns "$netns" link set lo up
    ip -netns "$netns" address add "$node_address/30" dev up0
    ip -netns "$netns" link set up0 up
    ip -netns "$netns" route add default via "$host_address"
    ip route add "$services" via "$node_address"
    ip route add "$pods" via "$node_address"
    exec 7>&-
    nsenter --net="/run/netns/$netns" sysctl --quiet --write net.ipv4.ip_forward=1
}

name_addresses() {
    local prefix=${1%.*} third=${1##*.}
    host_address=$1.1 node_address=$1.2
    services=$prefix.$((third + 1)).0/24 pods=$prefix.$((third + 2)).0/23
}

free_network() {
    local second third
    for second in 18 19; do
        for ((third = 0; third < 256; third += 4)); do
            [[ -n $(ip -4 route show root "198.$second.$third.0/22") ]] && continue
            printf '198.%d.%d\n' $second $third
            return
        done
    done
    fail "Every network of 198.18.0.0/15 has a route already: name one with SLIPWAY_CLUSTER_NET."
}

# The links, bridges, routes and firewall chains go with the namespace; those of
# pods are found by the addresses that were given to them.
remove_network() {
    local pod result
    for pod in $(grep --no-filename --only-matching --extended-regexp '^[0-9a-f]{64}' "$dir"/cni/addresses/pods/[0-9]* 2>/dev/null || true); do
        for result in /var/lib/cni/results/*"$pod"*; do
            [[ -e $result ]] || continue
            ip netns delete "$(grep --only-matching --max-count=1 'cni-[0-9a-f-]\{36\}' "$result" | head -n 1)" 2>/dev/null || true
            rm -f "$result"
        done
    done
    ip link delete "$link" 2>/dev/null || true
    ip netns delete "$netns" 2>/dev/null || true
}

# Volumes and root file systems of pods, the deepest first.
remove_mounts() {
    awk -v dir="$dir/" -v run="$run/" 'index($2, dir) == 1 || index($2, run) == 1 { print $2 }' /proc/mounts |
        sort --reverse | while read -r target; do umount --lazy "$target" || true; done
}

write_configuration() {
    mkdir -p "$dir/pki" "$dir/cni/bin" "$dir/cni/conf" "$dir/registries"
    make_keys
    write_cni
    write_registry
    write_containerd
    write_kubelet
    write_kube_proxy
}

# The token is the cluster's administrator; the two certificates are the API
# server's, towards the kubelet and towards the API servers that it answers for,
# each of which trusts just that one.
make_keys() {
    local towards
    (umask 077 && printf '%s,admin,1,"system:masters"\n' "$(openssl rand -hex 24)" >"$dir/pki/tokens.csv")
    openssl genrsa -out "$dir/pki/accounts.key" 2048 2>/dev/null
    for towards in kubelet aggregated; do
        openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=kube-apiserver \
            -keyout "$dir/pki/to-$towards.key" -out "$dir/pki/to-$towards.crt" 2>/dev/null
    done
}

# For the API server at a port ($1), which makes its own certificate: the file ($2)
# holds it and its issuer.
write_kubeconfig() {
    awk '/BEGIN/ { n++ } n == 2' "$2" >"${2%/*}/ca.crt"
    (umask 077 && cat >"$3") <<YAML
apiVersion: v1
kind: Config
current-context: slipway-test
clusters:
- name: slipway-test
  cluster:
    server: https://$node_address:$1
    certificate-authority-data: $(base64 --wrap=0 <"${2%/*}/ca.crt")
users:
- name: admin
  user:
    token: $(cut --delimiter=, --fields=1 "$dir/pki/tokens.csv")
contexts:
- name: slipway-test
  context: {cluster: slipway-test, user: admin}
YAML
    if [[ -n ${SUDO_UID:-} ]]; then chown "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$3"; fi
}

# containerd runs these outside of the cluster's network namespace; pods' links
# and firewall rules belong inside.
write_cni() {
    local plugin
    for plugin in bridge portmap; do
        printf '#!/bin/sh\nexec nsenter --net=/run/netns/%s /usr/lib/cni/%s\n' "$netns" "$plugin" >"$dir/cni/bin/$plugin"
        chmod +x "$dir/cni/bin/$plugin"
    done
    ln -sf /usr/lib/cni/host-local /usr/lib/cni/loopback "$dir/cni/bin/"
    cat >"$dir/cni/conf/10-pods.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$dir/cni/addresses",
            "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

# Registries on loopback are plain http to containerd unasked; another one needs
# an entry. Read at each pull: tests may add entries.
write_registry() {
    mkdir -p "$dir/registries/$registry"
    cat >"$dir/registries/$registry/hosts.toml" <<TOML
server = "http://$registry"
[host."http://$registry"]
  capabilities = ["pull", "resolve"]
TOML
}

write_containerd() {
    cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$dir/containerd"
state = "$run/containerd"
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$sandbox_image"
  restrict_oom_score_adj = true
  stream_server_address = "$host_address"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "$dir/cni/bin"
  conf_dir = "$dir/cni/conf"
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "$dir/registries"
TOML
}

# No QoS groups and no systemd driver: works the same on cgroups v1 and v2, with
# and without systemd. The image collector would take the sandbox's image. There
# is no name service: the address given refuses, so that pods do not wait for it.
write_kubelet() {
    cat >"$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_address
healthzPort: 0
containerRuntimeEndpoint: unix://$run/containerd.sock
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: false}
  x509: {clientCAFile: $dir/pki/to-kubelet.crt}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
podLogsDir: $dir/pod-logs
volumePluginDir: $dir/volume-plugins
clusterDNS: [$node_address]
clusterDomain: cluster.local
maxPods: 250
registryPullQPS: 0
serializeImagePulls: false
nodeStatusUpdateFrequency: 5s
YAML
}

write_kube_proxy() {
    cat >"$dir/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $dir/kubeconfig}
mode: iptables
clusterCIDR: $pods
hostnameOverride: node
conntrack: {maxPerCore: 0}
YAML
}

# Last of all: whoever finds this file finds a cluster that is ready.
write_env() {
    cat >"$dir/env.new" <<ENV
KUBECONFIG=$dir/kubeconfig
SLIPWAY_TEST_KUBECONFIG=$dir/kubeconfig
SLIPWAY_CLUSTER_DIR=$dir
SLIPWAY_CLUSTER_REGISTRY=$registry
SLIPWAY_CLUSTER_HOST=$host_address
SLIPWAY_CLUSTER_BIN=$bin
SLIPWAY_CLUSTER_CONTAINERD=$run/containerd.sock
ENV
    if [[ -n ${SUDO_UID:-} ]]; then
        chown "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$dir/env.new"
    fi
    mv "$dir/env.new" "$dir/env"
}
