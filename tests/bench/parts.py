"""What runs during the benchmark: Slipway, and for the peer an OpenSSH server and a registry, all on free loopback ports."""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from measure import fail

# Seconds for a part to answer, and to end.
READY_SECONDS = 240
STOP_SECONDS = 60
# Seconds for one answer of the API.
API_SECONDS = 60
# Seconds for one verb, which may wait for a release.
VERB_SECONDS = 300
# Settings of the caller's that are meant for another platform.
FOREIGN = ("SLIPWAY_", "DATABASE_URL", "GIT_")

urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))


def log(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, **more}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A child in a session of its own, ended with the `with` that started it."""

    def __init__(self, words, log_file, env=None):
        self.log_file = log_file
        with log_file.open("ab") as output:
            self.child = subprocess.Popen(
                [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=env or environment(), start_new_session=True,
            )

    def wait_for(self, what, ready):
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if self.child.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])
                fail(f"{what} did not answer; the end of its log:\n{tail}")
            time.sleep(0.05)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, signal.SIGKILL)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError):
        return False


def make_key(folder):
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway bench", "-f", key], check=True)
    return key


def write_ssh_config(folder, port, user, key, host_key):
    """The same client settings for both."""
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    config = folder / "ssh_config"
    config.write_text(
        f"Host *\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder / 'known_hosts'}\n  StrictHostKeyChecking yes\n  BatchMode yes\n"
        "  ControlMaster no\n  ControlPath none\n  LogLevel ERROR\n"
    )
    return config


class Part:
    """Ends what it has begun to start, also when starting fails half-way."""

    process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process:
            self.process.stop()


class Platform(Part):
    """`slipway serve` with an admin, whose key is the bench's."""

    def __init__(self, binary, folder, base_images=None):
        self.binary, self.folder = binary, folder
        # Who sets this needs it for downloads, and so do builds.
        self.extra_ca = os.environ.get("SSL_CERT_FILE")
        self.more = {"SLIPWAY_BUILD_EXTRA_CA": self.extra_ca, "SLIPWAY_BASE_IMAGES": base_images, "SLIPWAY_HOOK_NETWORKS": "127.0.0.0/8"}
        self.more = {name: str(value) for name, value in self.more.items() if value}
        folder.mkdir()
        folder.chmod(0o711)
        self.data = folder / "data"
        self.http, self.ssh, self.apps = free_port(), free_port(), free_port()

    def start(self):
        self.serve()
        admin = [self.binary, "admin", "bench"]
        made = subprocess.run(admin, env=environment(SLIPWAY_DATA_DIR=str(self.data)), check=True, capture_output=True, text=True)
        self.token = made.stdout.strip()
        key = make_key(self.folder)
        self.api("POST", "/account/keys", {"public_key": key.with_suffix(".pub").read_text()})
        doors = self.api("GET", "/platform")
        self.config = write_ssh_config(self.folder, self.ssh, doors["ssh_user"], key, doors["ssh_host_keys"][0])

    def serve(self):
        self.process = Process(
            [self.binary, "serve"], self.folder / "log",
            environment(
                SLIPWAY_DATA_DIR=str(self.data), SLIPWAY_HTTP_LISTEN=f"127.0.0.1:{self.http}",
                SLIPWAY_SSH_LISTEN=f"127.0.0.1:{self.ssh}", SLIPWAY_APPS_LISTEN=f"127.0.0.1:{self.apps}",
                **self.more,
            ),
        )
        self.process.wait_for("Slipway", lambda: answers(f"http://127.0.0.1:{self.http}/readyz"))

    def restart(self):
        self.process.stop()
        self.serve()

    def stop(self):
        super().stop()
        for pid in processes_with(f"--socket={self.data}/"):
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(FileNotFoundError):
            clear_engine(f"dev.slipway.platform={self.name()}", f"{self.registry_address()}/")

    def words(self, *verb):
        """A verb on the command line, for who has `verbs_env`."""
        return [str(self.binary), *verb]

    def verbs_env(self):
        return environment(SLIPWAY_URL=f"http://127.0.0.1:{self.http}", SLIPWAY_TOKEN=self.token)

    def verb(self, *words):
        ran = subprocess.run(self.words(*words), env=self.verbs_env(), capture_output=True, text=True, timeout=VERB_SECONDS)
        if ran.returncode != 0:
            fail(f"slipway {' '.join(words)}: {ran.stdout.strip()} {ran.stderr.strip()}")
        return ran.stdout

    def name(self):
        return self.state()["platform"]

    def registry_address(self):
        """Where its images are, as the engine names them."""
        return self.more.get("SLIPWAY_REGISTRY") or f"127.0.0.1:{self.state()['ports']['registry']}"

    def state(self):
        return json.loads((self.data / "state.json").read_text())

    def api(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=API_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            fail(f"{method} {path}: {error.status} {error.read().decode(errors='replace')}")

    def make_app(self, name, health="/healthz"):
        """An app with an HTTP health check; the address to push to."""
        self.api("POST", "/apps", {"name": name})
        self.api("PATCH", f"/apps/{name}", {"health_path": health})
        return f"ssh://127.0.0.1/{name}.git"

    def repository(self, name):
        """Where the app's images are, as the engine names them."""
        return f"{self.registry_address()}/slipway/{name}"


def clear_engine(label, images):
    """Removes the containers with this label and the images whose names begin so."""

    def docker(*words):
        return subprocess.run(["docker", *words], capture_output=True, text=True).stdout.split()

    containers = docker("ps", "--all", "--quiet", "--filter", f"label={label}")
    if containers:
        docker("rm", "--force", *containers)
    names = [name for name in docker("images", "--format", "{{.Repository}}:{{.Tag}}") if name.startswith(images)]
    if names:
        docker("rmi", *names)


def processes_with(word):
    """Processes one of whose arguments begins with this."""
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(argument.startswith(word) for argument in arguments):
                yield int(folder.name)


class Registry(Part):
    """The peer's; the same program and the same settings as Slipway's private one."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.address = f"127.0.0.1:{free_port()}"

    def stop(self):
        super().stop()
        clear_engine("slipway.bench", f"{self.address}/")

    def start(self):
        config = self.folder / "config.yml"
        storage = {"filesystem": {"rootdirectory": str(self.folder / "storage")}, "delete": {"enabled": True}}
        quiet = {"level": "warn", "accesslog": {"disabled": True}}
        config.write_text(json.dumps({"version": 0.1, "log": quiet, "storage": storage, "http": {"addr": self.address}}))
        self.process = Process(["docker-registry", "serve", config], self.folder / "log")
        self.process.wait_for("The peer's registry", lambda: answers(f"http://{self.address}/v2/"))


class OpenSsh(Part):
    """sshd, run by hand with keys of its own, and bare repositories that are pushed to by git's own receive-pack."""

    def __init__(self, folder, registry):
        self.folder, self.registry = folder, registry
        folder.mkdir()
        self.port = free_port()

    def start(self):
        host_key = self.folder / "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True)
        key = make_key(self.folder)
        shutil.copy(key.with_suffix(".pub"), self.folder / "authorized_keys")
        settings = self.folder / "sshd_config"
        settings.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {host_key}\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\n"
        )
        if os.geteuid() == 0:
            # The unprivileged half of sshd is confined to it.
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin") or fail("sshd is not installed; deploy/setup bench installs it.")
        self.process = Process([sshd, "-D", "-e", "-f", settings], self.folder / "log")
        self.process.wait_for("sshd", self.listens)
        user = pwd.getpwuid(os.geteuid()).pw_name
        self.config = write_ssh_config(self.folder, self.port, user, key, " ".join(host_key.with_suffix(".pub").read_text().split()[:2]))

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def make_repository(self, name):
        """A bare repository; the address to push to."""
        path = self.folder / f"{name}.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", path], check=True)
        return f"ssh://127.0.0.1{path}"
