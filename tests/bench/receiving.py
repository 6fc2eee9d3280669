"""Receiving packs beside OpenSSH with git's own receive-pack: `git push` until it returns."""

from measure import rounds
from repositories import Checkout, many_files

PEER = "git push to a bare repository over OpenSSH"


def hundred_megabytes(platform, openssh, count):
    return compare("receive-100mb", platform, openssh, count, files=100, size=1_000_000)


def fifty_thousand_files(platform, openssh, count):
    return compare("receive-50k", platform, openssh, count, files=50_000, size=500)


def compare(name, platform, openssh, count, files, size):
    """Ours is a dry run: all is received, checked (strictly, which the peer does not) and thrown away, nothing is built."""
    address = platform.make_app(name)
    ours = Checkout(platform.folder / name, platform.config, address)
    many_files(ours, files, size, seed=1)

    def receive_ours(_):
        return ours.push("--push-option=dry-run", refused_with="dry run")

    def receive_theirs(number):
        # A fresh one each time: what was received once is not sent again.
        theirs = Peer(ours, openssh, openssh.make_repository(f"{name}-{number}"))
        return theirs.push()

    figures = rounds(count, receive_ours, receive_theirs)
    return "s", PEER, *figures, None


class Peer(Checkout):
    """The same working copy, pushed elsewhere."""

    def __init__(self, checkout, openssh, address):
        self.folder, self.config, self.address = checkout.folder, openssh.config, address
