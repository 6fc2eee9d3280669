# Part of ./cluster: metrics-server, which measures pods for autoscalers.
# shellcheck shell=bash disable=SC2154

# A module of its own: it wants other versions of what both are made of.
build_metrics() {
    local started=$SECONDS work
    work=$(mktemp --directory "$cache/build.XXXXXX")
    say "Building metrics-server once into $metrics_bin: two minutes on two cores if nothing is cached."
    (cd "$here/../metrics" && CGO_ENABLED=0 nice go build -p 2 -ldflags='-s -w' -o "$work/" tool)
    put_in_place "$work" "$metrics_bin"
    say "Built after $((SECONDS - started)) s."
}

# A process in the cluster's namespace like the other parts, not a pod: it needs no
# image, and pods find no API server here.
start_metrics() {
    say "Starting what measures pods: metrics-server."
    inside metrics-server "$metrics_bin/metrics-server" --kubeconfig="$dir/kubeconfig" \
        --authentication-kubeconfig="$dir/kubeconfig" --authorization-kubeconfig="$dir/kubeconfig" \
        --bind-address="$node_address" --secure-port=$metrics_port --cert-dir="$dir/pki/metrics" \
        --kubelet-insecure-tls --kubelet-client-certificate="$dir/pki/to-kubelet.crt" \
        --kubelet-client-key="$dir/pki/to-kubelet.key" --kubelet-preferred-address-types=InternalIP \
        --metric-resolution=10s --kubelet-request-timeout=5s
    await kube-apiserver "the registration of metrics-server" register_metrics
    await metrics-server "an answer of metrics-server" kubectl_ get --raw /apis/metrics.k8s.io/v1beta1
}

# The Service has no pods behind it but the process on the node.
register_metrics() {
    kubectl_ apply --filename - <<YAML
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {ports: [{name: https, port: 443, targetPort: $metrics_port}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: metrics-server
  namespace: kube-system
  labels: {kubernetes.io/service-name: metrics-server}
addressType: IPv4
ports: [{name: https, port: $metrics_port}]
endpoints: [{addresses: [$node_address], conditions: {ready: true}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  service: {name: metrics-server, namespace: kube-system}
  group: metrics.k8s.io
  version: v1beta1
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
YAML
}
