"""The gateway under demonstration: its configuration, its process, its command line."""

import http.client
import json
import os
import subprocess
from pathlib import Path

from client import Client
from failure import Failure
from process import wait_until

TEMPLATE = Path(__file__).with_name("guichet.yaml")


class Gateway:
    """One gateway with its own folder: `guichet.yaml`, `guichet-data/`, `logs/`."""

    def __init__(self, binary, folder, children):
        self.binary = binary
        self.folder = folder
        self.children = children
        self.config = folder / "guichet.yaml"
        self.data = folder / "guichet-data"
        self.log = folder / "logs" / "guichet.log"
        self.port = None
        self.child = None

    def configure(self, port, chat_port, embeddings_port, more=""):
        """Writes guichet.yaml: the template, with these ports and this folder, and `more` models or sections after it."""
        self.port = port
        text = TEMPLATE.read_text()
        for said, meant in {
            "listen: 127.0.0.1:8080": f"listen: 127.0.0.1:{port}",
            "data: ./guichet-data": f"data: {json.dumps(str(self.data))}",
            "- name: llama-local\n        url: http://127.0.0.1:8081/v1": (
                f"- name: llama-local\n        url: http://127.0.0.1:{chat_port}/v1"
            ),
            "- name: e5-local\n        url: http://127.0.0.1:8082/v1": (
                f"- name: e5-local\n        url: http://127.0.0.1:{embeddings_port}/v1"
            ),
        }.items():
            if text.count(said) != 1:
                raise Failure(f"{TEMPLATE} ne contient pas une fois « {said} »")
            text = text.replace(said, meant)
        self.config.write_text(text.replace("\n# Collections of documents", f"{more}\n# Collections of documents"))

    def environ(self):
        # What the caller's shell says of another gateway must not reach this one.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GUICHET")}
        return dict(kept, GUICHET_CONFIG=str(self.config))

    def start(self):
        with open(self.log, "wb") as output:
            self.child = self.children.start(
                [self.binary, "serve"],
                outlives_nothing=True,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environ(),
            )
        wait_until(self._ready, self.child, self.log, "guichet", 30)

    def _ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def command(self, *arguments):
        """Runs `guichet …  --json` and returns what it prints, decoded."""
        result = subprocess.run(
            [self.binary, *arguments, "--json"],
            cwd=self.folder,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if result.returncode != 0:
            raise Failure(f"guichet {' '.join(arguments)} : {result.stderr.strip() or result.stdout.strip()}")
        return json.loads(result.stdout)

    def ingest(self, path, collection, key):
        """`guichet ingest`: documents into a collection, until all of them can be found."""
        result = subprocess.run(
            [self.binary, "ingest", path, "--collection", collection, "--url", f"http://127.0.0.1:{self.port}"],
            cwd=self.folder,
            env=dict(self.environ(), GUICHET_KEY=key),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if result.returncode != 0:
            raise Failure(f"guichet ingest : {result.stderr.strip()[-800:] or result.stdout.strip()}")

    def administrator(self):
        """A client with the key that the first start wrote."""
        return Client(self.port, (self.data / "admin.key").read_text().strip())
