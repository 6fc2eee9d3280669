"""What benches on Kubernetes run on: a cluster of their own, and a Slipway that releases to it."""

import json
import os
import pathlib
import subprocess
import sys

from measure import fail
from parts import Part, Platform, environment

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Seconds for one kubectl.
KUBECTL_SECONDS = 120


class Cluster(Part):
    """tests/cluster/cluster, in a folder of its own: no other test slows it down, and none is slowed down by it."""

    folder = ROOT / "target/bench/cluster"

    def __init__(self, registry):
        self.registry = registry

    def start(self):
        self.script("start")
        lines = (self.folder / "env").read_text().splitlines()
        settings = dict(line.split("=", 1) for line in lines)
        self.kubeconfig, self.bin = settings["KUBECONFIG"], pathlib.Path(settings["SLIPWAY_CLUSTER_BIN"])
        self.host = settings["SLIPWAY_CLUSTER_HOST"]
        # Those who started us may have a proxy, which cannot reach the cluster.
        around = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1", "localhost", "198.18.0.0/15")))
        self.env = environment(KUBECONFIG=self.kubeconfig, NO_PROXY=around, no_proxy=around, PATH=f"{self.bin}:{os.environ['PATH']}")

    def stop(self):
        self.script("stop")

    def script(self, verb):
        words = [ROOT / "tests/cluster/cluster", verb, self.folder]
        subprocess.run(words, check=True, stdout=sys.stderr, env={**os.environ, "SLIPWAY_CLUSTER_REGISTRY": self.registry.address})

    def kubectl(self, *words, text=None):
        words = ["kubectl", *words]
        ran = subprocess.run(words, input=text, capture_output=True, text=True, env=self.env, timeout=KUBECTL_SECONDS)
        if ran.returncode != 0:
            fail(f"{' '.join(words)}: {ran.stderr.strip()}")
        return ran.stdout.strip()

    def make_namespace(self, name):
        self.kubectl("create", "namespace", name)
        return name

    def apply(self, namespace, *objects):
        whole = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--namespace", namespace, "--filename", "-", text=json.dumps(whole))

    def room_for(self, pods):
        """Fails unless that many pods fit beside each other."""
        nodes = json.loads(self.kubectl("get", "nodes", "--output", "json"))["items"]
        room = sum(int(node["status"]["allocatable"]["pods"]) for node in nodes)
        if room < pods:
            fail(f"{pods} pods have to fit at once, and the cluster's nodes take {room}: set a lower APPS")


class ClusterPlatform(Platform):
    """A Slipway whose apps run in a namespace of the cluster, with room for very many of them on one node."""

    def __init__(self, binary, folder, cluster, namespace):
        super().__init__(binary, folder)
        self.cluster, self.namespace = cluster, cluster.make_namespace(namespace)
        self.more.update(
            SLIPWAY_TARGET="kubernetes", SLIPWAY_KUBECONFIG=cluster.kubeconfig, SLIPWAY_KUBE_NAMESPACE=namespace,
            SLIPWAY_REGISTRY=cluster.registry.address, SLIPWAY_REGISTRY_PULL=cluster.registry.address,
            SLIPWAY_REGISTRY_PREFIX=namespace,
            SLIPWAY_PROCESS_CPUS="0.1", SLIPWAY_PROCESS_MEMORY="32MiB", SLIPWAY_SIZES="roomy=1:256MiB",
        )
