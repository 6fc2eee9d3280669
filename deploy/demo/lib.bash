# What the demos share: a platform of their own, a repository to push, and words
# for people. The caller sets `root` and `state`, the folder of its platform.
# shellcheck shell=bash disable=SC2154,SC2034,SC2163

# Nothing here is reached through a proxy.
export NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost,.localhost,198.18.0.0/15
export no_proxy=$NO_PROXY

# Nothing fails without a word.
set -o errtrace
trap 'printf "\ndemo: this failed (status %d, line %d): %s\n" $? $LINENO "$BASH_COMMAND" >&2' ERR

# Longest wait for the server to be ready, and to end; requests in hand may take
# half a minute of the latter.
ready_seconds=240
stop_seconds=90
# Longest that requests run beside a push, the push included.
load_seconds=300
# Longest answer of the API; a rollback waits for its rollout.
api_seconds=120
app=hello
# The example that an app's repository is a copy of.
declare -A examples=([hello]=hello-docker [hello-python]=hello-python)

# Compiles the server; sets `binary`.
build_slipway() {
    step "Building slipway (the first time takes some minutes; cargo shows its progress)"
    cargo build --workspace --bin slipway
    binary=$(cargo metadata --no-deps --format-version 1 | json 'd["target_directory"]')/debug/slipway
}

# Base images for buildpacks: the official ones where they can be pulled, else those
# named, from Debian packages. Sets `settings`, what the platform has to be told of it.
make_bases() {
    settings=()
    if ! "$root/deploy/stack/build" --can-pull >/dev/null; then
        "$root/deploy/stack/build" --offline --list "$state/base-images" "$@"
        settings+=("SLIPWAY_BASE_IMAGES=$state/base-images")
    fi
    # Who sets this needs it for downloads, and so do builds.
    if [[ -n ${SSL_CERT_FILE:-} ]]; then settings+=("SLIPWAY_BUILD_EXTRA_CA=$SSL_CERT_FILE"); fi
}

# Starts `slipway serve`, or keeps the one that runs if it is of this program.
# Arguments: the first of three ports, then settings as NAME=value.
start_platform() {
    local first_port=$1 pid
    shift
    step "Starting the platform: slipway serve"
    choose_ports "$first_port"
    choose_data
    if platform_runs; then
        if [[ /proc/$(platform_pid)/exe -ef $binary ]]; then
            say "It runs already, as process $(platform_pid)."
            await_ready
            return
        fi
        say "An older build of it runs: restarting it. Its apps go on answering."
        stop_platform
    fi
    clean_environment
    (
        export SLIPWAY_DATA_DIR=$data SLIPWAY_HTTP_LISTEN=127.0.0.1:$http_port \
            SLIPWAY_SSH_LISTEN=127.0.0.1:$ssh_port SLIPWAY_APPS_LISTEN=127.0.0.1:$apps_port "$@"
        cd /
        exec setsid "$binary" serve </dev/null >>"$state/slipway.log" 2>&1
    ) &
    echo $! >"$state/pid"
    await_ready
    say "It is ready as process $(platform_pid)."
}

# The demo shows the platform without settings: those of the caller's are for
# another one, as is the database that checked queries are compiled against.
clean_environment() {
    local name
    for name in $(compgen -e | grep '^SLIPWAY_' || true); do unset "$name"; done
    unset DATABASE_URL DATABASE_URL_FILE
}

await_ready() {
    local deadline=$((SECONDS + ready_seconds))
    until curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:$http_port/readyz"; do
        platform_runs || give_up "The server ended"
        ((SECONDS < deadline)) || give_up "The server was not ready within $ready_seconds s"
        sleep 0.2
    done
}

give_up() {
    tail -n 15 "$state/slipway.log" >&2
    fail "$1. The end of its log is above; all of it is in $state/slipway.log. Mend the cause and run this again."
}

# Ends the server: its private database and registry end with it, apps go on.
stop_platform() {
    local pid deadline=$((SECONDS + stop_seconds))
    platform_runs || return 0
    pid=$(platform_pid)
    kill "$pid" 2>/dev/null || true
    while platform_runs; do
        if ((SECONDS >= deadline)); then
            say "It did not end within $stop_seconds s: killing it."
            kill -KILL "$pid" 2>/dev/null || true
        fi
        sleep 0.2
    done
}

