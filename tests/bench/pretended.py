"""Nodes and pods that only seem to run: kwok says so to the API server, and nothing is started."""

import resource
import subprocess
import sys

from clusters import ROOT
from parts import Part, Process, free_port

PODS_PER_NODE = 500
LABEL = {"type": "kwok"}
STAGES = ROOT / "tests/kwok/stages.yaml"


class Pretended(Part):
    """As many nodes as the pods need. The node whose pods truly run takes no new ones meanwhile."""

    def __init__(self, cluster, folder, pods):
        self.cluster, self.folder, self.pods = cluster, folder, pods
        self.logs = None
        folder.mkdir()

    def start(self):
        program = subprocess.run([ROOT / "tests/kwok/build"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.cluster.kubectl("cordon", "node")
        port = self.serve_logs()
        words = [
            program, "--kubeconfig", self.cluster.kubeconfig, "--config", STAGES, "--manage-nodes-with-label-selector", "type=kwok",
            "--node-ip", self.cluster.host, "--node-port", port, "--server-address", f"127.0.0.1:{free_port()}",
            # Heartbeats tell that a node is there: kwok's leases fail under load.
            "--node-lease-duration-seconds", "0",
        ]
        self.process = Process(words, self.folder / "kwok.log", self.cluster.env)
        self.cluster.apply("default", *map(node, range(-(-self.pods // PODS_PER_NODE) + 1)))
        self.process.wait_for("kwok", self.nodes_are_ready)

    def serve_logs(self):
        """Their port. Each log that is followed holds a connection of the API server's."""
        key, certificate, port = self.folder / "key", self.folder / "certificate", free_port()
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=pretended", "-keyout", key, "-out", certificate]
        subprocess.run(words, check=True, capture_output=True)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        words = [sys.executable, ROOT / "tests/bench/quiet_logs.py", self.cluster.host, port, certificate, key]
        self.logs = Process(words, self.folder / "logs.log")
        return port

    def nodes_are_ready(self):
        path = 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'
        said = self.cluster.kubectl("get", "nodes", "--selector", "type=kwok", "--output", path).split()
        return said and set(said) == {"True"}

    def stop(self):
        self.cluster.kubectl("delete", "nodes", "--selector", "type=kwok", "--ignore-not-found")
        self.cluster.kubectl("uncordon", "node")
        super().stop()
        if self.logs:
            self.logs.stop()


def node(number):
    room = {"cpu": "1000", "memory": "1Ti", "pods": str(PODS_PER_NODE)}
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": f"pretended-{number}", "labels": LABEL},
        "status": {"allocatable": room, "capacity": room},
    }
