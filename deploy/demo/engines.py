"""The two engines of the demonstration: fetched once, then started on 127.0.0.1."""

import http.client
import os
import subprocess
from pathlib import Path

import cache
from environment import Environment
from models import Model
from process import wait_until

HERE = Path(__file__).parent


class Engines:
    """A chat engine (llama.cpp) and an embeddings engine (multilingual-e5-small)."""

    def __init__(self, children, small=False, judge=False):
        self.children = children
        self.environment = Environment(children)
        self.model = Model("chat-small" if small else "chat")
        # A model of another family, which judges the first.
        self.judge = Model("judge") if judge else None
        # What is being done, for who shows progress.
        self.step = "attente"

    @property
    def ready(self):
        return self.environment.ready and all(model.ready for model in self._models())

    def _models(self):
        return [model for model in (self.model, self.judge) if model]

    def fetch(self):
        """Downloads, verifies and installs what is missing; nothing is done when all is there."""
        if self.ready:
            self.step = "déjà là"
            return
        self.step = "attend une autre installation"
        with cache.locked("fetch"):
            self.step = "environnement Python"
            self.environment.make()
            self.step = "téléchargement"
            for model in self._models():
                model.fetch(self.environment)
            self.step = "installation des moteurs"
            self.environment.install()
        self.step = "vérifiés"

    def start(self, chat_port, embeddings_port, logs, judge_port=None):
        """Starts all and returns at once; `wait` says when they answer. `logs`: an existing folder."""
        chat = ["engine_chat.py", "--model", self.model.path, "--alias", self.model.alias, "--port", chat_port]
        embeddings = ["engine_embeddings.py", "--port", embeddings_port]
        self.servers = [
            Server("le moteur de dialogue", chat_port, logs / "chat.log", self._launch(chat, logs / "chat.log")),
            Server(
                "le moteur de vecteurs",
                embeddings_port,
                logs / "embeddings.log",
                self._launch(embeddings, logs / "embeddings.log"),
            ),
        ]

        if self.judge:
            command = ["engine_chat.py", "--model", self.judge.path, "--alias", self.judge.alias, "--port", judge_port]
            log = logs / "judge.log"
            self.servers.append(Server("le moteur du juge", judge_port, log, self._launch(command, log)))

    def _launch(self, command, log):
        # By default idle OpenMP threads spin for a while and starve the other engine.
        environ = dict(os.environ, OMP_WAIT_POLICY="passive", PYTHONDONTWRITEBYTECODE="1")
        script, *arguments = command
        with open(log, "wb") as output:
            return self.children.start(
                [self.environment.python, HERE / script, *arguments],
                # Engines end when this pipe closes, so none outlives a driver that was killed.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
            )

    def wait(self):
        for server in self.servers:
            wait_until(server.answers, server.child, server.log, server.what, 180)


class Server:
    """One engine that was started."""

    def __init__(self, what, port, log, child):
        self.what, self.port, self.log, self.child = what, port, log, child
        self.url = f"http://127.0.0.1:{port}/v1"

    def answers(self):
        """True once it has its model in memory."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
