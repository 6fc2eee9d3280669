"""Apps without a Dockerfile, beside the lifecycle of Cloud Native Buildpacks on the same base images."""

import json
import pathlib
import shutil
import subprocess
import tempfile

from images import docker
from measure import fail, rounds
from parts import clear_engine
from pushes import ROOT, Side, lifecycle_peer, push_nothing
from receiving import PEER as BARE
from repositories import Checkout

LIFECYCLE = "post-receive script: the lifecycle 0.21 (creator) with the registry at hand, docker run, health check, switch"
# As `docker images` shows the official images of 2025, in MB: node:24-slim and python:3.13-slim of Docker Hub.
OFFICIAL_SLIM_MB = {"node": 226, "python": 121}


class Language:
    """An app of tests/apps: which line changes, and which dependency."""

    def __init__(self, name, app, buildpack, file, words, depend):
        self.name, self.app, self.buildpack, self.file, self.words, self.depend = name, app, buildpack, file, words, depend

    def say(self, checkout, text):
        source = (ROOT / "tests/apps" / self.app / self.file).read_text()
        if self.words not in source:
            fail(f"{self.file} of {self.app} does not say '{self.words}'")
        checkout.write(self.file, source.replace(self.words, text))


def depend_node(checkout, number):
    """Another version of a small package; npm finds the rest of a lockfile's entry by itself."""
    version = ["2.0.0", "2.1.0", "2.1.1", "2.1.2", "2.1.3"][number % 5]
    package, lock = (json.loads((checkout.folder / name).read_text()) for name in ("package.json", "package-lock.json"))
    # Express needs one of its own, which stays below its folder.
    package["dependencies"]["ms-again"] = f"npm:ms@{version}"
    lock["packages"][""]["dependencies"]["ms-again"] = f"npm:ms@{version}"
    lock["packages"]["node_modules/ms-again"] = {"name": "ms", "version": version}
    checkout.write("package.json", json.dumps(package))
    checkout.write("package-lock.json", json.dumps(lock))


def depend_python(checkout, number):
    version = ["4.9.0", "4.10.0", "4.11.0", "4.12.0", "4.12.1"][number % 5]
    text = (ROOT / "tests/apps/python-pip/requirements.txt").read_text()
    checkout.write("requirements.txt", f"{text.rstrip()}\nhumanize=={version}\n")


LANGUAGES = {
    "node": Language("node", "node-npm", "npm", "server.js", "Hello from node-npm", depend_node),
    "python": Language("python", "python-pip", "pip", "app.py", "Hello from python-pip", depend_python),
}


def cold(language):
    """A new app each time: no layer, no cache, no image of it is anywhere."""

    def bench(platform, openssh, count):
        ours = lambda number: first_push(our_side(platform, f"{language.name}-cold-{number}", language), language)
        theirs = lambda number: first_push(their_side(platform, openssh, f"{language.name}-cold-{number}", language), language)
        return "s", LIFECYCLE, *rounds(count, ours, theirs), None

    return bench


def change(language):
    return compared(f"{language.name}-change", language, lambda checkout, number: None)


def dependency(language):
    return compared(f"{language.name}-dependency", language, language.depend)


def compared(name, language, more):
    def bench(platform, openssh, count):
        sides = our_side(platform, name, language), their_side(platform, openssh, name, language)
        for side in sides:
            first_push(side, language)

        def measure(side):
            side.prepare = lambda number: more(side.checkout, number)
            return lambda number: side.measure(number, [])

        figures = rounds(count, *map(measure, sides))
        sides[1].close()
        return "s", LIFECYCLE, *figures, None

    return bench


def unchanged(language):
    """A commit without a change, until the push returns; the peer only takes the commit."""

    def bench(platform, openssh, count):
        name = f"{language.name}-unchanged"
        ours = our_side(platform, name, language).checkout
        theirs = Checkout(openssh.folder / name, openssh.config, openssh.make_repository(name))
        for checkout in (ours, theirs):
            bring(checkout, language)
            checkout.push()
        return "s", BARE, *rounds(count, push_nothing(ours), push_nothing(theirs)), None

    return bench


