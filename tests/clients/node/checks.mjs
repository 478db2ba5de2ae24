// Runs a client's checks and prints one line for each: `ok NAME`, `skip NAME why` or `FAIL NAME why`.
// GUICHET_URL, GUICHET_KEY and GUICHET_ENGINE_ONLY as in ../python/checks.py.

import { isDeepStrictEqual } from "node:util";

export const ROOT = process.env.GUICHET_URL.replace(/\/+$/, "").replace(/\/v1$/, "");
export const BASE = `${ROOT}/v1`;
export const KEY = process.env.GUICHET_KEY;
export const ENGINE_ONLY = process.env.GUICHET_ENGINE_ONLY === "1";

// What the fake engine says and thinks (tests/src/engine/faults.rs).
export const ANSWER = "Bonjour ! Je suis un moteur de test, et ceci est ma réponse : « été ».";
export const THOUGHT = "L’usager demande peu. Répondons peu.";
export const HELLO = [{ role: "user", content: "Bonjour" }];
export const PLACE = {
  type: "object",
  properties: { town: { type: "string" }, inhabitants: { type: "integer" } },
  required: ["town", "inhabitants"],
  additionalProperties: false,
};
// The fake engine makes values from the schema, so these prove that the schema arrived.
export const PLACE_ANSWER = { town: "Paris", inhabitants: 7 };

const checks = [];

export const check = (name, body) => checks.push({ name, body });
export const gatewayCheck = (name, body) => checks.push({ name, body, gateway: true });

export function holds(condition, why) {
  if (!condition) throw new Error(typeof why === "string" ? why : JSON.stringify(why));
}

export function same(found, wanted) {
  const why = `${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`;
  holds(isDeepStrictEqual(found, wanted), why);
}

// Gives back the error that the promise must reject with.
export async function raised(kind, promise) {
  let result;
  try {
    result = await promise;
  } catch (error) {
    holds(error instanceof kind, `${error.constructor.name} instead of ${kind.name}: ${error.message}`);
    return error;
  }
  throw new Error(`${kind.name} was not raised; got ${JSON.stringify(result)}`);
}

export async function run() {
  let failed = false;
  for (const { name, body, gateway } of checks) {
    if (gateway && ENGINE_ONLY) {
      console.log(`skip ${name} only the gateway does this`);
      continue;
    }
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("took over 40 s")), 40_000)));
    try {
      await Promise.race([body(), late]);
      console.log(`ok ${name}`);
    } catch (error) {
      failed = true;
      console.log(`FAIL ${name} ${`${error.name}: ${error.message}`.replace(/\s+/g, " ").slice(0, 600)}`);
      if (process.env.GUICHET_TRACE === "1") console.error(error);
    } finally {
      clearTimeout(timer);
    }
  }
  process.exit(failed ? 1 : 0);
}
