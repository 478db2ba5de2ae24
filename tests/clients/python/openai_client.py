"""openai for Python, 1.x to 3.x, as Docs and most products use it."""

import base64
import json
import struct

import openai
from checks import (
    ANSWER,
    BASE,
    ENGINE_ONLY,
    HELLO,
    KEY,
    MODELS,
    SCHEMA,
    SCHEMA_ANSWER,
    THOUGHT,
    TIMEOUT,
    WEATHER,
    WEATHER_ARGUMENTS,
    check,
    holds,
    raised,
    run,
    same,
)

client = openai.OpenAI(base_url=BASE, api_key=KEY, max_retries=0, timeout=TIMEOUT)
chat = client.chat.completions.create

# Docs: system, user and nothing else; the editor puts the document's state in an assistant message.
DOCS = [{"role": "system", "content": "Corrige le texte."}, {"role": "user", "content": "Il a manger."}]
DOCS_EDITOR = [
    {"role": "system", "content": "Tu modifies des documents."},
    {"role": "assistant", "content": "<p>Il a manger.</p>"},
    {"role": "user", "content": "Corrige."},
]


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@check
def chat_plain():
    answer = chat(model="fake/plain", messages=HELLO)
    same(answer.choices[0].message.content, ANSWER)
    same(answer.choices[0].finish_reason, "stop")
    same(answer.object, "chat.completion")
    holds(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0, answer.usage)


@check
def chat_streamed_without_usage():
    chunks = list(chat(model="fake/plain", messages=HELLO, stream=True))
    same(text_of(chunks), ANSWER)
    same(chunks[0].choices[0].delta.role, "assistant")
    same(chunks[-1].choices[0].finish_reason, "stop")
    holds(all(chunk.choices and chunk.usage is None for chunk in chunks), "a chunk without choices, or with usage")


@check
def chat_streamed_with_usage():
    chunks = list(chat(model="fake/plain", messages=HELLO, stream=True, stream_options={"include_usage": True}))
    same(text_of(chunks), ANSWER)
    same(chunks[-1].choices, [])
    same([chunk.usage is not None for chunk in chunks], [False] * (len(chunks) - 1) + [True])
    holds(chunks[-1].usage.completion_tokens > 0, chunks[-1].usage)


@check
async def chat_streamed_async():
    async with openai.AsyncOpenAI(base_url=BASE, api_key=KEY, max_retries=0, timeout=TIMEOUT) as asking:
        stream = await asking.chat.completions.create(model="fake/plain", messages=HELLO, stream=True)
        same(text_of([chunk async for chunk in stream]), ANSWER)


@check
def alias():
    same(chat(model="fake-alias", messages=HELLO).choices[0].message.content, ANSWER)


@check
def docs_plain():
    answer = chat(messages=DOCS, model="fake/plain")
    same(answer.choices[0].message.content, ANSWER)


@check
def docs_editor_streams_its_tool():
    stream = chat(
        model="fake/tools",
        messages=DOCS_EDITOR,
        stream=True,
        stream_options={"include_usage": True},
        tools=[WEATHER],
        tool_choice="auto",
    )
    chunks = list(stream)
    same(json.loads(gather(chunks)[0]["arguments"]), WEATHER_ARGUMENTS)
    holds(chunks[-1].usage is not None, "no usage")


@check
def unknown_fields_reach_the_engine():
    extra = {"fake_echo": True, "top_k": 3, "chat_template_kwargs": {"enable_thinking": False}, "guided_regex": "é+"}
    answer = chat(model="fake/plain", messages=HELLO, extra_body=extra)
    received = json.loads(answer.choices[0].message.content)
    same({name: received.get(name) for name in extra}, extra)
    same(received["messages"], HELLO)