def image_mb(language):
    """What `docker images` shows. The aim: the official slim image and the dependencies, and a tenth more."""

    def bench(platform, openssh, count):
        name = f"{language.name}-size"
        ours, theirs = our_side(platform, name, language), their_side(platform, openssh, name, language)
        for side in (ours, theirs):
            first_push(side, language)
        sizes = [size_of(newest_image(repository)) for repository in (platform.repository(name), f"{openssh.registry.address}/{name}")]
        base = size_of(bases_of(platform, name)[1])
        aim = 1.1 * (OFFICIAL_SLIM_MB[language.name] + sizes[0] - base)
        theirs.close()
        more = {"base": base, "aim": round(aim, 1), "official_slim": OFFICIAL_SLIM_MB[language.name]}
        return "MB", LIFECYCLE, [sizes[0]], [sizes[1]], more

    return bench


def bring(checkout, language):
    shutil.copytree(ROOT / "tests/apps" / language.app, checkout.folder, dirs_exist_ok=True)
    checkout.commit(language.app)


def our_side(platform, name, language):
    checkout = Checkout(platform.folder / name, platform.config, platform.make_app(name, health="/"))
    return LanguageSide(language, checkout, platform.apps, f"{name}.localhost")


def their_side(platform, openssh, name, language):
    build, run = images(platform, openssh, language)
    settings = {"BUILDER": build, "RUN_IMAGE": run, "CA": platform.extra_ca or "", "HEALTH": "/"}
    checkout, port, close = lifecycle_peer(name, openssh, settings)

    def end():
        close()
        subprocess.run(["docker", "volume", "rm", "--force", f"slipway-bench-{name}"], capture_output=True)

    return LanguageSide(language, checkout, port, name, end)


class LanguageSide(Side):
    """Changes the line of its language."""

    def __init__(self, language, *words):
        super().__init__(*words)
        self.language, self.prepare = language, lambda number: None

    def change(self, number, text):
        self.language.say(self.checkout, text)
        self.prepare(number)


def first_push(side, language):
    """Before the rounds, whose numbers begin with 0."""
    bring(side.checkout, language)
    return side.measure(-1, [])


BUILT = {}


def images(platform, openssh, language):
    """A builder and a run image on what our own build stands on."""
    if language.name not in BUILT:
        name = f"{language.name}-bases"
        side = our_side(platform, name, language)
        first_push(side, language)
        build, run = bases_of(platform, name)
        pushed = f"{openssh.registry.address}/run-{language.name}:latest"
        docker("tag", run, pushed)
        docker("push", "--quiet", pushed)
        BUILT[language.name] = make_builder(build, language), pushed
    return BUILT[language.name]


def bases_of(platform, app):
    """The first and the last image that the app's Dockerfile builds on."""
    text = platform.api("GET", f"/apps/{app}/buildpacks/dockerfile")["dockerfile"]
    froms = [line.split() for line in text.splitlines() if line.startswith("FROM ")]
    stages = {words[3] for words in froms if len(words) > 3}
    found = [words[1] for words in froms if words[1] not in stages]
    return found[0], found[-1]


def make_builder(base, language):
    programs = subprocess.run([ROOT / "tests/lifecycle/build", "--programs"], check=True, capture_output=True, text=True).stdout.strip()
    buildpack = f"/cnb/buildpacks/slipway_{language.buildpack}/0.0.1"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copytree(ROOT / "tests/bench/buildpacks" / language.buildpack, folder / "buildpack")
        (folder / "lifecycle").mkdir()
        for program in ("lifecycle", "launcher"):
            shutil.copy2(pathlib.Path(programs) / program, folder / "lifecycle")
        for phase in ("analyzer", "detector", "restorer", "builder", "exporter", "creator"):
            (folder / "lifecycle" / phase).symlink_to("lifecycle")
        (folder / "order.toml").write_text(f'[[order]]\n[[order.group]]\nid = "slipway/{language.buildpack}"\nversion = "0.0.1"\n')
        (folder / "Dockerfile").write_text(
            f"FROM {base}\nUSER root\nRUN useradd --uid 1001 --user-group --no-create-home cnb && mkdir -p /layers /cache /workspace && chown 1001:1001 /layers /cache /workspace\n"
            "ENV CNB_USER_ID=1001 CNB_GROUP_ID=1001\nCOPY lifecycle /cnb/lifecycle\n"
            f"COPY buildpack {buildpack}\nCOPY order.toml /cnb/order.toml\nUSER 1001:1001\n"
        )
        name = f"slipway/bench-builder-{language.name}:latest"
        docker("build", "--quiet", "--tag", name, str(folder))
    return name


def newest_image(repository):
    names = docker("images", "--format", "{{.Repository}}:{{.Tag}}", repository).split()
    return names[0] if names else fail(f"the engine has no image {repository}")


def size_of(image):
    return int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def clear():
    clear_engine("slipway.bench-builder", "slipway/bench-builder-")
