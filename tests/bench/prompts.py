"""From a command's start until a shell in a fresh process shows its prompt."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import images
from measure import fail, rounds

DOCKER = "docker run --interactive --tty --rm of the same image"
KUBECTL = "kubectl run --stdin --tty --rm of the same image"
PROMPT_SECONDS = 60
END_SECONDS = 20
# Between two presses of Enter: on a cluster both attach after the shell has shown its prompt, and see only the next.
ENTER_SECONDS = 0.1
ROWS, COLUMNS = 24, 80


def docker(stage, count):
    platform = stage.platform
    image = images.server(platform.registry_address(), "one")
    theirs = ["docker", "run", "--interactive", "--tty", "--rm", "--memory", "512m", "--cpus", "1", image, "sh"]
    return compare(platform, image, count, (DOCKER, lambda _: theirs, os.environ))


def kubernetes(stage, count):
    platform = stage.on_cluster
    image = images.server(platform.registry_address(), "one")

    def theirs(number):
        words = ["kubectl", "run", f"prompt-{number}", "--namespace", stage.theirs, "--stdin", "--tty", "--rm"]
        return [*words, "--restart", "Never", "--image", image, "--", "sh"]

    return compare(platform, image, count, (KUBECTL, theirs, stage.cluster.env))


def compare(platform, image, count, peer):
    which, theirs, env = peer
    app = "prompt"
    platform.make_app(app)
    platform.verb("container:release", f"web={image}", "--app", app)
    ours = platform.words("run", "--app", app, "sh")
    # Once beforehand, so that the image is where it is needed.
    prompt(theirs("warm"), env)
    prompt(ours, platform.verbs_env())
    return "s", which, *rounds(count, lambda _: prompt(ours, platform.verbs_env()), lambda number: prompt(theirs(number), env)), None


def prompt(words, env):
    """Seconds until the prompt; the shell is ended afterwards."""
    began = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.execvpe(words[0], [str(word) for word in words], dict(env))
        finally:
            os._exit(127)
    seen, seconds = b"", None
    try:
        pressed = began
        while images.PROMPT.encode() not in seen:
            if time.monotonic() > began + PROMPT_SECONDS:
                fail(f"{words[0]} showed no prompt within {PROMPT_SECONDS} s, but: {seen.decode(errors='replace')[-300:]}")
            seen += read(terminal, words, seen)
            if time.monotonic() > pressed + ENTER_SECONDS and images.PROMPT.encode() not in seen:
                pressed = time.monotonic()
                os.write(terminal, b"\r")
        seconds = time.monotonic() - began
        os.write(terminal, b"exit\r")
    finally:
        end(pid, terminal, killed=seconds is None)
    return seconds


def read(terminal, words, seen):
    """What comes within a moment."""
    if not select.select([terminal], [], [], ENTER_SECONDS / 10)[0]:
        return b""
    try:
        return os.read(terminal, 65536)
    except OSError:
        fail(f"{words[0]} ended before its prompt: {seen.decode(errors='replace')[-300:]}")


def end(pid, terminal, killed):
    """Reads to the end, so that nobody waits for us; whoever does not end is made to."""
    deadline = time.monotonic() + (0 if killed else END_SECONDS)
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], ENTER_SECONDS)[0]:
            try:
                if not os.read(terminal, 65536):
                    break
            except OSError:
                break
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    os.waitpid(pid, 0)
