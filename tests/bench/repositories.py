"""The repositories that are pushed, and the push itself."""

import os
import random
import subprocess
import time

from measure import fail
from parts import environment

# Seconds after which a push counts as hung.
PUSH_SECONDS = 600

DOCKERFILE = """FROM slipway/base
RUN python3 -m compileall -q -f $(python3 -c 'import encodings; print(encodings.__path__[0])')
COPY . /app
USER 1000
CMD ["python3", "server.py"]
"""


class Checkout:
    """A working copy whose pushes go to one address."""

    def __init__(self, folder, config, address):
        self.folder, self.config, self.address = folder, config, address
        # What the last push was told.
        self.said = ""
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words, **options):
        settings = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false", "-c", "gc.auto=0"]
        return subprocess.run(
            ["git", *settings, *words], cwd=self.folder, check=options.pop("check", True), capture_output=True, text=True,
            env=environment(GIT_SSH_COMMAND=f"ssh -F {self.config}", GIT_TERMINAL_PROMPT="0"), **options,
        )

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def push(self, *options, refused_with=None):
        """Pushes main; the seconds that it took. A push that is meant to be refused names the reason."""
        began = time.monotonic()
        pushed = self.git("push", *options, self.address, "main", check=False, timeout=PUSH_SECONDS)
        seconds = time.monotonic() - began
        self.said = pushed.stderr
        if refused_with is None and pushed.returncode != 0 or refused_with is not None and refused_with not in pushed.stderr:
            fail(f"git push {' '.join(options)} {self.address} did not end as it should:\n{pushed.stderr}")
        return seconds


def web_app(checkout, example, text):
    """The example's web process, with a layer of work before its code."""
    for name in ("server.py", ".dockerignore"):
        checkout.write(name, (example / name).read_text())
    checkout.write("Dockerfile", DOCKERFILE)
    say(checkout, text)
    checkout.commit(text)


def say(checkout, text):
    checkout.write("message.py", f'MESSAGE = "{text}"\n')


def many_files(checkout, count, size, seed):
    """Files that do not compress and are all different, a hundred to a folder, in one commit."""
    source = random.Random(seed)
    for number in range(count):
        checkout.write(f"d{number // 100}/f{number}", source.randbytes(size))
    checkout.write("Dockerfile", "FROM slipway/base\n")
    checkout.commit("Many files")
    # Packed beforehand: the client's work is the same for both, and not what is measured.
    checkout.git("repack", "-a", "-d", "--quiet", "--window=0")
    os.sync()