platform_pid() { cat "$state/pid" 2>/dev/null; }

# The recorded process, and not another one that got its number since.
platform_runs() {
    local pid
    pid=$(platform_pid) && { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep --quiet 'slipway serve '
}

# The usual ports, or the next ones that are free; kept, since remotes name them.
choose_ports() {
    if [[ ! -s $state/ports ]]; then
        echo "$(free_port "$1") $(free_port $(($1 - 58))) $(free_port $(($1 + 10)))" >"$state/ports"
    fi
    read -r http_port ssh_port apps_port <"$state/ports"
}

free_port() {
    local port
    for port in $(seq "$1" $(($1 + 9))); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
    done
    fail "Ports $1 to $(($1 + 9)) of 127.0.0.1 are all taken: free one of them."
}

# PostgreSQL will not run as root: as root the private one is the user postgres',
# who may not reach a checkout in a closed home folder.
choose_data() {
    data=$state/data
    if [[ $EUID -eq 0 ]] && ! runuser -u postgres -- test -x "$state" 2>/dev/null; then
        data=/var/lib/slipway-demo/$(sha256sum <<<"$state" | cut -c1-8)
    fi
}

# The first admin's token: asked for once, kept in a file for its owner only.
sign_in() {
    url=http://127.0.0.1:$http_port
    if [[ ! -s $state/token ]]; then
        (umask 077 && SLIPWAY_DATA_DIR=$data "$binary" admin demo >"$state/token.new" 2>"$state/admin.log") ||
            { cat "$state/admin.log" >&2 && fail "The first admin could not be made; the reason is above."; }
        mv "$state/token.new" "$state/token"
    fi
    token=$(cat "$state/token")
    (umask 077 && printf 'Authorization: Bearer %s\n' "$token" >"$state/authorization")
    api GET /account >/dev/null
}

# A key, and an ssh_config as `slipway login` prints it: `platform` is a host, with
# the server's own key pinned.
make_ssh() {
    [[ -e $state/id_ed25519 ]] || ssh-keygen -q -t ed25519 -N '' -C "slipway demo" -f "$state/id_ed25519"
    slipway login "$url" <<<"$token" | sed -n '/^Host platform/,/^$/p' >"$state/ssh_config"
    grep --quiet '^Host platform' "$state/ssh_config" || fail "'slipway login' printed no block for ssh_config."
    cat >>"$state/ssh_config" <<SSH
    IdentityFile "$state/id_ed25519"
    IdentitiesOnly yes
    BatchMode yes
    ConnectTimeout 15
SSH
    if ! ssh_ keys >/dev/null 2>&1; then slipway keys:add "$state/id_ed25519.pub"; fi
}

# A command line with settings of its own beside the user's.
slipway() { (unset SLIPWAY_URL SLIPWAY_TOKEN && XDG_CONFIG_HOME=$state/config "$binary" "$@"); }

ssh_() { ssh -F "$state/ssh_config" platform "$@"; }

# git with that ssh_config, and with the token for HTTP; neither is written into
# the user's settings.
git_() {
    # shellcheck disable=SC2016 # git's shell expands it
    GIT_SSH_COMMAND="ssh -F '$state/ssh_config'" GIT_TERMINAL_PROMPT=0 SLIPWAY_TOKEN=$token git -C "$work" \
        -c user.name='Slipway demo' -c user.email=demo@localhost -c commit.gpgsign=false \
        -c credential.helper= -c credential.helper='!echo username=demo; echo "password=$SLIPWAY_TOKEN"; :' "$@"
}

api() {
    local method=$1 path=$2 body=("${@:3}")
    [[ ${#body[@]} -eq 0 ]] || body=(--header 'Content-Type: application/json' --data "${body[0]}")
    curl --silent --show-error --fail-with-body --max-time "$api_seconds" --request "$method" \
        --header @"$state/authorization" "${body[@]}" "$url$path" || { echo >&2 && fail "$method $path was refused; the server's sentence is above."; }
}

# A value of the JSON on standard input: a Python expression over `d`.
json() { python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }

# Makes the app unless it is there.
make_app() {
    local name=$1
    if ! ssh_ apps:info "$name" >/dev/null 2>&1; then ssh_ apps:create "$name"; fi
}

# The repository that is pushed: a copy of the example. Sets `work`.
make_repository() {
    work=$state/$app
    [[ ! -d $work/.git ]] || return 0
    rm -rf "$work"
    cp -r "$root/examples/${examples[$app]:-hello-docker}" "$work"
    git init --quiet --initial-branch=main "$work"
}

# Changes the one line to a version that was not there yet; sets `text`.
change_line() {
    local number
    number=$(($(git_ rev-list --count HEAD 2>/dev/null || echo 0) + 1))
    text="Hello from Slipway: version $(word "$number")"
    sed -i "s/^MESSAGE = .*/MESSAGE = \"$text\"/" "$work/message.py"
    git_ add --all
    git_ commit --quiet --allow-empty --message "Say: version $(word "$number")"
}

word() {
    local words=(zero one two three four five six seven eight nine ten)
    echo "${words[$1]:-$1}"
}

remote() {
    git_ remote remove "$1" 2>/dev/null || true
    git_ remote add "$1" "$2"
}

show_stages() {
    local number
    echo
    for number in "$@"; do api GET "/apps/$app/builds/$number" && echo; done | python3 "$root/deploy/demo/stages.py"
}

push() { shown "git push platform main" git_ push platform main || fail "The push failed; the reason is above."; }

# Runs a push from the version `old` to `text` while 50 requests a second go to
# `app_url`; goes on when both have given 200 answers, and none was lost.
switch_under_load() {
    local ready=$state/load.ready report=$state/load.txt loader
    say "The line is now: $text"
    rm -f "$ready"
    python3 "$root/deploy/demo/load.py" --url "$app_url" --old "$old" --new "$text" \
        --rate 50 --answers 200 --seconds "$load_seconds" --ready "$ready" >"$report" 2>&1 &
    loader=$!
    until [[ -e $ready ]]; do
        kill -0 "$loader" 2>/dev/null || { cat "$report" >&2 && fail "The requests ended before the push; what came back is above."; }
        sleep 0.1
    done
    shown "git push $url/$app.git main" "$@" || { kill "$loader" && fail "The push failed; the reason is above."; }
    wait "$loader" || { cat "$report" >&2 && fail "Not every request was answered during the switch; the counts are above."; }
    sed 's/^/    /' "$report"
}

# An address answers with this text, as a person would ask it.
expect() {
    local answer
    answer=$(shown "curl $1" curl --silent --show-error --max-time 30 "$1") || fail "$1 does not answer."
    echo "$answer"
    [[ ${answer##*$'\n'} = "$2" ]] || fail "$1 answers something else than: $2"
}

newest_build() { api GET "/apps/$app/builds" | json 'max(build["number"] for build in d)'; }
current_release() { api GET "/apps/$app/releases" | json '[r["version"] for r in d if r["current"]][0]'; }

# What scripts are told.
describe_platform() {
    SLIPWAY_URL=$url SLIPWAY_TOKEN=$token SLIPWAY_SSH_KEY=$state/id_ed25519
    SLIPWAY_SSH=$(api GET /platform | json '"ssh://{ssh_user}@{ssh_host}:{ssh_port}".format(**d)')
    SLIPWAY_SSH_KNOWN_HOSTS=$(sed -n 's/^ *UserKnownHostsFile "\(.*\)"$/\1/p' "$state/ssh_config")
    SLIPWAY_APP_URL=$(api GET /platform | json '(d["app_url"] or "").rstrip("/")')
}

# For scripts: shell lines, values quoted where need be. Arguments: further variables.
write_env() {
    local name
    (
        umask 077
        for name in SLIPWAY_URL SLIPWAY_SSH SLIPWAY_TOKEN SLIPWAY_SSH_KEY SLIPWAY_SSH_KNOWN_HOSTS SLIPWAY_APP_URL DOCKER_HOST "$@"; do
            if [[ ${!name} =~ ^[A-Za-z0-9_./:@{}-]*$ ]]; then
                printf 'export %s=%s\n' "$name" "${!name}"
            else
                printf 'export %s=%q\n' "$name" "${!name}"
            fi
        done >"$state/env.new"
    )
    mv "$state/env.new" "$state/env"
}

step() { printf '\n==> %s\n' "$*"; }
say() { printf '    %s\n' "$*"; }

# Prints a command as a person would type it, then runs it.
shown() {
    printf '    $ %s\n' "$1"
    shift
    "$@"
}

fail() {
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}
