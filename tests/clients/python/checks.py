"""Runs a client's checks and prints one line for each: `ok NAME`, `skip NAME why` or `FAIL NAME why`.

GUICHET_URL     the gateway, with or without /v1
GUICHET_KEY     a key that may use every model of the tests' configuration
GUICHET_ENGINE_ONLY=1   the URL is the fake engine itself: skip what only the gateway does
"""

import asyncio
import inspect
import os
import sys
import traceback

ROOT = os.environ["GUICHET_URL"].rstrip("/").removesuffix("/v1")
BASE = ROOT + "/v1"
KEY = os.environ["GUICHET_KEY"]
ENGINE_ONLY = os.environ.get("GUICHET_ENGINE_ONLY") == "1"
TIMEOUT = 20.0

# What the fake engine says and thinks (tests/src/engine/faults.rs).
ANSWER = "Bonjour ! Je suis un moteur de test, et ceci est ma réponse : « été »."
THOUGHT = "L’usager demande peu. Répondons peu."
MODELS = {
    "fake/plain",
    "fake/tools",
    "fake/reasoning",
    "fake/cut",
    "fake/busy",
    "fake/embeddings",
    "fake/rerank",
}

HELLO = [{"role": "user", "content": "Bonjour"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Le temps qu'il fait",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
# The fake engine makes arguments from the schema, so these prove that the schema arrived.
WEATHER_ARGUMENTS = {"city": "Paris", "days": 7}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"town": {"type": "string"}, "inhabitants": {"type": "integer"}},
            "required": ["town", "inhabitants"],
            "additionalProperties": False,
        },
    },
}
SCHEMA_ANSWER = {"town": "Paris", "inhabitants": 7}

_checks = []


def check(function=None, *, gateway=False):
    """Registers a check under its function's name; `gateway` ones are skipped against the bare engine."""
    if function is None:
        return lambda function: check(function, gateway=gateway)
    _checks.append((function, gateway))
    return function


def same(found, wanted):
    """Fails with both values when they differ."""
    if found != wanted:
        raise AssertionError(f"{found!r} instead of {wanted!r}")


def holds(condition, why):
    if not condition:
        raise AssertionError(why)


def raised(exception, function, *arguments, **named):
    """Calls the function and gives back the exception it must raise."""
    try:
        result = function(*arguments, **named)
    except exception as error:
        return error
    raise AssertionError(f"{exception} was not raised; got {result!r}")


def run():
    """Runs all registered checks; exits 1 if any failed."""
    # One loop for all: clients that pool connections keep them from one check to the next.
    with asyncio.Runner() as loop:
        passed = [_passes(loop, function, gateway) for function, gateway in _checks]
    sys.exit(0 if all(passed) else 1)


def _passes(loop, function, gateway):
    name = function.__name__
    if gateway and ENGINE_ONLY:
        print(f"skip {name} only the gateway does this", flush=True)
        return True
    try:
        if inspect.iscoroutinefunction(function):
            loop.run(asyncio.wait_for(function(), TIMEOUT * 2))
        else:
            function()
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"FAIL {name} {why[:600]}", flush=True)
        if os.environ.get("GUICHET_TRACE") == "1":
            traceback.print_exc()
        return False
    print(f"ok {name}", flush=True)
    return True
