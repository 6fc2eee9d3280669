# Part of ./run: a PostgreSQL and a registry of the tests' own, on free ports of
# loopback, gone when the tests have ended.
# shellcheck shell=bash

# Longest wait for the first answer of each.
service_seconds=60

# Starts both; sets what the tests are told of them.
start_services() {
    # Below /tmp: PostgreSQL refuses to run as root, and its own user may not be
    # able to reach this checkout.
    services=$(mktemp --directory /tmp/slipway-tests.XXXXXX)
    chmod 711 "$services"
    start_postgres
    start_registry
}

start_postgres() {
    local binaries as=(env) port
    binaries=$(compgen -G '/usr/lib/postgresql/*/bin' | sort --version-sort | tail -n 1)
    [[ -n $binaries ]] || fail "PostgreSQL is not installed; deploy/setup test installs it."
    mkdir "$services/postgres"
    if [[ $EUID -eq 0 ]]; then
        as=(runuser -u postgres --)
        chown postgres "$services/postgres"
    fi
    port=$(free_port 5800)
    (
        cd "$services/postgres"
        "${as[@]}" "$binaries/initdb" --pgdata data --username postgres --auth trust --encoding UTF8 --no-locale >initdb.log 2>&1 ||
            { cat initdb.log >&2 && exit 1; }
        exec "${as[@]}" "$binaries/postgres" -D "$services/postgres/data" -k "$services/postgres" -p "$port" \
            -c listen_addresses=127.0.0.1 -c max_connections=300 -c fsync=off -c synchronous_commit=off \
            </dev/null >log 2>&1
    ) &
    postgres=$!
    export SLIPWAY_TEST_DATABASE_URL=postgres://postgres@127.0.0.1:$port/postgres
    await "$postgres" "PostgreSQL" "$services/postgres/log" "$binaries/pg_isready" --quiet --host 127.0.0.1 --port "$port"
}

start_registry() {
    local port
    port=$(free_port 5900)
    cat >"$services/registry.yml" <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$services/registry"}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port"}
YAML
    docker-registry serve "$services/registry.yml" </dev/null >"$services/registry.log" 2>&1 &
    registry=$!
    export SLIPWAY_TEST_REGISTRY=127.0.0.1:$port
    export SLIPWAY_CLUSTER_REGISTRY=${SLIPWAY_CLUSTER_REGISTRY:-$SLIPWAY_TEST_REGISTRY}
    await "$registry" "the registry" "$services/registry.log" curl --silent --fail --noproxy '*' --output /dev/null "http://127.0.0.1:$port/v2/"
}

await() {
    local pid=$1 what=$2 log=$3 deadline=$((SECONDS + service_seconds))
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "$pid" 2>/dev/null || ((SECONDS >= deadline)); then
            tail -n 20 "$log" >&2
            fail "The tests' own $what did not answer; the end of its log is above."
        fi
        sleep 0.1
    done
}

# SIGQUIT ends PostgreSQL at once: there is nothing to save.
stop_services() {
    [[ -n ${services:-} ]] || return 0
    if [[ -n ${registry:-} ]]; then kill "$registry" 2>/dev/null || true; fi
    kill -QUIT "$(head -n 1 "$services/postgres/data/postmaster.pid" 2>/dev/null)" 2>/dev/null || true
    wait
    rm -rf "$services"
}

free_port() {
    local port
    for port in $(seq "$1" $(($1 + 99))); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
    done
    fail "Ports $1 to $(($1 + 99)) of 127.0.0.1 are all taken: free one of them."
}
