"""pydantic-ai, as Docs and conversations drive it: agents with tools, structured output, streams."""

from checks import ANSWER, BASE, ENGINE_ONLY, KEY, check, holds, run, same
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from openai import AsyncOpenAI


def model(name, key=KEY):
    client = AsyncOpenAI(base_url=BASE, api_key=key, max_retries=0, timeout=20)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


class Place(BaseModel):
    town: str
    inhabitants: int


@check
async def chat_plain():
    answer = await Agent(model("fake/plain"), instructions="Sois bref.").run("Bonjour")
    same(answer.output, ANSWER)


@check
async def chat_streamed():
    async with Agent(model("fake/plain")).run_stream("Bonjour") as stream:
        same(await stream.get_output(), ANSWER)
        holds(stream.usage.output_tokens > 0, stream.usage)


@check
async def an_agent_calls_its_tool_and_answers():
    for streamed in (False, True):
        asked = []
        agent = Agent(model("fake/tools"))

        @agent.tool_plain
        def weather(city: str, days: int) -> str:
            asked.append((city, days))
            return "beau"

        if streamed:
            async with agent.run_stream("Quel temps ?") as stream:
                output = await stream.get_output()
        else:
            output = (await agent.run("Quel temps ?")).output
        same((asked, output), ([("Paris", 7)], ANSWER))


@check
async def structured_output_by_tool_and_by_schema():
    wanted = Place(town="Paris", inhabitants=7)
    same((await Agent(model("fake/tools"), output_type=Place).run("Où ?")).output, wanted)
    same((await Agent(model("fake/plain"), output_type=NativeOutput(Place)).run("Où ?")).output, wanted)


@check
async def reasoning_becomes_a_thinking_part():
    answer = await Agent(model("fake/reasoning")).run("Bonjour")
    same(answer.output, ANSWER)
    kinds = [part.part_kind for part in answer.all_messages()[-1].parts]
    same(kinds, ["thinking", "text"])


async def refusal(name, key=KEY):
    try:
        await Agent(model(name, key)).run("Bonjour")
    except ModelHTTPError as error:
        return error.status_code
    raise AssertionError("nothing was raised")


@check
async def errors_keep_their_status():
    same(await refusal("fake/plain", "wrong"), 401)
    same(await refusal("fake/nowhere"), 404)
    holds(await refusal("fake/busy") in (429, 503), "another status")


@check
async def a_cut_stream_raises():
    try:
        async with Agent(model("fake/cut")).run_stream("Bonjour") as stream:
            output = await stream.get_output()
    except Exception as error:
        holds(ENGINE_ONLY or isinstance(error, ModelAPIError) or "openai" in type(error).__module__, repr(error))
    else:
        raise AssertionError(f"taken for a whole answer: {output!r}")


run()
