"""The build of the gateway, with the profile the tests share, and how far it is."""

import json
import shutil
import subprocess
from pathlib import Path

from failure import Failure
from process import tail

ROOT = Path(__file__).resolve().parents[2]


def cargo():
    found = shutil.which("cargo") or shutil.which("cargo", path=str(Path.home() / ".cargo" / "bin"))
    if not found:
        raise Failure("cargo est introuvable : installez Rust (voir README.md).")
    if not shutil.which("cc"):
        raise Failure("il manque un compilateur C.\nSous Debian : apt install build-essential")
    return found


class Build:
    """`run` builds; `step` says how far it is; `binary` is the program once built."""

    def __init__(self, children, log):
        self.children = children
        self.log = log
        self.step = "compilation"
        self.binary = None

    def run(self):
        program = cargo()
        total = self._count(program)
        command = [program, "build", "--locked", "-p", "gateway", "--message-format", "json-render-diagnostics"]
        with open(self.log, "wb") as errors:
            child = self.children.start(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            built = set()
            for line in child.stdout:
                message = json.loads(line)
                if message.get("reason") != "compiler-artifact":
                    continue
                built.add(message["package_id"])
                self.step = f"compilation {min(len(built), total)}/{total}"
                if message["target"]["name"] == "guichet" and message.get("executable"):
                    self.binary = Path(message["executable"])
        child.wait()
        self.children.forget(child)
        if child.returncode != 0 or self.binary is None:
            raise Failure(f"la compilation a échoué.\n{tail(self.log, 30)}\nJournal : {self.log}")
        self.step = "compilé"

    def _count(self, program):
        """Packages to build, those already built included."""
        code, printed = self.children.run(
            [program, "tree", "--locked", "-p", "gateway", "-e", "normal,build", "--prefix", "none"], cwd=ROOT
        )
        if code != 0:
            raise Failure(f"cargo ne trouve pas les dépendances.\n{printed.strip()}")
        return len({line.removesuffix(" (*)") for line in printed.splitlines() if " v" in line})
