"""From a line written until a follower has printed it, at a thousand lines a second."""

import os
import select
import statistics
import subprocess
import time

import images
from measure import fail, rounds

DOCKER = "docker logs --follow of the same container"
KUBECTL = "kubectl logs --follow of the same pod"
# Seconds until lines come, that pass before they count, and for which they do.
FIRST_SECONDS = 30
WARM_SECONDS = 1
COUNTED_SECONDS = 5


def docker(stage, count):
    platform = stage.platform
    app = writing(platform, "standard")
    words = ["ps", "--quiet", "--filter", f"label=dev.slipway.platform={platform.name()}", "--filter", f"label=dev.slipway.app={app}"]
    theirs = ["docker", "logs", "--follow", "--tail", "1", images.docker(*words)]
    return compare(platform, app, count, (DOCKER, theirs, os.environ))


def kubernetes(stage, count):
    platform, cluster = stage.on_cluster, stage.cluster
    app = writing(platform, "roomy")
    selector = f"app.kubernetes.io/instance={app},app.kubernetes.io/component=worker"
    words = ["get", "pods", "--namespace", platform.namespace, "--selector", selector, "--output", "jsonpath={.items[0].metadata.name}"]
    theirs = ["kubectl", "logs", "--namespace", platform.namespace, "--follow", "--tail", "1", cluster.kubectl(*words)]
    return compare(platform, app, count, (KUBECTL, theirs, cluster.env))


def writing(platform, size):
    """An app whose worker writes."""
    app = "writer"
    platform.make_app(app)
    platform.verb("container:release", f"worker={images.writer(platform.registry_address())}", "--app", app)
    platform.verb("ps:scale", f"worker=1:{size}", "--app", app)
    return app


def compare(platform, app, count, peer):
    which, theirs, env = peer
    ours = platform.words("logs", "--tail", "--num", "1", "--source", "app", "--app", app)
    slow = ([], [])

    def follow(words, env, side):
        delays = delays_of(words, env)
        slow[side].append(statistics.quantiles(delays, n=100)[98])
        return statistics.median(delays)

    figures = rounds(count, lambda _: follow(ours, platform.verbs_env(), 0), lambda _: follow(theirs, env, 1))
    platform.verb("ps:scale", "worker=0", "--app", app)
    more = {"p99": round(statistics.median(slow[0]), 3), "peer_p99": round(statistics.median(slow[1]), 3)}
    return "ms", which, *figures, more


def delays_of(words, env):
    """Milliseconds for each line that is written while this follows."""
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    try:
        return read(child)
    finally:
        child.kill()
        child.communicate()


def read(child):
    began, delays, rest = time.monotonic(), [], b""
    fd = child.stdout.fileno()
    warm = None
    while warm is None or time.monotonic() < warm + COUNTED_SECONDS:
        if not select.select([fd], [], [], FIRST_SECONDS)[0] or time.monotonic() > began + FIRST_SECONDS:
            fail(f"{child.args[0]} printed no lines for {FIRST_SECONDS} s")
        chunk = os.read(fd, 65536)
        now, at = time.time_ns(), time.monotonic()
        if not chunk:
            fail(f"{child.args[0]} ended: {child.stderr.read().decode(errors='replace')[-300:]}")
        *lines, rest = (rest + chunk).split(b"\n")
        warm = warm or at + WARM_SECONDS
        if at >= warm:
            delays += [(now - int(line.rsplit(b" ", 1)[1])) / 1e6 for line in lines if b"written " in line]
    if len(delays) < 100:
        fail(f"{child.args[0]} printed only {len(delays)} lines in {COUNTED_SECONDS} s")
    return delays
