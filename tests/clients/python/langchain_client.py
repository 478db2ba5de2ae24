"""langchain-openai: chats, tools, structured output, and embeddings sent as cl100k token ids."""

import openai
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
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


def chat(model, **named):
    return ChatOpenAI(model=model, base_url=BASE, api_key=KEY, timeout=TIMEOUT, max_retries=0, **named)


def embeddings(**named):
    return OpenAIEmbeddings(model="fake/embeddings", base_url=BASE, api_key=KEY, timeout=TIMEOUT, max_retries=0, **named)


@check
def chat_plain():
    answer = chat("fake/plain").invoke(HELLO)
    same(answer.content, ANSWER)
    same(answer.usage_metadata["input_tokens"], 12)


@check
def chat_streamed():
    for asked in (False, True):
        chunks = list(chat("fake/plain", stream_usage=asked).stream(HELLO))
        same("".join(chunk.content for chunk in chunks), ANSWER)
        same(any(chunk.usage_metadata for chunk in chunks), asked)


@check
def tools_plain_and_streamed():
    model = chat("fake/tools").bind_tools([WEATHER])
    call = model.invoke(HELLO).tool_calls[0]
    same((call["name"], call["args"]), ("weather", WEATHER_ARGUMENTS))
    whole = None
    for chunk in model.stream(HELLO):
        whole = chunk if whole is None else whole + chunk
    same((whole.tool_calls[0]["name"], whole.tool_calls[0]["args"]), ("weather", WEATHER_ARGUMENTS))


@check
def structured_output():
    schema = {"title": "place", **SCHEMA["json_schema"]["schema"]}
    same(chat("fake/plain").with_structured_output(schema, method="json_schema").invoke("Où ?"), SCHEMA_ANSWER)


@check
def reasoning_stays_out_of_the_content():
    same(chat("fake/reasoning").invoke(HELLO).content, ANSWER)
    same("".join(chunk.content for chunk in chat("fake/reasoning").stream(HELLO)), ANSWER)
    holds(THOUGHT not in ANSWER, "")


@check
def embeddings_of_texts():
    vectors = embeddings(check_embedding_ctx_length=False).embed_documents(["eau", "pain"])
    same([len(vector) for vector in vectors], [8, 8])
    holds(vectors[0] != vectors[1], "the same vector twice")


@check(gateway=True)
def embeddings_of_token_ids():
    """Decoded to the same text, or refused with the remedy; never passed on as if they were the engine's own."""
    text = "Demande de carte nationale d’identité"
    plain = embeddings(check_embedding_ctx_length=False).embed_query(text)
    try:
        found = embeddings().embed_query(text)
    except openai.BadRequestError as error:
        holds("check_embedding_ctx_length" in error.message, error.message)
    else:
        holds(max(abs(a - b) for a, b in zip(found, plain)) < 1e-6, f"{found} instead of {plain}")


@check
def errors_have_their_own_class():
    stranger = ChatOpenAI(model="fake/plain", base_url=BASE, api_key="wrong", max_retries=0)
    raised(openai.AuthenticationError, stranger.invoke, HELLO)
    raised(openai.NotFoundError, chat("fake/nowhere").invoke, HELLO)
    raised((openai.RateLimitError, openai.InternalServerError), chat("fake/busy").invoke, HELLO)


@check
def a_cut_stream_raises():
    wanted = Exception if ENGINE_ONLY else openai.APIError
    raised(wanted, lambda: list(chat("fake/cut").stream(HELLO)))


run()
