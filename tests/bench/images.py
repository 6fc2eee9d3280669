"""Images that are released as they are, without a build: small, so that starting them is what is measured."""

import os
import subprocess

from measure import fail

# Answers on its port, ends when it is told to, and its shell has a prompt that nothing else prints.
PROMPT = "bench-prompt> "
SERVER = """FROM slipway/base
LABEL slipway.bench.edition={edition}
ENV PS1="{prompt}"
EXPOSE 8080
USER 1000
CMD ["sh", "-c", "mkdir -p /tmp/www && echo ok >/tmp/www/healthz && trap 'exit 0' TERM; busybox httpd -f -p ${{PORT:-8080}} -h /tmp/www & wait"]
"""
# Writes a thousand lines a second, each with the time at which it was written, in nanoseconds.
WRITER = r"""FROM slipway/base
USER 1000
CMD ["python3", "-uc", "import itertools, signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nbegan = time.monotonic()\nfor number in itertools.count(1):\n    time.sleep(max(0, began + number / 1000 - time.monotonic()))\n    sys.stdout.write(f'written {time.time_ns()}\\n')"]
"""


def docker(*words, text=None):
    ran = subprocess.run(["docker", *words], input=text, capture_output=True, text=True, env={**os.environ, "DOCKER_BUILDKIT": "0"})
    if ran.returncode != 0:
        fail(f"docker {words[0]}: {ran.stderr.strip()}")
    return ran.stdout.strip()


def server(registry, edition):
    """The image's name in the registry. Editions differ in a label, which is enough for a digest of its own."""
    return publish(registry, f"server:{edition}", SERVER.format(edition=edition, prompt=PROMPT))


def writer(registry):
    return publish(registry, "writer:1", WRITER)


def publish(registry, name, dockerfile):
    name = f"{registry}/bench/{name}"
    docker("build", "--quiet", "--tag", name, "-", text=dockerfile)
    docker("push", "--quiet", name)
    return name
