"""Releases to a cluster, beside kubectl moving equal Deployments to the same image."""

import concurrent.futures
import json
import subprocess
import time

import images
from measure import fail, rounds
from parts import log

KUBECTL = "kubectl set image && kubectl rollout status of an equal Deployment"
SCRIPT = "a script that runs kubectl set image && kubectl rollout status for all at once"
# Seconds for one round of either side, and for pods of the round before to go.
ROUND_SECONDS = 180
REST_SECONDS = 120
LOOK_SECONDS = 0.5
# Verbs at once while apps are made.
MAKERS = 8


def three(stage, count):
    """One app with three replicas."""
    ours, theirs = sides(stage, ["three"], replicas=3)
    return "s", KUBECTL, *rounds(count, ours.move, theirs.move), None


def many(stage, count):
    """Many apps of one replica, all at once."""
    apps = stage.options.apps
    # Both sides' and the new ones of the side that moves, with some of the cluster's own.
    stage.cluster.room_for(3 * apps + 10)
    ours, theirs = sides(stage, [f"many-{number}" for number in range(apps)], replicas=1)
    return "s", SCRIPT, *rounds(count, ours.move, theirs.move), {"apps": apps}


def sides(stage, names, replicas):
    """Both with all their pods up, once with each image, so that the node has both."""
    ours = Ours(stage, names, replicas)
    return ours, Kubectl(stage, names, replicas, ours.editions)


class Mover:
    """One of the two: moves all its Deployments to the other image, again and again."""

    def __init__(self, stage, namespace, names, replicas):
        self.cluster, self.namespace, self.names, self.replicas = stage.cluster, namespace, names, replicas
        self.folder = stage.folder

    def move(self, number):
        """Seconds from the first command's start to the last one's end."""
        self.rest()
        # Editions alternate, and the second was the last to be put in place.
        commands = {name: self.command(name, number % 2) for name in self.names}
        log(f"{self.namespace}: round {number}.")
        return together(commands, self.env, self.folder / f"{self.namespace}.log")

    def rest(self):
        """Waits until there are as many pods as there should be, all ready: none of the round before that still ends."""
        deadline = time.monotonic() + REST_SECONDS
        while (seen := self.pods()) != (expected := len(self.names) * self.replicas, expected):
            if time.monotonic() > deadline:
                fail(f"{self.namespace} has not come to rest within {REST_SECONDS} s: {seen[1]} of {expected} pods are ready, and {seen[0]} are there")
            time.sleep(LOOK_SECONDS)

    def pods(self):
        """How many are there of these apps, and how many of them are ready."""
        words = ["get", "pods", "--namespace", self.namespace, "--no-headers", "--output"]
        columns = 'custom-columns=NAME:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status'
        lines = [line.split() for line in self.cluster.kubectl(*words, columns).splitlines()]
        lines = [words for words in lines if self.app_of(words[0]) in self.names]
        return len(lines), sum(words[1] == "True" for words in lines)

    @staticmethod
    def app_of(pod):
        """`many-1-web-6d5f7c-x2x4z` is of many-1."""
        return pod.rsplit("-web-", 1)[0]


class Ours(Mover):
    """Apps whose image `container:release` moves, until it returns."""

    def __init__(self, stage, names, replicas):
        self.platform = stage.on_cluster
        super().__init__(stage, self.platform.namespace, names, replicas)
        self.env = self.platform.verbs_env()
        self.images = [images.server(stage.registry.address, edition) for edition in ("one", "two")]
        # As Slipway names them in its Deployments: by digest.
        self.editions = {}
        log(f"Making {len(names)} apps with {replicas} replicas each.")
        with concurrent.futures.ThreadPoolExecutor(MAKERS) as makers:
            for app, found in zip(names, makers.map(self.make, names), strict=True):
                self.editions[app] = found

    def make(self, app):
        self.platform.make_app(app)
        return [self.release(app, edition) for edition in (0, 1)]

    def release(self, app, edition):
        self.platform.verb("container:release", f"web={self.images[edition]}", "--app", app)
        if edition == 0 and self.replicas != 1:
            self.platform.verb("ps:scale", f"web={self.replicas}", "--app", app)
        path = "jsonpath={.spec.template.spec.containers[0].image}"
        return self.cluster.kubectl("get", f"deployment/{app}-web", "--namespace", self.namespace, "--output", path)

    def command(self, app, edition):
        return self.platform.words("container:release", f"web={self.images[edition]}", "--app", app)


class Kubectl(Mover):
    """Copies of our Deployments, so that checks, limits and strategy are the same."""

    def __init__(self, stage, names, replicas, editions):
        super().__init__(stage, stage.theirs, names, replicas)
        self.env, self.editions = self.cluster.env, editions
        log(f"Making {len(names)} Deployments of the peer's.")
        self.cluster.apply(self.namespace, *(self.copy(name, stage.on_cluster.namespace) for name in names))
        for edition in (0, 1):
            together({name: self.command(name, edition) for name in names}, self.env, self.folder / f"{self.namespace}.log")

    def copy(self, name, namespace):
        found = json.loads(self.cluster.kubectl("get", f"deployment/{name}-web", "--namespace", namespace, "--output", "json"))
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"{name}-web"}, "spec": found["spec"]}

    def command(self, name, edition):
        image = self.editions[name][edition]
        script = f'kubectl set image "$0" web={image} && kubectl rollout status "$0" --timeout={ROUND_SECONDS}s'
        script = script.replace("kubectl ", f"kubectl --namespace {self.namespace} ")
        return ["sh", "-c", script, f"deployment/{name}-web"]


def together(commands, env, log_file):
    """Runs all commands at once; the seconds until the last has ended. Past the deadline it says which were not done."""
    began = time.monotonic()
    with log_file.open("ab") as output:
        children = {
            name: subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env)
            for name, words in commands.items()
        }
    late, refused = [], []
    for name, child in children.items():
        try:
            if child.wait(max(0, began + ROUND_SECONDS - time.monotonic())) != 0:
                refused.append(name)
        except subprocess.TimeoutExpired:
            late.append(name)
            child.kill()
            child.wait()
    seconds = time.monotonic() - began
    if late or refused:
        parts = [f"{len(names)} {what} ({', '.join(names[:5])}…)" for names, what in ((late, "not done"), (refused, "failed")) if names]
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-10:])
        fail(f"of {len(children)} moves, after {seconds:.0f} s: {', '.join(parts)}; the end of what was said:\n{tail}")
    return seconds
