"""Child processes: started in groups of their own, logged to files, and all ended whatever happens."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from failure import Failure


class Children:
    """Every process this run started. `end` leaves none behind, and nothing starts after it."""

    def __init__(self):
        self._running = []
        self._lock = threading.Lock()
        self.ended = False

    def start(self, command, *, outlives_nothing=False, **options):
        """Starts `command` in a session of its own, so that Ctrl-C reaches this driver only.

        outlives_nothing: also ends with this driver, even when the driver is killed. The caller must be the main
        thread: the kernel watches the thread that started the child.
        """
        if outlives_nothing and shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        with self._lock:
            if self.ended:
                raise Failure("arrêt demandé")
            child = subprocess.Popen([str(part) for part in command], start_new_session=True, **options)
            self._running.append(child)
        return child

    def run(self, command, **options):
        """Runs `command` to its end. Returns (exit status, everything it printed)."""
        child = self.start(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        printed, _ = child.communicate()
        self.forget(child)
        return child.returncode, printed

    def forget(self, child):
        with self._lock:
            self._running.remove(child)

    def end(self, patience=10.0):
        """Asks each process to stop, last started first, and kills what is left after `patience` seconds."""
        with self._lock:
            self.ended = True
            running = list(reversed(self._running))
        for child in running:
            _signal(child, signal.SIGTERM)
            # A gateway drains before its engines go.
            if not _wait(child, patience):
                _signal(child, signal.SIGKILL)
                child.wait()


def _signal(child, number):
    if child.poll() is None:
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass


def _wait(child, patience):
    try:
        child.wait(patience)
        return True
    except subprocess.TimeoutExpired:
        return False


def free_port(wanted=0):
    """`wanted` if nobody listens there, else a port the system chooses, on 127.0.0.1."""
    for port in (wanted, 0):
        with socket.socket() as attempt:
            # As servers do: a port left a moment ago by an earlier run is free.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
                return attempt.getsockname()[1]
            except OSError:
                continue
    raise Failure("aucun port libre sur 127.0.0.1")


def tail(path, lines=15):
    """The last lines of a log, to show with a failure."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def wait_until(ready, child, log, what, patience):
    """Calls `ready()` every 50 ms until it is true; fails when `child` ends first or after `patience` seconds."""
    until = time.monotonic() + patience
    while not ready():
        if child.poll() is not None:
            raise Failure(f"{what} s'est arrêté (code {child.returncode}).\n{tail(log)}\nJournal : {log}")
        if time.monotonic() > until:
            raise Failure(f"{what} ne répond pas après {patience:.0f} s.\n{tail(log)}\nJournal : {log}")
        time.sleep(0.05)
