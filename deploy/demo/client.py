"""A small client of the gateway, as any program would write one with the standard library."""

import http.client
import json
from contextlib import closing

from failure import Failure


class Client:
    """Speaks to 127.0.0.1:`port` with `key`."""

    def __init__(self, port, key):
        self.port = port
        self.key = key

    def _send(self, method, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            return connection, connection.getresponse()
        except OSError as error:
            connection.close()
            raise Failure(f"{method} {path} : {error}") from error

    def _read(self, method, path, body, expected):
        connection, answer = self._send(method, path, body)
        with closing(connection):
            text = answer.read().decode("utf-8", "replace")
            if answer.status not in expected:
                raise Failure(f"{method} {path} → {answer.status} : {text[:500]}")
            return text, answer.headers

    def call(self, method, path, body=None, expected=(200,)):
        """The answer's JSON (none of an empty one) and headers; another status is a failure that quotes it."""
        text, headers = self._read(method, path, body, expected)
        return json.loads(text) if text else None, headers

    def text(self, path):
        """What a path answers, as it is."""
        return self._read("GET", path, None, (200,))[0]

    def stream(self, path, body):
        """Yields each event of a streamed answer, decoded; fails unless it ends with `[DONE]`."""
        connection, answer = self._send("POST", path, body)
        with closing(connection):
            if answer.status != 200:
                raise Failure(f"POST {path} → {answer.status} : {answer.read()[:500].decode('utf-8', 'replace')}")
            for line in answer:
                if not line.startswith(b"data:"):
                    continue
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                event = json.loads(data)
                if "error" in event:
                    raise Failure(f"POST {path} : le flux a rompu : {event['error'].get('message')}")
                yield event
        raise Failure(f"POST {path} : le flux s'arrête sans [DONE]")
