// Vercel's AI SDK over @ai-sdk/openai-compatible, as conversations' and Docs' front ends use it.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, isStepCount, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";
import { ANSWER, BASE, KEY, PLACE, PLACE_ANSWER, THOUGHT } from "./checks.mjs";
import { check, gatewayCheck, holds, raised, run, same } from "./checks.mjs";

const provide = (apiKey) =>
  createOpenAICompatible({ name: "guichet", baseURL: BASE, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const guichet = provide(KEY);
const ask = (model, options) => ({ model: guichet(model), prompt: "Bonjour", maxRetries: 0, ...options });
const twoSteps = (isStepCount ?? stepCountIs)(2);

function placeTool(asked) {
  const execute = async (input) => {
    asked.push(input);
    return "beau";
  };
  return { place: tool({ description: "Un lieu", inputSchema: jsonSchema(PLACE), execute }) };
}

// Reads a stream to its end, or to the error in it: the SDK hands errors over as parts.
async function read(result) {
  let text = "";
  let reasoning = "";
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") text += part.text;
    if (part.type === "reasoning-delta") reasoning += part.text;
  }
  return { text, reasoning };
}

check("chat_plain", async () => {
  const answer = await generateText(ask("fake/plain"));
  same([answer.text, answer.finishReason], [ANSWER, "stop"]);
  holds(answer.usage.inputTokens > 0, answer.usage);
});

check("chat_streamed_with_usage", async () => {
  const result = streamText(ask("fake/plain"));
  same((await read(result)).text, ANSWER);
  holds((await result.usage).outputTokens > 0, await result.usage);
});

check("tools_plain_and_streamed", async () => {
  const asked = [];
  const answer = await generateText(ask("fake/tools", { tools: placeTool(asked), stopWhen: twoSteps }));
  same([answer.text, asked], [ANSWER, [PLACE_ANSWER]]);
  same((await read(streamText(ask("fake/tools", { tools: placeTool(asked), stopWhen: twoSteps })))).text, ANSWER);
  same(asked, [PLACE_ANSWER, PLACE_ANSWER]);
});

check("json_schema", async () => {
  const answer = await generateText(ask("fake/plain", { output: Output.object({ schema: jsonSchema(PLACE) }) }));
  same(answer.output, PLACE_ANSWER);
});

check("reasoning_plain_and_streamed", async () => {
  const answer = await generateText(ask("fake/reasoning"));
  same([answer.text, answer.reasoningText], [ANSWER, THOUGHT]);
  same(await read(streamText(ask("fake/reasoning"))), { text: ANSWER, reasoning: THOUGHT });
});

check("embeddings", async () => {
  const model = guichet.embeddingModel("fake/embeddings");
  same((await embedMany({ model, values: ["eau", "pain"] })).embeddings.map((vector) => vector.length), [8, 8]);
});

check("errors_keep_their_status", async () => {
  const refused = generateText({ ...ask("fake/plain"), model: provide("wrong")("fake/plain") });
  same((await raised(APICallError, refused)).statusCode, 401);
  same((await raised(APICallError, generateText(ask("fake/nowhere")))).statusCode, 404);
  const busy = await raised(APICallError, generateText(ask("fake/busy")));
  holds([429, 503].includes(busy.statusCode) && busy.responseHeaders["retry-after"], busy.statusCode);
});

gatewayCheck("the_gateways_message_is_the_errors", async () => {
  const error = await raised(APICallError, generateText(ask("fake/nowhere")));
  same(error.message, JSON.parse(error.responseBody).error.message);
});

check("a_cut_stream_raises", async () => {
  let text = "";
  const listen = async () => {
    for await (const part of streamText(ask("fake/cut", { onError: () => {} })).fullStream) {
      if (part.type === "error") throw Object(part.error);
      if (part.type === "text-delta") text += part.text;
    }
  };
  await raised(Object, listen());
  holds(text && ANSWER.startsWith(text), text);
});

await run();
