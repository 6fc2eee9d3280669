"""The web page as somebody sees it who is signed in: the history of few and of many releases, and a log with many readers."""

import contextlib
import hashlib
import http.client
import os
import re
import resource
import select
import socket
import statistics
import time

from measure import fail, rounds
from memory import resident_mb, sql
from repositories import Checkout

FEW, MANY = 100, 100_000
ITSELF = f"the same page with {FEW} releases"
# Pages of a round, and those before it that do not count.
PAGES = 400
WARM_PAGES = 50
# Seconds after which PostgreSQL's processes have told of all that they have done.
TOLD_SECONDS = 12

FOLLOWERS = 1000
ALONE = "the same log with one follower"
# Connections of one address that the server takes.
OF_ONE_ADDRESS = 60
# Seconds for all to have begun, for which lines count, and without a line after which it is given up.
BEGUN_SECONDS = 120
COUNTED_SECONDS = 10
SILENT_SECONDS = 60


def history_few(stage, count):
    platform = stage.platform
    visitor = Visitor(platform)
    make_history(platform, "history-few", FEW)
    slow, usual = [], []
    for _ in range(count):
        times = visitor.times("/ui/apps/history-few")
        slow.append(p99(times))
        usual.append(statistics.median(times))
    more = {"p50": round(statistics.median(usual), 3), "queries": queries(platform, visitor, "/ui/apps/history-few")}
    return "ms, p99", None, slow, None, more


def history_many(stage, count):
    platform = stage.platform
    visitor = Visitor(platform)
    for name, releases in (("history-few", FEW), ("history-many", MANY)):
        make_history(platform, name, releases)
    usual = ([], [])

    def visit(name, side):
        times = visitor.times(f"/ui/apps/{name}")
        usual[side].append(statistics.median(times))
        return p99(times)

    ours, theirs = rounds(count, lambda _: visit("history-many", 0), lambda _: visit("history-few", 1))
    p50 = [statistics.median(side) for side in usual]
    more = {"p50": round(p50[0], 3), "peer_p50": round(p50[1], 3), "p50_ratio": round(p50[0] / p50[1], 3)}
    more["queries"] = queries(platform, visitor, "/ui/apps/history-many")
    return "ms, p99", ITSELF, ours, theirs, more


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def p99(times):
    return statistics.quantiles(times, n=100)[98]


class Visitor:
    """A browser's connection that stays open, with a session of the bench's user."""

    def __init__(self, platform):
        self.platform = platform
        # As the server makes them: random bits, and a checksum of what stands before it.
        secret = f"slp_{os.urandom(32).hex()}"
        secret += sha256(secret)[:8]
        self.cookie = f"slipway={secret}"
        sql(platform, SESSION.format(sha256=sha256(secret)))
        self.connection = http.client.HTTPConnection("127.0.0.1", platform.http, timeout=60)

    def times(self, path):
        """Milliseconds from the request's first byte until the page is here whole."""
        taken = []
        for number in range(WARM_PAGES + PAGES):
            began = time.perf_counter()
            self.get(path)
            if number >= WARM_PAGES:
                taken.append((time.perf_counter() - began) * 1000)
        return taken

    def get(self, path):
        self.connection.request("GET", path, headers={"Cookie": self.cookie})
        answer = self.connection.getresponse()
        page = answer.read()
        if answer.status != 200:
            fail(f"GET {path}: {answer.status} {page.decode(errors='replace')[:300]}")
        return page


SESSION = """
INSERT INTO web_sessions (id, user_id, sha256, address, browser, expires_at)
SELECT gen_random_uuid(), id, decode('{sha256}', 'hex'), '127.0.0.1', 'bench', now() + interval '1 day'
FROM users WHERE name = 'bench';
"""


def queries(platform, visitor, path):
    """What one page asks of PostgreSQL, by its own count of transactions: each of the page's queries is one."""
    before = transactions(platform)
    for _ in range(PAGES):
        visitor.get(path)
    return round((transactions(platform) - before) / PAGES, 1)