@check
def parameters_and_roles_are_taken():
    messages = [
        {"role": "developer", "content": "Sois bref."},
        {"role": "user", "content": [{"type": "text", "text": "Quel temps ?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "beau"},
    ]
    answer = chat(
        model="fake/plain", messages=messages, temperature=0, top_p=0.5, seed=3, stop=["\n\n"], user="u", max_tokens=2
    )
    same(answer.choices[0].finish_reason, "length")
    answer = chat(model="fake/plain", messages=HELLO, max_completion_tokens=2)
    same(answer.choices[0].finish_reason, "length")


def gather(chunks):
    calls = {}
    for chunk in chunks:
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            kept = calls.setdefault(call.index, {"id": "", "name": "", "arguments": ""})
            kept["id"] += call.id or ""
            kept["name"] += call.function.name or ""
            kept["arguments"] += call.function.arguments or ""
    return calls


@check
def tools_plain():
    for choice in ("auto", "required", {"type": "function", "function": {"name": "weather"}}):
        answer = chat(model="fake/tools", messages=HELLO, tools=[WEATHER], tool_choice=choice).choices[0]
        same(answer.finish_reason, "tool_calls")
        same(answer.message.tool_calls[0].function.name, "weather")
        same(json.loads(answer.message.tool_calls[0].function.arguments), WEATHER_ARGUMENTS)
    answer = chat(model="fake/tools", messages=HELLO, tools=[WEATHER], tool_choice="none").choices[0]
    same(answer.message.content, ANSWER)


@check
def tools_streamed():
    chunks = list(chat(model="fake/tools", messages=HELLO, tools=[WEATHER], stream=True))
    calls = gather(chunks)
    same(list(calls), [0])
    same(calls[0]["name"], "weather")
    holds(calls[0]["id"].count("call") == 1, calls)
    same(json.loads(calls[0]["arguments"]), WEATHER_ARGUMENTS)
    deltas = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.tool_calls]
    holds(len(deltas) > 2, "the arguments came in one piece")
    same(chunks[-1].choices[0].finish_reason, "tool_calls")


@check
def json_schema():
    answer = chat(model="fake/plain", messages=HELLO, response_format=SCHEMA)
    same(json.loads(answer.choices[0].message.content), SCHEMA_ANSWER)


@check
def json_object():
    answer = chat(model="fake/plain", messages=HELLO, response_format={"type": "json_object"})
    same(json.loads(answer.choices[0].message.content), {"answer": ANSWER})


@check
def reasoning_plain():
    message = chat(model="fake/reasoning", messages=HELLO).choices[0].message
    same(message.content, ANSWER)
    same(message.reasoning_content, THOUGHT)


@check
def reasoning_streamed():
    chunks = list(chat(model="fake/reasoning", messages=HELLO, stream=True))
    same(text_of(chunks), ANSWER)
    same("".join(getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in chunks), THOUGHT)


@check
def legacy_completions():
    same(client.completions.create(model="fake/plain", prompt="Bonjour").choices[0].text, ANSWER)
    stream = client.completions.create(model="fake/plain", prompt="Bonjour", stream=True)
    same("".join(chunk.choices[0].text for chunk in stream), ANSWER)


@check
def embeddings_default_and_float():
    texts = ["de l'eau", "du pain"]
    default = client.embeddings.create(model="fake/embeddings", input=texts)
    floats = client.embeddings.create(model="fake/embeddings", input=texts, encoding_format="float")
    same([len(item.embedding) for item in default.data], [8, 8])
    same([item.index for item in default.data], [0, 1])
    close(default.data[1].embedding, floats.data[1].embedding)
    one = client.embeddings.create(model="fake/embeddings", input=texts[1], dimensions=8)
    close(one.data[0].embedding, floats.data[1].embedding)
    holds(default.usage.prompt_tokens > 0, default.usage)


@check
def embeddings_base64_is_little_endian_float32():
    asked = {"model": "fake/embeddings", "input": "de l'eau"}
    coded = client.post("/embeddings", cast_to=object, body={**asked, "encoding_format": "base64"})
    plain = client.post("/embeddings", cast_to=object, body=asked)
    bytes_ = base64.b64decode(coded["data"][0]["embedding"])
    close(list(struct.unpack("<8f", bytes_)), plain["data"][0]["embedding"])


@check(gateway=True)
def embeddings_refuse_other_dimensions():
    error = raised(
        openai.BadRequestError, client.embeddings.create, model="fake/embeddings", input="eau", dimensions=16
    )
    same(error.status_code, 400)


def close(left, right):
    same(len(left), len(right))
    holds(all(abs(a - b) < 1e-6 for a, b in zip(left, right)), f"{left} instead of {right}")


@check
def rerank():
    body = {"model": "fake/rerank", "query": "eau pluie", "documents": ["rien", "de l'eau", "eau de pluie"], "top_n": 2}
    answer = client.post("/rerank", cast_to=object, body=body)
    same([item["index"] for item in answer["results"]], [2, 1])
    holds(answer["results"][0]["relevance_score"] > answer["results"][1]["relevance_score"], answer)


@check(gateway=True)
def rerank_answers_both_families():
    body = {"model": "fake/rerank", "prompt": "eau pluie", "input": ["rien", "eau de pluie"]}
    answer = client.post("/rerank", cast_to=object, body=body)
    same([item["index"] for item in answer["results"]], [1, 0])
    same([item["score"] for item in answer["data"]], [item["relevance_score"] for item in answer["results"]])
    same([item["index"] for item in answer["data"]], [1, 0])


@check
def models_list():
    listed = {model.id: model for model in client.models.list()}
    holds(MODELS <= set(listed), sorted(listed))
    same(listed["fake/plain"].object, "model")
    holds(isinstance(listed["fake/plain"].created, int) and listed["fake/plain"].owned_by, listed["fake/plain"])


@check(gateway=True)
def models_list_tells_what_albert_tells():
    listed = {model.id: model.model_dump() for model in client.models.list()}
    same(listed["fake/plain"]["aliases"], ["fake-alias"])
    holds(all(model.get("type") for model in listed.values()), "a model without type")
    holds(all("max_context_length" in model and "costs" in model for model in listed.values()), listed["fake/plain"])


@check
def model_with_a_slash():
    same(client.models.retrieve("fake/plain").id, "fake/plain")


@check(gateway=True)
def model_with_an_escaped_slash():
    same(client.get("/models/fake%2Fplain", cast_to=object)["id"], "fake/plain")


@check
def wrong_key():
    stranger = client.with_options(api_key="gk_wrong_' OR '1'='1")
    error = raised(openai.AuthenticationError, stranger.chat.completions.create, model="fake/plain", messages=HELLO)
    same(error.status_code, 401)
    if not ENGINE_ONLY:
        same(error.code, "invalid_api_key")
    raised(openai.AuthenticationError, stranger.models.list)


@check
def unknown_model():
    error = raised(openai.NotFoundError, chat, model="fake/nowhere", messages=HELLO)
    same(error.status_code, 404)
    if not ENGINE_ONLY:
        same(error.code, "model_not_found")
        same(error.response.json()["detail"], error.response.json()["error"]["message"])
    raised(openai.NotFoundError, client.models.retrieve, "fake/nowhere")


@check(gateway=True)
def unknown_model_in_a_stream():
    same(raised(openai.NotFoundError, chat, model="fake/nowhere", messages=HELLO, stream=True).status_code, 404)


@check(gateway=True)
def bad_request():
    error = raised(openai.BadRequestError, chat, model="fake/plain", messages="pas une liste")
    same((error.status_code, error.type), (400, "invalid_request_error"))


@check(gateway=True)
def wrong_type_of_model():
    raised(openai.UnprocessableEntityError, client.embeddings.create, model="fake/plain", input="eau")
    raised(openai.UnprocessableEntityError, chat, model="fake/embeddings", messages=HELLO)


@check
def busy():
    """A full engine: 429 or 503, each as its own class, with the time to wait."""
    for streamed in (False, True):
        error = raised(openai.APIStatusError, chat, model="fake/busy", messages=HELLO, stream=streamed)
        wanted = {429: openai.RateLimitError, 503: openai.InternalServerError}
        holds(type(error) is wanted.get(error.status_code), repr(error))
        holds(float(error.response.headers["retry-after"]) >= 0, "no retry-after")
        if not ENGINE_ONLY:
            holds(error.code in ("model_busy", "rate_limit_exceeded"), error.code)


@check
def a_cut_stream_raises():
    received = []

    def listen():
        for chunk in chat(model="fake/cut", messages=HELLO, stream=True):
            received.append(chunk)

    # The engine's reset shows itself; through the gateway it must be the client's own error.
    error = raised(Exception if ENGINE_ONLY else openai.APIError, listen)
    holds(text_of(received) and ANSWER.startswith(text_of(received)), received)
    if not ENGINE_ONLY:
        holds(not isinstance(error, openai.APIConnectionError) and error.message, repr(error))


@check
def a_cut_plain_answer_raises():
    raised(Exception if ENGINE_ONLY else openai.InternalServerError, chat, model="fake/cut", messages=HELLO)


@check(gateway=True)
def headers_say_who_and_where():
    answer = client.chat.completions.with_raw_response.create(model="fake/plain", messages=HELLO)
    holds(answer.headers["x-request-id"] and answer.headers["x-guichet-hosting"], dict(answer.headers))
    error = raised(openai.NotFoundError, chat, model="fake/nowhere", messages=HELLO)
    holds(error.request_id, "no x-request-id on an error")


@check(gateway=True)
def errors_speak_the_readers_language():
    french = raised(openai.NotFoundError, chat, model="fake/nowhere", messages=HELLO)
    english = raised(
        openai.NotFoundError, chat, model="fake/nowhere", messages=HELLO, extra_headers={"Accept-Language": "en"}
    )
    holds("modèle" in french.response.json()["detail"], french.message)
    holds("model" in english.response.json()["detail"] and "modèle" not in english.message, english.message)


run()
