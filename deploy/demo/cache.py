"""The folder kept between runs: engines and models, and the lock that lets one run at a time change it."""

import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path


def root():
    """`$GUICHET_DEMO_CACHE`, else `~/.cache/guichet-demo`."""
    named = os.environ.get("GUICHET_DEMO_CACHE")
    path = Path(named) if named else Path.home() / ".cache" / "guichet-demo"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


@contextlib.contextmanager
def locked(name, on_wait=lambda: None):
    """Holds the lock `name` of the cache; calls `on_wait` once when another process has it."""
    with open(root() / f"{name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sha256(path, on_bytes=lambda count: None):
    """Hex digest of a file, read by pieces of 4 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(4 << 20):
            digest.update(piece)
            on_bytes(len(piece))
    return digest.hexdigest()


class Stamp:
    """Says that a file was verified, so that a later run need not read it again.

    It holds the file's size and time of change: a file touched since is verified anew.
    """

    def __init__(self, path):
        self.file = path
        self.stamp = path.with_name(path.name + ".verified")

    def _now(self, digest):
        stat = self.file.stat()
        return {"sha256": digest, "bytes": stat.st_size, "changed_ns": stat.st_mtime_ns}

    def holds(self, digest):
        try:
            return json.loads(self.stamp.read_text()) == self._now(digest)
        except (OSError, ValueError):
            return False

    def write(self, digest):
        self.stamp.write_text(json.dumps(self._now(digest)))
