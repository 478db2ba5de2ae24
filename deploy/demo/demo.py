#!/usr/bin/env python3
"""`make demo` and `make demo-check`: real open models behind Guichet, from one command.

  demo.py run       for a person: shows the job, then serves until Ctrl-C
  demo.py check     the same, unattended; the exit status is not 0 when a step fails, and the last line names it
  demo.py evaluate  the evaluation of a product on small models, unattended: traffic, people, judge, report, gate
  demo.py fetch     only downloads and verifies engines and models
  demo.py engines   only starts the engines: prints one line of JSON when they answer, stops when its input closes

Only the standard library is needed. See README.md beside this file.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cache
from build import ROOT, Build
from engines import Engines
from evaluation import JUDGE, PROMPT_FILES, Evaluation
from failure import Failure
from gateway import Gateway
from process import Children, free_port
from screen import Screen
from walk import Walk


def fetching(engines):
    """How far the engines are, in one piece of a line."""
    model = engines.model
    if engines.step == "téléchargement":
        return f"modèle {model.done // 10**6}/{model.bytes // 10**6} Mo"
    return f"moteurs : {engines.step}"


def follow(screen, tasks, describe):
    """Shows progress until every task is done; the first failure is raised at once."""
    while True:
        for task in tasks:
            if task.done():
                task.result()
        if all(task.done() for task in tasks):
            return
        minutes, seconds = divmod(int(screen.seconds()), 60)
        screen.progress(f"  {describe()} · {minutes}:{seconds:02}")
        time.sleep(0.1)


def prepare(screen, children, folder, ports):
    """Builds and fetches side by side, and starts the engines as soon as they are there."""
    engines = Engines(children)
    build = Build(children, folder / "logs" / "build.log")
    there = engines.ready
    if not there:
        screen.line(
            f"Première fois : {engines.model.bytes // 10**6} Mo de modèle et 150 Mo de moteurs à prendre, "
            "et Guichet à compiler. Comptez une dizaine de minutes."
        )
    with ThreadPoolExecutor(2) as pool:
        try:
            fetched, built = pool.submit(engines.fetch), pool.submit(build.run)
            follow(screen, [fetched], lambda: f"{build.step} · {fetching(engines)}")
            engines.start(ports["chat"], ports["embeddings"], folder / "logs")
            screen.done(f"moteurs et modèle {'déjà là' if there else 'téléchargés'}, empreintes vérifiées")
            follow(screen, [built], lambda: f"{build.step} · moteurs : chargement")
            screen.done("Guichet compilé")
        except BaseException:
            # Tasks end with their processes.
            children.end()
            raise
    return engines, build


def demonstrate(screen, children, folder, ports, waits):
    (folder / "logs").mkdir(parents=True)
    engines, build = prepare(screen, children, folder, ports)
    gateway = Gateway(build.binary, folder, children)
    gateway.configure(ports["gateway"], ports["chat"], ports["embeddings"])
    gateway.start()
    screen.progress("  chargement des modèles…")
    engines.wait()
    screen.done("moteurs et Guichet en marche")
    walk = Walk(screen, gateway, engines)
    walk.all()
    if waits:
        walk.show_commands()
        screen.title("Guichet reste en marche. Ctrl-C pour tout arrêter.")
        watched = {"Guichet": gateway.child} | {server.what: server.child for server in engines.servers}
        while not (stopped := [name for name, child in watched.items() if child.poll() is not None]):
            time.sleep(0.5)
        raise Failure(f"{stopped[0]} s'est arrêté.\nJournaux : {folder / 'logs'}")


def run(asked):
    """For a person: fixed ports when they are free, so that commands can be typed again later."""
    screen, children = Screen(), Children()
    folder = ROOT / "target" / "demo"
    with cache.locked("run", lambda: screen.line("Une autre démonstration tourne déjà ; j'attends qu'elle finisse.")):
        shutil.rmtree(folder, ignore_errors=True)
        ports = {"gateway": free_port(asked.port), "chat": free_port(8081), "embeddings": free_port(8082)}
        if ports["gateway"] != asked.port:
            screen.note(f"Le port {asked.port} est pris : Guichet écoutera sur {ports['gateway']}.")
        try:
            demonstrate(screen, children, folder, ports, waits=True)
        except KeyboardInterrupt:
            screen.line()
        finally:
            stop(screen, children)
    screen.line("Tout est arrêté. Les données et les journaux sont dans target/demo.")


def check(_asked):
    """Unattended: a folder of its own, any free ports, so that several may run at once."""
    screen, children = Screen(), Children()
    (ROOT / "target").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-check-", dir=ROOT / "target"))
    ports = {name: free_port() for name in ("gateway", "chat", "embeddings")}
    try:
        demonstrate(screen, children, folder, ports, waits=False)
    finally:
        stop(screen, children)
    shutil.rmtree(folder)
    screen.done(f"demo-check : tout est passé en {screen.seconds():.0f} s")


JUDGING = """  - id: {judge}
    type: chat
    context_length: 8192
    family: gemma
    deployments:
      - {{name: judge-local, url: "http://127.0.0.1:{port}/v1", engine: llamacpp, engine_model: {alias}, hosting: local}}

