"""Serves one GGUF model over llama.cpp's own OpenAI-compatible server, on 127.0.0.1.

Runs inside the environment of the engines. Ends on SIGTERM, or when its standard input closes, so that it
never outlives the driver that started it.
"""

import argparse
import os
import sys
import threading

import xllamacpp


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="path of the GGUF file")
    parser.add_argument("--alias", required=True, help="name the engine answers with")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=2, help="requests answered at once")
    parser.add_argument("--context", type=int, default=8192, help="tokens of each slot")
    return parser.parse_args()


def parameters(asked):
    params = xllamacpp.CommonParams()
    params.model.path = asked.model
    params.model_alias = {asked.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = asked.port
    params.use_jinja = True
    params.n_parallel = asked.slots
    params.n_ctx = asked.slots * asked.context
    # llama.cpp would keep up to 8 GiB of old prompts in memory.
    params.cache_ram_mib = 256
    params.ui = False
    # The first request warms it just as well, and comes at once.
    params.warmup = False
    # Callers such as Docs send no temperature: the engine's default decides. The likeliest words each time, so that
    # the demonstration says the same twice; a small model wanders above this.
    params.sampling.temp = 0.0
    params.sampling.penalty_repeat = 1.05
    return params


def main():
    asked = arguments()
    server = xllamacpp.Server(parameters(asked))
    print("listening on", server.listening_address, flush=True)
    closed = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), closed.set()), daemon=True).start()
    closed.wait()
    # The server's own threads would wait for running requests.
    os._exit(0)


if __name__ == "__main__":
    main()
