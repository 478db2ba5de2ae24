// openai for Node.

import OpenAI, * as openai from "openai";
import { ANSWER, BASE, ENGINE_ONLY, HELLO, KEY, PLACE, PLACE_ANSWER, THOUGHT } from "./checks.mjs";
import { check, gatewayCheck, holds, raised, run, same } from "./checks.mjs";

const client = new OpenAI({ baseURL: BASE, apiKey: KEY, maxRetries: 0, timeout: 20_000 });
const chat = (body, options) => client.chat.completions.create({ messages: HELLO, ...body }, options);
const TOOLS = [{ type: "function", function: { name: "place", description: "Un lieu", parameters: PLACE } }];

async function collect(promise) {
  const chunks = [];
  for await (const chunk of await promise) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

check("chat_plain", async () => {
  const answer = await chat({ model: "fake/plain" });
  same(answer.choices[0].message.content, ANSWER);
  holds(answer.usage.total_tokens > 0, answer.usage);
});

check("chat_streamed_without_usage", async () => {
  const chunks = await collect(chat({ model: "fake/plain", stream: true }));
  same(textOf(chunks), ANSWER);
  holds(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage), "a chunk without choices, or with usage");
});

check("chat_streamed_with_usage", async () => {
  const chunks = await collect(chat({ model: "fake/plain", stream: true, stream_options: { include_usage: true } }));
  same(textOf(chunks), ANSWER);
  same(chunks.at(-1).choices, []);
  holds(chunks.at(-1).usage.completion_tokens > 0, chunks.at(-1));
});

check("stream_helper_rebuilds_the_answer", async () => {
  const stream = client.chat.completions.stream({ model: "fake/plain", messages: HELLO });
  same((await stream.finalChatCompletion()).choices[0].message.content, ANSWER);
});

check("alias", async () => same((await chat({ model: "fake-alias" })).choices[0].message.content, ANSWER));

check("tools_plain", async () => {
  const { message, finish_reason } = (await chat({ model: "fake/tools", tools: TOOLS })).choices[0];
  same(finish_reason, "tool_calls");
  same([message.tool_calls[0].function.name, JSON.parse(message.tool_calls[0].function.arguments)], ["place", PLACE_ANSWER]);
});

check("tools_streamed", async () => {
  const stream = client.chat.completions.stream({ model: "fake/tools", messages: HELLO, tools: TOOLS });
  const call = (await stream.finalChatCompletion()).choices[0].message.tool_calls[0];
  same([call.function.name, JSON.parse(call.function.arguments)], ["place", PLACE_ANSWER]);
});

check("json_schema", async () => {
  const response_format = { type: "json_schema", json_schema: { name: "place", strict: true, schema: PLACE } };
  const answer = await chat({ model: "fake/plain", response_format });
  same(JSON.parse(answer.choices[0].message.content), PLACE_ANSWER);
});

check("reasoning_plain_and_streamed", async () => {
  const { message } = (await chat({ model: "fake/reasoning" })).choices[0];
  same([message.content, message.reasoning_content], [ANSWER, THOUGHT]);
  const chunks = await collect(chat({ model: "fake/reasoning", stream: true }));
  same(textOf(chunks), ANSWER);
  same(chunks.map((chunk) => chunk.choices[0]?.delta.reasoning_content ?? "").join(""), THOUGHT);
});

check("embeddings_default_and_float", async () => {
  const body = { model: "fake/embeddings", input: ["de l'eau", "du pain"] };
  const coded = await client.embeddings.create(body);
  const plain = await client.embeddings.create({ ...body, encoding_format: "float" });
  same(coded.data.map((item) => item.embedding.length), [8, 8]);
  holds(coded.data[1].embedding.every((value, at) => Math.abs(value - plain.data[1].embedding[at]) < 1e-6), coded);
});

check("models_list_and_retrieve", async () => {
  const ids = (await collect(client.models.list())).map((model) => model.id);
  holds(ids.includes("fake/plain") && ids.includes("fake/rerank"), ids);
  same((await client.models.retrieve("fake/plain")).id, "fake/plain");
});

check("errors_have_their_own_class", async () => {
  const stranger = client.withOptions({ apiKey: "wrong" });
  const refused = stranger.chat.completions.create({ model: "fake/plain", messages: HELLO });
  same((await raised(openai.AuthenticationError, refused)).status, 401);
  const unknown = await raised(openai.NotFoundError, chat({ model: "fake/nowhere" }));
  same(unknown.status, 404);
  if (!ENGINE_ONLY) same(unknown.code, "model_not_found");
});

gatewayCheck("a_bad_request_has_its_own_class", async () => {
  same((await raised(openai.BadRequestError, chat({ model: "fake/plain", messages: 3 }))).type, "invalid_request_error");
});

check("busy", async () => {
  const error = await raised(openai.APIError, chat({ model: "fake/busy" }));
  const wanted = { 429: openai.RateLimitError, 503: openai.InternalServerError }[error.status];
  holds(wanted && error instanceof wanted, error);
  holds(Number(error.headers.get("retry-after")) >= 0 && error.headers.has("retry-after"), "no retry-after");
});

check("a_cut_stream_raises", async () => {
  const error = await raised(ENGINE_ONLY ? Error : openai.APIError, collect(chat({ model: "fake/cut", stream: true })));
  holds(ENGINE_ONLY || !(error instanceof openai.APIConnectionError), error.constructor.name);
});

gatewayCheck("request_id_on_answers_and_errors", async () => {
  const { request_id } = await chat({ model: "fake/plain" }).withResponse();
  const error = await raised(openai.NotFoundError, chat({ model: "fake/nowhere" }));
  holds(request_id && error.requestID, `${request_id} ${error.requestID}`);
});

await run();