prompts:
  folder: {prompts}

evaluation: {{}}
"""


def evaluate(asked):
    """The folder is kept: the report is in it."""
    screen, children = Screen(), Children()
    folder = ROOT / "target" / "demo-eval"
    with cache.locked("evaluate", lambda: screen.line("Une autre évaluation tourne déjà ; j'attends qu'elle finisse.")):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "logs").mkdir(parents=True)
        ports = {name: free_port() for name in ("gateway", "chat", "embeddings", "judge")}
        engines = Engines(children, small=True, judge=True)
        build = Build(children, folder / "logs" / "build.log")
        try:
            with ThreadPoolExecutor(2) as pool:
                tasks = [pool.submit(engines.fetch)]
                if asked.guichet is None:
                    tasks.append(pool.submit(build.run))
                follow(screen, tasks, lambda: f"{build.step} · {fetching(engines)}")
            engines.start(ports["chat"], ports["embeddings"], folder / "logs", ports["judge"])
            gateway = Gateway(asked.guichet or build.binary, folder, children)
            more = JUDGING.format(
                judge=JUDGE, port=ports["judge"], alias=engines.judge.alias, prompts=json.dumps(str(PROMPT_FILES))
            )
            gateway.configure(ports["gateway"], ports["chat"], ports["embeddings"], more)
            gateway.start()
            engines.wait()
            screen.done(f"en marche : {engines.model.what} ; juge : {engines.judge.what}")
            Evaluation(screen, gateway).all()
        finally:
            stop(screen, children)
        screen.done(f"demo-eval : tout est passé en {screen.seconds():.0f} s ; le rapport est dans {folder / 'evaluation'}")


def fetch(asked):
    screen, children = Screen(sys.stderr), Children()
    engines = Engines(children, asked.small)
    with ThreadPoolExecutor(1) as pool:
        try:
            follow(screen, [pool.submit(engines.fetch)], lambda: fetching(engines))
        finally:
            children.end()
    screen.done(f"{engines.model.what} : {engines.model.path}")


def engines(asked):
    """For tests: the engines alone, on given ports, until standard input closes."""
    screen, children = Screen(sys.stderr), Children()
    pair = Engines(children, asked.small)
    with tempfile.TemporaryDirectory(prefix="guichet-engines-") as logs, ThreadPoolExecutor(1) as pool:
        try:
            follow(screen, [pool.submit(pair.fetch)], lambda: fetching(pair))
            pair.start(free_port(asked.chat_port), free_port(asked.embeddings_port), Path(logs))
            pair.wait()
            chat, embeddings = pair.servers
            ready = {
                "chat_url": chat.url,
                "chat_model": pair.model.alias,
                "embeddings_url": embeddings.url,
                "embeddings_model": "multilingual-e5-small",
                "pids": [chat.child.pid, embeddings.child.pid],
            }
            print(json.dumps(ready), flush=True)
            sys.stdin.buffer.read()
        finally:
            stop(screen, children)


def stop(screen, children):
    # A second Ctrl-C must not leave half of the processes behind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    screen.clear()
    children.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True)
    for action in (run, check, evaluate, fetch, engines):
        command = actions.add_parser(action.__name__)
        command.set_defaults(action=action)
        if action is run:
            command.add_argument("--port", type=int, default=8080)
        if action is evaluate:
            command.add_argument("--guichet", type=Path, help="a program that was built already")
        if action in (fetch, engines):
            command.add_argument("--small", action="store_true", help="the 0.5B model, weaker and quicker")
        if action is engines:
            command.add_argument("--chat-port", type=int, default=0)
            command.add_argument("--embeddings-port", type=int, default=0)
    asked = parser.parse_args()

    def terminated(_number, _frame):
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, terminated)
    try:
        asked.action(asked)
    except Failure as failure:
        Screen(sys.stderr).failed(str(failure))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
