"""litellm as a client of an OpenAI-compatible server."""

import json
import os

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
from checks import (
    ANSWER,
    BASE,
    ENGINE_ONLY,
    HELLO,
    KEY,
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

litellm.suppress_debug_info = True
litellm.telemetry = False


def chat(model, **named):
    named = {"api_key": KEY, "messages": HELLO, **named}
    return litellm.completion(f"openai/{model}", api_base=BASE, timeout=TIMEOUT, max_retries=0, **named)


@check
def chat_plain():
    answer = chat("fake/plain")
    same(answer.choices[0].message.content, ANSWER)
    holds(answer.usage.total_tokens > 0, answer.usage)


@check
def chat_streamed():
    chunks = list(chat("fake/plain", stream=True, stream_options={"include_usage": True}))
    same("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), ANSWER)
    same(chunks[-1].usage.prompt_tokens, 12)


@check
def tools_plain_and_streamed():
    call = chat("fake/tools", tools=[WEATHER]).choices[0].message.tool_calls[0].function
    same((call.name, json.loads(call.arguments)), ("weather", WEATHER_ARGUMENTS))
    whole = litellm.stream_chunk_builder(list(chat("fake/tools", tools=[WEATHER], stream=True)), messages=HELLO)
    call = whole.choices[0].message.tool_calls[0].function
    same((call.name, json.loads(call.arguments)), ("weather", WEATHER_ARGUMENTS))


@check
def json_schema():
    same(json.loads(chat("fake/plain", response_format=SCHEMA).choices[0].message.content), SCHEMA_ANSWER)


@check
def reasoning():
    message = chat("fake/reasoning").choices[0].message
    same((message.content, message.reasoning_content), (ANSWER, THOUGHT))


@check
def embeddings_floats():
    answer = litellm.embedding("openai/fake/embeddings", input=["eau", "pain"], api_base=BASE, api_key=KEY)
    same([len(item["embedding"]) for item in answer.data], [8, 8])
    holds(all(isinstance(number, float) for number in answer.data[0]["embedding"]), answer.data[0])


@check
def rerank():
    answer = litellm.rerank(
        model="hosted_vllm/fake/rerank",
        query="eau pluie",
        documents=["rien", "eau de pluie"],
        top_n=1,
        api_base=BASE,
        api_key=KEY,
    )
    same([item["index"] for item in answer.results], [1])


@check
def errors_have_their_own_class():
    same(raised(litellm.AuthenticationError, chat, "fake/plain", api_key="wrong").status_code, 401)
    same(raised(litellm.NotFoundError, chat, "fake/nowhere").status_code, 404)


@check(gateway=True)
def a_bad_request_has_its_own_class():
    error = raised(litellm.BadRequestError, chat, "fake/plain", extra_body={"messages": 3})
    same(error.status_code, 400)
    holds(not isinstance(error, litellm.ContextWindowExceededError), repr(error))


@check
def busy():
    wanted = (litellm.RateLimitError, litellm.ServiceUnavailableError)
    error = raised(wanted, chat, "fake/busy")
    holds(error.status_code in (429, 503), repr(error))


@check
def a_cut_stream_raises():
    wanted = Exception if ENGINE_ONLY else (litellm.APIError, litellm.exceptions.MidStreamFallbackError)
    raised(wanted, lambda: list(chat("fake/cut", stream=True)))


run()
