"""How long a web hook's sender waits for its answer."""

import hashlib
import hmac
import http.client
import itertools
import json
import statistics
import time

from measure import fail, rounds

PEER = "GET /healthz, which does nothing"
APP = "hooked"
# Requests that pass before they count, and for which they do: the 99th of a hundred is then the tenth from the end.
WARM = 100
COUNTED = 1000
ANSWER_SECONDS = 30


def hooks(stage, count):
    platform = stage.platform
    platform.api("POST", "/apps", {"name": APP})
    wish = {"url": "https://127.0.0.1/bench/hooked.git", "provider": "github"}
    secret = platform.api("POST", f"/apps/{APP}/connection", wish)["secret"].encode()
    # A push to a branch that is not deployed: the row and its job are the same, and no repository is needed. The jobs
    # run while the next deliveries come.
    body = json.dumps({"ref": "refs/heads/other", "after": "1" * 40, "commits": [{"id": "1" * 40}] * 20}).encode()
    signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    names = itertools.count()
    medians = ([], [])

    def deliver():
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": str(next(names)), "X-Hub-Signature-256": signature}
        return "POST", f"/hooks/github/{APP}", body, headers, 202

    def nothing():
        return "GET", "/healthz", None, {}, 200

    def slowest(side, make):
        delays = answers(platform.http, make)
        medians[side].append(statistics.median(delays))
        return statistics.quantiles(delays, n=100)[98]

    figures = rounds(count, lambda _: slowest(0, deliver), lambda _: slowest(1, nothing))
    more = {"median": round(statistics.median(medians[0]), 3), "peer_median": round(statistics.median(medians[1]), 3)}
    return "ms (p99)", PEER, *figures, more


def answers(port, make):
    """Milliseconds for each of the answers to requests that are sent one after the other on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    delays = []
    for _ in range(WARM + COUNTED):
        method, path, body, headers, expected = make()
        started = time.perf_counter()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        delays.append((time.perf_counter() - started) * 1000)
        if response.status != expected:
            fail(f"{method} {path}: {response.status} {text[:200]!r}")
    connection.close()
    return delays[WARM:]