def transactions(platform):
    time.sleep(TOLD_SECONDS)
    return int(sql(platform, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"))


def make_history(platform, name, releases):
    """An app with that many releases, each of a build with its stages: rows as pushes make them."""
    if not any(app["name"] == name for app in platform.api("GET", "/apps")):
        platform.api("POST", "/apps", {"name": name})
        sql(platform, HISTORY.format(name=name, releases=releases))


HISTORY = """
SET statement_timeout = 0;
BEGIN;
INSERT INTO builds (id, app_id, number, status, trigger, commit, tree, subject, actor_name, attempt, digest, started_at,
                    finished_at, log_closed_at)
SELECT gen_random_uuid(), a.id, v, 'succeeded', 'push', encode(sha256(v::text::bytea), 'hex'), 'tree',
       'Change number ' || v, 'person-' || v % 20, 1, 'sha256:' || encode(sha256(v::text::bytea), 'hex'), now(),
       now() + interval '4 s', now()
FROM apps a, generate_series(1, {releases}) v WHERE a.name = '{name}';
INSERT INTO build_stages (build_id, stage, started_at, finished_at)
SELECT b.id, s.stage, now() + make_interval(secs => s.n), now() + make_interval(secs => s.n + 0.8)
FROM builds b JOIN apps a ON a.id = b.app_id,
     unnest(ARRAY['snapshot', 'detect', 'build', 'push', 'release', 'deploy']) WITH ORDINALITY s (stage, n)
WHERE a.name = '{name}';
INSERT INTO releases (id, app_id, version, status, description, trigger, build_id, commit, image, digest, blueprint,
                      config, actor_name, finished_at)
SELECT gen_random_uuid(), b.app_id, b.number, CASE WHEN b.number % 10 = 3 THEN 'failed' ELSE 'succeeded' END,
       'Deploy ' || left(b.commit, 8), 'push', b.id, b.commit, '{name}:' || b.number, b.digest,
       '{{"processes": {{"web": null}}, "port": 8080}}', jsonb_build_object('KEY', b.number / 50), b.actor_name, now()
FROM builds b JOIN apps a ON a.id = b.app_id WHERE a.name = '{name}';
UPDATE apps SET last_version = {releases}, last_build = {releases}, released_build = {releases} WHERE name = '{name}';
COMMIT;
VACUUM ANALYZE builds, build_stages, releases;
"""


def followers(stage, count):
    """From a line that a build writes until each follower has it; BuildKit's own way to the server is in both figures."""
    platform = stage.platform
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    visitor = Visitor(platform)
    checkout = Checkout(platform.folder / "followed", platform.config, platform.make_app("followed"))
    checkout.write("writer.py", WRITER)
    checkout.write("Dockerfile", DOCKERFILE)
    resident, usual = [], []

    def follow(number, readers):
        checkout.write("round", f"{number} {readers}")
        checkout.commit(f"Round {number} with {readers}")
        checkout.push("--push-option=detach")
        build = platform.api("GET", "/apps/followed/builds")[-1]["number"]
        delays = delays_of(visitor, f"/ui/apps/followed/builds/{build}/events?from=0", readers, resident)
        platform.api("POST", f"/apps/followed/builds/{build}/cancel", {})
        until_ended(platform, build)
        if readers > 1:
            usual.append(statistics.median(delays))
        return p99(delays)

    figures = rounds(count, lambda number: follow(number, FOLLOWERS), lambda number: follow(number, 1))
    more = {"p50": round(statistics.median(usual), 3), "followers": FOLLOWERS, "server_rss_mb": round(max(resident), 1)}
    return "ms, p99", ALONE, *figures, more


# A line every fifth of a second, with the time in it.
WRITER = """import time
while True:
    print(f"written {time.time_ns()}")
    time.sleep(0.2)
"""
DOCKERFILE = "FROM slipway/base\nCOPY . /\nRUN python3 -u /writer.py\n"
WRITTEN = re.compile(rb"written (\d{19})")


def until_ended(platform, build):
    deadline = time.monotonic() + SILENT_SECONDS
    while platform.api("GET", f"/apps/followed/builds/{build}")["finished_at"] is None:
        if time.monotonic() > deadline:
            fail(f"build {build} did not end within {SILENT_SECONDS} s")
        time.sleep(0.2)


def delays_of(visitor, path, readers, resident):
    """Milliseconds for each line and follower, once all follow."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{visitor.platform.http}\r\nCookie: {visitor.cookie}\r\n\r\n".encode()
    poll, sockets, delays = select.epoll(), {}, []
    with contextlib.ExitStack() as open_sockets:
        for number in range(readers):
            source = (f"127.0.1.{1 + number // OF_ONE_ADDRESS}", 0)
            follower = socket.create_connection(("127.0.0.1", visitor.platform.http), timeout=60, source_address=source)
            open_sockets.enter_context(follower)
            follower.sendall(request)
            follower.setblocking(False)
            sockets[follower.fileno()] = follower
            poll.register(follower, select.EPOLLIN)
        begun, began, counted = set(), time.monotonic(), None
        while counted is None or time.monotonic() < counted + COUNTED_SECONDS:
            ready = poll.poll(SILENT_SECONDS)
            if not ready or (counted is None and time.monotonic() > began + BEGUN_SECONDS):
                fail(f"{len(begun)} of {readers} followers had a line")
            for fd, _ in ready:
                text = sockets[fd].recv(262_144)
                now = time.time_ns()
                if not text:
                    fail("the server ended a follower's connection")
                times = WRITTEN.findall(text)
                if times:
                    begun.add(fd)
                if counted is not None:
                    delays += [(now - int(written)) / 1e6 for written in times if int(written) > since]
            if counted is None and len(begun) == readers:
                counted, since = time.monotonic(), time.time_ns()
        resident.append(resident_mb(visitor.platform.process.child.pid))
    lines = len(delays) / readers
    if lines < COUNTED_SECONDS:
        fail(f"each follower had {lines:.1f} lines in {COUNTED_SECONDS} s")
    return delays
