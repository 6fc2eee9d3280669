# Waits until the test's process closes the pipe, then ends what the platform in $FOLDER left.
# Every process of a platform names its folder in its arguments; the folder's name is unique.
read -r _ || :

# The name comes by standard input, or grep would find itself.
pids() {
    printf '%s/\n' "$FOLDER" | grep -alF -f - /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3
}

# INT is a fast shutdown to PostgreSQL, and an ordinary end to everything else.
for signal in INT KILL; do
    kill -s "$signal" $(pids) 2>/dev/null
    n=0
    while [ -n "$(pids)" ] && [ $n -lt 100 ]; do
        sleep 0.1
        n=$((n + 1))
    done
done

id=$(sed -n 's/.*"platform": *"\([0-9a-f]*\)".*/\1/p' "$FOLDER/data/state.json" 2>/dev/null)
if [ -n "$id" ]; then
    docker ps -aq --filter "label=dev.slipway.platform=$id" | xargs -r docker rm -f >/dev/null
fi
# Names alone are taken away: another platform may have made the same image.
port=$(sed -n 's/.*"registry": *\([0-9]*\).*/\1/p' "$FOLDER/data/state.json" 2>/dev/null)
if [ -n "$port" ]; then
    docker images --digests --filter "reference=127.0.0.1:$port/*/*" \
        --format '{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}' |
        tr ' ' '\n' | grep -v '<none>' | sort -u | xargs -r docker rmi >/dev/null 2>&1
fi
rm -rf "$FOLDER"
