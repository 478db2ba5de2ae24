"""Mistral's own SDK, which fails on incremental tool-call deltas and reads more fields than others."""

import json

from checks import (
    ANSWER,
    ENGINE_ONLY,
    HELLO,
    KEY,
    MODELS,
    ROOT,
    SCHEMA,
    SCHEMA_ANSWER,
    WEATHER,
    WEATHER_ARGUMENTS,
    check,
    holds,
    raised,
    run,
    same,
)

try:
    from mistralai.client import Mistral
except ImportError:
    from mistralai import Mistral

client = Mistral(api_key=KEY, server_url=ROOT, timeout_ms=20_000)


@check
def chat_plain():
    answer = client.chat.complete(model="fake/plain", messages=HELLO)
    same(answer.choices[0].message.content, ANSWER)
    holds(answer.usage.total_tokens > 0, answer.usage)


@check
def chat_streamed():
    chunks = [event.data for event in client.chat.stream(model="fake/plain", messages=HELLO)]
    same("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), ANSWER)


@check
def nulls_are_absent():
    answer = client.chat.complete(model="fake/plain", messages=HELLO, stop=None, top_p=None, n=1)
    same(answer.choices[0].finish_reason, "stop")


@check
def tools_plain():
    call = client.chat.complete(model="fake/tools", messages=HELLO, tools=[WEATHER]).choices[0].message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", WEATHER_ARGUMENTS))


@check(gateway=True)
def tools_streamed_come_whole():
    stream = client.chat.stream(model="fake/tools", messages=HELLO, tools=[WEATHER])
    calls = [call for event in stream for call in event.data.choices[0].delta.tool_calls or []]
    same(len(calls), 1)
    same((calls[0].function.name, json.loads(calls[0].function.arguments)), ("weather", WEATHER_ARGUMENTS))


@check
def json_schema():
    answer = client.chat.complete(model="fake/plain", messages=HELLO, response_format=SCHEMA)
    same(json.loads(answer.choices[0].message.content), SCHEMA_ANSWER)


@check(gateway=True)
def models_list_and_retrieve():
    listed = {model.id: model for model in client.models.list().data}
    holds(MODELS <= set(listed), sorted(listed))
    holds(all(model.type == "base" for model in listed.values()), "a model that the SDK does not know")
    holds(listed["fake/plain"].capabilities.completion_chat, listed["fake/plain"])
    holds(not listed["fake/embeddings"].capabilities.completion_chat, listed["fake/embeddings"])
    same(client.models.retrieve(model_id="fake/plain").id, "fake/plain")


@check
def embeddings_have_an_id():
    answer = client.embeddings.create(model="fake/embeddings", inputs=["eau", "pain"])
    holds(answer.id, "no id")
    same([len(item.embedding) for item in answer.data], [8, 8])


@check
def errors_keep_their_status():
    stranger = Mistral(api_key="wrong", server_url=ROOT)
    same(raised(Exception, stranger.chat.complete, model="fake/plain", messages=HELLO).status_code, 401)
    same(raised(Exception, client.chat.complete, model="fake/nowhere", messages=HELLO).status_code, 404)
    error = raised(Exception, client.chat.complete, model="fake/busy", messages=HELLO)
    holds(error.status_code in (429, 503) and error.headers["retry-after"], repr(error))


@check
def a_cut_stream_raises():
    error = raised(Exception, lambda: list(client.chat.stream(model="fake/cut", messages=HELLO)))
    holds(ENGINE_ONLY or "mistralai" in type(error).__module__ or "httpx" not in type(error).__module__, repr(error))


run()
