"""The server's resident memory: idle, and with a thousand Deployments."""

import json
import pathlib
import re
import statistics
import subprocess
import time

import images
from clusters import ClusterPlatform
from measure import fail
from parts import log, processes_with
from pretended import Pretended

# Quiet seconds before memory is read, of a server that has just started.
IDLE_SECONDS = 10
FEW = 10
PEER = f"the same server with {FEW} Deployments"
# Seconds until all pods that were made seem to run, and between two looks at them or two readings.
MADE_SECONDS = 540
LOOK_SECONDS = 5
# Apps whose objects are handed to the cluster at a time.
BATCH = 100
# What the cluster adds to an object, and a copy must not have.
ADDED = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
# Two rounds of the server's upkeep and more.
SETTLED_SECONDS = 70


def idle(stage, count):
    """The server and the apps' router. What both share is counted once: they are one program, whose pages both hold."""
    readings = [[], []]
    for _ in range(count):
        time.sleep(IDLE_SECONDS)
        readings[0].append(proportional_mb(stage.platform.process.child.pid))
        readings[1].append(sum(map(proportional_mb, processes_with(f"--socket={stage.platform.data}/"))))
    server, router = (round(statistics.median(side), 3) for side in readings)
    return "MB", None, [sum(pair) for pair in zip(*readings, strict=True)], None, {"server": server, "router": router}


def watch(stage, count):
    """Beside itself with a few: with one watch for all apps, and logs that share connections, it is about the same."""
    many = stage.options.deployments
    with Pretended(stage.cluster, stage.folder / "pretended", many):
        platform = stage.start(ClusterPlatform(stage.binary, stage.folder / "slipway-watching", stage.cluster, "watched"))
        theirs = with_deployments(platform, FEW, count)
        ours = with_deployments(platform, many, count)
        platform.process.stop()
        stage.cluster.kubectl("delete", "namespace", platform.namespace, "--wait=false")
    return "MB", PEER, ours, theirs, {"deployments": many}


def with_deployments(platform, wanted, count):
    """Readings of a server that was started with that many, and has looked after them for a while."""
    log(f"Making Deployments until there are {wanted}.")
    make_apps(platform, wanted)
    deadline = time.monotonic() + MADE_SECONDS
    while (ready := deployments_ready(platform)) < wanted:
        if time.monotonic() > deadline:
            fail(f"{ready} of {wanted} Deployments were ready after {MADE_SECONDS} s")
        time.sleep(LOOK_SECONDS)
    platform.restart()
    time.sleep(SETTLED_SECONDS)
    readings = []
    for _ in range(count):
        readings.append(resident_mb(platform.process.child.pid))
        time.sleep(LOOK_SECONDS)
    return readings


def make_apps(platform, wanted):
    """The first by the front door; the others as rows and objects like its own."""
    if not platform.api("GET", "/apps"):
        platform.make_app("watched-1")
        image = images.server(platform.registry_address(), "one")
        platform.verb("container:release", f"web={image}", "--app", "watched-1")

    make_objects(platform, wanted)

    def copied(table, **changed):
        """The columns of a table, and what a copy has in them."""
        columns = sql(platform, COLUMNS.format(table=table)).split()
        return ", ".join(columns), ", ".join(changed.get(name, f"{table}.{name}") for name in columns)

    rows = {
        "apps": copied("apps", id="fresh.id", name="fresh.name"),
        "releases": copied("releases", id="gen_random_uuid()", app_id="fresh.id"),
        "formation": copied("formation", app_id="fresh.id"),
    }
    sql(platform, COPY.format(wanted=wanted, **rows))


def make_objects(platform, wanted):
    """Before the rows: the server's upkeep would make what it misses, one app after another."""
    selector = "app.kubernetes.io/instance=watched-1"
    found = platform.cluster.kubectl("get", "deployments,services,secrets", "--namespace", platform.namespace, "--selector", selector, "--output", "json")
    text = json.dumps([bare(item) for item in json.loads(found)["items"]])
    there = platform.cluster.kubectl("get", "deployments", "--namespace", platform.namespace, "--output", "name").split()
    missing = range(len(there) + 1, wanted + 1)
    for first in range(missing.start, missing.stop, BATCH):
        numbers = range(first, min(first + BATCH, missing.stop))
        items = [item for number in numbers for item in json.loads(text.replace("watched-1", f"watched-{number}"))]
        whole = {"apiVersion": "v1", "kind": "List", "items": items}
        platform.cluster.kubectl("create", "--filename", "-", text=json.dumps(whole))


def bare(item):
    """An object as it was asked for."""
    item["metadata"] = {name: value for name, value in item["metadata"].items() if name not in ADDED}
    item.pop("status", None)
    if item["kind"] == "Service":
        # Without an address of their own: the cluster has some 250 of them.
        item["spec"] = item["spec"] | {"clusterIP": "None", "clusterIPs": ["None"]}
    return item


# Columns that are computed cannot be copied.
COLUMNS = "SELECT quote_ident(column_name) FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}' AND is_generated = 'NEVER'"
COPY = """
BEGIN;
CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS
    SELECT gen_random_uuid() AS id, 'watched-' || number AS name, first.id AS first
    FROM generate_series(2, {wanted}) AS number, (SELECT id FROM apps WHERE name = 'watched-1') AS first
    WHERE NOT EXISTS (SELECT FROM apps WHERE name = 'watched-' || number);
INSERT INTO apps ({apps[0]}) SELECT {apps[1]} FROM fresh JOIN apps ON apps.id = fresh.first;
INSERT INTO releases ({releases[0]}) SELECT {releases[1]} FROM fresh JOIN releases ON releases.app_id = fresh.first;
INSERT INTO formation ({formation[0]}) SELECT {formation[1]} FROM fresh JOIN formation ON formation.app_id = fresh.first;
COMMIT;
"""


def sql(platform, text):
    """Asks the private database."""
    words = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "slipway", "-d", "postgres", "-h", platform.data / "postgres/run"]
    ran = subprocess.run(words, input=text, capture_output=True, text=True)
    return ran.stdout.strip() if ran.returncode == 0 else fail(f"psql: {ran.stderr.strip()}")


def deployments_ready(platform):
    words = ["get", "deployments", "--namespace", platform.namespace, "--no-headers", "--output"]
    return platform.cluster.kubectl(*words, "custom-columns=READY:.status.readyReplicas").split().count("1")


def proportional_mb(pid):
    return kilobytes(pid, "smaps_rollup", "Pss") * 1024 / 1e6


def resident_mb(pid):
    return kilobytes(pid, "status", "VmRSS") * 1024 / 1e6


def kilobytes(pid, file, name):
    text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1])
