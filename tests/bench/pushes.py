"""From `git push` to the new answer, beside a bare push and beside the plain script of ./post-receive."""

import functools
import http.client
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import threading
import time

from front import Front
from measure import fail, rounds
from receiving import PEER as BARE
from repositories import Checkout, say, web_app

SCRIPT = "post-receive script: git archive | docker build, docker push, docker run, health check, switch"
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Seconds until the new answer has to be there, and between two looks for it.
LIVE_SECONDS = 300
LOOK_SECONDS = 0.02


def unchanged(platform, openssh, count):
    """A commit without a change. Nothing is built and no process moves; the peer only takes the commit."""
    ours = Checkout(platform.folder / "unchanged", platform.config, platform.make_app("unchanged"))
    theirs = Checkout(openssh.folder / "unchanged", openssh.config, openssh.make_repository("unchanged"))
    for checkout in (ours, theirs):
        web_app(checkout, ROOT / "examples/hello-docker", "unchanged")
        checkout.push()
    return "s", BARE, *rounds(count, push_nothing(ours), push_nothing(theirs)), None


def push_nothing(checkout):
    """A commit that changes no file, until its push returns."""

    def push(number):
        checkout.commit(f"Nothing, for the {number}. time")
        return checkout.push()

    return push


def one_line(platform, openssh, count):
    return compare("one-line", platform, openssh, count, [])


def cold(platform, openssh, count):
    return compare("cold", platform, openssh, count, ["--push-option=no-cache"])


def compare(name, platform, openssh, count, options):
    """One line of the app changes; both have the same base image, Dockerfile, registry program and health check."""
    ours = Side(Checkout(platform.folder / name, platform.config, platform.make_app(name)), platform.apps, f"{name}.localhost")
    theirs = script_peer(name, openssh)
    for side in (ours, theirs):
        web_app(side.checkout, ROOT / "examples/hello-docker", "before")
        side.checkout.push()
        side.look_for("before", time.monotonic())
    live = rounds(count, lambda number: ours.measure(number, options), lambda number: theirs.measure(number, options))
    theirs.close()
    returned = {"returned": round(statistics.median(ours.returned), 3), "peer_returned": round(statistics.median(theirs.returned), 3)}
    return "s", SCRIPT, *live, returned


class Side:
    """One of the two: where to push, and where its app answers."""

    def __init__(self, checkout, port, host, close=lambda: None):
        self.checkout, self.port, self.host, self.close = checkout, port, host, close
        self.returned = []

    def measure(self, number, options):
        """Seconds from the start of the push until the new answer is served."""
        text = f"round {number} of {self.host}"
        self.change(number, text)
        self.checkout.commit(text)
        began = time.monotonic()
        pushing = threading.Thread(target=lambda: self.returned.append(self.checkout.push(*options)))
        pushing.start()
        seconds = self.look_for(text, began)
        pushing.join()
        if len(self.returned) <= number:
            fail("a push failed; its reason is above")
        return seconds

    def change(self, _number, text):
        say(self.checkout, text)

    def look_for(self, text, began):
        while self.answer() != text:
            if time.monotonic() - began > LIVE_SECONDS:
                fail(f"{self.host} did not answer '{text}' within {LIVE_SECONDS} s; the last push said:\n{self.checkout.said}")
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - began

    def answer(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/", headers={"Host": f"{self.host}:{self.port}"})
            return connection.getresponse().read().decode(errors="replace").strip()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def script_peer(name, openssh):
    checkout, port, close = peer(name, openssh, "post-receive", {"HEALTH": "/healthz"})
    return Side(checkout, port, name, close)


def lifecycle_peer(name, openssh, settings):
    return peer(name, openssh, "post-receive-lifecycle", settings)


def peer(name, openssh, script, more):
    """A repository with this script as its hook: where to push, the port of its app, and what ends it."""
    address = openssh.make_repository(name)
    repository, ports = openssh.folder / f"{name}.git", openssh.folder / f"{name}.ports"
    subprocess.run(["git", "-C", repository, "config", "receive.advertisePushOptions", "true"], check=True)
    settings = {
        "NAME": name, "PORTS": ports, "REGISTRY": openssh.registry.address, "DOCKER": docker_with_buildkit(),
        "HERE": ROOT / "tests/bench", "DOCKER_HOST": os.environ["DOCKER_HOST"], "PATH": os.environ["PATH"], **more,
    }
    lines = (ROOT / "tests/bench" / script).read_text().split("\n", 1)
    exports = "export " + " ".join(f"{key}={shlex.quote(str(value))}" for key, value in settings.items())
    hook = repository / "hooks/post-receive"
    hook.write_text(f"{lines[0]}\n{exports}\n{lines[1]}")
    hook.chmod(0o755)
    front = Front(ports)
    return Checkout(openssh.folder / name, openssh.config, address), front.port, front.close


@functools.cache
def docker_with_buildkit():
    """Recent clients need a plugin for BuildKit; Debian's has it built in. The slow builder would flatter us."""
    for docker in dict.fromkeys(filter(None, (shutil.which("docker"), "/usr/bin/docker"))):
        probe = subprocess.run(
            [docker, "build", "--quiet", "-"], input=b"FROM scratch\nLABEL a=b\n", capture_output=True,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
        )
        if probe.returncode == 0 and b"legacy builder" not in probe.stderr:
            return docker
    fail("no docker client here builds with BuildKit: install Debian's docker.io, or docker-buildx")
