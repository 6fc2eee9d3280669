"""What the chosen benches run on. Each part is started when the first of them asks for it."""

import contextlib
import functools

from clusters import Cluster, ClusterPlatform
from parts import OpenSsh, Platform, Registry, log


class Stage:
    """`options` are the command line's."""

    def __init__(self, folder, binary, options, base_images):
        self.folder, self.binary, self.options, self.base_images = folder, binary, options, base_images
        self.parts = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.parts.__exit__(*error)

    def start(self, part):
        log(f"Starting {type(part).__name__}.")
        return self.parts.enter_context(part)

    @functools.cached_property
    def platform(self):
        """Slipway on this machine's engine."""
        return self.start(Platform(self.binary, self.folder / "slipway", self.base_images))

    @functools.cached_property
    def registry(self):
        """The peers'; and of what runs in the cluster, everybody's."""
        return self.start(Registry(self.folder / "registry"))

    @functools.cached_property
    def openssh(self):
        return self.start(OpenSsh(self.folder / "openssh", self.registry))

    @functools.cached_property
    def cluster(self):
        return self.start(Cluster(self.registry))

    @functools.cached_property
    def on_cluster(self):
        """Slipway on the cluster, with a namespace."""
        return self.start(ClusterPlatform(self.binary, self.folder / "slipway-on-cluster", self.cluster, "ours"))

    @functools.cached_property
    def theirs(self):
        """The namespace of the peers on the cluster."""
        return self.cluster.make_namespace("theirs")
