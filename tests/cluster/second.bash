# Part of ./cluster: a second API server, for tests that end one.
# shellcheck shell=bash disable=SC2154

# Leaves the address in the Service 'kubernetes' to the first.
start_second() {
    [[ -e $dir/env ]] || fail "No cluster runs in $dir."
    # shellcheck source=/dev/null
    name_addresses "$(source "$dir/env" && echo "${SLIPWAY_CLUSTER_HOST%.1}")"
    end "$second"
    mkdir -p "$dir/second"
    start_api_server "$second" 6444 --endpoint-reconciler-type=none --cert-dir="$dir/second"
    await "$second" "the second API server's certificate" test -s "$dir/second/apiserver.crt"
    write_kubeconfig 6444 "$dir/second/apiserver.crt" "$dir/second/kubeconfig"
    await "$second" "the second API server" "$bin/kubectl" --kubeconfig "$dir/second/kubeconfig" \
        --request-timeout=5s get --raw /readyz
}

# As if it had crashed: who asks it something at this moment gets no answer.
stop_second() {
    alive "$second" || return 0
    kill -KILL "$(cat "$run/$second.pid")"
    while alive "$second"; do sleep 0.1; done
}
